# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The inverted residual block
#
# At the end of this book you will hold up a picture of a dress and get back the dresses that look
# most like it. The network behind that search is one small block, repeated. In this chapter we
# take that block apart: why it is narrow, then wide, then narrow again, what every step of it
# costs, and when its shortcut is allowed. This book follows [an
# article](https://github.com/niranjanaambadi/Fashion_search_engine/blob/65facdb/docs/fashion_search_blog_accessible.md)
# and checks what it says. Here we find two bugs in its block, and explain a parameter count that is
# thirteen times too big.
#
# **You need** some Python, and you should have seen an `nn.Module` before. You don't need a GPU or
# any data: nothing is trained here, and every cell answers within seconds.
#
# We count two things:
#
# - **Parameters** are the numbers that training has to find. They decide how large the file with
#   the network is.
# - **MACs** (multiply–accumulates) are the steps "multiply two numbers, add to a sum". They are
#   the arithmetic of looking at one picture. How long it takes is another matter, as we shall see.

# %% tags=["hide-input"]
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fashionlib import counting
from fashionlib.blocks import PLANS
from fashionlib.counting import count_macs, count_parameters, layer_table
from fashionlib.drawn import draw_garment, sample_garment
from fashionlib.heads import build_classifier
from fashionlib.pages import diagrams
from fashionlib.pages.show import say, show, table

plt.style.use("fashionlib.pages.book")
_ = torch.manual_seed(1)  # the same random numbers each time

# %% [markdown]
# ## A plain convolution, counted
#
# Our example throughout is a layer that takes 24 channels and gives 32. A plain 3×3 convolution
# does that with one kernel of 3×3 weights for **every pair** of an input and an output channel. It
# slides over the map, so at each position every weight is used once.

# %% tags=["nbval-check-output"]
plain = nn.Conv2d(24, 32, kernel_size=3, padding=1, bias=False)

print("weight:    ", list(plain.weight.shape))
print(f"parameters: {count_parameters(plain):,} = 32 · 24 · 3 · 3")
print(f"MACs:       {count_macs(plain, size=32, channels=24):,} = parameters · 32 · 32")

# %% [markdown]
# ## The same job in two steps
#
# A plain convolution does two jobs at once. It looks at a pixel's *neighbours*, and it *mixes
# channels*. MobileNets do one job at a time ([Sandler et al.,
# 2018](https://arxiv.org/abs/1801.04381)):
#
# 1. A **depthwise** 3×3 convolution looks at the neighbours, in each channel on its own.
#    In PyTorch that is `groups=` the number of channels.
# 2. A **1×1** convolution mixes the channels, at each pixel on its own.
#
# To see the difference, draw the weights of three small convolutions with 8 channels in and 8 out.

# %% tags=["hide-input"]
figure = diagrams.kernel_grid(
    {
        "plain 3×3": nn.Conv2d(8, 8, 3, bias=False),
        "depthwise 3×3 (groups=8)": nn.Conv2d(8, 8, 3, groups=8, bias=False),
        "1×1": nn.Conv2d(8, 8, 1, bias=False),
    }
)
show(
    figure,
    alt="Three grids of kernels, output channels down, input channels across. The plain 3×3 "
    "convolution fills the whole 8 by 8 grid with 3×3 kernels. The depthwise one has kernels on "
    "the diagonal only. The 1×1 convolution fills the grid with single numbers.",
    caption="Plain: a 3×3 kernel for every pair of channels. Depthwise: only the diagonal is left, "
    "channel 1 to channel 1, 2 to 2, and so on. 1×1: every pair, but a single number each.",
)

# %% [markdown]
# Now at the real size, 24 to 32 channels on a map of 32×32. **Before you run it:** how many times
# fewer weights will the two steps need, about 3, 7 or 9?
#
# <details class="answer"><summary>Answer</summary>
#
# About 7. A kernel of 3×3 lets you hope for 9, but the 1×1 convolution costs something too: for
# each pair of channels one weight instead of nine, and the depthwise weights come on top.
#
# </details>

# %%
separable = nn.Sequential(
    nn.Conv2d(24, 24, kernel_size=3, padding=1, groups=24, bias=False),
    nn.Conv2d(24, 32, kernel_size=1, bias=False),
)
layers = {
    "plain 3×3": plain,
    "depthwise 3×3": separable[0],
    "1×1": separable[1],
    "depthwise + 1×1": separable,
}
rows = []
for name, layer in layers.items():
    parameters, macs = count_parameters(layer), count_macs(layer, 32, channels=24)
    rows.append([name, f"{parameters:,}", f"{macs:,}"])
table(["layer", "parameters", "MACs"], rows)
saved = count_parameters(plain) / count_parameters(separable)
say(f"Two steps need **{saved:.1f} times** fewer weights and MACs.")

