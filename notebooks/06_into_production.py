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
# # Into production
#
# The search of chapter 4 runs on a laptop, for some thousands of pictures, in PyTorch. What if it
# must run without PyTorch, on a phone, for millions of pictures, on more than one machine? The
# article only names the tools. Here we try them: export, quantisation, approximate search, a
# database, a pipeline for big catalogs, training on several processes, and what to watch once it
# runs.

# %% tags=["hide-input"]
import statistics
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from fashionlib.catalog import load_catalog
from fashionlib.export import export_onnx, load_onnx
from fashionlib.inference import predict
from fashionlib.metrics import format_accuracy
from fashionlib.pages import production_figures as figures
from fashionlib.pages.recorded_results import about, recorded
from fashionlib.pages.show import say, show, source, table
from fashionlib.pages.slider import slider
from fashionlib.settings import budget
from fashionlib.weights import fingerprint, load_encoder, shipped

plt.style.use("fashionlib.pages.book")

# %%
catalog = load_catalog(few=budget(False, quick=True))
print(catalog.about)
WEIGHTS = shipped(f"encoder_{catalog.name}")
encoder, _ = load_encoder(WEIGHTS)
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Without PyTorch
#
# ONNX is a file format for networks that many programs can run. `fashionlib export` writes one. The
# preparation of a picture (resize, scale) is part of the file, so that nobody has to rebuild it: it
# takes raw bytes, pictures of any height and width.

# %%
export_onnx(WEIGHTS, folder / "encoder.onnx")
run, described = load_onnx(folder / "encoder.onnx")
pictures = catalog.test.images[: budget(296, quick=64)]
difference = (run(pictures) - predict(encoder, pictures)).abs().max()
say(
    f"{(folder / 'encoder.onnx').stat().st_size / 1e6:.1f} MB. On {len(pictures)} test pictures "
    f"the embeddings differ from PyTorch's by at most {difference:.1e}."
)

# %% [markdown]
# ### Smaller numbers
#
# Weights and maps in eight bits instead of 32 make the file smaller, and may cost some accuracy.
# Eight bits count few steps, and a **scale** says how large a step is. Weights have one for each
# output channel, set by the largest of them. Each map has one, set by how large its numbers get on
# some training photos. How many photos, we chose with the validation photos. The preparation stays
# as it is. The cost is measured on all test photos. **Before you run the next cell:** how many of
# the answers will change?
#
# <details class="answer"><summary>Answer</summary>
#
# Few, if the scales are good: a step of eight bits is a small error, and most answers are far from
# a tie. Compare the files' sizes with the last three columns: that is the bargain.
#
# </details>

# %%
exported = recorded("export")
classifier, embedder = exported["networks"]["classifier"], exported["networks"]["encoder"]
right, precision = classifier["test"]["right"], embedder["test"]["precision"]
table(
    ["network", "file, MB", "int8, MB", "test, float32", "test, int8", "same answers"],
    [
        ["classifier, right photos"]
        + [f"{classifier['bytes'][kind] / 1e6:.2f}" for kind in ("onnx", "onnx int8")]
        + [right["exact"], right["int8"]]
        + [f"{classifier['test']['same']} of {classifier['test']['photos']}"],
        ["encoder, precision@5"]
        + [f"{embedder['bytes'][kind] / 1e6:.2f}" for kind in ("onnx", "onnx int8")]
        + [f"{precision[kind]['mean']:.3f}" for kind in ("exact", "int8")]
        + [f"{embedder['test']['same']['int8']} of {embedder['test']['results']}"],
    ],
)
say(f"Recorded: {about(exported)}.")

# %% [markdown]
# Maps are unsigned bytes and weights are signed ones, which processors have fast instructions for.
# But some add two of their products in sixteen bits and cut off what does not fit
# ([ONNX Runtime on overflow][overflow]): on those the same file would give other answers. So the
# weights use seven of their eight bits; then everything fits.
#
# [overflow]: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
#
# And time? Four ways took turns, one thread each: PyTorch as in all chapters (*eager*), compiled by
# `torch.compile`, and ONNX Runtime with either file. What counts is the ratio within a round: how
# many times as fast as eager, median and middle half of the rounds. The milliseconds include the
# preparation, and are of another day than those of chapter 5: compare them within this table only.

