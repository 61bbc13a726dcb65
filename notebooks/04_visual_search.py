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
# Everything is there: blocks, a backbone, an encoder that puts similar garments close together. A
# search is now a matter of distances. In this chapter we build it, make it fast, look at what it
# finds and at what it gets wrong, and ask two questions that a pretty strip of results hides: does
# it look at the garment or at the wall behind it, and what does it answer to a picture that shows
# no garment at all?

# %%
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from fashionlib.catalog import load_catalog
from fashionlib.heads import build_encoder
from fashionlib.inference import predict
from fashionlib.pages import plots
from fashionlib.pages.result_strips import result_strip, result_strip_alt
from fashionlib.pages.show import say, show, source, table
from fashionlib.search import SearchIndex, build_index
from fashionlib.settings import budget
from fashionlib.weights import load_classifier, load_encoder, shipped

plt.style.use("fashionlib.pages.book")
catalog = load_catalog(few=budget(False, quick=True))
print(catalog.about)
encoder, _ = load_encoder(shipped(f"encoder_{catalog.name}"))

# %% [markdown]
# The encoder is the one that comes with the library, trained like the last one of [chapter
# 3](03_train_with_triplets.ipynb), only longer and at a larger size. Its model card is printed at
# the end of this chapter.
#
# ## The search of the article
#
# For each query: embed the query, embed every picture of the catalog, sort by distance, keep `k`.


# %%
# the same code as fashionlib.search.visual_search, kept equal by a test
def visual_search(query, catalog, encoder, k):
    wanted = predict(encoder, query[None])[0]
    found = []
    for position, picture in enumerate(catalog):
        embedding = predict(encoder, picture[None])[0]
        found.append((float(torch.dist(wanted, embedding)), position))
    return sorted(found)[:k]


# %%
pictures = catalog.train.images[: budget(None, quick=200)]
query = catalog.test.images[0]
started = time.perf_counter()
slow = visual_search(query, pictures, encoder, k=5)
slow_seconds = time.perf_counter() - started
say(f"One query among {len(pictures):,} pictures took {slow_seconds:.1f} s.")

# %% [markdown]
# It works, and it does the same work again for every query: the catalog has not changed, so
# neither have its embeddings. Embed it **once**. What is left is to compare one vector with many,
# and to find the `k` smallest distances. For that nothing needs to be sorted:
# [`torch.topk`](https://docs.pytorch.org/docs/stable/generated/torch.topk.html) selects. It does
# not promise which of two equal distances it takes, and a search should not answer one way today
# and another tomorrow, so ties are decided by position.


# %%
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
distances = torch.tensor([[0.5, 0.2, 0.9, 0.2, 0.5]])
for k in (1, 3, 5):
    values, positions = nearest(distances, k)
    shown = [round(value, 1) for value in values[0].tolist()]
    print(f"k={k}: positions {positions[0].tolist()}, distances {shown}")

# %% [markdown]
# A `SearchIndex` holds the embeddings, a name for each, and a fingerprint of the encoder that made
# them. Its search is short, most of it checks what it is given:

# %%
source(SearchIndex.search)

# %%
index = build_index(encoder, catalog.train.images, catalog.train.names)
part = SearchIndex(index.embeddings[: len(pictures)], index.ids[: len(pictures)], index.made_by)
started = time.perf_counter()
results = part.search(predict(encoder, query[None]), k=5)
seconds = time.perf_counter() - started
same = [position for _, position in slow] == results.positions[0].tolist()
say(
    f"The same five pictures: **{same}**. The query, embedding it included, took "
    f"{1000 * seconds:.1f} ms, {slow_seconds / seconds:,.0f} times faster than the loop."
)

# %% [markdown]
# ### Saved, loaded, and never mixed up
#
# Embeddings of one encoder mean nothing to another, and nothing would crash: the distances would
# simply be wrong. So the index knows its encoder, and refuses others.

# %% tags=["nbval-check-output"]
from fashionlib.errors import FashionError

path = Path(tempfile.mkdtemp()) / "index.safetensors"
index.save(path)
again = SearchIndex.load(path, encoder)
print("the same embeddings:", torch.equal(again.embeddings, index.embeddings))
try:
    SearchIndex.load(path, build_encoder("fashion"))
except FashionError as error:
    print("another encoder:", error)

# %% [markdown]
# New stock comes in, sold stock goes. Neither changes an index, both return a new one; so a search
# that runs meanwhile goes on undisturbed.

