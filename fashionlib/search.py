"""Search by picture: embed a catalog once, then compare distances (chapter 4).

`visual_search` is the loop as an article would print it; `SearchIndex` gives the same answers
without embedding the catalog again for every query.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from PIL import Image
from torch import Tensor, nn

from fashionlib.catalog.contents import Labels
from fashionlib.catalog.pictures import read_picture, to_square
from fashionlib.errors import FashionError
from fashionlib.files import taking_apart, texts
from fashionlib.inference import predict
from fashionlib.settings import progress_bar
from fashionlib.weights import fingerprint, load_tensors, save_tensors

# The side that `load_catalog` decodes at. A query goes through it too, so that a picture gets the
# same embedding whether it comes from a file or from a catalog.
SIDE = 160

LARGEST = 1e15  # of a number in an embedding: squares of differences stay far within float32
PART = 16  # pictures embedded between two moves of the progress bar
MOST_DISTANCES = 1 << 22  # at a time: 16 MB, and about twice that while the nearest are chosen


def visual_search(
    query: Tensor, catalog: Tensor, encoder: nn.Module, k: int
) -> list[tuple[float, int]]:
    """The article's search: every catalog picture is embedded anew, one at a time, and sorted.

    The query is a picture uint8 [3, H, W], the catalog uint8 [N, 3, H, W]. Returns the k nearest
    as (Euclidean distance, position in the catalog), nearest first.
    """
    wanted = predict(encoder, query[None])[0]
    found = []
    for position, picture in enumerate(catalog):
        embedding = predict(encoder, picture[None])[0]
        found.append((float(torch.dist(wanted, embedding)), position))
    return sorted(found)[:k]


def euclidean(queries: Tensor, catalog: Tensor) -> Tensor:
    """Euclidean distances of float32 [Q, D] to float32 [N, D]: float32 [Q, N].

    By subtracting, not through a matrix product: that one is faster for many queries, but rounds
    so that equal embeddings are not at distance 0, and differently for each number of queries.
    """
    return torch.cdist(queries, catalog, compute_mode="donot_use_mm_for_euclid_dist")


def nearest(distances: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k smallest of each row, ascending, without sorting the row.

    Distances float32 [Q, N], none of them nan, and 1 ≤ k ≤ N; returns distances float32 [Q, k]
    and positions int64 [Q, k]. Of equal distances the lower position is chosen first, and
    stands first. `torch.topk` does not promise that, so only its values are used.
    """
    last = distances.topk(k, largest=False).values[:, -1:]
    nearer, equal = distances < last, distances == last
    room = k - nearer.sum(dim=1, keepdim=True)
    chosen = nearer | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= room))
    positions = chosen.nonzero()[:, 1].reshape(len(distances), k)
    sorted_distances, order = distances.gather(1, positions).sort(dim=1, stable=True)
    return sorted_distances, positions.gather(1, order)


@dataclass(frozen=True, eq=False)
class Results:
    """The k nearest pictures of each query, nearest first, or all where there are fewer."""

    distances: Tensor  # float32 [Q, k], Euclidean
    ids: tuple[tuple[str, ...], ...]  # Q rows of k
    positions: Tensor | None = None  # int64 [Q, k], rows of an index; a store has none


@dataclass(frozen=True)
class Found:
    """One picture that was found, in plain data."""

    id: str
    distance: float
    category: str  # "" where nobody knows it
    right: bool | None  # whether that is the query's category; None where nobody knows


def describe(
    results: Results, category_of: Callable[[str], str], wanted: str | None
) -> list[Found]:
    """What was found for the first query, nearest first; `wanted` is its category, if known."""
    found = []
    for name, distance in zip(results.ids[0], results.distances[0].tolist(), strict=True):
        category = category_of(name)
        right = None if wanted is None else category == wanted
        found.append(Found(name, distance, category, right))
    return found


