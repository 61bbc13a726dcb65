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
# # A detection head
#
# *An optional chapter.* The article ends with a promise: its backbone takes other heads, and a
# detection head, which says *where* a garment is, is left for the future. Here is that future, in
# its smallest honest form: one garment a picture, its class, and one box around it.
#
# We do not train the backbone again. It stays **frozen**, just as the shipped classifier has it,
# and only a new head learns. Can a network that was never asked *where?* answer it?

# %%
import time

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops import box_convert, generalized_box_iou_loss

from fashionlib import detection
from fashionlib.blocks import conv_bn
from fashionlib.counting import count_parameters
from fashionlib.detection import Answers, DetectionRecipe, detect, frozen_maps, iou, is_right
from fashionlib.drawn import SEVEN
from fashionlib.drawn.scenes import SCENE_SEEDS, draw_scenes
from fashionlib.heads import cell_centres
from fashionlib.pages import plots
from fashionlib.pages.boxes import box_figure
from fashionlib.pages.show import say, show, table
from fashionlib.retrieval import score
from fashionlib.settings import budget
from fashionlib.weights import fingerprint, load_classifier, shipped

plt.style.use("fashionlib.pages.book")

# %% [markdown]
# ## Pictures with a known box
#
# Nobody has drawn boxes into our photos. But a garment that we draw ourselves we can also put
# anywhere, and then we know its box to the pixel. So each **scene** has one garment of
# `fashionlib.drawn`, at a random place and of a random size, on a backdrop with the usual clutter.
# For training each garment is laid out three times; drawing it is what takes long.
#
# A box is four numbers: the x and y of its centre, its width and its height, all in shares of the
# picture's side.

# %%
counts = {"train": (420, 3), "validation": (210, 1), "test": (280, 1)}
scenes = {
    name: draw_scenes(budget(garments, quick=28), SCENE_SEEDS[name], layouts)
    for name, (garments, layouts) in counts.items()
}
say(", ".join(f"{name}: {len(part):,} scenes" for name, part in scenes.items()) + ".")

# %% tags=["hide-input"]
train, validation, test = scenes.values()
names = [SEVEN[label] for label in train.labels[:12]]
show(
    box_figure(train.images[:12], names, train.boxes[:12]),
    alt="Twelve scenes with a dashed box close around the one garment in each: "
    + ", ".join(
        f"{name}, {box[2]:.0%} of the picture wide and {box[3]:.0%} high"
        for name, box in zip(names, train.boxes, strict=False)
    )
    + ".",
    caption="Training scenes and their true boxes. Each garment is there three times: at another "
    "place, of another size, on another backdrop.",
)

# %% tags=["nbval-check-output"]
seeds = {name: {garment.seed for garment in part.garments} for name, part in scenes.items()}
print("train and validation share garments:", bool(seeds["train"] & seeds["validation"]))
print("train and test share garments:", bool(seeds["train"] & seeds["test"]))
print("validation and test share garments:", bool(seeds["validation"] & seeds["test"]))
corners = box_convert(torch.cat([part.boxes for part in scenes.values()]), "cxcywh", "xyxy")
inside = corners.min() > -1e-6 and corners.max() < 1 + 1e-6
print("all boxes lie inside their pictures:", bool(inside))

# %% [markdown]
# ## How good is a box?
#
# By **intersection over union** (IoU): the area that two boxes share, divided by the area that they
# cover together. It is 1 for equal boxes and 0 for boxes that do not touch. By custom a box counts
# as found from one half upwards.
#
# Before any learning we need to know what an IoU is worth here. The **laziest detector** never
# looks: it always answers the mean box of the training scenes.

# %%
mean_box = train.boxes.mean(dim=0, keepdim=True)
lazy = score(iou(mean_box, validation.boxes))
say(f"Always the mean box: a mean IoU of {lazy.mean:.3f} on the validation scenes.")

# %% [markdown]
# ## Maps, not features
#
# The classifier ends with an average over all positions: a dress is a dress wherever it hangs. For
# a box this average is the one thing we must not do, since *where* is what it averages away. So we
# stop before it, at the **map**: for each of our scenes 12 × 12 cells of 64 channels, one cell for
# every 16 pixels. (The head is trained for this size of map, not for any other.)
#
# A frozen backbone gives the same map for the same picture every time. So it has to see each
# picture **only once**, and the head is then trained on stored maps, in seconds. We keep the maps
# of three depths, the first and the last at this resolution and one between, and will choose.

