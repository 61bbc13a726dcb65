"""A folder's index in the cache follows the folder, and is never another encoder's."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from complaints import complaint
from killed import kill_half_way
from PIL import Image
from tiny import noise, sized, tiny_encoder
from torch import nn

from fashionlib.catalog import Catalog, Split
from fashionlib.catalog.pictures import PREPROCESSING
from fashionlib.errors import FashionError
from fashionlib.running import folder_index
from fashionlib.running.folder_index import (
    category_of,
    embed_named,
    folder_source,
    picture_files,
    refreshed_index,
    training_source,
)
from fashionlib.search import SIDE, SearchIndex, build_index, embed_picture
from fashionlib.weights import load_tensors, save_tensors, weights_hash


@pytest.fixture(scope="module")
def encoder() -> nn.Module:
    return tiny_encoder()


@pytest.fixture
def own_cache(tmp_path_factory, monkeypatch) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("FASHIONLIB_CACHE", str(cache))
    return cache


def save_picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, *str(path.name).encode()])
    Image.fromarray(rng.integers(0, 256, (10, 8, 3), np.uint8)).save(path)


def make_folder(root: Path, count: int) -> Path:
    for n in range(count):
        save_picture(root / f"{n:03d}.png")
    return root


def cached(cache: Path) -> Path:
    (path,) = (cache / "indexes").iterdir()
    return path


def check_fresh(index: SearchIndex, root: Path, encoder: nn.Module) -> None:
    """The index is what an index made from nothing would be."""
    names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.png"))
    assert index.ids == tuple(names)
    for name, row in zip(names, index.embeddings, strict=True):
        picture = Image.open(root / name).convert("RGB")
        assert torch.allclose(embed_picture(encoder, picture), row, atol=1e-5), name


def test_any_tree_of_pictures_is_a_catalog(tmp_path, own_cache, encoder):
    for name in ("top.png", "b/1.png", "b/deep/er/2.png", "a/3.png"):
        save_picture(tmp_path / name)
    for name in (".hidden.png", ".thumbs/4.png"):
        save_picture(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    source = folder_source(tmp_path)
    names = ["a/3.png", "b/1.png", "b/deep/er/2.png", "top.png"]
    assert sorted(source.stamps) == sorted([*names, "link"])  # not followed, but named
    assert [category_of(name) for name in names] == ["a", "b", "er", ""]
    refreshed = refreshed_index(source, encoder)
    assert refreshed.index.ids == tuple(names)
    assert (refreshed.embedded, refreshed.removed) == (4, 0)
    assert refreshed.skipped == ("link is a folder: give one picture file.",)


def test_folders_may_be_deeper_than_python_recurses(tmp_path):
    """With a name that leads there only from below, since a path has at most 4,096 bytes."""
    below = Path(*["d"] * 1_900)
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1_900):
            os.mkdir("d")
            os.chdir("d")
        save_picture(Path("deep.png"))
    finally:
        os.chdir(here)
    try:
        assert [name for name, _ in picture_files(tmp_path)] == [(below / "deep.png").as_posix()]
    finally:
        subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # `shutil.rmtree` recurses


def test_a_broken_picture_among_a_thousand(tmp_path, own_cache, encoder):
    make_folder(tmp_path, 1000)
    (tmp_path / "500b.jpg").write_text("not a picture")
    refreshed = refreshed_index(folder_source(tmp_path), encoder)
    assert len(refreshed.index) == 1000
    assert len(refreshed.skipped) == 1
    assert refreshed.skipped[0].startswith("500b.jpg is not a picture")
    again = refreshed_index(folder_source(tmp_path), encoder)
    assert (again.embedded, again.skipped) == (0, refreshed.skipped)
    assert torch.equal(again.index.embeddings, refreshed.index.embeddings)
    save_picture(tmp_path / "mended.png")
    (tmp_path / "mended.png").rename(tmp_path / "500b.jpg")
    mended = refreshed_index(folder_source(tmp_path), encoder)
    assert (len(mended.index), mended.embedded, mended.skipped) == (1001, 1, ())
    assert mended.index.ids[501] == "500b.jpg"


def test_only_what_changed_is_embedded(tmp_path, own_cache, encoder):
    make_folder(tmp_path, 12)
    refreshed_index(folder_source(tmp_path), encoder)
    seen = []
    handle = encoder.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    try:
        path = cached(own_cache)
        before = path.stat().st_ino, path.stat().st_mtime_ns
        os.utime(path.parent, ns=(1, 1))
        assert refreshed_index(folder_source(tmp_path), encoder).embedded == 0
        assert seen == []
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == before
        assert path.parent.stat().st_mtime_ns == 1  # the cache may be one that can only be read
        save_picture(tmp_path / "003.png", seed=1)  # other content
        os.utime(tmp_path / "003.png", ns=(1, 1))
        save_picture(tmp_path / "000a.png")
        (tmp_path / "007.png").unlink()
        (tmp_path / "008.png").rename(tmp_path / "new.png")
        refreshed = refreshed_index(folder_source(tmp_path), encoder)
        assert (refreshed.embedded, refreshed.removed) == (3, 2)
        assert seen == [3]
    finally:
        handle.remove()
    check_fresh(refreshed.index, tmp_path, encoder)
    assert cached(own_cache) == path
    (tmp_path / "000.png").unlink()
    refreshed = refreshed_index(folder_source(tmp_path), encoder)
    assert (refreshed.embedded, refreshed.removed) == (0, 1)
    assert refreshed_index(folder_source(tmp_path), encoder).removed == 0


def test_other_weights_or_another_size_embed_all_again(tmp_path, own_cache, encoder):
    make_folder(tmp_path, 5)
    first = refreshed_index(folder_source(tmp_path), encoder)
    other = tiny_encoder(1)
    second = refreshed_index(folder_source(tmp_path), other)
    assert second.embedded == 5
    second.index.check(other)
    assert not torch.allclose(second.index.embeddings, first.index.embeddings, atol=1e-3)
    larger = refreshed_index(folder_source(tmp_path), sized(other, 48))
    assert larger.embedded == 5
    larger.index.check(other)
    check_fresh(larger.index, tmp_path, other)
    assert not torch.allclose(larger.index.embeddings, second.index.embeddings, atol=1e-3)
    cached(own_cache)  # one file for the folder


@pytest.mark.parametrize("size", [32, 40])
def test_a_cache_that_knew_weights_and_size_apart_is_made_again(tmp_path, own_cache, encoder, size):
    """As f519cf9 wrote it, `made_with`: also where the size was the encoder's own."""
    make_folder(tmp_path, 3)
    source = folder_source(tmp_path)
    refreshed_index(source, encoder)
    path = cached(own_cache)
    tensors, metadata = load_tensors(path)
    made_with = {"made_by": weights_hash(encoder), "size": size, "preprocessing": PREPROCESSING}
    old = {"kind": "folder", "made_with": made_with, "ids": metadata["ids"]}
    broken = {"embeddings": torch.zeros_like(tensors["embeddings"])}
    save_tensors(path, broken, old | {"files": metadata["files"]})
    refreshed = refreshed_index(source, encoder)
    assert (refreshed.embedded, refreshed.removed) == (3, 0)
    check_fresh(refreshed.index, tmp_path, encoder)
    assert refreshed_index(source, encoder).embedded == 0


