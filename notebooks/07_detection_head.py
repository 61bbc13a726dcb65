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
# *An optional chapter.* The article says that its backbone takes other heads. One of them, a
# detection head, which says *where* a garment is, it leaves for the future. Here is a small one:
# one garment a picture, its class, and one box around it.
#
# We do not train the backbone again. It stays **frozen**, with the weights of the shipped
# classifier, and only a new head learns. Can a network that was only asked *what?* also answer
# *where?* And if so, did it learn that in its training? A second backbone with random weights will
# tell.

# %% tags=["hide-input"]
import time

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn
from torchvision.ops import box_convert, generalized_box_iou_loss

from fashionlib import detection
from fashionlib.blocks import conv_bn
from fashionlib.counting import count_parameters
from fashionlib.detection import Answers, DetectionRecipe, detect, frozen_maps, iou, is_right
from fashionlib.drawn import SEVEN
from fashionlib.drawn.scenes import SCENE_SEEDS, draw_scenes
from fashionlib.heads import build_classifier, cell_centres
from fashionlib.pages import plots
from fashionlib.pages.boxes import box_figure
from fashionlib.pages.show import say, show, table
from fashionlib.pages.slider import slider
from fashionlib.retrieval import resampled, score
from fashionlib.settings import budget
from fashionlib.weights import fingerprint, load_classifier, shipped

plt.style.use("fashionlib.pages.book")

# %% [markdown]
# ## Pictures with a known box
#
# Nobody has drawn boxes into our photos. But a garment that we draw ourselves we can also put
# anywhere, and then we know its box to the pixel. So each **scene** has one garment of
# `fashionlib.drawn`, at a random place and of a random size, on a backdrop with the usual clutter.
# Each training garment is laid out three times, because drawing a garment takes much longer than
# placing it.
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
# looks: it always answers the mean box of the training scenes. **Before you run it:** what mean IoU
# will it reach, nearly 0 or more?
#
# <details class="answer"><summary>Answer</summary>
#
# More than 0. Garments are large and often near the middle, so a large box in the middle nearly
# always covers a part of them. A detector has to be compared with this number, not with 0.
#
# </details>

# %%
mean_box = train.boxes.mean(dim=0, keepdim=True)
lazy = score(iou(mean_box, validation.boxes))
say(f"Always the mean box: a mean IoU of {lazy.mean:.3f} on the validation scenes.")

# %% [markdown]
# ## Maps, not features
#
# The classifier ends with an average over all positions: a dress is a dress wherever it hangs. For
# a box we must not average, because the average loses the place. So we stop before it, at the
# **map**: for each of our scenes 9 × 9 cells of 64 channels, one cell for every 16 pixels. (The
# head is trained for this size of map, not for any other.)
#
# A frozen backbone gives the same map for the same picture every time. So it has to see each
# picture **only once**, and the head is then trained on stored maps, in seconds. We keep the maps
# of three depths, after blocks 6, 9 and 12: the first and the last at this resolution and one
# between, and choose later.

# %%
classifier, about = load_classifier(shipped("classifier_drawn"))
before, started = fingerprint(classifier), time.perf_counter()
maps = {name: frozen_maps(classifier, part.images, (6, 9, 12)) for name, part in scenes.items()}
seconds = time.perf_counter() - started
total = sum(len(part) for part in scenes.values())
say(f"The maps of {total:,} scenes took {seconds:.0f} s.")

# %% tags=["nbval-check-output"]
for depth, part in maps["train"].items():
    print(f"after block {depth}: {tuple(part.shape[1:])}")
print("the classifier is unchanged:", fingerprint(classifier) == before)

