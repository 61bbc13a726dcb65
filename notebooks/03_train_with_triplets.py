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
# # Train with triplets
#
# A classifier answers *what is it?* A search engine asks *what is it like?* For that we need an
# **encoder**: a network that turns a picture into a short vector, its *embedding*, so that
# pictures which are alike get vectors that are close.
#
# The idea of a **triplet** ([Schroff et al., 2015](https://arxiv.org/abs/1503.03832)): show the
# network three pictures, an *anchor*, a *positive* of the same class and a *negative* of another,
# and ask that the anchor be closer to the positive than to the negative, by some margin. Nobody has
# to say *how* close anything should be.
#
# The article trains 15 epochs on random triplets and reports a loss that falls from 0.82 to 0.09.
# We train that way too, and find that a falling triplet loss proves less than it seems. Then we
# choose triplets better, and at last ask for something that no label says: how a garment *looks*.

# %%
import copy
from collections import OrderedDict
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from fashionlib import siamese, training
from fashionlib.catalog import load_catalog
from fashionlib.heads import DIMENSIONS, EmbeddingHead, build_classifier
from fashionlib.inference import pick_device, predict
from fashionlib.look_encoder import LookEncoder, hann
from fashionlib.pages import plots
from fashionlib.pages.show import say, show, source, table
from fashionlib.settings import budget
from fashionlib.siamese import SiameseRecipe, train_siamese, view
from fashionlib.training import Batches, make_optimizer, shuffled
from fashionlib.transforms import to_input
from fashionlib.triplets import positions_of_classes

plt.style.use("fashionlib.pages.book")
catalog = load_catalog(few=budget(False, quick=True))
print(catalog.about)
EPOCHS, SIZE = budget(4, quick=1), budget(64, quick=32)

# %% [markdown]
# Everything in this chapter is trained at a reduced size, so that all its trainings fit into a few
# minutes on two cores. Compare the runs with each other, not with chapter 2.
#
# ## Triplets from labels
#
# To find a triplet, labels are enough: no picture has to be decoded. Three details matter, and
# each has gone wrong in some tutorial:
#
# - the positive must not be the anchor itself (its distance would be 0, and teach nothing);
# - a class with a single picture has no positive, and says so;
# - the draw depends on the seed, the epoch and the index alone, so it is the same with any number
#   of worker processes.


# %%
# the same code as fashionlib.triplets.TripletDataset, kept equal by a test
class TripletDataset(Dataset):
    def __init__(self, images, labels, seed=0):
        self.images, self.labels = images, labels
        self.seed, self.epoch = seed, 0
        self.of_class = positions_of_classes(labels)

    def __len__(self):
        return len(self.labels)

    def indices(self, index):
        rng = np.random.default_rng([self.seed, self.epoch, index])
        label = int(self.labels[index])
        same = self.of_class[label]
        place = int(np.searchsorted(same, index))
        positive = same[(place + 1 + rng.integers(len(same) - 1)) % len(same)]
        others = [other for other in self.of_class if other != label]
        negative = rng.choice(self.of_class[others[rng.integers(len(others))]])
        return index, int(positive), int(negative)

    def __getitem__(self, index):
        anchor, positive, negative = self.indices(index)
        return self.images[anchor], self.images[positive], self.images[negative]


# %% [markdown]
# `positions_of_classes` lists where the pictures of each class are. `indices` is where the triplet
# is drawn: for the positive it takes a random number of steps from the anchor's own place among the
# pictures of its class, around the end and on, so it never comes back to the anchor. For the
# negative it draws the class first, then the picture.

# %% tags=["nbval-check-output"]
data = TripletDataset(catalog.train.images, catalog.train.labels, seed=0)
labels = catalog.train.labels
triplets = [data.indices(index) for index in range(500)]
print("positive has the anchor's class:", all(labels[a] == labels[p] for a, p, _ in triplets))
print("negative has another class:", all(labels[a] != labels[n] for a, _, n in triplets))
print("positive is never the anchor:", all(a != p for a, p, _ in triplets))
print("the same again:", triplets == [data.indices(index) for index in range(500)])

