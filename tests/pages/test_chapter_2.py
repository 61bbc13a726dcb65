"""Chapter 2 looks at the test pictures last, and finds copies that file names do not show."""

import ast
import copy
import json
import re
from collections import Counter
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
import torch
from chapter_cells import cells_of, code_of, grid, into, labels_of, shown_by, the_one_with
from torch.nn import functional as F

from fashionlib import metrics, training
from fashionlib.catalog import Split
from fashionlib.pages import recorded_results
from fashionlib.training import Recipe

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
    exec(cell, {"torch": torch, "metrics": metrics, "catalog": catalog, "say": into(heard)})
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
        "test_labels": range(100), "metrics": metrics, "say": into(heard),
    }  # fmt: skip
    exec(cell, space)
    left = 100 * (0.8 - of_validation)
    assert heard[0].startswith(
        "Test is 10.0 points below validation. With the same mix of classes the difference is "
        f"{left:+.1f} points: the mix {mix}. "
    )
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
        "metrics": metrics, "smoothing": 0.1, "most": 0.9, "say": into(heard),
    }  # fmt: skip
    exec(cell, space)
    assert heard[0].startswith(f"Mean probability of the answers: {sure:.0%}. Right: 80.0% (")
    assert f"So the network is **{told}" in heard[0]
    assert "With a label smoothing of 0.1, the loss asks for a probability of 90% and" in heard[0]


def test_every_network_of_every_seed_counts_as_a_look_at_test():
    """Two seeds of three networks, and 4, 5 and 7 others."""
    cell = cell_with("runs_of = {")
    results = {"article": [{"classifiers": dict.fromkeys("abc")}] * 2,
               "rivals": [{}] * 4, "small": [{}] * 5, "ten_classes": [{}] * 7}  # fmt: skip
    heard = []
    exec(cell, {"recorded": lambda name: {"runs": results[name]}, "say": into(heard)})
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
        "table": lambda header, rows: tables.append((header, [row[1:] for row in rows])),
    }  # fmt: skip
    exec(cell, space)
    assert tables == [(
        ["accuracy", "validation", "test", "difference, points"],
        [["70.0%", "40.0%", "-30.0"], ["62.5%", "62.5%", "+0.0"], ["55.0%", "40.0%", "-15.0"]],
    )]  # fmt: skip


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
        "show": lambda _, alt, caption: shown.append(alt),
    }  # fmt: skip
    exec(cell, space)
    images, titles, alt = shown
    assert alt == "The surest mistakes: a shoes called hat; a shoes called hat"
    assert images.tolist() == [1, 0]
    assert titles == ["shoes?\nhat 90%", "shoes?\nhat 60%"]


def test_people_are_counted_once_and_met_photo_by_photo():
    """Of two validation photos one is of a training photo's sender, of five test photos three."""
    senders = {
        "train": {"1": 20, "2": 3},
        "validation": {"a": "1", "b": "3"},
        "test": dict(zip("cdefg", "31141", strict=True)),
    }
    cell = cell_with("The test photos come from")
    (said,) = shown_by(cell, recorded=lambda _: senders).said
    assert said.startswith("50% of the validation photos, and 60% of the test photos, were sent")
    assert "The test photos come from 3 people." in said
    assert said.endswith("Recorded: here.")


def test_the_closest_pairs_are_those_that_are_shown():
    """Of picture n training picture 107 - n is the nearest, at 8 - n; for test twice as far."""
    splits = {"validation": 0, "test": 10}
    nearest = {}
    for times, name in enumerate(splits, start=1):
        distances = torch.full((8, 8), 99.0)
        distances[range(8), range(7, -1, -1)] = times * torch.arange(8.0, 0, -1)
        nearest[name] = distances.min(dim=1)
    catalog = SimpleNamespace(
        splits={name: SimpleNamespace(images=torch.arange(8) + n) for name, n in splits.items()},
        train=SimpleNamespace(images=torch.arange(8) + 100),
    )
    found = shown_by(
        cell_with("Four rows of six pictures"), torch=torch, nearest=nearest, catalog=catalog,
        plots=SimpleNamespace(picture_grid=grid),
    )  # fmt: skip
    (figure,), (alt,) = found.figures, found.alts
    assert figure.columns == 6
    order = [7, 6, 5, 4, 3, 2]
    below = [107 - n for n in order]
    rows = [order, below, [10 + n for n in order], below]
    assert torch.tensor(figure.images).view(4, 6).tolist() == rows
    assert figure.titles[:2] + figure.titles[6:7] == ["validation 1.00", "validation 2.00", "train"]
    assert figure.titles[12:14] + figure.titles[18:19] == ["test 2.00", "test 4.00", "train"]
    assert alt.endswith("are 1.00 for validation and 2.00 for test.")


