"""ONNX files: the answers of torch for pictures of any size, and errors a person can act on."""

import hashlib
import json
import random
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from tiny import PLAN, SIZE, THREE_CLASSES, drawn, settled
from torch import nn

from fashionlib.catalog import load_catalog
from fashionlib.drawn import SEVEN
from fashionlib.errors import FashionError
from fashionlib.export import OPSET, PreparationLayer, export_onnx, load_onnx
from fashionlib.heads import build_classifier, build_encoder
from fashionlib.inference import predict
from fashionlib.look_encoder import NAMELESS, look_encoder_from
from fashionlib.transforms import to_input
from fashionlib.weights import (
    fingerprint,
    load_classifier,
    load_encoder,
    save_classifier,
    save_encoder,
    save_tensors,
    shipped,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> dict[str, tuple[nn.Module, Path, Path]]:
    """Of each kind a model, its weights file and its ONNX file."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("exported")
    models = {
        "classifier": settled(build_classifier(PLAN, len(THREE_CLASSES))),
        "encoder": settled(build_encoder(PLAN)),
        "look": settled(look_encoder_from(build_classifier(PLAN), (SEVEN, *NAMELESS))),
    }
    with torch.no_grad():  # as of a trained one, its classes all occur
        logits = models["classifier"](to_input(drawn(64), SIZE))
        models["classifier"].head.linear.bias -= logits.mean(dim=0)
    for kind, model in models.items():
        weights = folder / f"{kind}.safetensors"
        if kind == "classifier":
            save_classifier(weights, model, THREE_CLASSES, seed=4)
        else:
            save_encoder(weights, model, distance_limit=0.5)
        export_onnx(weights, weights.with_suffix(".onnx"))
    files = {kind: folder / f"{kind}.safetensors" for kind in models}
    return {kind: (models[kind], file, file.with_suffix(".onnx")) for kind, file in files.items()}


def one_line(caught) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["classifier", "encoder", "look"])
def test_equal_to_torch_for_every_batch_and_picture_size(exported, kind):
    model, _, path = exported[kind]
    run, _ = load_onnx(path)
    sides = [(160, 160), (SIZE, SIZE), (48, 48), (200, 90), (31, 300), (1, 1)]
    for count, (height, width) in [(1, sides[0]), (3, sides[0]), *((17, side) for side in sides)]:
        images = drawn(17, 300)[:count, :, :height, :width]
        expected = predict(model, images)
        answer = run(images)
        assert answer.dtype == torch.float32
        assert answer.shape == expected.shape
        assert (answer - expected).abs().max() < 1e-4, (count, height, width)
    answer = run(drawn(17).numpy())  # of numpy too
    assert answer.std(dim=0).max() > 0.01, "these pictures are all the same to the model"
    assert torch.equal(answer, run(drawn(17).contiguous(memory_format=torch.channels_last)))


def test_the_same_top_class(exported):
    model, _, path = exported["classifier"]
    expected = predict(model, drawn(64)).argmax(dim=1)
    assert len(expected.unique()) > 1
    assert torch.equal(load_onnx(path)[0](drawn(64)).argmax(dim=1), expected)


@pytest.mark.parametrize("sides", [(160, 160), (48, 128), (700, 333), (2, 5), (1201, 64)])
@pytest.mark.parametrize("size", [32, 128, 144])
def test_preparation_is_that_of_torch_to_the_last_bit(sides, size):
    """Noise, and the extremes of black and white, in every shape that rounds differently."""
    noise = torch.randint(0, 256, (2, 3, *sides), dtype=torch.uint8)
    images = torch.cat([noise, (noise > 127) * torch.tensor(255, dtype=torch.uint8)])
    assert torch.equal(PreparationLayer(size)(images), to_input(images, size))


def test_the_file_says_what_it_is(exported):
    for kind, load, output in [
        ("classifier", load_classifier, "logits"),
        ("encoder", load_encoder, "embedding"),
        ("look", load_encoder, "embedding"),
    ]:
        model, weights, path = exported[kind]
        expected = load(weights)[1] | {"fingerprint": fingerprint(model)}
        assert load_onnx(path)[1] == expected
        whole = onnx.load(path)  # as somebody reads it who has no fashionlib
        onnx.checker.check_model(whole, full_check=True)
        props = {prop.key: prop.value for prop in whole.metadata_props}
        assert json.loads(props["fashionlib"]) == expected
        assert [(entry.domain, entry.version) for entry in whole.opset_import] == [("", OPSET)]
        (image,), (answer,) = whole.graph.input, whole.graph.output
        assert (image.name, image.type.tensor_type.elem_type) == ("images", TensorProto.UINT8)
        names = [side.dim_param or side.dim_value for side in image.type.tensor_type.shape.dim]
        assert names == ["batch", 3, "height", "width"]
        assert answer.name == output
    classifier = load_onnx(exported["classifier"][2])[1]
    assert classifier["classes"] == list(THREE_CLASSES)
    assert classifier["seed"] == 4
    assert load_onnx(exported["look"][2])[1]["distance_limit"] == 0.5


def test_one_file_without_the_folders_of_who_made_it(exported):
    names = sorted(entry.name for entry in exported["look"][2].parent.iterdir())
    kinds = sorted(exported)
    assert names == sorted(f"{kind}.{end}" for kind in kinds for end in ("onnx", "safetensors"))
    for _, _, path in exported.values():
        assert b"fashionlib/" not in path.read_bytes()
        assert str(ROOT).encode() not in path.read_bytes()


@pytest.mark.parametrize("name", ["classifier_photos", "encoder_photos"])
def test_shipped_weights_on_test_photos(photos_here, tmp_path, name):
    model, _ = (load_classifier if "classifier" in name else load_encoder)(shipped(name))
    export_onnx(shipped(name), tmp_path / "shipped.onnx")
    run, _ = load_onnx(tmp_path / "shipped.onnx")
    images = load_catalog("photos").test.images[::3]
    assert len(images) > 90
    expected = predict(model, images)
    answer = torch.cat([run(part) for part in images.split(16)])
    difference = (answer - expected).abs().max().item()
    print(f"{name}: {len(images)} photos, largest difference {difference:.1e}")
    assert difference < 1e-4
    assert torch.equal(answer.argmax(dim=1), expected.argmax(dim=1))


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 3, 160, 160), np.float32),
        torch.zeros(3, 160, 160, dtype=torch.uint8),
        np.zeros((2, 160, 160, 3), np.uint8),
        np.zeros((0, 3, 160, 160), np.uint8),
    ],
    ids=["floats", "one picture", "channels last", "none"],
)
def test_what_are_no_pictures(exported, images):
    run, _ = load_onnx(exported["classifier"][2])
    with pytest.raises(FashionError, match="uint8") as caught:
        run(images)
    assert str(list(images.shape)) in one_line(caught)


@pytest.mark.parametrize("name", ["model.pt", "model", "model.onnx.safetensors"])
def test_out_must_end_in_onnx(exported, tmp_path, name):
    with pytest.raises(FashionError, match=r"end it in \.onnx") as caught:
        export_onnx(exported["encoder"][1], tmp_path / name)
    one_line(caught)
    assert not list(tmp_path.iterdir())


def test_not_the_weights_of_a_network(tmp_path):
    out, text, index = tmp_path / "out.onnx", tmp_path / "text", tmp_path / "index.safetensors"
    text.write_text("not weights")
    save_tensors(index, {"embeddings": torch.zeros(1, 2)}, {"kind": "index"})
    save_tensors(tmp_path / "odd.safetensors", {}, {"kind": ["encoder"]})
    for weights, message in [
        (tmp_path / "none.safetensors", "no file"),
        (text, "not a whole file"),
        (index, "no classifier or encoder"),
        (tmp_path / "odd.safetensors", "no classifier or encoder"),
    ]:
        with pytest.raises(FashionError, match=message) as caught:
            export_onnx(weights, out)
        assert weights.name in one_line(caught)
    assert not out.exists()


def test_weights_are_not_written_over_by_their_export(tmp_path):
    """They may have any name; and a link leads to them."""
    weights, link = tmp_path / "weights.onnx", tmp_path / "link.onnx"
    weights.write_bytes(b"weights")
    link.symlink_to(weights)
    for out in (weights, link):
        with pytest.raises(FashionError, match="is read for this") as caught:
            export_onnx(weights, out)
        one_line(caught)
    assert weights.read_bytes() == b"weights"


def test_a_failed_export_leaves_the_old_file_whole(exported, tmp_path, monkeypatch):
    out = tmp_path / "kept.onnx"
    out.write_bytes(b"old")

    def save(self, destination, **_):
        Path(destination).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch.onnx.ONNXProgram, "save", save)
    with pytest.raises(FashionError, match=r"could not write .*kept\.onnx: No space") as caught:
        export_onnx(exported["encoder"][1], out)
    one_line(caught)
    assert out.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.onnx"]


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_one_line(exported, tmp_path, monkeypatch, package):
    _, weights, path = exported["encoder"]
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        FashionError, match=rf'^{package} is missing: .*"fashionlib\[export\]"'
    ) as e:
        load_onnx(path) if package == "onnxruntime" else export_onnx(weights, tmp_path / "out.onnx")
    one_line(e)
    assert not list(tmp_path.iterdir())


def test_not_an_onnx_file_of_ours(exported, tmp_path):
    text, cut, other = tmp_path / "text.onnx", tmp_path / "cut.onnx", tmp_path / "other.onnx"
    text.write_text("not a graph")
    cut.write_bytes(exported["encoder"][2].read_bytes()[:-1000])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "other", [x], [y])
    opset = helper.make_opsetid("", OPSET)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), other)
    for path, message in [
        (tmp_path / "none.onnx", "no file"),
        (text, "not a whole ONNX file of this library"),
        (cut, "not a whole ONNX file of this library"),
        (other, "not a whole ONNX file of this library"),
    ]:
        with pytest.raises(FashionError, match=message) as caught:
            load_onnx(path)
        assert path.name in one_line(caught)


def test_a_flipped_bit_anywhere_is_noticed(exported, tmp_path):
    content = exported["encoder"][2].read_bytes()
    places = random.Random(0).sample(range(len(content)), 20)
    for place in (*places, len(content) - 1):
        damaged = bytearray(content)
        damaged[place] ^= 4
        (tmp_path / "damaged.onnx").write_bytes(damaged)
        with pytest.raises(FashionError, match="not a whole ONNX file of this library"):
            load_onnx(tmp_path / "damaged.onnx")


def test_the_hash_behind_it_is_metadata_to_any_reader(exported):
    model = onnx.load(exported["encoder"][2])
    onnx.checker.check_model(model)
    hashes = [entry.value for entry in model.metadata_props if entry.key == "sha256"]
    content = exported["encoder"][2].read_bytes()
    assert hashes == [hashlib.sha256(content[:-76]).hexdigest()]
