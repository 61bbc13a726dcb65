"""Chapter 5: its test of the word depthwise, its figures, and where verdicts come from."""

import ast
import math
import re
import statistics
from collections import Counter
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from chapter_cells import cells_of, code_of, into, labels_of, shown_by, the_one_with

from fashionlib.blocks import PLANS, MobileNetBackbone
from fashionlib.counting import layer_table
from fashionlib.heads import build_classifier
from fashionlib.pages import latency, ledger
from fashionlib.pages import ledger_figures as figures
from fashionlib.pages.ledger import MARKS
from fashionlib.retrieval import average_precision, matches, mean_colours, ranking, resampled, score
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
    figure = figures.accuracy_dots(shares, of=100, said=0.85)
    assert labels_of(figure) == [("validation accuracy, %", "", [])]
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["one", "two"]
    dots = [line.get_xdata()[0] for line in axis.lines if line.get_marker() == "o"]
    assert dots == pytest.approx([80, 80, 90])
    low, high = axis.lines[0].get_xdata()
    assert (low, high) == pytest.approx((71.1, 86.7), abs=0.1)  # Wilson, 80 of 100
    assert list(axis.lines[-1].get_xdata()) == [85, 85]  # dashed, as the caption says
    assert axis.lines[-1].get_linestyle() == "--"
    assert "one: 80.0%, 80.0%; two: 90.0%" in figures.accuracy_dots_alt(shares)


def test_accuracy_against_time():
    points = figures.accuracy_against_time(RUNS, {"one": 64, "two": 64}, TIMES)
    assert [(p.name, p.milliseconds, p.shares) for p in points] == [
        ("one", 3.0, [0.7, 0.4]),
        ("two", 3.0, [0.95]),
    ]
    assert points[0].interval[0] < 0.7 < points[0].interval[1]
    assert "two: 95.0% in 3.0 ms" in figures.accuracy_time_alt(points)
    figure = figures.accuracy_time_figure(points)
    assert labels_of(figure) == [
        ("milliseconds for one picture", "test accuracy, %", ["one", "two"])
    ]
    drawn = figure.axes[0]
    lines = [line.get_xydata().tolist() for line in drawn.lines]
    interval = [100 * end for end in points[0].interval]
    assert lines[0] == [[3.0, pytest.approx(end)] for end in interval]
    assert lines[1] == [[3.0, pytest.approx(70)], [3.0, pytest.approx(40)]]
    assert lines[3] == [[3.0, pytest.approx(95)]]
    assert drawn.lines[1].get_marker() != drawn.lines[3].get_marker()
    assert drawn.get_xscale() == "log"


def test_ratio_figure_shows_the_middle_half():
    found = {"64 px, batch 1, eager": [1.0, 2.0, 3.0, 4.0, 99.0]}
    figure = figures.ratio_figure(found, said=3.5)
    assert labels_of(figure) == [("times as long", "", [])]
    axis = figure.axes[0]
    assert axis.get_xlim()[0] == 0  # so that twice as far is twice as long
    assert list(axis.lines[0].get_xdata()) == [2.0, 4.0]
    assert list(axis.lines[1].get_xdata()) == [3.0]  # the median, as the alt text says
    assert "eager: 3.0." in figures.ratio_alt(found)


def test_ratios_have_the_marks_that_the_caption_names():
    assert "Circles: PyTorch; diamonds: ONNX Runtime." in CODE
    ways = {"64 px, batch 1, eager": [3.0, 3.0], "64 px, batch 1, onnxruntime": [4.0, 4.0]}
    lines = figures.ratio_figure(ways, said=3.5).axes[0].lines
    marks = {float(line.get_xdata()[0]): line.get_marker() for line in lines[1::2]}
    assert marks == {3.0: "o", 4.0: "D"}
    assert lines[-1].get_xdata() == [3.5, 3.5]  # dashed, the article's
    assert lines[-1].get_linestyle() == "--"


