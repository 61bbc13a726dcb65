"""The drawings of chapters 0 and 1. Each returns a figure; the chapter says what to see in it."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from torch import Tensor, nn

from fashionlib.counting import LayerCount
from fashionlib.pages.plots import PALETTE, bare, row_figure

INK = "#333333"
WHAT = {
    "expand": "1×1, mixes channels", "filter": "3×3, each channel alone",
    "project": "1×1, no activation",
}  # fmt: skip


def two_heads(picture: Tensor) -> Figure:
    """A picture uint8 [3, H, W], the backbone that it goes into, and the two heads behind it."""
    figure, axis = plt.subplots(figsize=(8.6, 2.8))
    axis.imshow(picture.permute(1, 2, 0).numpy(), extent=(0.05, 1.35, -0.65, 0.65))
    _arrow(axis, (1.35, 0), (1.85, 0))
    _label(axis, 1.85, 0, 1.45, "backbone\nblock by block\n(chapter 1)", PALETTE[0])
    axis.text(3.75, 0, "features", size=9, va="center")
    is_what = "what is it?\na probability\nfor each class"
    is_like = "what is it like?\na point among others;\nthe near ones are alike"
    for y, name, colour, answer in (
        (0.75, "classification head\n(chapter 2)", "#B34700", is_what),
        (-0.75, "embedding head\n(chapter 3)", "#007A5A", is_like),
    ):
        _arrow(axis, (3.3, 0), (4.5, y))
        _label(axis, 4.5, y, 1.6, name, colour)
        _arrow(axis, (6.1, y), (6.65, y))
        axis.text(6.7, y, answer, va="center", size=9)
    axis.set(xlim=(0, 8.6), ylim=(-1.3, 1.3))
    axis.axis("off")
    return figure


def _label(axis: Axes, x: float, y: float, width: float, text: str, colour: str) -> None:
    """A rounded box with white text; its left end is at x, its middle at height y."""
    style = "round,pad=0,rounding_size=0.12"
    axis.add_patch(FancyBboxPatch((x, y - 0.42), width, 0.84, style, fc=colour, ec="none"))
    middle = {"ha": "center", "va": "center", "color": "white", "size": 9}
    axis.text(x + width / 2, y, text, **middle)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """An arrow, with a little room at both ends."""
    line = {"arrowstyle": "-|>", "color": INK, "lw": 1.5, "shrinkA": 3, "shrinkB": 3}
    axis.annotate("", end, start, arrowprops=line)


def kernel_grid(convolutions: Mapping[str, nn.Conv2d]) -> Figure:
    """Every kernel of a few convolutions: a row for each output channel, a column for each input.

    Kernels that `groups` leaves out are drawn empty.
    """
    figure, axes = plt.subplots(1, len(convolutions), figsize=(7.6, 3))
    for axis, (title, conv) in zip(axes, convolutions.items(), strict=True):
        outputs, inputs, kernel = conv.out_channels, conv.in_channels, conv.kernel_size[0]
        inside = inputs // conv.groups
        image = np.full((outputs, kernel + 1, inputs, kernel + 1), np.nan)
        for o, weights in enumerate(conv.weight.detach().cpu().abs()):
            first = o * conv.groups // outputs * inside
            image[o, :kernel, first : first + inside, :kernel] = weights.swapaxes(0, 1)
        image = image.reshape(outputs * (kernel + 1), -1)
        axis.imshow(image[:-1, :-1], cmap="cividis", vmin=0)
        axis.set(title=f"{title}\n{conv.weight.numel()} weights")
        axis.set(xlabel="input channels", ylabel="output channels")
        bare(axis)
    return figure


def spirals(rows: Mapping[str, Sequence[Tensor]], titles: Sequence[str]) -> Figure:
    """Curves in the plane, float [points, 2], coloured from their first point to their last."""
    figure, axes = plt.subplots(len(rows), len(titles), figsize=(8, 1.6 * len(rows)))
    for line, (name, curves) in zip(axes, rows.items(), strict=True):
        for axis, curve in zip(line, curves, strict=True):
            x, y = curve.T.numpy()
            axis.scatter(x, y, c=np.arange(len(x)), s=4, linewidths=0)
            bare(axis)
            axis.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(name)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
    return figure


def block_boxes(input_shape: tuple[int, int, int], lines: Sequence[LayerCount]) -> Figure:
    """The tensors of a block as boxes to scale, and what each step between them costs."""
    shapes = [input_shape, *(line.shape for line in lines)]
    most_channels = max(shape[0] for shape in shapes)
    most_pixels = max(shape[1] for shape in shapes)
    figure, axis = plt.subplots(figsize=(7.8, 3.3))
    x = 0.0
    for number, (channels, height, width) in enumerate(shapes):
        thick = 1.5 * channels / most_channels
        high, deep = 1.5 * height / most_pixels, 0.6 * width / most_pixels
        if number:
            line = lines[number - 1]
            ends = (x + 0.1, 0), (x + 1.25, 0)
            axis.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=14, color=INK))
            middle = x + 0.62
            axis.text(middle, 1.62, line.name, ha="center", weight="bold", color=INK, size=11)
            axis.text(middle, 1.36, WHAT.get(line.name, ""), ha="center", size=8.5, color=INK)
            cost = f"{line.parameters:,} parameters\n{line.macs / 1e6:.2f} million MACs"
            axis.text(middle, -1.62, cost, ha="center", va="center", size=9, color=INK)
            x += 1.4
        colour = PALETTE[0] if channels == most_channels else PALETTE[5]
        _box(axis, x, thick, high, deep, colour)
        label = f"{channels} × {height} × {width}"
        axis.text(x + (thick + deep) / 2, -1.1, label, ha="center", size=9, weight="bold")
        x += thick + deep
    axis.set(xlim=(-0.3, x + 0.3), ylim=(-1.95, 1.9), aspect="equal")
    axis.axis("off")
    return figure


def _box(axis: Axes, x: float, thick: float, high: float, deep: float, colour: str) -> None:
    """A box seen from the front left: `thick` to the right, `high` up, `deep` to the back."""
    low, top, right = -high / 2 - deep / 4, high / 2 - deep / 4, x + thick
    front = [(x, low), (right, low), (right, top), (x, top)]
    back = [(a + deep, b + deep / 2) for a, b in front]
    above = [front[3], front[2], back[2], back[3]]
    side = [front[1], back[1], back[2], front[2]]
    for corners, alpha in ((front, 0.95), (above, 0.6), (side, 0.35)):
        axis.add_patch(Polygon(corners, facecolor=colour, alpha=alpha, edgecolor="white", lw=1))


def activation_rows(picture: np.ndarray, tensors: Mapping[str, Tensor], columns: int = 8) -> Figure:
    """A picture [H, W, 3], then the first channels of each tensor, float [C, H, W], row by row.

    Each row has its own scale, from its least value (dark) to its greatest (bright).
    """
    figure = plt.figure(figsize=(8, 0.82 * len(tensors)))
    grid = figure.add_gridspec(len(tensors), columns + 2, wspace=0.02, hspace=0.04)
    first = figure.add_subplot(grid[:, :2])
    first.imshow(picture)
    first.set_title("the picture", fontsize=9)
    first.axis("off")
    for row, (name, tensor) in enumerate(tensors.items()):
        maps = tensor[:columns].detach().cpu()
        for column, channel in enumerate(maps):
            axis = figure.add_subplot(grid[row, column + 2])
            axis.imshow(channel, vmin=float(maps.min()), vmax=float(maps.max()))
            bare(axis)
            axis.set_title("" if row else f"channel {column}", fontsize=7)
            axis.set_ylabel("" if column else name, fontsize=9)
    return figure


def layer_bars(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """Numbers per layer as horizontal bars, one colour for each network."""
    names = list(next(iter(counts.values())))
    figure, axis = row_figure(names, "parameters", 0.33, 0.9, width=7.6)
    thick = 0.8 / len(counts)
    for number, (network, values) in enumerate(counts.items()):
        places = np.arange(len(names)) + (number - (len(counts) - 1) / 2) * thick
        colour = PALETTE[number % len(PALETTE)]
        bars = axis.barh(places, values.values(), thick, label=network, color=colour)
        axis.bar_label(bars, [f"{value:,}" for value in values.values()], padding=3, fontsize=7)
    axis.grid(axis="y", visible=False)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.margins(x=0.1)
    axis.legend(loc="lower left", bbox_to_anchor=(0.35, 0.1))
    return figure


def footprints(picture: np.ndarray, maps: Mapping[str, Tensor], fields: Sequence[int]) -> Figure:
    """What the middle of a network's last map sees of a picture [S, S, 3], for each network.

    Above, the pixels outside its field are dimmed; below, how strongly each pixel counts.
    """
    size = picture.shape[0]
    figure, axes = plt.subplots(2, len(maps), figsize=(2.8 * len(maps) + 0.6, 5.6), squeeze=False)
    most = max(float(values.max() / values.sum()) for values in maps.values())
    for column, ((name, values), field) in enumerate(zip(maps.items(), fields, strict=True)):
        rows, columns = (np.flatnonzero((values != 0).any(dim=side).numpy()) for side in (1, 0))
        dimmed, seen = 0.25 * picture / 255 + 0.55, np.ix_(rows, columns)
        dimmed[seen] = picture[seen] / 255
        axes[0, column].imshow(dimmed)
        corner = (columns[0] - 0.5, rows[0] - 0.5)
        edge = {"fill": False, "edgecolor": PALETTE[1], "lw": 2.5}
        axes[0, column].add_patch(Rectangle(corner, len(columns), len(rows), **edge))
        axes[0, column].set_title(f"{name}: field of {field} pixels", fontsize=10)
        shares = np.where(values == 0, np.nan, values / values.sum())
        norm = LogNorm(most / 1e4, most, clip=True)
        extent = (-0.5, size - 0.5, size - 0.5, -0.5)
        drawn = axes[1, column].imshow(shares, norm=norm, extent=extent)
    for axis in axes.flat:
        bare(axis)
        axis.set_facecolor("#eeeeee")
        axis.spines[:].set_visible(False)
    figure.colorbar(drawn, ax=axes[1], label="share of the influence", format="%g", shrink=0.8)
    return figure
