"""Exercise 5: the checkers accept the solution, and tell each mistake from the others."""

import math
import re
from collections import Counter
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from solved import must_accept, must_ask_for, solved, told

from fashionlib import siamese
from fashionlib.checks import NotYet, mining

SOLVED = solved("5_hard_negatives")
masks, draw_triplets = SOLVED["masks"], SOLVED["draw_triplets"]
semi_hard, batch_hard = SOLVED["semi_hard"], SOLVED["batch_hard"]
TASKS = ("masks", "draw_triplets", "semi_hard", "batch_hard")


def eye(labels):
    return torch.eye(len(labels), dtype=torch.bool)


def usable(labels):
    same, other = masks(labels)
    return (same.any(dim=1) & other.any(dim=1)).nonzero()[:, 0]


def drawn(weights):
    return torch.multinomial(weights.float(), 1)[:, 0]


def always_the_same(labels):
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return draw_triplets(labels)


def uneven(labels, times=4.0):
    """The first picture of the batch is a negative far too often, or too seldom."""
    same, other = masks(labels)
    weights = other.float()
    weights[:, 0] *= times
    anchors = usable(labels)
    return anchors, drawn(same[anchors]), drawn(weights[anchors])


def first_positive(labels):
    a, _, n = draw_triplets(labels)
    return a, masks(labels)[0][a].float().argmax(dim=1), n


def cube(condition, embeddings, labels, power=1):
    same, other = masks(labels)
    distances = torch.cdist(embeddings, embeddings) ** power
    gap = distances[:, None, :] - distances[:, :, None]
    return (same[:, :, None] & other[:, None, :] & condition(gap)).nonzero(as_tuple=True)


def one_an_anchor(embeddings, labels, margin):
    a, p, n = semi_hard(embeddings, labels, margin)
    firsts = torch.stack([(a == anchor).nonzero()[0, 0] for anchor in a.unique()])
    return a[firsts], p[firsts], n[firsts]


def ordered_pairs_only(embeddings, labels, margin):
    a, p, n = semi_hard(embeddings, labels, margin)
    return a[a < p], p[a < p], n[a < p]


def twice(embeddings, labels, margin):
    return tuple(part.repeat(2) for part in semi_hard(embeddings, labels, margin))


def from_the_end(embeddings, labels, margin):
    a, p, n = semi_hard(embeddings, labels, margin)
    return a, p, n - len(labels)


def nearest_of_zeros(embeddings, labels):
    """The smallest of distances * mask: what is masked is 0, and wins."""
    a, p, _ = batch_hard(embeddings, labels)
    distances = torch.cdist(embeddings, embeddings)
    return a, p, (distances * masks(labels)[1])[a].argmin(dim=1)


def replaced(which, choose):
    """Batch-hard, but for one role, which `choose` picks from distances [M, N] and a mask."""

    def answer(embeddings, labels):
        parts = list(batch_hard(embeddings, labels))
        distances, mask = torch.cdist(embeddings, embeddings), masks(labels)[which - 1]
        parts[which] = choose(distances[parts[0]], mask[parts[0]])
        return tuple(parts)

    return answer


def everyone(embeddings, labels):
    """Batch-hard without a look at who can be an anchor."""
    distances = torch.cdist(embeddings, embeddings)
    same, other = masks(labels)
    positives = distances.masked_fill(~same, -1).argmax(dim=1)
    return torch.arange(len(labels)), positives, distances.masked_fill(~other, 9).argmin(dim=1)


def near_the_positive(embeddings, labels):
    a, p, _ = batch_hard(embeddings, labels)
    distances = torch.cdist(embeddings, embeddings)
    return a, p, distances.masked_fill(~masks(labels)[1], 9)[p].argmin(dim=1)


# Of the first embeddings that are tried, by loops: what sentences about them have to say

POINTS = [[float(x) for x in row] for row in mining._embeddings(0)]