# %% tags=["nbval-check-output"]
first = index.ids[0]
smaller = index.remove([first])
larger = smaller.add(index.embeddings[:1], [first])
print("without the first:", len(smaller) == len(index) - 1, first in smaller.ids)
print("back again, as the last:", len(larger) == len(index), larger.ids[-1] == first)

# %% [markdown]
# ## A white dress
#
# The article shows the five results for a white dress; one of the five is a dress. We let the code
# choose our query, so that nobody picks a flattering one: of all dresses among the test pictures,
# the one whose middle is brightest. The catalog to search is always the training pictures.

# %%
from fashionlib.retrieval import mean_colours

queries = predict(encoder, catalog.test.images)
dresses = (catalog.test.labels == catalog.classes.index("dress")).nonzero()[:, 0]
white = dresses[mean_colours(catalog.test.images[dresses]).min(dim=1).values.argmax()]


def strip(position, k=5, index=index, queries=queries):
    found = index.search(queries[position], k)
    distances, places = found.distances[0].tolist(), found.positions[0]
    right = (catalog.train.labels[places] == catalog.test.labels[position]).tolist()
    titles = [catalog.classes[label] for label in catalog.train.labels[places]]
    parts = (distances, right, titles)
    return result_strip(catalog.test.images[position], catalog.train.images[places], *parts), parts


# %%
figure, parts = strip(white)
show(
    figure,
    alt="The query is the brightest dress. " + result_strip_alt(*parts),
    caption="A white dress and its five nearest. A blue frame and ✓: the right category; a dashed "
    "orange one and ✗: a wrong one. Below each result its distance.",
)

# %% [markdown]
# ### And the worst
#
# One strip proves nothing, a good one least of all. These are the three queries with the fewest
# right results; where several are equally bad, those whose wrong results are nearest, that is,
# where the encoder is surest.

# %%
from fashionlib.retrieval import matches, precision_at_k, ranking

order = ranking(queries, index.embeddings)
right = matches(order, catalog.test.labels, catalog.train.labels)
precision = precision_at_k(right, 5)
closeness = index.search(queries, k=1).distances[:, 0]
worst = (precision + 0.01 * closeness).argsort()[:3]
for position in worst.tolist():
    figure, parts = strip(position)
    name = catalog.classes[catalog.test.labels[position]]
    show(
        figure,
        alt=f"The query is labelled {name}. " + result_strip_alt(*parts),
        caption=f"A query labelled “{name}”. Would you have known?",
    )

# %% [markdown]
# ## How good is it?
#
# Three measures, each a mean over the test queries:
#
# - **precision@5**: of the five nearest, the share of the query's class;
# - **recall@5**: of all catalog pictures of its class, the share among the five nearest. In a class
#   of hundreds, five results cannot reach more than a few percent of it, so read it next to its
#   best possible value;
# - **mAP**: the mean average precision looks at the whole ranking, not at five.

# %%
from fashionlib.retrieval import average_precision, recall_at_k, score, score_by_class

labels, names = catalog.test.labels, catalog.classes
measures = {
    "precision@5": precision,
    "recall@5": recall_at_k(right, 5),
    "mAP": average_precision(right),
}
counts = torch.bincount(catalog.train.labels)
best = {name: min(1.0, 5 / int(counts[n])) for n, name in enumerate(names)}


# %%
def with_interval(score):
    return f"{score.mean:.3f} ({score.low:.3f}–{score.high:.3f})"


by_class = {name: score_by_class(values, labels, names) for name, values in measures.items()}
rows = [
    [
        name,
        scores.queries,
        with_interval(scores),
        f"{by_class['recall@5'][name].mean:.4f} of {best[name]:.4f}",
        with_interval(by_class["mAP"][name]),
    ]
    for name, scores in by_class["precision@5"].items()
]
total = {name: score(values) for name, values in measures.items()}
rows.append(
    ["**all**", len(labels), with_interval(total["precision@5"]), "", with_interval(total["mAP"])]
)
table(["class", "queries", "precision@5", "recall@5", "mAP"], rows)

# %% tags=["hide-input"]
weakest = min(by_class["precision@5"].items(), key=lambda item: item[1].mean)
say(
    f"Of five results, {5 * total['precision@5'].mean:.2f} are of the right class on average. The "
    f"weakest class is **{weakest[0]}**, at {weakest[1].mean:.3f}; with {weakest[1].queries} "
    f"queries that could be anything from {weakest[1].low:.3f} to {weakest[1].high:.3f}."
)

