"""Exercise 3: the checkers accept the solution, and tell each mistake from the others."""

import math

import pytest
import torch
from solved import EXERCISES, defined, must_accept, must_ask_for, solved, told
from torch.nn import functional as F

from fashionlib.checks import losses

SOLVED = solved("3_other_losses")
UNTOUCHED = defined(EXERCISES / "3_other_losses.py")
TASKS = {
    "center_loss": losses.center_loss,
    "moved_centers": losses.moved_centers,
    "arcface_logits": losses.arcface_logits,
    "tightness": losses.tightness,
}


@pytest.mark.parametrize("name", TASKS)
def test_the_solution_is_accepted(name, capsys):
    must_accept(TASKS[name], SOLVED[name], list(TASKS).index(name) + 1, capsys)


@pytest.mark.parametrize("name", TASKS)
def test_an_untouched_task_is_still_to_do(name):
    must_ask_for(TASKS[name], UNTOUCHED[name], list(TASKS).index(name) + 1)


def squares(x, y, c):
    return (x - c[y]).square().sum(dim=1)


def means_of(x, y, c):
    return torch.stack([x[y == n].mean(dim=0) if (y == n).any() else c[n] for n in range(len(c))])


def step(x, y, c, extra=1.0):
    member = F.one_hot(y, len(c)).float()
    counts = member.sum(dim=0)[:, None]
    return (counts * c - member.T @ x) / (extra + counts)


def in_place(x, y, c, alpha):
    c -= alpha * step(x, y, c)
    return c


def cosines(x, w):
    return F.normalize(x) @ F.normalize(w).T


def where_right(y, w, one, other):
    return torch.where(F.one_hot(y, len(w)).bool(), one, other)


def plain_arcface(x, w, y, margin, scale, cosine=None, eps=1e-6, sign=1.0):
    cosine = cosines(x, w) if cosine is None else cosine
    shifted = (cosine.clamp(-1 + eps, 1 - eps).acos() + sign * margin).cos()
    return scale * where_right(y, w, shifted, cosine)


def right_arcface(x, w, y, margin=0.5, scale=8.0):
    return SOLVED["arcface_logits"](x, w, y, margin, scale)


def unsafe_arcface(x, w, y, margin, scale):
    cosine = cosines(x, w)
    angle = cosine.acos()
    fallen = cosine - margin * math.sin(margin)
    harder = torch.where(angle + margin <= math.pi, (angle + margin).cos(), fallen)
    return scale * where_right(y, w, harder, cosine)


def detached_arcface(x, w, y, margin, scale):
    return right_arcface(x.detach(), w, y, margin, scale)


def everywhere(x, w, y, margin, scale):
    return scale * (cosines(x, w).clamp(-0.999999, 0.999999).acos() + margin).cos()


def class_means(x, y):
    return torch.stack([x[y == label].mean(dim=0) for label in y.unique()])


def own_distances(x, y):
    return (x - class_means(x, y)[torch.unique(y, return_inverse=True)[1]]).norm(dim=1)


def between(x, y):
    return F.pdist(class_means(x, y)).mean()


def seven_classes(x, y):
    """Right where labels are 2, 3 and 4, as in the first example."""
    means = torch.stack([x[y == label].mean(dim=0) for label in (2, 3, 4)])
    return (x - means[y - 2]).norm(dim=1).mean() / F.pdist(means).mean()


def averaged(x, y):
    own = own_distances(x, y)
    return torch.stack([own[y == n].mean() for n in y.unique()]).mean() / between(x, y)


