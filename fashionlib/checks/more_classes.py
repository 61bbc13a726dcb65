"""Checks of exercise 1, more than seven classes: a larger head, recall, weights, an own folder."""

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from fashionlib.blocks import Plan
from fashionlib.checks import Task
from fashionlib.drawn import draw_garment, sample_garment
from fashionlib.heads import build_classifier
from fashionlib.training import Recipe

SMALL = Plan(8, ((2, 12, 1, 2),))  # a backbone that answers at once
OLD = ("dress", "pants", "shoes")
DRAWN_AS = ("hat", "dress", "pants", "shoes")  # what the own folder's classes show
NEW = ("boot", "dress", "outwear", "pants", "shoes")  # as alphabetical order mixes them


def grown(answer: Callable[..., nn.Sequential]) -> None:
    """Check `answer(classifier, old, new)`: a classifier of new classes that knows the old ones."""
    task = Task(1, "return a classifier with a larger head")
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        classifier = build_classifier(SMALL, len(OLD)).eval()
        pictures = torch.randn(6, 3, 32, 32)
    before = copy.deepcopy(classifier)
    result = task.call(answer, classifier, OLD, NEW)
    _is_classifier(task, result)
    wanted, features = before(pictures), before.backbone(pictures)
    task.need(
        _same_weights(classifier, before),
        "the old classifier is no longer what it was: change a copy, `copy.deepcopy` makes one.",
    )
    task.need(
        torch.allclose(result.eval().backbone(pictures), features, atol=1e-5),
        "the new backbone answers otherwise than the old one: take its weights along.",
    )
    task.need(
        not any(
            mine is theirs
            for mine in result.backbone.parameters()
            for theirs in classifier.backbone.parameters()
        ),
        "both classifiers share one backbone, so training one would change the other: copy it.",
    )
    logits = task.tensor(result(pictures), (len(pictures), len(NEW)), "the new classifier")
    known = [NEW.index(name) for name in OLD]
    gone = torch.allclose(logits[:, : len(OLD)], wanted, atol=1e-5)
    task.need(
        not gone,
        "the old rows of the head are the first rows of the new one, but the classes have moved: "
        f"{OLD[0]!r} is number {NEW.index(OLD[0])} now.",
    )
    without = torch.allclose(
        logits[:, known] - result.head.linear.bias[known],
        wanted - before.head.linear.bias,
        atol=1e-5,
    )
    right = torch.allclose(logits[:, known], wanted, atol=1e-5)
    task.need(right or not without, "the weights of the old classes are there, their bias is not.")
    task.need(
        right, "for the old classes the new head does not answer what the old one did: copy rows."
    )
    fresh = [n for n, name in enumerate(NEW) if name not in OLD]
    distinct = len({tuple(row) for row in result.head.linear.weight[fresh].tolist()}) == len(fresh)
    task.need(
        distinct, "the rows of the new classes are all alike: leave them as `nn.Linear` draws them."
    )
    fewer = task.call(answer, classifier, OLD, ("cap", "shoes"))
    _is_classifier(task, fewer)
    task.need(
        torch.allclose(fewer.eval()(pictures)[:, 1], wanted[:, 2], atol=1e-5),
        "where an old class is gone, the row of another takes its place: go by the names.",
    )
    trainable = all(parameter.requires_grad for parameter in result.parameters())
    task.need(trainable, "some parameters have `requires_grad=False`, so they would never learn.")
    task.done("the old classes are answered as before, and the old classifier is untouched")


def recall_by_class(answer: Callable[[Tensor, Tensor, int], Tensor]) -> None:
    """Check `answer(answers, labels, classes)`: the share of each class that is found."""
    task = Task(2, "return the recall of each class")
    generator = torch.Generator().manual_seed(0)
    for absent in (2, 4):  # once in the middle, once at the end
        present = torch.tensor([n for n in range(5) if n != absent])
        labels = present[torch.randint(0, 4, (60,), generator=generator)]
        answers = torch.randint(0, 5, (60,), generator=generator)
        mixed = torch.rand(60, generator=generator) < 0.6
        answers = torch.where(mixed, labels, answers)
        found = torch.bincount(labels[answers == labels], minlength=5).double()
        result = task.call(answer, answers.clone(), labels.clone(), 5)
        unknown = isinstance(result, Tensor) and result.shape == (5,) and result.isnan()[absent]
        if isinstance(result, Tensor):
            result = result.double().nan_to_num()  # where nan is right is looked at below
        recall = task.tensor(result, (5,))
        counts, asked = torch.bincount(labels, minlength=5), torch.bincount(answers, minlength=5)
        mistakes = {
            "this is the precision: divide by how many pictures *are* of the class, not by how "
            "many are called so.": found / asked,
            "these are counts: divide by the number of pictures of the class.": found,
            "each count is divided by the number of all pictures, not by that of its class.": found
            / len(labels),
        }
        for sentence, wrong in mistakes.items():
            task.need(not torch.allclose(recall[present], wrong[present]), sentence)
        task.need(
            torch.allclose(recall[present], (found / counts)[present]),
            "the recall of a class is: right answers of its pictures / its pictures.",
        )
        task.need(
            bool(unknown),
            f"class {absent} has no picture here, so its recall is unknown: give nan, not "
            f"{float(recall[absent]):.1f}.",
        )
    task.done("each class by itself, and nan where there is nothing to find")