def apart(one, other):
    return math.dist(POINTS[one], POINTS[other])


def counts():
    """How many triplets are hard, semi-hard and too far for a margin of 0.2.

    And how many of the semi-hard ones have the positive before the anchor.
    """
    labels, found = mining.LABELS.tolist(), Counter()
    for a, p, n in product(range(10), repeat=3):
        if a != p and labels[a] == labels[p] != labels[n]:
            gap = apart(a, n) - apart(a, p)
            kind = "hard" if gap <= 0 else "semi" if gap <= 0.2 else "far"
            found.update([kind] + ["backwards"] * (kind == "semi" and p < a))
    return SimpleNamespace(**found)


COUNTS = counts()
WRONG = {
    "masks": {
        "is true on the diagonal, but": lambda y: (y[:, None] == y, y[:, None] != y),
        "`other` is true on the diagonal": lambda y: (masks(y)[0], ~masks(y)[0]),
        "exchanged": lambda y: masks(y)[::-1],
        "a tensor of bool": lambda y: tuple(mask.float() for mask in masks(y)),
        "not symmetric": lambda y: (masks(y)[0].triu(), masks(y)[1]),
        "exactly where the two labels differ": lambda y: (masks(y)[0], masks(y)[1].triu()),
        "two different pictures have the same label": lambda y: (masks(y)[1], masks(y)[1]),
        r"gives the shape \[10\]": lambda y: (y == y[0], y != y[0]),
        "return two tensors": lambda y: masks(y)[0],
    },
    "draw_triplets": {
        "is its own positive": lambda y: (usable(y), usable(y), draw_triplets(y)[2]),
        "of its own class": lambda y: (draw_triplets(y)[0], *2 * (draw_triplets(y)[1],)),
        "the positive of picture . is of": lambda y: (usable(y), *2 * (draw_triplets(y)[2],)),
        "each gives the same triplets": always_the_same,
        "picture 7 is an anchor, but there is no other of its class": lambda y: (
            torch.arange(len(y)),
            drawn(masks(y)[0] | eye(y)),
            drawn(masks(y)[1]),
        ),
        "in 800 calls picture 9 is never the positive of picture 0": first_positive,
        "some negatives of picture 1 come up far more often": uneven,
        "are 4 triplets for 9 pictures that have a positive and a negative: each is to be the "
        "anchor once": lambda y: tuple(p[:4] for p in draw_triplets(y)),
        "int64": lambda y: tuple(part.float() for part in draw_triplets(y)),
        "are 10 anchors, 8 positives and 9 negatives: one of each is needed for every triplet": (
            lambda y: (torch.arange(10), draw_triplets(y)[1][:8], draw_triplets(y)[2])
        ),
    },
    "semi_hard": {
        "squared": lambda x, y, m: cube(lambda gap: (gap > 0) & (gap <= m), x, y, power=2),
        f"in {COUNTS.hard} triplets the negative is nearer than the positive: those are hard, not "
        "semi-hard": lambda x, y, m: cube(lambda gap: gap <= m, x, y),
        f"in {COUNTS.far} triplets the negative is farther than the positive by more than the "
        "margin of 0.2": lambda x, y, m: cube(lambda gap: gap > 0, x, y),
        "no anchor has more than one": one_an_anchor,
        f"{COUNTS.backwards} of {COUNTS.semi} semi-hard triplets are missing": ordered_pairs_only,
        # the first margin is 0.2, and the next is wider
        r"\d of \d+ semi-hard triplets are missing": lambda x, y, m: semi_hard(x, y, 0.2),
        "come up twice": twice,
        "some positions do not exist": from_the_end,
        "without any positive": lambda x, y, m: (
            semi_hard(x, y, m)
            if len(y.unique()) < len(y)
            else (torch.zeros(1, dtype=torch.int64),) * 3
        ),
        "one dimension": lambda x, y, m: tuple(part[:, None] for part in semi_hard(x, y, m)),
        "raised RuntimeError": lambda x, y, m: semi_hard(x, y[:3], m),
        "return three tensors": lambda x, y, m: torch.stack(semi_hard(x, y, m)),
    },
    "batch_hard": {
        # of the first picture, whose positives are at 2 and 9
        "the positive of picture 0 is at {:.2f}, but there is one at {:.2f}: the hardest positive "
        "is the farthest".format(*sorted(apart(0, n) for n in (2, 9))): replaced(
            1, lambda d, mask: d.masked_fill(~mask, 9).argmin(dim=1)
        ),
        "the negative of picture 0 is at {:.2f}, but there is one at {:.2f}: the hardest negative "
        "is the nearest".format(
            *(choose(apart(0, n) for n in (1, 3, 4, 5, 6, 7, 8)) for choose in (max, min))
        ): replaced(2, lambda d, mask: d.masked_fill(~mask, -1).argmax(dim=1)),
        "is of its own class": nearest_of_zeros,
        "picture 7 is an anchor, but there is no other of its class": everyone,
        "is its own positive": replaced(1, lambda d, mask: d.argmin(dim=1)),
        "return three tensors": lambda x, y: batch_hard(x, y)[:2],
        "are 8 triplets for 9 pictures": lambda x, y: tuple(part[1:] for part in batch_hard(x, y)),
        "a batch of a single class gives triplets": lambda x, y: (
            batch_hard(x, y) if y.any() else (torch.zeros(1, dtype=torch.int64),) * 3
        ),
    },
}


