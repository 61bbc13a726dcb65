"""Chapter 6 shows what was recorded for a slowed-down processor, and says that it is no phone."""

import itertools
import re
import statistics
from functools import partial
from types import SimpleNamespace

import phone
from chapter_cells import cells_of, code_of, the_one_with

from fashionlib.pages import production_figures as figures
from fashionlib.pages.recorded_results import recorded

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
    """Twelve searches, numbered in their order: two examples at two rates, in three rounds."""
    number = itertools.count()
    monkeypatch.setattr(phone, "RATES", (1, 4))
    monkeypatch.setattr(phone, "ROUNDS", 2)
    monkeypatch.setattr(phone, "searched", lambda *_: next(number))
    control = SimpleNamespace(send=lambda *_: None)
    page = SimpleNamespace(
        context=SimpleNamespace(new_cdp_session=lambda _: control),
        evaluate=lambda *_: 5.0,
        locator=lambda _: SimpleNamespace(count=lambda: 2),
    )
    assert phone.measure(page, 8) == [
        {"slowed by": 1, "search": [4, 5, 8, 9], "networks": [5] * 4},
        {"slowed by": 4, "search": [6, 7, 10, 11], "networks": [5] * 4},
    ]


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
                 "say": heard.append, "table": lambda *_: None}  # fmt: skip
        exec(cell, space)
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
             "classifier": classifier, "say": heard.append, "table": lambda *_: None}  # fmt: skip
    exec(cell, space)
    assert "the exported classifier is 2.0 times as fast as PyTorch" in heard[0]
    assert "another factor of 1.5." in heard[0]


def test_the_networks_have_a_time_of_their_own_beside_the_whole_search():
    cell = cell_with('phone = recorded("phone")')
    slow = [
        {"slowed by": rate, "search": [100 * rate] * 4, "networks": [30 * rate] * 4}
        for rate in (1, 4)
    ]
    tables, heard = [], []
    space = {
        "recorded": lambda _: {"rows": slow, "processor": "one"}, "about": lambda _: "here",
        "statistics": statistics, "table": lambda _, rows: tables.append(rows),
        "say": heard.append,
    }  # fmt: skip
    exec(cell, space)
    assert tables == [[["1×", "100 (100 to 100)", "30"], ["4×", "400 (400 to 400)", "120"]]]
    assert "400 ms, of which the two networks are 120." in heard[0]


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
    heard = []
    space = {"figures": figures, "sizes": sizes, "WANTED": 0.95, "say": heard.append}
    exec("".join(cell.partition("ends, grown = ")[1:]), space)
    assert heard[0] == (
        "From 100,000 to 1,000,000 vectors: flat 7.0 times as long (theory: 10.0), "
        "IVF, Flat 7.0 times as long (theory: 3.2), HNSW 7.0 times as long (theory: 1.2)."
    )
