"""Chapter 9's sentences follow from what was recorded: other results, other sentences."""

import ast
import copy
from collections import Counter
from dataclasses import asdict
from functools import partial
from statistics import fmean, median
from types import SimpleNamespace

import ablation
import look_ablation
import matplotlib.pyplot as plt
import pytest
import torch
from chapter_cells import cells_of, code_of, grid, into, shown_by, the_one_with

from fashionlib import metrics
from fashionlib.pages import ablation_figures, recorded_results, show
from fashionlib.pages.ablation_figures import by_trial
from fashionlib.pages.ledger import mean_and_range
from fashionlib.siamese import RECIPE
from fashionlib.training import ARTICLE_RECIPE, Recipe

CELLS = cells_of("09_what_each_change_is_worth")
CODE = [cell for cell in CELLS if cell.cell_type == "code"]
cell_with = partial(the_one_with, code=code_of(CELLS))
RECORDED = recorded_results.recorded
SIDES = "pictures on any of their sides"


@pytest.fixture
def said(monkeypatch):
    """Runs the chapter up to the labels in doubt, with the ablation's counts changed."""

    def run(more: dict[str, int]) -> str:
        results = copy.deepcopy(RECORDED("ablation"))
        for one in results["runs"]:
            one["right"]["plain"] += more.get(one["trial"], 0)
        texts: list[str] = []
        changed = lambda name: results if name == "ablation" else RECORDED(name)  # noqa: E731
        monkeypatch.setattr(recorded_results, "recorded", changed)
        monkeypatch.setattr(show, "say", into(texts))
        monkeypatch.setattr(show, "show", lambda *_, **__: None)
        monkeypatch.setattr(show, "source", lambda _: None)
        monkeypatch.setattr("fashionlib.catalog.load_catalog", lambda **_: None)
        space: dict = {}
        for cell in CODE:
            if "doubted_labels.doubted)" in cell.source:
                break
            exec(cell.source, space)
        return "\n".join(texts)

    return run


def test_as_recorded_nothing_helps_and_what_harms_is_named(said):
    text = said({})
    assert "Nothing that we tried helps by more than chance" in text
    assert f"{SIDES} (-" in text
    assert "does **not** pay" in text


def test_a_change_that_helps_is_named(said):
    text = said({"twenty epochs": 12, "Muon": 15})
    assert "Nothing that we tried" not in text
    assert "What helps, and is more than chance:" in text
    assert "Twenty epochs pass the test" in text
    assert "It pays." in text


def test_the_average_pays_if_training_without_it_is_far_worse(said):
    text = said({"no average of the weights": -15})
    assert "photos, a number for each seed. It pays." in text


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "worse in nothing: **no change**."),
        ({"128 px": 0.05}, "worse in nothing: **128 px**."),
        ({"two views instead of names": -0.2}, "worse in nothing: **no change**."),
    ],
)
def test_the_encoders_recipe_is_judged_by_what_was_recorded(monkeypatch, more, told):
    def right(trial: str, seed: int) -> dict[str, float]:
        value = 0.4 + 0.01 * seed + more.get(trial, 0) + 0.001 * ((seed + len(trial)) % 2)
        return dict.fromkeys(("category", "colour", "pattern", "patterned", "alike"), value)

    runs = [
        {"trial": trial, "seed": seed, "right": right(trial, seed)}
        for trial in look_ablation.TRIALS
        for seed in look_ablation.SEEDS
    ]
    results = RECORDED("ablation") | {"runs": runs, "queries": 276}
    monkeypatch.setattr(recorded_results, "recorded", lambda _: results)
    texts: list[str] = []
    monkeypatch.setattr(show, "say", into(texts))
    monkeypatch.setattr(show, "table", lambda *_: None)
    space: dict = {}
    exec(CODE[0].source.partition("catalog = ")[0], space)
    place = next(n for n, cell in enumerate(CODE) if '"look_ablation"' in cell.source)
    for cell in CODE[place : place + 3]:
        exec(cell.source, space)
    assert told in texts[-2]
    for trial, change in more.items():
        assert f"*{trial}*: class {100 * change:+.1f}, colour {100 * change:+.1f}, " in texts[-3]
    assert "does not call for it, but our encoder trains without a change of light" in texts[-1]