# %%
table(*figures.ways_table(exported))
one = {row["way"]: row["times_as_fast"][1] for row in classifier["rows"] if row["batch"] == 1}
say(
    f"For one photo the exported classifier is {one['onnxruntime']:.1f} times as fast as PyTorch. "
    f"Eight bits bring another factor of {one['onnxruntime int8'] / one['onnxruntime']:.1f}."
)

# %% [markdown]
# ## On a phone
#
# The article says that its network runs efficiently on mobile devices, and names no device and no
# time on one. (Its 15 ms are of a V100 GPU, says a README beside it.) We have no phone to measure
# on. But the page *Try it* of this book searches in the browser, with both
# networks on one thread, and says how many milliseconds each answer took: open it on your phone.
# And Chromium can slow a page down; web developers use that to see how it would feel on a phone.
#
# **Before you run it:** on a processor six times slower, will a search take six times as long?
#
# <details class="answer"><summary>Answer</summary>
#
# Roughly, but compare the columns. The browser pauses the page's own thread for most of the time,
# and there the networks run. Other work, such as decoding the picture, is not slowed down, but its
# result has to wait until the thread goes on. So the rest of a search can slow down more than
# the networks do.
#
# </details>

# %%
phone = recorded("phone")
rows = []
for row in phone["rows"]:
    low, half, high = statistics.quantiles(row["search"], n=4)
    alone = statistics.median(row["networks"])
    searched = f"{half:.0f} ({low:.0f} to {high:.0f})"
    rows.append([f"{row['slowed by']}×", searched, f"{alone:.0f}"])
table(["slowed down", "a whole search, ms (middle half)", "both networks, ms"], rows)
enough = "less than a second" if half < 1000 else "a second or more"
say(
    f"At the slowest setting a search takes {enough}: {half:.0f} ms, of which the two networks "
    f"are {alone:.0f}. Recorded: {about(phone)}, {phone['processor']}."
)

# %% [markdown]
# This is a slowed-down server, **not a phone**: a phone has another processor, less memory, and
# slows down when it gets warm. So the table gives a rough idea, no more. A search is also
# more than one network: the page decodes and shrinks the picture, runs a classifier and an encoder,
# and compares the embedding with all garments.
#
# ## Where the vectors live
#
# `SearchIndex` is exact, small, and compares a query with every row. Beyond that there are
# libraries and databases. They have a few methods in common, and those are our interface:

# %%
from fashionlib.stores import Store, open_store

source(Store)

# %% [markdown]
# The same lines put the catalog into three of them: the exact index in a file, FAISS, and Milvus.
# Only the address differs.

# %%
train = catalog.train
embeddings = predict(encoder, train.images)
categories = [catalog.classes[label] for label in train.labels]
made_by = fingerprint(encoder)
stores = {}
for address in ("catalog.safetensors", "catalog.faiss", "catalog.db"):
    stores[address] = open_store(folder / address, made_by, dimensions=embeddings.shape[1])
    stores[address].upsert(train.names, embeddings, categories)
table(["store", "rows"], [[address, f"{len(store):,}"] for address, store in stores.items()])

# %%
queries = predict(encoder, catalog.test.images[:32])
exact = stores["catalog.safetensors"].search(queries, k=5)
rows = []
for address, store in stores.items():
    hits = store.search(queries, k=5)
    hats = store.search(queries, k=5, category="hat")
    near = torch.allclose(hits.distances, exact.distances, atol=1e-6)
    only = all(categories[train.names.index(name)] == "hat" for row in hats.ids for name in row)
    rows.append([address, hits.ids == exact.ids, near, only])
table(["store", "the same results", "at the same distances", "only hats when asked"], rows)

# %% [markdown]
# A change is kept when the call returns, also if the process is killed right after. Change
# something in each, close it, open it again:

# %% tags=["nbval-check-output"]
for address, store in stores.items():
    store.delete(train.names[:3])
    store.upsert(["new/blue hat.jpg"], embeddings[:1], ["hat"])
    store.close()
    again = open_store(folder / address, made_by, dimensions=embeddings.shape[1])
    first = again.search(embeddings[0], k=1)
    print(address, len(again) == len(train.names) - 2, first.ids[0], float(first.distances[0, 0]))
    again.close()