# %% [markdown]
# For a kernel of size $k$ and $c$ output channels the saving is
#
# $$\frac{k^2 c}{k^2 + c},$$
#
# which for $k = 3$ comes close to 9 when there are many channels, and never reaches it.
#
# What do we give up? With nothing between them, the two steps *are* a plain 3×3 convolution,
# whose kernels are products: the one from channel $i$ to channel $o$ is the depthwise kernel of
# $i$, times one number. Let us check that, and count how many different patterns can read one
# channel.

# %% tags=["nbval-check-output"]
depthwise, pointwise = separable[0].weight, separable[1].weight
as_plain = pointwise * depthwise.view(1, 24, 3, 3)  # [32, 24, 3, 3]

x = torch.randn(1, 24, 32, 32)
one_step = F.conv2d(x, as_plain, padding=1)
same = torch.allclose(separable(x), one_step, atol=1e-5)
print("the two steps equal one plain convolution:", same)

print("independent 3×3 patterns that read channel 0:")
for name, weight in {"plain": plain.weight, "two steps": as_plain}.items():
    kernels = weight[:, 0].flatten(1)  # [32, 9], one row for each output channel
    print(f"    {name}: {torch.linalg.matrix_rank(kernels).item()}")

# %% [markdown]
# So the saving has a price: each channel is looked at with **one** pattern, where the plain
# convolution had all nine that 3×3 pixels allow. The remedy is to have more channels to look at.
# That is the idea of the next section.
#
# ## Why wide in the middle
#
# A depthwise filter costs little, so it can afford *many* channels. The 1×1 convolutions cost
# (channels in) · (channels out), so they want at least one side to be *narrow*. Put together:
# stay narrow between blocks, and be wide only inside, around the filter.
#
# ```text
# 24 ──1×1──▶ 72 ──depthwise 3×3──▶ 72 ──1×1──▶ 32
# narrow      wide                  wide        narrow
# ```
#
# The older bottleneck block of ResNet ([He et al., 2016](https://arxiv.org/abs/1512.03385)) is wide
# outside and narrow inside, and its shortcut joins the wide ends. Here the shortcut joins the
# narrow ends, hence *inverted* residual. The factor 72 / 24 = 3 is the **expansion**. The article
# gives it for this one example only; [the repository that holds the
# article](https://github.com/niranjanaambadi/Fashion_search_engine) uses 3, 3 and 6 for its three
# blocks.
#
# There is a second reason, and it is about the activation. ReLU throws away what is below zero.
# [Sandler et al. (2018)](https://arxiv.org/abs/1801.04381) show with a thought experiment (their
# figure 1) when that hurts: take points on a spiral in the plane, lift them into $n$ dimensions
# with a random matrix $T$, apply ReLU, and try to come back.


# %%
def spiral(points: int = 400) -> Tensor:
    """Points on a spiral, float64 [points, 2]."""
    radius = torch.linspace(0.05, 1, points, dtype=torch.float64)
    angle = 14 * radius
    return torch.stack((radius * angle.cos(), radius * angle.sin()), dim=1)


def there_and_back(points: Tensor, n: int, seed: int) -> tuple[Tensor, ...]:
    """Lift to n dimensions, ReLU, and two ways back: T⁻¹ and the best linear map."""
    generator = torch.Generator().manual_seed(seed)
    lift = torch.randn(2, n, generator=generator, dtype=torch.float64)
    lifted = F.relu(points @ lift)
    by_inverse = lifted @ torch.linalg.pinv(lift)
    with_offset = F.pad(lifted, (0, 1), value=1.0)  # a column of ones
    best = with_offset @ torch.linalg.pinv(with_offset) @ points
    return lifted, by_inverse, best


# %% [markdown]
# $T^{-1}$ (the pseudo-inverse, as $T$ is not square) is what the paper draws. The *best linear map*
# is found by least squares with the answer in view: no 1×1 convolution, however well trained,
# could do better.

# %% tags=["hide-input"]
points, sizes = spiral(), (2, 3, 5, 15, 30)
inverse, best = zip(*(there_and_back(points, n, seed=4)[1:] for n in sizes), strict=True)
show(
    diagrams.spirals(
        {"back by T⁻¹": (points, *inverse), "best linear map": (points, *best)},
        ["the spiral", *(f"n = {n}" for n in sizes)],
    ),
    alt="Two rows of six curves: the spiral, and what comes back from 2, 3, 5, 15 and 30 "
    "dimensions. From 2 and 3 dimensions large parts of the spiral are folded onto straight lines. "
    "From 15 and 30 it is a spiral again, nearly perfect in the second row.",
    caption="With n = 2 or 3 whole arcs of the spiral collapse into a line: what ReLU zeroed, no "
    "map brings back. From 15 dimensions on, the spiral survives. Colour runs along the spiral.",
)

# %% [markdown]
# One random matrix may be lucky, so here are 100 of them for each $n$. The error is the distance
# between a point and where it came back to (root mean square), as a share of the points' distance
# from the middle. The table gives the median error of the 100, and the mean share of points where
# all is zero.


