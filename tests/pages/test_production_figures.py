"""Chapter 6's tables choose on validation, and extrapolate by a rule that is written down."""

import matplotlib.pyplot as plt
import pytest
from chapter_cells import labels_of

from fashionlib.pages import production_figures as figures


def row(index, ms, recall, setting="", size=256):
    return {
        "index": index,
        "setting": setting,
        "processor_ms": [ms / 2, ms, 2 * ms],
        "recall": {"validation": recall, "test": recall - 0.01},
        "bytes": size,
        "build_seconds": 1.0,
    }


SIZE = {
    "vectors": 1_000_000,
    "rows": [
        row("exact", 9.0, 1.0),
        row("flat", 8.0, 1.0),
        *(row("IVF, Flat", ms, r, str(n)) for n, ms, r in ((1, 0.1, 0.5), (8, 0.5, 0.96))),
        row("IVF, PQ32", 0.2, 0.9, "8", 40),
        row("IVF, PQ16", 0.1, 0.8, "8", 24),
        *(row("HNSW", ms, r, str(n), 528) for n, ms, r in ((16, 0.05, 0.94), (32, 0.07, 0.97))),
        row("store .faiss, hnsw", 0.3, 0.99),
    ],
}


def test_the_fastest_that_finds_enough():
    settings = figures.curves(SIZE)
    assert figures.fastest(settings["IVF, Flat"], 0.95)["setting"] == "8"
    assert figures.fastest(settings["HNSW"], 0.94)["setting"] == "16"
    assert figures.fastest(settings["IVF, PQ16"], 0.95) is None
    alt = figures.recall_curves_alt([SIZE], 0.95)
    assert "HNSW 0.07 ms" in alt
    assert "IVF, PQ16 never" in alt


def test_curves_show_every_setting():
    (axis,) = figures.recall_curves([SIZE], 0.95).axes
    drawn = {line.get_label(): len(line.get_xdata()) for line in axis.lines}
    assert {name: drawn[name] for name in figures.KINDS} == {
        "flat": 1, "IVF, Flat": 2, "IVF, PQ32": 1, "IVF, PQ16": 1, "HNSW": 2,
    }  # fmt: skip


def test_curves_are_of_test_against_the_processors_time():
    """A panel for each size; dotted, as the caption says, the wanted recall and a millisecond."""
    larger = SIZE | {"vectors": 9_000_000, "rows": [row("HNSW", 2.0, 0.5)]}
    figure = figures.recall_curves([SIZE, larger], 0.95)
    labels = [("ms a query", "recall@10", []), ("ms a query", "", list(figures.KINDS))]
    assert labels_of(figure) == labels
    panels = figure.axes
    assert {axis.get_xscale() for axis in panels} == {"log"}
    assert [axis.get_title() for axis in panels] == ["1,000,000 vectors", "9,000,000 vectors"]
    curves = [{line.get_label(): line for line in axis.lines} for axis in panels]
    assert list(curves[0]["HNSW"].get_xdata()) == [0.05, 0.07]
    assert list(curves[0]["HNSW"].get_ydata()) == pytest.approx([0.93, 0.96])
    assert list(curves[1]["HNSW"].get_ydata()) == pytest.approx([0.49])
    for axis in panels:
        millisecond, recall = [line for line in axis.lines if line.get_linestyle() == ":"]
        assert list(millisecond.get_xdata()) == [1, 1]
        assert list(recall.get_ydata()) == [0.95, 0.95]
    looks = {(line.get_color(), line.get_marker()) for line in list(curves[0].values())[:5]}
    assert len(looks) == 5


def test_ticks_are_plain_numbers():
    """The book's style draws a $ as it is, so the formulas of a logarithmic axis would show."""
    with plt.style.context("fashionlib.pages.book"):
        (axis,) = figures.recall_curves([SIZE], 0.95).axes
        said = [label.get_text() for label in axis.get_xticklabels()]
        assert "0.1" in said
        assert not any("$" in text for text in said)


def test_tables():
    header, rows = figures.index_table(SIZE, 0.95)
    assert header == [
        "index", "setting", "recall@10", "ms a query", "bytes a vector", "build, s",
    ]  # fmt: skip
    assert rows[4][2:] == ["0.960", "0.07", "528", "1.0"]  # the recall of test
    assert [line[:2] for line in rows] == [
        ["flat", "–"], ["IVF, Flat", "8"], ["IVF, PQ32", "8"], ["IVF, PQ16", "8"], ["HNSW", "32"],
    ]  # fmt: skip
    header, rows = figures.store_table([SIZE, SIZE | {"rows": SIZE["rows"][:1], "vectors": 9}])
    assert header == ["ms a query", "1,000,000 vectors", "9 vectors"]
    assert rows == [["exact", "9.0", "9.0"], ["store .faiss, hnsw", "0.3", "–"]]


@pytest.mark.parametrize(("kind", "times"), [("flat", 100), ("IVF, PQ16", 10), ("HNSW", 8 / 6)])
def test_growth(kind, times):
    assert figures.growth(kind, 1e8, 1e6) == pytest.approx(times)


def test_the_plan_counts_memory_and_machines():
    rows = figures.paper_plan(SIZE, 0.95, counts=(1e9,))
    by_kind = {line[1]: line for line in rows}
    assert by_kind["flat"][2:] == ["238.4", "4", f"{8.0 * 250:,.1f}"]
    assert by_kind["IVF, PQ16"][2:4] == ["22.4", "1"]
    assert by_kind["HNSW"][3] == "8"
    # 286.1 GiB are four machines of 64 GiB and a part of a fifth
    assert figures.paper_plan(SIZE, 0.95, counts=(1.2e9,))[0][2:4] == ["286.1", "5"]


def test_ways():
    exported = {"networks": {"classifier": {"rows": [
        {"way": "eager", "batch": 1, "processor_ms": [1.0, 2.0, 3.0],
         "times_as_fast": [0.9, 1.0, 1.25]}]}}}  # fmt: skip
    assert figures.ways_table(exported) == (
        ["network", "run by", "batch", "ms", "times as fast"],
        [["classifier", "eager", "1", "2.0", "1.0 (0.9 to 1.2)"]],
    )
