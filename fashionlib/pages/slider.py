"""A slider over prepared pieces of HTML: it moves in Jupyter and in the page, without Python."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template

from IPython.display import HTML, display

TEMPLATE = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))


def slider(label: str, pieces: Mapping[str, str]) -> None:
    """Display the first piece under a slider that shows the others; keys are what it says there."""
    says = [escape(name) for name in pieces]
    hidden = ["", *[" hidden"] * (len(says) - 1)]
    parts = [
        f'<div data-says="{name}"{hide}>{piece}</div>'
        for name, hide, piece in zip(says, hidden, pieces.values(), strict=True)
    ]
    values = {"label": escape(label), "last": len(parts) - 1, "first": says[0]}
    display(HTML(TEMPLATE.substitute(values, pieces="\n".join(parts))))
