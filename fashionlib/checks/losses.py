"""Checks of exercise 3: Center loss, its centres, ArcFace, and how tight the classes are.

Sources: Wen et al., "A Discriminative Feature Learning Approach for Deep Face Recognition", ECCV
2016, section 3.2; Deng et al., "ArcFace", CVPR 2019, arXiv 1801.07698.
"""

import math
from collections.abc import Callable

import torch
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import Tensor
from torch.nn import functional as F

from fashionlib.checks import Task, close, random

LABELS = torch.tensor([0, 2, 0, 1, 2, 0, 0, 2, 0, 1])  # of four classes: none is of class 3


def center_loss(answer: Callable) -> None:
    """Task 1: `answer(embeddings, labels, centers)` is the mean of ½ ‖x − c‖² to the own centre."""
    task = Task(1, "return half the squared distance to the own centre, the mean over the batch")
    embeddings, centers = random(10, 5, seed=0).requires_grad_(), random(4, 5, seed=1)
    loss = task.call(answer, embeddings, LABELS, centers)
    plain = isinstance(loss, float | int)
    task.need(not plain, "a plain number has no gradient to learn from, so return the tensor.")
    if isinstance(loss, Tensor) and loss.shape == (10,):
        task.need(False, "that is one loss for each picture, so take their mean.")
    task.tensor(loss, (), "center_loss")
    squared = (embeddings - centers[LABELS]).square().sum(dim=1)
    to_all = torch.cdist(embeddings, centers).square()
    mistakes = {
        "the half is missing.": [squared.mean()],
        "you took the sum over the batch, which grows with it, instead of the mean.": [
            squared.sum() / 2,
            squared.sum(),
        ],
        "a squared distance is the sum over the dimensions, you took the mean over them too.": [
            squared.mean() / 10,
            squared.mean() / 5,
        ],
        "the distance is to be squared, so it needs no root.": [
            squared.sqrt().mean() / 2,
            squared.sqrt().mean(),
        ],
        "each embedding is pulled to the centre of its own class alone, not to all of them.": [
            to_all.mean() / 2,
            to_all.sum(dim=1).mean() / 2,
        ],
        "the nearest centre may be another class's, so let the label choose it.": [
            to_all.min(dim=1).values.mean() / 2
        ],
        "the centres are the ones you are given, not the means of this batch.": [
            (embeddings - _class_means(embeddings, LABELS)[LABELS]).square().sum(dim=1).mean() / 2
        ],
    }
    _recognise(task, loss, squared.mean() / 2, mistakes)
    task.need(loss.requires_grad, "no gradient gets back to the embeddings: do not detach them.")
    one, two = random(1, 3, seed=2), random(7, 3, seed=3)
    loss = task.tensor(task.call(answer, one, torch.tensor([6]), two), (), "center_loss")
    right = (one - two[6:]).square().sum() / 2
    task.need(close(loss, right), "it is wrong for one picture in 3 dimensions, of 7 classes.")
    task.done("half the squared distance to the own centre, and a gradient")


def moved_centers(answer: Callable) -> None:
    """Task 2: `answer(embeddings, labels, centers, alpha=0.5)` moves centres as the paper does."""
    task = Task(2, "return the centres, each moved towards the embeddings of its class")
    embeddings, centers, alpha = random(10, 5, seed=4), random(4, 5, seed=5), 0.3
    before = centers.clone()
    moved = task.call(answer, embeddings, LABELS, centers, alpha=alpha)
    unharmed = torch.equal(before, centers)
    task.need(unharmed, "the old centres have changed: return new ones and leave those alone.")
    if isinstance(moved, Tensor) and not moved.isfinite().all():
        task.need(False, "a class without a picture in the batch gets nan: is the 1 missing below?")
    task.tensor(moved, (4, 5), "moved_centers")
    counts = torch.bincount(LABELS, minlength=4)[:, None]
    means = _class_means(embeddings, LABELS, like=centers)
    step = counts * (centers - means) / (1 + counts)
    mistakes = {
        "the centres move away from their embeddings, so the sign is wrong.": [
            centers + alpha * step
        ],
        "the count has to be 1 more, or a single picture would move a centre too far.": [
            centers - alpha * (centers - means)
        ],
        "alpha makes no difference: it is the share of the way to go.": [
            centers - step,
            centers - 0.5 * step,
        ],
        "divide by the pictures of the class, not by those of the batch.": [
            centers - alpha * counts * (centers - means) / 11,
            centers - alpha * counts * (centers - means) / 10,
        ],
        "a centre jumps to the mean of the batch, where it should go a part of the way.": [means],
        "the sum over a class has to be divided by its count and 1.": [
            centers - alpha * counts * (centers - means)
        ],
        "those are the changes alone: subtract them from the centres.": [
            alpha * step,
            -alpha * step,
        ],
    }
    _recognise(task, moved, centers - alpha * step, mistakes)
    still = torch.equal(moved[3], centers[3])
    task.need(still, "the centre of a class that is not in the batch has to stay as it is.")
    task.done("centres go a part of the way, and stay where no picture is")


