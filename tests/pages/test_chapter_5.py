"""Chapter 5: its test of the word depthwise, its figures, and where verdicts come from."""

import ast
import math
import re
import statistics
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from chapter_cells import cells_of, code_of, the_one_with

from fashionlib.blocks import PLANS, MobileNetBackbone
from fashionlib.pages import latency, ledger, recorded_results
from fashionlib.pages import ledger_figures as figures
from fashionlib.pages.ledger import MARKS
from fashionlib.training import ARTICLE_RECIPE

CELLS = cells_of("05_every_number")
CODE = "\n".join(code_of(CELLS))
cell_with = partial(the_one_with, code=code_of(CELLS))
TREE = ast.parse(CODE)


def mixes_channels(convolution: torch.nn.Conv2d) -> bool:
    """The chapter's own function."""
    (found,) = (node for node in TREE.body if getattr(node, "name", None) == "mixes_channels")
    space = {"torch": torch}
    exec(ast.unparse(found), space)
    return space["mixes_channels"](convolution)


@pytest.mark.parametrize("plan", PLANS)
def test_filters_keep_channels_apart_where_they_should(plan):
    """The test that would have caught the 429K."""
    filters = [block.filter[0] for block in MobileNetBackbone(plan).blocks[1:]]
    assert [mixes_channels(one) for one in filters] == [not PLANS[plan].depthwise] * len(filters)


def test_verdicts_are_computed():
    """Every entry comes out of `judge`, with cases that are no constants, or of `uncheckable`."""
    calls = [n for n in ast.walk(TREE) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    judged = [call for call in calls if call.func.id == "judge"]
    assert len(judged) >= 18
    for call in judged:
        holds = next(word.value for word in call.keywords if word.arg == "holds")
        assert not isinstance(holds.elts[0], ast.Constant), ast.unparse(call)[:80]
        for word in call.keywords:
            if word.arg == "holds_if":
                true, why = word.value.elts
                assert not isinstance(true, ast.Constant), ast.unparse(call)[:80]
                said = why.values[0] if isinstance(why, ast.JoinedStr) else why
                assert said.value.startswith("If "), f"no condition: {ast.unparse(why)}"
    entries = [call for call in calls if call.func.id == "enter"]
    for call in entries:
        assert all(given.func.id in ("judge", "uncheckable") for given in call.args)
    for name in MARKS:
        typed = [n for n in ast.walk(TREE) if isinstance(n, ast.Constant) and n.value == name]
        assert typed == [], f"the chapter types the verdict {name!r}"


@pytest.mark.parametrize(
    "said",
    ["24", "3×", "429K", "Linear(64, 7)", "Seven", "85%", "11M", "26×", "50 ms", "15 ms", "3.5×"]
    + ["0.82", "0.09", "64 numbers", "15 epochs", "30", "50%", "white dress", "2004.03014"]
    + ["maintaining accuracy", "mobile devices", "One backbone", "metric learning beats"]
    + ["Better results with transfer", "one of them a dress"],
)
def test_each_figure_of_the_article_has_an_entry(said):
    claims = [
        call.args[0].value
        for call in ast.walk(TREE)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("judge", "uncheckable")
    ]
    assert any(re.search(re.escape(said), claim) for claim in claims)


RUNS = {
    "one": [{"right": {"test": [right, 100]}} for right in (70, 40)],
    "two": [{"right": {"test": [95, 100]}}],
}
TIMES = {
    "networks": {"one": {}, "two": {}},
    "rows": [
        {"network": name, "way": "eager", "size": 64, "batch": 1, "milliseconds": [2.0, 4.0, 3.0]}
        for name in ("one", "two")
    ],
}


def test_accuracy_dots_say_every_seed():
    shares = {"one": [0.8, 0.8], "two": [0.9]}
    axis = figures.accuracy_dots(shares, of=100, said=0.85).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["one", "two"]
    dots = [line.get_xdata()[0] for line in axis.lines if line.get_marker() == "o"]
    assert dots == pytest.approx([80, 80, 90])
    low, high = axis.lines[0].get_xdata()
    assert (low, high) == pytest.approx((71.1, 86.7), abs=0.1)  # Wilson, 80 of 100
    assert "one: 80.0%, 80.0%; two: 90.0%" in figures.accuracy_dots_alt(shares)


def test_accuracy_against_time():
    points = figures.accuracy_against_time(RUNS, {"one": 64, "two": 64}, TIMES)
    assert [(p.name, p.milliseconds, p.shares) for p in points] == [
        ("one", 3.0, [0.7, 0.4]),
        ("two", 3.0, [0.95]),
    ]
    assert points[0].interval[0] < 0.7 < points[0].interval[1]
    assert "two: 95.0% in 3.0 ms" in figures.accuracy_time_alt(points)
    drawn = figures.accuracy_time_figure(points).axes[0]
    assert [text.get_text() for text in drawn.get_legend().get_texts()] == ["one", "two"]


def test_ratio_figure_shows_the_middle_half():
    found = {"64 px, batch 1, eager": [1.0, 2.0, 3.0, 4.0, 99.0]}
    axis = figures.ratio_figure(found, said=3.5).axes[0]
    assert list(axis.lines[0].get_xdata()) == [2.0, 4.0]
    assert list(axis.lines[1].get_xdata()) == [3.0]  # the median, as the alt text says
    assert "eager: 3.0." in figures.ratio_alt(found)


def test_triplet_curves_show_mean_and_range():
    rows = [
        [{"loss": 0.8, "precision@5": 0.4}, {"loss": 0.1, "precision@5": 0.8}],
        [{"loss": 0.8, "precision@5": 0.6}, {"loss": 0.3, "precision@5": 0.6}],
    ]
    left, right = figures.triplet_curves({"a run": rows}).axes
    assert list(left.lines[0].get_ydata()) == pytest.approx([0.8, 0.2])
    assert list(right.lines[0].get_ydata()) == pytest.approx([0.5, 0.7])
    heights = right.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.4, 0.8))
    alt = figures.triplet_curves_alt({"a run": rows})
    assert "a run: loss 0.80 to 0.20, precision@5 0.500 to 0.700" in alt