def test_the_encoder_is_trained_as_the_recorded_trials_say():
    means = {
        name: {
            trial: fmean(runs.values())
            for trial, runs in by_trial(
                RECORDED("look_ablation")["runs"], lambda run, name=name: run["right"][name]
            ).items()
        }
        for name in ("colour", "alike")
    }
    for each in means.values():
        assert each["as it was"] < each["no change of light"]
        assert each["no change of light"] < each["no change of light, twice as long"]
    kept = {**asdict(look_ablation.TRIALS["no change of light"]), "epochs": RECIPE.epochs}
    assert kept == asdict(RECIPE)
    assert RECIPE.epochs >= look_ablation.TRIALS["no change of light, twice as long"].epochs


def test_it_trains_nothing_and_looks_at_no_test_picture():
    code = "\n".join(code_of(CELLS))
    assert "train_classifier" not in code
    assert "catalog.test" not in code


def test_each_network_is_trained_by_the_recipe_that_its_trial_names():
    tree = ast.parse("\n".join(code_of(CELLS)))
    (table,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "by_either_recipe"
    )
    plans = ("article", "article-dense", "fashion")
    for plan, trials in zip(plans, table.values(), strict=True):
        for trial, recipe in zip(trials, (ARTICLE_RECIPE, Recipe()), strict=True):
            assert ablation.TRIALS[trial].plan == plan
            assert ablation.TRIALS[trial].recipe == recipe


def test_a_change_that_helps_one_thing_and_harms_another_is_not_better():
    """By all seeds alike colour gains and pattern loses, or the other way round."""
    cell = cell_with("least[trial] = ")
    names = {name: name for name in ("colour", "pattern")}
    for helped, harmed in (names, reversed(names)):
        change = {helped: 0.1, harmed: -0.1}
        means = {
            "as it was": dict.fromkeys(names, 0.5),
            "both": {name: 0.5 + change[name] for name in names},
            "one": {helped: 0.6, harmed: 0.5},
        }
        found = {
            name: {
                trial: {seed: each[name] + 0.001 * (seed + n % 2) for seed in range(3)}
                for n, (trial, each) in enumerate(means.items())
            }
            for name in names
        }
        texts: list[str] = []
        space = {"NAMES": names, "means": means, "found": found, "say": into(texts),
                 "ablation": ablation_figures}  # fmt: skip
        exec(cell, space)
        assert texts[-1] == "Better in something and worse in nothing: **one**."


def test_what_the_teachers_brought_is_from_the_first_network_to_the_last():
    cell = cell_with("right_of = [")
    figures = {
        "validation accuracy of the first network": "80.0% (80 of 100, 71.1% to 86.7%)",
        "validation accuracy of the ten-class network": "77.0% (77 of 100, 67.8% to 84.2%)",
        "validation accuracy": "85.0% (85 of 100, 76.7% to 90.7%)",
        "test accuracy": "84.0%",
    }
    found = shown_by(cell, card={"figures": figures}, of=100)
    assert "From the first to the last that is +5 of 100 photos" in found.said[0]
    first, ten, last, _ = figures.values()
    assert found.tables == [(["network", "validation"], [
        ["first", first], ["ten classes, asked about the seven", ten],
        ["the one that learned from both", last],
    ])]  # fmt: skip


def test_each_network_has_its_own_gain_by_our_recipe():
    """Right photos of 100: 10 more for the article's network, 20 for the dense one, 5 for ours."""
    cell = cell_with("recipe_gains = [")
    counts = {"theirs": (50, 60), "dense": (55, 75), "ours": (80, 85)}
    texts: list[str] = []
    space = {
        "by_either_recipe": {name: (f"{name} 0", f"{name} 1") for name in counts},
        "right": {f"{name} {n}": {0: two[n] - 1, 1: two[n] + 1}
                  for name, two in counts.items() for n in (0, 1)},
        "of": 100, "fmean": fmean, "say": into(texts),
    }  # fmt: skip
    exec(cell, space)
    assert "+30 points by the article's recipe, +25 by ours." in texts[0]
    told = "+10 points for the article's network, +20 for the dense one, +5 for ours."
    assert texts[0].endswith(told)
    exec(cell_with("the dense network, which has"), space)
    assert texts[1].endswith("as many parameters as the article's, is 15 points better.")