# %% [markdown]
# ## Before and after
#
# Where does this come from? The same query, searched with three encoders of the same size: random
# weights, the pooled features of the trained classifier, and our encoder.

# %%
from fashionlib.pages.depths import Features, UpTo

torch.manual_seed(0)
classifier, _ = load_classifier(shipped(f"classifier_{catalog.name}"))
others = {
    "untrained": build_encoder("fashion").eval(),
    "classifier features": Features(classifier),
}
embedded = {
    name: (
        build_index(model, catalog.train.images, catalog.train.names),
        predict(model, catalog.test.images),
    )
    for name, model in others.items()
}
embedded["our encoder"] = index, queries

# %%
for name, (own_index, own_queries) in embedded.items():
    figure, parts = strip(white, index=own_index, queries=own_queries)
    show(figure, alt=f"With {name}: " + result_strip_alt(*parts), caption=f"Found with: {name}.")

# %% [markdown]
# The untrained network is a surprise: its weights are random, yet what it finds often has the
# query's colours. Random filters still carry brightness and colour to the end. What it cannot do
# is tell a dress from a bright T-shirt. Training for classes turns this round. Both at once is the
# aim, so both columns belong in the table:

# %%
from fashionlib.retrieval import (
    agreement_at_k,
    best_at_k,
    chance_in_class,
    colour_distances,
    labelled_positions,
    resampled,
)

places, train = labelled_positions(catalog.test), catalog.train
seen = catalog.test.at(places)
vectors = {
    name: (own_queries[places], own_index.embeddings)
    for name, (own_index, own_queries) in embedded.items()
}
colours = [mean_colours(split.images) / 255 for split in (seen, train)]
vectors["features and 2 × mean colour"] = [
    torch.cat([part, 2 * colour], dim=1)
    for part, colour in zip(vectors["classifier features"], colours, strict=True)
]
orders = {name: ranking(*pair) for name, pair in vectors.items()}

# %%
LOOKS = {"category": "class", "colour": "colour", "pattern": "pattern"}
LOOKS |= {"patterned": "pattern, if patterned", "alike": "alike"}


def means(found):
    return [with_interval(resampled(found[name])) for name in LOOKS]


found = {name: agreement_at_k(order, seen, train, 5) for name, order in orders.items()}
first = next(iter(orders.values()))
rows = [["chance in the class", *means(chance_in_class(first, seen, train))]]
rows += [[name, *means(values)] for name, values in found.items()]
rows.append(["best possible", *means(best_at_k(first, seen, train, 5))])
table(["encoder", *(f"{name} @5" for name in LOOKS.values())], rows)

# %% [markdown]
# **alike** is class, colour and pattern of the query, all three: what *looks like this one* means.
# The best possible is below 1, since some looks are too rare to be found five times. Drawn garments
# have exact labels. Those of the photos were given by an AI model, not by people, and only every
# second test photo has some; [chapter 3](03_train_with_triplets.ipynb) says how far they can be
# trusted. Intervals come from drawing the queries again and again; photos of one owner are alike,
# so they are a little too narrow.
#
# ### A measure that misleads
#
# Where nobody has labelled looks, there is a **stand-in**: how far apart are the mean colours of
# the middles of two pictures, compared with a random picture of the same class? (Below 1 is
# closer.) It is easy to compute, and it can be won without any learning: the last row but one above
# appends that very mean colour to the classifier's features.

# %%
images = (seen.images, seen.labels, train.images, train.labels)
stand_in = {name: colour_distances(*images, order[:, :5]).ratio for name, order in orders.items()}
table(
    ["encoder", "stand-in", "colour @5", "alike @5"],
    [
        [name, f"{ratio:.2f}", *(f"{found[name][key].mean():.3f}" for key in ("colour", "alike"))]
        for name, ratio in stand_in.items()
    ],
)

# %% tags=["hide-input"]
by_stand_in = min(stand_in, key=stand_in.get)
by_labels = max(found, key=lambda name: float(found[name]["colour"].mean()))
say(
    f"By the stand-in **{by_stand_in}** is best, by the labels of colour **{by_labels}**. "
    + (
        "A measure that can be won without seeing tells little: the mean of a striped shirt is a "
        "colour that is nowhere on it, and half of a middle may be sheet. Count what you promise."
        if by_stand_in != by_labels
        else "Here both agree; whether they do, only labels can tell."
    )
)

# %% [markdown]
# ## This cut, in that look
#
# Category and look are parts of their own, so a query may take them from two pictures. Here the cut
# of our dress is wanted in the look of another garment.