# %% tags=["hide-input"]
columns = list(zip(*triplets[:8], strict=True))
show(
    plots.picture_grid(catalog.train.images[torch.tensor(columns).flatten()], columns=8, width=8),
    alt="Three rows of eight pictures. In each column the first two are of one class, the third of "
    "another: "
    + "; ".join(
        f"{catalog.classes[labels[a]]} twice, then {catalog.classes[labels[n]]}"
        for a, _, n in triplets[:8]
    )
    + ".",
    caption="Eight random triplets, one a column: anchor, positive, negative. Most negatives are "
    "easy, and many positives look nothing like their anchor.",
)

# %% [markdown]
# ## The loss
#
# For each triplet, $\max(0,\; d(a, p) - d(a, n) + m)$: nothing to pay once the negative is farther
# than the positive by the margin $m$.


# %%
# the same code as fashionlib.triplets.triplet_losses, kept equal by a test
def triplet_losses(anchor, positive, negative, margin=1.0):
    near = F.pairwise_distance(anchor, positive)
    far = F.pairwise_distance(anchor, negative)
    return F.relu(near - far + margin)


# the same code as fashionlib.triplets.triplet_loss, kept equal by a test
def triplet_loss(anchor, positive, negative, margin=1.0):
    return triplet_losses(anchor, positive, negative, margin).mean()


# %% tags=["nbval-check-output"]
torch.manual_seed(0)
a, p, n = F.normalize(torch.randn(3, 32, 64), dim=2)
print(
    "equal to torch's:", torch.allclose(triplet_loss(a, p, n), nn.TripletMarginLoss(1.0)(a, p, n))
)
print(f"positive far, negative near: {triplet_loss(a, -a, a).item():.2f}")
print(f"positive near, negative far: {triplet_loss(a, a, -a).item():.2f}")

# %% [markdown]
# The last two lines show the ends of the scale: 3 at worst, 0 at best, for vectors of length 1. We
# keep all embeddings at that length (*L2-normalised*). Otherwise the network could make the loss
# small by making all vectors long, and a margin of 1 would mean something else every day.
#
# ## The Siamese network
#
# "Siamese" means: the *same* network, with the same weights, sees all three pictures.


# %%
# the same code as fashionlib.siamese.SiameseNetwork, kept equal by a test
class SiameseNetwork(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, anchor, positive, negative):
        return self.encoder(anchor), self.encoder(positive), self.encoder(negative)


# %% [markdown]
# The encoder is the backbone of a trained classifier with a new head: 64 numbers of length 1
# instead of seven logits. We train a small classifier first.

# %%
torch.manual_seed(0)
classifier = build_classifier("fashion", len(catalog.classes))
recipe = training.Recipe(epochs=budget(6, quick=1), size=SIZE, evaluation_size=SIZE)
classifier, history = training.train_classifier(classifier, catalog, recipe)
say(f"The classifier reaches {history[-1]['validation_accuracy']:.1%} on validation.")

# %% [markdown]
# Its backbone is **copied**: two networks that share one backbone object would both change when
# either is trained, without a word. The encoder also takes over how the classifier's pictures are
# prepared: their size belongs to the network.


# %%
# the same code as fashionlib.siamese.encoder_from, kept equal by a test
def encoder_from(classifier, dimensions=DIMENSIONS):
    backbone = copy.deepcopy(classifier.backbone)
    head = EmbeddingHead(backbone.features, dimensions)
    encoder = nn.Sequential(OrderedDict(backbone=backbone, head=head))
    encoder.preparation = classifier.preparation
    return encoder


# %% [markdown]
# ## The triplet step
#
# What the encoder is shown: a view, that is an augmented picture, of each of the three pictures of
# a triplet. What is made of them: three embeddings, and a loss.


# %%
# the same code as fashionlib.siamese.three_views, kept equal by a test
def three_views(data, chosen, recipe):
    columns = torch.tensor([data.indices(index) for index in chosen.tolist()]).T
    return (tuple(view(data.images[column], recipe) for column in columns),)


