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
# # Search by picture
#
# The encoder of [chapter 3](03_train_with_triplets.ipynb) puts similar garments close together, so
# a search only has to compare distances. In this chapter you build that search, see what it finds
# and where it fails, measure how good it is, and use it on pictures of your own.

# %%
import matplotlib.pyplot as plt
import torch

from fashionlib.catalog import load_catalog
from fashionlib.inference import predict
from fashionlib.pages.show import say, show, table
from fashionlib.settings import budget
from fashionlib.weights import load_encoder, shipped

plt.style.use("fashionlib.pages.book")
catalog = load_catalog(few=budget(False, quick=True))
train, test, names = catalog.train, catalog.test, catalog.classes
encoder, _ = load_encoder(shipped(f"encoder_{catalog.name}"))
print(catalog.about)

# %% [markdown]
# The encoder comes with the library. It was trained like the last one of chapter 3, for longer and
# on larger pictures. We search the training pictures, and the test pictures are the queries.
# Nothing is chosen in this chapter, so nothing can be fitted to them. (Their figures were seen
# before, while the encoder was developed: its model card says so.)
#
# ## A search in three lines
#
# Embed the catalog, once. Measure the distance from the query to every picture. Take the five
# smallest.

# %%
embeddings = predict(encoder, train.images)
print("pictures, numbers for each:", tuple(embeddings.shape))

# %%
distances = torch.cdist(predict(encoder, test.images[:1]), embeddings)
found = distances.topk(5, largest=False)
print("distances:", [round(value, 3) for value in found.values[0].tolist()])
print("positions:", found.indices[0].tolist())

# %%
from fashionlib.pages.result_strips import result_strip, result_strip_alt


def show_strip(position, distances, places, caption):
    right = (train.labels[places] == test.labels[position]).tolist()
    titles = [names[label] for label in train.labels[places]]
    parts = (distances.tolist(), right, titles)
    figure = result_strip(test.images[position], train.images[places], *parts)
    alt = f"Query: {names[test.labels[position]]}. " + result_strip_alt(*parts)
    show(figure, alt=alt, caption=caption)


show_strip(0, found.values[0], found.indices[0],
           "A query and its five nearest pictures, each with its distance. Solid "
           "blue frame and ✓: the query's category. Dashed orange frame and ✗: "
           "another.")  # fmt: skip

# %% [markdown]
# That is a working search.
# [`torch.topk`](https://docs.pytorch.org/docs/stable/generated/torch.topk.html) selects the
# smallest distances without sorting all of them.
#
# ## The search of the article
#
# The article writes it as a loop: embed the query, embed every picture of the catalog, sort by
# distance, keep `k`.


# %%
# the same code as fashionlib.search.visual_search, kept equal by a test
def visual_search(query, catalog, encoder, k):
    wanted = predict(encoder, query[None])[0]
    found = []
    for position, picture in enumerate(catalog):
        embedding = predict(encoder, picture[None])[0]
        found.append((float(torch.dist(wanted, embedding)), position))
    return sorted(found)[:k]


# %% [markdown]
# **Before you run it:** for one query among N pictures, how many pictures does the encoder see in
# the loop, and how many when the catalog has been embedded?
#
# <details class="answer"><summary>Answer</summary>
#
# In the loop N + 1: every picture of the catalog and the query. With an embedded catalog one, the
# query. The catalog has not changed since the last query, so neither have its embeddings.
#
# </details>

# %%
import time

started = time.perf_counter()
slow = visual_search(test.images[0], train.images[:200], encoder, k=5)
slow_seconds = time.perf_counter() - started

started = time.perf_counter()
query = predict(encoder, test.images[:1])
fast = torch.cdist(query, embeddings[:200]).topk(5, largest=False)
seconds = time.perf_counter() - started
say(
    f"The loop took {slow_seconds:.1f} s, the search among embeddings "
    f"{1000 * seconds:.1f} ms: {slow_seconds / seconds:,.0f} times faster. Do both find "
    f"the same five? **{[n for _, n in slow] == fast.indices[0].tolist()}**."
)

# %% [markdown]
# The loop's time grows with the catalog, and so does this factor.
#
# ### Equal distances
#
# A shop may list one picture twice, and then two distances are equal. `topk` does not promise which
# of them it takes, and a search should give the same answer tomorrow. So the library's search
# decides such ties by position; you may skip how.


