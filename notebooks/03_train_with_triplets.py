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
# A classifier answers *what is it?* A search answers *what is it like?* For that we need an
# **encoder**: a network that turns a picture into a short vector, its *embedding*, so that
# pictures that are alike get vectors that are close.
#
# The article trains its encoder with **triplets** ([Schroff et al.,
# 2015](https://arxiv.org/abs/1503.03832)): an *anchor*, a *positive* of the same class and a
# *negative* of another. The anchor is to be closer to the positive than to the negative. In this
# chapter you write that training: the data set, the encoder, the step. Then you see what its
# falling loss proves, and teach the encoder what no class says: how a garment *looks*.

# %% tags=["hide-input"]
import copy
from collections import OrderedDict
from dataclasses import replace
from itertools import islice

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from fashionlib import siamese
from fashionlib.catalog import load_catalog
from fashionlib.heads import DIMENSIONS, EmbeddingHead
from fashionlib.inference import pick_device, predict
from fashionlib.pages import plots
from fashionlib.pages.show import say, show, source, table
from fashionlib.retrieval import evaluate_retrieval, labelled, resampled
from fashionlib.settings import budget
from fashionlib.siamese import SiameseRecipe, train_siamese, view
from fashionlib.training import make_optimizer
from fashionlib.transforms import Preparation, to_input
from fashionlib.triplets import positions_of_classes
from fashionlib.weights import load_classifier, load_encoder, shipped

plt.style.use("fashionlib.pages.book")

# %%
catalog = load_catalog(few=budget(False, quick=True))
print(catalog.about)
some = torch.arange(0, len(catalog.train), budget(4, quick=1))
catalog = replace(catalog, train=catalog.train.at(some))
train, queries = catalog.train, labelled(catalog.validation)
SIZE, LARGER = budget((96, 112), quick=(32, 40))
say(
    f"We train with {len(train)} pictures at {SIZE} pixels, so that a training takes "
    f"seconds, and search them with {len(queries)} validation pictures. What needs all "
    "pictures and many epochs was recorded, and says so."
)

# %% [markdown]
# ## A data set of triplets
#
# To draw a triplet, labels are enough: no picture has to be decoded. Three details matter.
#
# - The positive must not be the anchor itself: two crops of one picture say nothing of what a
#   class has in common. (The article's `random.choice` among the class can draw the anchor.)
# - A class with a single picture has no positive, and the data set says so.
# - The draw depends on the seed, the epoch and the index alone, so it is the same with any number
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
# For the positive, `indices` takes a random number of steps through the pictures of the anchor's
# class, too few to come round to the anchor again. For the negative it draws the class first, then
# the picture, so that a large class comes no more often than a small one.

# %% tags=["nbval-check-output"]
data = TripletDataset(train.images, train.labels, seed=0)
labels = train.labels
triplets = torch.tensor([data.indices(index) for index in range(len(data))])
again = torch.tensor([data.indices(index) for index in range(len(data))])
a, p, n = triplets.T
print("positive has the anchor's class:", bool((labels[a] == labels[p]).all()))
print("negative has another class:", bool((labels[a] != labels[n]).all()))
print("positive is never the anchor:", bool((a != p).all()))
print("the same again:", torch.equal(triplets, again))