# the same code as fashionlib.siamese.random_triplets, kept equal by a test
def random_triplets(encoder, recipe, views):
    return [(triplet_losses(*SiameseNetwork(encoder)(*views), recipe.margin), 1.0)]


# %% [markdown]
# The steps themselves are taken by `train_epoch` of chapter 2, the very same function: only the
# batches and the loss are others. (`random_triplets` returns a list, since our own encoder will
# learn several things at once; the number beside the losses is the weight of this one.)

# %% tags=["nbval-check-output"]
encoder = encoder_from(classifier).to(pick_device())
one = SiameseRecipe("random", epochs=1, size=32, evaluation_size=32, batch_size=32)
before = predict(classifier, catalog.validation.images[:32])
batches = Batches(shuffled(320, one.batch_size), lambda chosen: three_views(data, chosen, one))


def loss_of(encoder, views):
    ((losses, _),) = random_triplets(encoder, one, views)
    return losses.mean()


state = encoder, copy.deepcopy(encoder), make_optimizer(encoder, one)
loss = training.train_epoch(*state, batches, loss_of, one, epoch=0)
print("ten steps; the loss is below 1, what equal embeddings cost:", loss < 1)
after = predict(classifier, catalog.validation.images[:32])
print("the classifier answers as before:", torch.equal(before, after))

# %% [markdown]
# ## The article's training, and what its loss proves
#
# Random triplets, margin 1, starting from the classifier. Beside the loss we watch two more
# things in every epoch: the share of **active** triplets (those that still break the margin;
# the others have no gradient), and what we really want, the **precision@5**: of the five
# training pictures nearest to a validation picture, how many are of its class?

# %%
base = SiameseRecipe("random", epochs=EPOCHS, size=SIZE, evaluation_size=SIZE)


def run(objective, start=classifier, seed=0, recipe=base, **changes):
    torch.manual_seed(seed)
    encoder = siamese.encoder_for(objective, catalog, start)
    return train_siamese(encoder, catalog, replace(recipe, objective=objective, **changes), seed)


runs = {"random triplets": run("random", batch_size=32)}
rows = runs["random triplets"][1]
table(
    ["epoch", "loss", "active", "precision@5"],
    [
        [r["epoch"], f"{r['loss']:.3f}", f"{r['active']:.0%}", f"{r['precision@5']:.3f}"]
        for r in rows
    ],
)

# %% tags=["hide-input"]
untrained = siamese.evaluate_encoder(encoder_from(classifier).to(pick_device()), catalog)
say(
    f"Over {len(rows)} epochs the loss goes from {rows[0]['loss']:.2f} to {rows[-1]['loss']:.2f}, "
    f"and in the last one {rows[-1]['active']:.0%} of the triplets still teach something. "
    f"Precision@5 goes from {rows[0]['precision@5']:.3f} to {rows[-1]['precision@5']:.3f}. With "
    "the classifier's backbone and a head that was never trained (a random projection) it is "
    "already "
    f"{untrained['precision@5']:.3f}."
)

# %% [markdown]
# Read the two columns side by side. The loss falls as more of the random triplets are solved, and
# for that it is enough to tell a shoe from a dress. Whether the hard neighbours are in order, it
# cannot say: they are rare among random triplets. **A small loss on easy triplets is not a good
# search.** Judge an encoder by retrieval.
#
# ## Collapse
#
# The loss can also fail in the other direction. If the encoder answers *the same vector for
# everything*, all distances are 0 and every triplet costs exactly the margin. We watch for it
# with the **spread**: 1 minus the length of the mean embedding. On the unit sphere it is 0 when
# all embeddings are one point.

# %% tags=["nbval-check-output"]
one_point = F.normalize(torch.ones(100, 64), dim=1)
everywhere = F.normalize(torch.randn(100_000, 64, generator=torch.manual_seed(0)), dim=1)
print(f"spread of one point: {siamese.spread(one_point):.2f}")
print(f"spread of all directions: {siamese.spread(everywhere):.2f}")
print(f"loss of a collapsed encoder: {triplet_loss(one_point, one_point, one_point).item():.2f}")