# %% tags=["hide-input"]
# the same code as fashionlib.search.nearest, kept equal by a test
def nearest(distances, k):
    last = distances.topk(k, largest=False).values[:, -1:]
    nearer, equal = distances < last, distances == last
    room = k - nearer.sum(dim=1, keepdim=True)
    chosen = nearer | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= room))
    positions = chosen.nonzero()[:, 1].reshape(len(distances), k)
    sorted_distances, order = distances.gather(1, positions).sort(dim=1, stable=True)
    return sorted_distances, positions.gather(1, order)


# %% tags=["nbval-check-output"]
ties = torch.tensor([[0.5, 0.2, 0.9, 0.2, 0.5]])
for k in (1, 3, 5):
    values, positions = nearest(ties, k)
    shown = [round(value, 1) for value in values[0].tolist()]
    print(f"k={k}: positions {positions[0].tolist()}, distances {shown}")

# %% [markdown]
# ## An index that knows its encoder
#
# The embeddings of one encoder mean nothing to another. Nothing would crash: the distances would
# simply be wrong. So a `SearchIndex` keeps, beside the embeddings and a name for each, a
# fingerprint of the encoder that made them. It refuses any other. (`build_index` embeds a catalog
# and makes its index in one step.)

# %% tags=["nbval-check-output"]
import tempfile
from pathlib import Path

from fashionlib.errors import FashionError
from fashionlib.heads import build_encoder
from fashionlib.search import SearchIndex, euclidean
from fashionlib.weights import fingerprint

index = SearchIndex(embeddings, train.names, fingerprint(encoder))
path = Path(tempfile.mkdtemp()) / "index.safetensors"
index.save(path)
again = SearchIndex.load(path, encoder)
print("the same embeddings:", torch.equal(again.embeddings, index.embeddings))
try:
    SearchIndex.load(path, build_encoder("fashion"))
except FashionError as error:
    print("another encoder:", error)

# %% [markdown]
# New stock comes in, sold stock goes. Both give a new index and leave the old one as it was, so a
# search that is running is not disturbed.

# %% tags=["nbval-check-output"]
first = index.ids[0]
smaller = index.remove([first])
larger = smaller.add(index.embeddings[:1], [first])
print("without the first:", len(smaller) == len(index) - 1, first in smaller.ids)
print("back again, as the last:", len(larger) == len(index), larger.ids[-1] == first)

# %% [markdown]
# ## A white dress
#
# The article shows its five results for a white dress. One of the five is a dress. We let the code
# choose our query, so that nobody picks a flattering one: of all dresses among the test pictures,
# the whitest. White is bright in red, in green and in blue. So we look at the smallest of the three
# in the middle of each picture, and take the dress where that is largest.

# %%
from fashionlib.retrieval import mean_colours

queries = predict(encoder, test.images)
dresses = (test.labels == names.index("dress")).nonzero()[:, 0]
whiteness = mean_colours(test.images[dresses]).min(dim=1).values
white = int(dresses[whiteness.argmax()])
found = index.search(queries[white], k=5)
show_strip(white, found.distances[0], found.positions[0],
           "The whitest dress and its five nearest.")  # fmt: skip

# %% tags=["hide-input"]
hits = int((train.labels[found.positions[0]] == test.labels[white]).sum())
chance = float((train.labels == test.labels[white]).float().mean())
say(
    f"Here **{hits} of the five** are dresses. Five pictures drawn at random would hold "
    f"{5 * chance:.1f} on average, so the article's one of five "
    + ("is about what chance gives." if 0.5 <= 5 * chance < 1.5 else
       "is little more than chance." if 5 * chance < 0.5 else "is less than chance.")
)  # fmt: skip

# %% [markdown]
# ### And the worst
#
# One strip proves nothing, and a good one proves least. These are the three queries with the fewest
# right results. Where several are equally bad, we take those whose wrong results are nearest: there
# the encoder is most sure of its mistake.

# %%
from fashionlib.retrieval import matches, precision_at_k, ranking

