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
# # Exercise 5: Hard negatives
#
# Chapter 3 took its *miners* from a library, in a line each. Here you write three: for random,
# semi-hard ([Schroff et al., 2015](https://arxiv.org/abs/1503.03832)) and batch-hard ([Hermans et
# al., 2017](https://arxiv.org/abs/1703.07737)) triplets, each in a few lines of plain torch. The
# last two are equal to the library's. Then you look at the hardest triplets of a trained encoder,
# and train with each of your miners.
#
# Write your part in place of each `...`, and run the cell below it: it tells you at once whether
# your answer is right. Try it before you look at a solution.

# %%
from dataclasses import replace
from functools import partial

import matplotlib.pyplot as plt
import torch

from fashionlib import checks, siamese
from fashionlib.catalog import load_catalog
from fashionlib.inference import pick_device, predict
from fashionlib.pages import plots
from fashionlib.pages.show import say, show, table
from fashionlib.settings import budget
from fashionlib.siamese import SiameseRecipe, train_siamese
from fashionlib.transforms import Preparation
from fashionlib.weights import load_classifier, load_encoder, shipped

plt.style.use("fashionlib.pages.book")
catalog = load_catalog(few=budget(False, quick=True))
print(catalog.about)
EPOCHS, SIZE, MARGIN = budget(4, quick=1), budget(64, quick=32), 0.3

# %% [markdown]
# ## Task 1: Who may be whose positive?
#
# A miner sees a batch: embeddings, float `[N, D]`, and labels, int64 `[N]`. All it may choose fits
# into two square tables, with a row for each anchor. In `same` a place is true where the column can
# be the row's positive, in `other` where it can be its negative. One place in each row is false in
# both, that of the picture itself: it is neither its own positive nor its own negative.


# %%
def masks(labels):
    """Labels int64 [N]; returns same and other, bool [N, N] each."""
    # TODO compare every label with every other, all at once
    # hint: `labels[:, None]` is a column, `labels[None, :]` a row; comparing them makes a table
    # hint: `torch.eye(len(labels), dtype=torch.bool)` is true on the diagonal
    ...


# %%
checks.mining.masks(masks)

# %% [markdown]
# ## Task 2: Random triplets
#
# For each picture one positive and one negative, each of the allowed ones equally likely. A picture
# that is the only one of its class in the batch has no positive, so it is no anchor; where all
# pictures are of one class, nobody is.


# %%
def draw_triplets(labels):
    """Labels int64 [N]; returns anchors, positives, negatives: positions, int64 [M] each."""
    same, other = masks(labels)
    # TODO draw one positive and one negative for each picture that has both
    # hint: `mask.any(dim=1)` says which rows have a place to choose
    # hint: `torch.multinomial(weights, 1)` draws a column for each row, a mask as float is weights
    ...


# %%
checks.mining.draw_triplets(draw_triplets)

# %% [markdown]
# ## Task 3: Semi-hard triplets
#
# A triplet whose negative is far enough has no gradient. Where the negative is *nearer* than the
# positive the loss is largest, and early in a training such triplets may pull everything into one
# point.
# FaceNet takes what lies between (its section 3.2): the negative is farther than the positive, but
# by the margin $m$ at most,
#
# $$d(a, p) < d(a, n) \le d(a, p) + m.$$
#
# We take *all* such triplets of a batch. (FaceNet squares its distances, we do not; the idea is the
# same.)


# %%
def semi_hard(embeddings, labels, margin):
    """Embeddings float [N, D], labels int64 [N]; returns three tensors of positions, int64 [M]."""
    same, other = masks(labels)
    distances = torch.cdist(embeddings, embeddings)
    # TODO find all semi-hard triplets, without a loop
    # hint: think of a cube [N, N, N], one place for each anchor, positive and negative
    # hint: `distances[:, None, :] - distances[:, :, None]` is d(a, n) - d(a, p) in such a cube
    # hint: `cube.nonzero(as_tuple=True)` gives the positions of what is true, in three tensors
    ...