# %%
def length(vectors: Tensor) -> float:
    """Root mean square length of float [points, 2]."""
    return vectors.square().sum(dim=1).mean().sqrt().item()


rows, errors = [], {}
for n in sizes:
    tries = [there_and_back(points, n, seed) for seed in range(100)]
    lost = np.mean([(lifted == 0).all(dim=1).double().mean() for lifted, _, _ in tries])
    inverse = np.median([length(back - points) for _, back, _ in tries])
    best = np.median([length(back - points) for _, _, back in tries])
    errors[n] = best / length(points)
    rows.append([n, f"{lost:.0%}", f"{inverse / length(points):.0%}", f"{errors[n]:.1%}"])
table(["n", "points where all is zero", "error by T⁻¹", "error of the best map"], rows)

# %% tags=["hide-input"]
say(
    f"Through 2 dimensions even the best map misses by {errors[2]:.0%} of the spiral's size; "
    f"through 30 by {errors[30]:.1%}. (T⁻¹ stays far off for a dull reason: ReLU removes about "
    "half of what was there, so that way back brings everything to about half its size.)"
)
assert errors[2] > errors[3] > 0.3
assert errors[30] < errors[15] < 0.05

# %% [markdown]
# Both rules of the block follow:
#
# - **Wide where there is an activation.** With room to spare, what one channel loses another keeps.
# - **No activation where it is narrow.** The last 1×1 convolution has none, it is a *linear
#   bottleneck* (section 3.2 of the paper).
#
# The block uses ReLU6, which is ReLU with a lid at 6. The lid keeps values in a range that
# low-precision arithmetic on phones can hold.
#
# ## The block, written out
#
# First the piece that occurs three times: a convolution, batch normalisation, and perhaps ReLU6.


# %%
# the same code as fashionlib.blocks.conv_bn, kept equal by a test
def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: bool = True,
) -> nn.Sequential:
    """Convolution, batch normalisation and (unless `activation=False`) ReLU6."""
    layers: list[nn.Module] = [
        nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(out_channels),
    ]
    if activation:
        layers.append(nn.ReLU6(inplace=True))
    return nn.Sequential(*layers)


# %% [markdown]
# Then the block. It reads like the picture: `expand`, `filter`, `project`. Two switches,
# `depthwise` and `project_skip`, are there so that we can take the block's mistakes and variants
# apart below.


# %%
# the same code as fashionlib.blocks.InvertedResidual, kept equal by a test
class InvertedResidual(nn.Module):
    """Expand, filter each channel on its own, project: narrow, wide, narrow."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expansion: int = 6,
        stride: int = 1,
        *,
        depthwise: bool = True,
        project_skip: bool = False,
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        groups = hidden if depthwise else 1
        self.expand = conv_bn(in_channels, hidden)
        self.filter = conv_bn(hidden, hidden, kernel=3, stride=stride, groups=groups)
        self.project = conv_bn(hidden, out_channels, activation=False)
        self.skip: nn.Module | None = None
        if stride == 1 and in_channels == out_channels:
            self.skip = nn.Identity()
        elif project_skip:
            self.skip = conv_bn(in_channels, out_channels, stride=stride, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] to [N, out_channels, H / stride, W / stride]."""
        out = self.project(self.filter(self.expand(x)))
        return out if self.skip is None else out + self.skip(x)


# %% [markdown]
# ## Each step as a picture of tensors
#
# Here is a block with stride 2, so that all four tensors differ. The stride sits in the filter:
# its kernel stops only at every second position, so what follows works on a quarter of the pixels.

# %% tags=["nbval-check-output"]
block = InvertedResidual(24, 32, expansion=3, stride=2)
steps = layer_table(block, input_shape=(24, 32, 32), depth=1)

print("step     output          parameters        MACs")
for name, shape, parameters, macs in steps:
    print(f"{name:8} {shape!s:16}{parameters:10,}{macs:12,}")
parameters, macs = count_parameters(block), count_macs(block, 32, channels=24)
print(f"together {parameters:26,}{macs:12,}")

# %% [markdown]
# (The parameters are those of the convolution and two per channel for the normalisation after it.
# The MACs are the convolution's: once training is over, the normalisation can be folded into it.)

# %% tags=["hide-input"]
dear = max(steps, key=lambda step: step.macs)
show(
    diagrams.block_boxes((24, 32, 32), steps),
    alt="Four boxes, from left to right 24 by 32 by 32, 72 by 32 by 32, 72 by 16 by 16 and 32 by "
    "16 by 16. Arrows named expand, filter and project lead from one to the next. "
    + " ".join(f"{s.name}: {s.parameters:,} parameters, {s.macs:,} MACs." for s in steps),
    caption="The four tensors, drawn to scale: thickness is channels, height and depth are the "
    f"map. The step with most MACs is “{dear.name}”; the 3×3 filter is the cheapest of the three.",
)
assert min(steps, key=lambda step: step.macs).name == "filter"