# %% [markdown]
# And as in chapter 4, a store belongs to the weights that made it. With others it does not open:

# %% tags=["nbval-check-output"]
from fashionlib.errors import FashionError

try:
    open_store(folder / "catalog.faiss", "0123456789abcdef", dimensions=64)
except FashionError as error:
    print(str(error).replace(f"{folder}/", ""))

# %% [markdown]
# ### Past one machine
#
# `catalog.db` was [Milvus](https://milvus.io) in its embedded form, Milvus Lite: exact, inside this
# process, fine for tests and small catalogs. It looks at all rows for each search, so it gets slow
# as the catalog grows; the table below says how slow. A server needs only another address:
#
# ```python
# store = open_store("http://milvus.shop.example:19530", made_by, dimensions=64, index="hnsw")
# ```
#
# `deploy/` in the repository has a `docker compose` file for one machine, and says what changes
# with Helm on a cluster. Neither runs on the machine that builds this book.
#
# ## Ten thousand, a hundred thousand, a million
#
# For how many pictures is exact search fast enough, and what comes after it? We have no million
# garments. So the photos' embeddings are **jittered**: each new vector is a photo's, moved at
# random, about as far and in such directions as nearest neighbours among the photos lie apart. The
# queries are real. We compare three kinds of index:
#
# - **flat**: compare with every vector. Exact.
# - **IVF**, an inverted file: cluster the vectors into cells, look only into the cells nearest to
#   the query. With **PQ** the vectors in them are compressed to a few bytes, as many as its name
#   says: PQ16 to 16 ([Jégou et al., 2011](https://doi.org/10.1109/TPAMI.2010.57)).
# - **HNSW**: a graph of neighbours, walked towards the query ([Malkov and Yashunin,
#   2020](https://arxiv.org/abs/1603.09320)).
#
# All but the first miss some of the nearest. **recall@10** is the share of the true ten that they
# find; more cells, or a wider walk, find more and take longer. **Before you run it:** ten times as
# many vectors, how many times as slow is each kind?
#
# <details class="answer"><summary>Answer</summary>
#
# A flat index about ten times, since it looks at each vector, and more once the vectors are too
# many for the processor's cache. The others look at a small part, which grows much more slowly: in
# theory cells with the square root of the number of vectors, a graph with its logarithm. Compare
# how far each curve moves to the right; the sentence under the figure compares with the theory.
#
# </details>

# %%
measured = recorded("stores")
sizes, WANTED = measured["sizes"], measured["recall_wanted"]
show(
    figures.recall_curves(sizes, WANTED),
    alt=figures.recall_curves_alt(sizes, WANTED),
    caption=f"Up and left is better. Dotted: a recall of {WANTED}, and one millisecond. A flat "
    "index moves far to the right as the catalog grows, the others less. Compressed vectors stop "
    f"short of the top. One thread. Recorded: {about(measured)}.",
)
ends, grown = (sizes[0], sizes[-1]), []
for kind in ("flat", "IVF, Flat", "HNSW"):
    before, after = (
        figures.median_ms(figures.fastest(figures.curves(size)[kind], WANTED)) for size in ends
    )
    theory = figures.growth(kind, *(size["vectors"] for size in reversed(ends)))
    grown.append(f"{kind} {after / before:.1f} times as long (theory: {theory:.1f})")
say(f"From {ends[0]['vectors']:,} to {ends[1]['vectors']:,} vectors: {', '.join(grown)}.")

# %% [markdown]
# For each kind, the fastest setting that reaches this recall on validation queries or, if none
# does, the one with the highest recall. *Setting* is how many cells are looked into, or how many
# candidates the walk keeps.

# %%
table(*figures.index_table(sizes[-1], WANTED))
curves = figures.curves(sizes[-1])
flat, told = curves["flat"][0], []
best = {kind: figures.fastest(curves[kind], WANTED) for kind in ("IVF, Flat", "HNSW")}
for kind, row in best.items():
    faster = figures.median_ms(flat) / figures.median_ms(row)
    told.append(
        f"{kind} finds {row['recall']['test']:.3f} of the ten nearest, {faster:.0f} times as fast "
        f"as a flat index, for {row['bytes'] / flat['bytes']:.1f} times its memory"
    )