def test_triplet_curves_show_mean_and_range():
    rows = [
        [{"loss": 0.8, "precision@5": 0.4}, {"loss": 0.1, "precision@5": 0.8}],
        [{"loss": 0.8, "precision@5": 0.6}, {"loss": 0.3, "precision@5": 0.6}],
    ]
    figure = figures.triplet_curves({"a run": rows})
    assert labels_of(figure) == [
        ("epoch", "triplet loss", ["a run"]), ("epoch", "precision@5, validation", []),
    ]  # fmt: skip
    left, right = figure.axes
    assert left.get_ylim()[0] == 0
    assert left.lines[0].get_xdata().tolist() == [1, 2]
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
        "replace": replace, "catalog": catalog, "say": into(heard),
        "train_classifier": lambda *_, **__: (None, [{"loss": 1.5 * factor}]),
        "article": {"controls": {"photos, 3 pictures": 1.5}},
    }  # fmt: skip
    exec(cell, space)
    assert heard == [f"Recorded 1.5000, here {1.5 * factor:.4f}: {told}."]
    exec(cell, space | {"article": {"controls": {"drawn, 3 pictures": 1.5}}})
    assert heard[1].startswith(f"The loss is {1.5 * factor:.4f}; no control was recorded")


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

    def enter(*entries: ledger.Entry) -> None:
        for entry in entries:
            into([])(entry.measured)
            found[entry.claim] = entry

    exec(cell, space | {"enter": enter} | known)
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
    found = entered(
        "best = max(its_networks", accuracy={"theirs": [0.85, 0.86, 0.87], "other": [0.1] * 3},
        its_networks=["other", "theirs"], classes="abcdefg",
    )["85% validation accuracy in 10 epochs"]  # fmt: skip
    assert (found.verdict, found.why) == (ledger.HOLDS, "Its network reaches it: theirs.")


PARAMETERS = {"ResNet-18": 11_180_103, "article as printed": 33_039, "article, dense": 429_399}


def efficiency(faster: dict[str, list[float]]) -> list[ledger.Entry]:
    """The entries about size and time, in their order, of times in two settings."""
    rounds = {"128 px, batch 1, onnxruntime": [1.0, 2.0, 9.0], "another": [1500.0]}
    entries = entered(
        "covering = [", latency={"networks": {n: {"parameters": k} for n, k in PARAMETERS.items()}},
        timing=SimpleNamespace(middle=latency.middle, rounds_of=lambda *_: rounds),
        setting="128 px, batch 1, {}", faster=faster,
        counts={"printed": 33_039, "dense": 429_399},
    )  # fmt: skip
    return list(entries.values())


def test_size_and_time_are_those_of_the_networks_that_the_article_speaks_of():
    """429,399 weights of four bytes."""
    resnet, fewer, times, _, mobile = efficiency({"one": [2.0] * 2, "two": [4.0] * 2})
    assert resnet.measured == "11,180,103, with a head for seven classes"
    assert resnet.verdict == ledger.HOLDS
    assert fewer.measured == "338× article as printed, 26× article, dense"
    assert fewer.verdict == ledger.HOLDS_IF
    assert times.measured == (
        "ResNet-18 2.0 to 1,500 ms; article, dense 2.0 to 1,500 ms a batch, by setting"
    )
    assert times.why.endswith("50 to 15 is 3.3, not 3.5.")
    assert mobile.measured.startswith("1.7 MB of weights, and 2.0 ms a picture on one core")


AROUND, ONCE = [3.3, 3.4, 3.6, 3.7], [3.0, 3.1, 3.1, 3.2, 4.0]  # one round is no measurement


@pytest.mark.parametrize(
    ("one", "other", "verdict", "measured", "why"),
    [
        (AROUND, AROUND, ledger.HOLDS, "3.5× to 3.5×", "In every setting."),
        (AROUND, ONCE, ledger.HOLDS_IF, "3.1× to 3.5×", "If measured at one."),
        (ONCE, [4.0] * 4, ledger.DOES_NOT_HOLD, "3.1× to 4.0×",
         "In none of 2 settings on one processor core: in 1 of them it is faster still."),
    ],
)  # fmt: skip
def test_a_ratio_of_times_is_measured_where_half_of_the_rounds_are_around_it(
    one, other, verdict, measured, why
):
    *_, found, _ = efficiency({"one": one, "two": other})
    assert (found.verdict, found.why) == (verdict, why)
    assert found.measured == f"{measured}, by setting"


DENSE = [0.6, 0.7, 0.8]  # by seed


