"""Search: exact, the same every time, and tied to the encoder that made the index."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from complaints import complaint
from killed import kill_half_way
from PIL import Image
from safetensors.torch import save_file
from tiny import noise, sized, tiny_encoder
from torch import nn

from fashionlib import search as module
from fashionlib import weights
from fashionlib.catalog.pictures import read_square, to_square
from fashionlib.drawn import drawn_pictures
from fashionlib.search import (
    SIDE,
    SearchIndex,
    build_index,
    check_queries,
    embed_picture,
    euclidean,
    nearest,
    read_query,
    visual_search,
)
from fashionlib.weights import (
    fingerprint,
    load_encoder,
    save_encoder,
    save_tensors,
    weights_hash,
)


@pytest.fixture(scope="module")
def encoder() -> nn.Module:
    return tiny_encoder()


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
    shapes.clear()
    monkeypatch.setattr(module, "MOST_DISTANCES", 49)  # one query alone has 50
    assert index.search(queries, 5).ids == whole.ids
    assert [tuple(shape) for shape in shapes] == [(1, 50)] * 41
    for n in (0, 40):
        alone = index.search(queries[n], 5)
        assert alone.positions.tolist() == [whole.positions[n].tolist()]
        assert alone.distances.tolist() == [whole.distances[n].tolist()]


def test_k_above_the_size_gives_all():
    results = index_of([[2.0], [1.0], [4.0]]).search(torch.tensor([0.0]), 10)
    assert results.ids == (("b", "a", "c"),)
    assert results.positions.shape == results.distances.shape == (1, 3)


def test_a_query_is_a_row_on_the_cpu_of_plain_floats():
    """Whatever it came as: one or several, double, with a gradient, a column of something."""
    columns = torch.arange(6.0).reshape(2, 3).T.double().requires_grad_()
    rows = check_queries(columns, 1, 2)
    assert rows.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert (rows.dtype, rows.requires_grad, rows.is_contiguous()) == (torch.float32, False, True)
    assert check_queries(columns[0], 1, 2).tolist() == [[0, 3]]
    assert check_queries(torch.zeros(0, 2), 1, 2).shape == (0, 2)


def test_queries_that_cannot_be_searched():
    index = index_of([[2.0, 0.0], [1.0, 0.0]])
    complaint(lambda: index.search(torch.zeros(2), 0), "at least 1")
    complaint(lambda: index.search(torch.zeros(2), -3), "-3")
    complaint(lambda: index.search(torch.zeros(3), 1), "[1, 3]", "2 dimensions")
    complaint(lambda: index.search(torch.zeros(4, 3), 1), "[4, 3]", "2 dimensions")
    complaint(lambda: index.search(torch.zeros(1, 1, 2), 1), "[1, 1, 2]")
    for value in (torch.nan, torch.inf, 1e16):
        broken = torch.tensor([[0.0, 0.0], [0.0, value]])
        complaint(lambda broken=broken: index.search(broken, 1), "not finite")
    empty = index.remove(["a", "b"])
    assert len(empty) == 0
    complaint(lambda: empty.search(torch.zeros(2), 1), "the catalog is empty")


# What an index holds


def test_add_and_remove_make_new_indexes():
    old = index_of([[1.0], [2.0], [3.0]])
    more = old.add(torch.tensor([[9.0], [8.0]]), iter(["x", "y"]))
    less = more.remove(iter(["b", "x"]))
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
    complaint(lambda: index.add(torch.zeros(2), ["x"]), "[2]", "2 dimensions")
    complaint(lambda: index.add(torch.zeros(2, 2), ["x"]), "do not fit 3 ids")
    complaint(lambda: index.add(torch.full((1, 2), torch.nan), ["x"]), "not finite")
    complaint(lambda: index.add(torch.full((1, 2), -1e16), ["x"]), "beyond 1e15")
    complaint(lambda: index.remove(["a", "nobody", "no one"]), "'nobody'")
    complaint(lambda: SearchIndex(torch.zeros(2), ("a", "b"), "someone"), "[2]")


def test_an_index_comes_back(tmp_path, encoder):
    path = tmp_path / "made" / "index.safetensors"
    index = build_index(encoder, noise(5), ["é", "b", "c/1.jpg", "d", "\udcff"])
    index.save(path)
    loaded = SearchIndex.load(path, encoder)
    assert torch.equal(loaded.embeddings, index.embeddings)
    assert loaded.ids == index.ids
    assert loaded.made_by == fingerprint(encoder)


def test_other_weights_are_refused(tmp_path, encoder):
    path = tmp_path / "index.safetensors"
    index = build_index(encoder, noise(3), "abc")
    index.save(path)
    other = tiny_encoder(1)
    index.check(encoder)
    complaint(lambda: index.check(other), "other weights", "build it again")
    complaint(lambda: SearchIndex.load(path, other), "other weights", "build it again")


REFUSED = ("other weights, or at another picture size", "build it again")


def test_the_same_weights_at_another_size_are_refused(tmp_path, encoder):
    """They would find something, at distances that mean nothing."""
    path = tmp_path / "index.safetensors"
    index = build_index(encoder, noise(3), "abc")
    index.save(path)
    other = tiny_encoder(0, 40)
    assert weights_hash(other) == weights_hash(encoder)
    assert fingerprint(other) != fingerprint(encoder)
    complaint(lambda: index.check(other), *REFUSED)
    complaint(lambda: SearchIndex.load(path, other), *REFUSED)
    SearchIndex.load(path, sized(other, 32))


def test_a_saved_and_loaded_encoder_searches_its_index(tmp_path, encoder):
    """It knows its size: nobody has to give it along."""
    save_encoder(tmp_path / "encoder.safetensors", encoder)
    loaded, _ = load_encoder(tmp_path / "encoder.safetensors")
    images = noise(5, 48)
    index = build_index(encoder, images, "abcde")
    index.save(tmp_path / "index.safetensors")
    again = SearchIndex.load(tmp_path / "index.safetensors", loaded)
    found = again.search(embed_picture(loaded, images[2]), 1)
    assert found.ids == (("c",),)
    assert found.distances.item() == pytest.approx(0, abs=1e-5)


def test_an_index_of_another_version_that_reads_pictures_otherwise(tmp_path, encoder, monkeypatch):
    path = tmp_path / "index.safetensors"
    build_index(encoder, noise(3), "abc").save(path)
    monkeypatch.setattr(weights, "PREPROCESSING", weights.PREPROCESSING + 1)
    complaint(lambda: SearchIndex.load(path, encoder), *REFUSED)


def test_an_index_that_knew_weights_alone_is_refused(tmp_path, encoder):
    """Until f519cf9 `made_by` was the weights' hash: nobody knows at which size it was made."""
    index = build_index(encoder, noise(3), "abc")
    metadata = {"kind": "index", "made_by": weights_hash(encoder), "ids": index.ids}
    save_tensors(tmp_path / "old.safetensors", {"embeddings": index.embeddings}, metadata)
    complaint(lambda: SearchIndex.load(tmp_path / "old.safetensors", encoder), *REFUSED)


