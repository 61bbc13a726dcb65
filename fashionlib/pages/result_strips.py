"""A query and its results in a row, as a figure and in words."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from fashionlib.errors import FashionError, printable

MOST_RESULTS = 50  # more would take a minute to draw and a wall to look at
A_ROW = 5  # results; the query stands before the first row, and what lends it its look

# Two of Okabe and Ito's colours; the line and the sign tell it too, to whoever sees no colours
FRAMES = {
    True: {"color": "#0072B2", "linestyle": "solid", "linewidth": 3.0},
    False: {"color": "#D55E00", "linestyle": (0, (3, 1.5)), "linewidth": 3.0},
    None: {"color": "#888888", "linestyle": "solid", "linewidth": 1.0},
}
SIGNS = {True: "✓ ", False: "✗ ", None: ""}


def check_count(results: int) -> None:
    """Make sure that so many results can be drawn.

    Raises:
        FashionError: more than 50.
    """
    if results > MOST_RESULTS:
        raise FashionError(f"a strip of {results} results: at most {MOST_RESULTS} are drawn.")


def result_strip(
    query: Tensor,
    results: Tensor,
    distances: Sequence[float],
    right: Sequence[bool] | None,
    titles: Sequence[str],
    look: Tensor | None = None,
) -> Figure:
    """The query, then its results with rank, title and distance.

    Query uint8 [3, H, W], results uint8 [k, 3, H, W], nearest first; `look` is the second picture
    of a query of two. Results of the query's category, as `right` says, have a solid blue frame
    and ✓, others a dashed orange frame and ✗; `right` is None where the category is not known.
    Titles are short, such as the category, or "".

    Raises:
        FashionError: more than 50 results.
    """
    check_count(len(results))
    heads = [(query, "query")] if look is None else [(query, "query"), (look, "in this look")]
    columns = len(heads) + min(A_ROW, len(results))
    rows = max(1, -(-len(results) // A_ROW))
    figure, axes = plt.subplots(
        rows, columns, figsize=(1.7 * columns, 2.1 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, (picture, title) in zip(axes[0], heads, strict=False):
        _draw(axis, picture, title, FRAMES[None])
    cells = axes[:, len(heads) :].flat
    marks = [None] * len(results) if right is None else right
    rows = zip(cells, results, distances, marks, titles, strict=False)
    for rank, (axis, picture, distance, mark, title) in enumerate(rows, start=1):
        text = f"{SIGNS[mark]}{rank}. {printable(title)}".rstrip() + f"\n{distance:.3f}"
        _draw(axis, picture, text, FRAMES[mark])
    return figure


def _draw(axis: Axes, picture: Tensor, title: str, frame: dict) -> None:
    axis.axis("on")
    axis.imshow(np.moveaxis(picture.numpy(), 0, -1))
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    axis.set_title(title, fontsize=9, pad=4, parse_math=False)
    axis.spines[:].set(visible=True, **frame)


def result_strip_alt(
    distances: Sequence[float], right: Sequence[bool] | None, titles: Sequence[str]
) -> str:
    """The strip in words, for those who cannot see it."""
    marks = [""] * len(titles) if right is None else [", right" if r else ", wrong" for r in right]
    rows = enumerate(zip(titles, distances, marks, strict=True), start=1)
    parts = [f"{n}. {title or 'a picture'} at {away:.3f}{mark}" for n, (title, away, mark) in rows]
    count = "" if right is None else f", {sum(right)} of {len(titles)} right"
    return f"A query and its {len(titles)} nearest pictures{count}: {'; '.join(parts)}."