# %%
checks.mining.semi_hard(semi_hard)

# %% [markdown]
# ## Task 4: Batch-hard
#
# Hermans et al. (section 2) go to the end: for each anchor the *farthest* positive and the
# *nearest* negative of the batch. One triplet for each anchor, and the batch has no harder one.


# %%
def batch_hard(embeddings, labels):
    """Embeddings float [N, D], labels int64 [N]; returns three tensors of positions, int64 [M]."""
    same, other = masks(labels)
    distances = torch.cdist(embeddings, embeddings)
    # TODO find the hardest triplet of each picture that has a positive and a negative
    # hint: `distances.masked_fill(mask, value)` puts a value where it must not be chosen; which
    # value never wins a search for the farthest, and which never one for the nearest?
    ...


# %%
checks.mining.batch_hard(batch_hard)

# %% [markdown]
# ## What the hardest look like
#
# Your last miner, on a trained encoder and many training pictures at once. Sorted by how much
# nearer the negative is than the positive, the first triplets are those that the encoder gets most
# wrong. Look at them before you train on them: is it the encoder that errs, or the label?

# %%
encoder, _ = load_encoder(shipped(f"encoder_{catalog.name}"))
some = torch.randperm(len(catalog.train), generator=torch.manual_seed(0))[: budget(1200, quick=200)]
images, labels = catalog.train.images[some], catalog.train.labels[some]
embeddings = predict(encoder, images)
anchors, positives, negatives = batch_hard(embeddings, labels)
near = (embeddings[anchors] - embeddings[negatives]).norm(dim=1)
far = (embeddings[anchors] - embeddings[positives]).norm(dim=1)
worst = (far - near).argsort(descending=True)
say(
    f"In {float((far > near).float().mean()):.0%} of the {len(anchors)} hardest triplets the "
    f"negative is nearer than the positive. Only {len(positives.unique())} different pictures are "
    "a positive in them: an odd picture is the farthest one for many of its class."
)

# %%
# an odd picture is the worst positive of many anchors: show it once
shown = []
for place in worst.tolist():
    if all(positives[place] != positives[other] for other in shown):
        shown.append(place)
shown = shown[:8]
rows = [part[shown] for part in (anchors, positives, negatives)]
titles = [catalog.classes[label] for row in rows for label in labels[row]]
show(
    plots.picture_grid(images[torch.cat(rows)], titles, columns=8),
    alt="Three rows of eight pictures, a triplet in each column: "
    + "; ".join(
        f"two labelled {catalog.classes[labels[a]]}, {far[t]:.2f} apart, and a nearer "
        f"{catalog.classes[labels[n]]} at {near[t]:.2f}"
        for t, a, n in zip(shown, rows[0], rows[2], strict=True)
    )
    + ".",
    caption="The hardest triplets, one a column: anchor, farthest positive, nearest negative. "
    "Odd pictures and doubtful labels come first.",
)

# %% [markdown]
# That is the trouble with the very hardest: mislabelled and odd pictures are always among them, and
# a larger batch finds more of them.
#
# ## Train with each
#
# `train_siamese` finds an objective by its name in a dictionary, so yours can be added to it. All
# three start from a copy of the same classifier, with the same seed, margin and number of epochs.
# **Before you run it:** will one of them be clearly the best?
#
# <details class="answer"><summary>Answer</summary>
#
# Don't count on it. Compared on equal terms, losses and miners differ less than their papers say
# ([Musgrave et al., 2020](https://arxiv.org/abs/2003.08505)). But hard negatives can also do harm:
# compare the mAP as well as the precision, and remember that it is one seed.
#
# </details>

