"""Exercise 1: the checkers accept the solution, and tell each mistake from the others."""

import copy
import re

import pytest
import torch
from solved import must_accept, must_ask_for, solved, told
from torch import nn

from fashionlib import training
from fashionlib.catalog import load_catalog
from fashionlib.checks import NotYet, more_classes
from fashionlib.heads import ClassificationHead, build_classifier

SOLVED = solved("1_more_classes")
grown, recall_by_class = SOLVED["grown"], SOLVED["recall_by_class"]
class_weights, own_classifier = SOLVED["class_weights"], SOLVED["own_classifier"]
TASKS = ("grown", "recall_by_class", "class_weights", "own_classifier")


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("FASHIONLIB_CACHE", str(tmp_path))


def shared(classifier, old, new):
    model = grown(classifier, old, new)
    model.backbone = classifier.backbone
    return model


def grown_in_place(classifier, old, new):
    classifier.head = grown(classifier, old, new).head
    return classifier


def random_backbone(classifier, old, new):
    model = grown(classifier, old, new)
    model.backbone = build_classifier(more_classes.SMALL).backbone
    return model


def first_rows(classifier, old, new):
    """The old rows come first, wherever their classes are."""
    model = copy.deepcopy(classifier)
    model.head = ClassificationHead(classifier.backbone.features, len(new))
    with torch.no_grad():
        count = min(len(old), len(new))
        model.head.linear.weight[:count] = classifier.head.linear.weight[:count]
        model.head.linear.bias[:count] = classifier.head.linear.bias[:count]
    return model


def new_head(classifier, old, new):
    model = copy.deepcopy(classifier)
    model.head = ClassificationHead(classifier.backbone.features, len(new))
    return model


def without_bias(classifier, old, new):
    model = grown(classifier, old, new)
    nn.init.zeros_(model.head.linear.bias)
    return model


def frozen(classifier, old, new):
    model = grown(classifier, old, new)
    model.backbone.requires_grad_(False)
    return model


def equal_rows(classifier, old, new):
    model = grown(classifier, old, new)
    with torch.no_grad():
        for n, name in enumerate(new):
            if name not in old:
                model.head.linear.weight[n] = 0
    return model


def must_be_there(classifier, old, new):
    model = new_head(classifier, old, new)
    places = [new.index(name) for name in old]
    with torch.no_grad():
        model.head.linear.weight[places] = classifier.head.linear.weight
        model.head.linear.bias[places] = classifier.head.linear.bias
    return model


def by_place_where_fewer(classifier, old, new):
    chosen = first_rows if len(new) < len(old) else grown
    return chosen(classifier, old, new)


def found(answers, labels, classes):
    return torch.bincount(labels[answers == labels], minlength=classes)


def count(labels, classes):
    return torch.bincount(labels, minlength=classes)


def no_training(folder, classifier, old, recipe):
    catalog = load_catalog(folder)
    return grown(classifier, old, catalog.classes), catalog


def from_nothing(folder, classifier, old, recipe):
    catalog = load_catalog(folder)
    model = build_classifier(more_classes.SMALL, len(catalog.classes))
    return training.train_classifier(model, catalog, recipe)[0], catalog


def other_classes(folder, classifier, old, recipe):
    catalog = load_catalog(folder)
    model = grown(classifier, old, (*catalog.classes, "sock"))
    return training.train_classifier(model, catalog, recipe)[0], catalog


def changes_the_old(folder, classifier, old, recipe):
    catalog = load_catalog(folder)
    model = grown(classifier, old, catalog.classes)
    model.backbone = classifier.backbone
    return training.train_classifier(model, catalog, recipe)[0], catalog


def history_too(folder, classifier, old, recipe):
    catalog = load_catalog(folder)
    model = grown(classifier, old, catalog.classes)
    return training.train_classifier(model, catalog, recipe), catalog


def other_catalog(folder, classifier, old, recipe):
    model, catalog = own_classifier(folder, classifier, old, recipe)
    return model, copy.copy(catalog.train)