order = ranking(queries, embeddings)
right = matches(order, test.labels, train.labels)
precision = precision_at_k(right, 5)
five = index.search(queries, k=5)
# distances are 2 at most: 0.01 of one only decides between queries of equal precision
worst = (precision + 0.01 * five.distances[:, 0]).argsort()[:3]
for position in worst.tolist():
    label = names[test.labels[position]]
    show_strip(position, five.distances[position], five.positions[position],
               f"A query labelled “{label}”. Would you have known?")  # fmt: skip

# %% [markdown]
# ## How good is it?
#
# - **Recall@1**: is the nearest picture of the query's class? Papers on metric learning call it so
#   ([Oh Song et al., 2016](https://arxiv.org/abs/1511.06452)): their Recall@K is the share of
#   queries with *at least one* right picture among the first K.
# - **precision@5**: the share of the five nearest that are of the query's class.
# - **mAP**, the mean average precision, looks at the whole ranking, not only at its top.

# %%
from fashionlib.retrieval import (
    average_precision,
    hit_at_k,
    resampled,
    score,
    score_by_class,
)


def with_interval(score):
    return f"{score.mean:.3f} ({score.low:.3f}–{score.high:.3f})"


measures = {
    "Recall@1": hit_at_k(right, 1),
    "precision@5": precision,
    "mAP": average_precision(right),
}
by_class = {name: score_by_class(values, test.labels, names) for name, values in measures.items()}

# %%
rows = [
    [name, scores.queries, *(with_interval(by_class[m][name]) for m in measures)]
    for name, scores in by_class["precision@5"].items()
]
rows.append([
    "**all**",
    len(test),
    with_interval(score(measures["Recall@1"])),
    with_interval(resampled(precision)),
    with_interval(resampled(measures["mAP"])),
])  # fmt: skip
table(["class", "queries", *measures], rows)

# %% [markdown]
# The intervals are of two kinds. Recall@1 is a yes or no for each query, so it is a share, and
# Wilson's interval for shares fits. Precision@5 and average precision are not: each query gives a
# number between 0 and 1. In the last row their intervals come from drawing the queries again and
# again (a bootstrap). For a single class we keep Wilson's, as if they were shares. That is too wide
# rather than too narrow, and it does not shrink to nothing where every query of a small class is
# right. All of them treat each photo as independent of the others. But the test photos come from
# few people ([chapter 8](08_what_does_it_look_at.ipynb) counts them), so we know less than the
# intervals say.

# %% tags=["hide-input"]
weakest = min(by_class["precision@5"].items(), key=lambda item: item[1].mean)
times = torch.bincount(order[:, :5].flatten(), minlength=len(train))
say(
    f"On average {5 * float(precision.mean()):.2f} of five results are of the right class. "
    f"The weakest class is **{weakest[0]}**, at {weakest[1].mean:.3f}. With "
    f"{weakest[1].queries} queries it could be anything from {weakest[1].low:.3f} to "
    f"{weakest[1].high:.3f}. The picture that is found most often is among the five of "
    f"{int(times.max())} queries, where {5 * len(test) / len(train):.1f} would be its share."
)

# %% [markdown]
# A picture that is found far more often than its share is called a *hub*: in spaces of many
# dimensions a few points are near to very many others ([Radovanović et al.,
# 2010](https://jmlr.org/papers/v11/radovanovic10a.html)). *Re-ranking* is one remedy: it moves up
# those results that have the query among their own neighbours ([Zhong et al.,
# 2017](https://arxiv.org/abs/1701.08384)), for the price of one more search for each result.
#
# ## Before and after
#
# Which training taught the network what? We search for the white dress with three networks whose
# backbones are built alike, each with weights of its own: one with random weights, the trained
# classifier (its pooled features), and our encoder.
#
# **Before you run it:** what will the network with random weights find?
#
# <details class="answer"><summary>Answer</summary>
#
# Random filters pass some brightness and colour on to the end, so its results have the query's
# colour more often than chance: the table below counts how often. They know nothing of sleeves and
# hems, so a bright T-shirt can be as near as a dress. All its distances are tiny: without training,
# all pictures lie almost at one point.
#
# </details>

# %%
from fashionlib.pages.depths import Features
from fashionlib.weights import load_classifier

