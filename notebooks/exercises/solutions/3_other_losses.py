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
# # Exercise 3: Center loss and ArcFace
#
# Triplets compare pictures with each other. Two famous losses compare each picture with its
# **class** instead, so nothing has to be mined:
#
# - **Center loss** ([Wen et al., 2016](https://doi.org/10.1007/978-3-319-46478-7_31)) keeps a
#   centre for each class, and pulls every embedding towards its own;
# - **ArcFace** ([Deng et al., 2019](https://arxiv.org/abs/1801.07698)) keeps a direction for each
#   class, and makes the classification harder: the right class has to win by an *angle*.
#
# You write both, look at what they do in two dimensions, and let them compete with triplets: the
# same starting weights, the same pictures, the same number of epochs.

# %% tags=["hide-input"]
import copy
from collections import OrderedDict

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from fashionlib import checks, retrieval, siamese, training
from fashionlib.catalog import load_catalog
from fashionlib.heads import build_classifier
from fashionlib.inference import predict
from fashionlib.pages.depths import Features
from fashionlib.pages.show import say, show, table
from fashionlib.settings import budget
from fashionlib.siamese import SiameseRecipe
from fashionlib.transforms import Preparation
from fashionlib.triplets import TripletDataset, triplet_loss
from fashionlib.weights import load_classifier, shipped

plt.style.use("fashionlib.pages.book")
catalog = load_catalog(few=budget(False, quick=True))
print(catalog.about)
CLASSES = len(catalog.classes)
EPOCHS, SIZE = budget(4, quick=1), budget(64, quick=32)

# %% [markdown]
# ## Task 1: Center loss
#
# Half the squared distance of each embedding $x_i$ from the centre $c_{y_i}$ of its class:
#
# $$L_C = \frac{1}{N} \sum_{i=1}^{N} \frac{1}{2} \lVert x_i - c_{y_i} \rVert^2$$
#
# The paper writes a sum; we take the mean over the batch, so that the loss does not grow with it.


# %%
def center_loss(embeddings, labels, centers):
    """Embeddings float [N, D], labels int64 [N], centers float [C, D]; returns a scalar."""
    # TODO return the mean over the batch of half the squared distance to the own centre
    # hint: `centers[labels]` is the centre of each embedding's class, float [N, D]
    ### BEGIN SOLUTION
    return 0.5 * (embeddings - centers[labels]).square().sum(dim=1).mean()
    ### END SOLUTION


# %%
checks.losses.center_loss(center_loss)

# %% [markdown]
# Alone, this loss has a perfect and useless answer: all embeddings in one point, and all centres
# there too. So it is only ever *added* to a loss that keeps classes apart, here the cross-entropy
# of a classifier.
#
# ## Task 2: The centres move
#
# A centre is meant to be the mean of its class, but a batch shows only a few pictures. So after
# each batch the paper moves a centre a little way towards those of its class that are there:
#
# $$c_j \leftarrow c_j - \alpha \, \frac{\sum_{i:\, y_i = j} (c_j - x_i)}{1 + n_j}$$
#
# where $n_j$ counts the pictures of class $j$ in the batch. The 1 keeps a class that is not there
# where it is, without a division by 0.


# %%
def moved_centers(embeddings, labels, centers, alpha=0.5):
    """Returns new centers, float [C, D]; the old ones stay as they are."""
    # TODO return the centres after one step of the rule above
    # hint: `F.one_hot(labels, len(centers)).float()`, [N, C], says which picture is of which class;
    # its sum over the pictures gives the counts, a matrix product with it adds embeddings by class
    ### BEGIN SOLUTION
    member = F.one_hot(labels, len(centers)).float()
    counts = member.sum(dim=0)[:, None]
    return centers - alpha * (counts * centers - member.T @ embeddings) / (1 + counts)
    ### END SOLUTION


# %%
checks.losses.moved_centers(moved_centers)