def arcface_logits(answer: Callable) -> None:
    """Task 3: `answer(embeddings, weights, labels, margin=0.5, scale=8.0)`, ArcFace's logits."""
    task = Task(3, "return the cosines, with a margin on the right class, times the scale")
    weights = random(4, 6, seed=6)
    embeddings, more = 3 * F.normalize(weights)[LABELS] + random(10, 6, seed=7), (0.4, 10.0)

    def logits(x: Tensor, w: Tensor, labels: Tensor = LABELS) -> Tensor:
        given = task.call(answer, x, w, labels, margin=more[0], scale=more[1])
        return task.tensor(given, (len(x), len(w)), "arcface_logits")

    found = logits(embeddings, weights)
    task.need(
        close(found, logits(2 * embeddings, weights)),
        "a longer embedding gets other logits, so normalise the embeddings first.",
    )
    task.need(
        close(found, logits(embeddings, 2 * weights)),
        "a longer class vector gets other logits, so normalise the weights too.",
    )
    _recognise(task, found, arcface(embeddings, weights, LABELS, *more),
               _mistakes_with_margin(embeddings, weights, *more))  # fmt: skip
    far = 0.1 * random(10, 6, seed=8) - F.normalize(weights)[LABELS]
    cosines = F.normalize(far) @ F.normalize(weights).T
    rising = (cosines.clamp(-1, 1).acos() + more[0]).cos() * more[1]
    right = F.one_hot(LABELS, 4).bool()
    found = logits(far, weights)
    task.need(
        not close(found[right], rising[right]),
        "beyond π the cosine rises again, so there take cos θ - m sin m.",
    )
    task.need(
        close(found, arcface(far, weights, LABELS, *more)),
        "embeddings opposite to their class, where θ + m is more than π, get other logits.",
    )
    axes = torch.eye(4, 6)  # so that the cosine is 1 to the last bit
    aligned = axes[LABELS].requires_grad_()
    found = logits(aligned, axes)
    task.need(found.requires_grad, "no gradient gets back to the embeddings: do not detach them.")
    F.cross_entropy(found, LABELS).backward()
    task.need(
        bool(aligned.grad.isfinite().all()),
        "where an embedding points exactly at its class the gradient is nan, so clamp the cosine.",
    )
    theirs = ArcFaceLoss(4, 6, margin=math.degrees(more[0]), scale=more[1])
    theirs.W.data = weights.T.clone()
    task.need(
        close(F.cross_entropy(logits(embeddings, weights), LABELS), theirs(embeddings, LABELS)),
        "the loss differs from pytorch-metric-learning's.",
    )
    task.done("equal to pytorch-metric-learning's ArcFaceLoss")


def arcface(x: Tensor, weights: Tensor, labels: Tensor, margin: float, scale: float) -> Tensor:
    """What task 3 asks for: float [N, D] and [C, D], labels int64 [N]; to float [N, C]."""
    cosines = F.normalize(x) @ F.normalize(weights).T
    angles = cosines.clamp(-1, 1).acos()
    beyond = angles + margin > math.pi
    harder = torch.where(beyond, cosines - margin * math.sin(margin), (angles + margin).cos())
    return scale * torch.where(F.one_hot(labels, len(weights)).bool(), harder, cosines)