WRONG = {
    "grown": {
        "share one backbone": shared,
        "no longer what it was": grown_in_place,
        "answers otherwise": random_backbone,
        "'dress' is number 1 now": first_rows,
        "copy rows": new_head,
        "their bias is not": without_bias,
        "requires_grad": frozen,
        "all alike": equal_rows,
        "raised ValueError": must_be_there,
        "go by the names": by_place_where_fewer,
        r"the shape \[6, 6\], \[6, 5\]": lambda c, old, new: grown(c, old, (*new, "sock")),
        "with a `backbone` and a `head`": lambda c, old, new: nn.Sequential(*grown(c, old, new)),
    },
    "recall_by_class": {
        "this is the precision": lambda a, y, c: found(a, y, c) / count(a, c),
        "these are counts": found,
        "number of all pictures": lambda a, y, c: found(a, y, c) / len(y),
        "class 2 has no picture here, so its recall is unknown: give nan, not 0.0": (
            lambda a, y, c: recall_by_class(a, y, c).nan_to_num(0)
        ),
        "right answers of its pictures": lambda a, y, c: count(a, c) / count(y, c),
        r"the shape \[4\]": lambda a, y, c: torch.stack(
            [(a[y == n] == n).float().mean() for n in y.unique()]
        ),
        r"the shape \[\]": lambda a, y, c: (a == y).float().mean(),
        "gives a list": lambda a, y, c: recall_by_class(a, y, c).tolist(),
    },
    "class_weights": {
        "the other way round": lambda y, c: count(y, c) / len(y),
        "square root": lambda y, c: count(y, c).float().rsqrt(),
        # of counts of 50, 10, 30 and 10
        "over all pictures the mean weight is 0.040: scale it to 1": lambda y, c: 1 / count(y, c),
        "it goes from 9.00 to 25.00": lambda y, c: 1 - count(y, c) / len(y),
        "weight 0": lambda y, c: len(y) / (c * count(y, c)),
        "raised IndexError": lambda y, c: 1 / torch.bincount(y)[range(c + 1)],
        r"the shape \[100\]": lambda y, c: class_weights(y, c)[y],
    },
    "own_classifier": {
        "train with the recipe": no_training,
        "start from it": from_nothing,
        "the folder has 4 classes, your classifier answers 5": other_classes,
        "you start from has changed": changes_the_old,
        "with a `backbone`": history_too,
        "the catalog of the folder": other_catalog,
        "return two things": lambda *given: own_classifier(*given)[0],
    },
}


@pytest.mark.parametrize("name", TASKS)
def test_the_solution_is_accepted(name, capsys):
    must_accept(getattr(more_classes, name), SOLVED[name], TASKS.index(name) + 1, capsys)


@pytest.mark.parametrize("name", TASKS)
def test_an_untouched_task_is_still_to_do(name):
    must_ask_for(getattr(more_classes, name), lambda *arguments: None, TASKS.index(name) + 1)


@pytest.mark.parametrize(("name", "sentence"), [(n, s) for n in TASKS for s in WRONG[n]])
def test_a_wrong_answer_is_told_what_is_wrong(name, sentence):
    assert re.search(sentence, told(getattr(more_classes, name), WRONG[name][sentence]))


@pytest.mark.parametrize("name", TASKS)
def test_each_mistake_has_a_sentence_of_its_own(name):
    said = {told(getattr(more_classes, name), answer) for answer in WRONG[name].values()}
    assert len(said) == len(WRONG[name]) >= 5


def test_recall_has_a_place_for_a_last_class_without_pictures():
    with pytest.raises(NotYet, match=r"the shape \[4\], \[5\] is needed"):
        more_classes.recall_by_class(lambda a, y, _: torch.bincount(y[a == y]) / torch.bincount(y))


def test_the_checker_leaves_nothing_in_the_readers_cache(tmp_path):
    more_classes.own_classifier(own_classifier)
    assert list(tmp_path.iterdir()) == []
