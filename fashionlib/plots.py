"""Pictures for the chapters: every figure has an alt text, every number in prose is computed."""

import base64
import html
import io
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure
from torch import Tensor

# Okabe and Ito (2008): eight colours that people with colour-blindness can tell apart
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")

plt.rcParams.update(
    {
        "axes.prop_cycle": plt.cycler(color=PALETTE),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#dddddd",
        "image.cmap": "cividis",
        "figure.dpi": 110,
        "figure.constrained_layout.use": True,
        "font.size": 10,
    }
)


def show(figure: Figure, alt: str, caption: str) -> None:
    """Display a figure with an alt text and a caption that says what to see in it, and close it.

    Raises:
        ValueError: `alt` or `caption` is empty; a reader who cannot see it would get nothing.
    """
    if not alt.strip() or not caption.strip():
        raise ValueError("a figure needs an alt text and a caption that says what to see in it")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    plt.close(figure)
    show_png(buffer.getvalue(), alt, caption)


def show_png(png: bytes, alt: str, caption: str) -> None:
    """Display PNG bytes as `show` displays a figure."""
    data = base64.b64encode(png).decode()
    display(
        HTML(
            f'<figure class="shown"><img alt="{html.escape(alt)}" '
            f'src="data:image/png;base64,{data}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )
    )


def say(text: str) -> None:
    """Display a sentence of Markdown whose numbers were computed by the cell that calls this."""
    display(Markdown(text))


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Display rows as a table; cells are shown with `str`, so format numbers before."""
    lines = [header, ["---"] * len(header), *rows]
    say("\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines))


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
        axis.set_title(title, fontsize=8, pad=2)
    return figure