# %%
classifier, about = load_classifier(shipped("classifier_drawn"))
before, started = fingerprint(classifier), time.perf_counter()
maps = {name: frozen_maps(classifier, part.images, (7, 10, 13)) for name, part in scenes.items()}
seconds = time.perf_counter() - started
total = sum(len(part) for part in scenes.values())
say(f"The maps of {total:,} scenes took {seconds:.0f} s.")

# %% tags=["nbval-check-output"]
for depth, part in maps["train"].items():
    print(f"after block {depth}: {tuple(part.shape[1:])}")
print("the classifier is unchanged:", fingerprint(classifier) == before)

# %% [markdown]
# Unchanged means the running statistics of batch normalisation, too. In training mode they would
# have moved with every batch of scenes, gradient or not ([chapter
# 3](03_train_with_triplets.ipynb)); `frozen_maps` asks in evaluation mode.
#
# ## The head
#
# How does one turn a map into a box? A linear layer on all cells at once would have to learn for
# each place anew what a hem looks like. Instead we ask **every cell the same question**: *how far
# does the garment reach from your centre, to the left, top, right and bottom?* FCOS
# ([Tian and others, 2019](https://arxiv.org/abs/1904.01355)) asks its cells so. A cell on the wall
# has little to say, so each also answers *how much am I to be trusted?* A softmax makes shares of
# these, and the box is the weighted mean of all answers. The class is read from the same cells.


# %%
# the same code as fashionlib.heads.DetectionHead, kept equal by a test
class DetectionHead(nn.Module):
    def __init__(self, features, classes, hidden=64):
        super().__init__()
        self.mix = nn.Sequential(
            nn.BatchNorm2d(features, affine=False),
            conv_bn(features, hidden, kernel=3),
            conv_bn(hidden, hidden, kernel=3),
        )
        self.votes = nn.Conv2d(hidden, 5, kernel_size=1)
        self.linear = nn.Linear(hidden, classes)

    def forward(self, maps):
        mixed, trust, corners = self.ask_cells(maps)
        box = (corners * trust).sum(dim=2)
        return self.linear((mixed * trust).sum(dim=2)), box_convert(box, "xyxy", "cxcywh")

    def ask_cells(self, maps):
        mixed = self.mix(maps)
        trust, sides = self.votes(mixed).flatten(2).split([1, 4], dim=1)
        sides = F.softplus(sides - 1)
        centres = cell_centres(*maps.shape[2:]).to(maps)
        corners = torch.cat([centres - sides[:, :2], centres + sides[:, 2:]], dim=1)
        return mixed.flatten(2), trust.softmax(dim=2), corners


# %% [markdown]
# Two details. `softplus` is a smooth maximum with 0: no cell can put the right side left of the
# left one, so every box is a box. And the head begins with a batch normalisation of its own, since
# the channels of a map differ in size; *that* one is trained.

# %% tags=["nbval-check-output"]
torch.manual_seed(0)
head = DetectionHead(features=64, classes=len(SEVEN)).eval()
logits, boxes = head(maps["train"][13][:5])
mixed, trust, corners = head.ask_cells(maps["train"][13][:5])
print("logits:", tuple(logits.shape), " boxes:", tuple(boxes.shape))
print("answers of the cells:", tuple(corners.shape))
print("trust adds up to one:", torch.allclose(trust.sum(dim=2), torch.ones(5, 1)))
print(f"parameters: {count_parameters(head):,}, the backbone has "
      f"{count_parameters(classifier.backbone):,}")  # fmt: skip

# %% [markdown]
# ## The loss
#
# For the class it is cross-entropy, as always. For the box there are two terms. The plain distance
# of the four numbers (L1) pulls at any distance, but counts an error of a few pixels the same for a
# small garment as for a large one. IoU is what we want, but once two boxes do not touch it is 0
# however far apart they are, and a constant has no gradient. **Generalised IoU**
# ([Rezatofighi and others, 2019](https://arxiv.org/abs/1902.09630)) also subtracts the share of
# emptiness in the smallest box around both, so nearer is always better.


# %%
# the same code as fashionlib.detection.detection_loss, kept equal by a test
def detection_loss(logits, found, labels, boxes):
    corners = [box_convert(b, "cxcywh", "xyxy") for b in (found, boxes)]
    overlap = generalized_box_iou_loss(*corners, reduction="mean")
    return F.cross_entropy(logits, labels) + 5 * F.l1_loss(found, boxes) + 2 * overlap