@pytest.mark.parametrize(
    ("network", "recipe", "told"),
    [
        ([30, 25], [10, 5], ("the **network** brings more", "about as much to either")),
        ([30, 25], [28, 5], ("neither of the two brings more", "about as much to either")),
        ([30, 25], [5, 28], ("neither of the two brings more", "far more to our network")),
        ([30, 4], [3, 5], ("neither of the two brings more", "about as much to either")),
        ([30, 25], [-2, 1], ("the **network** brings more", "far more to our network")),
    ],
)
def test_the_network_brings_more_where_its_least_is_more_than_the_recipes_most(
    network, recipe, told
):
    (said,) = shown_by(
        cell_with("the dense network, which has"), network_gains=network, recipe_gains=recipe,
        dense=[50.0, 68.0], printed=[40.0, 64.0],
    ).said  # fmt: skip
    assert all(words in said for words in told)
    assert said.endswith("as many parameters as the article's, is 4 points better.")


def test_four_times_the_seeds_halve_what_chance_does():
    cell = cell_with("A mean gain of about")
    shown = {}
    space = {
        "band": 2.0, "seeds": 5, "gained": ["one", "two", "three"],
        "slider": lambda label, pieces: shown.update(pieces),
    }  # fmt: skip
    exec(cell, space)
    assert "about 2.0 points is more than chance, after 15 trainings" in shown["5"]
    assert "about 1.0 points is more than chance, after 60 trainings" in shown["20"]


def test_the_published_share_is_held_against_the_seed_in_the_middle():
    """Of 45 photos 20, 44 and 30 are right: 30 are below 90 %, 44 are not."""
    cell = cell_with("hardest = sorted(of_ten")
    classes = {"hat": 10, "shoes": 10, "skirt": 5, "shirt": 20}
    right = {"hat": 9, "shoes": 4, "skirt": 4, "shirt": 10}
    runs = [{"test right": right, "right": {"test": {"plain": n}}} for n in (20, 44, 30)]
    texts: list[str] = []
    space = {
        "ten": {"runs": runs, "classes": classes}, "photos": 45, "published": (336, 372),
        "fmean": fmean, "metrics": metrics, "ablation": ablation_figures, "say": into(texts),
        "about": lambda _: "here",
    }  # fmt: skip
    exec(cell, space)
    assert "With 45 photos, our interval **is below** the published share." in texts[0]
    assert "ours has 65.0%." in texts[0]
    assert "for it: shoes (40% right), shirt (50% right), skirt (80% right)." in texts[0]


def plain_run(trial: str, seed: int, right: int) -> dict:
    """A run of 100 photos, of which so many are right; the mirror image changes nothing."""
    both = dict.fromkeys((ablation_figures.PLAIN, ablation_figures.MIRRORED), right)
    return {"trial": trial, "seed": seed, "right": both, "parameters": 1000}


def test_a_change_is_better_or_worse_in_every_seed_or_in_neither():
    """Three seeds; what compares recipes is no change, but for the first trial."""
    trials = {"as it is": (50, 60, 70), "up": (51, 61, 71), "down": (49, 59, 69),
              "both": (49, 60, 75), "even": (50, 61, 71), "theirs": (10, 10, 10)}  # fmt: skip
    runs = [plain_run(trial, seed, n) for trial, ns in trials.items() for seed, n in enumerate(ns)]
    found = shown_by(
        cell_with("better in every seed, and as many worse"), ablation=ablation_figures,
        measured={"validation": 100, "runs": runs},
        by_either_recipe={"one": ("theirs", "as it is")},
    )  # fmt: skip
    # the mirror image is a change too
    assert found.said == [
        "5 changes, 3 seeds: by chance 0.6 would be better in every seed, and as many worse. "
        "Found: 1 better (up) and 1 worse."
    ]
    assert found.space["worse"] == ["down"]


@pytest.mark.parametrize(("band", "told"), [(1.5, "2 of 3 changes pass: up (+2.0), down (-3.0)."),
                                            (4.0, "0 of 3 changes pass: none.")])  # fmt: skip
def test_a_gain_or_a_loss_passes_beyond_the_band(band, told):
    gained = {"up": [1.0, 3.0], "down": [-3.0, -3.0], "even": [-2.0, 2.0]}
    stub = SimpleNamespace(sure_gain=lambda _: band, shares=lambda _: None)
    cell = cell_with("A mean gain or loss of more than")
    (said,) = shown_by(cell, ablation=stub, changes=None, gained=gained, fmean=fmean).said
    assert said.startswith(f"A mean gain or loss of more than **{band:.1f} points** is more than")
    assert said.endswith(told)


