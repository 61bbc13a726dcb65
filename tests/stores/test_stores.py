"""Vector stores: one set of promises, kept by a file, by FAISS and by Milvus."""

import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import pytest
import torch
from complaints import complaint
from tiny import noise, sized, small_look_encoder

from fashionlib import weights
from fashionlib.errors import FashionError
from fashionlib.heads import build_encoder
from fashionlib.inference import predict
from fashionlib.search import SearchIndex, euclidean
from fashionlib.stores import Store, common, open_store
from fashionlib.stores.common import search_settled
from fashionlib.weights import fingerprint, save_tensors, weights_hash

KINDS = {  # the end of the URI, and the index
    "exact": (".safetensors", "flat"),
    "faiss flat": (".faiss", "flat"),
    "faiss hnsw": (".faiss", "hnsw"),
    "milvus": (".db", "flat"),
}
KINDS_OF_FAISS = ("faiss flat", "faiss hnsw")
FILES = ("exact", *KINDS_OF_FAISS)
SIZE = 8
ODD = [  # ids and categories that break a file name, a filter or a table
    "train/hat/a b.jpg", "it's", 'say "x"', "back\\slash", "two\nlines", "tab\there", "cr\r", "é",
    "e\u0301", "日本語/写真.jpg", "🧥", "{name}", "%s", "a') or (id != '", '" or id != "', "\u2028",
    " ", "None", "0", "long/" + "x" * 4000,
]  # fmt: skip


def opened(folder: Path, kind: str, made_by: str = "abc", dimensions: int = SIZE) -> Store:
    end, index = KINDS[kind]
    return open_store(str(folder / f"store{end}"), made_by, dimensions, index)


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.fixture
def store(tmp_path, kind):
    made = opened(tmp_path, kind)
    yield made
    made.close()


