"""Search: exact, the same every time, tied to its weights, and a cache that follows its folder."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from fashionlib import search as module
from fashionlib import weights
from fashionlib.catalog import Catalog, Split
from fashionlib.catalog.pictures import to_square
from fashionlib.drawn import drawn_pictures
from fashionlib.errors import FashionError
from fashionlib.heads import build_encoder
from fashionlib.running.folder_index import (
    category_of,
    folder_source,
    refreshed_index,
    training_source,
)
from fashionlib.search import (
    SIDE,
    SearchIndex,
    build_index,
    embed_picture,
    euclidean,
    nearest,
    visual_search,
)
from fashionlib.weights import fingerprint, save_tensors, shipped


def complaint(call: Callable[[], object], *mentions: object) -> None:
    """`call` fails with a FashionError of one line that names what it should."""
    with pytest.raises(FashionError) as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for mention in mentions:
        assert str(mention) in message


def tiny_encoder(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_encoder("article", 16).eval()


@pytest.fixture(scope="module")
def encoder() -> nn.Module:
    return tiny_encoder()


def noise(count: int, side: int = 32, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def index_of(rows: list[list[float]]) -> SearchIndex:
    names = tuple("abcdefghij"[: len(rows)])
    return SearchIndex(torch.tensor(rows, dtype=torch.float32), names, "someone")


# The nearest, exactly


@pytest.mark.parametrize("k", [1, 2, 7, 50, 199, 200])
@pytest.mark.parametrize("values", [1, 2, 5, 10_000])
def test_nearest_is_the_start_of_a_stable_sort(k, values):
    """With 1 to 5 different distances among 200 nearly all are ties."""
    generator = torch.Generator().manual_seed(k * values)
    distances = torch.randint(0, values, (30, 200), generator=generator).float()
    for row, found, positions in zip(distances, *nearest(distances, k), strict=True):
        slow = sorted(range(200), key=lambda n, row=row: (float(row[n]), n))[:k]
        assert positions.tolist() == slow
        assert found.tolist() == [float(row[n]) for n in slow]


def test_equal_pictures_come_in_the_order_of_the_catalog():
    twins = index_of([[3.0, 0.0], [1.0, 0.0], [3.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    results = twins.search(torch.tensor([1.0, 0.0]), 4)
    assert results.ids == (("b", "d", "e", "a"),)
    assert results.distances.tolist() == [[0.0, 0.0, 0.0, 2.0]]
    assert results.distances.dtype == torch.float32
    assert results.positions.dtype == torch.int64


def test_search_equals_a_plain_loop():
    torch.manual_seed(1)
    index = SearchIndex(torch.randn(300, 16), tuple(map(str, range(300))), "someone")
    queries = torch.randn(20, 16)
    results = index.search(queries, 10)
    for n, query in enumerate(queries):
        squares = [float(((query - row).double() ** 2).sum()) for row in index.embeddings]
        slow = sorted(range(300), key=squares.__getitem__)[:10]
        assert results.positions[n].tolist() == slow
        assert results.ids[n] == tuple(map(str, slow))
        expected = torch.tensor([squares[p] for p in slow]).sqrt()
        assert torch.allclose(results.distances[n], expected, atol=1e-5)


def test_an_equal_embedding_is_at_distance_0():
    """Through a matrix product it is not."""
    torch.manual_seed(2)
    rows = torch.nn.functional.normalize(torch.randn(100, 64), dim=1)
    assert euclidean(rows, rows).diagonal().abs().max() == 0


def test_many_queries_are_searched_in_parts_with_the_same_result(monkeypatch):
    torch.manual_seed(3)
    index = SearchIndex(torch.randn(50, 8).round(), tuple(map(str, range(50))), "someone")
    queries = torch.randn(41, 8).round()
    whole = index.search(queries, 5)
    shapes = []

    def spy(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        distances = euclidean(one, other)
        shapes.append(distances.shape)
        return distances

    monkeypatch.setattr(module, "MOST_DISTANCES", 500)
    monkeypatch.setattr(module, "euclidean", spy)
    parts = index.search(queries, 5)
    assert [tuple(shape) for shape in shapes] == [(10, 50)] * 4 + [(1, 50)]
    assert torch.equal(parts.positions, whole.positions)
    assert torch.equal(parts.distances, whole.distances)
    assert parts.ids == whole.ids
    for n in (0, 40):
        alone = index.search(queries[n], 5)
        assert alone.positions.tolist() == [whole.positions[n].tolist()]
        assert alone.distances.tolist() == [whole.distances[n].tolist()]


def test_k_above_the_size_gives_all():
    results = index_of([[2.0], [1.0], [4.0]]).search(torch.tensor([0.0]), 10)
    assert results.ids == (("b", "a", "c"),)
    assert results.positions.shape == results.distances.shape == (1, 3)


def test_queries_that_cannot_be_searched():
    index = index_of([[2.0, 0.0], [1.0, 0.0]])
    complaint(lambda: index.search(torch.zeros(2), 0), "at least 1")
    complaint(lambda: index.search(torch.zeros(2), -3), "-3")
    complaint(lambda: index.search(torch.zeros(3), 1), "[1, 3]", "2 dimensions")
    complaint(lambda: index.search(torch.zeros(4, 3), 1), "[4, 3]", "2 dimensions")
    complaint(lambda: index.search(torch.zeros(1, 1, 2), 1), "[1, 1, 2]")
    for value in (torch.nan, torch.inf):
        broken = torch.tensor([[0.0, 0.0], [0.0, value]])
        complaint(lambda broken=broken: index.search(broken, 1), "not finite")
    empty = index.remove(["a", "b"])
    assert len(empty) == 0
    complaint(lambda: empty.search(torch.zeros(2), 1), "the catalog is empty")


# What an index holds


def test_add_and_remove_make_new_indexes():
    old = index_of([[1.0], [2.0], [3.0]])
    more = old.add(torch.tensor([[9.0], [8.0]]), ["x", "y"])
    less = more.remove(["b", "x"])
    assert old.ids == ("a", "b", "c")
    assert more.ids == ("a", "b", "c", "x", "y")
    assert more.embeddings[:, 0].tolist() == [1, 2, 3, 9, 8]
    assert less.ids == ("a", "c", "y")
    assert less.embeddings[:, 0].tolist() == [1, 3, 8]
    assert less.made_by == "someone"
    assert less.search(torch.tensor([8.1]), 1).ids == (("y",),)


def test_what_cannot_be_added_or_removed():
    index = index_of([[1.0, 1.0], [2.0, 2.0]])
    complaint(lambda: index.add(torch.zeros(1, 2), ["b"]), "'b'", "twice")
    complaint(lambda: index.add(torch.zeros(2, 2), ["x", "x"]), "'x'", "twice")
    complaint(lambda: index.add(torch.zeros(1, 3), ["x"]), "[1, 3]", "2 dimensions")
    complaint(lambda: index.add(torch.zeros(2, 2), ["x"]), "do not fit 3 ids")
    complaint(lambda: index.add(torch.full((1, 2), torch.nan), ["x"]), "not finite")
    complaint(lambda: index.remove(["a", "nobody"]), "'nobody'")
    complaint(lambda: SearchIndex(torch.zeros(2), ("a", "b"), "someone"), "[2]")


def test_an_index_comes_back(tmp_path, encoder):
    path = tmp_path / "made" / "index.safetensors"
    index = build_index(encoder, noise(5), ["é", "b", "c/1.jpg", "d", "\udcff"], 32)
    index.save(path)
    loaded = SearchIndex.load(path, encoder)
    assert torch.equal(loaded.embeddings, index.embeddings)
    assert loaded.ids == index.ids
    assert loaded.made_by == fingerprint(encoder)


def test_other_weights_are_refused(tmp_path, encoder):
    path = tmp_path / "index.safetensors"
    index = build_index(encoder, noise(3), "abc", 32)
    index.save(path)
    other = tiny_encoder(1)
    index.check(encoder)
    complaint(lambda: index.check(other), "other weights", "build it again")
    complaint(lambda: SearchIndex.load(path, other), "other weights", "build it again")


def test_files_that_are_no_index(tmp_path, encoder):
    path = tmp_path / "index.safetensors"
    complaint(lambda: SearchIndex.load(path, encoder), path, "no file")
    path.write_bytes(b"not an index")
    complaint(lambda: SearchIndex.load(path, encoder), path)
    save_tensors(path, {"embeddings": torch.zeros(2, 2)}, {"kind": "encoder"})
    complaint(lambda: SearchIndex.load(path, encoder), path, "no index")
    save_file({"x": torch.zeros(2)}, path)
    complaint(lambda: SearchIndex.load(path, encoder), path, "no index")
    build_index(encoder, noise(3), "abc", 32).save(path)
    path.write_bytes(path.read_bytes()[:-20])
    complaint(lambda: SearchIndex.load(path, encoder), path)


# `save_file` stops half way, so that the kill comes in the middle of it every time
HALF_SAVED = """
import time
from pathlib import Path
import torch
from fashionlib import weights
from fashionlib.running.folder_index import folder_source, refreshed_index
from fashionlib.heads import build_encoder
from fashionlib.search import SearchIndex