# %% tags=["hide-input"]
drawn = triplets[:: len(triplets) // 8][:8].T
names = [[catalog.classes[labels[n]] for n in row] for row in drawn]
show(
    plots.picture_grid(train.images[drawn.flatten()], columns=8, width=8),
    alt="Three rows of eight pictures. In each column the first two are of one class, the third of "
    "another: " + "; ".join(f"{a} twice, then {n}" for a, _, n in zip(*names, strict=True)) + ".",
    caption="Eight triplets, one a column: anchor, positive, negative. Most negatives are easy, "
    "and many positives look nothing like their anchor.",
)

# %% [markdown]
# ## The loss
#
# A triplet costs $\max(0,\; d(a, p) - d(a, n) + m)$: nothing, once the negative is farther than
# the positive by the margin $m$.


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
theirs = nn.TripletMarginLoss(margin=1.0)(a, p, n)
print("equal to torch's:", torch.allclose(triplet_loss(a, p, n), theirs))
print(f"positive far, negative near: {triplet_loss(a, -a, a).item():.2f}")
print(f"positive near, negative far: {triplet_loss(a, a, -a).item():.2f}")
squares, cosines = ((a - p) ** 2).sum(dim=1), (a * p).sum(dim=1)
print("d² = 2 − 2 cos:", torch.allclose(squares, 2 - 2 * cosines, atol=1e-5))

# %% [markdown]
# Our embeddings have length 1 (they are *L2-normalised*). Otherwise the network could change the
# loss by making all vectors longer or shorter, and a margin of 1 would have no fixed meaning. At
# length 1 distances go from 0 to 2, and $d^2 = 2 - 2\cos$: a search by distance and a search by
# cosine give the same order.
#
# ## Swap a head: from the classifier to the encoder
#
# The encoder is the backbone of a trained classifier with another head: a linear layer, then length
# 1. We start with the classifier that comes with the book.

# %% tags=["nbval-check-output"]
classifier, _ = load_classifier(shipped(f"classifier_{catalog.name}"))
classifier.preparation = Preparation(LARGER)
pooled = classifier.backbone(to_input(queries.images[:4], LARGER))
new_head = EmbeddingHead(classifier.backbone.features, DIMENSIONS)
heads = {"classifier": classifier.head, "encoder": new_head}
for name, head in heads.items():
    print(f"{name}: {tuple(pooled.shape)} to {tuple(head(pooled).shape)}")

# %% [markdown]
# The same features feed both heads. ([Chapter 7](07_detection_head.ipynb) has a third, for boxes.)
# To be trained, the encoder needs a **copy** of the backbone. Two networks that share one backbone
# object both change when either is trained, and no warning says so.


# %%
# the same code as fashionlib.siamese.encoder_from, kept equal by a test
def encoder_from(classifier, dimensions=DIMENSIONS):
    backbone = copy.deepcopy(classifier.backbone)
    head = EmbeddingHead(backbone.features, dimensions)
    encoder = nn.Sequential(OrderedDict(backbone=backbone, head=head))
    encoder.preparation = classifier.preparation
    return encoder


# %% [markdown]
# ## The training step
#
# "Siamese" means: the *same* network, with the same weights, sees all three pictures. Each is shown
# as a `view`: a random crop, perhaps mirrored. The step embeds the three views, takes the loss, and
# moves the weights.


# %%
# the same code as fashionlib.siamese.SiameseNetwork, kept equal by a test
class SiameseNetwork(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, anchor, positive, negative):
        return self.encoder(anchor), self.encoder(positive), self.encoder(negative)


def triplet_step(network, optimizer, pictures, recipe):
    views = [view(each, recipe) for each in pictures]
    loss = triplet_loss(*network(*views), recipe.margin)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


# %% tags=["nbval-check-output"]
base = SiameseRecipe("random", epochs=2, size=SIZE, evaluation_size=LARGER)
before = predict(classifier, queries.images[:32])
torch.manual_seed(0)
network = SiameseNetwork(encoder_from(classifier)).to(pick_device()).train()
optimizer = make_optimizer(network, base)
loader = DataLoader(data, batch_size=32, shuffle=True)
for pictures in islice(loader, 4):
    loss = triplet_step(network, optimizer, pictures, base)
print("below 1, what equal embeddings cost:", loss < 1)
after = predict(classifier, queries.images[:32])
print("the classifier answers as before:", torch.equal(before, after))

# %% [markdown]
# These are the steps of the article's training. But the loop that it prints has no
# `optimizer.zero_grad()` (the longer text in its repository has it): the gradients of all earlier
# batches would be added to each new one, and no error message would say so. `train_siamese` takes
# our steps and adds what chapter 2 has: a learning rate that rises and falls, averaged weights,
# figures after each epoch. With random triplets each picture is the anchor once an epoch.
#
# ## What a falling loss proves
#
# The article reports a loss that falls from 0.82 to 0.09 in 15 epochs. We recorded three such
# trainings of its network on all photos, with our optimiser and our crops: with the article's
# margin and vectors of any length; with vectors of length 1; and with a smaller margin. ([Chapter
# 5](05_every_number.ipynb) trains the article's own block, with all its ReLUs, on one shared
# backbone.) Beside the loss stand the share of **active** triplets (those that still cost
# something; the others have no gradient) and what we really want, the **precision@5**: of the five
# training pictures nearest to a validation picture, how many are of its class?
#
# **Before you run it:** the loss falls in each row. Will the precision rise as well?
#
# <details class="answer"><summary>Answer</summary>
#
# It need not. The loss asks every negative to be far away. It also falls when shoes and dresses,
# which were apart already, move farther apart, and that changes no list of five nearest pictures.
#
# </details>

# %% tags=["hide-input"]
from fashionlib.pages.recorded_results import about, recorded

article = recorded("article")


def mean_at(name, key, epoch):
    values = [run["triplets"][name][epoch][key] for run in article["runs"]]
    return sum(values) / len(values)


keys = ("loss", "active", "precision@5")
ends = {
    name: [(mean_at(name, key, 0), mean_at(name, key, -1)) for key in keys]
    for name in article["runs"][0]["triplets"]
}
table(
    ["first to last epoch", *keys],
    [
        [name, *(f"{first:.3f} to {last:.3f}" for first, last in row)]
        for name, row in ends.items()
    ],
)  # fmt: skip
fall = max(1 - row[0][1] / row[0][0] for row in ends.values())
gain = max(row[2][1] - row[2][0] for row in ends.values())
letter = [
    run["triplets"] for run in recorded("as_printed")["runs"] if run["network"] == "to the letter"
]
changes = [epochs[-1]["precision@5"] - epochs[0]["precision@5"] for epochs in letter]
say(
    f"From the first epoch to the last the loss falls by up to {fall:.0%}, and the precision "
    f"changes by {gain:+.3f} at best. "
    + ("**The loss fell and the search got no better.** " if gain <= 0 else "")
    + f"Means of {len(article['runs'])} seeds. Recorded: {about(article)}. With the article's own "
    "block and one shared backbone, as in chapter 5, the loss falls too, and there the precision "
    f"changes by {sum(changes) / len(changes):+.3f}. The loss alone does not tell which it will be."
)

# %% [markdown]
# Now from our classifier, which knows more. Before and after we measure the same: the loss of the
# triplets drawn above, and the search. (The training draws these very triplets, since its seed and
# its epoch are the same. So this is a loss on what was learned from.)


# %%
def judged(asked, known):
    cost = triplet_losses(*(known[each] for each in triplets.T))
    right = evaluate_retrieval(asked, queries.labels, known, train.labels)
    return {"loss": cost, "active": (cost > 0).float(), **right}


def measures(encoder):
    return judged(predict(encoder, queries.images), predict(encoder, train.images))


def run(objective, **changes):
    torch.manual_seed(0)
    encoder = siamese.encoder_for(objective, catalog, classifier)
    recipe = replace(base, objective=objective, **changes)
    return measures(train_siamese(encoder, catalog, recipe)[0])


# %%
torch.manual_seed(0)
untrained = encoder_from(classifier).to(pick_device())
found = {"head not trained": measures(untrained)}
found["random triplets"] = run("random", batch_size=32, epochs=1)
table(
    ["encoder", *keys],
    [[name, *(f"{float(f[key].mean()):.3f}" for key in keys)] for name, f in found.items()],
)


# %% tags=["hide-input"]
def signed(values):
    """A mean difference and its interval."""
    score = resampled(values)
    return f"{score.mean:+.3f} ({score.low:+.3f} to {score.high:+.3f})"


def verdict(values, more, less, same):
    score = resampled(values)
    return more if score.low > 0 else less if score.high < 0 else same


before, after = found.values()
fall = 1 - float(after["loss"].mean() / before["loss"].mean())
gained = after["precision@5"] - before["precision@5"]
say(
    f"{'The loss is lower by' if fall > 0 else 'The loss has not fallen; the change is'} "
    f"{abs(fall):.0%}. Precision@5 changes by {signed(gained)}"
    + verdict(gained, ", a gain", ", a loss", ", too little to tell from noise")
    + ". The head of the first row has random weights: whatever it finds was already in the "
    "classifier's features."
)

# %% [markdown]
# **A falling loss is no proof of a better search.** Judge an encoder by retrieval.
#
# The brackets hold a 95 % interval. The Wilson interval of
# [chapter 2](02_train_a_classifier.ipynb) is for shares of pictures that are right or wrong.
# Precision@5 is no such share. So we draw the queries again and again, with replacement, and see
# how far the mean moves (a *bootstrap*). Both encoders answered the *same* queries, so we take
# differences query by query: what is hard for both cancels out.
#
# ## Collapse
#
# If an encoder gives *every picture the same vector*, it has **collapsed**, and each triplet costs
# exactly the margin. The **spread** is meant to warn of that: 1 minus the length of the mean
# embedding, so 0 when all are one point. Here are embeddings that work, the same pushed far to one
# side, and a real collapse.

# %%
asked = predict(untrained, queries.images)
known = predict(untrained, train.images)
aside = 9 * F.one_hot(torch.tensor(0), DIMENSIONS)
states = {
    "from the classifier": (asked, known),
    "the same, pushed aside": [F.normalize(e + aside, dim=1) for e in (asked, known)],
    "one point": [torch.full_like(e, DIMENSIONS**-0.5) for e in (asked, known)],
}
keys = "loss", "precision@5"
rows = []
for name, (first, second) in states.items():
    values = judged(first, second)
    means = [f"{float(values[key].mean()):.3f}" for key in keys]
    rows.append([name, f"{siamese.spread(second):.3f}", *means])
table(["embeddings", "spread", *keys], rows)

# %% [markdown]
# Pushed aside, the embeddings have hardly any spread, but nearly the same order: the search still
# works. A collapse is low spread *and* the precision of chance.
#
# ## Mining: choose the triplets
#
# *Mining* looks for triplets that still teach. **Semi-hard** ones ([Schroff et al.,
# 2015](https://arxiv.org/abs/1503.03832)) have a negative that is farther than the positive, but by
# less than the margin. **Batch-hard** ([Hermans et al., 2017](https://arxiv.org/abs/1703.07737))
# takes, for each anchor of a batch, the farthest positive and the nearest negative. You write both
# in [exercise 5](exercises/5_hard_negatives.ipynb); here they come from pytorch-metric-learning.

# %%
from pytorch_metric_learning.miners import BatchHardMiner, TripletMarginMiner

torch.manual_seed(0)
batch = next(siamese.balanced_batches(train.labels, 56))
embedded, labels = known[batch], train.labels[batch]
drawn = TripletDataset(embedded, labels)
mined = {
    "random": torch.tensor([drawn.indices(n) for n in range(len(batch))]).T,
    "semi-hard": TripletMarginMiner(0.2, "semihard")(embedded, labels),
    "batch-hard": BatchHardMiner()(embedded, labels),
}
rows = []
for name, (a, p, n) in mined.items():
    cost = triplet_losses(embedded[a], embedded[p], embedded[n], margin=0.2)
    rows.append([name, len(a), f"{cost.mean():.3f}", f"{siamese.active_share(cost):.0%}"])
table(["of one batch", "triplets", "mean loss", "active"], rows)

# %% [markdown]
# Semi-hard triplets are all active, because they were chosen so. Batch-hard ones need not be: where
# their active share falls, the training has learned something. The loss of mined triplets cannot be
# compared with that of random ones.
#
# Mined triplets get two epochs here, in batches of 56 pictures, where the random ones had one epoch
# in batches of 32 anchors: about as many steps. Each miner has a margin that suits it. The batches
# are *balanced*, with equally many pictures of each class: in an epoch a picture of a small class
# may come twice, and one of a large class not at all.
#
# **Before you run it:** which will be best, random, semi-hard or batch-hard?
#
# <details class="answer"><summary>Answer</summary>
#
# Perhaps none: look at the intervals before you name a winner. Trained under equal conditions, most
# losses and miners differ little ([Musgrave et al., 2020](https://arxiv.org/abs/2003.08505)).
#
# </details>

# %%
found["semi-hard triplets"] = run("semi-hard", margin=0.2)
found["batch-hard triplets"] = run("batch-hard", margin=0.3)
columns = {"precision@5": "P@5", "hit@5": "Recall@5", "mAP": "mAP"}
table(
    ["encoder", *columns.values()],
    [
        [name, *(f"{float(f[key].mean()):.3f}" for key in columns)]
        for name, f in found.items()
    ],
)  # fmt: skip

# %% tags=["hide-input"]
gains = {
    (name, key): found[name][key] - found["random triplets"][key]
    for name in ("semi-hard triplets", "batch-hard triplets")
    for key in ("precision@5", "mAP")
}
told = [
    f"{name} {signed(gain)} in {columns[key]}"
    + verdict(gain, " (better)", " (worse)", " (not to be told apart)")
    for (name, key), gain in gains.items()
]
say(
    f"Against random triplets: {'; '.join(told)}. The intervals tell how much the choice of "
    "queries matters, not what another seed would have given: this is one run each."
)

# %% [markdown]
# *Recall@5*, as papers on metric learning use the word, is the share of queries with *at least one*
# right picture among five: kinder than precision@5. *mAP* looks at the whole order.
#
# From random weights the hardest triplets are a risk. The authors of FaceNet saw the very hardest
# negatives collapse a network early on, and took semi-hard ones for that reason.
#
# ### Losses without triplets
#
# A triplet has one negative. **InfoNCE** ([van den Oord et al.,
# 2018](https://arxiv.org/abs/1807.03748)) takes *all* others of the batch at once, in a softmax.
# **Proxy losses** ([Movshovitz-Attias et al., 2017](https://arxiv.org/abs/1703.07464)) compare with
# one learned point for each class, so nothing has to be mined. [Exercise
# 3](exercises/3_other_losses.ipynb) builds two relatives of these, and our own encoder, below,
# learns from proxies.
#
# ## What does the transfer save?
#
# The article says: 15 epochs from the classifier instead of about 30 from nothing, so half is
# saved. A script trained three seeds of each on all photos: our network, on small pictures, with
# all triplets of a batch that break the margin. (The article's random triplets came above.)

# %% tags=["hide-input"]
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
last = {name: precisions(name)[:, -1] for name in list(seeds[0])[1:]}
show(
    figure,
    alt="Precision@5 over the epochs, mean of the seeds. At the end: "
    + "; ".join(f"{name} {float(values.mean()):.3f}" for name, values in last.items())
    + ".",
    caption=f"Mean and range of {len(seeds)} seeds. (A range of so few is no interval.) See where "
    f"each line starts, and where it ends. Recorded: {about(transfer)}.",
)
# %% tags=["hide-input"]
moved, long = precisions("transfer").mean(dim=0), precisions("scratch, twice as long").mean(dim=0)
reached = (moved >= long.max()).nonzero()
first = int(reached[0]) + 1 if len(reached) else None
learned = len(seeds[0]["classifier"])
if first is None:
    say("Transfer does not reach the best of the long run from scratch.")
else:
    say(
        f"Transfer is past the best of the long run in epoch {first} of {len(long)}: "
        f"{1 - first / len(long):.0%} of the epochs are saved, if the classifier is there already. "
        f"With the classifier's own {learned} epochs counted it is "
        f"{max(0, 1 - (learned + first) / len(long)):.0%}. And it ends higher: "
        f"{float(moved[-1]):.3f} against {float(long[-1]):.3f}."
        if moved[-1] > long[-1]
        else f"Transfer is past the long run's best in epoch {first}, but ends no higher."
    )

# %% [markdown]
# ## Beyond the label
#
# Labels say *t-shirt*. They do not say *blue, striped*, and a classifier has good reason to forget
# that: a T-shirt is a T-shirt in any colour. Where in the network is the look?
#
# Of a drawn garment we know colour and pattern. The photos have labels, one colour and one
# pattern each, as a shopper would name them. **An AI model gave them, and no person**, under
# written rules (`fashionlib/catalog/photo_looks.md`).

# %% tags=["hide-input"]
from fashionlib.catalog.photos import two_passes

say(
    "Two independent passes agree on the "
    + " and on the ".join(f"{look} of {share:.1%}" for look, share in two_passes().items())
    + " of the validation and test photos; the training photos were labelled only once. Where two "
    "passes disagree, the label is a matter of opinion, so no search can be right by all of them."
)

# %% [markdown]
# Of the five nearest, how many have the query's class, its colour, its pattern, and all three,
# **alike@5**? Many clothes are plain, so a plain query is often answered right by chance. So we
# also count the pattern for **patterned** queries alone.
# We cut the classifier off at several depths and search with the average of its maps there. The
# *stem* is the first convolution; after it come the blocks of chapter 1.
#
# **Before you run it:** which depth finds the colour best?
#
# <details class="answer"><summary>Answer</summary>
#
# The stem is a good guess, since it still sees the pixels. But an average over a picture is half
# wall, and filters of an early block may know more. See how far apart the first rows are.
#
# </details>

# %%
from fashionlib.pages.depths import Features, UpTo
from fashionlib.retrieval import agreement_at_k, ranking

NAMES = {"category": "class", "colour": "colour", "pattern": "pattern"}
NAMES |= {"patterned": "pattern, if patterned", "alike": "alike"}
header = [f"{name} @5" for name in NAMES.values()]


def looks(encoder):
    asked, known = (predict(encoder, split.images) for split in (queries, train))
    return agreement_at_k(ranking(asked, known), queries, train, 5)


def mean_looks(values):
    return [f"{float(values[name].mean()):.3f}" for name in NAMES]


# %%
last = len(classifier.backbone.blocks) - 1  # the stem is number 0
depths = {0: "the stem", 2: "block 2", 5: "block 5", last: f"block {last}, the last"}
sample = train.images[::4]  # to bring all channels to one size
by_depth = {
    name: looks(UpTo(classifier, depth + 1, sample)) for depth, name in depths.items()
}  # fmt: skip
table(["up to", *header], [[name, *mean_looks(values)] for name, values in by_depth.items()])

# %% tags=["hide-input"]
peaks = {
    look: max(by_depth, key=lambda name: float(by_depth[name][look].mean())) for look in NAMES
}  # fmt: skip
best, stem, deep = (
    by_depth[name]["colour"] for name in (peaks["colour"], "the stem", depths[last])
)  # fmt: skip
say(
    "Best: "
    + "; ".join(f"{shown}: {peaks[look]}" for look, shown in NAMES.items())
    + f". The colour from {peaks['colour']} to the last block: "
    f"{signed(deep - best)}{verdict(deep - best, '', ', a loss', ', perhaps by chance')}"
    + (
        f"; from there back to the stem: {signed(stem - best)}"
        + verdict(stem - best, "", ", a loss too", ", perhaps by chance")
        if peaks["colour"] != "the stem"
        else ""
    )
    + "."
)

# %% [markdown]
# A search needs class and look in one vector. So our encoder has **parts**:
#
# - *Cut*: a linear layer on the pooled features, as before.
# - *Colour* and *pattern*: from the last map of each size. Half of a picture is wall, so the
#   network first says *where to look*, with a weight for each place. Of each channel it takes the
#   mean under these weights, and the deviation, which tells stripes from plain. A linear layer
#   turns these into a probability for each colour and each pattern.
# - *Category*: each class has a direction, and the nearer the cut is to it, the more probable the
#   class.
#
# Probabilities have the sum 1, so their **square roots** are vectors of length 1. Two pictures
# surely of one colour are at distance 0, two of different colours at $\sqrt 2$, and a navy that
# may be black lies between.

# %%
from fashionlib.look_encoder import LOOK_SHARE, LookEncoder, hann

source(LookEncoder.forward)

# %% [markdown]
# In this code `SHARES` are fixed numbers: how much each part counts in a squared distance. `root`
# takes the square roots of probabilities. A cosine is at most 1, too small for a sure answer, so
# `SHARPNESS` multiplies it. `self.proxies` are the learned directions of the classes.
#
# The training needs no triplets. Each name has a point that stands for all its pictures, a
# **proxy**: here the corner where its probability is 1. A corner stays where it is, and the network
# learns to bring pictures there. (`self.proxies`, above, is another kind: directions that are
# learned, one for each class.) Cross-entropy, as in chapter 2, pulls each part to its own corner
# and away from the others.

# %%
source(siamese.named_parts)
short = replace(siamese.RECIPE, epochs=2, size=SIZE, evaluation_size=LARGER)
torch.manual_seed(0)
named, _ = train_siamese(siamese.encoder_for("looks", catalog, classifier), catalog, short)
features, learned = looks(Features(classifier)), looks(named)
rows = {"classifier features": features, "two epochs of names": learned}
table(["encoder", *header], [[name, *mean_looks(values)] for name, values in rows.items()])
say(f"The change of alike@5 is {signed(learned['alike'] - features['alike'])}.")

# %% [markdown]
# Where nobody has labelled looks, every picture still has one perfect match: itself. **Two views**,
# crops with the same colours, become anchor and positive ([Chen et al.,
# 2020](https://arxiv.org/abs/2002.05709)); the most similar other picture of the class is the
# negative.
#
# ## What looks cost, and what they bring
#
# Now we count the same for the encoder that comes with the library. It learned names for longer,
# from all pictures, and larger ones. The rows of triplets and of two views were trained for fewer
# epochs and on smaller pictures than ours. So compare them with the classifier's features, where
# all of them start, and not with ours. The queries are *test* pictures with labelled looks, every
# second one of the photos. We chose with validation pictures. But these test pictures were looked
# at more than once: we saw figures of earlier encoders while we developed ours.
#
# The first two rows are a random picture of the query's class, and the best possible order: some
# looks are too rare to be found five times. The test photos come from few people, and photos of
# one person are alike: for other people's clothes the intervals are too narrow.

# %% tags=["hide-input"]
measured = recorded("looks")
OURS, FEATURES = "our encoder", "classifier features"
SHOWN = ["chance in the class", "best possible", "untrained network", FEATURES]
SHOWN += ["batch-hard triplets", "two views", OURS]


def values(catalog, row, name):
    """Of each query: which share of five results is right."""
    return torch.tensor(measured[catalog]["rows"][row][name]) / 5


def cell(catalog, row, name):
    score = resampled(values(catalog, row, name))
    return f"{score.mean:.3f} ({score.low:.3f}–{score.high:.3f})"


for name in ("photos", "drawn"):
    say(f"**{name}**, {len(values(name, OURS, 'category'))} queries")
    rows = [[row, *(cell(name, row, each) for each in NAMES)] for row in SHOWN]
    table(["encoder", *header], rows)
say(f"Recorded: {about(measured)}.")


# %% tags=["hide-input"]
def against_features(row, name):
    return values("photos", row, name) - values("photos", FEATURES, name)


by_triplets = against_features("batch-hard triplets", "category")
cost, gain = against_features(OURS, "category"), against_features(OURS, "alike")
say(
    "On the photos, query by query, against the features that all of them start from. "
    f"**Triplets of labels** change the share of the right class by {signed(by_triplets)}"
    + verdict(by_triplets, ", a gain", ", a loss", ", nothing that can be told from noise")
    + f". **Our encoder** changes the share of the right class by {signed(cost)}"
    + verdict(cost, ", a gain too", ", a loss", ", no loss that can be told from noise")
    + f", and the share with class, colour and pattern right by {signed(gain)}."
)

# %% [markdown]
# ### Where does it look?
#
# The attention starts as a fixed window, brightest in the middle, where garments are photographed.
# What has it learned besides?

# %% tags=["hide-input"]
encoder, _ = load_encoder(shipped(f"encoder_{catalog.name}"))
shown = queries.images[torch.linspace(0, len(queries) - 1, 8).long()]
with torch.inference_mode():
    attention = encoder.attention(encoder.maps(encoder.preparation(shown)))
height, width = attention.shape[2:]
window = (hann(height)[:, None] * hann(width)).expand_as(attention)


def lit(weights):
    """The pictures as bright as they are attended to."""
    weights = F.interpolate(weights, shown.shape[2:], mode="bilinear")
    return (shown * (weights / weights.amax(dim=(2, 3), keepdim=True)) ** 0.7).byte()


moved = 0.5 * float((attention - window).abs().sum(dim=(1, 2, 3)).mean())
show(
    plots.picture_grid(torch.cat([shown, lit(window), lit(attention)]), columns=8, width=9),
    alt="Eight pictures in three rows: as they are, under the fixed window, and under what was "
    f"learned. On average {moved:.0%} of the attention has moved away from the window.",
    caption="Above: pictures. Middle: the fixed window, the same for all. Below: the learned "
    f"attention; {moved:.0%} of it has moved. What differs between the last two rows was learned.",
)

# %% [markdown]
# ### This cut, in that look
#
# Parts that are kept apart can be mixed: *this dress, in the stripes of that shirt*. The query
# takes category and cut from one embedding and the look from another; `share` is the look's weight.

# %% tags=["hide-input"]
source(LookEncoder.blended)

# %% tags=["hide-input"]
# Two validation pictures, the second striped: the catalog has some of the wanted mix
from collections import Counter

train_looks, query_looks = (
    list(zip(split.labels.tolist(), *map(split.attributes.get, ("colour", "pattern")), strict=True))
    for split in (train, queries)
)
stock = Counter(train_looks)
_, what, look = max(
    (stock[kind, *wanted], a, b)
    for a, (kind, colour, _) in enumerate(query_looks)
    for b, (other, *wanted) in enumerate(query_looks)
    if kind != other and wanted[0] not in (colour, "multi") and wanted[1] == "stripes"
)

# %% [markdown]
# *Move the slider.* The first picture says what, the second in which look; then come the five
# nearest.

# %%
from fashionlib.pages.search_explorer import escaped, thumbnail
from fashionlib.pages.slider import slider

known = predict(encoder, train.images)
two = predict(encoder, queries.images[[what, look]])
pieces = {}
for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
    mixed = encoder.blended(*two, share)
    order = ranking(mixed[None], known)[0, :5]
    row = torch.cat([queries.images[[what, look]], train.images[order]])
    alts = ["what", "in which look"]
    alts += [escaped(f"found: {catalog.classes[label]}") for label in train.labels[order]]
    images = [f'<img alt="{alt}" src="{thumbnail(p)}">' for alt, p in zip(alts, row, strict=True)]
    pieces[f"{share:.1f}"] = f"<p>{' '.join(images)}</p>"
slider("share of the look", pieces)

# %% [markdown]
# At 0 only category and cut count, at 1 only the look. In between, are there garments of the first
# picture's class in the second one's colour and pattern?

# %% [markdown]
# Recorded: each test picture with another of a different class, colour and pattern, where at least
# five garments like the wanted one exist. The baseline is the mean of both embeddings.

# %% tags=["hide-input"]
wanted = {"category": "the first's class", "colour": "the second's colour"}
wanted |= {"category and colour": "both of these", "pattern": "the second's pattern"}
wanted |= {"alike": "all three"}
rows = []
for catalog_name in ("photos", "drawn"):
    for row, counted in measured[catalog_name]["two pictures"].items():
        scores = [resampled(torch.tensor(counted[name]) / 5) for name in wanted]
        rows.append(
            [catalog_name, row, scores[0].queries, *(f"{score.mean:.3f}" for score in scores)]
        )
table(["catalog", "query", "pairs", *wanted.values()], rows)

# %% [markdown]
# ### What a network forgets
#
# The field's standard test asks for classes that were never trained. The article leaves out three
# of the dataset's ten; their test photos are the queries among the training photos of all ten.
# (One teacher of the classifier that we start from had seen all ten, see [chapter
# 9](09_what_each_change_is_worth.ipynb). So a little of the three may have been passed on.)

# %% tags=["hide-input"]
forgotten = measured["photos"]["unseen"]
table(
    ["class", "queries", *next(iter(forgotten.values()))],
    [
        [name, len(row[OURS]), *(f"{sum(right) / 5 / len(right):.3f}" for right in row.values())]
        for name, row in forgotten.items()
    ],
)
ours, theirs = (
    torch.tensor([count for row in forgotten.values() for count in row[name]]) / 5
    for name in (OURS, FEATURES)
)
say(
    f"Our encoder changes precision@5 by {signed(ours - theirs)}, against the features it was "
    "made from. "
    + verdict(
        ours - theirs,
        "It lost nothing of what it needs for new classes.",
        "Two causes are likely: it may have thrown away what does not help to tell the seven "
        f"apart, and {LOOK_SHARE:.0%} of a squared distance are colour and pattern now. An encoder "
        "is made for the classes it has seen: a shop that adds skirts trains it again.",
        "That is too little to tell from noise.",
    )
)

# %% [markdown]
# ## Frozen is not still
#
# To train only the head, people freeze the backbone: they switch off its gradients. But batch
# normalisation keeps running statistics, and those move whenever the network is in training mode.

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
# - An encoder is a classifier's backbone with another head. Copy the backbone before you train it
#   again, and put a frozen one into evaluation mode.
# - A triplet asks for an order, not for a distance. Vectors of length 1 give the margin a meaning.
# - A falling loss on random triplets says little. Judge an encoder by retrieval.
# - Mined triplets were chosen for their loss, so that loss tells little. What a miner brings has to
#   be measured: on the same queries, with an interval, and with more than one seed.
# - A network knows different things at different depths. Give class and look a part of the
#   embedding each, and read each where it is found.
# - Labels of the category teach little of the look. Two views of a picture teach more of it, and so
#   do names of looks.
#
# ## Questions
#
# **1.** Your triplet loss stays exactly at the margin from the first step on. What happened?
#
# <details class="answer"><summary>Answer</summary>
#
# All distances are equal, most likely 0: the encoder has collapsed to one point. Look at the
# spread and at the precision, as in the table above.
#
# </details>
#
# **2.** Two encoders have a precision@5 of about nine tenths on the same queries. Their intervals
# overlap. Can one still be better for sure?
#
# <details class="answer"><summary>Answer</summary>
#
# Yes. Most of the width comes from queries that are hard for both. Take the difference query by
# query: if the interval of its mean keeps clear of 0, one is better on queries like these.
#
# </details>
#
# **3.** A colleague trains only a new head on a frozen backbone. No weight of the backbone has a
# gradient, yet the old head's answers change from epoch to epoch. How?
#
# <details class="answer"><summary>Answer</summary>
#
# Both heads share the backbone, and its running statistics move with every batch that it sees in
# training mode. Call `encoder.backbone.eval()` after each `encoder.train()`, and compare
# `norm.running_mean` before and after, as in the last cell.
#
# </details>