# %% [markdown]
# Unchanged, with the running statistics of batch normalisation. In training mode they would have
# moved with every batch of scenes, gradient or not ([chapter 3](03_train_with_triplets.ipynb));
# `frozen_maps` runs the backbone in evaluation mode.
#
# ## The head
#
# How does one turn a map into a box? A linear layer on all cells at once would have to learn for
# each place anew what a hem looks like. Instead we ask **every cell the same question**: *how far
# does the garment reach from your centre, to the left, top, right and bottom?* The detector FCOS
# does the same ([Tian and others, 2019](https://arxiv.org/abs/1904.01355)). A cell on the wall
# knows little, so each cell also says how far to **trust** it. A softmax turns these numbers into
# weights of sum 1, and the box is the weighted mean of all answers. The class is read from the same
# cells.


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
# Three details. `softplus` is a smooth maximum with 0: no cell can put the right side left of the
# left one, so every box is a box. The `- 1` inside makes the first boxes less than half as wide: as
# a large garment, not wider than the picture. And the head begins with a batch normalisation of its
# own, since the channels of a map differ in size. It has no weights (`affine=False`), but unlike
# those of the backbone *its* running statistics follow the scenes.

# %% tags=["nbval-check-output"]
torch.manual_seed(0)
head = DetectionHead(features=64, classes=len(SEVEN)).eval()
logits, boxes = head(maps["train"][12][:5])
mixed, trust, corners = head.ask_cells(maps["train"][12][:5])
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


# %% [markdown]
# *Move the slider:* the solid box goes away from the dashed one. From where on does IoU no longer
# tell how far it is?

# %% tags=["hide-input"]
BOX = '<rect x="{}" y="15" width="25" height="25" fill="none" {}/>'
drawings = {}
for x in torch.arange(0.25, 0.9, 0.0625).tolist():
    pair = torch.tensor([[0.25, 0.5, 0.25, 0.25], [x, 0.5, 0.25, 0.25]])
    corners = box_convert(pair, "cxcywh", "xyxy")
    generalised = 1 - float(generalized_box_iou_loss(corners[:1], corners[1:]))
    words = f"IoU {float(iou(pair[:1], pair[1:])):.2f}, generalised {generalised:.2f}"
    boxes = BOX.format(12.5, 'stroke="#888888" stroke-dasharray="3 2"')
    boxes += BOX.format(100 * x - 12.5, 'stroke="#0072B2" stroke-width="1.5"')
    size = 'viewBox="0 0 110 50" style="width: 20em; max-width: 100%"'
    drawing = f'<svg {size} role="img" aria-label="two boxes">{boxes}</svg>'
    drawings[f"{x:.2f}"] = f"{drawing}<p>{words}</p>"
slider("centre of the solid box", drawings)

# %% [markdown]
# From the place where they only touch: there IoU is 0, and it stays 0.
#
# The weights 5 and 2 are those of DETR ([Carion and others,
# 2020](https://arxiv.org/abs/2005.12872)), which adds up the four distances where we take their
# mean; we did not tune them.
#
# ## Train, and choose the depth
#
# The head is the same for each depth, and so are its starting weights and its training. Which map
# is best? The validation scenes decide, by the share of scenes that are **right** in both: the
# class, and an IoU of at least one half.


# %%
def train_heads(maps):
    """A head for each depth, and its history."""
    trained = {}
    for depth in maps["train"]:
        torch.manual_seed(0)
        parts = [
            Answers(maps[name][depth], scenes[name].labels, scenes[name].boxes)
            for name in ("train", "validation")
        ]
        head = DetectionHead(64, len(SEVEN))
        trained[depth] = detection.train_head(head, *parts, recipe)
    return trained


recipe = DetectionRecipe(epochs=budget(10, quick=3))
trained = train_heads(maps)
print("trained heads on the maps after blocks", ", ".join(map(str, trained)))

# %% [markdown]
# **Before you run the next cell:** which depth will be best for the class, and which for the place?
#
# <details class="answer"><summary>Answer</summary>
#
# For the class, deeper maps should be better: the classifier reads the class from the last one. The
# place is in the maps of all depths, so you should see smaller differences there. Compare the
# columns.
#
# </details>


