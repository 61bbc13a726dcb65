"""What each change of network or recipe is worth (chapter 2), from recorded runs.

The results are those of `tools/measure/ablation.py`: a run for each trial and seed, of which the
first trial is the one that all others differ from in one thing.
"""

from collections.abc import Callable, Iterable, Mapping
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

from fashionlib.metrics import format_accuracy
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


def pays(values: list[float]) -> bool:
    """Whether a change gained in more than one seed, and lost in none."""
    return len(values) > 1 and min(values) > 0


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


def gain_figure(results: Results) -> Figure:
    """A line for each change, a dot for each seed; right of zero is better."""
    found = _sorted(results)
    base = shares(results)[first_trial(results)].values()
    band = 100 * (max(base) - min(base))
    figure, axis = row_figure(list(found), "points of validation accuracy", 0.28, 0.9)
    axis.axvspan(-band, band, color="#dddddd")
    axis.axvline(0, color="black", lw=1)
    for place, values in enumerate(found.values()):
        colour, marker = (PALETTE[0], "o") if pays(values) else (PALETTE[1], "x")
        axis.plot(values, [place] * len(values), marker, color=colour, ms=6)
        axis.plot([fmean(values)], [place], "|", color=colour, ms=16)
    return figure


def gain_alt(results: Results) -> str:
    """The figure in words: the mean gain of every change."""
    parts = [f"{trial} {fmean(values):+.1f}" for trial, values in _sorted(results).items()]
    return "Points gained, mean over the seeds: " + "; ".join(parts) + "."


def small_table(results: Results) -> tuple[list[str], list[list[str]]]:
    """Header and rows: what each run of `tools/measure/small_networks.py` reached."""
    of = results["of"]
    rows = []
    for run in results["runs"]:
        validation, test = (run["right"][split] for split in ("validation", "test"))
        shown = [format_accuracy(validation[PLAIN], of["validation"]),
                 f"{validation[MIRRORED] / of['validation']:.1%}",
                 format_accuracy(test[PLAIN], of["test"])]  # fmt: skip
        rows.append([run["network"], str(run["seed"]), f"{run['parameters']:,}", *shown])
    return ["network", "seed", "parameters", "validation", MIRRORED, "test"], rows


def _sorted(results: Results) -> dict[str, list[float]]:
    found = gains(results)
    return dict(sorted(found.items(), key=lambda item: -fmean(item[1])))