@dataclass(frozen=True, eq=False)
class SearchIndex:
    """The embeddings of a catalog, ready to be searched. Make one with `build_index`.

    Nothing changes an index: `add` and `remove` return a new one.

    Raises:
        FashionError: shapes do not agree, an id is there twice, or an embedding is not finite.
    """

    embeddings: Tensor  # float32 [N, D]
    ids: tuple[str, ...]  # N, all different
    made_by: str  # fingerprint of the encoder

    def __post_init__(self) -> None:
        # where queries go, and as they are
        object.__setattr__(self, "embeddings", self.embeddings.detach().cpu().float())
        if self.embeddings.ndim != 2 or len(self.embeddings) != len(self.ids):
            shape = list(self.embeddings.shape)
            raise FashionError(f"embeddings {shape} do not fit {len(self.ids)} ids: one row each.")
        if len(set(self.ids)) < len(self.ids):
            raise FashionError(f"the id {first_repeated(self.ids)!r} is there twice: use one.")
        check_numbers(self.embeddings, "an embedding")

    def __len__(self) -> int:
        return len(self.ids)

    def search(self, queries: Tensor, k: int) -> Results:
        """The k nearest to one query [D], or to each of queries [Q, D], by Euclidean distance.

        Exact. Of equal distances the lower position comes first. A k above the size of the
        catalog gives all of it. Memory does not grow with the number of queries.

        Raises:
            FashionError: k below 1, an empty catalog, queries of other dimensions, or not finite.
        """
        if not self.ids:
            raise FashionError("the catalog is empty: add pictures before searching it.")
        queries = check_queries(queries, k, self.embeddings.shape[1])
        k = min(k, len(self))
        parts = queries.split(max(1, MOST_DISTANCES // len(self)))
        found = [nearest(euclidean(part, self.embeddings), k) for part in parts]
        distances, positions = (torch.cat(part) for part in zip(*found, strict=True))
        ids = tuple(tuple(self.ids[n] for n in row) for row in positions.tolist())
        return Results(distances, ids, positions)

    def check(self, encoder: nn.Module) -> None:
        """Make sure that queries from this encoder can be compared with this index.

        Raises:
            FashionError: another one made it, or the same at another picture size.
        """
        if fingerprint(encoder) != self.made_by:
            raise FashionError(
                "this index was made with other weights, or at another picture size: "
                "build it again."
            )

    def add(self, embeddings: Tensor, ids: Iterable[str]) -> "SearchIndex":
        """A new index with these embeddings float32 [M, D] behind the old ones.

        Raises:
            FashionError: other dimensions, or an id that is there already.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.embeddings.shape[1]:
            raise FashionError(
                f"embeddings {list(embeddings.shape)} cannot join an index of "
                f"{self.embeddings.shape[1]} dimensions."
            )
        both = torch.cat([self.embeddings, embeddings.detach().cpu()])
        return SearchIndex(both, (*self.ids, *ids), self.made_by)

    def remove(self, ids: Iterable[str]) -> "SearchIndex":
        """A new index without these ids.

        Raises:
            FashionError: an id that is not there.
        """
        gone, present = dict.fromkeys(ids), set(self.ids)
        unknown = [name for name in gone if name not in present]
        if unknown:
            raise FashionError(f"no {unknown[0]!r} in the index: nothing was removed.")
        kept = [n for n, name in enumerate(self.ids) if name not in gone]
        names = tuple(self.ids[n] for n in kept)
        return SearchIndex(self.embeddings[kept], names, self.made_by)

    def save(self, path: Path | str) -> None:
        """Write a safetensors file, whole or not at all.

        Raises:
            FashionError: the place cannot be written; what was there before is unharmed.
        """
        metadata = {"kind": "index", "made_by": self.made_by, "ids": self.ids}
        save_tensors(path, {"embeddings": self.embeddings}, metadata)

    @classmethod
    def load(cls, path: Path | str, encoder: nn.Module) -> "SearchIndex":
        """Read a saved index, to be searched with this encoder.

        Raises:
            FashionError: no such file, not an index, or another encoder made it.
        """
        tensors, metadata = load_tensors(path)
        if metadata.get("kind") != "index":
            raise FashionError(f"{path} holds no index: build one and save it.")
        index = index_from(path, tensors, metadata)
        index.check(encoder)
        return index


def index_from(
    path: Path | str, tensors: dict[str, Tensor], metadata: dict[str, Any]
) -> SearchIndex:
    """The index in a file that `load_tensors` read, of whatever kind that is.

    Raises:
        FashionError: there is none, or no whole one.
    """
    with taking_apart(path):
        embeddings, ids = tensors["embeddings"], tuple(texts(metadata["ids"]))
        if embeddings.dtype != torch.float32:
            raise TypeError(f"embeddings {embeddings.dtype}")
        try:
            return SearchIndex(embeddings, ids, metadata["made_by"])
        except FashionError as error:  # the file is at fault, not who reads it
            raise ValueError(str(error)) from error


def narrowed(index: SearchIndex, labels: Labels, asked: dict[str, str]) -> SearchIndex:
    """Only the pictures whose labels are as asked, {"colour": "red"}; there may be none."""
    others = [name for name in index.ids if not asked.items() <= labels[name].items()]
    return index.remove(others)


def check_queries(queries: Tensor, k: int, dimensions: int) -> Tensor:
    """One query [D] or several [Q, D] as float32 [Q, D] on the CPU, ready to be compared.

    Raises:
        FashionError: k below 1, other dimensions, or a query that is not finite.
    """
    if k < 1:
        raise FashionError(f"the {k} nearest: ask for at least 1.")
    queries = queries.detach().cpu().float()
    queries = queries[None] if queries.ndim == 1 else queries
    if queries.ndim != 2 or queries.shape[1] != dimensions:
        raise FashionError(
            f"a query of shape {list(queries.shape)} among embeddings of {dimensions} dimensions: "
            "embed it with the encoder that made these."
        )
    check_numbers(queries, "a query")
    return queries.contiguous()


def check_numbers(embeddings: Tensor, what: str) -> None:
    """Make sure that float32 [N, D] can be compared.

    Raises:
        FashionError: there is a nan, or a number beyond `LARGEST`.
    """
    if not (embeddings.abs() <= LARGEST).all():
        raise FashionError(
            f"{what} is not finite, or beyond 1e15: the encoder's weights are broken."
        )


def first_repeated(ids: Iterable[str]) -> str:
    """An id that is there more than once."""
    return Counter(ids).most_common(1)[0][0]


def build_index(encoder: nn.Module, images: Tensor, ids: Iterable[str]) -> SearchIndex:
    """Embed pictures uint8 [N, 3, H, W] once, as the encoder prepares them.

    Raises:
        FashionError: no pictures, not as many ids, or an id twice.
    """
    if len(images) == 0:
        raise FashionError("the catalog is empty: there is nothing to search.")
    ids = tuple(ids)
    SearchIndex(torch.zeros(len(images), 1), ids, "")  # complains of ids before the work
    parts = progress_bar(images.split(PART), "embedding", "batch")
    embeddings = torch.cat([predict(encoder, part) for part in parts])
    return SearchIndex(embeddings, ids, fingerprint(encoder))


def read_query(source: Path | str | bytes | IO[bytes]) -> Tensor:
    """A picture file, read by `read_picture` and made square: uint8 [3, SIDE, SIDE].

    Raises:
        FashionError: it is not a picture that can be read.
    """
    return torch.from_numpy(to_square(read_picture(source, SIDE), SIDE))


def embed_picture(encoder: nn.Module, picture: Image.Image | Tensor) -> Tensor:
    """The embedding float32 [D] of one picture: RGB from `read_picture`, or uint8 [3, H, W]."""
    if isinstance(picture, Image.Image):
        picture = torch.from_numpy(to_square(picture, SIDE))
    return predict(encoder, picture[None])[0]
