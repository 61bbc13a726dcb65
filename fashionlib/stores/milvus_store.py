"""A store over Milvus (Wang et al. 2021, SIGMOD): the same client from a laptop to a cluster.

A folder that ends in .db is served by Milvus Lite, inside this process. For each search it walks
over all rows in Python, whatever the index: see the table in chapter 6. At some 100,000 rows it
ends, and a server begins: `deploy/`.
"""

import json
import logging
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fashionlib.errors import FashionError
from fashionlib.settings import optional
from fashionlib.stores.common import (
    EF_CONSTRUCTION,
    EF_SEARCH,
    LONGEST,
    NEIGHBOURS,
    Candidates,
    CheckedStore,
    Results,
    search_settled,
)

PREFIX = "fashionlib_"  # of our collections; the fingerprint follows, for every server keeps names
FIELD = "embedding"
ROWS = 10_000  # of one upsert
NAMES = 1_000  # of one delete
NUMBERS = 1 << 22  # of the embeddings in one answer: Milvus sends them as 4 bytes each
MANY = 1_000  # rows that Milvus Lite is to write to its own files at once
SCHEMA = "schema.json"  # of a collection of Milvus Lite: its fields
MANIFEST = "manifest.json"  # and where its rows are
FILES = ("data_files", "delta_files")
MOST = 16_384  # results of one search, the most that Milvus gives
LOCAL = ("localhost", "127.0.0.1")
BEYOND = ("no_grpc_proxy", "no_proxy")  # the settings of gRPC, the first one wins
SECONDS = 30  # to wait for a server
STRONG = {"consistency_level": "Strong"}  # sees every change that has returned