save = weights.save_file

def save_half(tensors, path, metadata):
    save(tensors, path, metadata)
    content = open(path, "rb").read()
    with open(path, "wb") as file:
        file.write(content[: len(content) // 2])
    print("half", flush=True)
    time.sleep(100)

weights.save_file = save_half
torch.manual_seed(0)
encoder = build_encoder("article", 16).eval()
"""


def kill_half_way(code: str) -> None:
    command = [sys.executable, "-c", HALF_SAVED + code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"half\n"
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_kill_during_save_leaves_the_old_index(tmp_path):
    path = tmp_path / "index.safetensors"
    index_of([[1.0], [2.0]]).save(path)
    before = path.read_bytes()
    kill_half_way(f"SearchIndex(torch.zeros(9, 1), tuple('abcdefghi'), 'x').save({str(path)!r})")
    assert path.read_bytes() == before


# Embedding a catalog


def test_build_index_does_not_depend_on_the_batches(encoder):
    images = noise(11)
    names = [f"{n}.jpg" for n in range(11)]
    index = build_index(encoder, images, names, 24)
    assert index.ids == tuple(names)
    assert index.made_by == fingerprint(encoder)
    assert index.embeddings.dtype == torch.float32
    for batch_size in (1, 4, 11):
        again = build_index(encoder, images, names, 24, batch_size)
        assert torch.allclose(again.embeddings, index.embeddings, atol=1e-5)
    for image, row in zip(images, index.embeddings, strict=True):
        assert torch.allclose(embed_picture(encoder, image, 24), row, atol=1e-5)


def test_catalogs_that_cannot_be_built(encoder):
    complaint(lambda: build_index(encoder, noise(0), [], 32), "empty")
    complaint(lambda: build_index(encoder, noise(3), ["a", "b"], 32), "2 ids")
    complaint(lambda: build_index(encoder, noise(2), ["a", "a"], 32), "'a'")


def test_a_file_and_a_catalog_give_a_picture_the_same_embedding(encoder):
    picture = Image.fromarray(np.moveaxis(noise(1, 90)[0].numpy(), 0, -1))
    stored = torch.from_numpy(to_square(picture, SIDE))
    assert torch.equal(embed_picture(encoder, picture, 24), embed_picture(encoder, stored, 24))


@pytest.mark.clock
def test_the_article_and_the_index_agree_but_not_in_time(encoder):
    images = torch.from_numpy(drawn_pictures(301, 4, 64, processes=1)[0])
    query, catalog = images[0], images[1:]
    started = time.perf_counter()
    expected = visual_search(query, catalog, encoder, 5, size=64)
    loop = time.perf_counter() - started
    index = build_index(encoder, catalog, map(str, range(300)), 64)
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        results = index.search(embed_picture(encoder, query, 64), 5)
        seconds.append(time.perf_counter() - started)
    assert [position for _, position in expected] == results.positions[0].tolist()
    distances = torch.tensor([distance for distance, _ in expected])
    assert torch.allclose(distances, results.distances[0], atol=1e-4)
    ratio = loop / sorted(seconds)[5]
    print(f"300 pictures: the loop {loop:.3f} s, the index {ratio:.0f} times as fast")
    assert ratio >= 20


def test_shipped_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    (tmp_path / "encoder_photos.safetensors").write_bytes(b"")
    assert shipped("encoder_photos") == tmp_path / "encoder_photos.safetensors"
    complaint(lambda: shipped("encoder_moon"), "encoder_moon")


# Folders, and their indexes in the cache


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
        assert torch.allclose(embed_picture(encoder, picture, 32), row, atol=1e-5), name


def test_any_tree_of_pictures_is_a_catalog(tmp_path, own_cache, encoder):
    for name in ("top.png", "b/1.png", "b/deep/er/2.png", "a/3.png"):
        save_picture(tmp_path / name)
    for name in (".hidden.png", ".thumbs/4.png"):
        save_picture(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    source = folder_source(tmp_path)
    assert list(source.stamps) == ["a/3.png", "b/1.png", "b/deep/er/2.png", "top.png"]
    assert [category_of(name) for name in source.stamps] == ["a", "b", "er", ""]
    refreshed = refreshed_index(source, encoder, 32)
    assert refreshed.index.ids == tuple(source.stamps)
    assert (refreshed.embedded, refreshed.removed, refreshed.skipped) == (4, 0, ())


def test_a_broken_picture_among_a_thousand(tmp_path, own_cache, encoder):
    make_folder(tmp_path, 1000)
    (tmp_path / "500b.jpg").write_text("not a picture")
    refreshed = refreshed_index(folder_source(tmp_path), encoder, 32)
    assert len(refreshed.index) == 1000
    assert len(refreshed.skipped) == 1
    assert refreshed.skipped[0].startswith("500b.jpg is not a picture")
    again = refreshed_index(folder_source(tmp_path), encoder, 32)
    assert (again.embedded, again.skipped) == (0, refreshed.skipped)
    assert torch.equal(again.index.embeddings, refreshed.index.embeddings)
    save_picture(tmp_path / "mended.png")
    (tmp_path / "mended.png").rename(tmp_path / "500b.jpg")
    mended = refreshed_index(folder_source(tmp_path), encoder, 32)
    assert (len(mended.index), mended.embedded, mended.skipped) == (1001, 1, ())
    assert mended.index.ids[501] == "500b.jpg"


def test_only_what_changed_is_embedded(tmp_path, own_cache, encoder):
    make_folder(tmp_path, 12)
    refreshed_index(folder_source(tmp_path), encoder, 32)
    seen = []
    handle = encoder.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    try:
        path = cached(own_cache)
        before = path.stat().st_ino, path.stat().st_mtime_ns
        assert refreshed_index(folder_source(tmp_path), encoder, 32).embedded == 0
        assert seen == []
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == before
        save_picture(tmp_path / "003.png", seed=1)  # other content
        os.utime(tmp_path / "003.png", ns=(1, 1))
        save_picture(tmp_path / "000a.png")
        (tmp_path / "007.png").unlink()
        (tmp_path / "008.png").rename(tmp_path / "new.png")
        refreshed = refreshed_index(folder_source(tmp_path), encoder, 32)
        assert (refreshed.embedded, refreshed.removed) == (3, 2)
        assert seen == [3]
    finally:
        handle.remove()
    check_fresh(refreshed.index, tmp_path, encoder)
    assert cached(own_cache) == path
    (tmp_path / "000.png").unlink()
    refreshed = refreshed_index(folder_source(tmp_path), encoder, 32)
    assert (refreshed.embedded, refreshed.removed) == (0, 1)
    assert refreshed_index(folder_source(tmp_path), encoder, 32).removed == 0


def test_other_weights_or_another_size_embed_all_again(tmp_path, own_cache, encoder):
    make_folder(tmp_path, 5)
    first = refreshed_index(folder_source(tmp_path), encoder, 32)
    other = tiny_encoder(1)
    second = refreshed_index(folder_source(tmp_path), other, 32)
    assert second.embedded == 5
    second.index.check(other)
    assert not torch.allclose(second.index.embeddings, first.index.embeddings, atol=1e-3)
    assert refreshed_index(folder_source(tmp_path), other, 48).embedded == 5
    cached(own_cache)  # one file for the folder


@pytest.mark.parametrize("damage", ["empty", "truncated", "something else"])
def test_a_damaged_cache_is_made_again(tmp_path, own_cache, encoder, damage):
    make_folder(tmp_path, 3)
    refreshed_index(folder_source(tmp_path), encoder, 32)
    path = cached(own_cache)
    if damage == "something else":
        save_tensors(path, {"x": torch.zeros(3)}, {"kind": "index"})
    else:
        path.write_bytes(path.read_bytes()[: 0 if damage == "empty" else -30])
    refreshed = refreshed_index(folder_source(tmp_path), encoder, 32)
    assert refreshed.embedded == 3
    check_fresh(refreshed.index, tmp_path, encoder)
    assert refreshed_index(folder_source(tmp_path), encoder, 32).embedded == 0


def test_kill_while_the_cache_is_saved_leaves_the_old_one(tmp_path, own_cache, encoder):
    make_folder(tmp_path, 3)
    refreshed_index(folder_source(tmp_path), encoder, 32)
    path = cached(own_cache)
    before = path.read_bytes()
    save_picture(tmp_path / "new.png")
    folder = f"folder_source(Path({str(tmp_path)!r}))"
    kill_half_way(f"refreshed_index({folder}, encoder, 32)")
    assert path.read_bytes() == before
    refreshed = refreshed_index(folder_source(tmp_path), encoder, 32)
    assert refreshed.embedded == 1
    check_fresh(refreshed.index, tmp_path, encoder)


def test_a_folder_is_known_by_any_path(tmp_path, own_cache, encoder, monkeypatch):
    make_folder(tmp_path / "mine", 2)
    refreshed_index(folder_source(tmp_path / "mine"), encoder, 32)
    monkeypatch.chdir(tmp_path)
    assert refreshed_index(folder_source(Path("mine")), encoder, 32).embedded == 0


def test_folders_that_are_no_catalog(tmp_path, own_cache, encoder):
    complaint(lambda: folder_source(tmp_path / "none"), tmp_path / "none", "does not exist")
    complaint(lambda: folder_source(Path("x" * 300)), "x" * 300, "cannot be listed")
    complaint(lambda: folder_source(tmp_path), tmp_path, "no pictures")
    (tmp_path / "a.jpg").write_text("not a picture")
    complaint(lambda: folder_source(tmp_path / "a.jpg"), "a.jpg is a file")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "nowhere.jpg")
    source = folder_source(tmp_path)
    complaint(lambda: refreshed_index(source, encoder, 32), tmp_path, "a.jpg is not a picture")
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
    first = refreshed_index(training_source(drawn_catalog(images)), encoder, 32)
    assert first.index.ids == tuple(f"train/hat/{n}" for n in range(6))
    plain = build_index(encoder, images, first.index.ids, 32)
    assert torch.allclose(first.index.embeddings, plain.embeddings, atol=1e-5)
    images[4, 0, 0, 0] += 1
    again = refreshed_index(training_source(drawn_catalog(images)), encoder, 32)
    assert (again.embedded, again.removed) == (1, 0)