ahead = min(best, key=lambda kind: figures.median_ms(best[kind]))
say(f"At {sizes[-1]['vectors']:,} vectors: {'; '.join(told)}. The faster of these: **{ahead}**.")

# %% [markdown]
# Those were FAISS indexes alone. A store keeps ids and categories as well. Here is what a query
# costs through the interface above; *exact* is `SearchIndex` without a store, and a dash means not
# measured.

# %%
header, rows = figures.store_table(sizes)
table(header, rows)

# %% [markdown]
# Which one should you take?
#
# - Tens of thousands of pictures: the exact index. Nothing to tune, nothing missed.
# - Up to a few million, in one machine's memory: cells or a graph. The table above compares them.
#   Measure both with your own vectors, since a real catalog is not made of jittered copies. Rows
#   can be added to a graph one by one; cells are laid out once, and fit worse as the catalog
#   changes.
# - More than the memory holds: IVF with product quantisation. Measure the recall that it costs.
# - More than one machine, or many writers, or filters by many fields: a database.

# %% [markdown]
# ## A plan on paper
#
# We know what one million costs. What would ten million cost, a billion, ten billion? Memory grows
# with the vectors; a machine here has 64 GiB for them. Time follows the theory of each index. The
# sentence under the figure above compares theory and measurement: where they differ much, the last
# column is only a guess. And the compressed indexes find fewer of the true ten than the others, as
# the table above shows. *Move the slider:* which index needs the most machines?

# %%
source(figures.growth)

# %% tags=["hide-input"]
HEADER = ("index", "GiB for vectors", "machines", "ms on each")


def line(cells, tag):
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"


plans = {}
for count in (1e6, 1e7, 1e8, 1e9, 1e10):
    plan = figures.paper_plan(sizes[-1], WANTED, counts=(count,))
    body = "".join(line(row[1:], "td") for row in plan)
    plans[f"{count:,.0f}"] = f"<table>{line(HEADER, 'th')}{body}</table>"
slider("pictures", plans)

# %% [markdown]
# **Memory** runs out first. Next come **ids and categories**, text that takes more than compressed
# vectors. Then the **time to build**: each picture has to be decoded and embedded once for every
# new encoder. That is the next section.

# %% tags=["hide-input"]
plan = figures.paper_plan(sizes[-1], WANTED, counts=(1e9,))
machines = {kind: count for _, kind, _, count, _ in plan}
say("Machines for a billion vectors: " + "; ".join(f"{k}: {n}" for k, n in machines.items()) + ".")

# %% [markdown]
# ## Embedding a big catalog
#
# Decode, embed, write, a million times: something will break, and then you don't want to start
# over. So the folder is cut into **shards** in the order of its names. A process takes a whole
# shard and writes one file, whole or not at all, that remembers what it was made from. A run that
# is killed loses the shards it was working on. The next run makes just those: no finished shard is
# made again, and nothing is missing.
#
# Here is a small folder, with one file that is no picture:

# %%
from PIL import Image

from fashionlib.running.shards import embed_folder, index_from_shards

shop = folder / "shop"
shop.mkdir()
for number, picture in enumerate(catalog.test.images[: budget(120, quick=40)]):
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(shop / f"{number:04}.png")
(shop / "broken.jpg").write_bytes(b"not a picture")

first = embed_folder(shop, folder / "shards", WEIGHTS, shard_size=16)
again = embed_folder(shop, folder / "shards", WEIGHTS, shard_size=16)
table(
    ["run", "pictures", "embedded in this run", "shards"],
    [[name, r.pictures, r.fresh, r.shards] for name, r in (("first", first), ("again", again))],
)
say("Skipped: " + "; ".join(first.skipped))

# %% [markdown]
# Now lose a shard, as a kill would. The next run makes that one:

# %%
(folder / "shards" / "shard-000001.safetensors").unlink()
mended = embed_folder(shop, folder / "shards", WEIGHTS, shard_size=16)
index = index_from_shards(folder / "shards", encoder)
say(f"{mended.fresh} of {mended.pictures} pictures were embedded, and the index has {len(index)}.")

