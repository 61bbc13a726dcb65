"""Weights files: whole or not at all, nothing executed, errors a person can act on."""

import math
import os
import re
import resource
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from complaints import complaint
from safetensors.torch import load_file, save_file
from tiny import noise, same_weights, sized, small_encoder, tiny_encoder

from fashionlib import weights
from fashionlib.blocks import PLANS, Plan
from fashionlib.errors import FashionError
from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.search import SearchIndex, build_index
from fashionlib.transforms import Preparation
from fashionlib.weights import (
    fingerprint,
    load_classifier,
    load_encoder,
    load_tensors,
    save_classifier,
    save_encoder,
    save_tensors,
    shipped,
    tensors_hash,
    weights_hash,
)


def test_a_classifier_comes_back_with_all_it_needs(tmp_path):
    model = build_classifier("fashion", 3).eval()
    path = tmp_path / "new folder" / "classifier.safetensors"
    save_classifier(path, model, ("b", "a", "é"), seed=4)
    loaded, metadata = load_classifier(path)
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(loaded(x), model(x), atol=1e-5)
    assert metadata["classes"] == ["b", "a", "é"]  # as they are numbered
    assert metadata["preprocessing"] == {"resize": "square", "size": 128, "range": [-1.0, 1.0]}
    assert metadata["plan"]["stem"] == 24
    assert metadata["seed"] == 4
    assert not loaded.training
    stem = loaded.backbone.blocks[0][0].weight  # as pictures lie, which is faster
    assert stem.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("objective", ["all", "looks"])
def test_an_encoder_comes_back_with_all_it_needs(tmp_path, objective):
    """It prepares pictures as before, so a picture gets the same embedding."""
    path = tmp_path / "encoder.safetensors"
    model = sized(small_encoder(objective).eval(), 40)
    save_encoder(path, model, distance_limit=0.5)
    loaded, metadata = load_encoder(path)
    assert type(loaded) is type(model)
    assert same_weights(loaded, model)
    assert loaded.preparation == Preparation(40)
    assert torch.equal(predict(loaded, noise(3, 64)), predict(model, noise(3, 64)))
    assert fingerprint(loaded) == fingerprint(model)
    assert metadata["dimensions"] == predict(model, noise(1, 64)).shape[1]
    if objective == "looks":
        assert loaded.categories == model.categories
        assert (loaded.colours, loaded.patterns) == (model.colours, model.patterns)
    assert metadata["distance_limit"] == 0.5
    assert not loaded.training


def test_a_classifier_prepares_as_before(tmp_path):
    save_classifier(tmp_path / "c.safetensors", sized(build_classifier("article"), 40), "abcdefg")
    loaded, _ = load_classifier(tmp_path / "c.safetensors")
    assert loaded.preparation == Preparation(40)


@pytest.mark.parametrize(("stride", "size"), [(1, 8), (4, 2048)])
def test_the_least_and_the_most_that_a_file_may_ask_for(tmp_path, stride, size):
    model = sized(build_classifier(Plan(8, ((2, 16, 2, stride),)), 2), size)
    save_classifier(tmp_path / "c.safetensors", model, "ab")
    loaded, _ = load_classifier(tmp_path / "c.safetensors")
    assert loaded.backbone.plan == model.backbone.plan
    assert loaded.preparation == Preparation(size)


@pytest.mark.parametrize(
    "other", [{"range": [0.0, 1.0]}, {"resize": "crop"}, {"mean": [0.5, 0.5, 0.5]}]
)
def test_a_preparation_that_this_version_does_not_know_is_refused(tmp_path, other):
    """Ignored, it would give wrong answers in silence."""
    path = tmp_path / "e.safetensors"
    save_encoder(path, tiny_encoder())
    tensors, metadata = load_tensors(path)
    metadata["preprocessing"] |= other
    save_tensors(path, tensors, metadata)
    complaint(lambda: load_encoder(path), path, "prepares pictures as this version cannot")