@pytest.mark.parametrize(("deep", "told"), [(0.86, "85% is in reach"), (0.84, "85% stays out of")])
def test_the_narrow_network_is_held_against_the_articles(deep, told):
    reached = {"the article's, as printed": 0.72, "narrow and deep": deep}
    cell = cell_with("a thirteenth of the parameters")
    (said,) = shown_by(cell, reached=reached, printed=[60.0, 65.0], small=None).said
    assert "gains 12 points over its own ten epochs" in said
    assert f"reaches {100 * deep - 72:.0f} points more" in said
    assert told in said
    assert "its own network does not reach it." in said


@pytest.mark.parametrize(
    ("values", "sure", "told"),
    [
        ([0.5, 1.0], {}, "better in every seed, but no more than chance"),
        ([-0.5, -1.0], {}, "worse in every seed, but no more than chance"),
        ([-0.5, 1.0], {}, "better in one seed, worse in another: no more than chance"),
        ([3.0, 4.0], {"labels in doubt left out": 3.5}, "more than chance."),
    ],
)
def test_without_the_labels_in_doubt_each_seed_counts(values, sure, told):
    gained = {"labels in doubt left out": values}
    (said,) = shown_by(cell_with("Without the labels in doubt"), gained=gained, sure=sure).said
    assert f"{values[0]:+.1f}, {values[1]:+.1f} points, a number for each seed: {told}" in said


@pytest.mark.parametrize(
    ("helps", "told"),
    [([], "within chance"), (["Muon"], "It pays."), (["Muon and mixup"], "It pays.")],
)
def test_muon_is_told_by_its_last_loss_and_its_own_share(helps, told):
    runs = [{"trial": trial, "seed": seed, "losses": [9.0, loss + seed]}
            for trial, loss in (("as it is", 1.0), ("Muon", 0.5)) for seed in (0, 1)]  # fmt: skip
    (said,) = shown_by(
        cell_with("After ten epochs the training loss is"), ablation=ablation_figures, fmean=fmean,
        measured={"runs": runs}, helps=helps,
        means={"as it is": 0.81, "Muon": 0.82, "Muon and mixup": 0.83},
    ).said  # fmt: skip
    assert "loss is 1.50 as it is and 1.00 with Muon; 81.0% and 82.0% of the" in said
    assert "right, 83.0% with mixup too. " in said
    assert told in said


def test_trainings_that_are_longer_stand_beside_twenty_epochs():
    means = {
        "as it is": 0.79,
        "twenty epochs": 0.82,
        "ten epochs of A": 0.83,
        "ten epochs of B": 0.8,
    }
    costs = {"twenty epochs": 2.0, "ten epochs of A": 3.04, "ten epochs of B": 2.5}
    found = shown_by(cell_with("twenty plain epochs"), means=means, costs=costs)
    assert found.tables[0][0] == ["training", "right, mean", "times the work"]
    assert found.tables[0][1] == [
        ["twenty epochs", "82.0%", "2.0"],
        ["ten epochs of A", "83.0%", "3.0"],
        ["ten epochs of B", "80.0%", "2.5"],
    ]
    assert found.said == ["Better, in the mean, than twenty plain epochs: ten epochs of A."]
    (said,) = shown_by(
        cell_with('sides = "pictures on any of'), means={"as it is": 0.8, SIDES: 0.75}
    ).said
    assert said.endswith("names 75.0% right: 5 points fewer.")


def test_doubts_are_counted_by_label_and_answer_and_the_surest_are_shown():
    """The recorded order is that of how sure they are; a photo that is not here is left out."""
    rows = [("c", "hat", "shoes", 0.9), ("x", "hat", "shoes", 0.8), ("a", "shoes", "hat", 0.7)]
    doubted = [
        {"name": name, "label": label, "answer": answer, "probability of the answer": p}
        for name, label, answer, p in rows
    ]
    judged = {"doubted": doubted, "pictures": 3_000}
    found = shown_by(cell_with("In doubt: "), recorded=lambda _: judged, Counter=Counter)
    assert found.tables[0][0] == ["label", "what it might be", "photos"]
    assert found.tables[0][1] == [["hat", "shoes", 2], ["shoes", "hat", 1]]
    assert found.said == ["In doubt: 3 of the 3,000 training photos. Recorded: here."]
    train = SimpleNamespace(names=("a", "b", "c"), images=torch.arange(3))
    shown = shown_by(
        cell_with("The labels most in doubt"), doubts=doubted,
        catalog=SimpleNamespace(train=train), plots=SimpleNamespace(picture_grid=grid),
    )  # fmt: skip
    assert shown.figures[0].images == [2, 0]
    assert shown.figures[0].titles == ["hat?\nshoes 90%", "shoes?\nhat 70%"]
    assert shown.alts[0].endswith("hat that might be shoes; shoes that might be hat")