# %% [markdown]
# ## Better triplets
#
# *Mining* looks for the triplets that still teach. **Batch-hard** takes, for each anchor of a
# batch, the farthest positive and the nearest negative; **semi-hard** takes negatives that are
# farther than the positive, but not by the margin ([Schroff et al.,
# 2015](https://arxiv.org/abs/1503.03832)). Both come from pytorch-metric-learning, in a line each.
# Every picture is embedded once, not three times.

# %%
runs["semi-hard"] = run("semi-hard", margin=0.2)
runs["batch-hard"] = run("batch-hard", margin=0.3)
runs["batch-hard from scratch"] = run("batch-hard", start=None, margin=0.3)
runs["from scratch"] = run("all", start=None, margin=0.2)
print("trained:", ", ".join(runs))

# %% [markdown]
# The last two start from random weights instead of the classifier's: the same budget, without the
# transfer. One takes the hardest triplets, the other *all* that break a small margin.


# %%
def panels(histories, keys):
    figure, axes = plt.subplots(1, len(keys), figsize=(10, 3))
    for axis, key in zip(axes, keys, strict=True):
        for marker, (name, rows) in zip("osD^vP", histories.items(), strict=False):
            epochs, values = [r["epoch"] for r in rows], [r[key] for r in rows]
            axis.plot(epochs, values, marker=marker, ms=4, label=name)
        axis.set(xlabel="epoch", title=key)
    axes[0].legend(frameon=False, fontsize=8)
    return figure


histories = {name: history for name, (_, history) in runs.items()}
show(
    panels(histories, ["active", "spread", "precision@5"]),
    alt="Active triplets, spread and precision@5 over the epochs for five runs. In the last epoch: "
    + "; ".join(
        f"{name} active {h[-1]['active']:.0%}, spread {h[-1]['spread']:.2f}, "
        f"precision@5 {h[-1]['precision@5']:.2f}"
        for name, h in histories.items()
    )
    + ".",
    caption="Share of active triplets, spread of the embeddings, and precision@5 on validation. "
    "Mined triplets stay active. A spread near 0 is a collapse.",
)

# %% tags=["hide-input"]
hardest = {
    "from scratch": histories["batch-hard from scratch"],
    "from the classifier": histories["batch-hard"],
}
least = {start: min(row["spread"] for row in rows) for start, rows in hardest.items()}
told = [
    f"{start} the spread goes as low as {least[start]:.2f}, and precision@5 ends at "
    f"{rows[-1]['precision@5']:.2f}"
    for start, rows in hardest.items()
]
fallen = [start for start, spread in least.items() if spread < 0.15]
end = (
    f"A spread so near 0 is a collapse ({' and '.join(fallen)}): to a network that knows little, "
    "the hardest triplets are impossible, and pulling everything together is the cheapest answer."
    if fallen
    else "Neither has collapsed."
)
say(f"With the hardest triplets, {'; '.join(told)}. {end}")

# %% [markdown]
# ## What does the transfer save?
#
# The article says that starting from the classifier takes 15 epochs where starting from nothing
# takes about 30: half is saved. One run each, as above, cannot tell. So a script trained three
# seeds of each on the photos, from nothing also for twice as long; it takes about half an hour, so
# its results are kept with the book.

# %%
from fashionlib.pages.recorded_results import about, recorded

transfer = recorded("transfer")
seeds = [run["histories"] for run in transfer["runs"]]


def precisions(name):
    """Precision@5 in each epoch, one row a seed: float [seeds, epochs]."""
    return torch.tensor([[row["precision@5"] for row in run[name]] for run in seeds])


figure, axis = plt.subplots(figsize=(8, 3.4))
for style, name in zip(("-", "--", ":"), list(seeds[0])[1:], strict=True):
    values = precisions(name)
    epochs = range(1, values.shape[1] + 1)
    (line,) = axis.plot(epochs, values.mean(dim=0), style, label=name)
    low, high = values.min(dim=0).values, values.max(dim=0).values
    axis.fill_between(epochs, low, high, alpha=0.2, color=line.get_color())
