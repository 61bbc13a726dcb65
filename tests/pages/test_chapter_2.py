"""Chapter 2 looks at the test pictures last, and finds copies that file names do not show."""

import ast
import json
import re
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from chapter_cells import cells_of, code_of, the_one_with
from torch.nn import functional as F

from fashionlib import metrics
from fashionlib.catalog import Split
from fashionlib.pages import recorded_results

CELLS = cells_of("02_train_a_classifier")
cell_with = partial(the_one_with, code=code_of(CELLS))
OPENED = next(n for n, cell in enumerate(CELLS) if cell.source.startswith("## The test pictures"))


def defined(name: str, **known):
    """A function of the chapter, run with what it needs."""
    code = "\n".join(code_of(CELLS))
    (found,) = (node for node in ast.parse(code).body if getattr(node, "name", None) == name)
    space = {"torch": torch, "F": F, "metrics": metrics, **known}
    exec(ast.unparse(found), space)
    return space[name]


def test_no_network_meets_the_test_pictures_before_the_end():
    for cell in CELLS[:OPENED]:
        assert not re.search(r"predict\([^)]*test|right\([^)]*test|test\.labels", cell.source)


def test_every_recorded_classifier_that_was_judged_on_test_is_counted():
    judged = {
        path.stem
        for path in recorded_results.RESULTS.glob("*.json")
        if '"test"' in json.dumps(json.loads(path.read_text()).get("runs", []))
    }
    code = "\n".join(code_of(CELLS))
    (names,) = re.findall(r"for name in (\([^)]*\))\}\ncounts", code)
    assert set(ast.literal_eval(names)) == judged


def test_the_test_pictures_are_judged_once():
    after = "\n".join(code_of(CELLS[OPENED:]))
    assert len(re.findall(r"predict\(model, catalog\.test\.images\)", after)) == 1


def test_a_copy_in_other_light_and_of_another_name_is_the_nearest():
    torch.manual_seed(0)
    blocks = torch.randint(0, 200, (20, 3, 8, 8), dtype=torch.uint8)
    images = blocks.repeat_interleave(8, 2).repeat_interleave(8, 3)
    train = Split(images, torch.zeros(20, dtype=torch.long), tuple(f"train/{n}" for n in range(20)))
    brighter = (images[7:8].int() + 40 + torch.randint(-5, 6, (1, 3, 64, 64))).clamp(0, 255)
    copy = replace(train.at(torch.tensor([7])), images=brighter.byte(), names=("validation/a",))
    thumbnails = defined("thumbnails")
    distances = torch.cdist(thumbnails(copy), thumbnails(train))[0]
    assert distances.argmin() == 7
    assert distances[7] < 0.1 < distances.sort().values[1]


def test_macro_accuracy_counts_each_class_the_same():
    class Catalog:
        classes = ("hat", "shoes")

    of = defined("accuracy_by_class", catalog=Catalog)
    logits = torch.tensor([[1.0, 0.0]] * 9 + [[1.0, 0.0]])  # answers "hat" to all
    labels = torch.tensor([0] * 9 + [1])
    by_class = of(logits, labels)
    assert by_class.tolist() == [1.0, 0.0]
    mix = defined("mix", catalog=Catalog)
    assert float(by_class @ mix(labels)) == pytest.approx(metrics.accuracy(logits, labels))


def test_the_majority_baseline_is_told_of_each_split():
    """Commonest in train are hats: of four pictures three, of two one, of five one."""
    cell = cell_with("The commonest class in train is")
    train, validation, test = (
        SimpleNamespace(labels=torch.tensor(labels))
        for labels in ([0, 0, 0, 1], [0, 1], [0, 1, 1, 1, 1])
    )
    splits = {"train": train, "validation": validation, "test": test}
    catalog, heard = SimpleNamespace(classes=("hat", "shoes"), splits=splits, **splits), []
    exec(cell, {"torch": torch, "metrics": metrics, "catalog": catalog, "say": heard.append})
    assert "**hat**: 75% of train, 50% of validation and 20% of test." in heard[0]
    assert "right for 50.0% of validation and 20.0% of test." in heard[0]


