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
# # Exercise 1: More than seven classes
#
# The article sorts clothes into seven classes. The data set has ten: *outwear*, *shirt* and *skirt*
# were left out, and they are easily taken for something else. You bring them in: you grow the head
# of the trained classifier, see which classes suffer, do something about rare ones, and at last do
# it all with a folder of your own.
#
# Write your part in place of each `...`, and run the cell below it: it tells you at once whether
# your answer is right. Try it before you look at a solution.

# %%
import copy
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from fashionlib import checks, metrics, training
from fashionlib.catalog import SEVEN, load_catalog
from fashionlib.catalog.photos import PHOTO_CLASSES
from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.pages import plots
from fashionlib.pages.show import say, show, table
from fashionlib.settings import budget
from fashionlib.training import Recipe
from fashionlib.weights import load_classifier, shipped

plt.style.use("fashionlib.pages.book")
seven = load_catalog(few=budget(False, quick=True))
print(seven.about)
classifier, metadata = load_classifier(shipped(f"classifier_{seven.name}"))
EPOCHS, SIZE = budget(3, quick=1), budget(80, quick=40)

# %% [markdown]
# ## Ten classes
#
# With the photos, ten classes are one argument away. Garments are drawn in seven classes only.
# Without photos we make ten of those: a drawn garment knows what *kind* it is, so button-up
# longsleeves become **shirt**, boots leave the shoes, and beanies the hats. The three new classes
# are small, and look much like the class they come from.

# %%
FINER = {"button-up": "shirt", "boot": "boot", "beanie": "beanie"}


def split_finely(split, classes):
    pairs = zip(split.attributes["kind"], split.labels.tolist(), strict=True)
    names = [FINER.get(kind, SEVEN[label]) for kind, label in pairs]
    return replace(split, labels=torch.tensor([classes.index(name) for name in names]))


if seven.name == "photos":
    ten = load_catalog("photos", classes=PHOTO_CLASSES, few=budget(False, quick=True))
    print(ten.about)
else:
    classes = tuple(sorted({*SEVEN, *FINER.values()}))
    splits = {name: split_finely(split, classes) for name, split in seven.splits.items()}
    ten = replace(seven, classes=classes, **splits)
say(f"Ten classes, from the **{ten.name}** catalog: {', '.join(ten.classes)}.")

# %%
show(
    plots.class_shares(ten),
    alt=plots.class_shares_alt(ten),
    caption="Share of each class in the three splits. The largest class has many times the "
    "pictures of the smallest.",
)

# %% [markdown]
# ## Task 1: A larger head
#
# The trained classifier has a head of seven rows, a weight vector and a bias for each class. Its
# backbone knows a lot about clothes, and the rows know the seven. Keep all of that: the new
# classifier is to have a *copy* of the backbone, and a head with a row for each new class. Where a
# class was there before, its row moves to its new place; the others stay as `nn.Linear` makes them.
#
# Mind the places. In alphabetical order a new class may come first, and then everything moves. And
# a class may be gone: then so is its row.


# %%
def grown(classifier, old, new):
    """A classifier of the class names `new`, from one of `old`, which stays as it is."""
    # TODO copy the classifier, and give the copy a larger `head.linear` with the old rows in it
    # hint: `copy.deepcopy(classifier)` copies everything, so nothing is shared
    # hint: `with torch.no_grad():` lets you write into `linear.weight[n]` and `linear.bias[n]`
    # hint: `new.index(name)` is the new place of a class, `name in new` says whether it has one
    ...


# %%
checks.more_classes.grown(grown)

# %% [markdown]
# Is it worth it? Two networks, trained alike for a few epochs: one grown from the classifier, one
# from random weights. **Before you run it:** which will be better on validation pictures?
#
# <details class="answer"><summary>Answer</summary>
#
# The grown one, very likely: its backbone has seen clothes for many epochs, and seven of its ten
# rows are trained. Only three rows begin at random.
#
# </details>

# %%
recipe = Recipe(EPOCHS, SIZE, SIZE, learning_rate=1e-3, label_smoothing=0.0)


def run(model):
    # a copy, so that the same start can be trained again, with another loss
    return training.train_classifier(copy.deepcopy(model), ten, recipe)