def _mistakes_with_margin(
    x: Tensor, weights: Tensor, margin: float, scale: float
) -> dict[str, list[Tensor]]:
    cosines = F.normalize(x) @ F.normalize(weights).T
    angles, right = cosines.clamp(-1, 1).acos(), F.one_hot(LABELS, len(weights)).bool()

    def with_right(logits: Tensor) -> Tensor:
        return scale * torch.where(right, logits, cosines)

    plus = (angles + margin).cos()
    return {
        "the margin belongs to the right class alone, all of them have it.": [scale * plus],
        "the margin is on the wrong classes, and should be on the right one.": [
            scale * torch.where(right, cosines, plus)
        ],
        "the margin makes it easier: add it to the angle instead of subtracting it.": [
            with_right((angles - margin).cos())
        ],
        "the margin is taken from the cosine, but ArcFace adds it to the angle.": [
            with_right(cosines - margin)
        ],
        "the margin makes no difference.": [scale * cosines],
        "the margin is in radians already.": [
            with_right((angles + math.radians(margin)).cos()),
            with_right((angles + math.degrees(margin)).cos()),
        ],
        "the scale is missing, or not the one that was asked for.": [
            with_right(plus) / scale,
            with_right(plus) / scale * 8,
            with_right(plus) / scale * 64,
        ],
    }


def tightness(answer: Callable) -> None:
    """Task 4: `answer(embeddings, labels)`: distance to the own mean by that between means."""
    task = Task(4, "return the mean distance to the own class's mean, by that between the means")
    labels, classes = LABELS + 2, LABELS.unique()
    embeddings = random(10, 5, seed=9) + 2 * random(4, 5, seed=10)[LABELS]
    found = task.one_number(task.call(answer, embeddings, labels))
    means = _class_means(embeddings, LABELS)
    own = (embeddings - means[LABELS]).norm(dim=1)
    pairs, table = torch.pdist(means[classes]), torch.cdist(means[classes], means[classes])
    right = own.mean() / pairs.mean()
    each = torch.stack([own[label == LABELS].mean() for label in classes])
    whole = (embeddings - embeddings.mean(dim=0)).norm(dim=1)
    apart = torch.cdist(embeddings, embeddings)
    mistakes = {
        "it is upside down: tight groups, far apart, should give a small number.": [1 / right],
        "the distance of a class mean to itself is no distance between two classes.": [
            own.mean() / table.mean()
        ],
        "that is the distance to the mean of all pictures, each class has its own mean.": [
            whole.mean() / pairs.mean()
        ],
        "the distances are not squared here.": [
            own.square().mean() / pairs.square().mean(),
            own.square().mean() / pairs.mean(),
        ],
        "each picture counts once, you took the mean of each class first.": [
            each.mean() / pairs.mean()
        ],
        "divide by the distance between class means, not between pictures.": [
            own.mean() / apart[labels[:, None] != labels].mean(),
            own.mean() / torch.pdist(embeddings).mean(),
        ],
    }
    _recognise(task, torch.tensor(found), right, mistakes)
    two = task.one_number(task.call(answer, embeddings[:4], torch.tensor([9, 4, 9, 4])))
    means = torch.stack([embeddings[:4:2].mean(dim=0), embeddings[1:4:2].mean(dim=0)])
    right = (embeddings[:4] - means.repeat(2, 1)).norm(dim=1).mean() / (means[0] - means[1]).norm()
    task.need(close(torch.tensor(two), right), "it is wrong for two classes, labelled 4 and 9.")
    task.done("small where classes are tight and far apart")


def _class_means(embeddings: Tensor, labels: Tensor, like: Tensor | None = None) -> Tensor:
    """Float [4, D]; where a class has no picture, the row of `like`, or zeros."""
    means = torch.zeros(4, embeddings.shape[1]) if like is None else like.clone()
    for label in labels.unique():
        means[label] = embeddings[labels == label].mean(dim=0)
    return means


def _recognise(task: Task, found: Tensor, right: Tensor, mistakes: dict[str, list[Tensor]]) -> None:
    """Go on if `found` is right, else say which mistake gives just that."""
    if close(found, right):
        return
    for sentence, values in mistakes.items():
        task.need(not any(close(found, value) for value in values), sentence)
    worst = float((found - right).detach().abs().max())
    task.need(False, f"on an example the answer is off by up to {worst:.2g}.")