def depthwise(by_its_recipe: list[float], by_ours: list[float]) -> ledger.Entry:
    """The entry of depthwise filters, given their accuracies; the dense ones have `DENSE`."""
    return entered(
        "Depthwise filters cut parameters",
        right={"to the letter": by_its_recipe, "to the letter, without groups": DENSE},
        accuracy={
            "the article's network, our recipe": by_ours, "the dense network, our recipe": DENSE,
        },
        counts={"printed": 33_039, "dense": 429_399},
    )["Depthwise filters cut parameters while maintaining accuracy"]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "verdict"),
    [(-0.1, ledger.DOES_NOT_HOLD), (0.0, ledger.HOLDS), (0.1, ledger.HOLDS)],
)
def test_what_depthwise_filters_cost_is_theirs_less_the_dense_ones(change, verdict):
    shares = [share + change for share in DENSE]
    found = depthwise(shares, shares)
    points = rf"\{100 * change:+.1f} \(.+?\)"
    told = f"{points} points of validation accuracy by its recipe, {points} by ours, for 13 times "
    assert re.fullmatch(f"{told}fewer parameters", found.measured)
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("by_its_recipe", "by_ours", "verdict"),
    [
        (0.05, 0.001, ledger.HOLDS_IF),
        (0.05, 0.05, ledger.DOES_NOT_HOLD),
        (0.001, 0.05, ledger.HOLDS),
    ],
)
def test_accuracy_is_kept_where_all_of_the_interval_is_above_a_point_lost(
    by_its_recipe, by_ours, verdict
):
    """Nothing is lost in the mean; seeds differ by so much up and down."""
    found = depthwise(*([0.6 - by, 0.7, 0.8 + by] for by in (by_its_recipe, by_ours)))
    assert found.verdict == verdict


def test_blind_draws_are_from_the_photos_that_the_article_searched():
    """Five of six photos leave one out: where one is a dress, five of six draws have it."""
    places = [("train", "dress")] * 9 + [("validation", "hat")] * 5
    places += [("validation", "dress"), ("validation", "socks"), ("test", "hat")]
    found = entered(
        "stock = [label", places=places, catalog=SimpleNamespace(classes=("dress", "hat"))
    )
    (entry,) = found.values()
    assert entry.measured == (
        "1 of 6 photos are dresses: five drawn blindly have one or more in 83% of all draws"
    )
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
        "table": lambda *given: tables.append(given), "say": into(heard),
    }  # fmt: skip
    for text in ("def seeds_of", "without for with_relu"):
        cell = cell_with(text)
        exec(cell, space)
    assert told in heard[0]
    assert heard[0].endswith("Recorded: here.")
    ((header, (first, second)),) = tables
    assert header == ["network", "validation", "points more than the row above"]
    assert [row[1].split()[0] for row in (first, second)] == ["62.0%", f"{62 + change:.1f}%"]
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
        "triplets = {name:", pair=names, seeds_of=runs.get, say=into(heard),
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
    heard, tables = [], []
    space = {
        "recorded": lambda _: {"runs": runs}, "table": lambda *given: tables.append(given),
        "mean_and_interval": ledger.mean_and_interval, "say": into(heard),
    }  # fmt: skip
    exec(cell, space)
    ((header, rows),) = tables
    assert header == ["run", "epochs", "precision@5"]
    assert [[*row[:2], row[2].split()[0]] for row in rows] == [
        ["transfer", 2, "0.550"], ["scratch", 2, "0.200"], ["scratch, twice as long", 4, "0.400"],
    ]  # fmt: skip
    assert heard == ["Transfer passes in epoch 2, 4, one number for each seed. Here 4 means never."]


@pytest.mark.parametrize(
    ("here", "told"),
    [(0.9, "**differs**"), (1.0, "agrees"), (3.0, "agrees"), (8.0, "agrees"), (8.1, "**differs**")],
)
def test_times_agree_where_the_ranges_are_within_a_factor_of_two(here, told):
    """Recorded are 2.0 to 4.0; both ends of what is here count."""
    threads = []
    spent = {"slow": [here] * 4, "fast": [1.0] * 4}, None
    found = shown_by(
        cell_with("agrees within a factor of two"),
        torch=SimpleNamespace(get_num_threads=lambda: 2, set_num_threads=threads.append),
        timing=SimpleNamespace(eager=lambda *_: None, middle=latency.middle,
                               take_turns=lambda *_, **__: spent),
        resnet18=lambda **_: None, dense=None,
        faster={"64 px, batch 1, eager": [2.0, 2.0, 4.0, 4.0], "64 px, batch 64, eager": [9.0]},
    )  # fmt: skip
    assert f"recorded 2.0× to 4.0×, here {here:.1f}× to {here:.1f}×: {told}" in found.said[0]
    assert threads == [1, 2]


def test_the_people_of_the_test_photos_are_counted_once():
    """Half of the photos are from one of three people, of whom one sent a training photo."""
    senders = {"test": {"a": "1", "b": "1", "c": "2", "d": "3"}, "train": {"2": 5, "4": 1}}
    cell = cell_with("are a very small sample")
    (said,) = shown_by(cell, recorded=lambda _: senders, Counter=Counter).said
    assert said.startswith("The test photos come from 3 people, 50% of them from one person, and 1")
    assert said.endswith("For everybody else's, 3 people are a very small sample.")