torch.manual_seed(0)
models, histories = {}, {}
starts = {
    "from nothing": build_classifier("fashion", len(ten.classes)),
    "grown": grown(classifier, SEVEN, ten.classes),
}
for name, start in starts.items():
    models[name], histories[name] = run(start)

# %%
labels = ten.validation.labels
answers = {
    name: predict(model, ten.validation.images).argmax(dim=1) for name, model in models.items()
}
right = {name: int((answer == labels).sum()) for name, answer in answers.items()}
lines = [f"**{name}**: {metrics.format_accuracy(n, len(labels))}" for name, n in right.items()]
say(f"Validation accuracy, ten classes (epochs: {EPOCHS}, {SIZE} px). {'; '.join(lines)}.")

# %% [markdown]
# ## Task 2: Which classes suffer?
#
# One accuracy over all pictures is mostly that of the large classes. The **recall** of a class is
# the share of *its* pictures that are called by its name. A class without pictures has no recall:
# say `nan`, since 0 and 1 would both be wrong.


# %%
def recall_by_class(answers, labels, classes):
    """Answers and labels int64 [N] among `classes` classes; returns float [classes]."""
    # TODO return the recall of each class, nan where there is no picture of it
    # hint: `torch.bincount(labels, minlength=classes)` counts all classes, present or not
    ...


# %%
checks.more_classes.recall_by_class(recall_by_class)

# %%
counts = torch.bincount(ten.train.labels, minlength=len(ten.classes))
recalls = {
    name: recall_by_class(answer, labels, len(ten.classes)) for name, answer in answers.items()
}


def recall_table():
    rows = [
        [name, int(counts[n]), int((labels == n).sum()), *(f"{r[n]:.2f}" for r in recalls.values())]
        for n, name in enumerate(ten.classes)
    ]
    rows.append(["**mean**", "", "", *(f"{r.nanmean():.3f}" for r in recalls.values())])
    table(["class", "to train", "to validate", *(f"recall, {name}" for name in recalls)], rows)


recall_table()

# %% [markdown]
# The last line, the mean of the recalls, is the macro accuracy of chapter 2, also called *balanced
# accuracy*: each class counts alike.
# And where do the pictures of the new classes go?

# %%
matrix = metrics.confusion_matrix(answers["grown"], labels, len(ten.classes))
show(
    plots.confusion_figure(matrix, ten.classes),
    alt=plots.confusion_alt(matrix, ten.classes),
    caption="The grown classifier on validation: true class (row) against answer (column).",
)

# %% [markdown]
# ## Task 3: Let rare classes count
#
# In the loss, a class with eight times the pictures counts eight times as much. A remedy: multiply
# the loss of each picture by the **weight** of its class, one over the number of its pictures. Then
# all classes weigh the same. Scale the weights so that over all training pictures they are 1 on
# average; then the loss stays as large as it was, and so does the best learning rate. A class
# without pictures gets the weight 0.


# %%
def class_weights(labels, classes):
    """Labels int64 [N] of the training pictures; returns float [classes]."""
    # TODO return the weights
    # hint: the sum over pictures of the weight of their class is to be `len(labels)`
    # hint: dividing by 0 gives inf; `torch.where(condition, one, other)` can take 0 instead
    ...


# %%
checks.more_classes.class_weights(class_weights)

# %% [markdown]
# `train_classifier` makes a `Training` and runs it to its end. If we take these two steps ourselves
# (`classifier_training`, then `finish`), we can exchange a part in between. Here it is the loss:
# that of each picture counts as much as its class weighs. Start, pictures and seed stay the same.

# %%
weights = class_weights(ten.train.labels, len(ten.classes))


def weighted_loss(model, inputs, labels):
    losses = F.cross_entropy(model(inputs), labels, reduction="none")
    return (losses * weights.to(labels.device)[labels]).mean()


weighted = training.classifier_training(copy.deepcopy(starts["grown"]), ten, recipe)
weighted.loss_of = weighted_loss
model, histories["weighted"] = training.finish(weighted)
models["weighted"] = model
answers["weighted"] = predict(model, ten.validation.images).argmax(dim=1)
recalls["weighted"] = recall_by_class(answers["weighted"], labels, len(ten.classes))
recall_table()