# %% [markdown]
# ## Task 3: ArcFace
#
# A classifier's logit is a product $w_j \cdot x$. Make both vectors of length 1, and it is the
# cosine of the angle $\theta_j$ between embedding and class. ArcFace adds a margin $m$ to the angle
# of the **right** class only, and stretches all by a scale $s$:
#
# $$\text{logit}_j = s \cdot \begin{cases} \cos(\theta_j + m) & j = y \\ \cos\theta_j & j \neq y
# \end{cases}$$
#
# The right class wins only if its angle is smaller by $m$. One trap: where $\theta + m$ exceeds
# $\pi$ the cosine rises again, and the worst pictures would be rewarded for getting worse. There
# the authors' code takes $\cos\theta - m \sin m$ instead, which keeps falling; so do you.


# %%
def arcface_logits(embeddings, weights, labels, margin=0.5, scale=8.0):
    """Embeddings float [N, D], weights float [C, D] (a row a class); returns float [N, C].

    `margin` is an angle in radians.
    """
    # TODO return the logits; `F.cross_entropy` of them will be the loss
    # hint: `torch.acos` has no finite gradient at 1 and -1, so clamp the cosines a little inside
    # hint: `F.one_hot(labels, len(weights)).bool()` marks the right class of each row
    ### BEGIN SOLUTION
    cosines = F.normalize(embeddings) @ F.normalize(weights).T
    cosines = cosines.clamp(-1 + 1e-6, 1 - 1e-6)
    angles = cosines.acos()
    harder = torch.where(
        angles + margin <= torch.pi,
        (angles + margin).cos(),
        cosines - margin * torch.tensor(margin).sin(),
    )
    right = F.one_hot(labels, len(weights)).bool()
    return scale * torch.where(right, harder, cosines)
    ### END SOLUTION


# %%
checks.losses.arcface_logits(arcface_logits)

# %% [markdown]
# The checker has compared your logits, through the cross-entropy, with `ArcFaceLoss` of
# [pytorch-metric-learning](https://kevinmusgrave.github.io/pytorch-metric-learning/). The paper
# takes a scale of 64, for millions of photos of tens of thousands of people. For a few classes and
# epochs we take a smaller one. At the end of this page you can try 64.
#
# ## Task 4: How tight, how far apart?
#
# Before the pictures, a number for what they will show: the mean distance of the embeddings from
# the mean of their own class, divided by the mean distance between two class means. Small is good:
# tight groups, far from each other.


# %%
def tightness(embeddings, labels):
    """Embeddings float [N, D], labels int64 [N] of two classes or more; returns a float."""
    # TODO return (mean distance to the own class's mean) / (mean distance between class means)
    # hint: a class mean has a distance to itself, 0, which is not one between two classes;
    # `F.pdist` gives each pair once and none of these
    ### BEGIN SOLUTION
    means = torch.stack([embeddings[labels == label].mean(dim=0) for label in labels.unique()])
    own = means[torch.unique(labels, return_inverse=True)[1]]
    return float((embeddings - own).norm(dim=1).mean() / F.pdist(means).mean())
    ### END SOLUTION


# %%
checks.losses.tightness(tightness)

# %% [markdown]
# ## Four objectives
#
# All four train the same kind of model: an encoder, a direction for each class, and centres. What
# an objective does not use stays as it was.


# %%
class Model(nn.Module):
    """An encoder, and what some losses keep for each class."""

    def __init__(self, encoder, dimensions):
        super().__init__()
        self.encoder = encoder
        self.directions = nn.Parameter(0.1 * torch.randn(CLASSES, dimensions))
        self.register_buffer("centers", torch.zeros(CLASSES, dimensions))


def softmax(model, embeddings, labels):
    return F.cross_entropy(embeddings @ model.directions.T, labels)


def softmax_and_center(model, embeddings, labels, weight=0.1):
    loss = softmax(model, embeddings, labels) + weight * center_loss(
        embeddings, labels, model.centers
    )
    model.centers.copy_(moved_centers(embeddings.detach(), labels, model.centers))
    return loss


def arcface(model, embeddings, labels):
    return F.cross_entropy(arcface_logits(embeddings, model.directions, labels), labels)