def test_copies_are_sought_in_validation_and_in_test():
    """Two of four validation pictures are closer to a training picture than any of test is."""
    cell = cell_with("have a training picture that is")
    places = {"train": [0.0, 5.0], "validation": [0.1, 0.2, 0.4, 0.9], "test": [0.3, 0.5]}

    body = "known = thumbnails" + cell.partition("known = thumbnails")[2]
    found = shown_by(
        body, torch=torch, thumbnails=lambda split: torch.tensor(split)[:, None],
        catalog=SimpleNamespace(splits=places, train=places["train"],
                                validation=places["validation"]),
    )  # fmt: skip
    assert found.said[0].startswith("Of 4 validation pictures, 2 have a training picture that is")
    assert found.said[0].endswith("the closest pair of all is at 0.10.")


def test_each_networks_accuracy_stands_beside_its_own_seconds():
    """Of 100 validation pictures; the article's network is judged by its own interval."""
    answers = {name: (torch.arange(100) >= right).long() for name, right in (("a", 70), ("b", 90))}
    runs = {"article": ("a", [{"seconds": 1.4}, {"seconds": 2.0}]), "ours": ("b", [{"seconds": 9}])}
    space = {
        "metrics": metrics, "runs": runs, "EPOCHS": 2,
        "predict": lambda model, images: F.one_hot(answers[model], 2),
        "catalog": SimpleNamespace(
            name="drawn",
            validation=Split(torch.zeros(100, 3, 1, 1), torch.zeros(100).long(), ("",) * 100),
        ),
    }  # fmt: skip
    found = shown_by(cell_with("def right(model, split)"), **space)
    assert found.tables[0][0] == ["network", "validation, epochs: 2", "trained in"]
    assert [[row[0], row[1].split(",")[0], row[2]] for row in found.tables[0][1]] == [
        ["article", "70.0% (70 of 100", "3 s"], ["ours", "90.0% (90 of 100", "9 s"],
    ]  # fmt: skip
    exec(cell_with("The article's figure is 85%"), found.space)
    low, high = metrics.wilson_interval(70, 100)
    assert f"the interval of that ({low:.1%} to {high:.1%}) **is below**" in found.said[0]
    assert "Its network reaches 70.0% here" in found.said[0]
    assert "**is below** the article's figure (which was measured on the photos)." in found.said[0]


def test_fifths_go_from_the_least_to_the_most_sure():
    """Of ten pictures, out of order; of the least sure two none is right, then half of them."""
    sureness = torch.tensor([0.95, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.05])
    right = torch.tensor([1, 0, 0, 1, 0, 1, 1, 0, 1, 0])
    found = shown_by(
        cell_with("is_right = (answers == labels)"), torch=torch, plt=plt, metrics=metrics,
        sureness=sureness, answers=right, labels=torch.ones(10).long(),
        recipes={"fashion": SimpleNamespace(label_smoothing=0.1)},
        catalog=SimpleNamespace(classes=("hat", "shoes")),
    )  # fmt: skip
    (figure,), (alt,) = found.figures, found.alts
    assert "10% sure, 0% right; 30% sure, 50% right; 50% sure, 50% right; 70% sure, 50%" in alt
    assert alt.endswith("90% sure, 100% right.")
    assert found.space["most"] == pytest.approx(0.95)  # of two classes half of the smoothing
    legend = ["as right as it is sure", "what the loss asks for", "a fifth of the pictures"]
    assert labels_of(figure) == [("mean probability of the answer", "share that is right", legend)]
    (bars,) = figure.axes[0].containers
    line, _, (spans,) = bars
    assert line.get_xydata() == pytest.approx(
        torch.tensor([[0.1, 0], [0.3, 0.5], [0.5, 0.5], [0.7, 0.5], [0.9, 1]]).numpy()
    )
    low, high = metrics.wilson_interval(1, 2)
    assert spans.get_segments()[1][:, 1] == pytest.approx([low, high])
    plt.close(figure)