@pytest.mark.parametrize(
    ("factor", "told"),
    [(1.0, "agrees"), (1.019, "agrees"), (1.021, "**differs**"), (0.9, "**differs**")],
)
def test_a_control_agrees_within_two_percent_and_differs_beyond(factor, told):
    """On another processor sums round differently; a loss of half the size is another training."""
    cell = cell_with("agrees = abs(loss / control")
    catalog, heard = SimpleNamespace(name="photos", classes="abcdefg", train=range(3)), []
    space = {
        "torch": torch, "build_classifier": lambda *_: None, "ARTICLE_RECIPE": ARTICLE_RECIPE,
        "replace": replace, "catalog": catalog, "say": heard.append,
        "train_classifier": lambda *_, **__: (None, [{"loss": 1.5 * factor}]),
        "article": {"controls": {"photos, 3 pictures": 1.5}},
    }  # fmt: skip
    exec(cell, space)
    assert heard == [f"Recorded 1.5000, here {1.5 * factor:.4f}: {told}."]


def entered(text: str, **known) -> dict[str, ledger.Entry]:
    """The entries of the cell that holds this text, by what they claim."""
    cell = cell_with(text)
    found = {}
    space = {
        name: getattr(ledger, name)
        for name in ("covers", "judge", "mean_and_interval", "rounds_to", "t_interval",
                     "uncheckable")
    }  # fmt: skip
    space |= {"comb": math.comb, "fmean": statistics.fmean, "median": statistics.median}
    exec(cell, space | {"enter": lambda *all: found.update({e.claim: e for e in all})} | known)
    return found


def test_only_the_articles_networks_can_reach_its_accuracy():
    entries = entered(
        "best = max(its_networks",
        accuracy={"theirs": [0.69, 0.70, 0.71], "ours": [0.90, 0.91, 0.92]},
        its_networks=["theirs"], classes="abcdefghijkl",
    )  # fmt: skip
    assert entries["Seven classes of clothes"].measured == "12 in the data set"
    found = entries["85% validation accuracy in 10 epochs"]
    assert found.verdict == ledger.DOES_NOT_HOLD
    assert found.measured == "70.0% (67.5% to 72.5%) theirs"
    assert found.why.startswith("By its recipe 70.0% is the best mean of its networks.")
    assert "What reaches it: ours, 91.0%" in found.why


def test_the_megabytes_are_those_of_the_network_whose_times_are_given():
    """429,399 weights of four bytes."""
    recorded = recorded_results.recorded("latency")
    found = entered(
        "It runs efficiently on mobile devices",
        latency=recorded, timing=latency, setting="128 px, batch 1, {}",
        faster=latency.ratios(recorded, slow="ResNet-18", fast="article, dense"),
        counts={"printed": 33_039, "dense": 429_399},
    )["It runs efficiently on mobile devices"]  # fmt: skip
    assert found.measured.startswith("1.7 MB of weights, and ")