def test_ten_classes_are_told_run_by_run_with_and_without_the_mirror_image():
    ten = {"of": {"test": 40, "validation": 9}, "runs": [
        {"seed": seed, "right": {"validation": None, "test": {
            ablation_figures.PLAIN: 20 + seed, ablation_figures.MIRRORED: 30 + seed}}}
        for seed in (0, 2)
    ]}  # fmt: skip
    found = shown_by(
        cell_with("Xception, pretrained"), recorded=lambda _: ten, metrics=metrics,
        ablation=ablation_figures,
    )  # fmt: skip
    assert found.tables[0][0] == ["network", "seed", "test photos right", "with mirror image"]
    assert [[row[0], row[1], row[2].split(",")[0], row[3]] for row in found.tables[0][1]] == [
        ["Xception, pretrained", "", "90.3% (336 of 372", ""],
        ["ours, from scratch", "0", "50.0% (20 of 40", "75.0%"],
        ["ours, from scratch", "2", "55.0% (22 of 40", "80.0%"],
    ]


def test_loops_are_held_against_ours_and_parts_against_a_whole_step():
    speed = {
        "rates": {"ours": [100, 120, 300], "theirs": [50, 60, 70]},
        "ratios": {"theirs": [1.5, 2.0, 2.5]},
        "parts": {"load": [0, 1.0, 9], "forward": [0, 3.0, 9]}, "batch": 64, "size": 128,
    }  # fmt: skip
    cell = cell_with("pictures a second")
    found = shown_by(cell, recorded=lambda _: speed, median=median)
    assert [header for header, _ in found.tables] == [
        ["loop", "pictures a second", "ours, times as fast"], ["part of a step", "ms", "share"],
    ]  # fmt: skip
    loops, parts = (rows for _, rows in found.tables)
    assert loops == [["ours", "120", ""], ["theirs", "60", "2.00×"]]
    assert parts == [["load", "1.0", "25%"], ["forward", "3.0", "75%"]]
    assert found.said == ["Batches of 64 at 128 px. Recorded: here."]


@pytest.mark.parametrize(
    ("sure", "told"), [(0.6, "underconfident"), (0.9, "surer than it is right")]
)
def test_the_shipped_network_is_called_surer_where_it_is(sure, told):
    """Three of four are right."""
    logits = torch.tensor([[sure, 1 - sure]] * 4).log()
    (said,) = shown_by(
        cell_with("its mean probability is"), shipped=str, load_classifier=lambda _: (None, None),
        predict=lambda *_: logits, catalog=SimpleNamespace(
            name="photos", validation=SimpleNamespace(
                images=None, labels=torch.tensor([0, 0, 0, 1]))),
    ).said  # fmt: skip
    assert f"its mean probability is {sure:.0%}, and 75% are right. " in said
    assert told in said


@pytest.mark.parametrize(
    ("removed", "told"), [([-1.0, -3.0], "It pays."), ([-1.0, 1.0], "does **not** pay")]
)
def test_the_average_is_worth_what_is_lost_without_it(removed, told):
    """Of 200 photos two are a point; what passes is beyond 1.5 points."""
    name = "no average of the weights"
    stub = SimpleNamespace(costs=lambda _: {name: 0.98})
    cell = cell_with('removed = gained["no average of the weights"]')
    (said,) = shown_by(
        cell, gained={name: removed}, of=200, fmean=fmean, band=1.5, measured=None, ablation=stub
    ).said
    photos = ", ".join(f"{-2 * round(value):+d}" for value in removed)
    assert said.startswith(f"The average is worth {photos} photos, a number for each seed. ")
    assert ("without it takes 0.98 times as long." in said) == ("not" in told)
    assert told in said