# %% [markdown]
# From the shell it is `fashionlib embed --catalog DIR --out DIR --processes N`. Decoding and
# embedding need the processor and little else, so start as many processes as there are cores. Each
# takes a while to start, which does not matter for a big catalog. Measured on the training photos
# of all ten classes:

# %%
pipeline = recorded("pipeline")
one, *more = pipeline["embedding"]
table(
    ["processes", "pictures a second", "times one process", "seconds to start"],
    [
        [
            run["processes"],
            f"{run['pictures_per_second']:.0f}",
            f"{run['pictures_per_second'] / one['pictures_per_second']:.2f}",
            f"{run['start_seconds']:.1f}",
        ]
        for run in (one, *more)
    ],
)
say(f"{one['pictures']:,} photos. Recorded: {about(pipeline)}.")

# %% [markdown]
# ## Training on several processes
#
# Is one GPU too slow, or do you have two? PyTorch's `torchrun` starts the same command several
# times:
#
# ```bash
# torchrun --nproc-per-node 2 -m fashionlib train-classifier --epochs 10
# torchrun --nproc-per-node 2 -m fashionlib train-siamese --epochs 15
# ```
#
# Each process has the whole network and takes its share of every batch; the gradients are averaged,
# so together they take nearly the step that one would take: only batch norm, which sees one share
# at a time, makes a difference. They talk through NCCL where there is CUDA and through Gloo
# elsewhere, and on CUDA cards that have bfloat16 these commands use it where it is safe. Three
# functions are easy to get wrong:

# %%
from fashionlib.running import processes

source(processes.share)
source(processes.gather)
source(processes.average_buffers)

# %% [markdown]
# `share`: all processes agree on the order of the pictures, and process r of n takes every n-th.
# `gather`: triplets are found among *all* pictures of a batch, so the embeddings of all processes
# are collected, and gradients go back to the process they belong to. `average_buffers`: batch norm
# keeps running statistics, each process those of its own share; their mean is evaluated and saved.
# (With CUDA, `SyncBatchNorm` computes them over the whole batch.)
#
# Is the result as good? The same short training, by one process and by two. The intervals are of
# each accuracy: where they overlap, the difference may be chance.

# %%
table(
    ["processes", "validation", "test", "seconds"],
    [
        [
            run["processes"],
            *(format_accuracy(*run["correct"][s]) for s in ("validation", "test")),
            run["seconds"],
        ]
        for run in pipeline["training"]
    ],
)
say(
    f"{pipeline['training'][0]['epochs']} epochs on drawn garments at "
    f"{pipeline['training'][0]['size']} px, on a machine with {pipeline['cores']} cores. One "
    "process keeps all cores busy already, so here two only share them; they pay where each has "
    "a device of its own."
)

# %% [markdown]
# ## When queries change
#
# The catalog stays, and the queries drift: another camera, a new season, people who photograph
# other things. No single query needs to be beyond the limit of chapter 8. But the *distribution* of
# their distances moves, and that can be tested. The distances of a window of queries are compared
# with those of the validation pictures by the test of Kolmogorov and Smirnov. It looks for the
# distance at which the two differ most. The **gap** is by how much more of the window lies beyond
# it: three tenths, if half of the window lies there and a fifth of the validation pictures. **p**
# is how often chance alone makes a gap as large; below one in a thousand we call it an alarm:

# %%
from fashionlib.drawn.not_garments import pictures_of_no_garment
from fashionlib.running import drift
from fashionlib.search import build_index

index = build_index(encoder, train.images, train.names)


def distances(pictures):
    return drift.nearest_distances(index, predict(encoder, pictures))


usual = catalog.test.images[torch.randperm(len(catalog.test), generator=torch.Generator())[:100]]
strangers = torch.cat(list(pictures_of_no_garment(8, seed=0).values()))
windows = {
    "test pictures": usual,
    "the same, too dark": (usual * 0.35).to(torch.uint8),
    "one in five shows no garment": torch.cat([usual[:80], strangers[:20]]),
    "no garments at all": strangers,
}
table(["window", "queries"], [[name, len(pictures)] for name, pictures in windows.items()])

# %%
calibration = distances(catalog.validation.images)
rows = []
for name, pictures in windows.items():
    found = drift.compare(calibration, distances(pictures))
    before, now = found.quantiles[0.5]
    rows.append([name, f"{before:.3f}", f"{now:.3f}", f"{found.gap:.2f}", f"{found.p_value:.1e}",
                 "alarm" if found.alarm else "quiet"])  # fmt: skip
