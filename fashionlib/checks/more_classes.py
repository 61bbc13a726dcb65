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
from fashionlib.checks import Task, close
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
    theirs = {id(parameter) for parameter in classifier.backbone.parameters()}
    shared = theirs & {id(parameter) for parameter in result.backbone.parameters()}
    changed = not _same_weights(classifier, before)
    other = not close(result.eval().backbone(pictures), features, 1e-5)
    mistakes = {
        "the old classifier is no longer what it was: change a copy, by `copy.deepcopy`.": changed,
        "the new backbone answers otherwise than the old one: take its weights along.": other,
        "both classifiers share one backbone, so training one changes the other: copy it.": shared,
    }
    task.rule_out(mistakes)
    logits = task.tensor(result(pictures), (len(pictures), len(NEW)), "the new classifier")
    known = [NEW.index(name) for name in OLD]
    linear = result.head.linear
    first_rows = (
        "the old rows of the head are the first rows of the new one, but the classes have moved: "
        f"{OLD[0]!r} is number {NEW.index(OLD[0])} now."
    )
    task.need(not close(logits[:, : len(OLD)], wanted, 1e-5), first_rows)
    unbiased = logits[:, known] - linear.bias[known] + before.head.linear.bias
    no_bias = "the weights of the old classes are there, their bias is not."
    no_rows = "for the old classes the new head does not answer what the old one did: copy rows."
    right = close(logits[:, known], wanted, 1e-5)
    task.need(right, no_bias if close(unbiased, wanted) else no_rows)
    fresh = [n for n, name in enumerate(NEW) if name not in OLD]
    alike = len(linear.weight[fresh].unique(dim=0)) < len(fresh)
    task.need(not alike, "the new rows are all alike: leave them as `nn.Linear` draws them.")
    fewer = task.call(answer, classifier, OLD, ("cap", "shoes"))
    _is_classifier(task, fewer)
    by_name = close(fewer.eval()(pictures)[:, 1], wanted[:, 2], 1e-5)
    task.need(by_name, "where an old class is gone, another takes its place: go by the names.")
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
        counts, asked = (torch.bincount(x, minlength=5)[present] for x in (labels, answers))
        found, share = found[present], found[present] / len(labels)
        mistakes = {
            "this is the precision: divide by how many pictures *are* of the class, not by how "
            "many are called so.": found / asked,
            "these are counts: divide by the number of pictures of the class.": found,
            "each count is divided by the number of all pictures, not by that of its class.": share,
        }
        rule = "the recall of a class is: right answers of its pictures / its pictures."
        task.compare(recall[present], found / counts, mistakes, rule)
        nothing = f"class {absent} has no picture here, so its recall is unknown"
        task.need(unknown, f"{nothing}: give nan, not {float(recall[absent]):.1f}.")
    task.done("each class by itself, and nan where there is nothing to find")


def class_weights(answer: Callable[[Tensor, int], Tensor]) -> None:
    """Check `answer(labels, classes)`: weights that let each class count alike."""
    task = Task(3, "return a weight for each class")
    for counts in ([50, 10, 30, 10], [5, 80, 2, 40, 7]):
        labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        weights = task.tensor(task.call(answer, labels.clone(), len(counts)), (len(counts),))
        number = torch.tensor(counts).double()
        total, rooted = weights.double() * number, weights.double() * number.sqrt()
        even, by_root = (close(x / x.mean(), torch.ones(len(counts))) for x in (total, rooted))
        upside_down = close(weights / weights.sum(), number / number.sum())
        task.need(not upside_down, "large classes have large weights: the other way round.")
        root = "the square root leaves large classes ahead: use one over the count."
        task.need(even or not by_root, root)
        ends = f"it goes from {float(total.min()):.2f} to {float(total.max()):.2f}."
        task.need(even, f"weight times number of pictures is to be the same everywhere, but {ends}")
        mean = float(total.sum() / number.sum())
        unscaled = f"over all pictures the mean weight is {mean:.3f}: scale it to 1, so that the "
        task.need(abs(mean - 1) < 1e-3, f"{unscaled}learning rate means what it did.")
    absent = task.call(answer, torch.tensor([0, 0, 2, 2]), 4)
    zeros = isinstance(absent, Tensor) and close(absent, torch.tensor([1.0, 0, 1, 0]))
    task.need(zeros, "a class without a picture has the weight 0, and disturbs no other.")
    task.done("every class weighs the same, and a picture 1 on average")


def own_classifier(answer: Callable[..., tuple[nn.Sequential, object]]) -> None:
    """Check `answer(folder, classifier, old, recipe)`: a classifier of the folder's classes."""
    task = Task(4, "return the trained classifier and the catalog of the folder")
    names = ("cap", "dress", "pants", "poncho")
    with torch.random.fork_rng([]), _folder_of(dict(zip(names, DRAWN_AS, strict=True))) as folder:
        torch.manual_seed(0)
        classifier = build_classifier(SMALL, len(OLD))
        before = copy.deepcopy(classifier)

        def trained(epochs: int) -> tuple[nn.Sequential, object]:
            recipe = Recipe(epochs, 32, 32, batch_size=8, average=0.0)
            both = task.call(answer, folder, classifier, OLD, recipe)
            task.several(both, 2, "return two things: the classifier and the catalog.")
            _is_classifier(task, both[0])
            return both[0].cpu(), both[1]  # a training may leave it on the GPU

        model, catalog = trained(epochs=0)
        given = getattr(catalog, "name", None) == str(folder)
        task.need(given, "the second thing is the catalog of the folder: `load_catalog(folder)`.")
        logits = model.eval()(torch.zeros(1, 3, 32, 32))
        other = f"the folder has {len(names)} classes, your classifier answers {logits.shape[1]}."
        task.need(logits.shape == (1, len(names)), other)
        same = _same_weights(model.backbone, before.backbone)
        task.need(same, "with 0 epochs the backbone is not that of the classifier: start from it.")
        same = _same_weights(trained(epochs=1)[0].backbone, before.backbone)
        still = "after an epoch the backbone is as before: train with the recipe, and return what "
        task.need(not same, f"{still}`train_classifier` gives.")
        task.need(_same_weights(classifier, before), "the classifier you start from has changed.")
    task.done(f"{len(names)} classes from a folder, on the backbone that you had")


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
