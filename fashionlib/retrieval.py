"""How good are the results? Retrieval measures over rankings (chapters 3 and 4).

Everything starts from `ranking`, the whole catalog in order of distance for each query, and gives
one value a query. The mean over queries is the figure to report, `score` adds how sure it is.

```python
order = ranking(embed(test), embed(train))
right = matches(order, test.labels, train.labels)
score(precision_at_k(right, 5))
```
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fashionlib.catalog import Split
from fashionlib.errors import FashionError
from fashionlib.metrics import wilson_interval
from fashionlib.search import euclidean


def ranking(queries: Tensor, catalog: Tensor) -> Tensor:
    """Positions of the whole catalog, nearest first, for each query: int64 [Q, N].

    Embeddings float32 [Q, D] and [N, D]; of equal distances the lower position comes first, as
    in `SearchIndex`. Sorting takes 16 bytes of memory for each pair.
    """
    return euclidean(queries, catalog).argsort(dim=1, stable=True)


def matches(
    positions: Tensor, query_values: Tensor | Sequence[str], values: Tensor | Sequence[str]
) -> Tensor:
    """Which results have the query's value: bool, in the shape of `positions`, int64 [Q, K].

    The values, one for each of Q queries and of N catalog pictures, are labels or an attribute
    such as `split.attributes["colour"]`.
    """
    plain = [each.tolist() if isinstance(each, Tensor) else each for each in (query_values, values)]
    codes = {value: code for code, value in enumerate(set().union(*plain))}
    wanted, known = (torch.tensor([codes[value] for value in each]) for each in plain)
    return wanted[:, None] == known[positions]


def precision_at_k(right: Tensor, k: int) -> Tensor:
    """Share of the first k results that are right: bool [Q, N] to float32 [Q].

    From a catalog of fewer than k pictures: the share of those there are. Of matches in an
    attribute rather than the class this is the agreement at k.
    """
    return right[:, :k].float().mean(dim=1)


def recall_at_k(right: Tensor, k: int) -> Tensor:
    """Share of all right pictures that are among the first k: bool [Q, N] to float32 [Q].

    Where a class has 800 pictures, 5 results cannot find more than 5 of them: compare `hit_at_k`.

    Raises:
        FashionError: a query has no right picture in the catalog.
    """
    return right[:, :k].sum(dim=1) / _count_right(right)


def hit_at_k(right: Tensor, k: int) -> Tensor:
    """1 where at least one of the first k is right, else 0: bool [Q, N] to float32 [Q].

    Papers on metric learning call the mean of this "Recall@K".
    """
    return right[:, :k].any(dim=1).float()


def average_precision(right: Tensor) -> Tensor:
    """Mean of the precisions at the rank of each right picture: bool [Q, N] to float32 [Q].

    1 where all right pictures come before all others. Its mean over queries is the mAP (Manning
    et al., "Introduction to Information Retrieval", 2008, section 8.4).

    Raises:
        FashionError: a query has no right picture in the catalog.
    """
    ranks = torch.arange(1, right.shape[1] + 1)
    precisions = right.cumsum(dim=1) / ranks
    return (precisions * right).sum(dim=1) / _count_right(right)


def _count_right(right: Tensor) -> Tensor:
    count = right.sum(dim=1)
    if (count == 0).any():
        query = int((count == 0).nonzero()[0])
        raise FashionError(f"query {query} has nothing to find: no catalog picture is like it.")
    return count


# By look: colour and pattern, where they are labelled


def labelled(split: Split) -> Split:
    """The pictures of a split whose colour and pattern are known.

    Raises:
        FashionError: there are none.
    """
    return split.at(labelled_positions(split))


def labelled_positions(split: Split) -> Tensor:
    """Positions in a split, int64 [M], of the pictures whose colour and pattern are known.

    Raises:
        FashionError: there are none.
    """
    known = [n for n, colour in enumerate(split.attributes.get("colour", ())) if colour]
    if not known:
        raise FashionError("nobody has labelled how these pictures look.")
    return torch.tensor(known)


def right_looks(order: Tensor, queries: Split, catalog: Split) -> dict[str, Tensor]:
    """Which results are right by "category", "colour", "pattern", and in all three: "alike".

    `order` is the ranking of the catalog for the queries, int64 [Q, N]; bool [Q, N] each.
    """
    right = {"category": matches(order, queries.labels, catalog.labels)}
    for look in ("colour", "pattern"):
        right[look] = matches(order, queries.attributes[look], catalog.attributes[look])
    return right | {"alike": right["category"] & right["colour"] & right["pattern"]}


def agreement_at_k(order: Tensor, queries: Split, catalog: Split, k: int) -> dict[str, Tensor]:
    """The share of the first k results that are right, by what is asked: float32 [Q] each.

    "patterned" is "pattern" for those queries alone that are not plain, so it is shorter than Q.
    `labelled` gives queries of which all this is known.
    """
    right = right_looks(order, queries, catalog)
    return _patterned({name: precision_at_k(each, k) for name, each in right.items()}, queries)


def chance_in_class(order: Tensor, queries: Split, catalog: Split) -> dict[str, Tensor]:
    """`agreement_at_k` of results that are drawn from the query's class: float32 [Q] each."""
    right = right_looks(order, queries, catalog)
    of_class = right["category"].sum(dim=1)
    shares = {name: (r & right["category"]).sum(dim=1) / of_class for name, r in right.items()}
    return _patterned(shares, queries)