axis.set(xlabel="epoch", ylabel="precision@5, validation")
axis.legend(frameon=False)
ends = {name: precisions(name)[:, -1] for name in list(seeds[0])[1:]}
show(
    figure,
    alt="Precision@5 over the epochs, mean of the seeds. At the end: "
    + "; ".join(f"{name} {float(values.mean()):.3f}" for name, values in ends.items())
    + ".",
    caption=f"Mean and range of {len(seeds)} seeds: see where each line starts, and where it ends. "
    f"Recorded: {about(transfer)}.",
)

# %% tags=["hide-input"]
moved, long = precisions("transfer").mean(dim=0), precisions("scratch, twice as long").mean(dim=0)
reached = (moved >= long.max()).nonzero()
first = int(reached[0]) + 1 if len(reached) else None
learned = len(seeds[0]["classifier"])
saved = "" if first is None else (
    f"That is {1 - first / len(long):.0%} of the epochs saved, if the classifier is there already. "
    f"It was not free: with its {learned} epochs counted, "
    f"{max(0, 1 - (learned + first) / len(long)):.0%}."
)  # fmt: skip
say(
    f"After {len(moved)} epochs with transfer precision@5 is {float(moved[-1]):.3f} on average; "
    f"from scratch it is {float(precisions('scratch').mean(dim=0)[-1]):.3f} after as many, and "
    f"{float(long[-1]):.3f} after twice as many. "
    + (
        f"Transfer passes the best of the long run in epoch {first}. "
        if first
        else "Transfer does not reach the best of the long run. "
    )
    + saved
)

# %% [markdown]
# ## Beyond the label
#
# Labels say *t-shirt*. They do not say *blue, striped*, and a classifier has every reason to forget
# it: a T-shirt is a T-shirt in any colour. But it cannot forget what it has not computed yet. So
# where in the network is the look?
#
# To answer that, somebody has to say how each picture looks. Of a drawn garment we know colour and
# pattern exactly. For the photos the book brings labels, one colour and one pattern a photo, as a
# shopper would name them. **An AI model gave them, and no person**; it looked at each photo under
# written rules (`fashionlib/catalog/photo_looks.md`). Validation and test photos were labelled
# twice, independently.

# %% tags=["hide-input"]
from fashionlib.catalog.photos import two_passes

say(
    "The two passes agree on the "
    + " and on the ".join(f"{look} of {share:.1%}" for look, share in two_passes().items())
    + " of the photos. Nothing can be expected to agree with the labels more often than that."
)

# %% [markdown]
# Now looks can be counted. Of the five nearest, how many have the query's class, its colour, its
# pattern, and all three? The last is what *looks like this one* means: **alike@5**. And since most
# clothes are plain, we count the pattern for **patterned** queries on their own.

# %%
from fashionlib.retrieval import agreement_at_k, labelled, ranking

train, queries = catalog.train, labelled(catalog.validation)
NAMES = {"category": "class", "colour": "colour", "pattern": "pattern"}
NAMES |= {"patterned": "pattern, if patterned", "alike": "alike"}


def looks(encoder):
    asked, known = (predict(encoder, split.images) for split in (queries, train))
    agreement = agreement_at_k(ranking(asked, known), queries, train, 5)
    return [f"{float(agreement[name].mean()):.3f}" for name in NAMES]


# %% [markdown]
# We search with the average of the feature maps at several depths:

# %%
from fashionlib.pages.depths import Features, UpTo

total = len(classifier.backbone.blocks)
header = [f"{name} @5" for name in NAMES.values()]
by_depth = {depth: UpTo(classifier, depth, train.images) for depth in (1, 3, 6, 9, total)}
depths = {depth: looks(encoder) for depth, encoder in by_depth.items()}
table(["blocks", *header], [[f"{depth} of {total}", *row] for depth, row in depths.items()])