@pytest.mark.parametrize(
    ("printed", "dense", "verdict", "why"),
    [
        (
            33_039,
            429_399,
            ledger.DOES_NOT_HOLD,
            "429,399 is the count without groups, a network 13",
        ),
        (429_399, 33_039, ledger.HOLDS, "The network as printed."),
        (430_000, 430_000, ledger.DOES_NOT_HOLD, "Neither with nor without groups."),
    ],
)
def test_the_articles_429k_are_those_of_one_of_two_networks(printed, dense, verdict, why):
    linear = SimpleNamespace(in_features=64, out_features=7)
    networks = {
        name: SimpleNamespace(count=count, head=SimpleNamespace(linear=linear))
        for name, count in (("printed", printed), ("dense", dense))
    }
    entries = entered(
        "logits = printed.head.linear", count_parameters=lambda net: net.count, **networks
    )
    found = entries["The network has 429K parameters"]
    assert (found.verdict, found.why[: len(why)]) == (verdict, why)
    assert entries["The head is Linear(64, 7)"].verdict == ledger.HOLDS
    assert entries["The head is Linear(64, 7)"].measured == "64 features, 7 logits"


@pytest.mark.parametrize(
    ("sizes", "verdict", "why"),
    [
        ((28, 28, 70), ledger.HOLDS_IF, "If compared with one plain convolution, not with"),
        ((28, 3, 31), ledger.HOLDS, "Whatever it is compared with."),
        ((40, 41, 42), ledger.DOES_NOT_HOLD, "Compared with none of the three."),
    ],
)
def test_a_saving_of_three_times_is_held_against_three_rivals(sizes, verdict, why):
    """The block has 10 parameters; the second rival is two plain convolutions."""
    one, two, dense = sizes
    found = entered(
        "The block cuts parameters 3×", block=10, count_parameters=lambda net: net,
        conv_bn=lambda first, *_, **__: one if first == 24 else two,
        nn=SimpleNamespace(Sequential=lambda *parts: sum(parts)),
        InvertedResidual=lambda *_, **__: dense,
    )["The block cuts parameters 3×"]  # fmt: skip
    assert (found.verdict, found.why[: len(why)]) == (verdict, why)
    assert found.measured.startswith(f"{one / 10:.1f}× to one plain convolution, ")


def test_accuracies_are_gathered_under_the_networks_and_recipes_that_they_are_of():
    runs = {
        "ablation": {"validation": 10, "runs": [
            {"trial": "the dense network, our recipe", "right": {"plain": 6}},
            {"trial": "the dense network, the article's recipe", "right": {"plain": 1}},
            {"trial": "Muon", "right": {"plain": 2}},
        ]},
        "article": {"runs": [
            {"classifiers": {"fashion": {"right": {"validation": [n, 20], "test": [0, 9]}},
                             "article": {"right": {"validation": [3, 20]}}}} for n in (15, 16)
        ]},
        "small": {"of": {"validation": 50, "test": 9}, "recipe": {"epochs": 60}, "runs": [
            {"network": "narrow", "right": {"validation": {"plain": 45, "mirrored": 1}}}]},
    }  # fmt: skip
    stub = SimpleNamespace(accuracy_dots=lambda *_, **__: None, accuracy_dots_alt=lambda _: "alt")
    found = shown_by(
        cell_with("ablation, article, small = map("), recorded=runs.get, figures=stub, of=276,
        right={"to the letter": [0.5, 0.4]},
    )  # fmt: skip
    assert found.space["accuracy"] == {
        "the article's, to the letter": [0.5, 0.4],
        "the dense network, our recipe": [0.6],
        "our network, our recipe": [0.75, 0.8],
        "narrow, 60 epochs": [0.9],
    }
    assert found.space["its_networks"] == ["the article's, to the letter"]


WON, EVEN, LOST = 0.2, 0.0, -0.2
ONE_BACKBONE = "One backbone for both tasks"
BEATS = "For visual search, metric learning beats classification"