def test_the_slider_counts_the_answers_that_are_given_alone():
    """Of the four answers 0.1, 0.5 and twice 0.92 sure the last two are right."""
    sureness, right = torch.tensor([0.1, 0.5, 0.92, 0.92]), torch.tensor([0.0, 0, 1, 1])
    cell = cell_with('slider("probability of at least"')
    (pieces,) = shown_by(cell, sureness=sureness, is_right=right, metrics=metrics).pieces
    assert list(pieces) == [f"{least}%" for least in range(0, 100, 5)]
    assert "answers 100% of the validation pictures. Right, of those: 50.0% (2 of" in pieces["0%"]
    assert "answers 75% of the validation pictures. Right, of those: 66.7% (2 of" in pieces["50%"]
    assert "answers 50% of the validation pictures. Right, of those: 100.0% (2" in pieces["55%"]
    assert "answers 0% of the validation pictures. Right, of those: there are" in pieces["95%"]


def test_the_people_of_test_come_by_how_many_photos_they_sent():
    """Each with the share of their own photos that is right."""
    people = {"a": 7, "b": 2, "c": 7, "d": 7}
    found = shown_by(
        cell_with("right of this person's photos"), Counter=Counter, metrics=metrics,
        senders={"test": people}, catalog=SimpleNamespace(
            name="photos", test=SimpleNamespace(names=tuple(people))),
        test_logits=F.one_hot(torch.tensor([0, 1, 0, 1]), 2),
        test_labels=torch.tensor([0, 1, 0, 0]),
    )  # fmt: skip
    assert found.tables[0][0] == ["person", "right of this person's photos"]
    assert [[row[0], row[1].split(",")[0]] for row in found.tables[0][1]] == [
        ["number 7", "66.7% (2 of 3"], ["number 2", "100.0% (1 of 1"],
    ]  # fmt: skip


def test_classes_are_counted_in_either_split():
    """Hats: 1 of 2 right on validation, 1 of 1 on test; of shoes validation has none."""
    found = shown_by(
        cell_with("validation: right of this class"), metrics=metrics,
        catalog=SimpleNamespace(classes=("hat", "shoes")),
        logits=F.one_hot(torch.tensor([0, 1]), 2), labels=torch.tensor([0, 0]),
        test_logits=F.one_hot(torch.tensor([0, 0, 1]), 2), test_labels=torch.tensor([0, 1, 1]),
    )  # fmt: skip
    assert found.tables[0][0] == [
        "class", "validation: right of this class", "test: right of this class",
    ]  # fmt: skip
    assert [[row[0], *(each.split(",")[0] for each in row[1:])] for row in found.tables[0][1]] == [
        ["hat", "50.0% (1 of 2", "100.0% (1 of 1"], ["shoes", "", "50.0% (1 of 2"],
    ]  # fmt: skip


def test_what_ten_epochs_reach_is_recorded_seed_by_seed():
    runs = [
        {"classifiers": {"article": {"history": [None] * 10, "right": {"validation": [n, 200],
                                                                       "test": [0, 1]}},
                         "fashion": {"history": [None], "right": {"validation": [9, 9]}}}}
        for n in (100, 150)
    ]  # fmt: skip
    (said,) = shown_by(
        cell_with('whole = [run["classifiers"]["article"]'), recorded=lambda _: {"runs": runs}
    ).said
    assert said == (
        "After 10 epochs, recorded with 2 seeds, it has 50.0%, 75.0% of the validation photos."
    )


