"""A slider over prepared pieces of HTML: it moves in Jupyter and in the page, without Python."""

from html import escape
from pathlib import Path
from string import Template

from IPython.display import HTML, display

TEMPLATE = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))


def slider(label: str, pieces: dict[str, str]) -> None:
    """Display the first piece under a slider that shows the others; keys are what it says there."""
    parts = [f'<div data-says="{escape(k)}" hidden>{piece}</div>' for k, piece in pieces.items()]
    parts[0] = parts[0].replace(" hidden>", ">", 1)
    values = {"label": escape(label), "last": len(parts) - 1, "first": escape(next(iter(pieces)))}
    display(HTML(TEMPLATE.substitute(values, pieces="\n".join(parts))))
