"""Vector indexes of 10,000 to a million garments (chapter 6): `python tools/measure/stores.py`.

The catalog is the training photos as the shipped encoder sees them, and as many more as are wanted
by jittering these (`enlarge`); the queries are the validation and test photos, as they are. Each
index answers one query at a time on one thread, in rounds that take turns, so that whatever else
the machine does hits all alike. Writes `pages/results/stores.json` after each size: recall
among the 10 nearest, milliseconds a query (by the clock, and of the processor), bytes a vector and
processor seconds to build. A size that is in the file already is not measured again.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import faiss
import milvus_lite
import numpy as np
import pymilvus
import torch
from recording import about_this_run, measured, quartiles, write_results
from torch import Tensor
from torch.nn.functional import normalize

from fashionlib.catalog import load_catalog
from fashionlib.search import SearchIndex, build_index, euclidean
from fashionlib.stores import open_store
from fashionlib.stores.faiss_store import EF_CONSTRUCTION, EF_SEARCH, NEIGHBOURS
from fashionlib.weights import load_encoder, load_tensors, shipped, weights_hash

SIZES = (10_000, 100_000, 1_000_000)
K = 10
RECALL = 0.95  # wanted
ROUNDS = 3
MOST_MILVUS = 100_000
EXACT = ("exact", "store .safetensors", "store .db")  # slow, and need no more than a check
FEW = 20  # queries of that check
PROBES = (1, 2, 4, 8, 16, 32, 64)  # cells of an inverted file that are looked at
EFS = (16, 32, 64, 128, 256)  # candidates kept on a walk through the graph
TRAINED = 64  # vectors for each cell's centre

Search = Callable[[Tensor], Any]  # a query float32 [1, D] to its nearest: ids, or row numbers


def enlarge(embeddings: Tensor, count: int, seed: int) -> Tensor:
    """`count` unit vectors: each a photo's embedding, moved as far as its neighbours are.

    The noise has the covariance of the differences between each embedding and its nearest
    neighbour, so it has their length and prefers the directions they do.
    """
    generator = torch.Generator().manual_seed(seed)
    distances = euclidean(embeddings, embeddings).fill_diagonal_(torch.inf)
    differences = embeddings[distances.argmin(dim=1)] - embeddings
    spread = torch.linalg.cholesky(differences.T @ differences / len(differences))
    chosen = torch.randint(len(embeddings), (count,), generator=generator)
    noise = torch.randn(count, embeddings.shape[1], generator=generator) @ spread.T
    return normalize(embeddings[chosen] + noise, dim=1)


def photo_embeddings() -> tuple[dict[str, Tensor], str]:
    """Embeddings of each split by the shipped encoder, and the hash of its weights."""
    encoder, _ = load_encoder(shipped("encoder_photos"))
    splits = load_catalog("photos").splits
    indexes = {s: build_index(encoder, splits[s].images, splits[s].names) for s in splits}
    return {name: index.embeddings for name, index in indexes.items()}, weights_hash(encoder)


# Indexes: each is a list of settings, with what it took to build


def of_faiss(index: Any, name: str, about: dict[str, Any], settings: dict[str, Any]) -> list[dict]:
    """One row for each setting of a FAISS index."""
    about = about | {"index": name, "bytes": len(faiss.serialize_index(index)) / index.ntotal}

    def search(parameters: Any) -> Search:
        return lambda query: index.search(query.numpy(), K, params=parameters)[1][0].tolist()

    return [about | {"setting": s, "search": search(p)} for s, p in settings.items()]


def build_inverted(vectors: np.ndarray, code: str) -> list[dict]:
    """An inverted file of 4·√N cells that stores vectors as `code`: "Flat", or product-quantised.

    "PQ16" is 16 bytes a vector (Jégou et al. 2011, "Product quantization").
    """
    cells = round(4 * len(vectors) ** 0.5)
    index = faiss.index_factory(vectors.shape[1], f"IVF{cells},{code}")
    started = time.process_time()
    index.train(vectors[: TRAINED * cells])  # drawn at random, so the first are as good as any
    index.add(vectors)
    about = {"build_seconds": time.process_time() - started, "cells": cells}
    settings = {str(n): faiss.SearchParametersIVF(nprobe=n) for n in PROBES if n <= cells}
    return of_faiss(index, f"IVF, {code}", about, settings)


def build_graph(vectors: Tensor, folder: Path) -> list[dict]:
    """The graph, through our store; then as FAISS alone, from the store's file."""
    row = build_store(vectors, f"{folder}/graph.faiss", "hnsw")
    index = faiss.deserialize_index(load_tensors(folder / "graph.faiss")[0]["index"].numpy())
    settings = {str(n): faiss.SearchParametersHNSW(efSearch=n) for n in EFS}
    about = {"build_seconds": row["build_seconds"], "neighbours": NEIGHBOURS}
    return [row, *of_faiss(index, "HNSW", about, settings)]


def build_store(vectors: Tensor, uri: str, index: str = "flat") -> dict[str, Any]:
    """One of our stores; its building time includes the writing."""
    store = open_store(uri, "measured", vectors.shape[1], index)
    started = time.process_time()
    store.upsert(map(str, range(len(vectors))), vectors, [""] * len(vectors))
    seconds = time.process_time() - started
    place = Path(uri)
    about = {"index": f"store {place.suffix}, {index}", "build_seconds": seconds}
    if place.is_file():  # with ids and categories
        about["bytes"] = place.stat().st_size / len(vectors)

    def search(query: Tensor) -> list[int]:
        return [int(name) for name in store.search(query, K).ids[0]]

    return about | {"search": search, "close": store.close}


