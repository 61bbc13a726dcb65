"""Pictures with boxes around what is in them (chapter 7)."""

from collections.abc import Sequence

from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from fashionlib.pages.plots import PALETTE, picture_grid


def box_figure(
    images: Tensor, titles: Sequence[str], boxes: Tensor, found: Tensor | None = None
) -> Figure:
    """Pictures uint8 [N, 3, H, W] in rows of six, with true boxes (dashed) and predicted ones.

    Boxes are (centre x, centre y, width, height) in shares of the side, float [N, 4].
    """
    figure = picture_grid(images, titles, columns=6)
    light = [patheffects.withStroke(linewidth=3.2, foreground="white")]  # seen on any backdrop
    shown = [(boxes, PALETTE[7], "--"), (() if found is None else found, PALETTE[0], "-")]
    for each, colour, style in shown:
        look = {"fill": False, "lw": 1.6, "ec": colour, "ls": style, "path_effects": light}
        for axis, box in zip(figure.axes, each, strict=False):
            x, y, width, height = (box * images.shape[-1]).tolist()
            corner = (x - width / 2 - 0.5, y - height / 2 - 0.5)  # pixel centres are whole numbers
            axis.add_patch(Rectangle(corner, width, height, **look))
    return figure
