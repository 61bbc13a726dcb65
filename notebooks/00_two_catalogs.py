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
# # A first search, two catalogs
#
# You show a picture of a garment, and the computer finds those that look most like it. That is
# where this book goes. We begin with the goal: a search in five lines, with a network that comes
# with the library. The chapters after this one build it, part by part.
#
# First, something to search in. `load_catalog()` takes real photos if they are on this machine or
# can be downloaded (once, about 106 MB). Otherwise it takes garments that the library draws itself.
# The option `few=` is for the tests: it asks for an eighth of the pictures.

# %%
from fashionlib.catalog import load_catalog
from fashionlib.settings import budget

catalog = load_catalog(few=budget(False, quick=True))
print(catalog.about)

# %% [markdown]
# ## The goal
#
# **Before you run it:** the query is a picture that the network was not trained with. How many of
# its five results will be of the same class? What else will they share with it: the colour, the
# pattern, the wall behind?
#
# <details class="answer"><summary>Answer</summary>
#
# The network was trained to bring garments of one class together, and among them those of like
# colour and pattern. So the class should be right most often. Nobody asked it to look at the wall,
# and nobody forbade it: chapter 8 finds out whether it does.
#
# </details>

# %%
from fashionlib.search import build_index, embed_picture
from fashionlib.weights import load_encoder, shipped

encoder, _ = load_encoder(shipped(f"encoder_{catalog.name}"))
index = build_index(encoder, catalog.train.images, catalog.train.names)
query = catalog.test.images[1]
results = index.search(embed_picture(encoder, query), k=5)
print(*results.ids[0], sep="\n")

# %% tags=["hide-input"]
import matplotlib.pyplot as plt

from fashionlib.pages.result_strips import result_strip, result_strip_alt
from fashionlib.pages.show import say, show, table

plt.style.use("fashionlib.pages.book")


def show_search(number):
    """Search with one of the test pictures, and show what was found."""
    query = catalog.test.images[number]
    results = index.search(embed_picture(encoder, query), k=5)
    found = results.positions[0]
    titles = [catalog.classes[label] for label in catalog.train.labels[found]]
    wanted = catalog.classes[catalog.test.labels[number]]
    words = results.distances[0].tolist(), [title == wanted for title in titles], titles
    show(
        result_strip(query, catalog.train.images[found], *words),
        alt=result_strip_alt(*words),
        caption=f"The query is of the class {wanted}. Of its 5 nearest among "
        f"{len(index):,}, {titles.count(wanted)} are. Above each: the distance.",
    )


show_search(1)

# %% [markdown]
# Other queries go better or worse. *In Jupyter*, put another number into `show_search(1)` and run
# the cell again. *On the web page*, where no Python runs, the page *Try it* takes a picture of your
# own.

# %% [markdown]
# ## One backbone, two heads
#
# How can a computer say that two pictures are alike? Pixel by pixel they are not: the same dress,
# moved a little, has other numbers everywhere. So a network first turns the picture into
# *features*, a short list of numbers that say what is to be seen. That part is the **backbone**.
# A **head** turns the features into an answer, and heads can be exchanged:

# %% tags=["hide-input"]
from fashionlib.pages.diagrams import two_heads

show(
    two_heads(query),
    alt="A picture goes into the backbone. Its features go to two heads: a classification head, "
    "which answers what it is, and an embedding head, which answers what it is like.",
    caption="One backbone, two heads. The search needs the lower one.",
)

# %% [markdown]
# Both heads at work, on the query above. In the weights that come with the library each head has a
# backbone of its own: the encoder's began as a copy of the classifier's, and was trained further.

# %%
from fashionlib.inference import predict
from fashionlib.weights import load_classifier

classifier, _ = load_classifier(shipped(f"classifier_{catalog.name}"))
sure = predict(classifier, query[None])[0].softmax(dim=0)
point = embed_picture(encoder, query)
for share, label in zip(*sure.topk(2), strict=True):
    print(f"{catalog.classes[label]:>12}: {share:.2f}")
print(f"a point of {len(point)} numbers, at distance {point.norm():.2f} from the origin")

# %% [markdown]
# A search compares that point with the points of all pictures in the catalog, and gives back the
# nearest. (All points are at distance 1 from the origin: [chapter 3](03_train_with_triplets.ipynb)
# says why.) [Chapter 4](04_visual_search.ipynb) does so for many queries, and counts what is right.
# [Chapter 5](05_every_number.ipynb) asks whether the two heads could share one backbone.
#
# ## Two catalogs
#
# Every chapter runs with either of two catalogs of the same seven classes.
#
# - **photos**: *clothing-dataset-small* ([Grigorev,
#   2020](https://github.com/alexeygrigorev/clothing-dataset-small)), real photos that people took
#   of their own clothes and gave away (CC0). Every file is checked against a hash that this library
#   ships.
# - **drawn**: garments that the library draws from a seed, without the internet. They come with
#   something that no photo has: exact labels of how they *look*, such as colour, pattern, sleeve,
#   length and backdrop. So we can count how often a search finds what looks alike.
#
# A folder of your own pictures works too: `load_catalog("my/clothes")`, with one folder for each
# class.