def test_the_fingerprint_covers_all_that_decides_an_answer(monkeypatch):
    """Weights, running statistics, preparation, and how the library reads a picture."""
    encoder = tiny_encoder()
    found = {fingerprint(encoder), fingerprint(tiny_encoder(1)), fingerprint(tiny_encoder(0, 40))}
    encoder.backbone.blocks[0][1].running_mean += 1
    found.add(fingerprint(encoder))
    monkeypatch.setattr(weights, "PREPROCESSING", weights.PREPROCESSING + 1)
    found.add(fingerprint(encoder))
    assert len(found) == 5
    assert {len(one) for one in found} == {16}


def test_the_fingerprint_is_the_same_twice_and_in_any_layout_or_mode():
    encoder = tiny_encoder()
    first = fingerprint(encoder)
    assert fingerprint(tiny_encoder()) == first
    assert fingerprint(encoder.train().to(memory_format=torch.channels_last)) == first


def test_the_hash_of_weights_alone_knows_no_size():
    assert weights_hash(tiny_encoder(0, 32)) == weights_hash(tiny_encoder(0, 40))
    assert weights_hash(tiny_encoder(0)) != weights_hash(tiny_encoder(1))


def test_the_same_model_makes_the_same_bytes(tmp_path):
    model = build_classifier("article")
    for name in ("one", "two"):
        save_classifier(tmp_path / name, model, ("a",) * 7)
        model.to(memory_format=torch.channels_last)  # as a training leaves it
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def one_line(caught) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(FashionError, match="no file") as caught:
        load_classifier(tmp_path / "none.safetensors")
    assert "none.safetensors" in one_line(caught)


@pytest.mark.parametrize("content", [b"", b"not weights", b"\xff" * 64])
def test_not_a_weights_file(tmp_path, content):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(FashionError, match=r"broken\.safetensors") as caught:
        load_tensors(path)
    one_line(caught)


def test_a_header_of_endless_brackets_is_none_of_ours(tmp_path):
    path = tmp_path / "deep.safetensors"
    save_file({"x": torch.zeros(2)}, path, {"fashionlib": "[" * 10**5})
    complaint(lambda: load_tensors(path), path, "not a whole file of this library")


def test_a_truncated_weights_file(tmp_path):
    path = tmp_path / "cut.safetensors"
    save_classifier(path, build_classifier("article"), ("a",) * 7)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(FashionError, match="not a whole file") as caught:
        load_classifier(path)
    one_line(caught)


def test_weights_of_another_model(tmp_path):
    path = tmp_path / "other.safetensors"
    model = build_classifier("article-dense")
    model.backbone.plan = PLANS["article"]
    save_classifier(path, model, ("a",) * 7)
    with pytest.raises(FashionError, match="another model") as caught:
        load_classifier(path)
    one_line(caught)


def test_other_tensors_are_not_a_classifier(tmp_path):
    path = tmp_path / "plain.safetensors"
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(FashionError, match="not a whole file of this library") as caught:
        load_classifier(path)
    one_line(caught)
    save_tensors(path, {"x": torch.zeros(2)}, {"kind": "index"})
    with pytest.raises(FashionError, match="holds no classifier") as caught:
        load_classifier(path)
    one_line(caught)


def test_every_flipped_bit_is_noticed(tmp_path):
    """In the header, the metadata or the tensors: never other numbers without a word."""
    path = tmp_path / "kept.safetensors"
    tensors = {"x": torch.arange(6.0), "y": torch.tensor([[1, 2], [3, 4]])}
    save_tensors(path, tensors, {"kind": "index", "ids": ["a", "b"], "limit": 0.5})
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in (0, 6):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                found, metadata = load_tensors(path)
            except FashionError:
                continue
            # white space in the header, say: nothing that is read is another
            assert metadata == {"kind": "index", "ids": ["a", "b"], "limit": 0.5}, place
            assert all(torch.equal(found[name], tensors[name]) for name in tensors), place
            assert found.keys() == tensors.keys()