# In a filter: all that the grammar of Milvus Lite and of the server both unescape
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class MilvusStore(CheckedStore):
    """A Milvus collection, named after the encoder. See `fashionlib.stores.Store`.

    Raises what `Store` says, and a FashionError where the server does not answer, or where more
    than 16,384 results are asked for and there. Rows are sent 10,000 at a time, and each lot is
    kept when it is there: a large upsert that is broken off has put in some of them, and can be
    repeated. Among more than 16,384 rows at the same distance Milvus chooses.
    """

    def __init__(self, uri: str, made_by: str, dimensions: int, index: str) -> None:
        name = re.sub("//[^/]*@", "//", uri)  # a message shows no password
        super().__init__(name, made_by, dimensions, index)
        self._lite, self._collection = uri.endswith(".db"), PREFIX + made_by
        # also when the program goes to another folder
        self.uri = str(Path(uri).absolute()) if self._lite else uri
        self._milvus = optional("pymilvus", "stores")
        self._failures = self._milvus.MilvusException, optional("grpc", "stores").RpcError
        # they log a traceback where we say the same in one line
        for logger in ("pymilvus", "milvus_lite.server_manager", "milvus_lite.adapter"):
            logging.getLogger(logger).setLevel(logging.CRITICAL)
        if self._lite:
            self._start_lite()
        self._client = self._connect()
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return self._count("")

    def _change(
        self, gone: list[str], ids: list[str], embeddings: Tensor, categories: list[str]
    ) -> None:
        # not by ids=…: the client puts them into a filter as they are, and an id with a quote in
        # it deletes other rows
        replaced = set(ids)  # an upsert does that
        names = [quoted(name) for name in dict.fromkeys(gone) if name not in replaced]
        for start in range(0, len(names), NAMES):
            listed = ", ".join(names[start : start + NAMES])
            self._call("delete", self._collection, filter=f"id in [{listed}]")
        for start in range(0, len(ids), ROWS):
            lot = slice(start, start + ROWS)
            columns = zip(ids[lot], embeddings[lot].numpy(), categories[lot], strict=True)
            rows = [{"id": i, FIELD: e, "category": c} for i, e, c in columns]
            self._call("upsert", self._collection, rows)
        # rows in its log are kept too, but searched ten times as slowly; a server does this itself
        if self._lite and len(ids) >= MANY:
            self._call("flush", self._collection)

    def _nearest(self, queries: Tensor, k: int, category: str | None) -> Results:
        condition = "" if category is None else f"category == {quoted(category)}"

        def fetch(part: Tensor, width: int) -> list[Candidates]:
            width = min(width, MOST)
            # Milvus Lite makes an array of queries × rows × dimensions
            queries_at_once = 1 if self._lite else max(1, NUMBERS // (width * self.dimensions))
            lots = part.split(queries_at_once)
            return [row for lot in lots for row in self._search(lot, width, condition)]

        hits = search_settled(fetch, queries, k)
        if hits.distances.shape[1] < k:
            there = min(k, self._count(condition))
            if hits.distances.shape[1] < there:
                raise FashionError(f"{self._name} found fewer than {there} rows: ask for fewer.")
        return hits

    def close(self) -> None:
        """Let go of the connection, and of the folder of Milvus Lite."""
        self._client.close()
        if self._lite:
            manager = optional("milvus_lite.server_manager", "stores")
            manager.server_manager_instance.release_server(self.uri)

    # Opening

    def _start_lite(self) -> None:
        optional("milvus_lite", "stores")
        # gRPC is to reach it on this machine, also where a proxy is set up
        beyond = next(filter(None, map(os.environ.get, BEYOND)), "")
        names = [name for name in beyond.split(",") if name and name not in LOCAL]
        os.environ[BEYOND[0]] = ",".join([*names, *LOCAL])
        if os.path.isfile(self.uri):
            raise FashionError(f"{self.uri} is a file: Milvus Lite keeps a folder, give its name.")
        try:
            Path(self.uri).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FashionError(f"could not make {self.uri}: {error.strerror}.") from error
        if not os.access(self.uri, os.W_OK):
            raise FashionError(f"{self._name} cannot be written, which Milvus Lite has to.")
        self._check_parts()

    def _check_parts(self) -> None:
        """Milvus Lite passes over a file that is gone, and the rows that were in it."""
        for folder in Path(self.uri).glob("collections/*"):
            manifest, parts = folder / MANIFEST, folder / "partitions"
            if not any(map(os.path.exists, (manifest, f"{manifest}.prev", parts))):
                continue  # killed before it had rows
            lost = SCHEMA
            with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
                json.loads((folder / SCHEMA).read_bytes())
                lost = MANIFEST  # Milvus Lite takes the one before, which knows fewer rows, or none
                found = json.loads(manifest.read_bytes())["partitions"].items()
                files = [(parts / name, part[k]) for name, part in found for k in FILES]
                paths = ((f, at / f) for at, named in files for f in named)
                lost = next((f for f, p in paths if not p.is_file() or not p.stat().st_size), "")
            if lost:
                raise FashionError(
                    f"{self._name}: its part {lost} is missing or damaged. Bring it back, or fill "
                    "a new store."
                )

    def _connect(self) -> Any:
        try:
            return self._milvus.MilvusClient(self.uri, timeout=SECONDS, dedicated=True)
        except (*self._failures, ValueError, OSError) as error:  # no port, too long a name
            if self._lite:
                problem = "another process uses it, or it is no folder of Milvus Lite"
            else:
                problem = "no Milvus server answers there. Check the address and the server"
            raise FashionError(f"{self._name}: {problem}.") from error

    def _prepare(self) -> None:
        """Make what is missing of the collection, so that an interrupted start can be repeated."""
        name = self._collection
        ours = [each for each in self._call("list_collections") if each.startswith(PREFIX)]
        if name not in ours:
            for other in ours:
                self.check_made(other.removeprefix(PREFIX), self.dimensions, self.index)
            types = self._milvus.DataType
            schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", types.VARCHAR, is_primary=True, max_length=LONGEST)
            schema.add_field("category", types.VARCHAR, max_length=LONGEST)
            schema.add_field(FIELD, types.FLOAT_VECTOR, dim=self.dimensions)
            self._call("create_collection", name, schema=schema, **STRONG)
        fields = self._call("describe_collection", name)["fields"]
        there = next(field["params"]["dim"] for field in fields if field["name"] == FIELD)
        self.check_made(self.made_by, int(there), self.index)
        indexes = self._call("list_indexes", name)
        if indexes:
            kind = self._call("describe_index", name, indexes[0])["index_type"].lower()
            self.check_made(self.made_by, self.dimensions, kind)
        else:
            parameters = self._client.prepare_index_params()
            graph = {"M": NEIGHBOURS, "efConstruction": EF_CONSTRUCTION}
            params = graph if self.index == "hnsw" else {}
            parameters.add_index(FIELD, self.index.upper(), metric_type="L2", params=params)
            self._call("create_index", name, parameters)
        self._call("load_collection", name)

    # Asking

    def _search(self, queries: Tensor, width: int, condition: str) -> list[Candidates]:
        found = self._call(
            "search",
            self._collection,
            data=list(queries.numpy()),
            anns_field=FIELD,
            limit=width,
            filter=condition,
            output_fields=[FIELD],
            search_params={"metric_type": "L2", "params": {"ef": max(EF_SEARCH, 2 * width)}},
            **STRONG,
        )
        return [
            (
                [hit["id"] for hit in row],
                torch.tensor([hit["entity"][FIELD] for hit in row]).reshape(-1, self.dimensions),
            )
            for row in found
        ]

    def _count(self, condition: str) -> int:
        what = {"filter": condition, "output_fields": ["count(*)"]}
        return self._call("query", self._collection, **what, **STRONG)[0]["count(*)"]

    def _call(self, method: str, *arguments: Any, **more: Any) -> Any:
        """What the client's method answers; what it raises becomes one line."""
        try:
            return getattr(self._client, method)(*arguments, timeout=SECONDS, **more)
        except self._failures as error:
            details = error.message if hasattr(error, "message") else error.details()
            reason = " ".join(str(details).split())
            raise FashionError(f"{self._name} did not {method}: {reason}.") from error


def quoted(text: str) -> str:
    """A text as a literal in a Milvus filter, whatever is in it."""
    return f'"{text.translate(ESCAPES)}"'
