"""The figures and tables of chapter 6, from recorded measurements of indexes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from fashionlib.pages.plots import PALETTE, in_words

Row = Mapping[str, Any]  # one index in one setting, as `tools/measure/stores.py` writes it

KINDS = ("flat", "IVF, Flat", "IVF, PQ32", "IVF, PQ16", "HNSW")  # what the curves compare
MEMORY = 64 << 30  # bytes for vectors in one machine of the plan


def curves(size: Row) -> dict[str, list[Row]]:
    """The settings of each kind of index at one size, in the order that they were measured."""
    return {kind: [row for row in size["rows"] if row["index"] == kind] for kind in KINDS}


def fastest(rows: Sequence[Row], wanted: float) -> Row | None:
    """Of the settings whose recall on validation is as wanted, the fastest; None where none is."""
    good = [row for row in rows if row["recall"]["validation"] >= wanted]
    return min(good, key=median_ms, default=None)


def median_ms(row: Row) -> float:
    """Milliseconds of the processor for one query, or one batch: other work does not count."""
    return row["processor_ms"][1]


def recall_curves(sizes: Sequence[Row], wanted: float) -> Figure:
    """Recall against milliseconds a query, a panel for each size, a line for each index."""
    figure, axes = plt.subplots(1, len(sizes), figsize=(9.5, 3.6), sharey=True, squeeze=False)
    for axis, size in zip(axes[0], sizes, strict=True):
        styles = zip(PALETTE, "*osD^", curves(size).items(), strict=False)
        for colour, marker, (kind, rows) in styles:
            times = [median_ms(row) for row in rows]
            found = [row["recall"]["test"] for row in rows]
            axis.plot(times, found, marker=marker, ms=5, color=colour, label=kind)
        axis.axvline(1, ls=":", color="black", lw=1)
        axis.axhline(wanted, ls=":", color="black", lw=1)
        axis.set(xscale="log", xlabel="ms a query", title=f"{size['vectors']:,} vectors")
        axis.xaxis.set_major_formatter("{x:g}")
    axes[0, 0].set_ylabel("recall@10")
    axes[0, -1].legend(frameon=False, fontsize=8)
    return figure


def recall_curves_alt(sizes: Sequence[Row], wanted: float) -> str:
    """For each size and index the fastest setting that finds enough, in words."""
    parts = {}
    for size in sizes:
        best = {kind: fastest(rows, wanted) for kind, rows in curves(size).items()}
        times = {kind: f"{median_ms(row):.2g} ms" if row else "never" for kind, row in best.items()}
        said = (f"{kind} {time}" for kind, time in times.items())
        parts[f"{size['vectors']:,} vectors"] = ", ".join(said)
    return in_words(f"Time for a recall of {wanted}", parts)


def index_table(size: Row, wanted: float) -> tuple[list[str], list[list[str]]]:
    """Header and rows: the fastest setting of each index that finds as much as wanted."""
    rows = []
    for kind, settings in curves(size).items():
        row = fastest(settings, wanted) or max(settings, key=lambda r: r["recall"]["validation"])
        rows.append([kind, row["setting"] or "–", f"{row['recall']['test']:.3f}",
                     f"{median_ms(row):.2f}", f"{row['bytes']:.0f}",
                     f"{row['build_seconds']:.1f}"])  # fmt: skip
    return ["index", "setting", "recall@10", "ms a query", "bytes a vector", "build, s"], rows


def store_table(sizes: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: milliseconds a query of our own index and stores at each size."""
    names = [row["index"] for row in sizes[0]["rows"]]
    times = [{row["index"]: f"{median_ms(row):,.1f}" for row in size["rows"]} for size in sizes]
    ours = [name for name in names if name == "exact" or name.startswith("store")]
    rows = [[name, *(by_name.get(name, "–") for by_name in times)] for name in ours]
    return ["ms a query", *(f"{size['vectors']:,} vectors" for size in sizes)], rows


def ways_table(exported: Row) -> tuple[list[str], list[list[str]]]:
    """Header and rows: median milliseconds of each way to run a network, and ratios to eager."""
    rows = []
    for name, network in exported["networks"].items():
        for row in network["rows"]:
            low, half, high = row["times_as_fast"]
            ratio = f"{half:.1f} ({low:.1f} to {high:.1f})"
            rows.append([name, row["way"], str(row["batch"]), f"{median_ms(row):.1f}", ratio])
    return ["network", "run by", "batch", "ms", "times as fast"], rows


def growth(kind: str, vectors: float, measured: float) -> float:
    """How many times as long a query takes with `vectors` rows as with `measured`.

    In theory: a flat index looks at all rows; an inverted file with 4·√N cells at a share of them
    that falls as fast as √N grows; a walk through a graph gets longer as the logarithm does.
    """
    if kind == "flat":
        return vectors / measured
    if kind.startswith("IVF"):
        return math.sqrt(vectors / measured)
    return math.log(vectors) / math.log(measured)


def paper_plan(size: Row, wanted: float, counts: Sequence[float]) -> list[list[str]]:
    """Memory, machines and time for catalogs that nobody measured here, from one that was.

    A row for each count and index: what memory the vectors take, how many machines with 64 GiB
    for them, and the milliseconds of one machine's part of the search, all parts at once.
    """
    rows = []
    for count in counts:
        for kind, settings in curves(size).items():
            row = fastest(settings, wanted) or max(
                settings, key=lambda r: r["recall"]["validation"]
            )
            memory = count * row["bytes"]
            machines = math.ceil(memory / MEMORY)
            time = median_ms(row) * growth(kind, count / machines, size["vectors"])
            gib = f"{memory / (1 << 30):,.1f}"
            rows.append([f"{count:,.0f}", kind, gib, f"{machines:,}", f"{time:,.1f}"])
    return rows
