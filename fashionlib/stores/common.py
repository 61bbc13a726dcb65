"""What all vector stores share: their answer, their checks, and how they settle ties."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from fashionlib.errors import FashionError
from fashionlib.search import Results, check_queries, euclidean, first_repeated

INDEXES = ("flat", "hnsw")  # compares with every row; walks a graph of neighbours
LONGEST = 4096  # bytes of an id or a category: the longest path that Linux takes
SPARE = 10  # candidates beyond k
SLACK = 1e-5  # rounding of a squared distance, as a share of the squared lengths behind it

Candidates = tuple[Sequence[str], Tensor]  # of one query: M ids, embeddings float32 [M, D]


def check_rows(
    ids: Iterable[str], embeddings: Tensor, categories: Iterable[str], dimensions: int
) -> tuple[list[str], Tensor, list[str]]:
    """Rows as a store takes them: embeddings float32 [N, D] on the CPU, N ids, N categories.

    Raises:
        FashionError: lengths or dimensions do not agree, an id is there twice, an embedding is
            not finite, or a text is none (see `check_texts`).
    """
    ids, categories = list(ids), list(categories)
    embeddings = embeddings.detach().cpu().float().contiguous()
    if embeddings.ndim != 2 or embeddings.shape[1] != dimensions:
        shape = list(embeddings.shape)
        raise FashionError(f"embeddings {shape} do not fit a store of {dimensions} dimensions.")
    if not len(ids) == len(embeddings) == len(categories):
        counts = f"{len(ids)} ids, {len(embeddings)} embeddings, {len(categories)} categories"
        raise FashionError(f"{counts}: give one of each for every row.")
    if len(set(ids)) < len(ids):
        raise FashionError(f"the id {first_repeated(ids)!r} is there twice: use one.")
    if not embeddings.isfinite().all():
        raise FashionError("an embedding is not finite: the encoder's weights are broken.")
    check_texts(ids, "id", 1)
    check_texts(categories, "category", 0)
    return ids, embeddings, categories


def check_texts(texts: Iterable[str], what: str, least: int) -> None:
    """Make sure that every store can hold these: UTF-8, of at most `LONGEST` bytes, without NUL.

    Raises:
        FashionError: one cannot be held.
    """
    for text in texts:
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:  # a file name that is no UTF-8 comes with surrogates
            raise FashionError(f"the {what} {text!r} is not Unicode: rename it.") from error
        if not least <= size <= LONGEST or "\0" in text:
            start = text[:40]
            message = f"the {what} {start!r} has {size} bytes: {least} to {LONGEST} without NUL fit"
            raise FashionError(f"{message}.")


def check_search(queries: Tensor, k: int, category: str | None, dimensions: int) -> Tensor:
    """What a store is asked: as `search.check_queries`, and for a category that it can hold.

    Raises:
        FashionError: any of it is none that a store could answer.
    """
    if category is not None:
        check_texts([category], "category", 0)
    return check_queries(queries, k, dimensions)


def check_encoder(
    where: object, made_by: str, dimensions: int, wanted: str, wanted_dimensions: int
) -> None:
    """Make sure that the store at `where` was made by the encoder that is to search it.

    Raises:
        FashionError: other weights made it, or embeddings of other dimensions are in it.
    """
    if made_by != wanted:
        raise FashionError(
            f"{where} was made with other weights, or at another picture size: fill a new store."
        )
    if dimensions != wanted_dimensions:
        raise FashionError(f"{where} has {dimensions} dimensions, not {wanted_dimensions}.")


def search_settled(
    fetch: Callable[[Tensor, int], Sequence[Candidates]], queries: Tensor, k: int
) -> Results:
    """The k nearest of each query among what an engine finds, measured anew, with ties settled.

    Engines round distances each in its own way, and of equal distances give the one they met
    first. So they are asked for a few more than k; these are measured by `euclidean` and sorted
    by distance, then id. Where the last of them is as near as the k-th, within rounding, others
    like it may have been left out: then for twice as many.

    Args:
        fetch: queries [Q, D] and a number of candidates to those of each query; fewer than asked
            for where there are no more.
        queries: float32 [Q, D].
        k: at least 1.

    Raises:
        FashionError: an approximate index found fewer than k rows for one query than for another.
    """
    found: dict[int, tuple[Tensor, tuple[str, ...]]] = {}
    pending, width = list(range(len(queries))), k + SPARE
    while pending:
        unsettled = []
        for n, (ids, embeddings) in zip(pending, fetch(queries[pending], width), strict=True):
            distances = euclidean(queries[n : n + 1], embeddings)[0]
            values = distances.tolist()
            order = sorted(range(len(ids)), key=lambda m, v=values, i=ids: (v[m], i[m]))
            found[n] = distances[order[:k]], tuple(ids[m] for m in order[:k])
            if len(ids) >= width:
                rounding = SLACK * (queries[n].square().sum() + embeddings.square().sum(1).max())
                if values[order[-1]] ** 2 - values[order[k - 1]] ** 2 <= rounding:
                    unsettled.append(n)
        pending, width = unsettled, 2 * width
    rows = [found[n] for n in range(len(queries))]
    if len({len(ids) for _, ids in rows}) > 1:
        raise FashionError("the graph did not reach k rows for every query: use a flat index.")
    distances = torch.stack([row for row, _ in rows]) if rows else torch.zeros(0, k)
    return Results(distances, tuple(ids for _, ids in rows))
