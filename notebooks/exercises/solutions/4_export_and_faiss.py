# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercise 4: ONNX and FAISS
#
# A shop does not run notebooks. Its search has two parts that often run in two places: the
# **encoder**, as a file that needs no PyTorch, and the **index**, in a library made for millions of
# vectors. You move both out of PyTorch, and check after each step that the answers are still the
# same, or how often they are not.
#
# [ONNX](https://onnx.ai) is the file, onnxruntime runs it. FAISS ([Douze et al.,
# 2024](https://arxiv.org/abs/2401.08281)) is the index.

# %% tags=["hide-input"]
import json
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from fashionlib import checks
from fashionlib.catalog import load_catalog
from fashionlib.errors import FashionError
from fashionlib.export import PreparationLayer
from fashionlib.heads import build_encoder
from fashionlib.inference import predict
from fashionlib.pages.show import say, show
from fashionlib.search import SearchIndex, build_index
from fashionlib.settings import budget, optional
from fashionlib.weights import fingerprint, load_encoder, shipped

faiss, onnxruntime = optional("faiss", "stores"), optional("onnxruntime", "export")

plt.style.use("fashionlib.pages.book")
catalog = load_catalog(few=budget(False, quick=True))
print(catalog.about)
encoder, _ = load_encoder(shipped(f"encoder_{catalog.name}"))
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Task 1: Export the encoder, preparation included
#
# The encoder takes pictures of one size, as floats from -1 to 1. Whoever uses the file should not
# have to know that: a picture scaled from 0 to 1 instead raises no error, it only finds the wrong
# garments. So the preparation goes into the graph, and the file takes pictures as they are stored:
# `images`, uint8 `[N, 3, 160, 160]`, for any N. `fashionlib.export.PreparationLayer(size)` does it,
# in operations that ONNX has; the size is the encoder's own, `encoder.preparation.size`.


# %%
def export_encoder(encoder, path):
    """Write an ONNX file: `images` uint8 [N, 3, 160, 160] to `embedding` float32 [N, D]."""
    example = torch.zeros(2, 3, 160, 160, dtype=torch.uint8)
    # TODO put a `PreparationLayer` of its size before the encoder, in evaluation mode, run it on
    # the example once (the encoder keeps some constants after its first run, and they must not
    # come from tracing), and export it with
    # `torch.onnx.export(model, (example,), path, dynamo=True, external_data=False, ...)`
    # hint: `input_names` and `output_names` are lists; `dynamic_shapes=({0: "batch"},)` frees N
    ### BEGIN SOLUTION
    model = nn.Sequential(PreparationLayer(encoder.preparation.size), encoder).eval()
    with torch.no_grad():
        model(example)
    torch.onnx.export(
        model,
        (example,),
        path,
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=["images"],
        output_names=["embedding"],
        dynamic_shapes=({0: "batch"},),
    )
    ### END SOLUTION
    return path


# %%
checks.export_and_faiss.export_encoder(export_encoder)

# %% [markdown]
# The checker has exported a small encoder of its own and run it on batches of several sizes. Now
# the real one, on real pictures: how far are its embeddings from PyTorch's?

# %% tags=["full-budget"]
export_encoder(encoder, folder / "encoder.onnx")
session = onnxruntime.InferenceSession(folder / "encoder.onnx", providers=["CPUExecutionProvider"])


def embed(images):
    """Pictures uint8 [N, 3, 160, 160] to embeddings float32 [N, D], without PyTorch."""
    parts = [session.run(None, {"images": part.numpy()})[0] for part in images.split(16)]
    return torch.from_numpy(np.concatenate(parts))


queries = embed(catalog.test.images)
difference = float((queries - predict(encoder, catalog.test.images)).abs().max())
size = (folder / "encoder.onnx").stat().st_size
say(
    f"Over {len(queries)} test pictures the largest difference of any number is "
    f"**{difference:.1e}**. The file has {size / 1e6:.1f} MB."
)
assert difference < 1e-4

# %% [markdown]
# ## A catalog worth an index
#
# A few thousand pictures need no FAISS: comparing with all of them is fast enough. So we make the
# catalog larger. Each new vector is one of the real embeddings, moved in a random direction, about
# as far as its nearest neighbours lie from it.

# %%
index = build_index(encoder, catalog.train.images, catalog.train.names)
torch.manual_seed(0)
like = torch.randint(len(index), (budget(100_000, quick=4_000),))
noise = 0.3 * F.normalize(torch.randn(len(like), index.embeddings.shape[1]))
vectors = torch.cat([index.embeddings, F.normalize(index.embeddings[like] + noise)])
exact = SearchIndex(vectors, tuple(str(n) for n in range(len(vectors))), fingerprint(encoder))
print(f"{len(exact):,} embeddings of {vectors.shape[1]} dimensions")