def class_weights(answer: Callable[[Tensor, int], Tensor]) -> None:
    """Check `answer(labels, classes)`: weights that let each class count alike."""
    task = Task(3, "return a weight for each class")
    for counts in ([50, 10, 30, 10], [5, 80, 2, 40, 7]):
        labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        weights = task.tensor(task.call(answer, labels.clone(), len(counts)), (len(counts),))
        number = torch.tensor(counts).double()
        total = weights.double() * number
        even = torch.allclose(total, total.mean().expand_as(total), rtol=1e-4)
        task.need(
            not torch.allclose(weights.double() / weights.sum(), number / number.sum()),
            "large classes have large weights: the other way round.",
        )
        rooted = weights.double() * number.sqrt()
        task.need(
            even or not torch.allclose(rooted, rooted.mean().expand_as(rooted), rtol=1e-4),
            "weights by the square root leave large classes ahead: use one over the count.",
        )
        task.need(
            even,
            "weight times number of pictures is to be the same for each class, but it goes from "
            f"{float(total.min()):.2f} to {float(total.max()):.2f}.",
        )
        mean = float(total.sum() / number.sum())
        task.need(
            abs(mean - 1) < 1e-3,
            f"over all pictures the mean weight is {mean:.3f}: scale it to 1, so that the "
            "learning rate means what it did.",
        )
    absent = task.call(answer, torch.tensor([0, 0, 2, 2]), 4)
    zeros = isinstance(absent, Tensor) and absent.shape == (4,)
    task.need(
        zeros and torch.allclose(absent.double(), torch.tensor([1.0, 0, 1, 0]).double()),
        "a class without a picture is to have the weight 0, and is not to disturb the others.",
    )
    task.done("every class weighs the same, and a picture 1 on average")


def own_classifier(answer: Callable[..., tuple[nn.Sequential, object]]) -> None:
    """Check `answer(folder, classifier, old, recipe)`: a classifier of the folder's classes."""
    task = Task(4, "return the trained classifier and the catalog of the folder")
    names = ("cap", "dress", "pants", "poncho")
    with torch.random.fork_rng([]), _folder_of(dict(zip(names, DRAWN_AS, strict=True))) as folder:
        torch.manual_seed(0)
        classifier = build_classifier(SMALL, len(OLD))
        before = copy.deepcopy(classifier)
        none, one = (Recipe(e, 32, 32, batch_size=8, average=0.0) for e in (0, 1))
        model, catalog = _own(task, answer, folder, classifier, none)
        task.need(
            getattr(catalog, "name", None) == str(folder),
            "the second thing to return is the catalog of the folder: `load_catalog(folder)`.",
        )
        logits = model.eval()(torch.zeros(1, 3, 32, 32))
        task.need(
            logits.shape == (1, len(names)),
            f"the folder has {len(names)} classes, your classifier answers {logits.shape[1]}.",
        )
        task.need(
            _same_weights(model.backbone, before.backbone),
            "with 0 epochs the backbone is not that of the classifier: start from it.",
        )
        trained, _ = _own(task, answer, folder, classifier, one)
        task.need(
            not _same_weights(trained.backbone, before.backbone),
            "after an epoch the backbone is as before: train with the recipe, and return what "
            "`train_classifier` gives.",
        )
        task.need(_same_weights(classifier, before), "the classifier you start from has changed.")
    task.done(f"{len(names)} classes from a folder, on the backbone that you had")


def _own(
    task: Task, answer: Callable, folder: Path, classifier: nn.Sequential, recipe: Recipe
) -> tuple[nn.Sequential, object]:
    result = task.call(answer, folder, classifier, OLD, recipe)
    pair = isinstance(result, tuple) and len(result) == 2
    task.need(pair, "return two things: the classifier and the catalog.")
    _is_classifier(task, result[0])
    return result


@contextmanager
def _folder_of(drawn: dict[str, str]) -> Iterator[Path]:
    """A folder for each class, with pictures of the drawn class that stands in for it.

    The catalog made of it is cached beside it: the reader's own cache would keep it for ever.
    """
    rng = np.random.default_rng(0)
    with TemporaryDirectory(ignore_cleanup_errors=True) as root:
        folder = Path(root) / "clothes"
        for name, category in drawn.items():
            (folder / name).mkdir(parents=True)
            for n in range(8):
                picture = draw_garment(sample_garment(rng, category), 48)
                picture.save(folder / name / f"{n}.png")
        with mock.patch.dict(os.environ, FASHIONLIB_CACHE=str(Path(root) / "cache")):
            yield folder


def _is_classifier(task: Task, model: object) -> None:
    parts = isinstance(model, nn.Module) and all(hasattr(model, x) for x in ("backbone", "head"))
    linear = parts and isinstance(getattr(model.head, "linear", None), nn.Linear)
    task.need(linear, "return a classifier with a `backbone` and a `head`, as the library's.")


def _same_weights(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a.cpu(), b.cpu()) for a, b in pairs)