def test_each_class_has_a_row_of_its_first_eight_pictures():
    labels = torch.arange(20) % 2
    train = SimpleNamespace(images=torch.arange(20), labels=labels)
    found = shown_by(
        cell_with("first = ["), torch=torch, plots=SimpleNamespace(picture_grid=grid),
        catalog=SimpleNamespace(classes=("hat", "shoes"), train=train),
    )  # fmt: skip
    (figure,) = found.figures
    assert (figure.images, figure.columns) == ([*range(0, 16, 2), *range(1, 17, 2)], 8)


def test_the_loss_of_a_network_that_knows_nothing_is_that_of_all_classes_alike():
    given = []
    found = shown_by(
        cell_with("Loss of an untrained network"), torch=torch, F=F,
        build_classifier=lambda _: lambda inputs: given.append(inputs) or torch.zeros(16, 7),
        to_input=lambda images, size: images,
        catalog=SimpleNamespace(train=Split(
            torch.arange(32)[:, None, None, None], torch.arange(32) % 7, ("",) * 32)),
    )  # fmt: skip
    assert found.said == ["Loss of an untrained network: 1.95; ln 7 = 1.95."]
    assert given[0].flatten().tolist() == list(range(0, 32, 2))


def test_the_schedule_is_drawn_from_its_start_to_its_end():
    found = shown_by(cell_with("The one-cycle schedule"), torch=torch, plt=plt)
    assert labels_of(found.figures[0]) == [
        ("share of the training done", "share of the\nlargest learning rate", [])
    ]
    (line,) = found.figures[0].axes[0].lines
    x, y = line.get_xdata(), line.get_ydata()
    assert (x[0], x[-1], y[-1]) == (0, 1, pytest.approx(0))
    assert abs(float(x[max(range(200), key=y.__getitem__)]) - 0.3) < 0.01
    plt.close(found.figures[0])


def test_three_halvings_leave_an_eighth_of_the_way():
    found = shown_by(cell_with("after three halvings"), torch=torch)
    assert found.printed == ["after three halvings of the distance to 1: 0.875"]


def test_the_loop_of_the_chapter_goes_through_its_epochs():
    """Batches of every fifth picture; the loss is that of the epoch."""
    trained = []
    stub = SimpleNamespace(make_optimizer=lambda *_: None,
                           labelled_batches=lambda some, recipe: (some, recipe))  # fmt: skip
    found = shown_by(
        cell_with("mean loss {loss:.2f}"), torch=torch, copy=copy, replace=replace, training=stub,
        build_classifier=lambda _: torch.nn.Linear(1, 1), pick_device=lambda: "cpu",
        budget=lambda full, quick: full, recipe=Recipe(), classification_loss=None,
        catalog=SimpleNamespace(train=Split(
            torch.arange(12)[:, None, None, None], torch.zeros(12), tuple("abcdefghijkl"))),
        train_epoch=lambda *given: trained.append(given) or 2.0 / (1 + given[-1]),
    )  # fmt: skip
    assert found.printed == ["epoch 1: mean loss 2.00", "epoch 2: mean loss 1.00"]
    assert [given[-1] for given in trained] == [0, 1]
    some, recipe = trained[0][3]
    assert some.images.flatten().tolist() == [0, 5, 10]
    assert (recipe.epochs, recipe.size) == (2, 64)
    assert trained[0][0] is not trained[0][1]  # the average is a copy


def test_both_networks_are_trained_by_their_own_recipes(monkeypatch):
    asked = []
    monkeypatch.setattr(training, "train_classifier", lambda *given, **more: asked.append(given))
    found = shown_by(
        cell_with('"trained:", ", ".join(runs)'), torch=torch, replace=replace, training=training,
        budget=lambda full, quick: full, build_classifier=lambda plan, classes: (plan, classes),
        catalog=SimpleNamespace(classes=("hat", "shoes")),
    )  # fmt: skip
    (theirs, _, first), (ours, _, second) = asked
    assert (theirs, ours) == (("article", 2), ("fashion", 2))
    assert first == replace(training.ARTICLE_RECIPE, epochs=4)
    assert second == Recipe(epochs=4, size=64, evaluation_size=80)
    assert found.printed == ["trained: article, fashion"]


