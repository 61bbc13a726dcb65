"""Chapter 2 looks at the test pictures last, and finds copies that file names do not show."""

import ast
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jupytext
import pytest
import torch
from torch.nn import functional as F

from fashionlib import metrics
from fashionlib.catalog import Split
from fashionlib.pages import recorded_results

ROOT = Path(__file__).resolve().parents[2]
CELLS = jupytext.read(ROOT / "notebooks" / "02_train_a_classifier.py").cells
OPENED = next(n for n, cell in enumerate(CELLS) if cell.source.startswith("## The test pictures"))


def defined(name: str, **known):
    """A function of the chapter, run with what it needs."""
    code = "\n".join(cell.source for cell in CELLS if cell.cell_type == "code")
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
    code = "\n".join(cell.source for cell in CELLS if cell.cell_type == "code")
    (names,) = re.findall(r"for name in (\([^)]*\))\}\ncounts", code)
    assert set(ast.literal_eval(names)) == judged


def test_the_test_pictures_are_judged_once():
    after = "\n".join(cell.source for cell in CELLS[OPENED:] if cell.cell_type == "code")
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
    (cell,) = (cell.source for cell in CELLS if "The commonest class in train is" in cell.source)
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
    (cell,) = (cell.source for cell in CELLS if "gap, left = " in cell.source)
    heard = []
    space = {
        "plain": [0.9, 0.8], "as_test": [of_validation, 0.8], "test_right": 80,
        "test_labels": range(100), "metrics": metrics, "say": heard.append,
    }  # fmt: skip
    exec(cell, space)
    assert f": the mix {mix}. " in heard[0]
    assert f"With the mix of test, validation gives {of_validation:.1%}. " in heard[0]
    assert f"The interval of test {told}" in heard[0]
