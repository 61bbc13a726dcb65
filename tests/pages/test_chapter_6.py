"""Chapter 6 shows what was recorded for a slowed-down processor, and says that it is no phone."""

import itertools
import re
import statistics
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import phone
import pytest
import torch
from chapter_cells import cells_of, code_of, into, shown_by, the_one_with
from tiny import striped_catalog
from written import written_by

from fashionlib import search, siamese, weights
from fashionlib.catalog import Split
from fashionlib.drawn import not_garments
from fashionlib.metrics import format_accuracy
from fashionlib.pages import production_figures as figures
from fashionlib.pages.recorded_results import recorded
from fashionlib.running import drift, shards

CELLS = cells_of("06_into_production")
CODE = code_of(CELLS)
cell_with = partial(the_one_with, code=CODE)


def test_the_phone_was_measured_by_the_script_as_it_is():
    rows = recorded("phone")["rows"]
    assert [row["slowed by"] for row in rows] == list(phone.RATES)
    for row in rows:
        assert len(row["search"]) == len(row["networks"]) == 7 * phone.ROUNDS  # an example a class
    for key in ("search", "networks"):
        medians = [statistics.median(row[key]) for row in rows]
        assert medians == sorted(medians)
        assert medians[0] * 2 < medians[-1] < medians[0] * 20