# %% tags=["hide-input"]
peaks = {
    name: max(depths, key=lambda depth: float(depths[depth][column]))
    for column, name in enumerate(NAMES.values())
}
say(
    "Where each is found best: "
    + ", ".join(f"the {name} after {depth} of {total} blocks" for name, depth in peaks.items())
    + ". (The first of them is the stem.)"
)

# %% [markdown]
# The class is at the end, looks are spread over the network, and none of it is where the search
# needs it: in one vector, with each part as heavy as it should be. So our encoder has **parts**:
#
# - The *cut* is a direction, a linear layer on the pooled features, as before.
# - *Colour* and *pattern* are read from the last map of each size. Since the average over a whole
#   picture is half wall, the network first says *where to look*: a weight for each place, of sum 1.
#   Of each channel we take the mean under these weights, and the deviation, which tells stripes
#   from plain. A linear layer makes of it a probability for each colour and for each pattern.
# - The *category* is named as well: each class has a direction of its own, and the nearer the cut
#   is to it, the more probable the class.
# - Of probabilities the embedding gets the **square roots**. Probabilities have the sum 1, so their
#   roots have the length 1, as a direction has. Two pictures that are surely of one colour are at
#   distance 0, two of different colours at $\sqrt 2$, and a navy that may be black lies between.

# %%
source(LookEncoder.forward)

# %% [markdown]
# How is it trained? Where nobody has labelled looks, every photo still comes with one perfect
# example of what looks like it: itself. **Two views** of a picture, two crops with the same
# colours, one on another's edges so that the wall does not help, are anchor and positive ([Chen et
# al., 2020](https://arxiv.org/abs/2002.05709)); the negative is the *other picture of the same
# class* that looks most like the anchor.

# %%
source(siamese.two_view_triplets)

# %% [markdown]
# Where looks *are* labelled, there is something simpler than triplets. Each name gets a **proxy**,
# a point that stands for all pictures of that name, and each part of a picture is pulled to its own
# proxy and away from the others. The proxies are already there: they are the corners, where one
# probability is 1. Minus the logarithm of a probability, the cross-entropy of chapter 2, *is* such
# a pull: the cosine between a root and its corner is the root of the probability.

# %%
source(siamese.named_parts)

# %%
runs["two views"] = run("two-views")
short = replace(siamese.RECIPE, epochs=EPOCHS, size=SIZE, evaluation_size=SIZE)
runs["names"] = run("looks", recipe=short)
encoders = {name: encoder for name, (encoder, _) in runs.items()}
rows = {"features": looks(Features(classifier))}
rows |= {name: looks(encoder) for name, encoder in encoders.items()}
table(["encoder", *header], [[name, *row] for name, row in rows.items()])

# %% tags=["hide-input"]
last = list(NAMES).index("alike")
best = max(rows, key=lambda name: float(rows[name][last]))
say(
    f"All three are right for {rows['features'][last]} of the results of the classifier's "
    f"features, {rows['batch-hard'][last]} after batch-hard triplets of labels, "
    f"{rows['two views'][last]} after two views, {rows['names'][last]} after learning names. "
    f"Most have **{best}**, in these few epochs at {SIZE} pixels."
)

# %% [markdown]
# ## What looks cost, and what they bring
#
# The same question at full size, with the encoder that comes with the library. It learned names as
# above, for longer. On both catalogs the test pictures whose looks are labelled are searched among
# the training pictures. (Of the photos that is every second one; the labels of the others are held
# back, so that nobody can fit an encoder to them.)
#
# First in each table is what a random picture of the query's own class would have right, then what
# the best order could reach: some looks are too rare to be found five times. Intervals come from
# drawing the queries again and again; photos of one owner are alike, so they are a little too
# narrow.

# %%
from fashionlib.retrieval import resampled

measured = recorded("looks")
OURS, BEFORE = "our encoder", "our encoder until November 2026"


def values(catalog, row, name):
    """Of each query: which share of five results is right."""
    return torch.tensor(measured[catalog]["rows"][row][name]) / 5