def test_means_of_the_encoders_trials_are_over_their_own_seeds():
    names = ("category", "colour", "pattern", "patterned", "alike")
    runs = [
        {"trial": trial, "seed": seed, "right": {
            name: base + 0.1 * seed + 0.01 * n for n, name in enumerate(names)}}
        for trial, base in (("as it was", 0.3), ("other", 0.5)) for seed in (0, 1)
    ]  # fmt: skip
    found = shown_by(
        cell_with('recorded("look_ablation")'), ablation=ablation_figures, fmean=fmean,
        recorded=lambda _: {"runs": runs, "queries": 276},
    )  # fmt: skip
    assert found.tables[0][0] == [
        "recipe", "class @5", "colour @5", "pattern @5", "pattern, if patterned @5", "alike @5",
    ]  # fmt: skip
    assert found.tables[0][1] == [
        ["as it was", "0.350", "0.360", "0.370", "0.380", "0.390"],
        ["other", "0.550", "0.560", "0.570", "0.580", "0.590"],
    ]
    assert found.said == ["276 validation photos, means of 2 seeds. Recorded: here."]


def test_small_networks_stand_beside_ours_by_their_own_splits():
    small = {"of": {"validation": 10, "test": 20}, "runs": [
        {"network": network, "parameters": 33_000 + n, "right": {
            "validation": {ablation_figures.PLAIN: 6 + n}, "test": {ablation_figures.PLAIN: n}}}
        for network in ("the article's, as printed", "narrow and deep", "another")
        for n in (0, 2)
    ]}  # fmt: skip
    name = "validation accuracy of the first network"
    card = {"parameters": 32_000, "figures": {name: "84.1% (232 of 276)"}}
    found = shown_by(
        cell_with("sixty epochs"), recorded=lambda _: small, ablation=ablation_figures, fmean=fmean,
        load_classifier=lambda _: (None, card), shipped=str, mean_and_range=mean_and_range,
    )  # fmt: skip
    spreads = ["70.0% (60.0% to 80.0%)", "5.0% (0.0% to 10.0%)"]
    assert found.tables[0][0] == [
        "sixty epochs", "parameters", "seeds", "validation (range)", "test (range)",
    ]  # fmt: skip
    assert found.tables[0][1] == [
        ["the article's, as printed", "33,000", 2, *spreads],
        ["narrow and deep", "33,000", 2, *spreads],
        ["ours", "32,000", 1, "84.1%", "not recorded"],
    ]
    assert found.space["reached"] == {
        "the article's, as printed": pytest.approx(0.7), "narrow and deep": pytest.approx(0.7),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sure", "worse", "told"),
    [
        ({}, 1, "**Nothing that we tried helps by more than chance.** In every seed 1 changes are "
                "worse, and 2 are better."),
        ({"down": -3.0}, 3, "These do harm: down. In every seed 3 changes are worse, and 2 are "
                            "better, as one must expect"),
        ({"down": -3.0, "up": 2.0}, 1, "What helps, and is more than chance: up. In every seed"),
    ],
)  # fmt: skip
def test_what_helps_is_a_sure_gain_and_no_sure_loss(sure, worse, told):
    (said,) = shown_by(
        cell_with("helps = ["), sure=sure, worse=["x"] * worse, better=["y"] * 2
    ).said
    assert told in said


def test_either_recipe_is_counted_for_each_network():
    counts = {"the article's network, its recipe": 50, "the article's network, our recipe": 60,
              "the dense network, the article's recipe": 55, "the dense network, our recipe": 75,
              "our network, the article's recipe": 80, "as it is": 85}  # fmt: skip
    runs = [plain_run(trial, seed, n + seed) | {"parameters": 10 * n}
            for trial, n in counts.items() for seed in (0, 2)]  # fmt: skip
    again = {"runs": [{"classifiers": {"fashion": {"right": {"validation": [n, 100]}}}}
                      for n in (85, 88)]}  # fmt: skip
    found = shown_by(
        cell_with("elsewhere = recorded("), measured={"runs": runs}, of=100, fmean=fmean,
        recorded=lambda _: again, ablation=ablation_figures,
    )  # fmt: skip
    assert found.tables[0][0] == ["network", "parameters", "the article's recipe", "our recipe"]
    assert found.tables[0][1] == [
        ["the article's network", "500", "51.0% (50, 52)", "61.0% (60, 62)"],
        ["the dense network", "550", "56.0% (55, 57)", "76.0% (75, 77)"],
        ["our network", "800", "81.0% (80, 82)", "86.0% (85, 87)"],
    ]
    assert found.said[0].startswith("Mean share of the 100 validation photos, and the photos")
    assert "trained once more: 85, 88." in found.said[0]


