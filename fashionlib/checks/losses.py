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
    loss = task.call(answer, embeddings, LABELS.clone(), centers)
    plain, each = isinstance(loss, float | int), isinstance(loss, Tensor) and loss.shape == (10,)
    task.need(not plain, "a plain number has no gradient to learn from, so return the tensor.")
    task.need(not each, "that is one loss for each picture, so take their mean.")
    task.tensor(loss, (), "center_loss")
    squared = (embeddings - centers[LABELS]).square().sum(dim=1)
    mean, total, root = squared.mean(), squared.sum(), squared.sqrt().mean()
    to_all = torch.cdist(embeddings, centers).square()
    all_of_them = [to_all.mean() / 2, to_all.sum(dim=1).mean() / 2]
    averaged = [mean / 10, mean / 5]
    nearest = to_all.min(dim=1).values.mean() / 2
    to_means = embeddings - _class_means(embeddings, LABELS)[LABELS]
    own_means = to_means.square().sum(dim=1).mean() / 2
    mistakes = {
        "the half is missing.": mean,
        "you took the sum over the batch, which grows with it, instead of the mean.": total / 2,
        "you took the sum over the batch, and the half is missing too.": total,
        "a squared distance sums its dimensions, you took the mean over them too.": averaged,
        "the distance is to be squared, so it needs no root.": [root / 2, root],
        "each embedding is pulled to the centre of its own class, not to all.": all_of_them,
        "the nearest centre may be another class's, so let the label choose it.": nearest,
        "the centres are the ones you are given, not the means of this batch.": own_means,
    }
    task.compare(loss, mean / 2, mistakes)
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
    moved = task.call(answer, embeddings, LABELS.clone(), centers, alpha=alpha)
    unharmed = torch.equal(before, centers)
    task.need(unharmed, "the old centres have changed: return new ones and leave those alone.")
    broken = isinstance(moved, Tensor) and not moved.isfinite().all()
    task.need(not broken, "a class without a picture gets nan: divide by its count plus 1.")
    task.tensor(moved, (4, 5), "moved_centers")
    counts = torch.bincount(LABELS, minlength=4)[:, None]
    means = _class_means(embeddings, LABELS, like=centers)
    away = alpha * (centers - means)
    step = counts * away / (1 + counts)
    by_batch = [centers - counts * away / n for n in (11, 10)]
    other_alpha = [centers - step / alpha * n for n in (1, 0.5)]
    mistakes = {
        "the centres move away from their embeddings, so the sign is wrong.": centers + step,
        "the count has to be 1 more, or one picture would move a centre too far.": centers - away,
        "alpha makes no difference: it is the share of the way to go.": other_alpha,
        "divide by the pictures of the class, not by those of the batch.": by_batch,
        "a centre jumps to the mean of the batch, where it should go a part of the way.": means,
        "the sum over a class has to be divided by its count and 1.": centers - counts * away,
        "those are the changes alone: subtract them from the centres.": [step, -step],
    }
    task.compare(moved, centers - step, mistakes)
    still = torch.equal(moved[3], centers[3])
    task.need(still, "the centre of a class that is not in the batch has to stay as it is.")
    task.done("centres go a part of the way, and stay where no picture is")


def arcface_logits(answer: Callable) -> None:
    """Task 3: `answer(embeddings, weights, labels, margin=0.5, scale=8.0)`, ArcFace's logits."""
    task = Task(3, "return the cosines, with a margin on the right class, times the scale")
    weights = random(4, 6, seed=6)
    embeddings, margin, scale = 3 * F.normalize(weights)[LABELS] + random(10, 6, seed=7), 0.4, 10.0

    def logits(x: Tensor, w: Tensor) -> Tensor:
        given = task.call(answer, x, w, LABELS.clone(), margin=margin, scale=scale)
        return task.tensor(given, (len(x), len(w)), "arcface_logits")

    found = logits(embeddings, weights)
    same = close(found, logits(2 * embeddings, weights))
    task.need(same, "a longer embedding gets other logits, so normalise the embeddings first.")
    same = close(found, logits(embeddings, 2 * weights))
    task.need(same, "a longer class vector gets other logits, so normalise the weights too.")
    mistakes = _mistakes_with_margin(embeddings, weights, margin, scale)
    task.compare(found, arcface(embeddings, weights, LABELS, margin, scale), mistakes)
    far = 0.1 * random(10, 6, seed=8) - F.normalize(weights)[LABELS]
    angles = (F.normalize(far) @ F.normalize(weights).T).clamp(-1, 1).acos()
    own = F.one_hot(LABELS, 4).bool()
    found = logits(far, weights)
    rising = close(found[own], scale * (angles + margin).cos()[own])
    task.need(not rising, "beyond π the cosine rises again, so there take cos θ - m sin m.")
    opposite = "embeddings opposite to their class, where θ + m is more than π, get other logits."
    task.compare(found, arcface(far, weights, LABELS, margin, scale), {}, opposite)
    axes = torch.eye(4, 6)  # so that the cosine is 1 to the last bit
    aligned = axes[LABELS].requires_grad_()
    found = logits(aligned, axes)
    task.need(found.requires_grad, "no gradient gets back to the embeddings: do not detach them.")
    F.cross_entropy(found, LABELS).backward()
    finite = aligned.grad.isfinite().all()
    task.need(finite, "where an embedding is at its class the gradient is nan: clamp the cosine.")
    theirs = ArcFaceLoss(4, 6, margin=math.degrees(margin), scale=scale)
    theirs.W.data = weights.T.clone()
    loss = F.cross_entropy(logits(embeddings, weights), LABELS)
    same = close(loss, theirs(embeddings, LABELS))
    task.need(same, "the loss differs from pytorch-metric-learning's.")
    task.done("equal to pytorch-metric-learning's ArcFaceLoss")