@pytest.mark.parametrize(
    ("rounds", "verdict"),
    [
        ([3.3, 3.4, 3.6, 3.7], ledger.HOLDS),
        ([3.0, 3.1, 3.1, 3.2, 4.0], ledger.DOES_NOT_HOLD),  # one round is no measurement
    ],
)
def test_a_ratio_of_times_is_measured_where_half_of_the_rounds_are_around_it(rounds, verdict):
    found = entered(
        "covering = [", latency=recorded_results.recorded("latency"), timing=latency,
        setting="128 px, batch 1, {}", faster={"a setting": rounds},
        counts={"printed": 33_039, "dense": 429_399},
    )["3.5× faster than ResNet-18"]  # fmt: skip
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("change", "verdict"),
    [(-0.1, ledger.DOES_NOT_HOLD), (0.0, ledger.HOLDS), (0.1, ledger.HOLDS)],
)
def test_what_depthwise_filters_cost_is_theirs_less_the_dense_ones(change, verdict):
    dense = [0.6, 0.7, 0.8]
    depthwise = [share + change for share in dense]
    found = entered(
        "Depthwise filters cut parameters",
        right={"to the letter": depthwise, "to the letter, without groups": dense},
        accuracy={
            "the article's network, our recipe": depthwise, "the dense network, our recipe": dense,
        },
        counts={"printed": 33_039, "dense": 429_399},
    )["Depthwise filters cut parameters while maintaining accuracy"]  # fmt: skip
    assert found.measured.startswith(f"{100 * change:+.1f} (")
    assert found.verdict == verdict


def test_blind_draws_are_from_the_photos_that_the_article_searched():
    """Five of six photos leave one out: where one is a dress, five of six draws have it."""
    places = [("train", "dress")] * 9 + [("validation", "hat")] * 5
    places += [("validation", "dress"), ("validation", "socks"), ("test", "hat")]
    found = entered(
        "stock = [label", places=places, catalog=SimpleNamespace(classes=("dress", "hat"))
    )
    (entry,) = found.values()
    assert entry.measured.startswith("1 of 6 photos are dresses")
    assert entry.why.endswith("83% of blind draws do as well.")


@pytest.mark.parametrize(
    ("change", "told"),
    [(-10, "costs accuracy here"), (1, "cannot tell whether"), (10, "gains accuracy here")],
)
def test_what_the_relu_after_the_sum_does_is_with_it_less_without(change, told):
    """Three seeds, whose differences are one photo of 100 apart."""
    counts = {"linear end": [60, 62, 64], "ReLU after the sum": []}
    for right, more in zip(counts["linear end"], (0, 1, -1), strict=True):
        counts["ReLU after the sum"].append(right + change + more)
    runs = [{"network": name, "right": n} for name, group in counts.items() for n in group]
    heard, tables = [], []
    space = {
        "recorded": lambda _: {"validation": 100, "runs": runs}, "about": lambda _: "here",
        "mean_and_interval": ledger.mean_and_interval, "t_interval": ledger.t_interval,
        "table": lambda header, rows: tables.append(rows), "say": heard.append,
    }  # fmt: skip
    for text in ("def seeds_of", "without for with_relu"):
        cell = cell_with(text)
        exec(cell, space)
    assert told in heard[0]
    ((first, second),) = tables
    assert first[2] == ""
    assert second[2].startswith(f"{change:+.1f} (")


def test_the_search_got_better_where_it_ends_above_what_it_was_before_the_triplets():
    """The first epoch was better than either end."""
    names = ("to the letter", "to the letter, without groups")
    runs = {
        name: [
            {"precision@5 before": 0.5, "triplets": [
                {"loss": 0.8, "precision@5": 0.9}, {"loss": 0.2, "precision@5": end + more}]}
            for more in (-0.01, 0, 0.01)
        ]
        for name, end in zip(names, (0.7, 0.5), strict=True)
    }  # fmt: skip
    heard = []
    found = entered(
        "triplets = {name:", pair=names, seeds_of=runs.get, say=heard.append,
        show=lambda *_, **__: None,
        figures=SimpleNamespace(triplet_curves=len, triplet_curves_alt=len),
    )  # fmt: skip
    assert "the loss falls to 25% of the first epoch's. Precision@5 changes by +0.200 (" in heard[0]
    assert heard[0].endswith("three seeds agree that the search got better.")
    assert "changes by +0.000 (" in heard[1]
    assert heard[1].endswith("three seeds cannot tell whether the search got better.")
    (entry,) = found.values()
    assert entry.measured.startswith("0.80 (0.80 to 0.80) to 0.20 (0.20 to 0.20), to the letter;")


def test_transfer_passes_what_the_long_run_reaches_at_its_best():
    """By the first seed in its second epoch, by the second seed never."""
    cell = cell_with("def passes(run)")
    runs = []
    for end in (0.6, 0.5):
        shares = {"classifier": [0.0], "transfer": [0.3, end], "scratch": [0.1, 0.2],
                  "scratch, twice as long": [0.1, 0.5, 0.6, 0.4]}  # fmt: skip
        runs.append({"histories": {
            name: [{"epoch": n, "precision@5": share} for n, share in enumerate(each, start=1)]
            for name, each in shares.items()
        }})  # fmt: skip
    heard = []
    space = {
        "recorded": lambda _: {"runs": runs},
        "mean_and_interval": ledger.mean_and_interval, "table": lambda *_: None,
        "say": heard.append,
    }  # fmt: skip
    exec(cell, space)
    assert heard == ["Transfer passes in epoch 2, 4, one number for each seed. Here 4 means never."]
