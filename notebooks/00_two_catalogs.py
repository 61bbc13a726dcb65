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
# # The two catalogs
#
# A visual search engine needs something to look at. This book has two catalogs of clothes, with
# the same seven classes, and every chapter runs with either.
#
# - **photos**: *clothing-dataset-small* ([Grigorev,
#   2020](https://github.com/alexeygrigorev/clothing-dataset-small)), real photos that people took
#   of their own clothes and gave away (CC0). It is downloaded once, about 106 MB, and every file is
#   checked against a hash that this library ships.
# - **drawn**: garments that the library draws by itself from a seed. They need no network, and
#   they come with something no photo has: exact labels of how they *look*. Colour, pattern,
#   sleeve, length and backdrop of each picture are known, so that a later chapter can measure
#   whether a search finds things that look alike, not only things of the same class.
#
# `load_catalog()` takes the photos where it can, the drawn garments where it cannot, and its
# `about` says which. A folder of your own pictures works too: `load_catalog("my/clothes")`, with
# one folder for each class. `drawn=` says how many garments to draw: here `MANY`, or `FEW` where
# `FASHIONLIB_BUDGET=quick` is set, as it is when the chapters are tested.

# %%
import matplotlib.pyplot as plt
import torch

from fashionlib.catalog import load_catalog
from fashionlib.errors import FashionError
from fashionlib.pages import plots
from fashionlib.pages.show import say, show, table
from fashionlib.settings import budget

plt.style.use("fashionlib.pages.book")
drawn = load_catalog("drawn", few=budget(False, quick=True))
print(drawn.about)
try:
    photos = load_catalog("photos")
    print(photos.about)
except FashionError as error:
    photos = None
    say(f"**This page was built without the photos**: {error}")

# %% [markdown]
# ## Photos
#
# Two things to notice before any training. The same sheet, floor or hanger comes back in picture
# after picture: a network may learn the room instead of the garment. And the classes are unequally
# frequent, differently so in each split.


# %% tags=["hide-input"]
def contact_sheet(catalog, across=10):
    rows = [
        torch.nonzero(catalog.train.labels == k)[:across, 0] for k in range(len(catalog.classes))
    ]
    figure = plots.picture_grid(catalog.train.images[torch.cat(rows)], columns=across, width=9)
    alt = f"A contact sheet of the {catalog.name} catalog, one class a row: "
    show(
        figure,
        alt=alt + ", ".join(catalog.classes) + ".",
        caption=f"The {catalog.name} catalog. Rows from top to bottom: "
        + ", ".join(catalog.classes) + ".",
    )  # fmt: skip


if photos is None:
    say("*(The photos are shown here when the book is built where they can be had.)*")
else:
    contact_sheet(photos)

# %% [markdown]
# ## Drawn garments
#
# Every one of these is drawn when the page is built. Class by class they vary in cut, colour,
# pattern, pose, light and backdrop; the classes lie close together on purpose (long shorts and
# cropped pants, a rolled-up longsleeve and a t-shirt), so that telling them apart takes more
# than counting colours.

# %%
contact_sheet(drawn)

# %% [markdown]
# The same pictures with a few of their exact labels:

# %% tags=["hide-input"]
chosen = torch.arange(12)
looks = drawn.train.attributes
titles = [
    f"{drawn.classes[drawn.train.labels[i]]}\n{looks['colour'][i]}, {looks['pattern'][i]}"
    for i in chosen
]
show(
    plots.picture_grid(drawn.train.images[chosen], titles, columns=6, width=9),
    alt="Twelve drawn garments: " + "; ".join(title.replace("\n", ", ") for title in titles) + ".",
    caption="What is known of each drawn picture: its class, colour and pattern, among others.",
)

# %% [markdown]
# ## How many of each
#
# Both catalogs come in three splits: *train* to learn from, *validation* to choose with, *test* to
# report with, once.

# %%
for catalog in filter(None, (photos, drawn)):
    header = [catalog.name, *catalog.splits, "share of train"]
    rows = [
        [name, *(int((split.labels == k).sum()) for split in catalog.splits.values()),
         f"{float((catalog.train.labels == k).float().mean()):.0%}"]
        for k, name in enumerate(catalog.classes)
    ]  # fmt: skip
    rows.append(["all", *(len(split) for split in catalog.splits.values()), "100%"])
    table(header, rows)

# %% [markdown]
# ## Decoded once
#
# A photo is stored as a JPEG file of a few hundred pixels a side. Decoding it takes longer than
# a small network takes to look at it, so it is done once: every picture becomes a square of 160
# × 160 pixels, kept as one array of bytes on disk, and a chapter starts within a second the
# next time. The square is not cropped: a hat's brim or a shoe's tip is what tells classes
# apart. The price is that the aspect is lost.

# %% tags=["nbval-check-output"]
print("pictures:", drawn.train.images.dtype, tuple(drawn.train.images.shape[1:]))
print("labels:", drawn.train.labels.dtype)
print("classes:", ", ".join(drawn.classes))