# %% tags=["hide-input"]
import torch

from fashionlib.pages.plots import picture_grid


def contact_sheet(catalog, across=10):
    """The first pictures of each class, one class a row."""
    labels, names = catalog.train.labels, ", ".join(catalog.classes)
    rows = [(labels == k).nonzero()[:across, 0] for k in range(len(catalog.classes))]
    show(
        picture_grid(catalog.train.images[torch.cat(rows)], columns=across, width=9),
        alt=f"A contact sheet of the {catalog.name} catalog, one class a row: {names}.",
        caption=f"The {catalog.name} catalog. Rows from top to bottom: {names}.",
    )


# %% tags=["hide-input"]
photos = catalog if catalog.name == "photos" else None
if photos is None:
    say('No photos are here: `load_catalog("photos")` says why.')
else:
    contact_sheet(photos)

# %% [markdown]
# Look at the photos: the same sheet, floor or hanger comes back in picture after picture. A network
# may learn the room instead of the garment.
#
# The drawn garments vary, class by class, in cut, colour, pattern, pose, light and backdrop. The
# classes lie close together on purpose (long shorts and cropped pants, a rolled-up longsleeve and a
# t-shirt), so that telling them apart takes more than counting colours.

# %%
drawn = load_catalog("drawn", few=budget(False, quick=True))
contact_sheet(drawn)

# %% [markdown]
# Some of them with what is known of each:

# %% tags=["hide-input"]
looks = drawn.train.attributes
titles = [
    f"{drawn.classes[drawn.train.labels[i]]}\n{looks['colour'][i]}, {looks['pattern'][i]}"
    for i in range(12)
]
show(
    picture_grid(drawn.train.images[:12], titles, columns=6, width=9),
    alt="Twelve drawn garments: " + "; ".join(title.replace("\n", ", ") for title in titles) + ".",
    caption="Of each drawn picture we know the class, the colour, the pattern, and more.",
)

# %% [markdown]
# ## How many of each
#
# Both catalogs come in three splits: *train* to learn from, *validation* to choose with, *test* to
# report with, once.
#
# **Before you run it:** a network may do well by guessing the most frequent class. Will that class
# be as frequent among the test pictures as among those it learned from?
#
# <details class="answer"><summary>Answer</summary>
#
# Not if the splits were collected apart from each other. Compare the last column of each table with
# the one before it. Where they differ, a share of right answers means something else in each split.
#
# </details>

# %%
for each in filter(None, (photos, drawn)):
    rows = []
    for k, name in enumerate(each.classes):
        counts = [int((split.labels == k).sum()) for split in each.splits.values()]
        shares = [counts[0] / len(each.train), counts[2] / len(each.test)]
        rows.append([name, *counts, *(f"{share:.0%}" for share in shares)])
    rows.append(["all", *(len(split) for split in each.splits.values()), "", ""])
    table([each.name, *each.splits, "share of train", "share of test"], rows)

# %% [markdown]
# ## Decoded once
#
# A photo is stored as a JPEG file of a few hundred pixels a side. Decoding it takes time, and a
# training would do it again in every epoch. So it is done once: every picture becomes a square of
# 160 × 160 pixels, and the pixels of each split are kept in one array on disk, for the next time.
# Nothing is cropped: a hat's brim or a shoe's tip is what tells classes apart. The price is that
# the picture's proportions change: a tall dress gets wider.

# %% tags=["nbval-check-output"]
print("pictures:", drawn.train.images.dtype, tuple(drawn.train.images.shape[1:]))
print("labels:", drawn.train.labels.dtype)
print("classes:", ", ".join(drawn.classes))

# %% [markdown]
# ## What you have learned
#
# - A search turns pictures into points and gives back those that are nearest to the query.
# - A network has a backbone and a head. Two heads give two answers: what it is, and what it is
#   like.
# - There are photos and drawn garments. Only for the drawn ones do we know every look exactly.
# - Some classes may be more frequent than others, and not equally so in each split.
#
# ## Questions
#
# **1.** The index is built once and searched many times. What must be done again when the encoder
# is trained further?
#
# <details class="answer"><summary>Answer</summary>
#
# Everything in the index: all pictures of the catalog have to be embedded again. Points of two
# encoders have nothing to do with each other, so distances between them would mean nothing.
#
# </details>
#
# **2.** Why does every search find five results, even for a picture of a cat?
#
# <details class="answer"><summary>Answer</summary>
#
# Some points are always the nearest, however far they are. To say "nothing like it is here" one
# needs a limit on the distance, and [chapter 8](08_what_does_it_look_at.ipynb) sets one.
#
# </details>
#
# **3.** Why are there drawn garments at all, if the search is to work for photos?
#
# <details class="answer"><summary>Answer</summary>
#
# They need no download, and there can be any number of them. And they are the only pictures of
# which every look is known for sure, so a measure of looks can be tested with them.
#
# </details>