@pytest.mark.parametrize("name", TASKS)
def test_the_solution_is_accepted(name, capsys):
    number = TASKS.index(name) + 1
    must_accept(getattr(mining, name), SOLVED[name], number, capsys, spoiled=lambda _: True)


@pytest.mark.parametrize("name", TASKS)
def test_an_untouched_task_is_still_to_do(name):
    must_ask_for(getattr(mining, name), lambda *arguments: None, TASKS.index(name) + 1)


@pytest.mark.parametrize(("name", "sentence"), [(n, s) for n in TASKS for s in WRONG[n]])
def test_a_wrong_answer_is_told_what_is_wrong(name, sentence):
    assert re.search(sentence, told(getattr(mining, name), WRONG[name][sentence]))


@pytest.mark.parametrize("name", TASKS)
def test_each_mistake_has_a_sentence_of_its_own(name):
    said = {told(getattr(mining, name), answer) for answer in WRONG[name].values()}
    assert len(said) == len(WRONG[name]) >= 5


def test_one_negative_that_is_drawn_too_seldom_is_enough(monkeypatch):
    """The others share what it lacks, so none of them comes too often."""
    monkeypatch.setattr(mining, "DRAWS", 400)  # for a chance as small as this they are enough
    with pytest.raises(NotYet, match="all are to be equally likely"):
        mining.draw_triplets(lambda labels: uneven(labels, 0.2))


def test_negatives_near_the_positive_are_not_the_hardest():
    with pytest.raises(NotYet, match="nearest to the anchor"):
        mining.batch_hard(near_the_positive)


@pytest.mark.parametrize("name", ["semi-hard", "batch-hard"])
def test_the_solution_finds_what_train_siamese_would(name):
    """On a batch of the size that is trained with, with ties in neither."""
    embeddings = torch.nn.functional.normalize(
        torch.randn(56, 64, generator=torch.manual_seed(0)), dim=1
    )
    labels = torch.arange(56) % 7
    theirs = siamese.OBJECTIVES[name].terms.keywords["miner"](embeddings, labels)
    mine = semi_hard(embeddings, labels, 0.2) if name == "semi-hard" else batch_hard(
        embeddings, labels
    )  # fmt: skip
    rows = [
        sorted(zip(*(part.tolist() for part in parts), strict=True)) for parts in (mine, theirs)
    ]
    assert len(rows[0]) >= 56
    assert rows[0] == rows[1]
