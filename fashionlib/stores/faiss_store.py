"""A store over FAISS (Douze et al. 2024, arXiv 2401.08281): flat, or a graph for a large catalog.

The graph is HNSW (Malkov and Yashunin 2018, arXiv 1603.09320). It needs no training, so a store
can start empty and grow; an inverted file (IVF) would have to see the catalog first.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fashionlib.errors import FashionError
from fashionlib.files import taking_apart, texts
from fashionlib.settings import optional
from fashionlib.stores.common import (
    EF_CONSTRUCTION,
    EF_SEARCH,
    NEIGHBOURS,
    Candidates,
    FileStore,
    Results,
    search_settled,
)
from fashionlib.weights import load_tensors, save_tensors


class FaissStore(FileStore):
    """A FAISS index in a file that follows every change. See `fashionlib.stores.Store`.

    A graph cannot forget a row. So a deleted row is marked and passed over, and when most rows
    are, the index is built anew from the others. With `index="flat"` results are exact. With
    "hnsw" they are not, except within a category: there all its rows are compared.
    """

    def __init__(self, path: Path | str, made_by: str, dimensions: int, index: str) -> None:
        self._faiss = optional("faiss", "stores")
        super().__init__(path, made_by, dimensions, index)

    def __len__(self) -> int:
        return int(self._alive.sum())

    # Searching

    def _nearest(self, queries: Tensor, k: int, category: str | None) -> Results:
        selected, count = self._select(category)
        if count == 0:
            return Results(torch.zeros(len(queries), 0), ((),) * len(queries))
        everything = self._faiss.SearchParameters(sel=selected)
        graph, storage = self._index, self._index
        if self.index == "hnsw":
            storage = self._faiss.downcast_index(graph.storage)

        def fetch(part: Tensor, width: int) -> list[Candidates]:
            asked, width = part.numpy(), min(width, count)
            if self.index == "flat" or category is not None:
                rows = storage.search(asked, width, params=everything)[1]
            else:
                ef = max(EF_SEARCH, 2 * width)
                walk = self._faiss.SearchParametersHNSW(efSearch=ef, sel=selected)
                rows = graph.search(asked, width, params=walk)[1]
                short = (rows < 0).any(axis=1)  # it ended in a part of the graph with too few
                if short.any():
                    rows[short] = storage.search(asked[short], width, params=everything)[1]
            return [
                ([self._ids[n] for n in row], torch.from_numpy(graph.reconstruct_batch(row)))
                for row in (found[found >= 0] for found in rows)  # -1: nothing in reach
            ]

        return search_settled(fetch, queries, min(k, count))

    def _select(self, category: str | None) -> tuple[Any, int]:
        """What tells FAISS which rows to look at (None for all of them), and how many they are."""
        if category not in self._selected:
            chosen = self._alive
            if category is not None:
                chosen = chosen & np.array([name == category for name in self._categories], bool)
            if not chosen.any():  # and kept nowhere: anyone may ask for any category
                return None, 0
            bits = np.packbits(chosen, bitorder="little")
            selector = None if chosen.all() else self._faiss.IDSelectorBitmap(bits)
            self._selected[category] = selector, int(chosen.sum())
        return self._selected[category]

    # Changing, and the file

    def _change(
        self, gone: list[str], ids: list[str], embeddings: Tensor, categories: list[str]
    ) -> None:
        """Write the change; where that fails, go back to what the file holds."""
        self._own()
        try:
            out = set(gone)
            alive = self._alive & np.array([name not in out for name in self._ids], bool)
            alive = np.concatenate([alive, np.ones(len(ids), bool)])
            ids, categories, index = self._ids + ids, self._categories + categories, self._index
            index.add(embeddings.numpy())
            if 2 * alive.sum() < len(alive):
                kept = np.flatnonzero(alive)
                rows, index = index.reconstruct_batch(kept), self._new_index()
                index.add(rows)
                ids, categories = [ids[n] for n in kept], [categories[n] for n in kept]
                alive = alive[kept]
            self._set(index, ids, categories, alive)
            self._write()
        except BaseException:
            self._read()
            raise

    def _new_index(self) -> Any:
        if self.index == "flat":
            return self._faiss.IndexFlatL2(self.dimensions)
        index = self._faiss.IndexHNSWFlat(self.dimensions, NEIGHBOURS)
        index.hnsw.efConstruction = EF_CONSTRUCTION
        return index

    def _set(self, index: Any, ids: list[str], categories: list[str], alive: np.ndarray) -> None:
        self._index, self._ids, self._categories, self._alive = index, ids, categories, alive
        self._selected: dict[str | None, tuple[Any, int]] = {}

    def _create(self) -> None:
        self._set(self._new_index(), [], [], np.zeros(0, bool))
        self._write()

    def _write(self) -> None:
        tensors = {
            "index": torch.from_numpy(self._faiss.serialize_index(self._index)),
            "alive": torch.from_numpy(self._alive),
        }
        metadata = {"kind": "faiss store", "made_by": self.made_by, "index": self.index}
        rows = {"ids": self._ids, "categories": self._categories}
        save_tensors(self.path, tensors, metadata | rows)

    def _read(self) -> None:
        tensors, metadata = load_tensors(self.path)
        if metadata.get("kind") != "faiss store":
            raise FashionError(f"{self.path} holds no FAISS store: give another name to a new one.")
        with taking_apart(self.path):
            written, alive = tensors["index"].numpy(), tensors["alive"].numpy()
            if (written.dtype, alive.dtype, alive.ndim) != (np.uint8, bool, 1):
                raise TypeError("other kinds of numbers")
            index = self._faiss.deserialize_index(written)
            ids, categories = texts(metadata["ids"]), texts(metadata["categories"])
            if not index.ntotal == len(ids) == len(categories) == len(alive):
                raise ValueError("parts of different length")
            self.check_made(metadata["made_by"], index.d, metadata["index"])
            self._set(index, ids, categories, alive)