torch.manual_seed(0)
classifier, _ = load_classifier(shipped(f"classifier_{catalog.name}"))
networks = {
    "untrained": build_encoder("fashion").eval(),
    "classifier features": Features(classifier),
}
vectors = {
    name: (predict(network, test.images), predict(network, train.images))
    for name, network in networks.items()
}
vectors["our encoder"] = queries, embeddings
for name, (own, others) in vectors.items():
    # as `ranking` does: `cdist` alone would round away distances as small as the untrained one's
    values, places = nearest(euclidean(own[[white]], others), k=5)
    show_strip(white, values[0], places[0], f"Found with: {name}.")

# %% [markdown]
# Results should have the right category *and* the right look. So the table counts both. **alike**
# is class, colour and pattern of the query, all three: what "looks like this one" means. One row
# appends the mean colour of a picture's middle to the classifier's features. Nothing is trained for
# it; the next section says what it is for.

# %%
from fashionlib.retrieval import (
    agreement_at_k,
    best_at_k,
    chance_in_class,
    labelled_positions,
)

places = labelled_positions(test)
seen = test.at(places)
colours = [mean_colours(split.images) / 255 for split in (test, train)]
vectors["features and 2 × mean colour"] = [
    torch.cat([part, 2 * colour], dim=1)
    for part, colour in zip(vectors["classifier features"], colours, strict=True)
]
orders = {name: ranking(own[places], others) for name, (own, others) in vectors.items()}
alike = {name: agreement_at_k(order, seen, train, 5) for name, order in orders.items()}

# %%
LOOKS = {"category": "class", "colour": "colour", "pattern": "pattern"}
LOOKS |= {"patterned": "pattern, if patterned", "alike": "alike"}


def means(values):
    return [with_interval(resampled(values[name])) for name in LOOKS]


some = orders["our encoder"]  # chance and the best do not depend on the order
rows = [["chance in the class", *means(chance_in_class(some, seen, train))]]
rows += [[name, *means(values)] for name, values in alike.items()]
rows.append(["best possible", *means(best_at_k(some, seen, train, 5))])
table(["encoder", *(f"{name} @5" for name in LOOKS.values())], rows)

# %% tags=["hide-input"]
gain = resampled(alike["our encoder"]["alike"] - alike["classifier features"]["alike"])
say(
    "Compared query by query, our encoder's share of results alike differs from that of the "
    f"classifier's features by {gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}): "
    + ("too little to be sure of." if gain.low <= 0 <= gain.high else "more than chance explains.")
)

# %% [markdown]
# The best possible is below 1, since some looks are too rare to be found five times. Drawn garments
# have exact labels. Those of the photos were given by an AI model, not by people, and only every
# second test photo has some; [chapter 3](03_train_with_triplets.ipynb) says how far they can be
# trusted. All these intervals come from queries drawn again and again. Differences are taken query
# by query: the same queries are easy or hard for both, so two overlapping intervals can still hide
# a sure difference.
#
# ### A measure that misleads
#
# Where nobody has labelled looks, people use a **stand-in**: how far apart are the mean colours of
# the middles of two pictures, compared with a random picture of the same class? (Below 1 is
# closer.) One row appends that very mean colour to the classifier's features. It has learned
# nothing new.
#
# **Before you run it:** which row wins by the stand-in, and does it also win by the labels?
#
# <details class="answer"><summary>Answer</summary>
#
# What is measured by mean colour can be won by copying the mean colour. Whether that finds garments
# whose colour people would name alike is another question, and only labels answer it: compare the
# first column with the others.
#
# </details>

# %%
from fashionlib.retrieval import colour_distances

pictures = (seen.images, seen.labels, train.images, train.labels)
stand_in = {name: colour_distances(*pictures, order[:, :5]).ratio for name, order in orders.items()}
rows = [
    [name, f"{ratio:.2f}", *(f"{alike[name][key].mean():.3f}" for key in ("colour", "alike"))]
    for name, ratio in stand_in.items()
]
table(["encoder", "stand-in", "colour @5", "alike @5"], rows)

# %% tags=["hide-input"]
by_stand_in = min(stand_in, key=stand_in.get)
by_labels = max(alike, key=lambda name: float(alike[name]["colour"].mean()))
say(
    f"By the stand-in **{by_stand_in}** is best, by the labels of colour **{by_labels}**. "
    + (
        "The mean of a striped shirt is a colour that is nowhere on it, and half of a middle may "
        "be sheet. Measure what you promise."
        if by_stand_in != by_labels
        else "Here both agree. Without labels you would not know."
    )
)

