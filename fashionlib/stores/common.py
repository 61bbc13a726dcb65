"""What all vector stores share: their answer, their checks, and how they settle ties."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from fashionlib.errors import FashionError
from fashionlib.search import Results, check_numbers, check_queries, euclidean, first_repeated

INDEXES = ("flat", "hnsw")  # compares with every row; walks a graph of neighbours
LONGEST = 4096  # bytes of an id or a category: the longest path that Linux takes
SPARE = 10  # candidates beyond k
SLACK = 1e-5  # rounding of a squared distance, as a share of the squared lengths behind it

NEIGHBOURS = 32  # of each row in a graph (M in the paper)
EF_CONSTRUCTION = 80  # candidates kept while a row finds its neighbours
EF_SEARCH = 128  # candidates kept while a query walks a graph, or twice as many as it asks for

Candidates = tuple[Sequence[str], Tensor]  # of one query: M ids, embeddings float32 [M, D]


class CheckedStore:
    """What is the same in all stores: `Store`'s checks.

    A store has its own `_nearest`, and a `_change` that takes rows out by id and puts others in.
    """

    def __init__(self, name: str, made_by: str, dimensions: int, index: str) -> None:
        self._name, self.made_by, self.dimensions, self.index = name, made_by, dimensions, index

    def upsert(self, ids: Iterable[str], embeddings: Tensor, categories: Iterable[str]) -> None:
        """See `Store.upsert`."""
        ids, categories = list(ids), list(categories)
        embeddings = embeddings.detach().cpu().float().contiguous()
        if embeddings.ndim != 2 or embeddings.shape[1] != self.dimensions:
            raise FashionError(
                f"embeddings {list(embeddings.shape)} do not fit a store of {self.dimensions} "
                "dimensions."
            )
        if not len(ids) == len(embeddings) == len(categories):
            counts = f"{len(ids)} ids, {len(embeddings)} embeddings, {len(categories)} categories"
            raise FashionError(f"{counts}: give one of each for every row.")
        check_texts(ids, "id", 1)
        if len(set(ids)) < len(ids):
            raise FashionError(f"the id {first_repeated(ids)!r} is there twice: use one.")
        check_texts(categories, "category", 0)
        check_numbers(embeddings, "an embedding")
        self._change(ids, ids, embeddings, categories)

    def delete(self, ids: Iterable[str]) -> None:
        """See `Store.delete`."""
        ids = list(ids)
        check_texts(ids, "id", 0)
        self._change(ids, [], torch.zeros(0, self.dimensions), [])

    def search(self, queries: Tensor, k: int, category: str | None = None) -> Results:
        """See `Store.search`."""
        if category is not None:
            check_texts([category], "category", 0)
        return self._nearest(check_queries(queries, k, self.dimensions), k, category)

    def close(self) -> None:
        """Nothing to do where every change is in a file."""

    def check_made(self, made_by: str, dimensions: int, index: str) -> None:
        """Make sure that what is there is of this encoder, and an index of this kind.

        Raises:
            FashionError: other weights made it, embeddings of other dimensions are in it, or it
                is another index.
        """
        if made_by != self.made_by:
            raise FashionError(
                f"{self._name} was made with other weights, or at another picture size: "
                "fill a new store."
            )
        if dimensions != self.dimensions:
            raise FashionError(f"{self._name} has {dimensions} dimensions, not {self.dimensions}.")
        if index != self.index:
            raise FashionError(f"{self._name} holds index={index!r}: open it with that.")


class FileStore(CheckedStore):
    """What is the same in stores of one file: where it is, and who may change it.

    A store has its own `_read` and `_create`, and calls `_own` before it changes anything. Beside
    the file stays a hidden one, for whoever writes to lock: all find it there, also those with
    another cache, or who come by a link.
    """

    def __init__(self, path: Path | str, made_by: str, dimensions: int, index: str) -> None:
        super().__init__(str(path), made_by, dimensions, index)
        self.path = Path(path).absolute()  # also when the program goes to another folder
        real = Path(os.path.realpath(path))
        self._lock = FileLock(real.with_name(f".{real.name}.lock"))
        if os.path.exists(self.path):
            self._read()
        else:
            self._own()
            if not os.path.exists(self.path):
                self._create()
            self.close()

    def _own(self) -> None:
        """From the first change until `close` nobody else may write; all may read.

        Raises:
            FashionError: another process writes, or the folder cannot be written.
        """
        if self._lock.is_locked:
            return
        # its own in each process: one that came by a fork takes no lock; for any user to lock; and
        # of the whole process: else filelock takes each thread for a holder
        self._lock = FileLock(self._lock.lock_file, mode=0o666, thread_local=False)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            if os.path.exists(self.path):
                self._read()  # what others have changed since it was opened
        except FashionError:
            self.close()  # it would else be written over the next time, as if it had been read
            raise
        except Timeout:
            raise FashionError(
                f"{self._name} is being changed by another process: let that close it first."
            ) from None
        except OSError as error:
            raise FashionError(f"could not write {self._name}: {error.strerror}.") from error

    def close(self) -> None:
        """Let others change it."""
        self._lock.release()


def check_texts(texts: Iterable[str], what: str, least: int) -> None:
    """Make sure that every store can hold these: texts of at most `LONGEST` bytes, without NUL.

    Raises:
        FashionError: one cannot be held.
    """
    for text in texts:
        if not isinstance(text, str):
            raise FashionError(f"the {what} {text!r} is no text: give it in quotes.")
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:  # a file name that is no UTF-8 comes with surrogates
            raise FashionError(f"the {what} {text!r} is not Unicode: rename it.") from error
        if not least <= size <= LONGEST or "\0" in text:
            raise FashionError(
                f"the {what} {text[:40]!r} has {size} bytes: {least} to {LONGEST} without NUL fit."
            )


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