# %%
def triplets(model, embeddings, labels, margin=0.2):
    unit = F.normalize(embeddings)
    anchors, positives, negatives = siamese.breaking(margin)(unit, labels)
    if len(anchors) == 0:  # all triplets keep the margin: nothing to learn
        return 0.0 * embeddings.sum()
    return triplet_loss(unit[anchors], unit[positives], unit[negatives], margin)


OBJECTIVES = {
    "softmax alone": softmax,
    "triplets": triplets,
    "softmax + Center loss": softmax_and_center,
    "ArcFace": arcface,
}

# %% [markdown]
# ## In two dimensions
#
# To *see* what a loss does, let the embedding have two numbers, which need no t-SNE to be drawn. We
# take the classifier that comes with the library and leave it as it is: its features are computed
# once, and a small network turns them into points of the plane, trained by each objective in turn.

# %%
trained, _ = load_classifier(shipped(f"classifier_{catalog.name}"))
trained.backbone.preparation = Preparation(budget(trained.preparation.size, quick=48))
features = {
    name: predict(trained.backbone, split.images)
    for name, split in catalog.splits.items()
    if name != "test"
}
deviation = features["train"].std(dim=0).clamp(min=1e-6)
features = {name: values / deviation for name, values in features.items()}


# %% [markdown]
# The loop is the one of chapter 2, `train_epoch`: it takes whatever batches and loss it is given.

# %%
STEPS = budget(1000, quick=60)
flat = training.Recipe(epochs=1, weight_decay=0.0, average=0.0, schedule="constant")


def load(chosen):
    return features["train"][chosen], catalog.train.labels[chosen]


def flat_map(objective):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(64, 64), nn.PReLU(64), nn.Linear(64, 2, bias=False))
    model = Model(encoder, 2)
    state = model, copy.deepcopy(model), training.make_optimizer(model, flat)
    order = [torch.randint(len(catalog.train), (140,)) for _ in range(STEPS)]

    def loss_of(model, values, labels):
        return objective(model, model.encoder(values), labels)

    training.train_epoch(*state, training.Batches(order, load), loss_of, flat, epoch=0)
    return encoder(features["validation"]).detach()


places = {name: flat_map(objective) for name, objective in OBJECTIVES.items()}

# %% tags=["hide-input", "full-budget"]
labels = catalog.validation.labels
tight = {name: tightness(points, labels) for name, points in places.items()}
figure, axes = plt.subplots(1, 4, figsize=(10, 3.4))
for axis, (name, points) in zip(axes, places.items(), strict=True):
    for label, marker in zip(range(CLASSES), "osD^vP*", strict=False):
        x, y = points[labels == label].T
        axis.scatter(x, y, s=12, marker=marker, alpha=0.7, label=catalog.classes[label])
    axis.plot(0, 0, "k+")
    axis.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    axis.set_title(f"{name}\ntightness {tight[name]:.2f}", fontsize=9)
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=8)
show(
    figure,
    alt="Four scatter plots of the validation pictures in two dimensions, a colour and a marker "
    "for each class. Tightness: "
    + "; ".join(f"{name} {value:.2f}" for name, value in tight.items())
    + ".",
    caption="Validation pictures in two dimensions; the cross is the origin. Look for rays, which "
    "start at the origin, and for blobs. Tightness counts lengths as well, which mean nothing to "
    "triplets and ArcFace: compare those two by eye.",
)

# %% [markdown]
# Cross-entropy alone gives a ray for each class: the longer a vector, the surer the answer, and two
# pictures of one class may be far apart. The centre pulls a ray together into a blob. For ArcFace
# and for our triplets the length means nothing; both measure angles only.
#
# ## In 64 dimensions
#
# Now the whole network, and what we are after: the search. All objectives get the same epochs of
# the same pictures, and start from copies of one backbone. The shipped classifier has little left
# to learn, and would hide what a loss does; so the start is one trained for a few epochs only.

# %% tags=["full-budget"]
torch.manual_seed(0)
recipe = training.Recipe(epochs=budget(3, quick=1), size=SIZE, evaluation_size=SIZE)
classifier, history = training.train_classifier(
    build_classifier("fashion", CLASSES), catalog, recipe
)
say(f"The start: a classifier with {history[-1]['validation_accuracy']:.1%} on validation.")