# %% tags=["nbval-check-output"]
true = torch.tensor([[0.25, 0.5, 0.25, 0.25]])
for name, x in {"equal": 0.25, "overlapping": 0.375, "beside it": 0.625, "far": 0.875}.items():
    guess = torch.tensor([[x, 0.5, 0.25, 0.25]])
    corners = (box_convert(b, "cxcywh", "xyxy") for b in (guess, true))
    print(f"{name:12} IoU {iou(guess, true).item():.2f}, "
          f"generalised {1 - generalized_box_iou_loss(*corners).item():.2f}")  # fmt: skip

# %% [markdown]
# The weights 5 and 2 are those of DETR ([Carion and others,
# 2020](https://arxiv.org/abs/2005.12872)); we did not tune them.
#
# ## Train, and choose the depth
#
# The head is the same for each depth, and so are its starting weights and its training. Which map
# knows best what and where? The validation scenes decide, by the share of scenes that are **right**
# in both: the class, and an IoU of at least one half.


# %%
def answers(name, depth):
    return Answers(maps[name][depth], scenes[name].labels, scenes[name].boxes)


recipe = DetectionRecipe(epochs=budget(15, quick=3))
heads, histories = {}, {}
for depth in maps["train"]:
    torch.manual_seed(0)
    head = DetectionHead(64, len(SEVEN))
    parts = answers("train", depth), answers("validation", depth)
    heads[depth], histories[depth] = detection.train_head(head, *parts, recipe)
print("trained heads on the maps after blocks", ", ".join(map(str, heads)))

# %%
rows = []
for depth, head in heads.items():
    logits, found = detect(head, maps["validation"][depth])
    classes = (logits.argmax(dim=1) == validation.labels).float().mean()
    last = histories[depth][-1]
    rows.append([depth, f"{last['iou']:.3f}", f"{classes:.1%}", f"{last['right']:.1%}"])
table(["after block", "mean IoU", "class right", "both right"], rows)
chosen = max(heads, key=lambda depth: histories[depth][-1]["right"])
say(f"Chosen: the map after block {chosen}.")

# %% [markdown]
# Compare the columns. Going deeper helps the class; chapter 3 found the same. The place is there
# at every depth, as long as nobody averages it away: the backbone learned it without being asked,
# because to tell a garment from a wall one must see where the garment is.
#
# ## The test scenes, once
#
# Beside the mean box there is a second baseline: a linear guess from the **pooled** features, after
# the average, by least squares. It shows what is lost there.

# %%
pooled = {name: F.pad(maps[name][chosen].mean(dim=(2, 3)), (0, 1), value=1.0) for name in maps}
linear = torch.linalg.lstsq(pooled["train"], train.boxes, driver="gelsd").solution
logits, found = detect(heads[chosen], maps["test"][chosen])
overlaps = {
    "always the mean box": iou(mean_box, test.boxes),
    "linear, from pooled features": iou(pooled["test"] @ linear, test.boxes),
    "**detection head, from the map**": iou(found, test.boxes),
}


def with_interval(values):
    result = score(values.float())
    return f"{result.mean:.3f} ({result.low:.3f}–{result.high:.3f})"


rows = [
    [name, with_interval(values), with_interval(values >= 0.5)] for name, values in overlaps.items()
]
table(["detector", "mean IoU", "IoU of a half or more"], rows)

# %%
filled = about["figures"]["test accuracy"].split()[0]
named = score((logits.argmax(dim=1) == test.labels).float())
both = score(is_right(logits, found, test.labels, test.boxes).float())
say(
    f"On {len(test)} test scenes the class is right in {named.mean:.1%} ({named.low:.1%} to "
    f"{named.high:.1%}), class and box together in {both.mean:.1%} ({both.low:.1%} to "
    f"{both.high:.1%}). The classifier whose backbone this is named {filled} right where a garment "
    "fills the picture. Here most are smaller than what it learned from."
)

# %% [markdown]
# These are the first scenes of the test set, not chosen ones:


# %%
def boxes_and_words(positions):
    overlap = iou(found, test.boxes)[positions]
    said, true = logits.argmax(dim=1)[positions], test.labels[positions]
    marks = ["" if a == b else f" (is {SEVEN[b]})" for a, b in zip(said, true, strict=True)]
    titles = [
        f"{SEVEN[s]}{mark}\nIoU {o:.2f}" for s, mark, o in zip(said, marks, overlap, strict=True)
    ]
    parts = test.images[positions], titles, test.boxes[positions], found[positions]
    return box_figure(*parts), "; ".join(titles).replace("\n", ", ")