# %%
other = int((catalog.test.labels != catalog.test.labels[white]).nonzero()[-1])
wanted = encoder.blended(queries[white], queries[other])
found = index.search(wanted, k=5)
places = found.positions[0]
titles = [catalog.classes[label] for label in catalog.train.labels[places]]
show(
    plots.picture_grid(
        torch.cat([catalog.test.images[[int(white), other]], catalog.train.images[places]]),
        columns=7,
        width=9,
    ),
    alt="A dress, the garment whose look is wanted, and five results: " + ", ".join(titles) + ".",
    caption="The first picture says what it is to be, the second how it is to look; then the five "
    "nearest to a query made of both.",
)

# %% [markdown]
# From the shell: `fashionlib search --query dress.jpg --look shirt.jpg`, and `--look-weight` from 0
# (only what it is) to 1 (only how it looks). `--colour red` searches among the red ones only.
#
# ## A map
#
# 64 numbers cannot be looked at. **t-SNE** ([van der Maaten and Hinton,
# 2008](https://jmlr.org/papers/v9/vandermaaten08a.html)) places the pictures on paper so that
# neighbours stay neighbours. It is for looking, not for measuring: distances *between* groups and
# the size of a group mean nothing.

# %%
from fashionlib.pages.embedding_map import map_figure, places_on_map

places = places_on_map(queries)
crowd = torch.cdist(places, places).topk(6, largest=False).indices[:, 1:]
agree = float((labels[crowd] == labels[:, None]).float().mean())
show(
    map_figure(places, catalog.test.images, labels, names),
    alt=f"{len(labels)} test pictures as thumbnails on a plane, in groups named "
    f"{', '.join(names)}. Of the five neighbours on the map {agree:.0%} share a picture's class.",
    caption="The test pictures, each where t-SNE puts its embedding. See the groups, the strays "
    "inside them, and how colours gather within a group.",
)

# %% [markdown]
# ## The garment or the wall?
#
# Many photos of a shop share a sheet, a floor, a hanger. An encoder may match *those*. On photos
# this cannot be told apart: nobody has marked which pixels are garment. But a **drawn** garment can
# be moved: the same shirt, same pose, same light, in front of another wall.

# %%
from fashionlib.catalog.new_backdrops import kept_at_k, on_new_backdrops

drawn = catalog
if catalog.name != "drawn":
    drawn = load_catalog("drawn", few=budget(False, quick=True))
    print(drawn.about)
shown = drawn.test
moved = on_new_backdrops(drawn, shown, seed=1)
show(
    plots.picture_grid(torch.cat([shown.images[:8], moved[:8]]), columns=8, width=9),
    alt="Eight drawn garments in two rows; in the second row each is the same garment, in the same "
    "pose, in front of another backdrop.",
    caption="Above: test pictures. Below: the same garments on other backdrops.",
)

# %% [markdown]
# Three questions to an encoder:
#
# - of the five results, how many have the query's **kind of backdrop** (a wall, a rug, …)?
#   Backdrops were drawn independently of the garments, so an encoder that does not look at them
#   is right by chance;
# - after the move, how many of the five results **stay**?
# - how many are still of the right **class**?


# %%
def embed(model):
    return [predict(model, images) for images in (drawn.train.images, shown.images, moved)]


def backdrop_row(train, queries, queries_moved):
    before, after = ranking(queries, train), ranking(queries_moved, train)
    kind = matches(before, shown.attributes["backdrop"], drawn.train.attributes["backdrop"])
    right = [matches(order, shown.labels, drawn.train.labels) for order in (before, after)]
    chance = kind.float().mean()
    shares = [precision_at_k(kind, 5).mean(), chance, kept_at_k(before, after, 5).mean()]
    shares += [precision_at_k(r, 5).mean() for r in right]
    return [f"{float(share):.3f}" for share in shares]


HEADER = ["encoder", "same backdrop @5", "by chance", "kept @5", "class @5", "class @5, moved"]

# %% [markdown]
# The look is the part to suspect: colours, averaged over a whole picture, are half wall. There are
# two remedies. Our encoder has one, it attends to places (chapter 3). The other would be in the
# training: a share of the batches gets their **edges from other pictures**, and whoever wants to
# name a garment must not look there. Neither needs a mask, so both work on photos as well.

# %%
from fashionlib.transforms import swap_frames