# %%
def at_each_depth(maps, trained):
    """Of each depth: mean IoU, share of right classes and of both right."""
    judged = {}
    for depth, (head, history) in trained.items():
        logits, _ = detect(head, maps["validation"][depth])
        named = (logits.argmax(dim=1) == validation.labels).float().mean()
        judged[depth] = history[-1]["iou"], float(named), history[-1]["right"]
    return judged


judged = at_each_depth(maps, trained)
rows = [[depth, f"{i:.3f}", f"{n:.1%}", f"{b:.1%}"] for depth, (i, n, b) in judged.items()]
table(["after block", "mean IoU", "class right", "both right"], rows)
chosen = max(judged, key=lambda depth: judged[depth][2])
say(f"Chosen: the map after block {chosen}.")

# %% [markdown]
# ## Did the backbone learn where?
#
# The backbone was never asked for a box, and its maps give one. Is that what its training has
# taught it? To know that we need a **control**: the same network with random weights, and the same
# head on its maps. Only batch normalisation sees a few scenes first, so that the maps have a
# sensible scale. **Before you run it:** will this head do better than the mean box?
#
# <details class="answer"><summary>Answer</summary>
#
# Yes, most likely. Edges and colours pass through random filters too, and stay at their place. The
# head is trained, and can learn to tell garment from backdrop by them. The table tells how much the
# training of the backbone adds.
#
# </details>

# %%
torch.manual_seed(1)
random_weights = build_classifier("fashion", len(SEVEN))
update_bn([train.images[:64].float() / 127.5 - 1], random_weights)
random_maps = {
    name: frozen_maps(random_weights, part.images, (6, 9, 12)) for name, part in scenes.items()
}
control = train_heads(random_maps)
control_judged = at_each_depth(random_maps, control)
best = max(control_judged, key=lambda depth: control_judged[depth][2])
rows = []
for name, depth, found in (
    ("trained", chosen, judged),
    ("random weights", best, control_judged),
):
    i, n, b = found[depth]
    rows.append([name, depth, f"{i:.3f}", f"{n:.1%}", f"{b:.1%}"])
table(["backbone", "after block", "mean IoU", "class right", "both right"], rows)

# %% tags=["hide-input"]
with_it, without = judged[chosen], control_judged[best]
gains = [found[0] - lazy.mean for found in (with_it, without)]
if gains[0] <= 0:
    place = "With so short a training neither head is better than the mean box."
elif gains[1] <= 0:
    place = "Only the trained backbone helps its head to beat the mean box."
elif gains[1] < gains[0]:
    place = (
        f"Above the mean box the head on the trained backbone gains {gains[0]:.3f} of IoU, the "
        f"one on random weights {gains[1]:.3f}: **{gains[1] / gains[0]:.0%} of the gain comes "
        "without any training of the backbone.**"
    )
else:
    place = "The trained backbone gives no better boxes than random weights."
better = 100 * (with_it[1] - without[1])
more = "more" if better > 0 else "fewer"
classes = (
    "With the trained backbone the head names the right class for "
    f"{abs(better):.0f} {more} of 100 scenes than with random weights."
)
say(f"{place} {classes}")

# %% [markdown]
# Without the control we might have said that the backbone has learned where garments are. To claim
# that a network has learned something, compare it with one that has learned nothing.
#
# ## The test scenes, once
#
# Beside the mean box there is a second baseline: a linear guess from the **pooled** features, after
# the average, by least squares. It shows what is lost there.

# %%
pooled = {name: F.pad(maps[name][chosen].mean(dim=(2, 3)), (0, 1), value=1.0) for name in maps}
linear = torch.linalg.lstsq(pooled["train"], train.boxes, driver="gelsd").solution
head, _ = trained[chosen]
logits, found = detect(head, maps["test"][chosen])
_, by_chance = detect(control[best][0], random_maps["test"][best])
overlaps = {
    "always the mean box": iou(mean_box, test.boxes),
    "linear, from pooled features": iou(pooled["test"] @ linear, test.boxes),
    "detection head, backbone of random weights": iou(by_chance, test.boxes),
    "**detection head, trained backbone**": iou(found, test.boxes),
}


