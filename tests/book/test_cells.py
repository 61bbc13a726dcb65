"""A cell is short, one idea in about fifteen lines; what it computes is run by a test."""

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


def code_cells(script: Path) -> list[NotebookNode]:
    cells = jupytext.read(script, fmt="py:percent").cells
    return [cell for cell in cells if cell.cell_type == "code"]


def lines_of_cells(script: Path) -> list[int]:
    """Lines of each code cell that a reader sees open, without imports and blank lines.

    Not of code that the library holds too, where a class stands whole.
    """
    code = code_cells(script)
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
# what a cell may call and compute nothing; widgets show themselves
LOADING = {"budget", "len", "load_catalog", "load_classifier", "load_encoder", "optional", "Path",
           "plt.style.use", "print", "shipped", "source", "tempfile.mkdtemp", "torch.manual_seed",
           "block_explorer", "search_explorer"}  # fmt: skip
# what other tests run: contracts, what the library holds too, what a checker is asked about
ELSEWHERE = "nbval-check-output", "# the same code as fashionlib", "### BEGIN SOLUTION", "checks."


def runner_of(script: Path) -> Path:
    """Where the cells of a page are run: chapters have a file each, solutions one together."""
    if script.parent.name == "solutions":
        return TESTS / "checks" / "test_what_solutions_say.py"
    return TESTS / "pages" / f"test_chapter_{int(script.stem[:2])}.py"


def not_run(code: list[NotebookNode], test: str) -> list[str]:
    """Cells that compute or show something, and that no test finds and runs."""
    texts = found_and_run(ast.parse(test))
    found_by = [[text for text in texts if text in cell.source] for cell in code]
    of_one = Counter(text for cell in found_by for text in cell)
    return [
        cell.source
        for cell, own in zip(code, found_by, strict=True)
        if called(cell.source) - LOADING
        and not any(mark in f"{cell.metadata.get('tags')} {cell.source}" for mark in ELSEWHERE)
        and not any(of_one[text] == 1 for text in own)
    ]


def called(source: str) -> set[str]:
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return {ast.unparse(call.func) for call in calls}


def found_and_run(test: ast.Module) -> set[str]:
    """The texts by which a file of tests finds cells, in functions that run what they find."""
    finders, runners = using(test, {"the_one_with"}), using(test, {"exec", "shown_by"})
    texts = set()
    for function in test.body:
        if isinstance(function, ast.FunctionDef) and function.name in runners:
            for node in ast.walk(function):
                given = []
                if isinstance(node, ast.Call) and ast.unparse(node.func) in finders:
                    given = node.args
                elif isinstance(node, ast.For):  # over texts
                    given = getattr(node.iter, "elts", [])
                texts |= set(typed(given))
    return texts


def typed(nodes: list[ast.AST]) -> list[str]:
    """The texts among some nodes, in their order."""
    values = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return [value for value in values if isinstance(value, str)]


def using(test: ast.Module, names: set[str]) -> set[str]:
    """These names, and those of all in a file that is made with one of them."""
    made = [(node, {getattr(node, "name", "")} | named(getattr(node, "targets", [])))
            for node in test.body if isinstance(node, ast.FunctionDef | ast.Assign)]  # fmt: skip
    while more := set().union(*(own for node, own in made if named([node]) & names)) - names:
        names = names | more
    return names


def named(nodes: list[ast.AST]) -> set[str]:
    """All names below some nodes, those of arguments too: a fixture is one."""
    below = [node for top in nodes for node in ast.walk(top)]
    return {getattr(node, "id", getattr(node, "arg", None)) for node in below} - {None}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_each_cell_that_computes_something_is_run_by_a_test(script):
    assert not_run(code_cells(script), runner_of(script).read_text()) == []


def test_a_cell_that_no_test_runs_is_noticed():
    sources = ('say(f"{a} of them")', 'say(f"{b} of all")', "x = 1")
    code = [NotebookNode(source=source, metadata={}) for source in sources]
    head = "cell_with = partial(the_one_with, code=CODE)\n"
    one = f'{head}def test_one():\n    exec(cell_with("of them"))\n'
    assert not_run(code, head) == [*sources[:2]]
    for other in (
        'exec(cell_with("say(f"))',  # it is in both
        'assert "as" in cell_with("of all")',  # looked at alone
        'exec("1")\n    assert said == "of all"',
    ):
        assert not_run(code, f"{one}def test_other():\n    {other}\n") == [sources[1]]
    helper = "def run(text):\n    exec(cell_with(text))\n"
    for other in ('shown_by(cell_with("of all"))', 'run("of all")'):
        assert not_run(code, f"{one}{helper}def test_other():\n    {other}\n") == []


# So is the header of a table, whose words may stand over each other's columns


def headers(source: str) -> list[list[str]]:
    """The typed words in the header of each table that a cell shows."""
    lists = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "table":
            lists.append(node.args[0])
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).lower() == "header":
            lists.append(node.value)
    return [typed(each.elts) for each in lists if isinstance(each, ast.List)]


def not_looked_at(code: list[NotebookNode], test: str) -> list[list[str]]:
    """Headers whose words are in no list of a file of tests, in that order."""
    known = [typed(node.elts) for node in ast.walk(ast.parse(test)) if isinstance(node, ast.List)]
    every = [header for cell in code for header in headers(cell.source)]
    return [header for header in every if not any(inside(header, one) for one in known)]


def inside(words: list[str], others: list[str]) -> bool:
    """Whether all of them are among the others, in their order."""
    left = iter(others)
    return all(word in left for word in words)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_header_of_each_table_is_looked_at_by_a_test(script):
    assert not_looked_at(code_cells(script), runner_of(script).read_text()) == []


def test_a_header_that_no_test_looks_at_is_noticed():
    sources = 'table(["a", *b, f"{c} of", "d"], rows)', 'HEADER = ["e", "f"]\ntable(HEADER, rows)'
    code = [NotebookNode(source=source, metadata={}) for source in sources]
    assert not_looked_at(code, 'assert header == ["a", "b", "c of", "d"]') == [["e", "f"]]
    assert not_looked_at(code, 'x = [["d", "a"], ["e", "f"]]') == [["a", "d"]]


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