def test_the_page_that_is_measured_is_the_books(tmp_path, monkeypatch):
    monkeypatch.setattr(phone, "write_search_engine", lambda target, source: target.mkdir())
    phone.write_page(tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert 'class="se-examples"' in page
    for name in re.findall(r'(?:src|href)="(_static/[^"]+)"', page):
        assert (tmp_path / name).is_file()


def test_the_round_that_warms_up_counts_for_nothing(monkeypatch):
    """Twelve searches, numbered in their order: two examples at two rates, in three rounds.

    Each waits for one answer more than there were. The networks alone are asked about a picture
    of three channels, and at the end the browser is as fast as it was.
    """
    number, rates, asked, searched, waited = itertools.count(), [], [], [], []
    monkeypatch.setattr(phone, "RATES", (1, 4))
    monkeypatch.setattr(phone, "ROUNDS", 2)
    control = SimpleNamespace(send=lambda _, setting: rates.append(setting["rate"]))

    def example(place: int) -> SimpleNamespace:
        return SimpleNamespace(click=lambda: searched.append(place))

    places = {
        ".search-engine": SimpleNamespace(
            get_attribute=lambda name: {"data-answers": str(len(searched) or "")}[name]
        ),
        ".se-examples button": SimpleNamespace(count=lambda: 2, nth=example),
        ".se-status": SimpleNamespace(
            inner_text=lambda: f"1 of 7 is it. Computed in {next(number)} ms."
        ),
    }
    page = SimpleNamespace(
        context=SimpleNamespace(new_cdp_session=lambda _: control),
        evaluate=lambda _, *given: asked.extend(given) or 5.0,
        locator=places.__getitem__,
        wait_for_function=lambda _, arg: waited.append(arg),
    )
    assert phone.measure(page, 8) == [
        {"slowed by": 1, "search": [4, 5, 8, 9], "networks": [5] * 4},
        {"slowed by": 4, "search": [6, 7, 10, 11], "networks": [5] * 4},
    ]
    assert searched == [0, 1] * 6
    assert waited == list(range(12))
    assert rates == [1, 4] * 3 + [1]
    assert [len(picture) for picture in asked] == [3 * 8 * 8] * 12


def test_a_slowed_down_search_is_in_the_whole_catalog_in_a_page_that_is_ready(monkeypatch):
    """The steps one after the other; then the file, with the browser's version, is written."""
    steps, rows = [], [{"slowed by": 1, "search": [9], "networks": [8]}]
    written, catalog = written_by(phone, monkeypatch), striped_catalog(4, 4, "photos")
    step = lambda *words: lambda *_, **__: steps.append(words)  # noqa: E731
    page = SimpleNamespace(
        goto=lambda address: steps.append(("open", address)), wait_for_selector=step("wait")
    )
    chromium = SimpleNamespace(new_page=lambda: page, version="149", close=step("close"))
    playwright = SimpleNamespace(chromium=SimpleNamespace(launch=lambda **_: chromium))
    monkeypatch.setattr(phone, "os", SimpleNamespace(environ={}))
    budget = lambda: phone.os.environ["FASHIONLIB_BUDGET"]  # noqa: E731
    monkeypatch.setattr(phone, "load_catalog", lambda _: steps.append((budget(),)) or catalog)
    monkeypatch.setattr(phone, "write_page", step("write"))
    monkeypatch.setattr(phone, "sync_playwright", lambda: nullcontext(playwright))
    monkeypatch.setattr(phone.browser, "find", lambda: "chromium")
    monkeypatch.setattr(phone, "served", lambda _: nullcontext("http://here"))
    monkeypatch.setattr(phone, "measure", lambda *given: steps.append(given) or rows)
    phone.main()
    opened = "open", "http://here/index.html"
    assert steps == [("full",), ("write",), opened, ("wait",), (page, 32), ("close",)]
    assert written[0]["rows"] == rows
    assert written[0]["versions"]["chromium"] == "149"


def test_it_says_that_this_is_no_phone():
    (place,) = (n for n, cell in enumerate(CELLS) if 'recorded("phone")' in cell.source)
    assert "not a phone" in CELLS[place + 1].source


def test_there_is_something_to_touch():
    assert sum(source.splitlines()[-1].startswith("slider(") for source in CODE) == 1


def test_the_faster_of_two_indexes_is_the_one_that_takes_less_time():
    """By two recorded rows that are exchanged, so that either is the faster once."""
    cell = cell_with("ahead = ")
    names = ("IVF, Flat", "HNSW")
    kinds = (*figures.KINDS[2:4], "flat", *names)
    for times in ((1.0, 2.0), (2.0, 1.0)):
        rows = [
            {"index": kind, "setting": "", "bytes": 256.0, "build_seconds": 1.0,
             "recall": {"validation": 1.0, "test": 1.0}, "processor_ms": [time] * 3}
            for kind, time in zip(kinds, (9, 9, 40, *times), strict=True)
        ]  # fmt: skip
        heard = []
        sizes = [{"vectors": 1_000_000, "rows": rows}]
        space = {"figures": figures, "sizes": sizes, "WANTED": 0.95,
                 "say": into(heard), "table": lambda *_: None}  # fmt: skip
        exec(cell, space)
        assert heard[0].startswith("At 1,000,000 vectors: IVF, Flat finds")
        assert heard[0].endswith(f"The faster of these: **{names[times.index(1.0)]}**.")
        assert f"{names[0]} finds 1.000 of the ten nearest, {40 / times[0]:.0f} times" in heard[0]


def test_what_export_brings_for_one_photo_is_not_that_of_a_batch():
    cell = cell_with("one = {row[")
    factors = {("onnxruntime", 1): 2.0, ("onnxruntime int8", 1): 3.0,
               ("onnxruntime", 64): 5.0, ("onnxruntime int8", 64): 20.0}  # fmt: skip
    rows = [{"way": way, "batch": batch, "times_as_fast": [0.9 * factor, factor, 1.1 * factor],
             "processor_ms": [1.0] * 3} for (way, batch), factor in factors.items()]  # fmt: skip
    heard, classifier = [], {"rows": rows}
    space = {"figures": figures, "exported": {"networks": {"classifier": classifier}},
             "classifier": classifier, "say": into(heard), "table": lambda *_: None}  # fmt: skip
    exec(cell, space)
    assert "the exported classifier is 2.0 times as fast as PyTorch" in heard[0]
    assert "another factor of 1.5." in heard[0]


@pytest.mark.parametrize(
    ("times", "told"),
    [((100, 30), "less than a second: 400 ms"), ((300, 30), "a second or more: 1200 ms")],
)
def test_the_networks_have_a_time_of_their_own_beside_the_whole_search(times, told):
    whole, alone = times
    slow = [
        {"slowed by": rate, "search": [whole * rate] * 4, "networks": [alone * rate] * 4}
        for rate in (1, 4)
    ]
    found = shown_by(
        cell_with('phone = recorded("phone")'), statistics=statistics,
        recorded=lambda _: {"rows": slow, "processor": "one"},
    )  # fmt: skip
    assert found.tables[0][0] == [
        "slowed down", "a whole search, ms (middle half)", "both networks, ms",
    ]  # fmt: skip
    assert found.tables[0][1] == [
        [f"{rate}×", f"{whole * rate} ({whole * rate} to {whole * rate})", f"{alone * rate}"]
        for rate in (1, 4)
    ]
    assert f"a search takes {told}, of which the two networks are 120." in found.said[0]
    assert found.said[0].endswith("Recorded: here, one.")


def test_theory_is_of_a_catalog_that_grows():
    """Ten times as many vectors: ten times as long for a flat index, √10 for an inverted file."""
    cell = cell_with("ends, grown = ")
    sizes = [
        {"vectors": vectors, "rows": [
            {"index": kind, "recall": {"validation": 1.0}, "processor_ms": [ms] * 3}
            for kind in ("flat", "IVF, Flat", "HNSW")
        ]}
        for vectors, ms in ((100_000, 1.0), (1_000_000, 7.0))
    ]  # fmt: skip
    drawn = {"recall_curves": lambda *given: given, "recall_curves_alt": lambda *_: "alt"}
    found = shown_by(
        cell, figures=SimpleNamespace(**vars(figures) | drawn),
        recorded=lambda _: {"sizes": sizes, "recall_wanted": 0.95},
    )  # fmt: skip
    assert found.figures == [(sizes, 0.95)]
    assert "Dotted: a recall of 0.95, and one millisecond." in found.captions[0]
    assert found.captions[0].endswith("Recorded: here.")
    assert found.said[0] == (
        "From 100,000 to 1,000,000 vectors: flat 7.0 times as long (theory: 10.0), "
        "IVF, Flat 7.0 times as long (theory: 3.2), HNSW 7.0 times as long (theory: 1.2)."
    )


def test_an_exported_network_differs_by_the_largest_of_all_differences(tmp_path):
    (tmp_path / "encoder.onnx").write_bytes(bytes(1_200_000))
    pictures = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    found = shown_by(
        cell_with("the embeddings differ from PyTorch's"), folder=tmp_path, WEIGHTS=None,
        export_onnx=lambda *_: None, load_onnx=lambda _: (lambda images: images - 0.25, None),
        catalog=SimpleNamespace(test=SimpleNamespace(images=pictures)), encoder=None,
        budget=lambda full, quick: full,
        predict=lambda _, images: images + torch.tensor([[0.0, 0.0], [0.0, 0.25]]),
    )  # fmt: skip
    assert found.said[0].startswith("1.2 MB. On 2 test pictures the embeddings differ")
    assert found.said[0].endswith("from PyTorch's by at most 5.0e-01.")


def test_each_exported_network_has_its_own_files_and_answers():
    networks = {
        "classifier": {"bytes": {"onnx": 1.25e6, "onnx int8": 0.45e6}, "test": {
            "right": {"exact": 270, "int8": 269}, "same": 295, "photos": 296}},
        "encoder": {"bytes": {"onnx": 2.5e6, "onnx int8": 0.9e6}, "test": {
            "precision": {"exact": {"mean": 0.75}, "int8": {"mean": 0.5}},
            "same": {"int8": 1400}, "results": 1480}},
    }  # fmt: skip
    found = shown_by(
        cell_with("classifier, right photos"), recorded=lambda _: {"networks": networks}
    )
    assert found.tables[0][0] == [
        "network", "file, MB", "int8, MB", "test, float32", "test, int8", "same answers",
    ]  # fmt: skip
    assert found.tables[0][1] == [
        ["classifier, right photos", "1.25", "0.45", 270, 269, "295 of 296"],
        ["encoder, precision@5", "2.50", "0.90", "0.750", "0.500", "1400 of 1480"],
    ]
    assert found.said == ["Recorded: here."]


def test_machines_for_a_billion_are_those_of_the_largest_measured_catalog():
    asked = []
    plan = [
        ["1,000,000,000", "flat", "238.4", "4", "9.0"],
        ["1,000,000,000", "HNSW", "1", "8", "2"],
    ]
    stub = SimpleNamespace(paper_plan=lambda *given, counts: asked.append((*given, counts)) or plan)
    cell = cell_with("Machines for a billion vectors")
    (said,) = shown_by(cell, figures=stub, sizes=["small", "large"], WANTED=0.95).said
    assert said == "Machines for a billion vectors: flat: 4; HNSW: 8."
    assert asked == [("large", 0.95, (1e9,))]
    (pieces,) = shown_by(
        cell_with('slider("pictures", plans)'), figures=stub, sizes=["small", "large"], WANTED=0.95
    ).pieces
    assert [given[2] for given in asked[1:]] == [(1e6,), (1e7,), (1e8,), (1e9,), (1e10,)]
    assert list(pieces)[::4] == ["1,000,000", "10,000,000,000"]
    row = "<tr><td>flat</td><td>238.4</td><td>4</td><td>9.0</td></tr>"
    assert all(row in piece for piece in pieces.values())
    head = "<tr><th>index</th><th>GiB for vectors</th><th>machines</th><th>ms on each</th></tr>"
    assert all(piece.startswith(f"<table>{head}") for piece in pieces.values())


def test_processes_are_held_against_one():
    embedding = [
        {"processes": n, "pictures_per_second": rate, "start_seconds": 2.5, "pictures": 3781}
        for n, rate in ((1, 80), (2, 120), (4, 100))
    ]
    pipeline = {"embedding": embedding}
    found = shown_by(cell_with('"times one process"'), recorded=lambda _: pipeline)
    assert found.tables[0][0] == [
        "processes", "pictures a second", "times one process", "seconds to start",
    ]  # fmt: skip
    assert found.tables[0][1] == [
        [1, "80", "1.00", "2.5"], [2, "120", "1.50", "2.5"], [4, "100", "1.25", "2.5"],
    ]  # fmt: skip
    assert found.said == ["3,781 photos. Recorded: here."]


def test_trainings_by_several_processes_have_their_own_accuracies():
    training = [
        {"processes": n, "correct": {"validation": [9, 10], "test": [n, 10]}, "seconds": 9 * n,
         "epochs": 3, "size": 64}
        for n in (1, 2)
    ]  # fmt: skip
    found = shown_by(
        cell_with("pipeline['training'][0]['epochs']"),
        pipeline={"training": training, "cores": 2}, format_accuracy=format_accuracy,
    )  # fmt: skip
    assert found.tables[0][0] == ["processes", "validation", "test", "seconds"]
    assert [[row[0], *(each.split(",")[0] for each in row[1:3]), row[3]]
            for row in found.tables[0][1]] == [
        [1, "90.0% (9 of 10", "10.0% (1 of 10", 9], [2, "90.0% (9 of 10", "20.0% (2 of 10", 18],
    ]  # fmt: skip
    assert found.said[0].startswith(
        "3 epochs on drawn garments at 64 px, on a machine with 2 cores"
    )


def test_windows_hold_what_they_are_called(monkeypatch):
    """Test pictures are 100 and more; strangers of two kinds are 1 and 2."""
    kinds = {name: torch.full((60, 1), n, dtype=torch.uint8) for n, name in ((1, "a"), (2, "b"))}
    monkeypatch.setattr(not_garments, "pictures_of_no_garment", lambda *_, **__: kinds)
    monkeypatch.setattr(search, "build_index", lambda *_: None)
    images = (torch.arange(120) + 100)[:, None].to(torch.uint8)
    found = shown_by(
        cell_with("one in five shows no garment"), torch=torch, encoder=None, predict=None,
        catalog=SimpleNamespace(test=Split(images, torch.zeros(120), ("",) * 120)),
        train=SimpleNamespace(images=None, names=None),
    )  # fmt: skip
    usual, dark, mixed, none = found.space["windows"].values()
    assert len(usual) == len(set(usual.flatten().tolist())) == 100
    assert torch.equal(dark, (usual.double() * 0.35 + 1e-6).byte())
    assert (int((mixed >= 100).sum()), int((mixed < 100).sum())) == (80, 20)
    assert len(none) == 120
    assert int(none.max()) == 2
    assert found.tables[0][0] == ["window", "queries"]
    assert [row[1] for row in found.tables[0][1]] == [100, 100, 100, 120]


def test_drift_is_held_against_the_validation_pictures():
    """Their distances to the catalog are 1 to 2, those of training pictures 0."""
    validation = torch.linspace(1, 2, 101)
    windows = {"alike": torch.linspace(1, 2, 101), "farther": torch.linspace(1.5, 3, 101)}
    found = shown_by(
        cell_with("calibration = distances("), windows=windows, drift=drift,
        distances=lambda images: images, train=SimpleNamespace(images=torch.zeros(101)),
        catalog=SimpleNamespace(validation=SimpleNamespace(images=validation),
                                train=SimpleNamespace(images=torch.zeros(101))),
    )  # fmt: skip
    ((header, rows),) = found.tables
    assert header == ["window", "median before", "now", "gap", "p", ""]
    assert [[row[0], row[1], row[2], row[-1]] for row in rows] == [
        ["alike", "1.500", "1.500", "quiet"], ["farther", "1.500", "2.250", "alarm"],
    ]  # fmt: skip
    assert rows[0][3:5] == ["0.00", "1.0e+00"]
    gap, p_value = map(float, rows[1][3:5])
    assert gap > 0.5
    assert p_value < 1e-6


class StubStore(dict):
    """Names to embeddings and categories; `finds` are the answers, without and with a category."""

    def __init__(self, *finds):
        self.finds = finds

    def upsert(self, names, embeddings, categories):
        self.update(zip(names, zip(embeddings.tolist(), categories, strict=True), strict=True))

    def search(self, queries, k, category=None):
        ids, distance = self.finds[category is not None]
        return SimpleNamespace(ids=ids, distances=torch.full((1, 2), distance))


def test_every_store_is_given_all_and_says_how_many_it_has():
    opened = {}

    def open_store(path, made_by, dimensions):
        assert (made_by, dimensions) == ("who", 2)
        return opened.setdefault(path.name, StubStore())

    found = shown_by(
        cell_with('table(["store", "rows"]'), open_store=open_store, folder=Path("here"),
        encoder=None, fingerprint=lambda _: "who", predict=lambda _, images: images,
        catalog=SimpleNamespace(classes=("hat", "shoes"), train=SimpleNamespace(
            images=torch.eye(2), labels=torch.tensor([1, 0]), names=("a", "b"))),
    )  # fmt: skip
    names = ["catalog.safetensors", "catalog.faiss", "catalog.db"]
    assert found.tables[0][0] == ["store", "rows"]
    assert found.tables[0][1] == [[name, "2"] for name in names]
    assert list(opened) == names
    for store in opened.values():
        assert store == {"a": ([1, 0], "shoes"), "b": ([0, 1], "hat")}


def test_stores_are_held_against_the_first_and_asked_for_hats_alone():
    """The second finds the same, a little further away; the third no hats, and something else."""
    same, hats, mixed = (("a", "b"),), (("a", "a"),), (("a", "b"),)
    stores = {
        "catalog.safetensors": StubStore((same, 0.5), (hats, 0.5)),
        "other": StubStore((same, 0.6), (hats, 0.5)),
        "third": StubStore((hats, 0.5), (mixed, 0.5)),
    }
    found = shown_by(
        cell_with('"only hats when asked"'), torch=torch, stores=stores, encoder=None,
        predict=lambda *_: None, catalog=SimpleNamespace(test=SimpleNamespace(images=[])),
        categories=["hat", "shoes"], train=SimpleNamespace(names=("a", "b")),
    )  # fmt: skip
    assert found.tables[0][0] == [
        "store", "the same results", "at the same distances", "only hats when asked",
    ]  # fmt: skip
    assert found.tables[0][1] == [
        ["catalog.safetensors", True, True, True], ["other", True, False, True],
        ["third", False, True, False],
    ]  # fmt: skip


def test_a_second_run_over_a_folder_embeds_nothing_and_a_lost_shard_is_mended(
    tmp_path, monkeypatch
):
    """By how many pictures each run embedded; a picture that is none is named."""
    runs = iter([
        SimpleNamespace(pictures=40, fresh=40, shards=3, skipped=["broken.jpg is no picture"]),
        SimpleNamespace(pictures=40, fresh=0, shards=3, skipped=["broken.jpg is no picture"]),
        SimpleNamespace(pictures=40, fresh=16, shards=3, skipped=[]),
    ])  # fmt: skip
    asked = []
    monkeypatch.setattr(shards, "embed_folder", lambda *given, shard_size: asked.append(
        (*given, shard_size)) or next(runs))  # fmt: skip
    monkeypatch.setattr(shards, "index_from_shards", lambda *_: range(40))
    images = torch.zeros(50, 3, 4, 4, dtype=torch.uint8)
    space = {"folder": tmp_path, "WEIGHTS": "weights", "budget": lambda full, quick: quick,
             "encoder": None,
             "catalog": SimpleNamespace(test=SimpleNamespace(images=images))}  # fmt: skip
    found = shown_by(cell_with('"embedded in this run"'), **space)
    assert found.tables[0][0] == ["run", "pictures", "embedded in this run", "shards"]
    assert found.tables[0][1] == [["first", 40, 40, 3], ["again", 40, 0, 3]]
    assert found.said == ["Skipped: broken.jpg is no picture"]
    assert len(list((tmp_path / "shop").glob("*.png"))) == 40
    assert asked == [(tmp_path / "shop", tmp_path / "shards", "weights", 16)] * 2
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "shard-000001.safetensors").touch()
    known = {
        name: found.space[name] for name in (*space, "shop", "embed_folder", "index_from_shards")
    }
    (said,) = shown_by(cell_with("pictures were embedded, and"), **known).said
    assert said == "16 of 40 pictures were embedded, and the index has 40."
    assert not any((tmp_path / "shards").iterdir())


