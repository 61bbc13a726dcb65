"""What each change of network or recipe is worth (chapter 9), from recorded runs.

The results are those of `tools/measure/ablation.py`: a run for each trial and seed, of which the
first trial is the one that all others differ from in one thing. Those of `look_ablation.py` are
shaped alike, but for the shares, which are of search results.
"""

from collections.abc import Callable, Iterable, Mapping
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from fashionlib.pages.ledger import mean_and_range
from fashionlib.pages.plots import PALETTE, row_figure

Results = Mapping[str, Any]
PLAIN, MIRRORED = "plain", "with mirror image"


def by_trial(runs: Iterable[Mapping], value: Callable[[Mapping], Any]) -> dict[str, dict[int, Any]]:
    """A value of each run, by trial and seed."""
    found: dict[str, dict[int, Any]] = {}
    for run in runs:
        found.setdefault(run["trial"], {})[run["seed"]] = value(run)
    return found


def first_trial(results: Results) -> str:
    """The trial that all others are compared with."""
    return results["runs"][0]["trial"]


def shares(results: Results) -> dict[str, dict[int, float]]:
    """Share of the validation pictures named right, 0 to 1, by trial and seed.

    The mirror image counts as one more trial: the runs of the first one, looked at twice.
    """
    first, of = first_trial(results), results["validation"]
    mirrored = [run | {"trial": MIRRORED} for run in results["runs"] if run["trial"] == first]
    return {
        **by_trial(mirrored, lambda run: run["right"][MIRRORED] / of),
        **by_trial(results["runs"], lambda run: run["right"][PLAIN] / of),
    }


def gains(results: Results) -> dict[str, list[float]]:
    """Points of percent that each trial is above the first one, seed by seed."""
    found = shares(results)
    first = found.pop(first_trial(results))
    return {
        trial: [100 * (share - first[seed]) for seed, share in by_seed.items()]
        for trial, by_seed in found.items()
    }


def costs(results: Results) -> dict[str, float]:
    """Processor seconds of each trial's training, the first trial's being 1: the mean ratio.

    Only runs of the same seed on the same processor are compared; a trial without one is left out.
    """
    spent = by_trial(results["runs"], lambda run: (run.get("processor"), run["processor seconds"]))
    first = spent[first_trial(results)]
    ratios = {}
    for trial, runs in spent.items():
        same = [(runs[seed][1], first[seed][1]) for seed in runs if runs[seed][0] == first[seed][0]]
        if same:
            ratios[trial] = fmean(seconds / ours for seconds, ours in same)
    return ratios


def sure_gain(shares: Mapping[str, Mapping[int, float]]) -> float:
    """How many points a mean gain must be above 0 (or below) to be more than chance.

    `shares` are those of each trial, by seed. What is left of a run's share without the means of
    its trial and of its seed is chance, taken to be equally large for all runs. A gain then needs
    a t test at 95 %, for all trials together (Bonferroni).
    """
    found = 100 * np.array([list(by_seed.values()) for by_seed in shares.values()])
    trials, seeds = found.shape
    expected = found.mean(axis=1, keepdims=True) + found.mean(axis=0) - found.mean()
    freedom = (trials - 1) * (seeds - 1)
    variance = ((found - expected) ** 2).sum() / freedom
    return float(stats.t.isf(0.025 / (trials - 1), freedom) * np.sqrt(2 * variance / seeds))


def gain_table(results: Results) -> tuple[list[str], list[list[str]]]:
    """Header and rows, the greatest mean gain first."""
    first, found = first_trial(results), _sorted(results)
    gain = {trial: mean_and_range(values, "+.1f") for trial, values in found.items()}
    time = {trial: f"{ratio:.1f}" for trial, ratio in costs(results).items()}
    parameters = {run["trial"]: run["parameters"] for run in results["runs"]}
    # the network and the training of the first trial
    time[MIRRORED], parameters[MIRRORED] = "1.0, twice to answer", parameters[first]
    right = {trial: list(by_seed.values()) for trial, by_seed in shares(results).items()}
    rows = [
        [trial, str(len(right[trial])), mean_and_range(right[trial], ".1%"), gain.get(trial, ""),
         time.get(trial, "on another processor"), f"{parameters[trial]:,}"]
        for trial in (first, *found)
    ]  # fmt: skip
    return ["change", "seeds", "right", "gain, points", "time to train", "parameters"], rows


def gain_figure(results: Results, band: float) -> Figure:
    """A line for each change, a dot for each seed; right of zero is better.

    Within `band` points of zero a mean may be chance: those changes are crosses, others circles.
    """
    found = _sorted(results)
    figure, axis = row_figure(list(found), "points of validation accuracy", 0.28, 0.9)
    axis.axvspan(-band, band, color="#dddddd")
    axis.axvline(0, color="black", lw=1)
    for place, values in enumerate(found.values()):
        sure = abs(fmean(values)) > band
        colour, marker = (PALETTE[0], "o") if sure else (PALETTE[1], "x")
        axis.plot(values, [place] * len(values), marker, color=colour, ms=6)
        axis.plot([fmean(values)], [place], "|", color=colour, ms=16)
    return figure


def gain_alt(results: Results) -> str:
    """The figure in words: the mean gain of every change."""
    parts = [f"{trial} {fmean(values):+.1f}" for trial, values in _sorted(results).items()]
    return "Points gained, mean over the seeds: " + "; ".join(parts) + "."


def _sorted(results: Results) -> dict[str, list[float]]:
    found = gains(results)
    return dict(sorted(found.items(), key=lambda item: -fmean(item[1])))
