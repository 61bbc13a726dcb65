"""A store over the exact index of chapter 4: every row is compared, one file holds everything."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from fashionlib.errors import FashionError
from fashionlib.search import SearchIndex
from fashionlib.stores.common import Results, check_encoder, check_rows, check_search, check_texts
from fashionlib.weights import load_tensors, save_tensors


class ExactStore:
    """`SearchIndex` in a file that follows every change. See `fashionlib.stores.Store`.

    The file is one that `SearchIndex.load` reads too, with the categories beside the ids.
    """

    def __init__(self, path: Path | str, made_by: str, dimensions: int) -> None:
        self.path, self.made_by, self.dimensions = Path(path), made_by, dimensions
        self._parts: dict[str, SearchIndex] = {}  # rows of one category, made when first searched
        if self.path.exists():
            self._index, self._categories = self._read()
        else:
            self._replace(SearchIndex(torch.zeros(0, dimensions), (), made_by), ())

    def __len__(self) -> int:
        return len(self._index)

    def upsert(self, ids: Iterable[str], embeddings: Tensor, categories: Iterable[str]) -> None:
        """See `Store.upsert`."""
        ids, embeddings, categories = check_rows(ids, embeddings, categories, self.dimensions)
        kept = self._without(ids)
        names = [*(self._index.ids[n] for n in kept), *ids]
        both = torch.cat([self._index.embeddings[kept], embeddings])
        all_categories = [*(self._categories[n] for n in kept), *categories]
        # sorted, so that the index's rule for equal distances, the lower position, is the lower id
        order = sorted(range(len(names)), key=names.__getitem__)
        index = SearchIndex(both[order], tuple(names[n] for n in order), self.made_by)
        self._replace(index, tuple(all_categories[n] for n in order))

    def delete(self, ids: Iterable[str]) -> None:
        """See `Store.delete`."""
        ids = list(ids)
        check_texts(ids, "id", 0)
        kept = self._without(ids)
        names = tuple(self._index.ids[n] for n in kept)
        index = SearchIndex(self._index.embeddings[kept], names, self.made_by)
        self._replace(index, tuple(self._categories[n] for n in kept))

    def search(self, queries: Tensor, k: int, category: str | None = None) -> Results:
        """See `Store.search`."""
        queries = check_search(queries, k, category, self.dimensions)
        index = self._index if category is None else self._part(category)
        if not len(index):
            return Results(torch.zeros(len(queries), 0), ((),) * len(queries))
        results = index.search(queries, k)
        return Results(results.distances, results.ids)

    def close(self) -> None:
        """Nothing to do: every change is in the file."""

    def _without(self, ids: Iterable[str]) -> list[int]:
        gone = set(ids)
        return [n for n, name in enumerate(self._index.ids) if name not in gone]

    def _part(self, category: str) -> SearchIndex:
        if category not in self._parts:
            rows = [n for n, name in enumerate(self._categories) if name == category]
            names = tuple(self._index.ids[n] for n in rows)
            part = SearchIndex(self._index.embeddings[rows], names, self.made_by)
            self._parts[category] = part
        return self._parts[category]

    def _replace(self, index: SearchIndex, categories: tuple[str, ...]) -> None:
        metadata = {"kind": "index", "made_by": self.made_by}
        rows = {"ids": index.ids, "categories": categories}
        save_tensors(self.path, {"embeddings": index.embeddings}, metadata | rows)
        self._index, self._categories, self._parts = index, categories, {}

    def _read(self) -> tuple[SearchIndex, tuple[str, ...]]:
        tensors, metadata = load_tensors(self.path)
        if metadata.get("kind") != "index" or "categories" not in metadata:
            raise FashionError(f"{self.path} holds no store: give another name to a new one.")
        index = SearchIndex(tensors["embeddings"], tuple(metadata["ids"]), metadata["made_by"])
        dimensions = index.embeddings.shape[1]
        check_encoder(self.path, index.made_by, dimensions, self.made_by, self.dimensions)
        return index, tuple(metadata["categories"])