def test_searches_while_the_index_changes_are_counted_by_what_they_found():
    """The first eighty are answered by the old index, the others once the new one is there."""
    number, swapped = itertools.count(), threading.Event()

    def answer(picture, k):
        name = "old" if next(number) < 80 else "new"
        assert name == "old" or swapped.wait(10)
        far = 0.25 if picture == 19 else 0.0
        return SimpleNamespace(ids=((f"{name}:{picture}",),), distances=torch.tensor([[far]]))

    live = SimpleNamespace(search=answer, swap=lambda new: swapped.set())
    (said,) = shown_by(cell_with("searches by eight threads"), live=live, new=None,
                       ThreadPoolExecutor=ThreadPoolExecutor,
                       train=SimpleNamespace(images=range(30))).said  # fmt: skip
    assert said.startswith("200 searches by eight threads, none failed: 80 found the old index, ")
    assert "index, 120 the new one. " in said
    assert "it is 2.5e-01 at most" in said


def test_stores_of_all_sizes_stand_in_one_table():
    stub = SimpleNamespace(store_table=lambda sizes: (["store"], [sizes]))
    found = shown_by(
        cell_with("figures.store_table(sizes)"), figures=stub, sizes=["small", "large"]
    )
    assert found.tables == [(["store"], [["small", "large"]])]


def test_each_of_two_encoders_has_an_index_of_its_own(monkeypatch):
    """Of the first two pictures, under names that tell which; the old one is in use."""
    monkeypatch.setattr(siamese, "encoder_from", lambda start: SimpleNamespace(eval=lambda: start))
    monkeypatch.setattr(weights, "load_classifier", lambda path: (path, None))
    found = shown_by(
        cell_with("two pairs of encoder and index"), torch=torch, shipped=str, encoder="encoder",
        catalog=SimpleNamespace(name="few"), budget=lambda full, quick: 2,
        build_index=lambda *given: given, LiveIndex=lambda searcher: [searcher],
        Searcher=lambda encoder, index: SimpleNamespace(encoder=encoder, index=index),
        train=SimpleNamespace(images=[7, 8, 9], names=("a", "b", "c")),
    )  # fmt: skip
    old, new = found.space["old"], found.space["new"]
    assert (old.encoder, old.index) == ("encoder", ("encoder", [7, 8], ["old:a", "old:b"]))
    other = "classifier_few"
    assert (new.encoder, new.index) == (other, (other, [7, 8], ["new:a", "new:b"]))
    assert found.space["live"] == [old]