# %% [markdown]
# And here is what flows through those boxes. We draw a garment, turn it into 24 channels with a
# first convolution, and watch the first eight channels of each tensor. All weights are still
# random. Even so, you can see what each step is able to do.

# %%
garment = replace(
    sample_garment(np.random.default_rng(11), "t-shirt"),
    colour="blue",
    pattern="stripes",
    display="hanger",
    backdrop="studio",
)
picture = np.array(draw_garment(garment, size=128))  # uint8 [128, 128, 3]

pixels = torch.from_numpy(picture).permute(2, 0, 1).unsqueeze(0) / 127.5 - 1
stem = conv_bn(3, 24, kernel=3, stride=2)
tensors = {"input": stem(pixels)}
tensors["expand"] = block.expand(tensors["input"])
tensors["filter"] = block.filter(tensors["expand"])
tensors["project"] = block.project(tensors["filter"])

# %% tags=["hide-input"]
model = f"a {garment.colour} {garment.category} with {garment.pattern}"
show(
    diagrams.activation_rows(picture, {name: tensor[0] for name, tensor in tensors.items()}),
    alt=f"On the left {model}. On the right four rows of eight small maps, in all of which the "
    "garment can be made out: the input of the block, the expanded, the filtered and the projected "
    "tensor. The last two rows are coarser.",
    caption="Down a column, “filter” shows the channel above it, blurred or edged by its own 3×3 "
    "kernel: it never looks at another channel. “expand” and “project” mix all channels, so their "
    "columns have nothing to do with the row above. Each row has its own scale.",
)

# %% tags=["nbval-check-output"]
for name, tensor in tensors.items():
    sign = "some values below zero" if tensor.min() < 0 else "nothing below zero"
    print(f"{name:8}{list(tensor.shape)!s:18}{sign}")

# %% [markdown]
# The last line is the linear bottleneck: the only step whose output may be negative.
#
# ## When the skip is allowed
#
# A *residual* block adds its input to its output, so that it only has to learn the difference ([He
# et al., 2016](https://arxiv.org/abs/1512.03385)). The article prints a block that always does, and
# ends in `F.relu(out + skip)`. Here it is with stride 1 and expansion 3, made of our `conv_bn` (so
# with ReLU6 where the article has ReLU):


