"""Chapter 9's sentences follow from what was recorded: other results, other sentences."""

import ast
import copy
from dataclasses import asdict
from functools import partial
from statistics import fmean

import ablation
import look_ablation
import pytest
from chapter_cells import cells_of, code_of, the_one_with

from fashionlib import metrics
from fashionlib.pages import ablation_figures, recorded_results, show
from fashionlib.pages.ablation_figures import by_trial
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
        monkeypatch.setattr(show, "say", texts.append)
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


def test_the_recipe_can_win_too(said):
    """As if our recipe brought as much to the article's network as depth does."""
    text = said({"the article's network, our recipe": 75, "our network, the article's recipe": 0})
    assert "neither of the two brings more in every row and column" in text
    assert "the two help each other" not in text


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
    monkeypatch.setattr(show, "say", texts.append)
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
        space = {"NAMES": names, "means": means, "found": found, "say": texts.append,
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
    texts: list[str] = []
    space = {"card": {"figures": figures}, "of": 100, "say": texts.append,
             "table": lambda *_: None}  # fmt: skip
    exec(cell, space)
    assert "From the first to the last that is +5 of 100 photos" in texts[0]


def test_each_network_has_its_own_gain_by_our_recipe():
    """Right photos of 100: 10 more for the article's network, 20 for the dense one, 5 for ours."""
    cell = cell_with("recipe_gains = [")
    counts = {"theirs": (50, 60), "dense": (55, 75), "ours": (80, 85)}
    texts: list[str] = []
    space = {
        "by_either_recipe": {name: (f"{name} 0", f"{name} 1") for name in counts},
        "right": {f"{name} {n}": {0: two[n] - 1, 1: two[n] + 1}
                  for name, two in counts.items() for n in (0, 1)},
        "of": 100, "fmean": fmean, "say": texts.append,
    }  # fmt: skip
    exec(cell, space)
    assert "+30 points by the article's recipe, +25 by ours." in texts[0]
    told = "+10 points for the article's network, +20 for the dense one, +5 for ours."
    assert texts[0].endswith(told)
    exec(cell_with("the dense network, which has"), space)
    assert texts[1].endswith("as many parameters as the article's, is 15 points better.")


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
        "fmean": fmean, "metrics": metrics, "ablation": ablation_figures, "say": texts.append,
        "about": lambda _: "here",
    }  # fmt: skip
    exec(cell, space)
    assert "With 45 photos, our interval **is below** the published share." in texts[0]
    assert "ours has 65.0%." in texts[0]
    assert "for it: shoes (40% right), shirt (50% right), skirt (80% right)." in texts[0]