def test_files_that_are_no_index(tmp_path, encoder):
    path = tmp_path / "index.safetensors"
    complaint(lambda: SearchIndex.load(path, encoder), path, "no file")
    path.write_bytes(b"not an index")
    complaint(lambda: SearchIndex.load(path, encoder), path)
    save_tensors(path, {"embeddings": torch.zeros(2, 2)}, {"kind": "encoder"})
    complaint(lambda: SearchIndex.load(path, encoder), path, "no index")
    save_file({"x": torch.zeros(2)}, path)
    complaint(lambda: SearchIndex.load(path, encoder), path, "not a whole file")
    build_index(encoder, noise(3), "abc").save(path)
    path.write_bytes(path.read_bytes()[:-20])
    complaint(lambda: SearchIndex.load(path, encoder), path)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows, about: (rows.half(), about),
        lambda rows, about: (rows.double(), about),
        lambda rows, about: (rows.long(), about),
        lambda rows, about: (rows.flatten(), about),
        lambda rows, about: (rows[1:], about),
        lambda rows, about: (rows / 0, about),
        lambda rows, about: (rows, about | {"ids": [1, 2, 3]}),
        lambda rows, about: (rows, about | {"ids": "abc"}),
        lambda rows, about: (rows, about | {"ids": ["a", "b", "a"]}),
        lambda rows, about: (rows, {"kind": "index", "ids": ["a", "b", "c"]}),
    ],
)
def test_a_file_that_is_whole_and_no_index(tmp_path, encoder, change):
    """The file is named, and not the encoder: at the first search it would be too late."""
    path = tmp_path / "index.safetensors"
    about = {"kind": "index", "made_by": fingerprint(encoder), "ids": ["a", "b", "c"]}
    rows, about = change(torch.ones(3, 16), about)
    save_tensors(path, {"embeddings": rows}, about)
    complaint(lambda: SearchIndex.load(path, encoder), path, "is damaged", "make it anew")