@pytest.mark.parametrize(
    ("of_validation", "mix", "told"),
    [
        (0.95, "does not account for it", "lies below that"),
        (0.8, "explains a part of it", "holds that"),
        (0.65, "turns it round", "lies above that"),
    ],
)
def test_test_is_held_against_validation_with_the_mix_of_test(of_validation, mix, told):
    """Of test 80 of 100 are right. Validation as it is, 90 %, is of another mix."""
    cell = cell_with("gap, left = ")
    heard = []
    space = {
        "plain": [0.9, 0.8], "as_test": [of_validation, 0.8], "test_right": 80,
        "test_labels": range(100), "metrics": metrics, "say": heard.append,
    }  # fmt: skip
    exec(cell, space)
    assert f": the mix {mix}. " in heard[0]
    assert f"With the mix of test, validation gives {of_validation:.1%}. " in heard[0]
    assert f"The interval of test {told}" in heard[0]


@pytest.mark.parametrize(
    ("sure", "told"),
    [(0.6, "less sure than it is right"), (0.8, "about as sure"), (0.95, "surer than it is right")],
)
def test_a_network_that_is_surer_than_right_is_called_so(sure, told):
    """80 of 100 answers are right."""
    cell = cell_with("sure, count = ")
    heard = []
    space = {
        "sureness": torch.full((100,), sure), "is_right": (torch.arange(100) < 80).float(),
        "metrics": metrics, "smoothing": 0.1, "most": 0.9, "say": heard.append,
    }  # fmt: skip
    exec(cell, space)
    assert heard[0].startswith(f"Mean probability of the answers: {sure:.0%}. Right: 80.0% (")
    assert f"So the network is **{told}" in heard[0]


def test_every_network_of_every_seed_counts_as_a_look_at_test():
    """Two seeds of three networks, and 4, 5 and 7 others."""
    cell = cell_with("runs_of = {")
    results = {"article": [{"classifiers": dict.fromkeys("abc")}] * 2,
               "rivals": [{}] * 4, "small": [{}] * 5, "ten_classes": [{}] * 7}  # fmt: skip
    heard = []
    exec(cell, {"recorded": lambda name: {"runs": results[name]}, "say": heard.append})
    assert "of 22 classifiers: 6 for the article's claims and 4 of other networks" in heard[0]
    assert "5 small ones and 7 for all ten classes" in heard[0]


def test_accuracies_by_picture_by_class_and_by_the_mix_of_test():
    """Of validation 6 of 8 hats and 1 of 2 shoes are right, of test 2 of 2 and 2 of 8."""
    cell = cell_with("def accuracy_by_class")
    split = {
        "labels": [0] * 8 + [1] * 2, "answers": [0] * 6 + [1] * 3 + [0],
        "test_labels": [0] * 2 + [1] * 8, "test_answers": [0] * 2 + [1] * 2 + [0] * 6,
    }  # fmt: skip
    split = {name: torch.tensor(values) for name, values in split.items()}
    tables = []
    space = {
        **split, "torch": torch, "metrics": metrics,
        "logits": F.one_hot(split["answers"]), "test_logits": F.one_hot(split["test_answers"]),
        "catalog": SimpleNamespace(classes=("hat", "shoes")),
        "table": lambda header, rows: tables.append([row[1:] for row in rows]),
    }  # fmt: skip
    exec(cell, space)
    assert tables == [
        [["70.0%", "40.0%", "-30.0"], ["62.5%", "62.5%", "+0.0"], ["55.0%", "40.0%", "-15.0"]]
    ]


def test_the_surest_mistakes_come_first():
    cell = cell_with("wrong = torch.nonzero")
    shown = []
    space = {
        "torch": torch, "labels": torch.tensor([1, 1, 1]),
        "logits": torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]]).log(),
        "catalog": SimpleNamespace(
            classes=("hat", "shoes"), validation=SimpleNamespace(images=torch.arange(3))
        ),
        "plots": SimpleNamespace(picture_grid=lambda *given: shown.extend(given)),
        "show": lambda *_, **__: None,
    }  # fmt: skip
    exec(cell, space)
    images, titles = shown
    assert images.tolist() == [1, 0]
    assert titles == ["shoes?\nhat 90%", "shoes?\nhat 60%"]