@pytest.mark.parametrize(
    ("classifier", "by_class", "ours", "verdicts"),
    [
        (EVEN, EVEN, WON, (ledger.HOLDS_IF, ledger.HOLDS_IF)),
        (EVEN, EVEN, EVEN, (ledger.HOLDS, ledger.DOES_NOT_HOLD)),
        (LOST, EVEN, WON, (ledger.DOES_NOT_HOLD, ledger.HOLDS_IF)),
        (WON, WON, WON, (ledger.HOLDS_IF, ledger.HOLDS)),
        (EVEN, LOST, LOST, (ledger.HOLDS, ledger.DOES_NOT_HOLD)),
        (LOST, EVEN, EVEN, (ledger.DOES_NOT_HOLD, ledger.DOES_NOT_HOLD)),
    ],
)
def test_one_backbone_is_enough_where_neither_task_loses_by_it(
    classifier, by_class, ours, verdicts
):
    """Three seeds of two networks; 60 queries, of which the features have half right.

    Triplets by class, and ours, change each query by something else.
    """
    alike = {"shared": 0.5, "by class": 0.5 + by_class, "ours": 0.5 + ours}
    right = {name: [0.6, 0.7, 0.8] for name in ("one", "two")}
    entries = entered(
        "looks_won = resampled(", right=right, pair=list(right), ways=alike, ours="ours",
        shared="shared",
        by_class="by class", resampled=resampled,
        after={name: [a + classifier for a in shares] for name, shares in right.items()},
        five=lambda way, what: (alike[way] if what == "alike" else 9.0)
        + torch.linspace(-0.3, 0.3, 60) * (way != "shared"),
        count_parameters=lambda _: 429_000, setting="here, {}", latency=None,
        build_classifier=lambda _: SimpleNamespace(backbone=None),
        timing=SimpleNamespace(rounds_of=lambda *_: {"here, onnxruntime": [1.0, 2.0, 9.0]}),
        people=range(3), busiest=0.4,
    )  # fmt: skip
    assert (entries[ONE_BACKBONE].verdict, entries[BEATS].verdict) == verdicts
    assert entries[ONE_BACKBONE].measured.count(f"{100 * classifier:+.1f} (") == 2
    assert entries[ONE_BACKBONE].measured.endswith("429,000 parameters and 2.0 ms a picture")
    first, _, second = entries[BEATS].measured.partition(" with triplets by class, ")
    assert f"features: {by_class:+.3f} (" in first
    assert second.startswith(f"{ours:+.3f} (")
    assert second.endswith("60 test photos of 3 people, 40% of all test photos by one")


@pytest.mark.parametrize(
    ("passed", "learned", "end", "verdicts"),
    [
        ([10, 10, 10], 4, 0.6, (ledger.HOLDS, ledger.HOLDS)),
        ([10, 10, 10], 6, 0.5, (ledger.HOLDS_IF, ledger.DOES_NOT_HOLD)),
        ([16, 16, 16], 0, 0.4, (ledger.DOES_NOT_HOLD, ledger.DOES_NOT_HOLD)),
    ],
)
def test_half_of_the_training_is_saved_with_the_classifiers_epochs_or_without(
    passed, learned, end, verdicts
):
    """Of 30 epochs from scratch, which end at 0.5."""
    entries = entered(
        "Better results with transfer", passed=passed, long=30, learned=learned,
        ends={"transfer": [end] * 3, "scratch, twice as long": [0.5] * 3},
    )  # fmt: skip
    assert tuple(entry.verdict for entry in entries.values()) == verdicts
    first, second = entries.values()
    both = 1 - (passed[0] + learned) / 30
    assert first.measured.startswith(f"{1 - passed[0] / 30:.0%} (")
    assert f"of the epochs; {both:.0%} (" in first.measured
    assert second.measured.startswith(f"precision@5 {end - 0.5:+.3f} (")


def test_the_networks_times_are_medians_of_their_own_rounds():
    rounds = {"128 px, batch 1, eager": [1.0, 2.0, 9.0], "128 px, batch 1, onnxruntime": [0.5],
              "64 px, batch 1, eager": [7.0]}  # fmt: skip
    recorded = {"networks": {"one": {"parameters": 12_345, "macs": {"64": 1e6, "128": 5.4e6}}}}
    found = shown_by(
        cell_with('"MACs", "PyTorch"'), recorded=lambda _: recorded, median=statistics.median,
        timing=SimpleNamespace(rounds_of=lambda *_: rounds),
    )  # fmt: skip
    assert found.tables[0][0] == ["network", "parameters", "MACs", "PyTorch", "ONNX Runtime"]
    assert found.tables[0][1] == [["one", "12,345", "5 M", "2.0 ms", "0.5 ms"]]
    assert found.said[0].endswith("Recorded: here.")


