"""The cells of a chapter, for tests that run some of them."""

from pathlib import Path

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