def vectors(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(500, SIZE, generator=torch.Generator().manual_seed(seed))[:count]


def fill(store: Store, count: int, seed: int = 0) -> torch.Tensor:
    """Rows n000, n001, …, of categories a and b in turn."""
    rows = vectors(count, seed)
    names = [f"n{n:03}" for n in range(count)]
    store.upsert(names, rows, ["ab"[n % 2] for n in range(count)])
    return rows


def by_hand(
    rows: dict[str, tuple[torch.Tensor, str]], query: torch.Tensor, k: int, category: str | None
) -> tuple[list[float], list[str]]:
    """The nearest by the plainest loop: by distance, then id."""
    kept = [name for name, (_, value) in rows.items() if category in (None, value)]
    distance = {name: euclidean(query[None], rows[name][0][None]).item() for name in kept}
    order = sorted(kept, key=lambda name: (distance[name], name))[:k]
    return [distance[name] for name in order], order


# Results


def test_results_are_those_of_the_exact_index(store):
    """The same distances to the last bit, for one query and for many."""
    rows = fill(store, 200)
    index = SearchIndex(rows, tuple(f"n{n:03}" for n in range(200)), "abc")
    for count in (1, 40):
        queries = vectors(count, seed=1)
        found, expected = store.search(queries, 7), index.search(queries, 7)
        assert torch.equal(found.distances, expected.distances)
        assert found.ids == expected.ids
    alone = store.search(queries[3], 7)
    assert alone.ids == found.ids[3:4]
    assert torch.equal(alone.distances, found.distances[3:4])
    assert found.distances.dtype == torch.float32


def test_a_query_of_two_pictures_is_one_like_any_other(tmp_path, kind):
    """The category of one in the look of another: every store finds what the exact index finds."""
    encoder = small_look_encoder().eval()
    embeddings = predict(encoder, noise(60))
    store = opened(tmp_path, kind, fingerprint(encoder), embeddings.shape[1])
    ids = tuple(f"{n:02}" for n in range(60))
    store.upsert(ids, embeddings, [""] * 60)
    index = SearchIndex(embeddings, ids, fingerprint(encoder))
    for share in (0.0, 0.5, 1.0):
        query = encoder.blended(embeddings[3], embeddings[40], share)
        assert store.search(query, 10).ids == index.search(query, 10).ids
    store.close()


def test_distances_are_euclidean_and_0_for_an_equal_embedding(store):
    store.upsert(["near", "far"], torch.eye(SIZE)[:2] * torch.tensor([[1.0], [4.0]]), ["", ""])
    found = store.search(torch.eye(SIZE)[0], 2)
    assert found.ids == (("near", "far"),)
    assert found.distances.tolist() == [[0.0, pytest.approx(17**0.5)]]


def test_equal_distances_come_in_the_order_of_the_ids(store):
    """Also where there are more of them than places: an engine gives any."""
    names = [f"{n:03}" for n in range(100)]
    random.Random(0).shuffle(names)
    store.upsert(names, torch.ones(100, SIZE), ["ab"[int(name) % 2] for name in names])
    store.upsert(["nearer"], torch.full((1, SIZE), 0.9), ["b"])
    query = torch.zeros(SIZE)
    assert store.search(query, 4).ids == (("nearer", "000", "001", "002"),)
    assert store.search(query, 3, "a").ids == (("000", "002", "004"),)
    assert store.search(query, 3, "b").ids == (("nearer", "001", "003"),)


def test_k_above_the_size_gives_all(store):
    fill(store, 5)
    for queries, rows in ((vectors(1)[0], 1), (vectors(3), 3)):
        found = store.search(queries, 10**9)
        assert found.distances.shape == (rows, 5)
        assert sorted(found.ids[0]) == ["n000", "n001", "n002", "n003", "n004"]


def test_a_category_gives_k_results_or_as_many_as_it_has(store):
    """Rare ones far from the query too, which a filter after the search would lose."""
    rows = fill(store, 60)
    store.upsert(["rare 1", "rare 2"], rows[0] + 50 + vectors(2, seed=2), ["rare", "rare"])
    found = store.search(rows[0], 5, "rare")
    assert sorted(found.ids[0]) == ["rare 1", "rare 2"]
    assert store.search(rows[0], 1, "rare").ids == (found.ids[0][:1],)
    assert store.search(rows[0], 60, "b").distances.shape == (1, 30)
    assert set(store.search(rows[0], 60, "b").ids[0]) == {f"n{n:03}" for n in range(1, 60, 2)}
    nobody = store.search(rows[:3], 5, "nobody")
    assert nobody.distances.shape == (3, 0)
    assert nobody.ids == ((), (), ())


def test_categories_that_are_not_there_leave_nothing_behind(tmp_path):
    """Anyone may ask for any, so a service would grow without end."""
    store = opened(tmp_path, "exact")
    fill(store, 6)
    for name in ("a", *(f"nobody {n}" for n in range(5))):
        store.search(vectors(1), 1, name)
    assert list(store._parts) == [None, "a"]


def test_an_empty_store_finds_nothing(store):
    assert len(store) == 0
    found = store.search(vectors(2), 3)
    assert found.distances.shape == (2, 0)
    assert found.ids == ((), ())
    assert store.search(vectors(2)[0], 3, "a").ids == ((),)
    fill(store, 3)
    store.delete(["n000", "n001", "n002"])
    assert len(store) == 0
    assert store.search(vectors(2), 3).ids == ((), ())
    assert store.search(torch.zeros(0, SIZE), 3).ids == ()


def test_mistakes_in_a_search(store):
    fill(store, 3)
    complaint(lambda: store.search(vectors(1), 0), "at least 1")
    complaint(lambda: store.search(vectors(1), -3), "-3")
    complaint(lambda: store.search(torch.zeros(SIZE + 1), 1), f"[1, {SIZE + 1}]", f"{SIZE} dim")
    complaint(lambda: store.search(torch.zeros(1, 1, SIZE), 1), f"[1, 1, {SIZE}]")
    for value in (torch.nan, 1e16):
        complaint(lambda value=value: store.search(torch.full((SIZE,), value), 1), "not finite")


# Changes


def test_an_upsert_replaces_embedding_and_category(store):
    fill(store, 4)
    store.upsert(["n001", "new"], torch.full((2, SIZE), 9.0), ["c", "c"])
    assert len(store) == 5
    found = store.search(torch.full((SIZE,), 9.0), 9)
    assert found.ids[0][:2] == ("n001", "new")
    assert sorted(found.ids[0]) == ["n000", "n001", "n002", "n003", "new"]
    assert store.search(torch.zeros(SIZE), 9, "c").ids == (("n001", "new"),)
    assert store.search(torch.zeros(SIZE), 9, "b").ids == (("n003",),)


def test_a_deleted_row_is_not_found_and_unknown_ids_are_passed_over(store):
    rows = fill(store, 6)
    store.delete(iter(["n002", "nobody", "n002", ""]))
    assert len(store) == 5
    store.delete([])
    store.delete(["n002"])
    assert len(store) == 5
    assert "n002" not in store.search(rows[2], 9).ids[0]
    assert store.search(rows[2], 9, "a").distances.shape == (1, 2)
    store.upsert(["n002"], rows[2:3], ["a"])
    assert store.search(rows[2], 1).ids == (("n002",),)


def test_texts_that_no_store_can_hold(store):
    """They mean the same to all: a file name that is no UTF-8 would break a connection."""
    fill(store, 3)
    for text in ("\udcff", "a\0b", "x" * 4097):
        complaint(lambda text=text: store.delete(["n000", text]), "the id")
        complaint(lambda text=text: store.search(vectors(1), 1, text), "the category")
    assert len(store) == 3


def test_odd_ids_and_categories(store, tmp_path, kind):
    """Each one is found, filtered by, kept and deleted as itself."""
    rows = vectors(len(ODD))
    store.upsert(ODD, rows, ODD)
    store.close()
    again = opened(tmp_path, kind)
    for name, row in zip(ODD, rows, strict=True):
        assert again.search(row, 1).ids == ((name,),)
        assert again.search(row, 9, name).ids == ((name,),)
    for left, name in reversed(list(enumerate(ODD))):
        again.delete([name])
        assert len(again) == left
        assert again.search(rows[0], 9, name).ids == ((),)
    again.close()


@pytest.mark.parametrize("seed", [0, 1])
def test_any_changes_give_what_a_dict_gives(store, tmp_path, kind, seed):
    """Random changes of points on a coarse grid, so that many are equally far; reopened twice."""
    draw, rows = random.Random(seed), {}
    for step in range(40):
        names = draw.sample([f"id {n}" for n in range(50)], draw.randint(1, 12))
        if draw.random() < 0.6:
            points = torch.tensor([[draw.randint(0, 1) for _ in range(SIZE)] for _ in names])
            kinds = [draw.choice(["dress", "hat", ""]) for _ in names]
            store.upsert(names, points.float(), kinds)
            rows |= dict(zip(names, zip(points.float(), kinds, strict=True), strict=True))
        else:
            store.delete(names)
            rows = {name: row for name, row in rows.items() if name not in names}
        if step in (15, 30):
            store.close()
            store = opened(tmp_path, kind)
        query = torch.tensor([draw.choice([0.0, 0.5, 1.0]) for _ in range(SIZE)])
        k, category = draw.randint(1, 60), draw.choice([None, None, "dress", "hat", ""])
        distances, ids = by_hand(rows, query, k, category)
        found = store.search(query, k, category)
        assert len(store) == len(rows)
        assert found.ids == (tuple(ids),), (step, k, category)
        assert found.distances.tolist() == [distances]
    store.close()


def test_rows_that_do_not_fit_change_nothing(store):
    fill(store, 3)
    one = torch.zeros(1, SIZE)
    complaint(lambda: store.upsert(["x"], torch.zeros(1, SIZE - 1), ["a"]), f"[1, {SIZE - 1}]")
    complaint(lambda: store.upsert(["x"], torch.zeros(SIZE), ["a"]), f"[{SIZE}]", f"{SIZE} dim")
    complaint(lambda: store.upsert(["x", "y"], one, ["a"]), "2 ids, 1 embeddings, 1 categories")
    complaint(lambda: store.upsert(["x"], one, []), "0 categories")
    complaint(lambda: store.upsert(["x", "x"], one.repeat(2, 1), ["a", "a"]), "'x'", "twice")
    complaint(lambda: store.upsert(["x"], one / 0, ["a"]), "not finite")
    # FAISS found one id twice, the others any order
    complaint(lambda: store.upsert(["x"], one - 1e19, ["a"]), "not finite, or beyond 1e15")
    complaint(lambda: store.upsert([1], one, ["a"]), "the id 1 is no text")
    complaint(lambda: store.upsert([["x"]], one, ["a"]), "the id ['x'] is no text")
    complaint(lambda: store.upsert(["x"], one, [None]), "the category None is no text")
    complaint(lambda: store.delete([b"x"]), "the id b'x' is no text")
    complaint(lambda: store.upsert([""], one, ["a"]), "id '' has 0 bytes: 1 to 4096 without NUL")
    complaint(lambda: store.upsert(["é" * 2049], one, ["a"]), "id", "4098 bytes")
    complaint(lambda: store.upsert(["x"], one, ["y" * 4097]), "category", "4097 bytes")
    complaint(lambda: store.upsert(["a\0b"], one, ["a"]), "NUL")
    complaint(lambda: store.upsert(["\udcff.jpg"], one, ["a"]), "udcff", "rename it")
    assert len(store) == 3


def test_rows_may_need_gradients_and_other_types(store):
    rows = torch.eye(SIZE)
    store.upsert(iter(["a", "b"]), rows[:2].double().requires_grad_(), iter(["", ""]))
    store.upsert(["c"], rows[2:3].bfloat16(), [""])
    store.upsert([], torch.zeros(0, SIZE), [])
    for name, row in zip("abc", rows, strict=False):
        assert store.search(row.requires_grad_(), 1).ids == ((name,),)


# What is kept


def test_other_weights_and_dimensions_are_refused(store, tmp_path, kind):
    fill(store, 2)
    store.close()
    complaint(lambda: opened(tmp_path, kind, "other"), "store.", "other weights")
    complaint(lambda: opened(tmp_path, kind, "abc", SIZE + 1), f"{SIZE} dim", SIZE + 1)
    assert len(opened(tmp_path, kind)) == 2


def test_the_fingerprint_of_an_encoder_fits_and_its_size_counts(tmp_path, kind):
    """The same weights at another size are another encoder, and so is one without a size.

    Until f519cf9 a store was made by weights alone: nobody knows at which size.
    """
    encoder = sized(build_encoder("article", SIZE).eval(), 32)
    for made, others in (
        (fingerprint(encoder), (weights_hash(encoder), fingerprint(sized(encoder, 40)))),
        (weights_hash(encoder), (fingerprint(sized(encoder, 32)),)),
    ):
        folder = tmp_path / made
        store = opened(folder, kind, made)
        assert store.made_by == made
        fill(store, 2)
        store.close()
        for other in others:
            complaint(
                partial(opened, folder, kind, other),
                "other weights, or at another picture size",
                "fill a new store",
            )


def test_killed_after_a_change_returned(tmp_path, kind):
    """`kill -9` with the store open: the next process finds every row.

    The exact store is opened where no optional package is, and needs none.
    """
    end, index = KINDS[kind]
    missing = ["faiss", "pymilvus", "milvus_lite"] if kind == "exact" else []
    code = f"""
import sys, time
sys.modules |= dict.fromkeys({missing})
import torch
from fashionlib.stores import open_store
store = open_store({str(tmp_path / f"store{end}")!r}, "abc", {SIZE}, {index!r})
store.upsert([f"n{{n}}" for n in range(300)], torch.eye({SIZE})[torch.arange(300) % 8], ["a"] * 300)
store.delete(["n0", "n8"])
print("done", flush=True)
time.sleep(100)
"""
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"done\n"
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    store = opened(tmp_path, kind)
    found = store.search(torch.eye(SIZE)[0], 2)
    assert len(store) == 298
    assert found.ids == (("n104", "n112"),)
    assert found.distances.tolist() == [[0.0, 0.0]]
    store.close()


WRITER = """
import sys, torch
from fashionlib.errors import FashionError
from fashionlib.stores import open_store
store = open_store(sys.argv[1], "abc", 8)
print(len(store), flush=True)
for line in sys.stdin:
    try:
        store.upsert([line.strip()], torch.ones(1, 8), [""])
        print("kept", flush=True)
    except FashionError as error:
        print(error, flush=True)
"""


@pytest.mark.parametrize("suffix", ["safetensors", "faiss"])
@pytest.mark.parametrize("link", [False, True])
def test_two_writers_lose_nothing_that_was_acknowledged(tmp_path, suffix, link):
    """The second is refused while the first has the store open; what that wrote, it then keeps.

    Also where it is another user's, with another cache, or comes by a link.
    """
    path = theirs = tmp_path / f"store.{suffix}"
    if link:
        theirs = tmp_path / f"link.{suffix}"
        theirs.symlink_to(path.name)
    mine = open_store(str(path), "abc", 8)
    elsewhere = os.environ | {"FASHIONLIB_CACHE": str(tmp_path / "cache")}
    other = subprocess.Popen([sys.executable, "-c", WRITER, str(theirs)], text=True, env=elsewhere,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip

    def others(name: str) -> str:
        other.stdin.write(f"{name}\n")
        other.stdin.flush()
        return other.stdout.readline()

    with other:
        assert other.stdout.readline() == "0\n"
        mine.upsert(["mine"], torch.zeros(1, 8), [""])
        assert "is being changed by another process" in others("refused")
        mine.close()
        assert others("theirs") == "kept\n"
        complaint(lambda: mine.delete(["mine"]), "another process", path)
        other.stdin.close()
    mine.upsert(["again"], torch.zeros(1, 8), [""])
    again = open_store(str(path), "abc", 8)  # who only reads may open it meanwhile
    assert set(again.search(torch.zeros(8), 9).ids[0]) == {"mine", "theirs", "again"}


@pytest.mark.parametrize("kind", FILES)
def test_a_change_that_could_not_read_the_file_does_not_write_over_it_the_next_time(tmp_path, kind):
    """A disk gave wrong bytes once, the change was tried again: 50 rows of another were lost."""
    mine, theirs = opened(tmp_path, kind), opened(tmp_path, kind)
    fill(theirs, 50)
    theirs.close()
    whole = theirs.path.read_bytes()
    theirs.path.write_bytes(whole[:-1])
    complaint(lambda: mine.upsert(["new"], vectors(1), [""]), theirs.path)
    theirs.path.write_bytes(whole)
    mine.upsert(["new"], vectors(1), [""])
    mine.close()
    assert len(opened(tmp_path, kind)) == 51
    theirs.path.unlink()
    opened(tmp_path, kind, "another").close()
    whole = theirs.path.read_bytes()
    for _ in range(2):
        complaint(lambda: mine.upsert(["more"], vectors(1), [""]), "other weights")
    assert theirs.path.read_bytes() == whole


@pytest.mark.parametrize("kind", FILES)
def test_a_store_that_came_by_a_fork_is_another_writer(tmp_path, kind):
    store, reader, writer = opened(tmp_path, kind), *os.pipe()
    store.upsert(["mine"], vectors(1), [""])
    if os.fork() == 0:
        try:
            store.upsert(["theirs"], vectors(1), [""])
        except FashionError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    assert b"is being changed by another process" in os.read(reader, 999)
    os.wait()
    store.upsert(["mine too"], vectors(1), [""])
    store.close()
    assert len(opened(tmp_path, kind)) == 2


@pytest.mark.parametrize("kind", FILES)
def test_a_store_that_another_process_made_meanwhile_is_not_made_anew(tmp_path, kind, monkeypatch):
    """Between the look whether it is there and the lock."""
    own = common.FileStore._own

    def late(store: common.FileStore) -> None:
        monkeypatch.setattr(common.FileStore, "_own", own)
        other = opened(tmp_path, kind)
        fill(other, 3)
        other.close()
        own(store)

    monkeypatch.setattr(common.FileStore, "_own", late)
    assert len(opened(tmp_path, kind)) == len(opened(tmp_path, kind)) == 3


@pytest.mark.parametrize("suffix", ["safetensors", "faiss"])
def test_the_threads_of_a_service_are_one_writer(tmp_path, suffix):
    store = open_store(str(tmp_path / f"store.{suffix}"), "abc", 8)
    store.upsert(["first"], torch.zeros(1, 8), [""])
    with ThreadPoolExecutor(1) as pool:
        pool.submit(store.upsert, ["second"], torch.ones(1, 8), [""]).result()
        assert set(store.search(torch.zeros(8), 9).ids[0]) == {"first", "second"}
        store.close()  # by another than the one that changed it last
    other = open_store(str(tmp_path / f"store.{suffix}"), "abc", 8)
    other.upsert(["third"], torch.ones(1, 8), [""])  # what it held is free
    assert len(other) == 3


@pytest.mark.parametrize("kind", FILES)
def test_a_store_that_is_a_link_is_the_one_it_leads_to(tmp_path, kind):
    (tmp_path / "real").mkdir()
    name = f"store{KINDS[kind][0]}"
    (tmp_path / name).symlink_to(tmp_path / "real" / name)
    fill(opened(tmp_path, kind), 5)
    assert (tmp_path / name).is_symlink()
    assert len(opened(tmp_path / "real", kind)) == 5


def test_any_user_of_the_folder_may_lock_a_store(tmp_path):
    fill(opened(tmp_path, "exact"), 1)
    assert (tmp_path / ".store.safetensors.lock").stat().st_mode & 0o777 == 0o666


def test_a_missing_part_of_a_milvus_folder_is_named(tmp_path, capfd):
    """It opened with 5 of 1,205 rows."""
    store = opened(tmp_path, "milvus")
    store.upsert([f"n{n}" for n in range(1200)], torch.randn(1200, SIZE), [""] * 1200)
    store.upsert(["one"], torch.randn(1, SIZE), [""])
    store.close()
    part = max((tmp_path / "store.db").rglob("*.parquet"), key=lambda path: path.stat().st_size)
    kept = part.read_bytes()
    part.unlink()
    complaint(lambda: opened(tmp_path, "milvus"), f"its part data/{part.name} is missing")
    part.write_bytes(kept)
    again = opened(tmp_path, "milvus")
    assert len(again) == 1201
    again.close()
    (manifest,) = (tmp_path / "store.db").rglob("manifest.json")
    kept = manifest.read_bytes()
    for damage in (lambda: manifest.write_bytes(b"{"), manifest.unlink,
                   manifest.with_name("manifest.json.prev").unlink):  # fmt: skip
        damage()  # Milvus Lite would take the one before, with 1,200 rows, or begin anew
        complaint(lambda: opened(tmp_path, "milvus"), "its part manifest.json is missing or damag")
    manifest.write_bytes(kept)
    schema, data = manifest.with_name("schema.json"), part.read_bytes()
    for path, damage in ((schema, b""), (schema, b"{"), (part, b"")):
        whole = path.read_bytes()
        path.write_bytes(damage)
        complaint(lambda: opened(tmp_path, "milvus"), f"{path.name} is missing or damaged")
        path.write_bytes(whole)
    schema.rename(tmp_path / "schema.json")
    complaint(lambda: opened(tmp_path, "milvus"), "its part schema.json is missing")
    (tmp_path / "schema.json").rename(schema)
    part.write_bytes(data[:500])
    complaint(lambda: opened(tmp_path, "milvus"), "store.db did not")
    assert "Traceback" not in capfd.readouterr().err
    part.write_bytes(data)
    again = opened(tmp_path, "milvus")
    assert len(again) == 1201
    again.close()


def test_a_relative_path_stays_where_it_was(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    end, index = KINDS[kind]
    store = open_store(Path(f"store{end}"), "abc", SIZE, index)
    monkeypatch.chdir(tmp_path / "elsewhere")
    fill(store, 5)
    store.close()
    assert not list((tmp_path / "elsewhere").iterdir())
    again = opened(tmp_path, kind)
    assert len(again) == 5
    again.close()


@pytest.mark.parametrize("kind", FILES)
def test_an_interrupted_save_leaves_the_old_file_and_the_old_rows(tmp_path, kind, monkeypatch):
    store = opened(tmp_path, kind)
    fill(store, 8)
    before = store.path.read_bytes()

    def full(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(weights, "save_file", full)
        complaint(lambda: store.upsert(["x"], vectors(1), ["a"]), "No space left")
        complaint(lambda: store.delete([f"n{n:03}" for n in range(6)]), "No space left")
    assert store.path.read_bytes() == before
    lock = f".{store.path.name}.lock"
    assert {entry.name for entry in tmp_path.iterdir()} == {store.path.name, lock}
    assert len(store) == len(opened(tmp_path, kind)) == 8
    assert "x" not in store.search(vectors(1), 20).ids[0]
    store.upsert(["x"], vectors(1), ["a"])
    assert len(opened(tmp_path, kind)) == 9


@pytest.mark.parametrize("kind", FILES)
def test_a_change_that_is_stopped_is_nowhere(tmp_path, kind, monkeypatch):
    """Ctrl-C while the file is written: the row is not in memory, to be written the next time."""
    store = opened(tmp_path, kind)
    fill(store, 8)

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(weights, "save_file", stopped)
        with pytest.raises(KeyboardInterrupt):
            store.upsert(["x"], vectors(1), ["a"])
    assert len(store) == 8
    store.delete(["n000"])
    assert len(opened(tmp_path, kind)) == 7


@pytest.mark.parametrize("kind", FILES)
def test_files_that_hold_no_such_store(tmp_path, kind):
    path = tmp_path / f"store{KINDS[kind][0]}"
    path.write_bytes(b"nonsense")
    complaint(lambda: opened(tmp_path, kind), path, "not a whole")
    save_tensors(path, {"x": torch.zeros(1)}, {"kind": "encoder"})
    complaint(lambda: opened(tmp_path, kind), path, "store", "another name")
    path.unlink()
    fill(opened(tmp_path, kind), 30)
    path.write_bytes(path.read_bytes()[:-20])
    complaint(lambda: opened(tmp_path, kind), path, "not a whole")
    path.unlink()
    path.mkdir()
    complaint(lambda: opened(tmp_path, kind), path)


def test_a_faiss_index_that_is_damaged(tmp_path):
    store = opened(tmp_path, "faiss flat")
    fill(store, 30)
    tensors, metadata = weights.load_tensors(store.path)
    save_tensors(store.path, tensors | {"index": tensors["index"][:50]}, metadata)
    complaint(lambda: opened(tmp_path, "faiss flat"), store.path, "damaged")
    save_tensors(store.path, tensors | {"alive": tensors["alive"][1:].clone()}, metadata)
    complaint(lambda: opened(tmp_path, "faiss flat"), store.path, "damaged")
    for part in ("ids", "categories"):
        save_tensors(store.path, tensors, metadata | {part: metadata[part][1:]})
        complaint(lambda: opened(tmp_path, "faiss flat"), store.path, "damaged")


@pytest.mark.parametrize(
    ("kind", "tensor", "change"),
    [
        ("exact", "embeddings", torch.Tensor.double),
        ("faiss flat", "alive", torch.Tensor.float),
        ("faiss flat", "alive", lambda alive: alive[:, None].clone()),
        ("faiss flat", "index", torch.Tensor.long),
        *((kind, "", ids) for kind in FILES for ids in ([1, 2], [[1], [2]], [None, None], "ab")),
    ],
)
def test_a_file_that_is_whole_and_no_store(tmp_path, kind, tensor, change):
    store = opened(tmp_path, kind)
    fill(store, 2)
    tensors, metadata = weights.load_tensors(store.path)
    if tensor:
        tensors |= {tensor: change(tensors[tensor])}
    else:
        metadata |= {"ids": change}
    save_tensors(store.path, tensors, metadata)
    complaint(lambda: opened(tmp_path, kind), store.path, "is damaged")


def test_an_index_file_without_categories_is_no_store(tmp_path):
    path = tmp_path / "store.safetensors"
    SearchIndex(vectors(2), ("a", "b"), "abc").save(path)
    complaint(lambda: opened(tmp_path, "exact"), path, "no store")


def test_the_file_of_an_exact_store_is_an_index(tmp_path):
    """Chapter 4's `SearchIndex.load` reads it."""
    encoder = build_encoder("article", SIZE).eval()
    store = opened(tmp_path, "exact", fingerprint(encoder))
    rows = fill(store, 9)
    index = SearchIndex.load(store.path, encoder)
    assert index.search(rows[:4], 3).ids == store.search(rows[:4], 3).ids


# Which store


def test_a_store_of_no_dimensions(tmp_path, kind):
    for dimensions in (0, -1):
        complaint(lambda n=dimensions: opened(tmp_path, kind, dimensions=n), "at least 1")
    assert not list(tmp_path.iterdir())


def test_uris_that_name_no_store(tmp_path):
    for uri in ("store", "store.db.txt", "ftp://host", "localhost:19530", ""):
        complaint(lambda uri=uri: open_store(uri, "abc", SIZE), uri, ".safetensors, .faiss or .db")
    place = tmp_path / "x"
    complaint(lambda: open_store(f"{place}.safetensors", "abc", SIZE, "hnsw"), "exactly")
    complaint(lambda: open_store(f"{place}.faiss", "abc", SIZE, "ivf"), "'ivf'", "flat, hnsw")
    complaint(lambda: open_store(f"{place}.faiss", "", SIZE), "fingerprint")
    complaint(lambda: open_store(f"{place}.faiss", "a-b c", SIZE), "a-b c")
    assert not list(tmp_path.iterdir())


def test_a_file_may_be_called_like_the_beginning_of_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    open_store("https.safetensors", "abc", SIZE).close()
    assert (tmp_path / "https.safetensors").is_file()


def test_a_place_that_cannot_be_written(tmp_path, kind):
    (tmp_path / "file").write_text("in the way")
    complaint(lambda: opened(tmp_path / "file", kind), "file", "could not")
    end, index = KINDS[kind]
    complaint(lambda: open_store(f"{tmp_path / ('x' * 300)}{end}", "abc", SIZE, index), "xxx")


def test_an_index_of_another_kind(tmp_path):
    opened(tmp_path, "faiss hnsw")
    complaint(lambda: opened(tmp_path, "faiss flat"), "hnsw", "index='hnsw'")


def test_without_faiss(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    message = complaint(lambda: opened(tmp_path, "faiss flat"), "faiss is missing")
    assert 'pip install "fashionlib[stores]"' in message
    assert not list(tmp_path.iterdir())
    opened(tmp_path, "exact").close()


# Inside


def test_a_faiss_index_is_built_anew_when_most_rows_are_gone(tmp_path):
    for kind in KINDS_OF_FAISS:
        store = opened(tmp_path, kind)
        rows = fill(store, 40)
        sizes = []
        for start in range(0, 40, 8):
            store.delete([f"n{n:03}" for n in range(start, start + 8)])
            sizes.append((len(store), store._index.ntotal))
        assert sizes == [(32, 40), (24, 40), (16, 16), (8, 16), (0, 0)]
        store.upsert(["x"], rows[:1], ["a"])
        assert store.search(rows[0], 3).ids == (("x",),)
        store.close()
        store.path.unlink()


def test_a_walk_that_ends_too_early_is_made_good(tmp_path, monkeypatch):
    """All rows are compared that are still there, and k results come."""
    store = opened(tmp_path, "faiss hnsw")
    rows = fill(store, 50)
    gone = [f"n{n:03}" for n in range(3)]  # the nearest of each query
    store.delete(gone)
    search = faiss.IndexHNSWFlat.search

    def lost(self, queries, width, params=None):
        distances, found = search(self, queries, width, params=params)
        found[1, 3:] = -1
        return distances, found

    monkeypatch.setattr(faiss.IndexHNSWFlat, "search", lost)
    index = SearchIndex(rows, tuple(f"n{n:03}" for n in range(50)), "abc").remove(gone)
    assert store.search(rows[:3], 5).ids == index.search(rows[:3], 5).ids


def test_a_graph_is_built_and_walked_as_far_as_we_say(tmp_path, monkeypatch):
    """FAISS alone keeps 40 candidates where it builds, and as many as are asked for in a walk."""
    for _ in ("made", "read"):
        store = opened(tmp_path, "faiss hnsw")
        assert store._index.hnsw.efConstruction == 80
        assert store._index.hnsw.nb_neighbors(1) == 32
    fill(store, 300)
    walks, search = [], faiss.IndexHNSWFlat.search

    def watched(self, queries, width, params=None):
        walks.append((width, params.efSearch))
        return search(self, queries, width, params=params)

    monkeypatch.setattr(faiss.IndexHNSWFlat, "search", watched)
    for k in (5, 200):
        store.search(vectors(1, seed=1), k)
    assert walks == [(15, 128), (210, 420)]


def test_rows_that_faiss_cannot_measure_are_nobodys(tmp_path, monkeypatch):
    """From a store of old: where FAISS answers -1, that was the last id."""
    for kind in KINDS_OF_FAISS:
        store = opened(tmp_path, kind)
        with monkeypatch.context() as patch:
            patch.setattr(common, "check_numbers", lambda *_: None)
            fill(store, 3)
            store.upsert(["x", "y"], torch.full((2, SIZE), 1e30), ["a", "a"])
        (found,) = store.search(vectors(1), 9).ids
        assert found[:1] == ("n000",)
        assert len(set(found)) == len(found)
        store.close()
        store.path.unlink()


def test_hnsw_finds_nearly_all_of_the_nearest_and_is_exact_within_a_category(tmp_path):
    """In 64 dimensions, where a walk through all rows would find few of a rare category."""
    generator = torch.Generator().manual_seed(0)
    rows, queries = torch.randn(2, 3000, 64, generator=generator)
    queries = queries[:100]
    names = [f"{n:04}" for n in range(3000)]
    kinds = ["rare" if n % 30 == 0 else "common" for n in range(3000)]
    flat, graph = (opened(tmp_path / kind, kind, dimensions=64) for kind in KINDS_OF_FAISS)
    for store in (flat, graph):
        store.upsert(names, rows, kinds)
    expected, found = flat.search(queries, 10).ids, graph.search(queries, 10).ids
    pairs = list(zip(expected, found, strict=True))
    recall = np.mean([len({*one} & {*other}) / 10 for one, other in pairs])
    assert 0.8 < recall < 1.0, "a graph misses some, where all are about as far from each other"
    for kind in ("rare", "common"):
        assert graph.search(queries, 10, kind).ids == flat.search(queries, 10, kind).ids


def test_candidates_that_differ_by_rounding_alone_are_asked_for_again():
    """An engine that gives the farther of two rows, whose distances differ by a rounding."""
    rows = torch.zeros(64, 2)
    rows[:, 0] = 1 - 1e-7 * torch.arange(64)  # the last is the nearest
    names = [f"{n:02}" for n in range(64)]
    widths = []

    def fetch(queries, width):
        widths.append(width)
        return [(names[:width], rows[:width]) for _ in queries]

    found = search_settled(fetch, torch.zeros(1, 2), 1)
    assert found.ids == (("63",),)
    assert widths == [1 + common.SPARE, 22, 44, 88]


def test_only_unsettled_queries_are_asked_again():
    tied, spread = torch.zeros(40, 1), torch.arange(40.0)[:, None]
    names, asked = [f"{n:02}" for n in range(40)], []

    def fetch(queries, width):
        asked.append(queries[:, 0].tolist())
        return [(names[:width], (tied if q == 5 else spread)[:width]) for q in queries[:, 0]]

    found = search_settled(fetch, torch.tensor([[0.0], [5.0], [0.0]]), 2)
    assert asked == [[0, 5, 0], [5], [5]]
    assert found.ids == (("00", "01"),) * 3


def test_an_engine_that_finds_less_for_one_query():
    def fetch(queries, width):
        return [(("a", "b")[: n + 1], torch.zeros(n + 1, 1)) for n in range(len(queries))]

    complaint(lambda: search_settled(fetch, torch.zeros(2, 1), 2), "flat index")


def test_the_longest_path_that_linux_takes_is_an_id(store):
    longest = "é" * 2048  # of two bytes each
    store.upsert([longest], torch.ones(1, SIZE), [longest])
    assert store.search(torch.ones(1, SIZE), 1, category=longest).ids == ((longest,),)