# %%
MINERS = {
    "my random": lambda embeddings, labels: draw_triplets(labels),
    "my semi-hard": partial(semi_hard, margin=MARGIN),
    "my batch-hard": batch_hard,
}
for name, miner in MINERS.items():
    find = partial(siamese.mined_triplets, miner=miner)
    siamese.OBJECTIVES[name] = siamese.Objective(siamese.one_view, find)

classifier, _ = load_classifier(shipped(f"classifier_{catalog.name}"))
base = SiameseRecipe("", epochs=EPOCHS, size=SIZE, evaluation_size=SIZE, margin=MARGIN)


def run(objective):
    torch.manual_seed(0)
    encoder = siamese.encoder_from(classifier)
    return train_siamese(encoder, catalog, replace(base, objective=objective))


# %%
histories = {name: run(name)[1] for name in MINERS}
start = siamese.encoder_from(classifier).to(pick_device())
start.preparation = Preparation(SIZE)  # pictures of the same size as after the training
before = siamese.evaluate_encoder(start, catalog)
columns = ("loss", "active", "spread", "precision@5", "mAP")
rows = [
    [name, *(f"{history[-1][key]:.3f}" for key in columns)] for name, history in histories.items()
]
rows.insert(0, ["before", "", "", *(f"{before[key]:.3f}" for key in columns[2:])])
table(["last epoch", *columns], rows)

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 3))
for axis, key in zip(axes, ("active", "spread", "mAP"), strict=True):
    for marker, (name, history) in zip("osD", histories.items(), strict=True):
        epochs, values = [row["epoch"] for row in history], [row[key] for row in history]
        axis.plot(epochs, values, marker=marker, ms=4, label=name)
    axis.set(xlabel="epoch", title=key)
axes[0].legend(frameon=False, fontsize=8)
show(
    figure,
    alt="Share of active triplets, spread and mAP over the epochs. In the last: "
    + "; ".join(
        f"{name} {', '.join(f'{key} {h[-1][key]:.2f}' for key in ('active', 'spread', 'mAP'))}"
        for name, h in histories.items()
    )
    + ".",
    caption="The same training with three miners. Their losses cannot be compared, since each "
    "averages over other triplets; these can. A small spread alone is no collapse: look at the mAP "
    "beside it, as in chapter 3.",
)

# %%
last = {name: history[-1] for name, history in histories.items()}
best = max(last, key=lambda name: last[name]["mAP"])
tight = min(last, key=lambda name: last[name]["spread"])
say(
    f"Of the random triplets {last['my random']['active']:.0%} still break the margin in the last "
    f"epoch, of the hardest {last['my batch-hard']['active']:.0%}; semi-hard ones all do, since "
    f"that is how they are chosen. The best mAP is {last[best]['mAP']:.3f}, with **{best}**; "
    f"before this training it was {before['mAP']:.3f}. The smallest spread, "
    f"{last[tight]['spread']:.2f}, is that of **{tight}**"
    + (
        ". "
        if last[tight]["spread"] >= 0.1
        else f". But its precision@5 is {last[tight]['precision@5']:.3f}: its embeddings lie to "
        "one side, which is no collapse. "
        if last[tight]["precision@5"] > before["precision@5"] / 2
        else f", and its precision@5 is only {last[tight]['precision@5']:.3f}: it has collapsed. "
    )
    + "One seed and few epochs: the order of the three may be luck."
)

# %% [markdown]
# ## What you have learned
#
# - A batch holds its triplets already: two masks and one table of distances are all a miner needs.
# - Most random triplets soon keep the margin and teach nothing; semi-hard ones break it, because
#   that is how they are chosen.
# - Semi-hard mining leaves out the hardest, batch-hard mining looks for them, and finds odd
#   pictures and wrong labels first.
#
# ## Further
#
# - Raise `batch_size` for *my batch-hard*. Does harder help, or do the odd pictures win?
# - Start from `build_encoder("fashion")` instead of the classifier, and watch the spread: do the
#   hardest negatives make it collapse?
