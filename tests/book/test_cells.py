"""A cell is short, one idea in about fifteen lines: code and result are seen together."""

import ast
import statistics
from pathlib import Path

import jupytext
import pytest
from chapters import CHAPTERS, EXERCISES

SCRIPTS = [page.script for page in (*CHAPTERS, *EXERCISES) if page.script.exists()]
ABOUT, MOST = 15, 30  # lines


def lines_of_cells(script: Path) -> list[int]:
    """Lines of each code cell that a reader sees open, without imports and blank lines.

    Not of code that the library holds too, where a class stands whole.
    """
    cells = jupytext.read(script, fmt="py:percent").cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    seen = [c for c in code if not {"hide-input", "remove-cell"} & set(c.metadata.get("tags", []))]
    return [own_lines(c.source) for c in seen if "# the same code as fashionlib" not in c.source]


def own_lines(source: str) -> int:
    imports = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Import | ast.ImportFrom)]
    taken = {line for node in imports for line in range(node.lineno, node.end_lineno + 1)}
    lines = enumerate(source.splitlines(), start=1)
    return sum(bool(line.strip()) and number not in taken for number, line in lines)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_cells_are_short(script):
    lines = lines_of_cells(script)
    assert max(lines) <= MOST
    assert statistics.quantiles(lines, n=4)[-1] <= ABOUT + 4  # three of four
    assert statistics.fmean(lines) <= ABOUT


def test_a_long_cell_is_noticed(tmp_path):
    script = tmp_path / "chapter.py"
    script.write_text("# %%\n" + "x = 1\n\n" * 31 + "# %%\ny = 2\n")
    assert lines_of_cells(script) == [31, 1]
