"""What a page shows: figures with an alt text, sentences whose numbers were computed, tables."""

import base64
import html
import inspect
import io
import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure

from fashionlib.errors import printable_lines


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
    data = base64.b64encode(buffer.getvalue()).decode()
    alt, caption = html.escape(printable_lines(alt)), html.escape(printable_lines(caption))
    image = f'<img alt="{alt}" src="data:image/png;base64,{data}">'
    caption = f"<figcaption>{caption}</figcaption>"
    display(HTML(f'<figure class="shown">{image}{caption}</figure>'))


def say(text: str) -> None:
    """Display a sentence of Markdown whose numbers were computed by the cell that calls this.

    Names of files and classes may be in it, so neither HTML nor links nor formulas begin here.
    """
    for letter, shown in (("&", "&amp;"), ("<", "&lt;"), ("[", "&#91;"), ("$", r"\$")):
        text = text.replace(letter, shown)
    display(Markdown(printable_lines(text)))


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Display rows as a table; cells are shown with `str`, so format numbers before."""
    cells = [[_cell(value) for value in row] for row in (header, *rows)]
    cells.insert(1, ["---"] * len(header))
    say("\n".join(f"| {' | '.join(line)} |" for line in cells))


def _cell(value: object) -> str:
    return str(value).replace("\n", " ").replace("|", r"\|")


def source(thing: object) -> None:
    """Display the library's own source of a function, method or class, as it is now."""
    text = textwrap.dedent(inspect.getsource(thing))
    display(Markdown(f"```python\n{text}```"))