def cell(catalog, row, name):
    score = resampled(values(catalog, row, name))
    return f"{score.mean:.3f} ({score.low:.3f}–{score.high:.3f})"


# %% tags=["hide-input"]
for name, part in (("photos", measured["photos"]), ("drawn", measured["drawn"])):
    say(f"**{name}**, {len(part['rows'][OURS]['category'])} queries")
    table(
        ["encoder", *header],
        [[row, *(cell(name, row, each) for each in NAMES)] for row in part["rows"]],
    )
say(f"Recorded: {about(measured)}.")


# %% tags=["hide-input"]
def difference(row, other, name, catalog="photos"):
    """Of the same queries, so what is hard for both does not count."""
    return resampled(values(catalog, row, name) - values(catalog, other, name))


def signed(score):
    return f"{score.mean:+.3f} ({score.low:+.3f} to {score.high:+.3f})"


def verdict(score, more, less, same):
    return more if score.low > 0 else less if score.high < 0 else same


features = "classifier features"
by_triplets = difference("batch-hard triplets", features, "category")
cost, gain = difference(OURS, features, "category"), difference(OURS, features, "alike")
say(
    "Measured on the photos, query by query. **What triplets of labels buy**: "
    f"{signed(by_triplets)} in class over the features they start from"
    + verdict(by_triplets, ", a gain", ", a loss", ", which is nothing that can be told from noise")
    + f". **What looks cost**: our encoder has {signed(cost)} in class"
    + verdict(cost, ", so it even gains", ", a loss", ", no loss that can be told from noise")
    + f". **What they bring**: {signed(gain)} in all three."
)

# %% [markdown]
# ### Where does it look?
#
# The attention starts as a fixed window, brightest in the middle, since garments are photographed
# there. What has it learned besides? Below, the window alone, and what a few epochs made of it:

# %%
look_encoder = encoders["names"].cpu().eval()
shown = queries.images[torch.linspace(0, len(queries) - 1, 8).long()]
with torch.inference_mode():
    attention = look_encoder.attention(look_encoder.maps(to_input(shown, SIZE)))
height, width = attention.shape[2:]
prior = (hann(height)[:, None] * hann(width)).expand_as(attention)


def lit(weights):
    """The pictures as bright as they are attended to."""
    weights = F.interpolate(weights, shown.shape[2:], mode="bilinear")
    return (shown * (weights / weights.amax(dim=(2, 3), keepdim=True)) ** 0.7).byte()


moved = 0.5 * float((attention - prior).abs().sum(dim=(1, 2, 3)).mean())
show(
    plots.picture_grid(torch.cat([shown, lit(prior), lit(attention)]), columns=8, width=9),
    alt="Eight pictures in three rows: as they are, under the fixed window, and under what was "
    f"learned. On average {moved:.0%} of the attention has moved away from the window.",
    caption="Above: pictures. Middle: the fixed window alone, the same for all. Below: the learned "
    "attention. Compare the last two rows: only their difference was learned.",
)

# %% [markdown]
# ### This cut, in that look
#
# Parts that are kept apart can be asked for apart: *this dress, in the stripes of that shirt*. A
# query takes its category from one embedding and its look from another, with a weight for the look.

# %%
source(LookEncoder.blended)

# %% [markdown]
# We pair each test picture with another of a different class, colour and pattern, where at least
# five garments like the wanted one exist, and count among the five nearest. The baseline is the
# mean of both embeddings.

# %% tags=["hide-input"]
wanted = {"category": "the first's class", "colour": "the second's colour"}
wanted |= {"category and colour": "both of these", "pattern": "the second's pattern"}
wanted |= {"alike": "all three"}
rows = []
for catalog_name in ("photos", "drawn"):
    for row, found in measured[catalog_name]["two pictures"].items():
        scores = [resampled(torch.tensor(found[name]) / 5) for name in wanted]
        rows.append(
            [catalog_name, row, scores[0].queries, *(f"{score.mean:.3f}" for score in scores)]
        )
