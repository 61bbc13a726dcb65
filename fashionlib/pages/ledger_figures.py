"""The figures of chapter 5: what the runs of several seeds reached, and how long they take."""

import statistics
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from fashionlib.metrics import wilson_interval
from fashionlib.pages.latency import middle, rounds_of
from fashionlib.pages.plots import PALETTE, in_words, row_figure

Shares = Mapping[str, Sequence[float]]  # of pictures named right, 0 to 1, one a seed, by a name


def accuracy_dots(shares: Shares, of: int, said: float) -> Figure:
    """A dot for each seed, with the interval for so many photos, and a line at `said`."""
    figure, axis = row_figure(list(shares), "validation accuracy, %", 0.45, 0.9)
    for row, group in enumerate(shares.values()):
        for number, share in enumerate(group):
            place = row + 0.18 * (number - (len(group) - 1) / 2)
            low, high = wilson_interval(share * of, of)
            axis.plot([100 * low, 100 * high], [place, place], color=PALETTE[0], lw=1.5)
            axis.plot(100 * share, place, "o", color=PALETTE[0], ms=6)
    axis.axvline(100 * said, ls="--", color="black", lw=1)
    return figure


def accuracy_dots_alt(shares: Shares) -> str:
    """The dots of `accuracy_dots` in words."""
    parts = {name: ", ".join(f"{x:.1%}" for x in group) for name, group in shares.items()}
    return in_words("Validation accuracy of each seed", parts)


def ratio_figure(ratios: Mapping[str, Sequence[float]], said: float) -> Figure:
    """A line for the middle half of the ratios in each setting, a dot for their median."""
    figure, axis = row_figure(list(ratios), "times as long", 0.27, 0.8)
    for row, (name, values) in enumerate(ratios.items()):
        colour, marker = (PALETTE[0], "o") if name.endswith("eager") else (PALETTE[1], "D")
        axis.plot(middle(values), [row, row], color=colour, lw=2)
        axis.plot(statistics.median(values), row, marker, color=colour, ms=6)
    axis.axvline(said, ls="--", color="black", lw=1)
    axis.set_xlim(0, None)
    return figure


def ratio_alt(ratios: Mapping[str, Sequence[float]]) -> str:
    """The medians of `ratio_figure` in words."""
    medians = {name: f"{statistics.median(values):.1f}" for name, values in ratios.items()}
    return in_words("Median ratio of the times in each setting", medians)


class Point(NamedTuple):
    """A network in the plane of accuracy and time."""

    name: str
    milliseconds: float  # median, one picture
    shares: list[float]  # right test pictures, 0 to 1, one a seed
    interval: tuple[float, float]  # of the first seed


def accuracy_against_time(
    runs: Mapping[str, Sequence[Mapping[str, Any]]], sizes: Mapping[str, int], latency: Mapping
) -> list[Point]:
    """Points for the networks of `runs`: recorded test accuracy, and eager time at their size."""
    points = []
    for name, group in runs.items():
        counts = [run["right"]["test"] for run in group]
        times = rounds_of(latency, name)[f"{sizes[name]} px, batch 1, eager"]
        shares = [right / total for right, total in counts]
        points.append(Point(name, statistics.median(times), shares, wilson_interval(*counts[0])))
    return points


def accuracy_time_figure(points: Sequence[Point]) -> Figure:
    """Test accuracy of each seed against milliseconds for one picture, on a logarithmic axis."""
    figure, axis = plt.subplots(figsize=(8, 4))
    for colour, marker, point in zip(cycle(PALETTE), cycle("osD^vP"), points, strict=False):
        low, high = point.interval
        axis.plot([point.milliseconds] * 2, [100 * low, 100 * high], color=colour, lw=1.2)
        shares = 100 * np.array(point.shares)
        axis.plot([point.milliseconds] * len(shares), shares, marker, color=colour, ms=8,
                  label=point.name)  # fmt: skip
    axis.set(xscale="log", xlabel="milliseconds for one picture", ylabel="test accuracy, %")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("{x:g}")
    axis.legend(frameon=False)
    return figure


def accuracy_time_alt(points: Sequence[Point]) -> str:
    """The points of `accuracy_time_figure` in words."""
    parts = {
        point.name: f"{', '.join(f'{x:.1%}' for x in point.shares)} in {point.milliseconds:.1f} ms"
        for point in points
    }
    return in_words("Test accuracy against time for one picture", parts)


def triplet_curves(triplets: Mapping[str, Sequence[Sequence[Mapping[str, float]]]]) -> Figure:
    """Loss and precision@5 over the epochs: mean of the seeds, and the range around it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    for style, (name, seeds) in zip(cycle(("-", "--", ":", "-.")), triplets.items(), strict=False):
        for axis, what in ((left, "loss"), (right, "precision@5")):
            values = np.array([[row[what] for row in history] for history in seeds])
            epochs = np.arange(1, values.shape[1] + 1)
            (line,) = axis.plot(epochs, values.mean(axis=0), style, label=name)
            low, high = values.min(axis=0), values.max(axis=0)
            axis.fill_between(epochs, low, high, alpha=0.2, color=line.get_color())
    left.set(xlabel="epoch", ylabel="triplet loss", ylim=(0, None))
    right.set(xlabel="epoch", ylabel="precision@5, validation")
    left.legend(frameon=False)
    return figure


def triplet_curves_alt(triplets: Mapping[str, Sequence[Sequence[Mapping[str, float]]]]) -> str:
    """Where the curves of `triplet_curves` start and end, in words."""
    parts = {}
    for name, seeds in triplets.items():
        said = []
        for what, form in (("loss", ".2f"), ("precision@5", ".3f")):
            first, last = (
                statistics.fmean(history[at][what] for history in seeds) for at in (0, -1)
            )
            said.append(f"{what} {first:{form}} to {last:{form}}")
        parts[name] = ", ".join(said)
    return in_words("Mean over the seeds from the first epoch to the last", parts)