header = ["window", "median before", "now", "gap", "p", ""]
table(header, rows)

# %% [markdown]
# An alarm says *look at the queries*, not what is wrong with them. Compare the medians of the first
# row, too. With photos, nobody who sent a test photo sent a training photo, while most validation
# photos are from people who did ([chapter 2](02_train_a_classifier.ipynb)). If test pictures lie
# farther away, that is a drift as well.
#
# ## New weights, and no closing time
#
# A better encoder needs every picture embedded again, while people go on searching. Old and new
# must never mix: a query embedded by the new encoder means nothing in the old index, and no error
# says so. So encoder and index are one pair, and the pair is swapped:

# %%
from fashionlib.running.live_index import LiveIndex, Searcher

source(LiveIndex)

# %%
from concurrent.futures import ThreadPoolExecutor

from fashionlib.siamese import encoder_from
from fashionlib.weights import load_classifier

torch.manual_seed(0)
classifier, _ = load_classifier(shipped(f"classifier_{catalog.name}"))
other = encoder_from(classifier).eval()  # other weights, and so another space
part = slice(0, budget(600, quick=120))
old, new = (
    Searcher(e, build_index(e, train.images[part], [f"{name}:{n}" for n in train.names[part]]))
    for name, e in (("old", encoder), ("new", other))
)
live = LiveIndex(old)
print(f"two pairs of encoder and index, of {len(old.index)} pictures each")

# %% [markdown]
# Eight threads ask two hundred times, and after a while the pair is swapped:


# %%
def ask(number):
    found = live.search(train.images[number % 20], k=1)
    return found.ids[0][0].split(":")[0], float(found.distances[0, 0])


with ThreadPoolExecutor(8) as pool:
    asked = [pool.submit(ask, number) for number in range(200)]
    asked[60].result()
    live.swap(new)
    answers = [one.result() for one in asked]
say(
    f"{len(answers)} searches by eight threads, none failed: "
    f"{sum(name == 'old' for name, _ in answers)} found the old index, "
    f"{sum(name == 'new' for name, _ in answers)} the new one. Every query is a picture of the "
    f"catalog, so its distance must be nearly 0: it is {max(d for _, d in answers):.1e} at most. "
    "A query in the wrong index would lie far from everything."
)

# %% [markdown]
# ## What you have learned
#
# - Put the preparation into the exported file, and test that it gives the same answers.
# - Exact search is enough for many catalogs. Measure before you leave it, and then measure the
#   recall that you lose.
# - A small common interface lets you change the engine; the exact one checks the others.
# - Long jobs are killed. Write whole files that know what they were made from.
# - An encoder and its index belong together: keep, open, check and swap them as one.
#
# ## Questions
#
# **1.** The exported file and PyTorch give different embeddings for the same photo. Where do you
# look first?
#
# <details class="answer"><summary>Answer</summary>
#
# At the preparation: another way to resize, or pixels from 0 to 1 instead of -1 to 1. Nothing
# fails, the search only gets worse. That is why resize and scale are part of our file, and why the
# test compares real pictures.
#
# </details>
#
# **2.** An index has a recall@10 of 0.95. Does one customer in twenty see a wrong garment?
#
# <details class="answer"><summary>Answer</summary>
#
# No. Of the ten nearest, half a garment is missed on average, and the next nearest takes its place,
# which often looks as similar. Recall compares with exact search; it does not say whether the exact
# results are any good.
#
# </details>
#
# **3.** Why does a store refuse to open with the weights of another encoder, and not just warn?
#
# <details class="answer"><summary>Answer</summary>
#
# Distances between embeddings of two encoders mean nothing, but they are numbers, so the search
# would answer. A person may not notice a warning in a log for weeks.
#
# </details>
#
# **4.** The drift test rings an alarm after a new camera was installed. Do you train again?
#
# <details class="answer"><summary>Answer</summary>
#
# Not yet. The alarm says that distances have changed, not that answers are wrong. Look at the
# queries first: perhaps the pictures are only too dark, and the camera's settings are the remedy.
#
# </details>