def test_a_file_replaced_while_it_is_loaded_is_the_old_or_the_new(tmp_path, monkeypatch):
    """Another process saves between what is read first and what is read next."""
    path, read = tmp_path / "kept.safetensors", weights.load
    save_tensors(path, {"x": torch.zeros(3)}, {"kind": "old"})

    def overtaken(content: bytes) -> dict:
        save_tensors(path, {"x": torch.ones(3)}, {"kind": "new"})
        return read(content)

    monkeypatch.setattr(weights, "load", overtaken)
    tensors, metadata = load_tensors(path)
    assert (metadata, tensors["x"].tolist()) == ({"kind": "old"}, [0.0] * 3)
    monkeypatch.undo()
    tensors, metadata = load_tensors(path)
    assert (metadata, tensors["x"].tolist()) == ({"kind": "new"}, [1.0] * 3)
    path.write_bytes(b"")  # and no memory is mapped that another could change
    assert tensors["x"].tolist() == [1.0] * 3


ODD = (None, -1, 10**30, 1.5, "x", [], ["x"], {}, {"x": 1}, True)


def mutilated(metadata: dict) -> Iterator[dict]:
    """Each key gone, and each value, also inside, replaced by what it cannot be."""
    for key, value in metadata.items():
        yield {name: each for name, each in metadata.items() if name != key}
        for odd in ODD:
            yield metadata | {key: odd}
        if isinstance(value, dict):
            yield from (metadata | {key: inside} for inside in mutilated(value))


def kept_of(kind: str, path: Path) -> Callable[[], object]:
    """Write a good file of a kind; what loads it."""
    encoder = small_encoder("looks").eval()
    if kind == "classifier":
        save_classifier(path, build_classifier("article", 3), ("a", "b", "c"))
        return lambda: load_classifier(path)
    if kind == "encoder":
        save_encoder(path, encoder)
        return lambda: load_encoder(path)
    build_index(encoder, noise(3), "abc").save(path)
    return lambda: SearchIndex.load(path, encoder)


@pytest.mark.parametrize("kind", ["classifier", "encoder", "index"])
def test_metadata_that_cannot_be_are_one_line(tmp_path, kind):
    """Whatever they say, it is a FashionError or something that works."""
    path = tmp_path / "kept.safetensors"
    load = kept_of(kind, path)
    tensors, metadata = load_tensors(path)
    works = tried = 0
    for odd in mutilated(metadata):
        save_tensors(path, tensors, odd)
        tried += 1
        with suppress(FashionError):
            load()
            works += 1
    assert works < tried / 2


def test_what_no_tensors_shape_tells_is_checked(tmp_path):
    """Strides, sides, distances, names, and the kind of the numbers."""
    path = tmp_path / "kept.safetensors"
    load = kept_of("encoder", path)
    tensors, metadata = load_tensors(path)
    plan, (categories, *looks) = metadata["plan"], metadata["names"]
    stem, *stages = plan["stages"]
    odd = [
        *({"plan": plan | {"stages": [[*stem[:3], stride], *stages]}}
          for stride in (0, -2, 2.0, 2.5, "2", None, True, 10**9, [1, 10])),
        *({"preprocessing": metadata["preprocessing"] | {"size": size}}
          for size in (1, True, 40.0, 4096)),
        *({"distance_limit": limit} for limit in ("far", None, [], {}, float("nan"), 10**400)),
        *({"names": [[name, *categories[1:]], *looks]} for name in (1, None, ["hat"])),
    ]  # fmt: skip
    for change in odd:
        save_tensors(path, tensors, metadata | change)
        complaint(load, path, "is damaged")
    name = "look.1.weight"
    for kind in (torch.float16, torch.float64, torch.bfloat16, torch.complex64):
        save_tensors(path, tensors | {name: tensors[name].to(kind)}, metadata)
        complaint(load, path, "another model than its plan says")
    save_tensors(path, tensors, metadata | {"distance_limit": 0.5})
    load()