DAMAGED = {
    "of another kind": lambda rows, ids: (rows.half(), ids),
    "not finite": lambda rows, ids: (rows / 0, ids),
    "an id twice": lambda rows, ids: (rows, [ids[0], *ids[:2]]),
    "of another length": lambda rows, ids: (rows[:, :3].clone(), ids),
}


@pytest.mark.parametrize("damage", ["empty", "truncated", "something else", *DAMAGED])
def test_a_damaged_cache_is_made_again(tmp_path, own_cache, encoder, damage):
    make_folder(tmp_path, 3)
    refreshed_index(folder_source(tmp_path), encoder)
    path = cached(own_cache)
    if damage == "something else":
        save_tensors(path, {"x": torch.zeros(3)}, {"kind": "index"})
    elif damage in DAMAGED:
        tensors, metadata = load_tensors(path)
        rows, ids = DAMAGED[damage](tensors["embeddings"], metadata["ids"])
        save_tensors(path, {"embeddings": rows}, metadata | {"ids": ids})
    else:
        path.write_bytes(path.read_bytes()[: 0 if damage == "empty" else -30])
    refreshed = refreshed_index(folder_source(tmp_path), encoder)
    assert refreshed.embedded == 3
    check_fresh(refreshed.index, tmp_path, encoder)
    assert refreshed_index(folder_source(tmp_path), encoder).embedded == 0


def test_a_cache_that_takes_no_file_is_told_before_the_work(tmp_path, own_cache, encoder):
    """A pipe in the place of the index, which stays, and what root may not write."""
    make_folder(tmp_path, 3)
    source = folder_source(tmp_path)
    refreshed_index(source, encoder)
    path, worked = cached(own_cache), []
    path.unlink()
    os.mkfifo(path)
    watched = replace(source, read=lambda name: worked.append(name) or source.read(name))
    complaint(lambda: refreshed_index(watched, encoder), "could not write", path)
    assert path.is_fifo()
    (own_cache / "file").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHIONLIB_CACHE", str(own_cache / "file"))
        complaint(lambda: refreshed_index(watched, encoder), "could not write", "file is no folder")
    assert not worked


def test_kill_while_the_cache_is_saved_leaves_the_old_one(tmp_path, own_cache, encoder):
    make_folder(tmp_path, 3)
    refreshed_index(folder_source(tmp_path), encoder)
    path = cached(own_cache)
    before = path.read_bytes()
    save_picture(tmp_path / "new.png")
    folder = f"folder_source(Path({str(tmp_path)!r}))"
    kill_half_way(f"refreshed_index({folder}, encoder)")
    assert path.read_bytes() == before
    refreshed = refreshed_index(folder_source(tmp_path), encoder)
    assert refreshed.embedded == 1
    check_fresh(refreshed.index, tmp_path, encoder)