table(["catalog", "query", "pairs", *wanted.values()], rows)

# %% [markdown]
# ### What a network forgets
#
# The field's standard test asks for classes that were never trained. The article leaves out three
# of the dataset's ten: outwear, shirt and skirt. Their test photos are the queries, in a gallery of
# all ten classes.

# %% tags=["hide-input"]
forgotten = measured["photos"]["unseen"]
table(
    ["class", "queries", *next(iter(forgotten.values()))],
    [
        [name, len(row[OURS]), *(f"{sum(found) / 5 / len(found):.3f}" for found in row.values())]
        for name, row in forgotten.items()
    ],
)
ours, theirs = (
    torch.tensor([count for row in forgotten.values() for count in row[name]]) / 5
    for name in (OURS, features)
)
lost = resampled(ours - theirs)
say(
    f"Precision@5 of our encoder is {signed(lost)} against the features it was made from. "
    + verdict(
        lost,
        "It lost nothing of what it needs for new classes.",
        "What does not help to tell the seven apart was thrown away: an encoder is made for the "
        "classes it has seen. A shop that adds skirts trains it again.",
        "That is too little to tell from noise.",
    )
)

# %% [markdown]
# ## Frozen is not still
#
# A last trap. To train only the head, people freeze the backbone by switching off its gradients.
# But batch normalisation also keeps running statistics, and those move whenever the network is in
# training mode, gradient or not.

# %% tags=["nbval-check-output"]
encoder = encoder_from(classifier).cpu()
encoder.backbone.requires_grad_(False)
norm = next(part for part in encoder.backbone.modules() if isinstance(part, nn.BatchNorm2d))
for still in (False, True):
    encoder.train()
    if still:
        encoder.backbone.eval()
    before = norm.running_mean.clone()
    encoder(torch.randn(8, 3, 32, 32))
    moved = not torch.equal(before, norm.running_mean)
    print(f"backbone.eval(): {still!s:5}  statistics moved: {moved}")

# %% [markdown]
# ## What you have learned
#
# - A triplet asks for an order, not for a distance; L2-normalised embeddings give the margin a
#   meaning.
# - A falling triplet loss on random triplets says little. Watch the active share, the spread, and
#   above all retrieval.
# - Mining keeps triplets useful. Transfer gives a head start; how much, you measure.
# - Deep layers know the category; colour and pattern are spread over the network. Give each a part
#   of the embedding, and read it where it is.
# - Labels of the category teach no look. Two views of a picture may, and names of looks; measure
#   both.
# - Count what you promise. A measure that is easy to compute may be easy to win for nothing.
# - Copy a backbone before you train it again, and put a frozen one into evaluation mode.
#
# ## Questions
#
# **1.** Your triplet loss stays exactly at the margin from the first step on. What happened?
#
# <details class="answer"><summary>Answer</summary>
#
# All distances are equal, most likely 0: the encoder has collapsed to one point. Look at the
# spread: `siamese.spread(predict(encoder, catalog.validation.images))`.
#
# </details>
#
# **2.** Why must the two views of a picture keep its colours?
#
# <details class="answer"><summary>Answer</summary>
#
# They are said to look alike. If one of them were recoloured, the encoder would learn that
# colour does not matter, the opposite of what a search for looks needs.
#
# </details>
#
# **3.** The loss of random triplets is near 0 but precision@5 is poor. Which triplets are missing?
#
# <details class="answer"><summary>Answer</summary>
#
# The hard ones: negatives that lie closer than some positives. They are rare among random
# draws, and mining looks for them.
#
# </details>
#
# **4.** A colleague trains only a new head on a frozen backbone. No weight of the backbone has a
# gradient, yet the old head's answers change from epoch to epoch. How?
#
# <details class="answer"><summary>Answer</summary>
#
# Both heads share the backbone, and its running statistics move with every batch that it sees in
# training mode. Call `encoder.backbone.eval()` after each `encoder.train()`, and compare
# `norm.running_mean` before and after, as in the last cell.
#
# </details>