# %%
class AsPrinted(nn.Module):
    """The article's block: expand, depthwise, project, `relu(out + skip)`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        hidden = 3 * in_channels
        self.expand = conv_bn(in_channels, hidden)
        self.filter = conv_bn(hidden, hidden, kernel=3, groups=hidden)
        self.project = conv_bn(hidden, out_channels, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.filter(self.expand(x)))
        return F.relu(out + x)


# %% [markdown]
# **Before you run it:** the article's own example takes 24 channels and gives 32. What will this
# block say to a map of 24 channels?
#
# <details class="answer"><summary>Answer</summary>
#
# It stops with an error. `out` has 32 channels and `x` has 24, and PyTorch can't add the two.
#
# </details>

# %%
import textwrap

x = torch.randn(1, 24, 32, 32)
try:
    AsPrinted(24, 32)(x)
except RuntimeError as error:
    print("RuntimeError:", *textwrap.wrap(str(error), 60), sep="\n    ")
else:
    raise AssertionError("adding 24 channels to 32 should have failed")

# %% [markdown]
# That is the first bug. The MobileNetV2 paper puts shortcuts between bottlenecks (section 3.3) and
# draws one only where the stride is 1 (figure 4d). An addition needs **equal shapes**: stride 1
# *and* the same channels. Elsewhere there is no skip, and the block works without. As a truth
# table, computed:

# %% tags=["nbval-check-output"]
print("stride  channels   skip   output")
for stride in (1, 2):
    for channels in (24, 32):
        trial = InvertedResidual(24, channels, expansion=3, stride=stride)
        out = trial(torch.randn(1, 24, 32, 32))
        allowed = stride == 1 and channels == 24
        assert (trial.skip is not None) == allowed
        assert (out.shape == (1, 24, 32, 32)) == allowed
        answer = "yes" if allowed else "no"
        print(f"{stride:<8}24 → {channels:<6}{answer:7}{list(out.shape)}")

# %% [markdown]
# There is a third way. Where the shapes differ, let the input take a detour through a 1×1
# convolution of its own, with the same stride. The ResNet paper compares such *projection
# shortcuts* with cheaper ones and finds them slightly better. The [article's
# repository](https://github.com/niranjanaambadi/Fashion_search_engine) uses them too; without
# them its network would not run. Our blocks do it with `project_skip=True`. It isn't free:

# %%
without_skip = InvertedResidual(24, 32, expansion=3, stride=2)
with_skip = InvertedResidual(24, 32, expansion=3, stride=2, project_skip=True)
rows = []
for name, trial in {"no skip": without_skip, "projected skip": with_skip}.items():
    parameters, macs = count_parameters(trial), count_macs(trial, 32, channels=24)
    rows.append([name, f"{parameters:,}", f"{macs:,}"])
table(["24 → 32, stride 2", "parameters", "MACs"], rows)
more = count_parameters(with_skip) / count_parameters(without_skip) - 1
say(f"For this block the detour adds {more:.0%} to the parameters.")

# %% [markdown]
# ### The second bug: a ReLU at the narrow end
#
# The printed block also ends in a ReLU, *after* the sum. That is the one place that should have no
# activation: the narrow end. The linear bottleneck is not linear any more. With 24 channels in and
# out the block runs, so compare what comes out of it and out of ours:

# %%
ends = {"as printed": AsPrinted(24, 24), "ours": InvertedResidual(24, 24, 3)}
rows, zeroed = [], {}
for name, each in ends.items():
    out = each(x.relu())  # nothing below zero: so end the article's stem and its blocks
    below, zeroed[name] = (out < 0).float().mean(), (out == 0).float().mean()
    rows.append([name, f"{below:.0%}", f"{zeroed[name]:.0%}"])
table(["block, 24 → 24", "numbers below zero", "exactly zero"], rows)
say(
    f"The last ReLU sets {zeroed['as printed']:.0%} of the narrow map to zero, and there is "
    "no error message. The next block, and its skip, get only what is left."
)
assert zeroed["as printed"] > 0.3 > zeroed["ours"]

# %% [markdown]
# How much that costs a trained network, these random weights can't say. [Chapter
# 5](05_every_number.ipynb) trains both.

# %% [markdown]
# ## The mystery of the 429K
#
# The article stacks three such blocks, puts `Linear(64, 7)` on top for its seven classes of
# clothes, and says that the network has **429K parameters**. In our library that network is the
# plan `"article"`: a first 3×3 convolution, the *stem*, then three blocks. The article mentions no
# stem, gives no strides, and gives channels and expansion only for its one example. We take all
# these, and the projected skips, from [its
# repository](https://github.com/niranjanaambadi/Fashion_search_engine). (Our plan leaves out the
# ReLU after the sum. A ReLU has no parameters, so the count is the same with it.)

# %% tags=["nbval-check-output"]
print("stem:", PLANS["article"].stem, "channels")
for t, c, n, s in PLANS["article"].stages:
    print(f"{n} block: expansion {t}, {c} channels out, stride {s}")

network = build_classifier("article", classes=7)
print(f"parameters: {count_parameters(network):,}")

# %% tags=["hide-input"]
claimed = 429_000  # what the article says
say(
    f"We count {count_parameters(network):,}. The article says 429K, "
    f"**{claimed / count_parameters(network):.0f} times** as many. One of us is wrong."
)

# %% [markdown]
# It can't be the size of the pictures: convolutions have the same weights for any size. It can't
# be the head: `Linear(64, 7)` is small. Something inside the blocks must be huge. Suppose that one
# argument was forgotten: `groups`. Then the "depthwise" filter becomes a plain 3×3 convolution
# between all the wide channels, and PyTorch doesn't complain. The shapes are the same, the network
# runs, it even trains.

# %% tags=["nbval-check-output"]
with_groups = build_classifier("article", classes=7)
without_groups = build_classifier("article-dense", classes=7)

print(f"with groups:    {count_parameters(with_groups):8,}")
print(f"without groups: {count_parameters(without_groups):8,}")
assert count_parameters(with_groups) == 33_039
assert count_parameters(without_groups) == 429_399
assert round(429_399 / 33_039) == 13

# %% [markdown]
# 429,399 is 429K. Layer by layer, we see where the numbers come from:


# %%
def weights_by_layer(network: nn.Module) -> dict[str, int]:
    """Weights of each convolution, and all the rest (norms and head) together."""
    weights = {}
    for name, part in network.backbone.blocks.named_modules():
        if isinstance(part, nn.Conv2d):
            place = "block " + name.removesuffix(".0")
            weights["stem" if place == "block 0" else place] = part.weight.numel()
    weights["norms and head"] = count_parameters(network) - sum(weights.values())
    return weights


dense, sparse = weights_by_layer(without_groups), weights_by_layer(with_groups)
differing = [layer for layer in dense if dense[layer] != sparse[layer]]
print("different:", ", ".join(differing))

# %% tags=["hide-input"]
show(
    diagrams.layer_bars({"without groups": dense, "with groups": sparse}),
    alt="Horizontal bars, the parameters of each layer of the article's network with and without "
    "groups. All layers are equal except the three filters: "
    + "; ".join(f"{name} {dense[name]:,} against {sparse[name]:,}" for name in differing)
    + ".",
    caption="Only the three 3×3 filters differ. Without groups, the last of them alone holds most "
    "of the network.",
)
big, small = (sum(weights[name] for name in differing) for weights in (dense, sparse))
say(
    f"Without `groups`, the three filters hold {big:,} weights, "
    f"{big / count_parameters(without_groups):.0%} of the network; with it {small:,}. "
    f"The difference, {big - small:,}, is exactly what separates the two counts."
)
assert big - small == 429_399 - 33_039
assert max(dense.values()) > 429_399 / 2

# %% [markdown]
# All three digits fit, and [chapter 5](05_every_number.ipynb) finds more that fits: the article's
# headline number is the count of a bug. The network that it describes, with depthwise convolutions,
# is thirteen times smaller.
#
# No accuracy, no loss curve and no error message shows this bug. One line does. A depthwise
# convolution has weights of shape `[channels, 1, 3, 3]`, and that 1 can be asserted:

# %% tags=["nbval-check-output"]
for name, network in {"with": with_groups, "without": without_groups}.items():
    shapes = [block.filter[0].weight.shape for block in network.backbone.blocks[1:]]
    depthwise = all(shape[1:] == (1, 3, 3) for shape in shapes)  # the one line
    print(f"{name} groups:", *map(list, shapes))
    print("    all depthwise:", depthwise)

# %% [markdown]
# Make it a habit: **when a layer is special, assert what makes it special.** Our tests do that for
# both plans that are meant to be depthwise.
#
# ## Does it cut parameters three times?
#
# The article also says that the block "cuts parameters 3×". Three times fewer than what? A saving
# needs a rival, so here are three, all from 24 to 32 channels with stride 1:

# %%
one, two = conv_bn(24, 32, kernel=3), conv_bn(32, 32, kernel=3, activation=False)
rivals = {
    "one plain 3×3 convolution": one,
    "two plain 3×3 convolutions, as in a ResNet block": nn.Sequential(one, two),
    "the same block, filter dense": InvertedResidual(24, 32, 3, depthwise=False),
}
block = InvertedResidual(24, 32, 3)
ratios, rows = {}, []
for name, rival in {"inverted residual block": block, **rivals}.items():
    parameters, macs = count_parameters(rival), count_macs(rival, 32, channels=24)
    ratios[name] = parameters / count_parameters(block)
    rows.append([name, f"{parameters:,}", f"{ratios[name]:.1f}×", f"{macs:,}"])
table(["layer", "parameters", "times the block's", "MACs on 32×32"], rows)

# %% tags=["hide-input"]
holds = [name for name in rivals if round(ratios[name]) == 3]
others = [f"{ratios[name]:.1f}× against {name}" for name in rivals if name not in holds]
say(
    f"**Verdict:** “3×” holds against {' and '.join(holds) or 'none of them'}. "
    f"It is {' and '.join(others)}. A saving is worth as much as the rival it names."
)

# %% [markdown]
# ## The same budget, spent on depth
#
# Take the article's 429,399 parameters as a budget. If the filters are truly depthwise, how much
# network do they buy? Our `fashion` plan spends them on more blocks instead of on three dense
# filters. In the notation of the paper's table 2, `n` blocks of expansion `t` with `c` channels,
# the first with stride `s`:

# %% tags=["nbval-check-output"]
for name in ("article-dense", "fashion"):
    plan = PLANS[name]
    network = build_classifier(plan, classes=7)
    print(f"{name}: {count_parameters(network):,} parameters, stem {plan.stem}")
    for t, c, n, s in plan.stages:
        print(f"    t={t}  c={c}  n={n}  s={s}")
    assert count_parameters(network) <= 429_399

# %%
rows, blocks, macs = [], {}, {}
for name in PLANS:
    network = build_classifier(name, classes=7)
    blocks[name] = list(network.backbone.blocks[1:])
    skips = sum(isinstance(block.skip, nn.Identity) for block in blocks[name])
    macs[name] = count_macs(network, 128) / 1e6
    cost = f"{count_parameters(network):,}", f"{macs[name]:.0f} million"
    rows.append([f"`{name}`", *cost, len(blocks[name]), skips])
table(["plan", "parameters", "MACs at 128 px", "blocks", "with a true skip"], rows)

# %% tags=["hide-input"]
times = len(blocks["fashion"]) / len(blocks["article-dense"])
say(
    f"About the same parameters and MACs ({macs['fashion']:.0f} against "
    f"{macs['article-dense']:.0f} million), and **{times:.0f} times as many blocks**, "
    "most of them with a true skip."
)

# %% [markdown]
# Whether depth is worth it is a question for training: see [chapter
# 9](09_what_each_change_is_worth.ipynb). First, two things that can be measured now.
#
# ## MACs are not milliseconds
#
# Two layers with the same MACs: a dense 3×3 convolution of 16 channels, and a depthwise one of
# 256. (16 · 16 kernels in one, 256 in the other.) **Before you run it:** which one is faster?
#
# <details class="answer"><summary>Answer</summary>
#
# On most processors the dense one. Both multiply as often, but the depthwise layer has to fetch and
# store maps of 256 channels, 16 times as many numbers, and uses each of them for few products.
# Often it is memory that takes the time, not arithmetic.
#
# </details>

# %%
import statistics
from functools import partial

from fashionlib.pages.latency import middle, take_turns

layers = {
    "dense, 16 channels": nn.Conv2d(16, 16, 3, padding=1),
    "depthwise, 256 channels": nn.Conv2d(256, 256, 3, padding=1, groups=256),
}
runs = {}
for name, layer in layers.items():
    layer.to(memory_format=torch.channels_last).requires_grad_(False)
    maps = torch.zeros(8, layer.in_channels, 56, 56)
    maps = maps.contiguous(memory_format=torch.channels_last)
    runs[name] = partial(layer, maps)  # a call of layer(maps), for later
spent, _ = take_turns(runs, rounds=30)  # by the clock, in turns

# %%
rows = []
for name, layer in layers.items():
    millions = count_macs(layer, 56, channels=layer.in_channels) / 1e6
    numbers = 2 * layer.in_channels * 56 * 56  # fetched and stored
    ms = statistics.median(spent[name]) / 8
    rows.append([name, f"{millions:.1f}", f"{numbers:,}", f"{ms:.2f}"])
table(["layer", "million MACs", "numbers in and out", "ms a map"], rows)

# %% tags=["hide-input"]
dense, thin = spent.values()
ratio = statistics.median(b / a for a, b in zip(dense, thin, strict=True))
low, high = middle([b / a for a, b in zip(dense, thin, strict=True)])
said = f"{ratio:.1f} times as long (half of the rounds: {low:.1f} to {high:.1f})"
if low > 1.1:
    conclusion = "Counting MACs alone would have called it a tie."
elif high < 0.9:
    conclusion = "Here it is the dense layer that waits; another machine may differ."
else:
    conclusion = "On this machine they are about as fast; another may differ."
say(f"For equal MACs the depthwise layer takes **{said}**. {conclusion}")
assert rows[0][1] == rows[1][1]

# %% [markdown]
# Fewer MACs need not make a network faster by the same factor. If you want milliseconds, measure
# them: [chapter 5](05_every_number.ipynb) does, for whole networks.
#
# ## How much does it see?
#
# One number in the last map depends on a square of pixels, its **receptive field**. A pixel outside
# can't change it. Each convolution of kernel $k$ widens the square by $(k - 1)$ times the distance
# $d$, in pixels, between two neighbours of its input; each stride $s$ multiplies that distance:
#
# $$r \leftarrow r + (k - 1)\, d, \qquad d \leftarrow s\, d,$$
#
# beginning with $r = d = 1$. Convolutions of 1×1 see nothing new. What counts is the number of 3×3
# filters, and above all how many of them come after the strides.

# %%
from itertools import zip_longest

backbones = {name: build_classifier(name).backbone for name in ("article", "fashion")}
fields = {}
for name, backbone in backbones.items():
    layers = counting.receptive_fields(backbone)
    fields[name] = [layer.size for layer in layers if layer.kernel == 3]

places = ["stem", *(f"block {i}" for i in range(1, 13))]
rows = zip_longest(places, fields["article"], fields["fashion"], fillvalue="")
table(["after", "`article`, pixels", "`fashion`, pixels"], list(rows))

# %% [markdown]
# Does a measurement agree with the formula? Ask autograd: which pixels have a gradient that isn't
# zero when we follow the middle of the last map back to the picture?

# %% tags=["nbval-check-output"]
for name, backbone in backbones.items():
    formula = counting.receptive_field(backbone)
    measured = counting.measured_receptive_field(backbone.blocks)
    print(f"{name:8} formula {formula:4} px, measured {measured:4} px")
    assert formula == measured

# %% tags=["hide-input"]
maps = {name: counting.footprint(b.blocks, size=128) for name, b in backbones.items()}
show(
    diagrams.footprints(picture, maps, [sizes[-1] for sizes in fields.values()]),
    alt=f"Two columns over {model}. Left, the article's network: the middle of its last map sees a "
    f"small square of {fields['article'][-1]} pixels, a piece of the fabric. Right, the fashion "
    "plan: it sees all 128 by 128 pixels. Below, the influence of each pixel, greatest in the "
    "middle and fading outwards.",
    caption="Above: what one position in the middle of the last map can see of a picture of 128 "
    "pixels. The article's network sees a patch of fabric, ours the whole garment. Below: how much "
    "each pixel counts (random weights). The middle counts most, the rim hardly at all.",
)

# %% tags=["hide-input"]
near = fields["article"][-1]
say(
    f"For the article's network the field is {near} pixels: {near / 64:.0%} of the width of "
    f"a picture of 64 pixels, {near / 128:.0%} of one of 128. Its final average is a vote among "
    "patches of that size, none of which sees the whole garment."
)

# %% [markdown]
# ## Swap a part
#
# The article's lesson is modular design: a backbone gives features, a head turns them into an
# answer, and each can be replaced. The backbone says in `features` how many numbers it gives;
# that is all a head has to know.

# %% tags=["nbval-check-output"]
from fashionlib.blocks import MobileNetBackbone
from fashionlib.heads import ClassificationHead, EmbeddingHead

pictures = torch.randn(2, 3, 128, 128)
for plan in ("article", "fashion"):
    for head, numbers in ((ClassificationHead, 7), (EmbeddingHead, 64)):
        backbone = MobileNetBackbone(plan)
        model = nn.Sequential(backbone, head(backbone.features, numbers))
        print(f"{plan:8}{head.__name__:20}{list(model(pictures).shape)}")

# %% [markdown]
# [Chapter 3](03_train_with_triplets.ipynb) puts the second head on a trained backbone, [chapter
# 7](07_detection_head.ipynb) a third one, and exercise 2 takes other people's backbones.
#
# ## Try it yourself
#
# Move the sliders and watch the three steps. Some things to find out:
#
# 1. Change only the **map size**. Which column moves, and which doesn't?
# 2. Up to which **expansion** has the block fewer parameters than the plain 3×3 convolution?
# 3. Switch **depthwise** off. Which bar grows most? That is a missing `groups`.
# 4. Find a setting with a **skip**. What do all such settings have in common?
#
# <details class="answer"><summary>Answers</summary>
#
# **1.** The outputs and the MACs change, the parameters do not. **2.** Up to 4, with 24 channels in
# and 32 out. **3.** That of the 3×3 filter. **4.** Stride 1, and as many channels out as in.
#
# </details>
#
# <div class="block-explorer"></div>
#
# *On the web page* you see sliders right above this sentence: a small script that counts by
# formula, since no Python runs in a page. *In Jupyter* there is nothing above, and the next cell
# makes the same sliders, which count real PyTorch modules. A test holds the two equal.

# %% tags=["remove-output"]
from fashionlib.pages.block_explorer import block_explorer

block_explorer()

# %% [markdown]
# ## What you have learned
#
# - A plain convolution looks at neighbours and mixes channels at once. Depthwise plus 1×1 does one
#   after the other, with close to nine times fewer weights where there are many channels.
# - Depthwise filters are cheap, so the block is **wide** around them; 1×1 convolutions are not, so
#   it is **narrow** outside. An activation belongs where it is wide.
# - The skip is an addition, and an addition needs **equal shapes**: stride 1 and the same channels.
#   Anything else is no skip, or a projected one. No activation comes after the sum.
# - A missing `groups=` raises no error. It makes the filter dense and the network many times too
#   big. **Assert the weight's shape.**
# - Parameters, MACs and milliseconds are three things. Count the first two, **measure** the third.
# - A backbone that says how many features it gives takes any head.
#
# ## Questions
#
# **1.** What is the weight shape of `nn.Conv2d(64, 64, 3, groups=64)`, and of the same without
# `groups`?
#
# <details class="answer"><summary>Answer</summary>
#
# With `groups=64` it is `[64, 1, 3, 3]`: each output channel reads one input channel. Without, it
# is `[64, 64, 3, 3]`, so 64 times as many weights. Run `nn.Conv2d(64, 64, 3).weight.shape`.
#
# </details>
#
# **2.** Why does the block end without an activation, while both steps before it have one?
#
# <details class="answer"><summary>Answer</summary>
#
# Because its end is narrow. ReLU6 in few dimensions destroys what it sets to zero, as the spiral
# shows; in many dimensions the other channels still carry it. The steps before are wide.
#
# </details>
#
# **3.** You feed a network pictures twice as high and wide. What happens to its parameters, its
# MACs and its receptive field in pixels?
#
# <details class="answer"><summary>Answer</summary>
#
# The parameters stay. The MACs of the convolutions grow four times, since each map has four times
# as many positions. The receptive field stays the same number of pixels, so it covers a smaller
# part of the garment. Compare `count_macs(network, 64)` with `count_macs(network, 128)`.
#
# </details>
#
# **4.** A block has stride 2 and 64 channels in and out. May it add its input?
#
# <details class="answer"><summary>Answer</summary>
#
# No. The channels agree, but the output has half the height and width. With `project_skip=True` it
# can, through a 1×1 convolution of stride 2. Print `InvertedResidual(64, 64, 3, stride=2)`, and the
# same with `project_skip=True`.
#
# </details>
#
# Next, [chapter 2](02_train_a_classifier.ipynb) trains networks of these blocks, and finds out how
# often they tell a dress from a longsleeve.