def test_an_index_that_cannot_be_saved_is_one_line(tmp_path, encoder):
    """A file where the folder should be, a folder where the file should be, and a device."""
    index = build_index(encoder, noise(3), "abc")
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "i", tmp_path / "folder", Path("/proc/version/i"),
                 Path("/proc/i")):  # fmt: skip
        complaint(lambda path=path: index.save(path), f"could not write {path}")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "in the way"


def test_kill_during_save_leaves_the_old_index(tmp_path):
    path = tmp_path / "index.safetensors"
    index_of([[1.0], [2.0]]).save(path)
    before = path.read_bytes()
    kill_half_way(f"SearchIndex(torch.zeros(9, 1), tuple('abcdefghi'), 'x').save({str(path)!r})")
    assert path.read_bytes() == before


# Embedding a catalog


def test_build_index_does_not_depend_on_the_batches(monkeypatch):
    images = noise(11)
    names = [f"{n}.jpg" for n in range(11)]
    encoder = sized(tiny_encoder(), 24)
    index = build_index(encoder, images, names)
    assert index.ids == tuple(names)
    assert index.made_by == fingerprint(encoder)
    assert index.embeddings.dtype == torch.float32
    for part in (1, 4, 11):
        monkeypatch.setattr(module, "PART", part)
        again = build_index(encoder, images, names)
        assert torch.allclose(again.embeddings, index.embeddings, atol=1e-5)
    for image, row in zip(images, index.embeddings, strict=True):
        assert torch.allclose(embed_picture(encoder, image), row, atol=1e-5)


def test_catalogs_that_cannot_be_built(encoder):
    complaint(lambda: build_index(encoder, noise(0), []), "empty")
    complaint(lambda: build_index(encoder, noise(3), ["a", "b"]), "2 ids")
    complaint(lambda: build_index(encoder, noise(2), ["a", "a"]), "'a'")


def test_ids_are_looked_at_before_the_work(encoder, monkeypatch):
    monkeypatch.setattr(module, "predict", lambda *_: pytest.fail("embedded all the same"))
    complaint(lambda: build_index(encoder, noise(2), ["a", "a"]), "'a'")


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_embeddings_of_another_precision_can_be_searched_and_saved(tmp_path, encoder, kind):
    rows = torch.tensor([[0.0, 0.5], [2.0, 0.25]], dtype=kind, requires_grad=True)
    index = SearchIndex(rows, ("a", "b"), fingerprint(encoder)).add(rows[:1] + 1, ["c"])
    assert index.search(rows[1], k=1).ids == (("b",),)
    assert not index.embeddings.requires_grad
    index.save(tmp_path / "index.safetensors")
    loaded = SearchIndex.load(tmp_path / "index.safetensors", encoder)
    assert torch.equal(loaded.embeddings, index.embeddings)


def test_a_file_and_a_catalog_give_a_picture_the_same_embedding(encoder):
    picture = Image.fromarray(np.moveaxis(noise(1, 90)[0].numpy(), 0, -1))
    stored = torch.from_numpy(to_square(picture, SIDE))
    assert torch.equal(embed_picture(encoder, picture), embed_picture(encoder, stored))


@pytest.mark.clock
def test_the_article_and_the_index_agree_but_not_in_time():
    encoder = sized(tiny_encoder(), 64)
    images = torch.from_numpy(drawn_pictures(301, 4, 64)[0])
    query, catalog = images[0], images[1:]
    started = time.perf_counter()
    expected = visual_search(query, catalog, encoder, 5)
    loop = time.perf_counter() - started
    index = build_index(encoder, catalog, map(str, range(300)))
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        results = index.search(embed_picture(encoder, query), 5)
        seconds.append(time.perf_counter() - started)
    assert [position for _, position in expected] == results.positions[0].tolist()
    distances = torch.tensor([distance for distance, _ in expected])
    assert torch.allclose(distances, results.distances[0], atol=1e-4)
    ratio = loop / sorted(seconds)[5]
    print(f"300 pictures: the loop {loop:.3f} s, the index {ratio:.0f} times as fast")
    assert ratio >= 20


def test_a_large_photo_is_the_same_query_as_it_is_in_a_catalog(tmp_path):
    """Twelve megapixels, say, are decoded at a part of their size: both times the same."""
    y, x = np.mgrid[:1600, :2000] / 30
    waves = [128 + 100 * np.sin(x * k + y * y) for k in (1, 2, 3)]
    Image.fromarray(np.stack(waves, -1).astype(np.uint8)).save(tmp_path / "a.jpg", quality=90)
    stored = read_square(tmp_path, "a.jpg", SIDE)
    assert np.array_equal(read_query(tmp_path / "a.jpg").numpy(), stored)
    assert np.array_equal(read_query((tmp_path / "a.jpg").read_bytes()).numpy(), stored)