# %%
rarest = ten.classes[int(counts.argmin())]
change = recalls["weighted"] - recalls["grown"]
right["weighted"] = int((answers["weighted"] == labels).sum())
say(
    f"With weights the mean recall goes from {recalls['grown'].nanmean():.3f} to "
    f"{recalls['weighted'].nanmean():.3f}, and the accuracy from "
    f"{right['grown'] / len(labels):.3f} to {right['weighted'] / len(labels):.3f}. The rarest "
    f"class, **{rarest}**, changes by {change[counts.argmin()]:+.2f}, the commonest, "
    f"**{ten.classes[int(counts.argmax())]}**, by {change[counts.argmax()]:+.2f}. The rarest has "
    f"{int((labels == counts.argmin()).sum())} validation pictures, so each of them is worth a "
    "lot: one seed proves nothing."
)

# %% [markdown]
# Weights move mistakes rather than remove them: what a rare class gains, a similar common class may
# lose. Which mistakes are worse, you have to decide.
#
# ## Task 4: Your own clothes
#
# Any folder with a folder for each class is a catalog. Write the whole way in one function: load
# the folder, grow the classifier to *its* classes (those with a familiar name keep their row), and
# train. Three lines are enough.


# %%
def own_classifier(folder, classifier, old, recipe):
    """The trained classifier of the folder's classes, and the catalog."""
    # TODO load the catalog, grow the classifier, train it; return both
    # hint: `training.train_classifier` returns the network and its history
    ...


# %%
checks.more_classes.own_classifier(own_classifier)

# %% [markdown]
# Until you have photographed your wardrobe, drawn garments stand in for it, in four classes that
# our classifier does not know: boots, caps, jeans and sneakers.

# %%
import numpy as np

from fashionlib.drawn import draw_garment, sample_garment
from fashionlib.files import cache_dir, new_folder

KINDS = {"boots": ("boot", "shoes"), "caps": ("cap", "hat"), "jeans": ("jeans", "pants"),
         "sneakers": ("sneaker", "shoes")}  # fmt: skip
stand_in = cache_dir() / "stand_in_wardrobe"
rng = np.random.default_rng(0)
if not stand_in.exists():
    with new_folder(stand_in) as folder:
        for name, (kind, category) in KINDS.items():
            (folder / name).mkdir()
            for n in range(60):
                garment = replace(sample_garment(rng, category), kind=kind)
                draw_garment(garment).save(folder / name / f"{n}.jpg")
print("folders of pictures:", ", ".join(sorted(path.name for path in stand_in.iterdir())))

# %% [markdown]
# This is the one line to change. Some dozens of pictures a class will do.

# %%
my_clothes = stand_in  # the path of your folder, such as "/home/me/wardrobe"

own_recipe = replace(recipe, epochs=budget(10, quick=2))
mine, clothes = own_classifier(my_clothes, classifier, SEVEN, own_recipe)
print(clothes.about)
logits = predict(mine, clothes.test.images)
correct = metrics.count_correct(logits, clothes.test.labels)
say(f"Right on pictures it has never seen: {metrics.format_accuracy(correct, len(logits))}.")

# %%
some = torch.linspace(0, len(logits) - 1, 8).long()
called = [clothes.classes[answer] for answer in logits[some].argmax(dim=1)]
truth = [clothes.classes[label] for label in clothes.test.labels[some]]
show(
    plots.picture_grid(clothes.test.images[some], called),
    alt="Eight test pictures: "
    + "; ".join(f"{t} called {c}" for t, c in zip(truth, called, strict=True))
    + ".",
    caption="Test pictures of the own folder, with the answer over each.",
)

# %% [markdown]
# From the shell, without a line of Python, `fashionlib train-classifier --data` trains on a folder
# too, from nothing, and writes a weights file.
#
# ## What you have learned
#
# - A new class needs a new row, not a new network. Mind where the rows go.
# - Accuracy hides rare classes; recall by class shows them, together with how many pictures it is
#   based on.
# - Weights in the loss let a rare class count as much as a common one. Measure which classes win,
#   and which lose.
# - Your own folder is a catalog like any other.
#
# ## Further
#
# - Freeze the backbone for the first epoch (`requires_grad_(False)`) and train the new head alone.
#   Is the start better? Remember batch normalisation, which learns without gradients.
# - Instead of weighting, show rare classes more often, as `siamese.balanced_batches` does.
