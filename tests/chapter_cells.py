"""The cells of a chapter, for tests that run some of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jupytext
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def cells_of(name: str) -> list[NotebookNode]:
    """A chapter's cells, in order."""
    return jupytext.read(NOTEBOOKS / f"{name}.py", fmt="py:percent").cells


def code_of(cells: list[NotebookNode]) -> list[str]:
    """The sources of the code cells."""
    return [cell.source for cell in cells if cell.cell_type == "code"]


def the_one_with(text: str, code: list[str]) -> str:
    """The one code cell that holds this text."""
    (found,) = (source for source in code if text in source)
    return found


def shown_by(cell: str, **known: Any) -> SimpleNamespace:
    """What a cell shows where `known` are the names that it finds, and what it leaves in `space`.

    `said` are its sentences, `tables` pairs of a header and rows, `figures` what it gives to show
    (with `alts` and `captions`), `pieces` those of its sliders.
    """
    found = SimpleNamespace(said=[], tables=[], figures=[], alts=[], captions=[], pieces=[])

    def show(figure: object, alt: str, caption: str) -> None:
        found.figures.append(figure)
        found.alts.append(alt)
        found.captions.append(caption)

    found.space = {
        "say": found.said.append,
        "table": lambda header, rows: found.tables.append((list(header), [*map(list, rows)])),
        "show": show,
        "slider": lambda label, pieces: found.pieces.append(pieces),
        "about": lambda _: "here",
    } | known
    exec(cell, found.space)
    return found


def grid(images: Any, titles: Any = (), **look: Any) -> SimpleNamespace:
    """In the place of `picture_grid`: what it is given."""
    return SimpleNamespace(images=images.tolist(), titles=list(titles), **look)
