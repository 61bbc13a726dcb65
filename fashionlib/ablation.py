"""What each change of network or recipe is worth (chapter 2), from recorded runs.

The results are those of `tools/measure_ablation.py`: a run for each trial and seed, of which the
first trial is the one that all others differ from in one thing.
"""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from fashionlib.metrics import format_accuracy
from fashionlib.plots import PALETTE

Results = Mapping[str, Any]
PLAIN, MIRRORED = "plain", "with mirror image"


def shares(results: Results, view: str = PLAIN) -> dict[str, dict[int, float]]:
    """Share of the validation pictures named right, 0 to 1, by trial and seed."""
    found: dict[str, dict[int, float]] = {}
    for run in results["runs"]:
        share = run["right"][view] / results["validation"]
        found.setdefault(run["trial"], {})[run["seed"]] = share
    return found


def gains(results: Results) -> dict[str, list[float]]:
    """Points of percent that each trial is above the first one, seed by seed.

    With the mirror image the first trial is the same run, looked at twice.
    """
    plain = shares(results)
    first = next(iter(plain))
    found = {
        trial: [100 * (by_seed[seed] - plain[first][seed]) for seed in by_seed]
        for trial, by_seed in list(plain.items())[1:]
    }
    twice = shares(results, MIRRORED)[first]
    return {MIRRORED: [100 * (twice[seed] - plain[first][seed]) for seed in twice], **found}


def costs(results: Results) -> dict[str, float]:
    """Processor seconds of each trial's training, the first trial's being 1: the mean ratio."""
    spent: dict[str, dict[int, float]] = {}
    for run in results["runs"]:
        spent.setdefault(run["trial"], {})[run["seed"]] = run["processor seconds"]
    first = spent[next(iter(spent))]
    return {
        trial: sum(by_seed[seed] / first[seed] for seed in by_seed) / len(by_seed)
        for trial, by_seed in spent.items()
    }


def pays(values: list[float]) -> bool:
    """Whether a change gained in more than one seed, and lost in none."""
    return len(values) > 1 and min(values) > 0


def gain_table(results: Results) -> tuple[list[str], list[list[str]]]:
    """Header and rows, the greatest mean gain first."""
    time, right = costs(results), shares(results)
    parameters = {run["trial"]: run["parameters"] for run in results["runs"]}
    first = next(iter(right))
    right[MIRRORED] = shares(results, MIRRORED)[first]
    rows = [[first, *_of(right[first]), "", "1.0", f"{parameters[first]:,}"]]
    for trial, values in _sorted(results).items():
        gain = f"{_mean(values):+.1f} ({min(values):+.1f} to {max(values):+.1f})"
        seconds = f"{time[trial]:.1f}" if trial in time else "1.0, twice to answer"
        count = f"{parameters.get(trial, parameters[first]):,}"
        rows.append([trial, *_of(right[trial]), gain, seconds, count])
    return ["change", "seeds", "right", "gain, points", "time to train", "parameters"], rows


def gain_figure(results: Results) -> Figure:
    """A line for each change, a dot for each seed; right of zero is better."""
    found = _sorted(results)
    own = shares(results)
    base = list(next(iter(own.values())).values())
    spread = 100 * (max(base) - min(base))
    figure, axis = plt.subplots(figsize=(8, 0.28 * len(found) + 0.9))
    axis.axvspan(-spread, spread, color="#dddddd")
    axis.axvline(0, color="black", lw=1)
    for place, values in enumerate(found.values()):
        colour = PALETTE[0] if pays(values) else PALETTE[1]
        marker = "o" if pays(values) else "x"
        axis.plot(values, [place] * len(values), marker, color=colour, ms=6)
        axis.plot([_mean(values)], [place], "|", color=colour, ms=16)
    axis.set_yticks(range(len(found)), list(found))
    axis.invert_yaxis()
    axis.set_xlabel("points of validation accuracy")
    return figure


def gain_alt(results: Results) -> str:
    """The figure in words: the mean gain of every change."""
    parts = [f"{trial} {_mean(values):+.1f}" for trial, values in _sorted(results).items()]
    return "Points gained, mean over the seeds: " + "; ".join(parts) + "."


def small_table(results: Results) -> tuple[list[str], list[list[str]]]:
    """Header and rows: what each run of `tools/measure_small.py` reached."""
    of = results["of"]
    rows = []
    for run in results["runs"]:
        validation, test = (run["right"][split] for split in ("validation", "test"))
        rows.append(
            [
                run["network"],
                str(run["seed"]),
                f"{run['parameters']:,}",
                format_accuracy(validation[PLAIN], of["validation"]),
                f"{validation[MIRRORED] / of['validation']:.1%}",
                format_accuracy(test[PLAIN], of["test"]),
            ]
        )
    return ["network", "seed", "parameters", "validation", MIRRORED, "test"], rows


def _sorted(results: Results) -> dict[str, list[float]]:
    found = gains(results)
    return dict(sorted(found.items(), key=lambda item: -_mean(item[1])))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _of(by_seed: Mapping[int, float]) -> tuple[str, str]:
    values = list(by_seed.values())
    return str(len(values)), f"{_mean(values):.1%} ({min(values):.1%} to {max(values):.1%})"