@pytest.mark.parametrize("name", ["mine", os.fsdecode(b"m\xefne")], ids=["ASCII", "no UTF-8"])
def test_a_folder_is_known_by_any_path(tmp_path, own_cache, encoder, monkeypatch, name):
    root = make_folder(tmp_path / name, 2)
    assert refreshed_index(folder_source(root), encoder).embedded == 2
    monkeypatch.chdir(tmp_path)
    source = folder_source(Path(name))
    assert refreshed_index(source, encoder).embedded == 0
    assert source.name == name  # as it was given
    assert folder_source(root).name == str(root)


def test_folders_that_are_no_catalog(tmp_path, own_cache, encoder):
    complaint(lambda: folder_source(tmp_path / "none"), tmp_path / "none", "does not exist")
    complaint(lambda: folder_source(Path("x" * 300)), "x" * 300, "cannot be listed")
    complaint(lambda: folder_source(tmp_path), tmp_path, "no pictures")
    (tmp_path / "a.jpg").write_text("not a picture")
    complaint(lambda: folder_source(tmp_path / "a.jpg"), "a.jpg is a file")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "nowhere.jpg")
    source = folder_source(tmp_path)
    complaint(lambda: refreshed_index(source, encoder), tmp_path, "a.jpg is not a picture")
    assert not (own_cache / "indexes").exists()


def test_a_folder_below_that_may_not_be_listed(tmp_path, monkeypatch):
    """Left out in silence, its pictures would count as removed."""
    make_folder(tmp_path, 2)
    locked = make_folder(tmp_path / "locked", 2)
    scandir = os.scandir

    def refuse(path: str) -> object:  # root, whom a test may run as, may list every folder
        if str(path) == str(locked):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    complaint(lambda: folder_source(tmp_path), locked, "cannot be listed")


def drawn_catalog(images: torch.Tensor) -> Catalog:
    names = tuple(f"train/hat/{n}" for n in range(len(images)))
    train = Split(images, torch.zeros(len(images), dtype=torch.int64), names)
    empty = Split(images[:0], torch.zeros(0, dtype=torch.int64), ())
    return Catalog("drawn", ("hat",), train, empty, empty)


def test_the_training_pictures_of_a_catalog(own_cache, encoder):
    images = noise(6, SIDE)
    first = refreshed_index(training_source(drawn_catalog(images)), encoder)
    assert first.index.ids == tuple(f"train/hat/{n}" for n in range(6))
    plain = build_index(encoder, images, first.index.ids)
    assert torch.allclose(first.index.embeddings, plain.embeddings, atol=1e-5)
    for channel in range(3):
        images[channel, channel, 0, 0] += 1
    again = refreshed_index(training_source(drawn_catalog(images)), encoder)
    assert (again.embedded, again.removed) == (3, 0)


def test_each_catalog_has_an_index_of_its_own(own_cache, encoder):
    """Where they shared one, each search would embed its whole catalog again."""
    drawn = drawn_catalog(noise(2, SIDE))
    photos = replace(drawn_catalog(noise(2, SIDE, seed=1)), name="photos")
    sources = [training_source(catalog) for catalog in (drawn, photos)] * 2
    assert [refreshed_index(source, encoder).embedded for source in sources] == [2, 2, 0, 0]


def test_the_progress_that_is_shown_is_of_new_pictures(tmp_path, own_cache, encoder, monkeypatch):
    totals = []
    bar = lambda things, *_, total: totals.append(total) or things  # noqa: E731
    monkeypatch.setattr(folder_index, "progress_bar", bar)
    make_folder(tmp_path, 5)
    refreshed_index(folder_source(tmp_path), encoder)
    save_picture(tmp_path / "new.png")
    for _ in range(2):
        refreshed_index(folder_source(tmp_path), encoder)
    assert totals == [5, 1]


# The one embedder of files


def reader(pictures: dict[str, torch.Tensor]) -> Callable[[str], torch.Tensor]:
    def read(name: str) -> torch.Tensor:
        if name not in pictures:
            raise FashionError(f"{name} is not there.")
        return pictures[name]

    return read


def test_each_name_has_its_row_or_its_line(encoder):
    pictures = dict(zip(map(str, range(40)), noise(40), strict=True))
    names = [*map(str, range(20)), "lost", *map(str, range(20, 40)), "gone"]
    found = dict(embed_named(names, reader(pictures), encoder))
    assert list(found) == names
    assert found.pop("lost") == "lost is not there."
    assert found.pop("gone") == "gone is not there."
    for name, row in found.items():
        assert torch.allclose(row, embed_picture(encoder, pictures[name]), atol=1e-5)
    assert list(embed_named([], reader({}), encoder)) == []
    broken = dict(embed_named("abc", reader({}), encoder))  # a batch with nothing to embed
    assert broken == {name: f"{name} is not there." for name in "abc"}


def test_names_are_taken_a_batch_at_a_time(encoder):
    """However long a folder is, no more pictures are in memory."""
    taken = []
    names = (taken.append(n) or str(n) for n in range(100))
    rows = embed_named(names, lambda _: noise(1)[0], encoder)
    next(rows)
    assert len(taken) == folder_index.BATCH