# %%
recipe = SiameseRecipe("", epochs=EPOCHS, size=SIZE, batch_size=28, learning_rate=2e-3, average=0.0)
data = TripletDataset(catalog.train.images, catalog.train.labels)


def batches(epoch):
    order = list(siamese.balanced_batches(data.labels, recipe.batch_size))
    return training.Batches(order, lambda chosen: siamese.one_view(data, chosen, recipe))


# %%
def train(objective):
    torch.manual_seed(0)
    backbone = copy.deepcopy(classifier.backbone)
    head = nn.Linear(backbone.features, 64)
    encoder = nn.Sequential(OrderedDict(backbone=backbone, head=head))
    encoder.preparation = classifier.preparation
    model = Model(encoder, 64).to(memory_format=torch.channels_last)

    def loss_of(model, pictures, labels):
        return objective(model, model.encoder(pictures), labels)

    # `lambda model: {}`: no figures after each epoch
    return training.finish(training.Training(model, batches, loss_of, lambda model: {}, recipe))


runs = {name: train(objective) for name, objective in OBJECTIVES.items()}
print("trained:", ", ".join(runs))


# %% tags=["full-budget"]
def measure(encoder):
    """The test pictures searched among the training pictures: values of each query."""
    splits = catalog.test, catalog.train
    queries, train = (F.normalize(predict(encoder, split.images)) for split in splits)
    measures = retrieval.evaluate_retrieval(
        queries, catalog.test.labels, train, catalog.train.labels
    )
    values = [measures[name] for name in ("precision@5", "mAP")]
    return values, tightness(queries, catalog.test.labels)


measured = {"the start": measure(Features(classifier))}
measured |= {name: measure(model.encoder) for name, (model, _) in runs.items()}
table(
    ["objective", "precision@5", "mAP", "tightness", "seconds"],
    [
        [
            name,
            *(f"{s.mean:.3f} ({s.low:.3f}–{s.high:.3f})" for s in map(retrieval.score, values)),
            f"{tight:.2f}",
            f"{sum(row['seconds'] for row in runs[name][1]):.0f}" if name in runs else "",
        ]
        for name, (values, tight) in measured.items()
    ],
)

# %% tags=["hide-input", "full-budget"]
values = {name: measured[name][0] for name in runs}
sentences = []
for place, key in enumerate(("precision@5", "mAP")):
    ranked = sorted(values, key=lambda name: float(values[name][place].mean()), reverse=True)
    best, worst = values[ranked[0]][place], values[ranked[-1]][place]
    gap = retrieval.resampled(best - worst)
    sentences.append(
        f"By {key}, **{ranked[0]}** is best, {best.mean():.3f}, and **{ranked[-1]}** lowest, "
        f"{worst.mean():.3f}: {gap.mean:.3f} apart on the same queries ({gap.low:.3f} to "
        f"{gap.high:.3f})."
    )
say(
    " ".join(sentences)
    + " These intervals count queries and say nothing about another seed: with one run each, this "
    "is no ranking of the objectives."
)

# %% [markdown]
# The intervals in the table are Wilson's, as for shares of queries; for means of values between 0
# and 1 they are a little too wide. To compare two encoders, compare them query by query: their
# intervals can overlap although one is better nearly everywhere.
#
# Read mAP next to precision@5. Five good neighbours can be found in a loose group too; mAP looks at
# the whole class, so a loss that pulls each class together should show there.
#
# ## What you have learned
#
# - Losses with classes (Center loss, ArcFace) need no mining: every picture has a loss in every
#   batch.
# - Center loss works only beside a loss that keeps classes apart.
# - ArcFace asks for an angle; a margin and a scale are two more numbers to choose.
# - They need a class for every picture. Triplets need only *alike* and *unlike*: for the look of a
#   garment, where no label gives it, that is an advantage.
#
# Try more: set `weight` of the Center loss to 0 and to 10; set ArcFace's `scale` to 64, or its
# `margin` to 0, which is a softmax on the sphere; train with 2 dimensions all the way down.
