"""One interface for a catalog of any size: a file, FAISS, or a Milvus server (chapter 6).

```python
store = open_store("runs/photos.faiss", fingerprint(encoder), dimensions=64)
store.upsert(ids, embeddings, categories)
store.search(embed_picture(encoder, picture), k=5, category="dress")
```
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from torch import Tensor

from fashionlib.errors import FashionError
from fashionlib.stores.common import INDEXES, Results
from fashionlib.stores.exact_store import ExactStore
from fashionlib.stores.faiss_store import FaissStore
from fashionlib.stores.milvus_store import MilvusStore


class Store(Protocol):
    """Embeddings with ids and categories that are kept, changed and searched.

    A change is kept when the call returns: a process that is killed afterwards loses nothing.
    Where a file holds the store, it is written anew for each change, so give many rows at once.
    A process that has changed it is its only writer until it closes it; others may read. Within
    a process, let one thread at a time change the store.
    """

    made_by: str  # fingerprint of the encoder
    dimensions: int

    def __len__(self) -> int: ...

    def upsert(self, ids: Iterable[str], embeddings: Tensor, categories: Iterable[str]) -> None:
        """Put rows in; one whose id is there already is replaced.

        Args:
            ids: N different texts of 1 to 4,096 bytes.
            embeddings: float32 [N, D].
            categories: N texts of up to 4,096 bytes, "" for none.

        Raises:
            FashionError: these do not fit together or into the store; or it cannot be written.
        """

    def delete(self, ids: Iterable[str]) -> None:
        """Take rows out. An id that is not there is passed over, so a delete can be repeated.

        Raises:
            FashionError: the store cannot be written, or no store could hold such an id.
        """

    def search(self, queries: Tensor, k: int, category: str | None = None) -> Results:
        """The k nearest to one query [D], or to each of [Q, D], by Euclidean distance.

        With `category` only its rows are searched, and k of them are found if there are as many.
        Flat indexes give the same results in every store; of equal distances the lower id comes
        first. A k above the number of rows gives all of them, an empty store none.

        Raises:
            FashionError: k below 1, queries of other dimensions, or not finite; a category that no
                store can hold.
        """

    def close(self) -> None:
        """Let go of files and connections."""


def open_store(uri: str | Path, made_by: str, dimensions: int, index: str = "flat") -> Store:
    """Open the store at `uri`, or make an empty one.

    Args:
        uri: a file ending in .safetensors (exact search in memory) or .faiss (FAISS), a folder
            ending in .db (Milvus Lite, in this process), or http://host:19530 (a Milvus server;
            https://user:password@host:19530 where it asks for one).
        made_by: fingerprint of the encoder that makes the embeddings.
        dimensions: of an embedding.
        index: "flat" compares with every row; "hnsw" (not of .safetensors) walks a graph: much
            faster in a large catalog, and may miss some of the nearest.

    Raises:
        FashionError: no such kind of store or index, dimensions below 1, the encoder is not the one
            that made the store, it cannot be read or reached, or an optional package is missing.
    """
    uri = str(uri)
    if index not in INDEXES:
        raise FashionError(f"no index {index!r}: choose from {', '.join(INDEXES)}.")
    if dimensions < 1:
        raise FashionError(f"{dimensions} dimensions: an embedding has at least 1.")
    if not re.fullmatch("[0-9A-Za-z_]+", made_by):
        raise FashionError(f"{made_by!r} is no fingerprint: use fashionlib.weights.fingerprint.")
    if uri.startswith(("http://", "https://")) or uri.endswith(".db"):
        return MilvusStore(uri, made_by, dimensions, index)
    if uri.endswith(".faiss"):
        return FaissStore(uri, made_by, dimensions, index)
    if uri.endswith(".safetensors") and index == "flat":
        return ExactStore(uri, made_by, dimensions)
    if uri.endswith(".safetensors"):
        raise FashionError(f"{uri} is searched exactly: an {index} index needs .faiss or Milvus.")
    raise FashionError(f"{uri}: a store ends in .safetensors, .faiss or .db, or is http://….")