# %%
figure, words = boxes_and_words(torch.arange(12))
show(
    figure,
    alt=f"Twelve scenes with a true and a predicted box each: {words}.",
    caption="Dashed: the true box. Solid: the predicted one. Above: the predicted class and the "
    "IoU.",
)

# %% [markdown]
# ### And the worst
#
# The scenes with the lowest IoU of all:

# %%
figure, words = boxes_and_words(iou(found, test.boxes).argsort()[:6])
show(
    figure,
    alt=f"The six scenes with the lowest IoU: {words}.",
    caption="The six worst boxes. Look for boxes that lie between the garment and other things.",
)

# %% [markdown]
# Boxes that lie between two things come from our rule: where some cells speak for one thing and
# some for the other, the mean of their answers is a third one, which no cell gave. Detectors for
# many objects therefore keep the cells apart and choose among their boxes.
#
# Is it also size? Sorted by the area of the true box, in three equal parts:

# %%
area = test.boxes[:, 2:].prod(dim=1)
overlap, right_class = iou(found, test.boxes), (logits.argmax(dim=1) == test.labels).float()
rows = [
    [name, f"{float(area[part].min()):.0%} to {float(area[part].max()):.0%}",
     with_interval(overlap[part]), with_interval(right_class[part])]
    for name, part in zip(("small", "middle", "large"), area.argsort().chunk(3), strict=True)
]  # fmt: skip
table(["garments", "share of the picture", "mean IoU", "class right"], rows)

# %% [markdown]
# Read the intervals before the means: they are as in chapter 4, and for a mean IoU too wide rather
# than too narrow.
#
# ## Whom does it trust?
#
# The trust of the cells, laid over the scene:

# %%
shown = slice(0, 6)
with torch.inference_mode():
    _, trust, _ = heads[chosen].ask_cells(maps["test"][chosen][shown])
trust = trust.view(-1, 1, *maps["test"][chosen].shape[2:])
spread = F.interpolate(trust, test.images.shape[2:], mode="bilinear")
lit = (test.images[shown] * (spread / spread.amax(dim=(2, 3), keepdim=True)) ** 0.5).byte()
x, y = cell_centres(*trust.shape[2:]).view(2, 1, 1, *trust.shape[2:])
centre_x, centre_y, width, height = test.boxes[shown, :, None, None].unbind(dim=1)
within = (abs(x[:, 0] - centre_x) < width / 2) & (abs(y[:, 0] - centre_y) < height / 2)
inside = float((trust[:, 0] * within).sum() / len(within))
show(
    plots.picture_grid(torch.cat([test.images[shown], lit]), columns=6),
    alt="Six scenes; below, each is as bright as its cells are trusted. Of the trust "
    f"{inside:.0%} lies inside the true boxes.",
    caption="Above: test scenes. Below: as bright as the head trusts the cells there. It "
    "was never told which cells are garment, only boxes.",
)

# %% [markdown]
# ## What you have learned
#
# - One backbone, another head: the head decides what is asked, and what may be averaged away.
# - A box needs the **map**. Pooled features have forgotten where.
# - A frozen backbone sees each picture once. Keep it in evaluation mode, and train on stored maps.
# - Ask every cell the same question relative to itself, and one rule serves all places.
# - Give a detector's IoU next to that of a detector that never looks.
#
# What this is not: a detector for several garments or for none, nor one for photos, whose boxes
# nobody has drawn. Both are a matter of data and of one more answer a cell (*is there anything?*),
# not of another backbone.
#
# ## Questions
#
# **1.** Why can the maps be stored here, but not in chapter 2's training?
#
# <details class="answer"><summary>Answer</summary>
#
# Here the backbone is frozen and pictures are not augmented, so the same picture always gives the
# same map. In chapter 2 the backbone changes with every step and the pictures with every epoch.
#
# </details>
#
# **2.** A colleague trains the box with IoU alone as its loss, and some boxes never move. Why?
#
# <details class="answer"><summary>Answer</summary>
#
# They do not touch their true boxes. There IoU is constantly 0, which has no gradient. See the rows
# "beside it" and "far" above: generalised IoU tells them apart.
#
# </details>
#
# **3.** What would the head answer if you gave it the mean of the map in every cell?
#
# <details class="answer"><summary>Answer</summary>
#
# Nearly the same place for every scene: away from the rim all cells say the same, so no cell can be
# trusted more for where it is. Try `maps.mean(dim=(2, 3), keepdim=True).expand_as(maps)`.
#
# </details>
