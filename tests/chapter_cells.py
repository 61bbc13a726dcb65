"""The cells of a chapter, for tests that run some of them."""

import re
from collections.abc import Callable, Iterable
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


# "0.500 (0.250 to 0.750)", "+5 (-1 to +9)", "85.0% (80 of 100, 71.1% to 86.7%)"
NUMBER = r"([-+]?\d+(?:\.\d+)?)%?"
INTERVAL = re.compile(rf"{NUMBER}[*]* \((?:\d+ of \d+, )?{NUMBER}(?: to |–){NUMBER}")


def into(heard: list) -> Callable[[Any], None]:
    """Keeps what a cell says or shows; each interval in it must hold what it is the interval of.

    That lies at an end where nothing can lie beyond it, or where all that was measured is the same.
    """

    def keep(text: Any) -> None:
        for found in INTERVAL.finditer(str(text)):
            value, low, high = map(float, found.groups())
            assert low <= value <= high, found[0]
            assert value not in {low, high} or low == high or value in {0, 1, 100}, found[0]
        heard.append(text)

    return keep


def shown_by(cell: str, **known: Any) -> SimpleNamespace:
    """What a cell shows where `known` are the names that it finds, and what it leaves in `space`.

    `said` are its sentences, `printed` its lines, `tables` pairs of a header and rows, `figures`
    what it gives to show (with `alts` and `captions`), `pieces` those of its sliders.
    """
    found = SimpleNamespace(
        said=[], printed=[], tables=[], figures=[], alts=[], captions=[], pieces=[]
    )

    def show(figure: object, alt: str, caption: str) -> None:
        found.figures.append(figure)
        into(found.alts)(alt)
        into(found.captions)(caption)

    def table(header: Iterable, rows: Iterable) -> None:
        found.tables.append((list(header), [*map(list, rows)]))
        into([])(found.tables[-1])

    found.space = {
        "say": into(found.said),
        "print": lambda *given, sep=" ": found.printed.append(sep.join(map(str, given))),
        "table": table,
        "show": show,
        "slider": lambda label, pieces: found.pieces.append(pieces),
        "about": lambda _: "here",
    } | known
    exec(cell, found.space)
    return found


def grid(images: Any, titles: Any = (), **look: Any) -> SimpleNamespace:
    """In the place of `picture_grid`: what it is given."""
    return SimpleNamespace(images=images.tolist(), titles=list(titles), **look)


def labels_of(figure: Any) -> list[tuple[str, str, list[str]]]:
    """Of each panel of a figure the words below it and beside it, and the names in its legend."""
    legends = [axis.get_legend() for axis in figure.axes]
    names = [[text.get_text() for text in each.get_texts()] if each else [] for each in legends]
    return [
        (axis.get_xlabel(), axis.get_ylabel(), own)
        for axis, own in zip(figure.axes, names, strict=True)
    ]