@pytest.mark.parametrize(("least", "told"), [(1.5, True), (0.9, False)])
def test_the_spans_of_ratios_are_those_of_the_medians_of_each_way(least, told):
    """PyTorch takes 2 to 3 times as long, ONNX Runtime `least` to 4 times, in any pair."""
    ratios = {"64 px, eager": [2.0, 2.0, 9.0], "128 px, eager": [3.0],
              "64 px, onnxruntime": [least], "128 px, onnxruntime": [4.0]}  # fmt: skip
    macs = {"ours": 80, "article, dense": 40, "article as printed": 4, "ResNet-18": 800}
    found = shown_by(
        cell_with("The network with the mistake is the faster one"), latency=None,
        networks={name: {"macs": {"128": n, "64": 1}} for name, n in macs.items()},
        median=statistics.median, timing=SimpleNamespace(ratios=lambda *_: ratios),
    )  # fmt: skip
    (header, rows), (said,) = found.tables[0], found.said
    assert header == ["how many times", "the MACs", "as long, PyTorch", "as long, ONNX Runtime"]
    spans = ["2.0 to 3.0", f"{least:.1f} to 4.0"]
    assert [row[1:] for row in rows] == [[work, *spans] for work in ("2.00", "10.00", "10.00")]
    assert f"For 2.00 times the MACs ours takes {least:.1f} to 4.0 times as long as the" in said
    assert ("**The network with the mistake is the faster one.**" in said) == told
    assert f"costs 10.0 times the MACs, and only {least:.1f} to 4.0 times the time" in said


def test_enough_numbers_find_nearly_all_that_all_numbers_find():
    """Sixteen classes, told by the signs of four numbers; the other sixty say nothing."""
    bits = (torch.arange(16)[:, None] >> torch.arange(4)) % 2 * 2.0 - 1
    points = torch.cat([bits * torch.tensor([8.0, 4, 2, 1]), torch.zeros(16, 60)], dim=1)
    split = SimpleNamespace(images=points, labels=torch.arange(16))
    train = SimpleNamespace(images=points.repeat(3, 1), labels=torch.arange(16).repeat(3))
    said, tables = [], []
    entries = entered(
        "An embedding has 64 numbers", torch=torch, shipped=str, say=into(said),
        catalog=SimpleNamespace(name="few", splits={"train": train, "test": split}, test=split,
                                train=train),
        load_encoder=lambda _: (None, None), predict=lambda _, images: images,
        table=lambda header, rows: tables.append((header, rows)),
        ranking=ranking, matches=matches, average_precision=average_precision,
        printed=SimpleNamespace(backbone=SimpleNamespace(features=64)),
    )  # fmt: skip
    assert said[0].startswith("For the class, 4 numbers find at least 99% of what all 64 find.")
    ((header, ((_, two, *others),)),) = tables
    assert header == ["numbers kept", 2, 4, 8, 16, 32, 64]
    assert float(two) < 0.7
    assert others == ["1.000"] * 5
    (entry,) = entries.values()
    assert entry.verdict == ledger.HOLDS
    assert entry.why.endswith("For the class alone fewer would do.")
    assert entry.measured == (
        "64 features of its network; of our encoder's 64 numbers 4 give 99% of the mAP by class"
    )


def coloured(*colours: tuple[int, int, int]) -> torch.Tensor:
    """Pictures of one colour each."""
    return torch.tensor(colours, dtype=torch.uint8)[:, :, None, None].expand(-1, -1, 8, 8)


def test_a_white_dress_is_bright_in_all_colours_alike():
    """Pure white, as dark as is still white, too dark, and tinted; the last is a white hat."""
    images = coloured((255, 255, 255), (100, 140, 100), (99, 99, 99), (100, 141, 120), (255,) * 3)
    validation, test = (
        SimpleNamespace(images=pictures, labels=labels)
        for pictures, labels in (
            (images, torch.tensor([1, 1, 1, 1, 0])),
            (images[:1], torch.ones(1)),
        )
    )
    found = shown_by(
        cell_with("def white_dresses"), torch=torch, mean_colours=mean_colours,
        picture_grid=lambda images, **look: images, catalog=SimpleNamespace(
            classes=("hat", "dress"), validation=validation, test=test),
    )  # fmt: skip
    assert found.space["white_dresses"](validation).tolist() == [0, 1]
    assert torch.equal(found.figures[0], torch.cat([images[:2], images[:1]]))
    assert found.alts == ["3 dresses, white or nearly so."]