torch.manual_seed(0)
example = catalog.train.images[::300][:8]
show(
    plots.picture_grid(torch.cat([example, swap_frames(example)]), columns=8, width=9),
    alt="Eight pictures in two rows; in the second row each keeps a rounded box in its middle, and "
    "around it are the edges of its left neighbour.",
    caption="Above: pictures. Below: the same middles on another's edges. It is rough; what it is "
    "worth, the table below says.",
)

# %%
from dataclasses import replace

from fashionlib.siamese import RECIPE, encoder_for, train_siamese

start, _ = load_classifier(shipped("classifier_drawn"))
rows = [
    ["stem, whole picture", *backdrop_row(*embed(UpTo(start, 1, drawn.train.images)))],
    ["classifier features", *backdrop_row(*embed(Features(start)))],
]
small = budget(64, quick=32)
recipe = replace(RECIPE, epochs=budget(2, quick=1), size=small, evaluation_size=small)
encoders = {}
for name, swap in {"own edges": 0.0, "edges swapped": 0.5}.items():
    torch.manual_seed(0)
    new = encoder_for("looks", drawn, start)
    encoders[name], _ = train_siamese(new, drawn, replace(recipe, swap=swap))
encoders["our encoder"], _ = load_encoder(shipped("encoder_drawn"))
for name, trained in encoders.items():
    embeddings = embed(trained)
    look_parts = [torch.cat(trained.parts(part)[2:], dim=1) for part in embeddings]
    rows.append([name, *backdrop_row(*embeddings)])
    rows.append([f"{name}, look alone", *backdrop_row(*look_parts)])
table(HEADER, rows)

# %% tags=["hide-input"]
whole, features, _, plain, _, swapped, _, ours = (
    [float(value) for value in row[1:]] for row in rows
)
say(
    f"By chance {features[1]:.1%} of the results would have the query's kind of backdrop. The "
    f"average of the stem over the whole picture has it in {whole[0]:.1%}, the classifier's "
    f"features in {features[0]:.1%}, the look alone in {plain[0]:.1%}, in {swapped[0]:.1%} where "
    f"edges were swapped, and in {ours[0]:.1%} in our encoder, trained for longer and on its own "
    "edges. After the move "
    f"{whole[2]:.0%}, {features[2]:.0%}, {plain[2]:.0%}, {swapped[2]:.0%} and {ours[2]:.0%} of "
    f"their results stay. These are {len(shown)} queries and one run each: small differences are "
    "noise."
)

# %% [markdown]
# ## Not a garment
#
# A search always answers. Show it a flower, and it returns the garment most like a flower. What can
# tell us? How *far* that garment is; or how *sure* the classifier is of its best guess. For each we
# calibrate a limit on validation pictures, so that 95 of 100 of them pass. That needs no example of
# what is not clothing. Among the strangers are corners of the catalog's own pictures, where there
# is sheet or wall, and of the photos the three classes that this book leaves out.

# %%
from fashionlib.drawn.not_garments import pictures_of_no_garment
from fashionlib.running.distance_limit import distance_limit

strangers = pictures_of_no_garment(budget(40, quick=8), seed=0)
strangers["corners"] = catalog.test.images[:, :, :40, :40]
if catalog.name == "photos":
    left_out = ("outwear", "shirt", "skirt")
    strangers["left-out classes"] = load_catalog("photos", classes=left_out).test.images


# %%
def to_nearest(images):
    return index.search(predict(encoder, images), k=1).distances[:, 0]


def doubt(images):
    return 1 - predict(classifier, images).softmax(dim=1).amax(dim=1)


def refused(measure, images):
    limit = distance_limit(measure(catalog.validation.images), keep=0.95)
    return float((measure(images) > limit).float().mean())


rows = [
    [name, len(images), refused(to_nearest, images), refused(doubt, images)]
    for name, images in {**strangers, "test garments": catalog.test.images}.items()
]
header = ["queries", "how many", "refused by distance", "refused by probability"]
table(header, [[name, count, f"{near:.0%}", f"{sure:.0%}"] for name, count, near, sure in rows])

# %%
limit = distance_limit(to_nearest(catalog.validation.images), keep=0.95)
far = {name: to_nearest(images) for name, images in strangers.items()}
known = closeness  # of the test pictures, from above

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(8, 3.2))
groups = {"test garments": known, **far}
axis.boxplot(
    list(groups.values()), orientation="horizontal", tick_labels=list(groups), whis=(5, 95)
)
axis.axvline(limit, color=plots.PALETTE[1], linestyle="--")
axis.set(xlabel="distance to the nearest garment of the catalog")
medians = "; ".join(f"{name} {float(values.median()):.2f}" for name, values in groups.items())
show(
    figure,
    alt=f"Box plots of the distance to the nearest garment. Medians: {medians}. A dashed line "
    f"marks the limit of {limit:.2f}.",
    caption="Distances to the nearest garment; boxes hold the middle half, whiskers all but the "
    "outer tenth. Right of the dashed line a query is refused.",
)