WRONG = {
    "center_loss": [
        (lambda x, y, c: squares(x, y, c).mean(), "half is missing"),
        (lambda x, y, c: squares(x, y, c).sum() / 2, "sum over the batch, which grows with it"),
        (lambda x, y, c: squares(x, y, c).sum(), "sum over the batch, and the half is missing"),
        (lambda x, y, c: F.mse_loss(x, c[y]), "mean over them too"),
        (lambda x, y, c: squares(x, y, c).sqrt().mean() / 2, "needs no root"),
        (lambda x, y, c: torch.cdist(x, c).square().mean() / 2, "not to all"),
        (lambda x, y, c: torch.cdist(x, c).min(dim=1)[0].square().mean() / 2, "nearest centre"),
        (lambda x, y, c: squares(x, y, means_of(x, y, c)).mean() / 2, "means of this batch"),
        (lambda x, y, c: (squares(x, y, c).mean() / 2).item(), "plain number"),
        (lambda x, y, c: squares(x, y, c) / 2, "one loss for each picture"),
        (lambda x, y, c: squares(x.detach(), y, c).mean() / 2, "no gradient"),
        (lambda x, y, c: squares(x, y % 4, c).mean() / 2, "of 7 classes"),
        (lambda x, y, c: squares(x, y, c).mean() / 3, "off by up to"),
        (lambda x, y, c: squares(x, y, c[:2]).mean() / 2, "raised IndexError"),
        (lambda x, y, c: (x - c[y]).square() / 2, "the shape [10, 5]"),
        (lambda x, y, c: "half", "str"),
    ],
    "moved_centers": [
        (lambda x, y, c, alpha: c + alpha * step(x, y, c), "sign is wrong"),
        (lambda x, y, c, alpha: c - alpha * step(x, y, c, 0.0), "divide by its count plus 1"),
        (lambda x, y, c, alpha: c - alpha * step(x, y, c, 1e-9), "1 more"),
        (lambda x, y, c, alpha: c - step(x, y, c), "alpha makes no difference"),
        (lambda x, y, c, alpha: c - alpha * (c - means_of(x, y, c)) *
         torch.bincount(y, minlength=len(c))[:, None] / len(x), "not by those of the batch"),
        (lambda x, y, c, alpha: means_of(x, y, c), "jumps to the mean"),
        (lambda x, y, c, alpha: c - alpha * (c - means_of(x, y, c)) *
         torch.bincount(y, minlength=len(c))[:, None], "divided by its count"),
        (lambda x, y, c, alpha: -alpha * step(x, y, c), "changes alone"),
        (in_place, "old centres have changed"),
        (lambda x, y, c, alpha: c - alpha * step(x, y, c) + 1e-5, "has to stay as it is"),
        (lambda x, y, c: c - 0.5 * step(x, y, c), "raised TypeError"),
        (lambda x, y, c, alpha: (c - alpha * step(x, y, c))[:3], "[3, 5]"),
    ],
    "arcface_logits": [
        (everywhere, "all of them have it"),
        (lambda x, w, y, margin, scale: where_right(
            y, w, scale * cosines(x, w), everywhere(x, w, y, margin, scale)),
         "on the wrong classes"),
        (lambda x, w, y, margin, scale: plain_arcface(x, w, y, margin, scale, sign=-1), "easier"),
        (lambda x, w, y, margin, scale: scale * (
            cosines(x, w) - margin * F.one_hot(y, len(w))), "taken from the cosine"),
        (lambda x, w, y, margin, scale: scale * cosines(x, w), "margin makes no difference"),
        (lambda x, w, y, margin, scale: right_arcface(x, w, y, math.radians(margin), scale),
         "in radians already"),
        (lambda x, w, y, margin, scale: right_arcface(x, w, y, margin), "scale is missing"),
        (lambda x, w, y, margin, scale: right_arcface(x, w, y, scale=scale), "off by up to"),
        (lambda x, w, y, margin, scale: plain_arcface(
            x, w, y, margin, scale, x @ F.normalize(w).T), "normalise the embeddings"),
        (lambda x, w, y, margin, scale: plain_arcface(
            x, w, y, margin, scale, F.normalize(x) @ w.T), "normalise the weights"),
        (plain_arcface, "beyond π"),
        (lambda x, w, y, margin, scale: plain_arcface(
            x, w, y, margin, scale).clamp(min=-0.9 * scale), "opposite to their class"),
        (unsafe_arcface, "nan"),
        (detached_arcface, "do not detach"),
        (lambda x, w, y, margin, scale: right_arcface(x, w, y, margin, scale).T, "[4, 10]"),
        (lambda x, w, y, margin, scale: x @ w, "raised RuntimeError"),
    ],
    "tightness": [
        (lambda x, y: between(x, y) / own_distances(x, y).mean(), "upside down"),
        (lambda x, y: own_distances(x, y).mean() /
         torch.cdist(class_means(x, y), class_means(x, y)).mean(), "to itself"),
        (lambda x, y: (x - x.mean(dim=0)).norm(dim=1).mean() / between(x, y),
         "mean of all pictures"),
        (lambda x, y: own_distances(x, y).square().mean() / between(x, y), "not squared"),
        (averaged, "each picture counts once"),
        (lambda x, y: own_distances(x, y).mean() / F.pdist(x).mean(), "not between pictures"),
        (seven_classes, "raised"),
        (lambda x, y: own_distances(x, y).mean() / between(x, y) + 0.01 * len(x) - 0.1,
         "labelled 4 and 9"),
        (own_distances, "one finite number"),
        (lambda x, y: own_distances(x, y).sum() / between(x, y), "off by up to"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_each_mistake_gets_its_own_sentence(name):
    sentences = []
    for answer, part in WRONG[name]:
        sentences.append(told(TASKS[name], answer))
        assert part in sentences[-1]
        assert "\n" not in sentences[-1]
    assert len(set(sentences)) == len(sentences) >= 5


AGAIN = [
    ("center_loss", "mean over them too", lambda x, y, c: F.mse_loss(x, c[y]) / 2),
    ("center_loss", "needs no root", lambda x, y, c: squares(x, y, c).sqrt().mean()),
    ("center_loss", "not to all", lambda x, y, c: torch.cdist(x, c).square().sum(1).mean() / 2),
    ("moved_centers", "alpha makes no difference", lambda x, y, c, alpha: c - 0.5 * step(x, y, c)),
    ("moved_centers", "not by those of the batch", lambda x, y, c, alpha: (
        c - alpha * step(x, y, c) * (1 + torch.bincount(y, minlength=4)[:, None]) / (1 + len(y)))),
    ("moved_centers", "changes alone", lambda x, y, c, alpha: alpha * step(x, y, c)),
    ("arcface_logits", "in radians already", lambda x, w, y, margin, scale: (
        plain_arcface(x, w, y, math.degrees(margin), scale))),
    ("arcface_logits", "scale is missing", lambda x, w, y, margin, scale: (
        right_arcface(x, w, y, margin, 1))),
    ("arcface_logits", "scale is missing", lambda x, w, y, margin, scale: (
        right_arcface(x, w, y, margin, 64))),
    ("tightness", "not squared", lambda x, y: (
        own_distances(x, y).square().mean() / F.pdist(class_means(x, y)).square().mean())),
    ("tightness", "not between pictures", lambda x, y: (
        own_distances(x, y).mean() / torch.cdist(x, x)[y[:, None] != y].mean())),
]  # fmt: skip


@pytest.mark.parametrize(("name", "part", "answer"), AGAIN)
def test_the_same_mistake_made_in_another_way_is_told_too(name, part, answer):
    assert part in told(TASKS[name], answer)