def test_what_was_run_and_the_people_of_the_test_photos_are_told_first(monkeypatch):
    """Two trainings of half an hour; of four photos two are from one of three people."""
    runs = [{"processor seconds": 1800}, {"processor seconds": 1800}]
    recorded = {
        "ablation": {"validation": 276, "runs": runs},
        "senders": {"test": {"a": "1", "b": "2", "c": "1", "d": "3"}, "train": {"4": 9}},
    }
    heard: list[str] = []
    monkeypatch.setattr(recorded_results, "recorded", recorded.get)
    monkeypatch.setattr(recorded_results, "about", lambda _: "here")
    monkeypatch.setattr(show, "say", into(heard))
    monkeypatch.setattr("fashionlib.catalog.load_catalog", lambda **_: None)
    with plt.rc_context():
        space = shown_by(cell_with("sent = Counter(")).space
    assert heard[0] == "2 trainings, 1 hours of one processor core. Recorded: here."
    assert "come from 3 people, 50% of them from one person." in heard[1]
    assert space["of"] == 276


def test_all_changes_are_drawn_and_listed_with_the_band_of_chance():
    stub = SimpleNamespace(
        gain_figure=lambda *given: given, gain_alt=lambda results: f"of {results}",
        gain_table=lambda results: (["change"], [[results]]),
    )  # fmt: skip
    found = shown_by(cell_with("ablation.gain_figure("), ablation=stub, changes="all", band=2.0)
    assert found.figures == [("all", 2.0)]
    assert found.alts == ["of all"]
    found = shown_by(cell_with("*ablation.gain_table("), ablation=stub, changes="all")
    assert found.tables == [(["change"], [["all"]])]


@pytest.mark.parametrize(
    ("better", "change", "told"),
    [
        (["no change of light"], 0.1, "So our encoder trains without"),
        (["no change of light"], -0.1, "This table does not call for it, but our"),
        ([], 0.1, "This table does not call for it, but our"),
    ],
)
def test_the_encoder_trains_longer_where_the_table_calls_for_it(better, change, told):
    names, before = ("colour", "alike"), {"colour": 0.5, "alike": 0.5}
    after = {"colour": 0.7, "alike": 0.5 + change}
    (said,) = shown_by(
        cell_with("training twice as long changes"), NAMES=dict(zip(names, names, strict=True)),
        RECIPE=RECIPE, better=better, means={
            "no change of light": before, "no change of light, twice as long": after},
    ).said  # fmt: skip
    assert f": colour +20.0, alike {100 * change:+.1f} points. {told}" in said
    assert f", and for longer still: {RECIPE.epochs} epochs, which" in said


@pytest.mark.parametrize(
    ("helps", "told"),
    [(["twenty epochs"], "Twenty epochs pass the test."), (["Muon"], "Even twenty epochs do not")],
)
def test_twenty_epochs_are_held_against_ten(helps, told):
    shares = {"as it is": {0: 0.79, 1: 0.81}, "with mirror image": {0: 0.82, 1: 0.82},
              "twenty epochs": {0: 0.84, 1: 0.86}}  # fmt: skip
    (said,) = shown_by(
        cell_with("after ten epochs, "), fmean=fmean, measured=None, helps=helps,
        costs={"twenty epochs": 2.04}, ablation=SimpleNamespace(shares=lambda _: shares),
    ).said  # fmt: skip
    assert said.startswith(
        "80.0% after ten epochs, 82.0% with the mirror image, 85.0% after twenty epochs, for 2.0 "
        f"times the work. {told}"
    )


def test_a_dense_network_that_is_half_a_point_ahead_is_no_better():
    (said,) = shown_by(
        cell_with("the dense network, which has"), network_gains=[1, 1], recipe_gains=[0, 0],
        dense=[50.0, 64.5], printed=[40.0, 64.0],
    ).said  # fmt: skip
    assert said.endswith("the article's, is no better.")