# %% tags=["hide-input"]
least = min(rows[:-1], key=lambda row: row[2])
by_distance, by_probability = (
    sum(row[column] for row in rows[:-1]) / len(strangers) for column in (2, 3)
)
say(
    f"The limit on the distance is {limit:.3f}. It refuses {rows[-1][2]:.0%} of the test garments, "
    f"and {by_distance:.0%} of a kind of strangers on average; the one on the probability "
    f"{rows[-1][3]:.0%} and {by_probability:.0%}. "
    + (
        "Neither is clearly better. "
        if abs(by_distance - by_probability) < 0.1
        else f"The {'distance' if by_distance > by_probability else 'probability'} tells more. "
    )
    + f"The kind that gets past the distance most often is **{least[0]}**: {1 - least[2]:.0%} of "
    "them are taken for garments of the catalog. A limit is a start, not a lock: a network that "
    "has only ever seen garments has no reason to put anything else far away."
)

# %% [markdown]
# ## Try it
#
# *In Jupyter* the next cell makes an explorer: choose a test picture or upload one of yours, how
# many results, and which category to search in. *On the web page*, where no Python runs, the cell
# after it shows the same explorer with the answers to six queries in it.

# %% tags=["remove-output"]
from fashionlib.pages.search_explorer import search_explorer, search_explorer_page

search_explorer(index, encoder, catalog)

# %% tags=["hide-input"]
from IPython.display import HTML, display

chosen = [int((labels == n).nonzero()[0]) for n in range(len(names))][:6]
display(HTML(search_explorer_page(index, encoder, catalog, chosen, k=6)))

# %% [markdown]
# From the shell the same search is `fashionlib search --query picture.jpg --top-k 5`, in the
# photos, the drawn garments, or any folder of your own (`--catalog`). The model card of the encoder
# it uses:

# %% tags=["hide-input"]
card = shipped(f"encoder_{catalog.name}").with_suffix(".md").read_text(encoding="utf-8")
say(card.replace("# encoder", "**encoder", 1).replace("\n", "**\n", 1))

# %% [markdown]
# ## What you have learned
#
# - Embed the catalog **once**, in batches. A search is then one comparison with many vectors, and
#   a selection of the smallest distances, not a sort.
# - An index belongs to the weights that made it. Let it know them.
# - Show failures as openly as successes, and give an interval: one strip proves nothing.
# - Category and look are different questions. Measure both, and measure an untrained network too.
# - Ask what else the encoder might be matching. On drawn garments you can move the wall away.
# - The nearest may be far. A limit, calibrated on validation, lets a search say "nothing like it".
#
# ## Questions
#
# **1.** You train the encoder for another epoch and search the old index with it. Why does nothing
# crash, and what does our index do?
#
# <details class="answer"><summary>Answer</summary>
#
# The vectors still have the same size, so distances can be computed; they only mean nothing, since
# the two encoders put things in different places. The index compares the fingerprint of the encoder
# with that of the one it was made by, `index.made_by`, and refuses.
#
# </details>
#
# **2.** Why is recall@5 tiny for every class although the results are mostly right?
#
# <details class="answer"><summary>Answer</summary>
#
# It asks for a share of *all* pictures of the class. Five results out of hundreds can only be a
# small share; see it grow in `recall_at_k(right, 500).mean()`. Where that is not what you want to
# know, use precision@5.
#
# </details>
#
# **3.** A shop photographs every shoe on the same red carpet. Precision is excellent. What do you
# check before you celebrate?
#
# <details class="answer"><summary>Answer</summary>
#
# Whether it is the carpet that matches. Photograph some shoes elsewhere, or replace what is around
# them, and see whether the results stay.
#
# </details>
#
# **4.** Too many strangers get past the limit, so you calibrate it with `keep=0.8`. What does that
# cost?
#
# <details class="answer"><summary>Answer</summary>
#
# The limit gets smaller, so it refuses more strangers, and about every fifth real garment as well.
# Run `distance_limit(to_nearest(catalog.validation.images), keep=0.8)` and make the table again.
#
# </details>
