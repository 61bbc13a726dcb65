"""Checks of exercise 5, hard negatives: masks, random, semi-hard and batch-hard triplets.

Semi-hard and batch-hard answers are compared with the miners of pytorch-metric-learning, triplet by
triplet.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from pytorch_metric_learning.miners import BatchHardMiner, TripletMarginMiner
from torch import Tensor
from torch.nn import functional as F

from fashionlib.checks import Task

Triplet = tuple[int, int, int]  # positions of anchor, positive, negative

# the picture of class 5 is alone, so it can be nobody's positive and no anchor
LABELS = torch.tensor([2, 0, 2, 1, 0, 0, 1, 5, 0, 2])
ALONE = 7
DRAWS = 800  # of random triplets: a fair choice among eight stays well inside half to double


def masks(answer: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
    """Check `answer(labels)`: bool [N, N] twice, `same` and `other`."""
    task = Task(1, "return the two masks, `same` and `other`")
    result = task.call(answer, LABELS.clone())
    pair = isinstance(result, tuple | list) and len(result) == 2
    task.need(pair, "return two tensors, `same, other`.")
    count = len(LABELS)
    same, other = (task.tensor(mask, (count, count), "one of the masks") for mask in result)
    task.need(same.dtype == other.dtype == torch.bool, "a mask is a tensor of bool.")
    task.need(
        not same.diagonal().any(),
        "`same` is true on the diagonal, but a picture must not be its own positive.",
    )
    task.need(
        not other.diagonal().any(),
        "`other` is true on the diagonal: without the diagonal, `~same` is not `other`.",
    )
    equal = LABELS[:, None] == LABELS[None, :]
    task.need(
        not torch.equal(other, equal & ~torch.eye(count, dtype=torch.bool)),
        "the two masks are exchanged: `same` comes first.",
    )
    task.need(torch.equal(same, same.T), "`same` is not symmetric: both pictures can be anchor.")
    task.need(
        torch.equal(other, ~equal), "`other` is to be true exactly where the two labels differ."
    )
    task.need(
        torch.equal(same, equal & ~torch.eye(count, dtype=torch.bool)),
        "`same` is to be true where two different pictures have the same label.",
    )
    task.done(f"{int(same.sum())} positive pairs, {int(other.sum())} negative ones")


def draw_triplets(answer: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]) -> None:
    """Check `answer(labels)`: one random triplet for each picture that can be an anchor."""
    task = Task(2, "return anchors, positives and negatives")
    drawn: list[Triplet] = []
    for _ in range(DRAWS):
        triplets = _triplets(task, task.call(answer, LABELS.clone()))
        _each_anchor_once(task, triplets)
        drawn += triplets
    task.need(
        len(set(drawn)) > len(LABELS),
        f"of {DRAWS} calls each gives the same triplets: draw anew in every call.",
    )
    for place, role in ((1, "positive"), (2, "negative")):
        counts = Counter((triplet[0], triplet[place]) for triplet in drawn)
        for anchor in sorted({anchor for anchor, _ in counts}):
            alike = LABELS[anchor] == LABELS
            wanted = [n for n in range(len(LABELS)) if n != anchor and alike[n] == (place == 1)]
            rare = min(wanted, key=lambda n: counts[anchor, n])
            task.need(
                counts[anchor, rare] > 0,
                f"in {DRAWS} calls picture {rare} is never the {role} of picture {anchor}: "
                f"every possible {role} must have its chance.",
            )
            fair, most = DRAWS / len(wanted), max(counts[anchor, n] for n in wanted)
            task.need(
                fair / 2 <= counts[anchor, rare] and most <= 2 * fair,
                f"some {role}s of picture {anchor} come up far more often than others: "
                "all are to be equally likely.",
            )
    task.done(f"{len(drawn):,} triplets drawn, each allowed and each as likely as the next")


def semi_hard(answer: Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor, Tensor]]) -> None:
    """Check `answer(embeddings, labels, margin)`: all semi-hard triplets of a batch."""
    task = Task(3, "return all semi-hard triplets")
    for seed, margin in ((0, 0.2), (1, 0.5), (2, 0.05)):
        embeddings = _embeddings(seed)
        found = _triplets(task, task.call(answer, embeddings.clone(), LABELS.clone(), margin))
        _allowed(task, found)
        task.need(len(set(found)) == len(found), "some triplets come up twice.")
        _judge_semi_hard(task, set(found), embeddings, margin)
    all_differ = torch.arange(len(LABELS))
    nothing = _triplets(task, task.call(answer, embeddings.clone(), all_differ, 0.2))
    task.need(not nothing, "a batch without any positive gives triplets.")
    task.done("as pytorch-metric-learning's TripletMarginMiner, triplet by triplet")


def batch_hard(answer: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]) -> None:
    """Check `answer(embeddings, labels)`: for each anchor its hardest positive and negative."""
    task = Task(4, "return the hardest triplet of each anchor")
    for seed in range(3):
        embeddings = _embeddings(seed)
        found = _triplets(task, task.call(answer, embeddings.clone(), LABELS.clone()))
        _each_anchor_once(task, found)
        _judge_batch_hard(task, found, embeddings)
    one_class = torch.zeros_like(LABELS)
    nothing = _triplets(task, task.call(answer, embeddings.clone(), one_class))
    task.need(not nothing, "a batch of a single class gives triplets, but has no negatives.")
    task.done("as pytorch-metric-learning's BatchHardMiner, triplet by triplet")


def _judge_semi_hard(task: Task, found: set[Triplet], embeddings: Tensor, margin: float) -> None:
    miner = TripletMarginMiner(margin=margin, type_of_triplets="semihard")
    wanted = set(_rows(miner(embeddings, LABELS)))
    distances = torch.cdist(embeddings, embeddings)
    gaps = _gaps(distances)
    squared = {t for t, gap in _gaps(distances**2).items() if 0 < gap <= margin}
    task.need(
        found == wanted or found != squared,
        "these are semi-hard by *squared* distances: take the distances themselves.",
    )
    near = [t for t in found if gaps[t] <= 0]
    task.need(
        not near,
        f"in {len(near)} triplets the negative is nearer than the positive: those are hard, not "
        "semi-hard.",
    )
    far = [t for t in found if gaps[t] > margin]
    task.need(
        not far,
        f"in {len(far)} triplets the negative is farther than the positive by more than the "
        f"margin of {margin}: they teach nothing.",
    )
    task.need(
        found == wanted or len({anchor for anchor, _, _ in found}) < len(found),
        "no anchor has more than one triplet: all that are semi-hard are wanted.",
    )
    task.need(
        found == wanted,
        f"{len(wanted - found)} of {len(wanted)} semi-hard triplets are missing: try every "
        "anchor with every positive and every negative.",
    )


def _judge_batch_hard(task: Task, found: list[Triplet], embeddings: Tensor) -> None:
    distances = torch.cdist(embeddings, embeddings)
    hardest = {a: (p, n) for a, p, n in _rows(BatchHardMiner()(embeddings, LABELS))}
    for anchor, *chosen in found:
        own, best = distances[anchor, chosen], distances[anchor, list(hardest[anchor])]
        task.need(
            chosen[0] == hardest[anchor][0],
            f"the positive of picture {anchor} is at {own[0]:.2f}, but there is one at "
            f"{best[0]:.2f}: the hardest positive is the farthest.",
        )
        task.need(
            chosen[1] == hardest[anchor][1],
            f"the negative of picture {anchor} is at {own[1]:.2f}, but there is one at "
            f"{best[1]:.2f}: the hardest negative is the nearest to the anchor.",
        )


def _embeddings(seed: int) -> Tensor:
    """One for each of `LABELS`, float [10, 4] of length 1."""
    return F.normalize(torch.randn(len(LABELS), 4, generator=torch.Generator().manual_seed(seed)))


def _gaps(distances: Tensor) -> dict[Triplet, float]:
    """For each possible triplet how much farther the negative is than the positive."""
    places = range(len(LABELS))
    return {
        (a, p, n): float(distances[a, n] - distances[a, p])
        for a, p, n in product(places, places, places)
        if a != p and LABELS[a] == LABELS[p] and LABELS[a] != LABELS[n]
    }


def _triplets(task: Task, result: Any) -> list[Triplet]:
    """The reader's three tensors as triplets, known to be allowed ones."""
    three = isinstance(result, tuple | list) and len(result) == 3
    task.need(three, "return three tensors, `anchors, positives, negatives`.")
    task.need(
        all(isinstance(part, Tensor) and part.ndim == 1 for part in result),
        "anchors, positives and negatives are to be tensors with one dimension.",
    )
    task.need(
        all(part.dtype == torch.int64 for part in result),
        "give positions in the batch, int64, not the embeddings or a mask.",
    )
    lengths = [len(part) for part in result]
    task.need(
        len(set(lengths)) == 1,
        f"there are {lengths[0]} anchors, {lengths[1]} positives and {lengths[2]} negatives: one "
        "of each is needed for every triplet.",
    )
    return _rows(result)


def _rows(parts: Sequence[Tensor]) -> list[Triplet]:
    return list(zip(*(part.tolist() for part in parts), strict=True))


def _each_anchor_once(task: Task, triplets: list[Triplet]) -> None:
    anchors = sorted(anchor for anchor, _, _ in triplets)
    task.need(
        ALONE not in anchors,
        f"picture {ALONE} is an anchor, but there is no other of its class: leave it out.",
    )
    _allowed(task, triplets)
    wanted = [n for n in range(len(LABELS)) if n != ALONE]
    task.need(
        anchors == wanted,
        f"there are {len(anchors)} triplets for {len(wanted)} pictures that have a positive and a "
        "negative: each is to be the anchor once.",
    )


def _allowed(task: Task, triplets: list[Triplet]) -> None:
    for a, p, n in triplets:
        task.need(all(0 <= k < len(LABELS) for k in (a, p, n)), "some positions do not exist.")
        task.need(a != p, f"picture {a} is its own positive.")
        task.need(bool(LABELS[a] == LABELS[p]), f"the positive of picture {a} is of another class.")
        task.need(bool(LABELS[a] != LABELS[n]), f"the negative of picture {a} is of its own class.")
