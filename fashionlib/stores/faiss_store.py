"""A store over FAISS (Douze et al. 2024, arXiv 2401.08281): flat, or a graph for a large catalog.

The graph is HNSW (Malkov and Yashunin 2018, arXiv 1603.09320). It needs no training, so a store
can start empty and grow; an inverted file (IVF) would have to see the catalog first.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fashionlib.errors import FashionError
from fashionlib.settings import optional
from fashionlib.stores.common import (
    Candidates,
    Results,
    check_encoder,
    check_rows,
    check_search,
    check_texts,
    search_settled,
)
from fashionlib.weights import load_tensors, save_tensors

NEIGHBOURS = 32  # of each row in the graph (M in the paper)
EF_CONSTRUCTION = 80  # candidates kept while a row finds its neighbours
EF_SEARCH = 128  # candidates kept while a query walks the graph


class FaissStore:
    """A FAISS index in a file that follows every change. See `fashionlib.stores.Store`.

    A graph cannot forget a row. So a deleted row is marked and passed over, and when most rows
    are, the index is built anew from the others. With `index="flat"` results are exact. With
    "hnsw" they are not, except within a category: there all its rows are compared.
    """

    def __init__(self, path: Path | str, made_by: str, dimensions: int, index: str) -> None:
        self._faiss = optional("faiss", "stores")
        self.path, self.made_by, self.dimensions = Path(path), made_by, dimensions
        self.kind = index
        if self.path.exists():
            self._read()
        else:
            self._set(self._new_index(), [], [], np.zeros(0, bool))
            self._write()

    def __len__(self) -> int:
        return int(self._alive.sum())

    def upsert(self, ids: Iterable[str], embeddings: Tensor, categories: Iterable[str]) -> None:
        """See `Store.upsert`."""
        ids, embeddings, categories = check_rows(ids, embeddings, categories, self.dimensions)
        with self._written():
            alive = self._alive_without(ids)
            self._index.add(embeddings.numpy())
            alive = np.concatenate([alive, np.ones(len(ids), bool)])
            self._set(self._index, self._ids + ids, self._categories + categories, alive)

    def delete(self, ids: Iterable[str]) -> None:
        """See `Store.delete`."""
        ids = list(ids)
        check_texts(ids, "id", 0)
        with self._written():
            self._set(self._index, self._ids, self._categories, self._alive_without(ids))

    def search(self, queries: Tensor, k: int, category: str | None = None) -> Results:
        """See `Store.search`."""
        queries = check_search(queries, k, category, self.dimensions)
        selected, count = self._select(category)
        if count == 0:
            return Results(torch.zeros(len(queries), 0), ((),) * len(queries))
        exact = self.kind == "flat" or category is not None

        def fetch(part: Tensor, width: int) -> list[Candidates]:
            rows = self._nearest_rows(part.numpy(), min(width, count), selected, exact)
            return [(self._names(row), self._embeddings(row)) for row in rows]

        return search_settled(fetch, queries, min(k, count))

    def close(self) -> None:
        """Nothing to do: every change is in the file."""

    # Searching

    def _select(self, category: str | None) -> tuple[Any, int]:
        """What tells FAISS which rows to look at (None for all of them), and how many they are."""
        if category not in self._selected:
            chosen = self._alive
            if category is not None:
                chosen = chosen & np.array([name == category for name in self._categories], bool)
            bits = np.packbits(chosen, bitorder="little")
            selector = None if chosen.all() else self._faiss.IDSelectorBitmap(bits)
            self._selected[category] = selector, int(chosen.sum())
        return self._selected[category]

    def _nearest_rows(
        self, queries: np.ndarray, width: int, selected: Any, exact: bool
    ) -> np.ndarray:
        """Row numbers int64 [Q, width], where that many rows are selected."""
        everything = self._faiss.SearchParameters(sel=selected)
        storage = self._index if self.kind == "flat" else self._storage()
        if exact:
            return storage.search(queries, width, params=everything)[1]
        ef = max(EF_SEARCH, 2 * width)
        graph = self._faiss.SearchParametersHNSW(efSearch=ef, sel=selected)
        rows = self._index.search(queries, width, params=graph)[1]
        short = (rows < 0).any(axis=1)  # the walk ended in a part of the graph with too few
        if short.any():
            rows[short] = storage.search(queries[short], width, params=everything)[1]
        return rows

    def _storage(self) -> Any:
        return self._faiss.downcast_index(self._index.storage)

    def _names(self, rows: np.ndarray) -> list[str]:
        return [self._ids[n] for n in rows]

    def _embeddings(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self._index.reconstruct_batch(rows))

    # Changing, and the file

    def _new_index(self) -> Any:
        if self.kind == "flat":
            return self._faiss.IndexFlatL2(self.dimensions)
        index = self._faiss.IndexHNSWFlat(self.dimensions, NEIGHBOURS)
        index.hnsw.efConstruction = EF_CONSTRUCTION
        return index

    def _set(self, index: Any, ids: list[str], categories: list[str], alive: np.ndarray) -> None:
        self._index, self._ids, self._categories, self._alive = index, ids, categories, alive
        self._selected: dict[str | None, tuple[Any, int]] = {}

    def _alive_without(self, ids: Iterable[str]) -> np.ndarray:
        gone = set(ids)
        return self._alive & np.array([name not in gone for name in self._ids], bool)

    def _compact(self) -> None:
        kept = np.flatnonzero(self._alive)
        index = self._new_index()
        index.add(self._index.reconstruct_batch(kept))
        categories = [self._categories[n] for n in kept]
        self._set(index, self._names(kept), categories, np.ones(len(kept), bool))

    @contextmanager
    def _written(self) -> Iterator[None]:
        """Write the change; where that fails, go back to what the file holds."""
        try:
            yield
            if 2 * len(self) < len(self._alive):
                self._compact()
            self._write()
        except BaseException:
            self._read()
            raise

    def _write(self) -> None:
        tensors = {
            "index": torch.from_numpy(self._faiss.serialize_index(self._index)),
            "alive": torch.from_numpy(self._alive),
        }
        metadata = {"kind": "faiss store", "made_by": self.made_by, "index": self.kind}
        rows = {"ids": self._ids, "categories": self._categories}
        save_tensors(self.path, tensors, metadata | rows)

    def _read(self) -> None:
        tensors, metadata = load_tensors(self.path)
        if metadata.get("kind") != "faiss store":
            raise FashionError(f"{self.path} holds no FAISS store: give another name to a new one.")
        try:
            index = self._faiss.deserialize_index(tensors["index"].numpy())
        except RuntimeError as error:
            raise FashionError(f"{self.path} is damaged: fill a new store.") from error
        ids, categories, alive = metadata["ids"], metadata["categories"], tensors["alive"].numpy()
        if not index.ntotal == len(ids) == len(categories) == len(alive):
            raise FashionError(f"{self.path} is damaged: fill a new store.")
        check_encoder(self.path, metadata["made_by"], index.d, self.made_by, self.dimensions)
        if metadata["index"] != self.kind:
            there = metadata["index"]
            raise FashionError(f"{self.path} holds index={there!r}: open it with that.")
        self._set(index, ids, categories, alive)