def build_all(vectors: Tensor, folder: Path) -> list[dict]:
    """Everything that is compared, our exact index first."""
    started = time.process_time()
    exact = SearchIndex(vectors, tuple(map(str, range(len(vectors)))), "measured")
    seconds = time.process_time() - started

    def search(query: Tensor) -> list[int]:
        return exact.search(query, K).positions[0].tolist()

    size = 4 * vectors.shape[1]
    rows = [{"index": "exact", "build_seconds": seconds, "bytes": size, "search": search}]
    flat = faiss.IndexFlatL2(vectors.shape[1])
    started = time.process_time()
    flat.add(vectors.numpy())
    about = {"build_seconds": time.process_time() - started}
    rows += of_faiss(flat, "flat", about, {"": None})
    for code in ("Flat", "PQ32", "PQ16"):
        rows += build_inverted(vectors.numpy(), code)
        print(rows[-1]["index"], rows[-1]["build_seconds"], flush=True)
    rows += build_graph(vectors, folder)
    print(rows[-1]["index"], rows[-1]["build_seconds"], flush=True)
    rows.append(build_store(vectors, f"{folder}/exact.safetensors"))
    rows.append(build_store(vectors, f"{folder}/flat.faiss"))
    if len(vectors) <= MOST_MILVUS:
        rows.append(build_store(vectors, f"{folder}/milvus.db"))
    return rows


# Measuring


def recall(search: Search, queries: Tensor, nearest: Tensor) -> float:
    """Share of the K nearest that are found, mean over queries."""
    found = [set(search(query[None])) for query in queries]
    pairs = zip(found, nearest.tolist(), strict=True)
    return sum(len(one & set(other)) for one, other in pairs) / nearest.numel()


def measure_times(rows: list[dict], queries: Tensor) -> None:
    """Add milliseconds a query, and how many times as fast as the first row each is.

    The ratio is that of processor times, in each round: other work on the machine makes a query
    wait, and a long one more often than a short one. The slow ones get fewer queries: about two
    seconds' worth in each round.
    """
    wall: dict[int, list[float]] = {n: [] for n in range(len(rows))}
    processor: dict[int, list[list[float]]] = {n: [] for n in range(len(rows))}
    for _ in range(ROUNDS):
        for n, row in enumerate(rows):
            processor[n].append([])
            deadline = time.perf_counter() + 2
            for done, query in enumerate(queries):
                if done >= 10 and time.perf_counter() > deadline:
                    break
                started, used = time.perf_counter(), time.process_time()
                row["search"](query[None])
                processor[n][-1].append(1000 * (time.process_time() - used))
                wall[n].append(1000 * (time.perf_counter() - started))
    for n, row in enumerate(rows):
        medians = [statistics.median(part) for part in processor[n]]
        base = [statistics.median(part) for part in processor[0]]
        row["ms"] = quartiles(wall[n])
        row["processor_ms"] = quartiles(list(chain.from_iterable(processor[n])))
        ratios = [one / other for one, other in zip(base, medians, strict=True)]
        row["times_as_fast"] = [float(f"{ratio:.4g}") for ratio in sorted(ratios)]


def measure(embeddings: dict[str, Tensor], count: int) -> dict[str, Any]:
    """All figures of one size."""
    vectors = enlarge(embeddings["train"], count, seed=0)
    queries = {name: embeddings[name] for name in ("validation", "test")}
    with tempfile.TemporaryDirectory() as folder:
        rows = build_all(vectors, Path(folder))
        ids = tuple(map(str, range(count)))
        truth = {s: SearchIndex(vectors, ids, "").search(queries[s], K) for s in queries}
        for row in rows:
            asked = FEW if row["index"].startswith(EXACT) else None
            row["recall"] = {
                split: recall(row["search"], queries[split][:asked], truth[split].positions[:asked])
                for split in queries
            }
            print(row["index"], row.get("setting"), row["recall"], flush=True)
        measure_times(rows, queries["test"])
        for row in rows:
            row.pop("close", lambda: None)()
            del row["search"]
    nearest = truth["test"].distances[:, [0, -1]].median(dim=0).values.tolist()
    return {"vectors": count, "nearest_and_tenth": nearest, "rows": rows}


def main() -> None:
    """Measure the sizes that are missing, and save after each."""
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    embeddings, made_by = photo_embeddings()
    real = euclidean(embeddings["train"], embeddings["train"]).fill_diagonal_(torch.inf)
    to_query = euclidean(embeddings["test"], embeddings["train"])
    about = {
        "k": K,
        "recall_wanted": RECALL,
        "encoder": made_by,
        "dimensions": embeddings["train"].shape[1],
        "nearest_of_the_photos": float(real.min(dim=1).values.median()),
        "nearest_and_tenth_of_the_photos": to_query.topk(K, largest=False)
        .values[:, [0, -1]]
        .median(dim=0)
        .values.tolist(),
        "ef_construction": EF_CONSTRUCTION,
        "ef_of_the_store": EF_SEARCH,
    }
    sizes = measured("stores", "sizes")
    for count in SIZES:
        if count not in [size["vectors"] for size in sizes]:
            sizes.append(measure(embeddings, count))
            versions = {module.__name__: module.__version__ for module in (faiss, pymilvus)}
            versions["milvus_lite"] = milvus_lite.__version__
            run = about_this_run(__file__, load_catalog("photos"), **versions)
            write_results("stores", run | about | {"sizes": sizes})


if __name__ == "__main__":
    main()
