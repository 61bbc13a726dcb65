"""Pictures with boxes around what is in them (chapter 7)."""

from collections.abc import Sequence

from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from fashionlib.pages.plots import PALETTE, picture_grid

TRUE, FOUND = PALETTE[7], PALETTE[0]  # colours of a true box and of a predicted one


def box_figure(
    images: Tensor, titles: Sequence[str], boxes: Tensor, found: Tensor | None = None
) -> Figure:
    """Pictures uint8 [N, 3, H, W] in rows of six, with true boxes (dashed) and predicted ones.

    Boxes are (centre x, centre y, width, height) in shares of the side, float [N, 4].
    """
    figure = picture_grid(images, titles, columns=6)
    for axis, box in zip(figure.axes, boxes, strict=False):
        _draw_box(axis, box, images.shape[-1], TRUE, "--")
    for axis, box in zip(figure.axes, () if found is None else found, strict=False):
        _draw_box(axis, box, images.shape[-1], FOUND, "-")
    return figure


def _draw_box(axis: Axes, box: Tensor, side: int, colour: str, style: str) -> None:
    x, y, width, height = (box * side).tolist()
    corner = (x - width / 2 - 0.5, y - height / 2 - 0.5)  # pixel centres are whole numbers
    light = [patheffects.withStroke(linewidth=3.2, foreground="white")]  # seen on any backdrop
    axis.add_patch(Rectangle(corner, width, height, fill=False, lw=1.6, ec=colour, ls=style,
                             path_effects=light))  # fmt: skip
