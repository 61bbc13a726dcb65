"""A cell is short, one idea in about fifteen lines; what it says is run by a test."""

import ast
import statistics
from collections import Counter
from pathlib import Path

import jupytext
import pytest
from chapter_cells import into
from chapters import CHAPTERS, EXERCISES, ROOT
from nbformat import NotebookNode

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


# What a cell says or shows is wrong as easily as any code: some test runs it (`chapter_cells.py`)

TESTS = ROOT / "tests"
SHOWING = {"say", "table", "show", "slider"}


def runner_of(script: Path) -> Path:
    """Where the cells of a page are run: chapters have a file each, solutions one together."""
    if script.parent.name == "solutions":
        return TESTS / "checks" / "test_what_solutions_say.py"
    return TESTS / "pages" / f"test_chapter_{int(script.stem[:2])}.py"


def not_run(code: list[NotebookNode], test: str) -> list[str]:
    """Cells that show something, are no contract, and hold no text that a test finds them by."""
    texts = {node.value for node in ast.walk(ast.parse(test)) if isinstance(node, ast.Constant)}
    texts = {text for text in texts if isinstance(text, str) and len(text) > 5}
    found_by = [[text for text in texts if text in cell.source] for cell in code]
    of_one = Counter(text for cell in found_by for text in cell)
    return [
        cell.source
        for cell, own in zip(code, found_by, strict=True)
        if "nbval-check-output" not in cell.metadata.get("tags", [])
        and SHOWING & {name.id for name in ast.walk(ast.parse(cell.source)) if called(name)}
        and not any(of_one[text] == 1 for text in own)
    ]


def called(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_each_cell_that_shows_something_is_run_by_a_test(script):
    cells = jupytext.read(script, fmt="py:percent").cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert not_run(code, runner_of(script).read_text()) == []


def test_a_cell_that_no_test_runs_is_noticed():
    sources = ('say(f"{a} of them")', 'say(f"{b} of all")', "x = 1")
    code = [NotebookNode(source=source, metadata={}) for source in sources]
    assert not_run(code, 'the_one_with("of them")\nassert said == "{b"') == [sources[1]]
    assert not_run(code, 'the_one_with("of them")\nthe_one_with(\'say(f"\')') == [sources[1]]
    assert not_run(code, 'the_one_with("of them")\nthe_one_with("of all")') == []


@pytest.mark.parametrize(
    "planted",
    ["It is +0.2 (+0.3 to +0.4) better.", "50% (40%–45%)", "**3** (4 to 5)", "0.5 (0.5 to 0.7)",
     "80.0% (8 of 10, 81.0% to 95.0%)", "-0.3 (-0.2 to -0.1)"],
)  # fmt: skip
def test_an_interval_that_does_not_hold_its_value_is_noticed(planted):
    with pytest.raises(AssertionError):
        into([])(planted)


def test_an_interval_that_does_is_kept():
    heard = []
    for text in ("+0.2 (+0.1 to +0.3)", "100.0% (10 of 10, 72.2% to 100.0%)", "3 (3 to 3)"):
        into(heard)(text)
    assert len(heard) == 3