def with_interval(values, interval=score):
    result = interval(values.float())
    return f"{result.mean:.3f} ({result.low:.3f}–{result.high:.3f})"


rows = [
    [name, with_interval(values, resampled), with_interval(values >= 0.5)]
    for name, values in overlaps.items()
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
# An IoU is a number between 0 and 1, so the intervals of its mean come from drawing the scenes
# again and again (a bootstrap). The others are of shares of scenes: they are Wilson's.
#
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
thirds = dict(zip(("small", "middle", "large"), area.argsort().chunk(3), strict=True))
rows = [
    [name, f"{float(area[part].min()):.0%} to {float(area[part].max()):.0%}",
     with_interval(overlap[part], resampled), with_interval(right_class[part])]
    for name, part in thirds.items()
]  # fmt: skip
table(["garments", "share of the picture", "mean IoU", "class right"], rows)
small, large = (resampled(overlap[thirds[name]]) for name in ("small", "large"))
say(
    "Yes: small garments get worse boxes than large ones."
    if small.high < large.low
    else "These scenes do not tell: the intervals of small and large garments overlap."
)

# %% [markdown]
# Read the intervals before the means: a third of the test scenes is not many.
#
# ## Whom does it trust?
#
# The trust of the cells, laid over the scene:

# %%
shown = slice(0, 6)
with torch.inference_mode():
    _, trust, _ = head.ask_cells(maps["test"][chosen][shown])
trust = trust.view(-1, 1, *maps["test"][chosen].shape[2:])
spread = F.interpolate(trust, test.images.shape[2:], mode="bilinear")
lit = (test.images[shown] * (spread / spread.amax(dim=(2, 3), keepdim=True)) ** 0.5).byte()
x, y = cell_centres(*trust.shape[2:]).view(2, 1, 1, *trust.shape[2:])
centre_x, centre_y, width, height = test.boxes[shown, :, None, None].unbind(dim=1)
within = (abs(x[:, 0] - centre_x) < width / 2) & (abs(y[:, 0] - centre_y) < height / 2)
inside, covered = float((trust[:, 0] * within).sum() / len(within)), float(within.float().mean())
show(
    plots.picture_grid(torch.cat([test.images[shown], lit]), columns=6),
    alt="Six scenes; below, each is as bright as its cells are trusted. Of the trust "
    f"{inside:.0%} lies inside the true boxes.",
    caption="Above: test scenes. Below: as bright as the head trusts the cells there. The boxes "
    f"cover {covered:.0%} of these pictures and hold {inside:.0%} of the trust. The head was never "
    "told which cells are garment, only boxes.",
)

# %% [markdown]
# ## What you have learned
#
# - One backbone, another head: the head decides what is asked, and what may be averaged away.
# - A box needs the **map**. Pooled features have forgotten where.
# - A frozen backbone sees each picture once. Keep it in evaluation mode, and train on stored maps.
# - Ask every cell the same question relative to itself, and one rule serves all places.
# - Give a detector's IoU next to that of a detector that never looks, and next to a backbone of
#   random weights.
#
# This is no detector for several garments or for none, nor one for photos, whose boxes nobody has
# drawn. For both you would need other data, and one more answer a cell (*is there anything?*).
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
# They do not touch their true boxes. There IoU is constantly 0, which has no gradient. Move the
# slider above to the right end: generalised IoU still changes.
#
# </details>
#
# **3.** What would the head answer if you gave it the mean of the map in every cell?
#
# <details class="answer"><summary>Answer</summary>
#
# Nearly the same place for every scene: away from the rim all cells say the same, so no cell can be
# trusted more for where it is. Try it: `part = maps["test"][chosen]`, and then
# `detect(head, part.mean(dim=(2, 3), keepdim=True).expand_as(part))`.
#
# </details>