# %% [markdown]
# ## Task 2: Search with FAISS
#
# `index.search(queries, k)` takes numpy arrays, float32 [Q, D], and returns two: distances and
# positions, both [Q, k]. Two habits of it matter:
#
# - for speed, its L2 distances are **squared**. The order is the same, but a limit like the one of
#   [chapter 8](../../08_what_does_it_look_at.ipynb) would be wrong;
# - where it finds fewer than `k`, it fills up with position **-1** and a huge distance. Python
#   takes `catalog[-1]` for the last picture, without a word.


# %%
def search_faiss(index, queries, k):
    """Torch queries float32 [Q, D]; returns torch distances float32 and positions int64 [Q, k].

    Euclidean distances. Where nothing was found: position -1, distance infinity.
    """
    # TODO search, and return distances and positions as tensors
    # hint: `queries.numpy()` one way, `torch.from_numpy` the other
    ### BEGIN SOLUTION
    squared, positions = (torch.from_numpy(part) for part in index.search(queries.numpy(), k))
    distances = squared.clamp(min=0).sqrt()
    return distances.masked_fill(positions < 0, torch.inf), positions
    ### END SOLUTION


# %%
checks.export_and_faiss.search_faiss(search_faiss)

# %% [markdown]
# A *flat* index compares with every vector, as ours does. **Before you run it:** will it find
# exactly the same pictures?
#
# <details class="answer"><summary>Answer</summary>
#
# Nearly always. Both are exact, but they add up in another order, so distances differ in the last
# digits, and two neighbours that are equally far may change places.
#
# </details>

# %% tags=["full-budget"]
flat = faiss.IndexFlatL2(vectors.shape[1])
flat.add(vectors.numpy())
wanted = exact.search(queries, k=10)
distances, positions = search_faiss(flat, queries, 10)
same = float((positions == wanted.positions).float().mean())
apart = float((distances - wanted.distances).abs().max())
say(f"**{same:.2%}** of the positions are those of our index; distances differ by {apart:.1e}.")

# %% [markdown]
# ## Task 3: Recall
#
# An *approximate* index looks at a part of the catalog only, and may miss some. How many it does
# not miss is its **recall@k**: of the k that an exact search finds, the share that it finds too.
# (Not the recall of [chapter 4](../../04_visual_search.ipynb), which asks for pictures of the right
# class.)


# %%
def recall(found, exact):
    """Positions int64 [Q, k] and [Q, k]; returns a float from 0 to 1, the mean over queries."""
    # TODO return the share of the exact positions that were found, in whatever order
    # hint: `found[:, :, None] == exact[:, None, :]` compares each with each, query by query
    ### BEGIN SOLUTION
    same = found[:, :, None] == exact[:, None, :]
    return float(same.any(dim=1).float().mean())
    ### END SOLUTION


# %%
checks.export_and_faiss.recall(recall)

# %% [markdown]
# ## Task 4: Choose how much to look at
#
# An **inverted file** (IVF) puts the vectors into cells by k-means ([Sivic and Zisserman,
# 2003](https://doi.org/10.1109/ICCV.2003.1238663)). A search looks into the `nprobe` cells nearest
# to the query: more cells, more recall, more time. So state the recall you want, and take the
# smallest `nprobe` that reaches it. Choose with *validation* queries: the test pictures then say
# whether the choice holds for others.


# %%
def choose_nprobe(index, queries, exact, wanted):
    """The smallest of 1, 2, 4, … up to `index.nlist` with a recall of at least `wanted`.

    `exact` are the exact positions int64 [Q, k] of the queries. Leaves `index.nprobe` at the
    choice. Raises a FashionError where even all cells do not reach it.
    """
    # TODO try them in turn: set `index.nprobe`, search, compare with `recall`
    # hint: for a `nlist` that is no power of 2, the last to try is `nlist` itself
    ### BEGIN SOLUTION
    nprobe = 1
    while True:
        index.nprobe = nprobe
        _, found = search_faiss(index, queries, exact.shape[1])
        if recall(found, exact) >= wanted:
            return nprobe
        if nprobe == index.nlist:
            raise FashionError(f"a recall of {wanted} is out of reach: ask for less.")
        nprobe = min(2 * nprobe, index.nlist)
    ### END SOLUTION


# %%
checks.export_and_faiss.choose_nprobe(choose_nprobe)

# %% tags=["full-budget"]
WANTED = 0.95
cells = budget(256, quick=32)
ivf = faiss.IndexIVFFlat(faiss.IndexFlatL2(vectors.shape[1]), vectors.shape[1], cells)
ivf.train(vectors.numpy())
ivf.add(vectors.numpy())