@pytest.mark.parametrize(("found", "said"), [(4, ": more than chance."), (1, "; so few queries")])
def test_white_dresses_are_held_against_their_share_of_all_dresses(found, said):
    """Of ten training pictures six are dresses, two of these white; each query finds five."""
    white, others = [0, 1], [2, 3, 4, 5, 6, 7, 8]
    order = torch.tensor([(white * 2)[: min(found, 4)] + others[: 5 - min(found, 4)] + [9]] * 40)
    heard = shown_by(
        cell_with("are white dresses"), torch=torch, ranking=lambda *_: order, score=score,
        predict=lambda *_: None, encoder=None, queries=range(40), embedded={"train": None},
        white_dresses=lambda _: torch.tensor(white), catalog=SimpleNamespace(
            classes=("hat", "dress"),
            train=SimpleNamespace(labels=(torch.arange(10) < 6).long())),
    )  # fmt: skip
    (header, rows), (text,) = heard.tables[0], heard.said
    assert header == ["of the five nearest", "share"]
    assert rows[2] == ["white share among all dresses (chance)", "0.333"]
    assert text.startswith(f"Of our encoder's results for 40 white dresses, 100% are dresses and "
                           f"{found / 5:.0%} white dresses{said}")  # fmt: skip


def test_each_search_has_its_own_two_shares():
    rows = {
        name: {"category": [n] * 4, "alike": [0, 0, n, n]}
        for n, name in enumerate(
            ("classifier features", "batch-hard triplets", "two views", "our encoder"), start=1
        )
    }
    cell = cell_with('"class, colour and pattern"')
    found = shown_by(
        cell, torch=torch, recorded=lambda _: {"photos": {"rows": rows}, "drawn": None},
        score=lambda values: round(float(values.mean()), 2),
    )  # fmt: skip
    assert found.tables[0][0] == ["search by", "right class", "class, colour and pattern"]
    assert [row[1:] for row in found.tables[0][1]] == [
        [0.2, 0.1],
        [0.4, 0.2],
        [0.6, 0.3],
        [0.8, 0.4],
    ]
    space = found.space
    assert [space["ways"][space[name]] for name in ("shared", "by_class", "ours")] == [
        "classifier features", "batch-hard triplets", "our encoder",
    ]  # fmt: skip


def test_accuracy_and_time_are_of_the_size_that_a_network_is_used_with():
    """The article's networks at 64 pixels, all others at 128."""
    article = {"runs": [{"classifiers": dict.fromkeys(("fashion", "article", "article-dense"), n)}
                        for n in (1, 2)]}  # fmt: skip
    rivals = {"runs": [{"network": "ResNet-18", "seed": 0}, {"network": "ResNet-18", "seed": 1}]}
    given = []
    stub = SimpleNamespace(
        accuracy_against_time=lambda *parts: given.append(parts) or [
            figures.Point("ours", 1.0, [0.8, 0.9], (0, 1))],
        accuracy_time_figure=len, accuracy_time_alt=str,
    )  # fmt: skip
    found = shown_by(
        cell_with('"article as printed", "article"'), article=article, recorded=lambda _: rivals,
        figures=stub, latency=None, mean_and_interval=ledger.mean_and_interval,
        test_people="Few people.",
    )  # fmt: skip
    ((trained, sizes, _),) = given
    assert trained == {
        "ours": [1, 2], "article as printed": [1, 2], "article, dense": [1, 2],
        "ResNet-18": rivals["runs"],
    }  # fmt: skip
    assert sizes == {
        "ours": 128, "article as printed": 64, "article, dense": 64, "ResNet-18": 128,
    }  # fmt: skip
    assert "Means and t intervals: ours 85.0% (" in found.captions[0]
    assert found.captions[0].endswith("). Few people. Recorded: here.")


def test_a_classifier_is_shown_before_and_after_the_triplets():
    runs = {name: [{"right after triplets": n}] * 3 for name, n in (("one", 30), ("two", 60))}
    found = shown_by(
        cell_with('"after the triplets"'), of=100, pair=list(runs), seeds_of=runs.get,
        right={"one": [0.5] * 3, "two": [0.75] * 3}, mean_and_interval=ledger.mean_and_interval,
    )  # fmt: skip
    assert found.tables[0][0] == ["classifier", "before", "after the triplets"]
    assert [[row[0], *(each.split()[0] for each in row[1:])] for row in found.tables[0][1]] == [
        ["one", "50.0%", "30.0%"], ["two", "75.0%", "60.0%"],
    ]  # fmt: skip
    assert found.space["after"] == {"one": [0.3] * 3, "two": [0.6] * 3}


