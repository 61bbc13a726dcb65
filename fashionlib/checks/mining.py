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

from fashionlib.checks import Task, random

Triplet = tuple[int, int, int]  # positions of anchor, positive, negative

# the picture of class 5 is alone, so it can be nobody's positive and no anchor
LABELS = torch.tensor([2, 0, 2, 1, 0, 0, 1, 5, 0, 2])
ALONE = 7
DRAWS = 800  # of random triplets: a fair choice among eight stays well inside half to double


def masks(answer: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
    """Check `answer(labels)`: bool [N, N] twice, `same` and `other`."""
    task = Task(1, "return the two masks, `same` and `other`")
    pair = task.call(answer, LABELS.clone())
    task.several(pair, 2, "return two tensors, `same, other`.")
    count = len(LABELS)
    same, other = (task.tensor(mask, (count, count), "one of the masks") for mask in pair)
    task.need(same.dtype == other.dtype == torch.bool, "a mask is a tensor of bool.")
    self_same, self_other = same.diagonal().any(), other.diagonal().any()
    equal = LABELS[:, None] == LABELS[None, :]
    right, lopsided = equal & ~torch.eye(count, dtype=torch.bool), not torch.equal(same, same.T)
    exchanged, wrong = torch.equal(other, right), not torch.equal(same, right)
    mistakes = {
        "`same` is true on the diagonal, but a picture must not be its own positive.": self_same,
        "`other` is true on the diagonal: without it, `~same` is not `other`.": self_other,
        "the two masks are exchanged: `same` comes first.": exchanged,
        "`same` is not symmetric: both pictures can be anchor.": lopsided,
        "`other` is to be true exactly where the two labels differ.": (other == equal).any(),
        "`same` is to be true where two different pictures have the same label.": wrong,
    }
    task.rule_out(mistakes)
    task.done(f"{int(same.sum())} positive pairs, {int(other.sum())} negative ones")


def draw_triplets(answer: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]) -> None:
    """Check `answer(labels)`: one random triplet for each picture that can be an anchor."""
    task = Task(2, "return anchors, positives and negatives")
    drawn: list[Triplet] = []
    for _ in range(DRAWS):
        triplets = _triplets(task, task.call(answer, LABELS.clone()))
        _each_anchor_once(task, triplets)
        drawn += triplets
    always = len(set(drawn)) <= len(LABELS)
    task.need(not always, f"of {DRAWS} calls each gives the same triplets: draw anew in each.")
    for place, role in ((1, "positive"), (2, "negative")):
        counts = Counter((triplet[0], triplet[place]) for triplet in drawn)
        for anchor in sorted({anchor for anchor, _ in counts}):
            alike = LABELS[anchor] == LABELS
            wanted = [n for n in range(len(LABELS)) if n != anchor and alike[n] == (place == 1)]
            rare = min(wanted, key=lambda n: counts[anchor, n])
            fair, least = DRAWS / len(wanted), counts[anchor, rare]
            most = max(counts[anchor, n] for n in wanted)
            never = f"in {DRAWS} calls picture {rare} is never the {role} of picture {anchor}"
            often = f"some {role}s of picture {anchor} come up far more often than others"
            task.need(least > 0, f"{never}: every possible {role} must have its chance.")
            even = fair / 2 <= least and most <= 2 * fair
            task.need(even, f"{often}: all are to be equally likely.")
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
    if found == wanted:
        return
    gaps = _gaps(distances)
    near, far = [t for t in found if gaps[t] <= 0], [t for t in found if gaps[t] > margin]
    squared = found == {t for t, gap in _gaps(distances**2).items() if 0 < gap <= margin}
    single = len({anchor for anchor, _, _ in found}) == len(found)
    missing = f"{len(wanted - found)} of {len(wanted)} semi-hard triplets are missing"
    mistakes = {
        "these are semi-hard by *squared* distances: take the distances themselves.": squared,
        f"in {len(near)} triplets the negative is nearer than the positive: those are hard, not "
        "semi-hard.": near,
        f"in {len(far)} triplets the negative is farther than the positive by more than the "
        f"margin of {margin}: they teach nothing.": far,
        "no anchor has more than one triplet: all that are semi-hard are wanted.": single,
        f"{missing}: try every anchor with every positive and every negative.": True,
    }
    task.rule_out(mistakes)


def _judge_batch_hard(task: Task, found: list[Triplet], embeddings: Tensor) -> None:
    distances = torch.cdist(embeddings, embeddings)
    hardest = {a: (p, n) for a, p, n in _rows(BatchHardMiner()(embeddings, LABELS))}
    rules = ("positive is the farthest", "negative is the nearest to the anchor")
    for anchor, *chosen in found:
        for mine, best, rule in zip(chosen, hardest[anchor], rules, strict=True):
            own, other = distances[anchor, [mine, best]]
            role = f"the {rule.split()[0]} of picture {anchor}"
            places = f"{role} is at {own:.2f}, but there is one at {other:.2f}"
            task.need(mine == best, f"{places}: the hardest {rule}.")


def _embeddings(seed: int) -> Tensor:
    """One for each of `LABELS`, float [10, 4] of length 1."""
    return F.normalize(random(len(LABELS), 4, seed=seed))


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
    task.several(result, 3, "return three tensors, `anchors, positives, negatives`.")
    flat = all(isinstance(part, Tensor) and part.ndim == 1 for part in result)
    task.need(flat, "anchors, positives and negatives are to be tensors with one dimension.")
    whole = all(part.dtype == torch.int64 for part in result)
    task.need(whole, "give positions in the batch, int64, not the embeddings or a mask.")
    a, p, n = (len(part) for part in result)
    counts = f"there are {a} anchors, {p} positives and {n} negatives"
    task.need(a == p == n, f"{counts}: one of each is needed for every triplet.")
    return _rows(result)


def _rows(parts: Sequence[Tensor]) -> list[Triplet]:
    return list(zip(*(part.tolist() for part in parts), strict=True))


def _each_anchor_once(task: Task, triplets: list[Triplet]) -> None:
    anchors = sorted(anchor for anchor, _, _ in triplets)
    alone = f"picture {ALONE} is an anchor, but there is no other of its class: leave it out."
    task.need(ALONE not in anchors, alone)
    _allowed(task, triplets)
    wanted = [n for n in range(len(LABELS)) if n != ALONE]
    counts = f"there are {len(anchors)} triplets for {len(wanted)} pictures that have a positive"
    task.need(anchors == wanted, f"{counts} and a negative: each is to be the anchor once.")


def _allowed(task: Task, triplets: list[Triplet]) -> None:
    for a, p, n in triplets:
        task.need(all(0 <= k < len(LABELS) for k in (a, p, n)), "some positions do not exist.")
        task.need(a != p, f"picture {a} is its own positive.")
        task.need(LABELS[a] == LABELS[p], f"the positive of picture {a} is of another class.")
        task.need(LABELS[a] != LABELS[n], f"the negative of picture {a} is of its own class.")