choosers = embed(catalog.validation.images)
nprobe = choose_nprobe(ivf, choosers, exact.search(choosers, 10).positions, WANTED)
reached = recall(search_faiss(ivf, queries, 10)[1], wanted.positions)
say(
    f"For a recall@10 of {WANTED:.0%} on validation it takes **{nprobe} of {cells} cells**. On the "
    f"test pictures that gives {reached:.1%}."
)


# %%
def milliseconds(search, repeats=3):
    """The best of a few runs over all test queries, for each query."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        search()
        times.append(time.perf_counter() - started)
    return 1000 * min(times) / len(queries)


probes = [2**n for n in range(cells.bit_length())]
rows = []
for probe in probes:
    ivf.nprobe = probe
    share = recall(search_faiss(ivf, queries, 10)[1], wanted.positions)
    rows.append((share, milliseconds(lambda: search_faiss(ivf, queries, 10))))
ivf.nprobe = nprobe
slow = milliseconds(lambda: exact.search(queries, 10))
brute = milliseconds(lambda: search_faiss(flat, queries, 10))

# %% tags=["hide-input", "full-budget"]
recalls, times = zip(*rows, strict=True)
figure, axis = plt.subplots(figsize=(8, 3.4))
axis.plot(times, recalls, marker="o", label="FAISS, inverted file")
for probe, x, y in zip(probes, times, recalls, strict=True):
    axis.annotate(f"{probe}", (x, y), textcoords="offset points", xytext=(4, -11), fontsize=8)
for name, x, marker in (("our index", slow, "s"), ("FAISS, flat", brute, "D")):
    axis.plot([x], [1.0], marker, label=name)
axis.axhline(WANTED, color="#666666", linestyle="--")
axis.set(xscale="log", xlabel="milliseconds a query", ylabel="recall@10, test")
axis.xaxis.set_major_formatter("{x:g}")
axis.legend(frameon=False)
show(
    figure,
    alt="Recall@10 against milliseconds a query. Inverted file: "
    + "; ".join(f"{p} cells {r:.2f} in {t:.3f} ms" for p, (r, t) in zip(probes, rows, strict=True))
    + f". Exact: our index {slow:.3f} ms, FAISS flat {brute:.3f} ms.",
    caption=f"Each point looks into as many cells as is written next to it. Dashed: the recall "
    f"that was asked for. {len(exact):,} vectors, all test queries in one batch.",
)

# %% [markdown]
# At first a little more time gives much more recall, later much more time gives little. Where to
# stop is for the shop to decide.
#
# ## Task 5: Refuse an index of other weights
#
# A FAISS file holds vectors and nothing else. Search it with an encoder that was trained for one
# more epoch, and it answers, with distances that mean nothing. Our `SearchIndex` keeps the
# fingerprint of the weights that made it; for FAISS you keep it in a small file beside it.


# %%
def save_faiss(index, path, encoder):
    """Write the index to `path`, and who made it to `path` with `.json` behind it."""
    faiss.write_index(index, str(path))
    Path(f"{path}.json").write_text(json.dumps({"made_by": fingerprint(encoder)}))


def load_faiss(path, encoder):
    """The index at `path`, to be searched with `encoder`.

    Raises a FashionError if other weights made it, or if nothing says which did.
    """
    # TODO compare the fingerprints, and read the index with `faiss.read_index(str(path))`
    ### BEGIN SOLUTION
    note = Path(f"{path}.json")
    if not note.is_file():
        raise FashionError(f"{note} is missing, so nobody knows which weights made {path}.")
    if json.loads(note.read_text())["made_by"] != fingerprint(encoder):
        raise FashionError(f"{path} was made with other weights: build it again.")
    return faiss.read_index(str(path))
    ### END SOLUTION


# %%
checks.export_and_faiss.load_faiss(load_faiss)

# %%
save_faiss(ivf, folder / "catalog.faiss", encoder)
again = load_faiss(folder / "catalog.faiss", encoder)
kept = torch.equal(search_faiss(again, queries, 10)[1], search_faiss(ivf, queries, 10)[1])
print("the loaded index finds the same:", kept)
try:
    load_faiss(folder / "catalog.faiss", build_encoder("fashion"))
except FashionError as error:
    print("another encoder:", str(error).removeprefix(str(folder)))

# %% [markdown]
# ## What you have learned
#
# - Export the preparation with the network, and check the file against PyTorch on real pictures.
# - FAISS squares its distances, and says -1 where it finds nothing.
# - Approximate search trades recall for time: state the recall you want, then choose, with queries
#   that are not the ones you report on.
# - Keep with an index which encoder made it. Else a wrong one will search it one day.
#
# In the library these are `fashionlib.export` (pictures of any height and width) and
# `fashionlib.stores` (FAISS and Milvus behind one interface).
#
# Try more: `faiss.IndexHNSWFlat(64, 32)` has a graph instead of cells, and `index.hnsw.efSearch` in
# the place of `nprobe`. Which of the two is faster at the same recall?