# %% [markdown]
# ## This cut, in that look
#
# [Chapter 3](03_train_with_triplets.ipynb) blends two embeddings into one. An index answers such a
# query like any other: here the cut of our dress, in the look of another garment.

# %%
from fashionlib.pages import plots

other = int((test.labels != test.labels[white]).nonzero()[-1])
wanted = encoder.blended(queries[white], queries[other])
places = index.search(wanted, k=5).positions[0]
titles = [names[label] for label in train.labels[places]]
shown = torch.cat([test.images[[white, other]], train.images[places]])
show(
    plots.picture_grid(shown, columns=7, width=9),
    alt="A dress, the garment whose look is wanted, and five results: "
    + ", ".join(titles) + ".",
    caption="The first picture gives the cut, the second the look; then the five "
    "nearest to a query made of both.",
)  # fmt: skip

# %% [markdown]
# ## Try it
#
# *In Jupyter* the next cell makes an explorer: choose a test picture or upload one of yours, how
# many results, and which category, colour or pattern to search in. *On the web page*, where no
# Python runs, the cell after it shows the answers to six queries.

# %% tags=["remove-output"]
from fashionlib.pages.search_explorer import search_explorer, search_explorer_page

search_explorer(index, encoder, catalog)

# %% tags=["hide-input"]
from IPython.display import HTML, display

chosen = [int((test.labels == n).nonzero()[0]) for n in range(len(names))][:6]
display(HTML(search_explorer_page(index, encoder, catalog, chosen, k=6)))

# %% [markdown]
# ### On your own folder
#
# The command `fashionlib search` does the same from a shell, in any folder of pictures. We save a
# few test pictures into a folder, as if it were yours, and search it:

# %%
import subprocess
import sys

from PIL import Image

folder = Path(tempfile.mkdtemp())
for number, picture in enumerate(test.images[:: len(test) // 20]):
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / f"{number}.jpg")
weights = shipped(f"encoder_{catalog.name}")
arguments = f"search --query 0.jpg --catalog . --top-k 5 --weights {weights}"
command = [sys.executable, "-m", "fashionlib", *arguments.split()]
print(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout)

# %% [markdown]
# The nearest is the query itself, at distance 0, since it lies in that folder too.
#
# In your shell: `fashionlib search --query dress.jpg --catalog my/clothes`. Add `--look shirt.jpg`
# for the look of another picture, `--look-weight` from 0 (only what it is) to 1 (only how it
# looks), `--colour red` to search among the red ones only. The first search embeds the folder;
# later ones embed only what is new.

# %% [markdown]
# ## What you have learned
#
# - Embed the catalog **once**. A search is then one comparison with many vectors, and a selection
#   of the smallest distances, not a sort.
# - An index belongs to the weights that made it. Let it check them.
# - Show failures as openly as successes, and give an interval: one strip proves nothing.
# - Category and look are different questions. Measure both, and measure an untrained network too.
# - A measure that can be won by copying it into the vector tells little. Measure what you promise.
#
# ## Questions
#
# **1.** You train the encoder for another epoch and search the old index with it. Why does nothing
# crash, and what does our index do?
#
# <details class="answer"><summary>Answer</summary>
#
# The vectors still have the same size, so distances can be computed. They mean nothing, since the
# two encoders put things in different places. The index compares the fingerprint of the encoder
# with that of the one it was made by, `index.made_by`, and refuses.
#
# </details>
#
# **2.** A paper reports a Recall@5 of nearly 1, and a search engine's recall at five results is a
# few percent. Can both be right?
#
# <details class="answer"><summary>Answer</summary>
#
# Yes. In papers on metric learning a query counts when at least one of five results is right,
# `hit_at_k(right, 5)`. In information retrieval recall is the share of *all* right pictures that
# were found, `recall_at_k(right, 5)`, and five results out of hundreds can only be a small share.
#
# </details>
#
# **3.** Your shop has ten million pictures. Which of the three lines at the start becomes slow, and
# what can you do?
#
# <details class="answer"><summary>Answer</summary>
#
# The second: it compares the query with every picture. An approximate index looks only where near
# pictures are likely, and a database spreads the catalog over machines. [Chapter
# 6](06_into_production.ipynb) measures the first, and plans on paper how many machines it takes.
#
# </details>