def test_the_confusions_are_those_of_our_network_on_validation():
    answers = torch.tensor([0, 1, 1, 1])
    validation = SimpleNamespace(images="validation", labels=torch.tensor([0, 0, 1, 1]))
    asked = []
    found = shown_by(
        cell_with("true class (row) against answer (column)"), metrics=metrics,
        runs={"article": ("theirs",), "fashion": ("ours",)},
        catalog=SimpleNamespace(classes=("hat", "shoes"), validation=validation),
        predict=lambda *given: asked.append(given) or F.one_hot(answers, 2),
        plots=SimpleNamespace(confusion_figure=lambda matrix, _: matrix.tolist(),
                              confusion_alt=lambda matrix, _: f"{matrix.tolist()}"),
    )  # fmt: skip
    assert asked == [("ours", "validation")]
    assert found.figures == [[[1, 1], [0, 2]]]
    assert found.alts == ["[[1, 1], [0, 2]]"]


def test_the_test_pictures_have_their_own_accuracy():
    test = SimpleNamespace(images=None, labels=torch.tensor([0, 1, 1, 1]))
    found = shown_by(
        cell_with("**Test: "), metrics=metrics, model=None, catalog=SimpleNamespace(test=test),
        predict=lambda *_: F.one_hot(torch.tensor([0, 1, 1, 0]), 2),
    )  # fmt: skip
    assert found.said[0].startswith("**Test: 75.0% (3 of 4, ")


def test_the_page_says_with_which_catalog_and_on_what_it_was_made():
    catalog = SimpleNamespace(name="few", about="about it")
    found = shown_by(cell_with("This page was made with"), load_catalog=lambda few: catalog,
                     budget=lambda full, quick: full,
                     pick_device=lambda: torch.device("cpu"))  # fmt: skip
    assert found.printed == ["about it"]
    assert found.said == ["This page was made with the **few** catalog, on **cpu**."]


def test_shares_of_the_classes_are_shown_and_told():
    stub = SimpleNamespace(class_shares=lambda of: of, class_shares_alt=lambda of: f"of {of}")
    found = shown_by(cell_with("plots.class_shares(catalog)"), plots=stub, catalog="it")
    assert (found.figures, found.alts) == (["it"], ["of it"])


def test_draws_of_both_recipes_stand_in_their_own_row():
    stub = SimpleNamespace(seeded=training.seeded)
    found = shown_by(
        cell_with("eight draws each"), torch=torch, training=stub, first=[torch.tensor([3, 5])],
        catalog=SimpleNamespace(train=SimpleNamespace(
            images=torch.arange(9)[:, None, None, None].expand(-1, 3, 1, 1))),
        AUGMENTATIONS={"article": lambda size: size, "fashion": lambda size: size + 1000},
        augment=lambda pictures, by: pictures + by, plots=SimpleNamespace(picture_grid=grid),
    )  # fmt: skip
    (figure,) = found.figures
    numbers = torch.tensor(figure.images).view(16, 3)[:, 0].tolist()
    assert (numbers, figure.columns) == ([115] * 8 + [1115] * 8, 8)


def test_batches_of_an_epoch_are_counted():
    batches = [(torch.zeros(16, 3, 8, 8), torch.zeros(16))] * 5
    stub = SimpleNamespace(seeded=training.seeded, Recipe=Recipe,
                           labelled_batches=lambda train, recipe: batches)  # fmt: skip
    found = shown_by(cell_with("make an epoch, by this recipe"), training=stub,
                     catalog=SimpleNamespace(train=None))  # fmt: skip
    assert found.printed == ["inputs (16, 3, 8, 8) labels (16,)"]
    assert found.said == [f"5 batches of 16 make an epoch, by this recipe: `{Recipe()}`"]


def test_curves_are_those_of_both_histories():
    stub = SimpleNamespace(training_curves=dict, training_curves_alt=lambda of: f"of {list(of)}")
    runs = {"article": ("model", "slow"), "fashion": ("model", "fast")}
    found = shown_by(cell_with("plots.training_curves(histories)"), plots=stub, runs=runs)
    assert found.figures == [{"article": "slow", "fashion": "fast"}]
    assert found.alts == ["of ['article', 'fashion']"]