def arcface(x: Tensor, weights: Tensor, labels: Tensor, margin: float, scale: float) -> Tensor:
    """What task 3 asks for: float [N, D] and [C, D], labels int64 [N]; to float [N, C]."""
    cosines = F.normalize(x) @ F.normalize(weights).T
    angles = cosines.clamp(-1, 1).acos()
    beyond = angles + margin > math.pi
    harder = torch.where(beyond, cosines - margin * math.sin(margin), (angles + margin).cos())
    return scale * torch.where(F.one_hot(labels, len(weights)).bool(), harder, cosines)


def _mistakes_with_margin(x: Tensor, weights: Tensor, margin: float, scale: float) -> dict:
    cosines = F.normalize(x) @ F.normalize(weights).T
    angles, right = cosines.clamp(-1, 1).acos(), F.one_hot(LABELS, len(weights)).bool()

    def with_right(logits: Tensor) -> Tensor:
        return scale * torch.where(right, logits, cosines)

    plus, minus = (angles + margin).cos(), with_right((angles - margin).cos())
    elsewhere, taken = scale * torch.where(right, cosines, plus), with_right(cosines - margin)
    converted = [with_right((angles + f(margin)).cos()) for f in (math.radians, math.degrees)]
    scaled = [with_right(plus) / scale * other for other in (1, 8, 64)]
    return {
        "the margin belongs to the right class alone, all of them have it.": scale * plus,
        "the margin is on the wrong classes, and should be on the right one.": elsewhere,
        "the margin makes it easier: add it to the angle instead of subtracting it.": minus,
        "the margin is taken from the cosine, but ArcFace adds it to the angle.": taken,
        "the margin makes no difference.": scale * cosines,
        "the margin is in radians already.": converted,
        "the scale is missing, or not the one that was asked for.": scaled,
    }


def tightness(answer: Callable) -> None:
    """Task 4: `answer(embeddings, labels)`: distance to the own mean by that between means."""
    task = Task(4, "return the mean distance to the own class's mean, by that between the means")
    labels, classes = LABELS + 2, LABELS.unique()
    embeddings = random(10, 5, seed=9) + 2 * random(4, 5, seed=10)[LABELS]
    found = task.one_number(task.call(answer, embeddings, labels.clone()))
    means = _class_means(embeddings, LABELS)
    own = (embeddings - means[LABELS]).norm(dim=1)
    pairs, with_itself = torch.pdist(means[classes]), torch.cdist(means[classes], means[classes])
    inside, between = own.mean(), pairs.mean()
    each = torch.stack([own[label == LABELS].mean() for label in classes]).mean()
    whole = (embeddings - embeddings.mean(dim=0)).norm(dim=1).mean()
    apart = torch.cdist(embeddings, embeddings)[labels[:, None] != labels].mean()
    by_pictures = [inside / apart, inside / torch.pdist(embeddings).mean()]
    squared = [own.square().mean() / pairs.square().mean(), own.square().mean() / between]
    itself = inside / with_itself.mean()
    mistakes = {
        "it is upside down: tight groups, far apart, should give a small number.": between / inside,
        "the distance of a class mean to itself is no distance between two classes.": itself,
        "you took the mean of all pictures, but each class has its own mean.": whole / between,
        "the distances are not squared here.": squared,
        "each picture counts once, you took the mean of each class first.": each / between,
        "divide by the distance between class means, not between pictures.": by_pictures,
    }
    task.compare(torch.tensor(found), inside / between, mistakes)
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