@pytest.mark.parametrize(
    "change",
    [
        {"plan": {"stem": 16, "stages": [[3, 24, 10**6, 2]], "depthwise": True,
                  "project_skip": True}},
        {"plan": {"stem": 16, "stages": [[3, 10**6, 3, 2]], "depthwise": True,
                  "project_skip": True}},
        {"classes": ["a"] * 10**6},
        {"preprocessing": {"resize": "square", "size": 10**5, "range": [-1.0, 1.0]}},
    ],
)  # fmt: skip
def test_sizes_beyond_sense_are_refused_before_anything_is_built(tmp_path, change):
    """A million blocks took 71 seconds and 9 GB before they failed."""
    path = tmp_path / "kept.safetensors"
    load = kept_of("classifier", path)
    tensors, metadata = load_tensors(path)
    save_tensors(path, tensors, metadata | change)
    before = resource.getrusage(resource.RUSAGE_SELF)
    complaint(load, path)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime - before.ru_utime < 5
    assert after.ru_maxrss - before.ru_maxrss < 500_000  # kilobytes


@pytest.mark.parametrize("kind", ["classifier", "encoder"])
def test_weights_that_are_no_numbers_are_refused(tmp_path, kind):
    """An export of them ended well, and every answer was nan."""
    path = tmp_path / "kept.safetensors"
    load = kept_of(kind, path)
    tensors, metadata = load_tensors(path)
    name = next(name for name in tensors if name.endswith("running_var"))
    for value in (math.nan, math.inf, -1.0):
        save_tensors(path, tensors | {name: torch.full_like(tensors[name], value)}, metadata)
        complaint(load, path, "weights that are no numbers: train it again")
    save_tensors(path, tensors | {name: torch.zeros_like(tensors[name])}, metadata)
    load()  # of a channel that always says the same


def test_nothing_to_name_is_damage_and_no_warning(tmp_path, recwarn):
    for kind, change in (
        ("classifier", {"classes": []}),
        ("encoder", {"names": [["a"], [], ["b"]]}),
    ):
        path = tmp_path / kind
        load = kept_of(kind, path)
        tensors, metadata = load_tensors(path)
        save_tensors(path, tensors, metadata | change)
        complaint(load, path, "is damaged")
    assert not [each for each in recwarn if "zero-element" in str(each.message)]


def test_what_is_no_file_is_not_read(tmp_path):
    """Reading a pipe would never end; and nobody is to train a model for a folder's sake."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        complaint(lambda name=name: load_tensors(tmp_path / name), f"{name} is no file: name anoth")


def test_a_full_disk_leaves_the_old_weights_whole(tmp_path):
    """A file size limit stands in for the full disk; both are an OSError in the middle of it."""
    path = tmp_path / "kept.safetensors"
    save_tensors(path, {"x": torch.arange(4.0)}, {"kind": "old"})
    program = textwrap.dedent("""
        import resource, signal, sys, torch
        from fashionlib.errors import FashionError
        from fashionlib.weights import save_tensors
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save_tensors(sys.argv[1], {"x": torch.zeros(1_000_000)}, {"kind": "new"})
        except FashionError as error:
            print(error)
            sys.exit(2)
    """)
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert re.search(r"could not write .*kept\.safetensors: .*File too large", done.stdout)
    assert done.stdout.count("\n") == 1
    assert torch.equal(load_file(path)["x"], torch.arange(4.0))
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.safetensors"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000


def test_shipped_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    (tmp_path / "encoder_photos.safetensors").write_bytes(b"")
    assert shipped("encoder_photos") == tmp_path / "encoder_photos.safetensors"
    complaint(lambda: shipped("encoder_moon"), "encoder_moon")


def test_a_hash_of_tensors_covers_names_kinds_shapes_and_values():
    zeros = torch.zeros(2, 3)
    others = {
        "name": {"b": zeros},
        "kind": {"a": zeros.int()},
        "shape": {"a": zeros.T},
        "value": {"a": zeros + 1},
    }
    hashes = {name: tensors_hash(tensors) for name, tensors in others.items()}
    assert len({tensors_hash({"a": zeros}), *hashes.values()}) == 5
