"""Figures of more than one chapter: pictures in rows, class shares, training curves, confusions."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from fashionlib.catalog import Catalog
from fashionlib.errors import printable, printable_lines

# Okabe and Ito (2008): eight colours that people with colour-blindness can tell apart
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")

# Decorates what draws names that people gave: there a $ begins no formula, whatever style is set
as_it_is = plt.rc_context({"text.parse_math": False})


def in_words(what: str, parts: Mapping[str, str]) -> str:
    """An alt text: what a figure shows, and then what it says of each thing by its name."""
    return f"{what}. " + "; ".join(f"{name}: {text}" for name, text in parts.items()) + "."


def bare(axis: Axes) -> None:
    """Take ticks and grid away."""
    axis.set(xticks=[], yticks=[])
    axis.grid(False)


@as_it_is
def row_figure(
    names: Sequence[str], xlabel: str, row: float, rest: float, width: float = 8
) -> tuple[Figure, Axes]:
    """A figure with a name for each row, the first on top; a row is so many inches high."""
    figure, axis = plt.subplots(figsize=(width, row * len(names) + rest))
    axis.set_yticks(range(len(names)), map(printable, names))
    axis.invert_yaxis()
    axis.set_xlabel(xlabel)
    return figure, axis


@as_it_is
def picture_grid(
    images: Tensor, titles: Sequence[str] = (), columns: int = 8, width: float = 10.0
) -> Figure:
    """Pictures in rows, uint8 [N, 3, H, W], with an optional short title over each."""
    rows = max(1, -(-len(images) // columns))
    cell = width / columns
    height = rows * (cell + (0.22 if titles else 0.0))
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image in zip(axes.flat, images, strict=False):
        axis.imshow(np.moveaxis(image.numpy(), 0, -1))
    for axis, title in zip(axes.flat, titles, strict=False):
        axis.set_title(printable_lines(title), fontsize=8, pad=2)
    return figure


@as_it_is
def class_shares(catalog: Catalog) -> Figure:
    """Bars: how much of each split each class is, in percent."""
    figure, axis = plt.subplots(figsize=(8, 2.8))
    places = np.arange(len(catalog.classes))
    for number, (name, shares) in enumerate(_shares(catalog).items()):
        axis.bar(places + 0.27 * (number - 1), shares * 100, 0.25, label=name)
    axis.set_xticks(places, map(printable, catalog.classes))
    axis.set_ylabel("% of the split")
    axis.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    return figure


def class_shares_alt(catalog: Catalog) -> str:
    """The bars of `class_shares` in words."""
    parts = [
        f"{name}: "
        + ", ".join(f"{c} {s:.0%}" for c, s in zip(catalog.classes, shares, strict=True))
        for name, shares in _shares(catalog).items()
    ]
    return "Bars of the share of each class. " + ". ".join(parts) + "."


def _shares(catalog: Catalog) -> dict[str, np.ndarray]:
    classes, splits = len(catalog.classes), catalog.splits.items()
    counts = {name: np.bincount(split.labels.numpy(), minlength=classes) for name, split in splits}
    return {name: count / max(1, count.sum()) for name, count in counts.items()}


@as_it_is
def training_curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Two panels over the epochs, a line a run: training loss, and validation accuracy in %."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
    for marker, (name, history) in zip(cycle("osD^vP"), histories.items(), strict=False):
        epochs = [row["epoch"] for row in history]
        look = {"marker": marker, "ms": 4, "label": printable(name)}
        left.plot(epochs, [row["loss"] for row in history], **look)
        right.plot(epochs, [100 * row["validation_accuracy"] for row in history], **look)
    left.set(xlabel="epoch", ylabel="training loss")
    right.set(xlabel="epoch", ylabel="validation accuracy, %")
    right.legend(frameon=False)
    return figure


def training_curves_alt(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """The curves of `training_curves` in words: where each run starts and ends."""
    parts = [
        f"{name}: loss {history[0]['loss']:.2f} to {history[-1]['loss']:.2f}, validation "
        f"{history[0]['validation_accuracy']:.0%} to {history[-1]['validation_accuracy']:.0%}"
        for name, history in histories.items()
    ]
    return "Training loss and validation accuracy over the epochs. " + ". ".join(parts) + "."


@as_it_is
def confusion_figure(matrix: Tensor, classes: Sequence[str]) -> Figure:
    """Counts int64 [C, C] as a grid: true class down, answer across, coloured by share of a row."""
    from sklearn.metrics import ConfusionMatrixDisplay  # noqa: PLC0415 - it takes two seconds

    figure, axis = plt.subplots(figsize=(5.4, 4.6))
    shares = matrix / matrix.sum(dim=1, keepdim=True).clamp(min=1)
    grid = ConfusionMatrixDisplay(shares.numpy(), display_labels=[*map(printable, classes)])
    grid.plot(ax=axis, cmap="cividis", colorbar=False, im_kw={"vmin": 0, "vmax": 1})
    for text, count in zip(grid.text_.flat, matrix.flatten().tolist(), strict=True):
        text.set_text(count or "")
    plt.setp(axis.get_xticklabels(), rotation=40, ha="right", rotation_mode="anchor")
    axis.set(xlabel="answer", ylabel="true class")
    axis.grid(visible=False)
    return figure


def confusion_alt(matrix: Tensor, classes: Sequence[str]) -> str:
    """The confusion matrix in words: how many are right, and the five commonest mistakes."""
    mistakes = [
        (int(matrix[i, j]), classes[i], classes[j])
        for i, j in np.ndindex(*matrix.shape)
        if i != j and matrix[i, j]
    ]
    right, total = int(matrix.diagonal().sum()), int(matrix.sum())
    worst = [f"{a} called {b} {n} times" for n, a, b in sorted(mistakes, reverse=True)[:5]]
    return f"Confusion matrix: {right} of {total} on the diagonal. " + "; ".join(worst) + "."