def best_at_k(order: Tensor, queries: Split, catalog: Split, k: int) -> dict[str, Tensor]:
    """`agreement_at_k` of the best order there is: float32 [Q] each, below 1 for rare looks."""
    right, k = right_looks(order, queries, catalog), min(k, order.shape[1])
    best = {name: each.sum(dim=1).clamp(max=k) / k for name, each in right.items()}
    return _patterned(best, queries)


def _patterned(values: dict[str, Tensor], queries: Split) -> dict[str, Tensor]:
    chosen = torch.tensor([pattern != "plain" for pattern in queries.attributes["pattern"]])
    return values | {"patterned": values["pattern"][chosen]}


# How sure is a mean?


@dataclass(frozen=True)
class Score:
    """A mean over queries and its 95 % interval."""

    mean: float
    low: float
    high: float
    queries: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f}, {self.queries} queries)"


def score(values: Tensor) -> Score:
    """Mean of values from 0 to 1, float32 [Q], with a Wilson interval for Q answers.

    A value between 0 and 1 varies at most as much as a yes or no of the same mean, so the
    interval is too wide rather than too narrow. Unlike a bootstrap's it does not shrink to
    nothing when all queries of a small class are right.

    Raises:
        FashionError: there are no queries.
    """
    if len(values) == 0:
        raise FashionError("no queries: their mean is undefined.")
    mean = float(values.double().mean())
    return Score(mean, *wilson_interval(mean * len(values), len(values)), len(values))


def resampled(values: Tensor) -> Score:
    """Mean of any values, float32 [Q], with a bootstrap interval of 95 %: 2,000 draws of Q queries.

    For values that are no shares of pictures, and for differences of two encoders on the same
    queries (Efron and Tibshirani 1993, chapter 13). The draws are the same each time. Queries that
    are alike, such as photos of one owner, make the interval too narrow.

    Raises:
        FashionError: there are no queries.
    """
    if len(values) == 0:
        raise FashionError("no queries: their mean is undefined.")
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(values), (2000, len(values)), generator=generator)
    means = values.double()[drawn].mean(dim=1)
    low, high = means.quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    return Score(float(values.double().mean()), low, high, len(values))


def score_by_class(values: Tensor, labels: Tensor, classes: Sequence[str]) -> dict[str, Score]:
    """`score` for the queries of each class that has any: values float32 [Q], labels int64 [Q]."""
    present = sorted(set(labels.tolist()))
    return {classes[label]: score(values[labels == label]) for label in present}


def evaluate_retrieval(
    queries: Tensor,
    query_labels: Tensor,
    catalog: Tensor,
    labels: Tensor,
    k: int = 5,
) -> dict[str, Tensor]:
    """All measures by class label, one float32 [Q] each, of embeddings [Q, D] among [N, D].

    Raises:
        FashionError: a query of a class the catalog has no picture of.
    """
    right = matches(ranking(queries, catalog), query_labels, labels)
    return {
        "precision@1": precision_at_k(right, 1),
        f"precision@{k}": precision_at_k(right, k),
        f"recall@{k}": recall_at_k(right, k),
        f"hit@{k}": hit_at_k(right, k),
        "mAP": average_precision(right),
    }


# Do the results look alike? A stand-in where nobody has labelled colours


@dataclass(frozen=True, eq=False)
class ColourDistances:
    """For each query, float32 [Q]: how far in colour its results are, and what to expect."""

    found: Tensor  # mean over the results
    random: Tensor  # expected of a random picture of the query's class
    best: Tensor  # mean over as many pictures of its class, chosen by colour alone

    @property
    def ratio(self) -> float:
        """Mean of what was found to mean of a random pick: below 1 is closer in colour."""
        return float(self.found.mean() / self.random.mean())


def mean_colours(images: Tensor) -> Tensor:
    """Mean RGB of the central half of each picture: uint8 [N, 3, H, W] to float32 [N, 3], 0–255.

    Half of the width and of the height: mostly garment, where the whole would be mostly backdrop.
    """
    height, width = images.shape[-2:]
    top, left = height // 4, width // 4
    centres = images[:, :, top : height - top, left : width - left]
    return torch.stack([centre.float().mean(dim=(1, 2)) for centre in centres])


def colour_distances(
    query_images: Tensor, query_labels: Tensor, images: Tensor, labels: Tensor, positions: Tensor
) -> ColourDistances:
    """How far results are from their query in mean colour, Euclidean in RGB (0 to 442).

    A stand-in for catalogs without labels: the mean of a striped shirt is a colour that is nowhere
    on it, part of the centre is backdrop, and RGB distance is not what an eye sees. Features with
    these very means appended win it without knowing more (chapter 4).

    Queries uint8 [Q, 3, H, W] with labels int64 [Q], none of them in the catalog, uint8
    [N, 3, H, W] with labels int64 [N]; positions of the results int64 [Q, k].

    Raises:
        FashionError: a query of a class the catalog has no picture of.
    """
    distances = euclidean(mean_colours(query_images), mean_colours(images))
    found = distances.gather(1, positions).mean(dim=1)
    of_class = [row[labels == label] for row, label in zip(distances, query_labels, strict=True)]
    for query, row in enumerate(of_class):
        if len(row) == 0:
            raise FashionError(f"query {query} has no catalog picture of its class to compare.")
    k = positions.shape[1]
    return ColourDistances(
        found,
        torch.stack([row.mean() for row in of_class]),
        torch.stack([row.topk(min(k, len(row)), largest=False).values.mean() for row in of_class]),
    )