@pytest.mark.parametrize(
    ("adds", "channels", "verdicts"),
    [
        (False, [72, 72, 32], (ledger.HOLDS, ledger.HOLDS_IF)),
        (True, [72, 72, 32], (ledger.HOLDS, ledger.HOLDS)),
        (False, [48, 48, 32], (ledger.DOES_NOT_HOLD, ledger.HOLDS_IF)),
    ],
)
def test_the_block_of_the_article_has_its_channels_and_adds_where_they_are_equal(
    adds, channels, verdicts
):
    entries = entered(
        "A block that goes from 24 over 72", adds=adds, same=torch.zeros(1, 32, 4, 4),
        steps=dict(zip(("expand", "filter", "project"), channels, strict=True)),
        InvertedResidual=lambda first, last, _: torch.nn.Conv2d(first, last, 1),
    )  # fmt: skip
    first, second = entries.values()
    assert (first.verdict, second.verdict) == verdicts
    assert first.measured == f"24 → {channels[0]} → 32"
    assert second.measured.startswith("works" if adds else "an error for 24 and 32 channels")


def test_the_last_blocks_filters_are_shown_as_they_are():
    """By hand: 96 channels, 9 weights for each; or 96 · 96 · 9."""
    networks = {name: build_classifier(plan, 7) for name, plan in (
        ("printed", "article"), ("dense", "article-dense"))}  # fmt: skip
    found = shown_by(cell_with('"weight of the filter"'), layer_table=layer_table, **networks)
    assert found.tables[0][0] == [
        "last block", "shapes after its steps", "weight of the filter", "weights",
    ]  # fmt: skip
    assert [[row[0], *row[2:]] for row in found.tables[0][1]] == [
        ["as printed", [192, 1, 3, 3], "1,728"], ["without groups", [192, 192, 3, 3], "331,776"],
    ]  # fmt: skip
    assert [shape[0] for shape in found.tables[0][1][0][1]] == [192, 192, 64]


def test_classes_of_the_data_set_are_the_folders_of_its_manifest():
    names = ["train/hat/1.jpg", "test/dress/2.jpg", "clothing/validation/hat/3.jpg"]
    found = shown_by(cell_with('"classes:", ", ".join(classes)'), read_manifest=lambda: names)
    assert found.space["places"] == [["train", "hat"], ["test", "dress"], ["validation", "hat"]]
    assert found.printed == ["2 classes: dress, hat"]


def test_the_book_shows_the_whole_ledger_and_glues_what_surprised_us():
    glued, shown, asked = {}, [], []
    shown_by(
        cell_with('glue("surprises"'), ledger="entries", HTML=str, display=shown.append,
        ledger_html=lambda entries: f"table of {entries}", glue=glued.__setitem__,
        surprises_html=lambda entries, names: asked.append(names) or f"list of {entries}",
    )  # fmt: skip
    assert shown == ["table of entries"]
    assert glued == {"ledger": "table of entries", "surprises": "list of entries"}
    claims = [node.value for node in ast.walk(TREE) if isinstance(node, ast.Constant)]
    assert all(claims.count(name) == 2 for name in asked[0])  # there, and where it is judged


def test_resnet_is_held_against_the_articles_network_of_429k():
    asked = []
    stub = SimpleNamespace(
        ratio_figure=lambda of, said: (of, said), ratio_alt=lambda of: f"of {of}"
    )
    found = shown_by(
        cell_with("Circles: PyTorch; diamonds"), figures=stub, latency="recorded",
        timing=SimpleNamespace(ratios=lambda *given, **more: asked.append((given, more)) or "all"),
    )  # fmt: skip
    assert asked == [(("recorded",), {"slow": "ResNet-18", "fast": "article, dense"})]
    assert (found.figures, found.alts) == ([("all", 3.5)], ["of all"])


def test_entries_are_kept_in_their_order_and_their_verdicts_are_said():
    space = shown_by(cell_with("def enter("), judge=None, source=lambda _: None,
                     verdict_line=lambda entry: f"verdict {entry}").space  # fmt: skip
    heard: list[str] = []
    space["say"] = into(heard)
    space["enter"]("one", "two")
    space["enter"]("three")
    assert space["ledger"] == ["one", "two", "three"]
    assert heard == ["verdict one\n\nverdict two", "verdict three"]


def test_what_was_not_looked_up_cannot_be_checked():
    (found,) = entered("the journal Symmetry in 2019").values()
    assert found.verdict == ledger.CANNOT_BE_CHECKED
