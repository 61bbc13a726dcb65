"""A store over the exact index of chapter 4: every row is compared, one file holds everything."""

from pathlib import Path

import torch
from torch import Tensor

from fashionlib.errors import FashionError
from fashionlib.files import taking_apart, texts
from fashionlib.search import SearchIndex, index_from
from fashionlib.stores.common import FileStore, Results
from fashionlib.weights import load_tensors, save_tensors


class ExactStore(FileStore):
    """`SearchIndex` in a file that follows every change. See `fashionlib.stores.Store`.

    The file is one that `SearchIndex.load` reads too, with the categories beside the ids.
    """

    def __init__(self, path: Path | str, made_by: str, dimensions: int) -> None:
        super().__init__(path, made_by, dimensions, "flat")

    def __len__(self) -> int:
        return len(self._index)

    def _change(
        self, gone: list[str], ids: list[str], embeddings: Tensor, categories: list[str]
    ) -> None:
        self._own()
        index = self._index.remove(self._categories.keys() & gone).add(embeddings, ids)
        category_of = self._categories | dict(zip(ids, categories, strict=True))
        # sorted, so that the index's rule for equal distances, the lower position, is the lower id
        order = sorted(range(len(index)), key=index.ids.__getitem__)
        names = tuple(index.ids[n] for n in order)
        index = SearchIndex(index.embeddings[order], names, self.made_by)
        self._write(index, [category_of[name] for name in names])

    def _nearest(self, queries: Tensor, k: int, category: str | None) -> Results:
        index = self._parts.get(category)
        if index is None:
            others = [name for name, own in self._categories.items() if own != category]
            index = self._index.remove(others)
        if not len(index):  # and kept nowhere: anyone may ask for any category
            return Results(torch.zeros(len(queries), 0), ((),) * len(queries))
        self._parts[category] = index
        results = index.search(queries, k)
        return Results(results.distances, results.ids)

    def _create(self) -> None:
        self._write(SearchIndex(torch.zeros(0, self.dimensions), (), self.made_by), [])

    def _write(self, index: SearchIndex, categories: list[str]) -> None:
        metadata = {"kind": "index", "made_by": self.made_by}
        rows = {"ids": index.ids, "categories": categories}
        save_tensors(self.path, {"embeddings": index.embeddings}, metadata | rows)
        self._set(index, categories)

    def _read(self) -> None:
        tensors, metadata = load_tensors(self.path)
        if metadata.get("kind") != "index" or "categories" not in metadata:
            raise FashionError(f"{self.path} holds no store: give another name to a new one.")
        index = index_from(self.path, tensors, metadata)
        self.check_made(index.made_by, index.embeddings.shape[1], self.index)
        with taking_apart(self.path):
            self._set(index, texts(metadata["categories"]))

    def _set(self, index: SearchIndex, categories: list[str]) -> None:
        self._index = index
        self._categories = dict(zip(index.ids, categories, strict=True))
        self._parts = {None: index}  # and rows of one category, made when first searched
