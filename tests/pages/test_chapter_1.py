"""Chapter 1 teaches the library's block and holds its own assertions."""

import ast
import inspect
import re
from pathlib import Path

import jupytext
import matplotlib.pyplot as plt
import pytest
import torch

from fashionlib import blocks
from fashionlib.pages import diagrams

ROOT = Path(__file__).resolve().parents[2]
CELLS = jupytext.read(ROOT / "notebooks" / "01_inverted_residual_block.py").cells
CODE = "\n".join(cell.source for cell in CELLS if cell.cell_type == "code")
PROSE = "\n".join(cell.source for cell in CELLS if cell.cell_type == "markdown")


def definition(name: str, source: str) -> ast.stmt:
    """The function or class of that name, without docstrings."""
    (found,) = (node for node in ast.parse(source).body if getattr(node, "name", None) == name)
    for node in ast.walk(found):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            del node.body[0]
    return found


@pytest.mark.parametrize("name", ["conv_bn", "InvertedResidual"])
def test_the_block_is_the_librarys(name):
    library = definition(name, inspect.getsource(blocks))
    assert ast.dump(definition(name, CODE)) == ast.dump(library)
    assert f"# the same code as fashionlib.blocks.{name}, kept equal by a test" in CODE


@pytest.fixture
def printed():
    """The article's block, as the chapter defines it."""
    source = "\n".join(ast.unparse(definition(name, CODE)) for name in ("conv_bn", "AsPrinted"))
    space = {"nn": torch.nn, "F": torch.nn.functional, "Tensor": torch.Tensor}
    exec(source, space)
    return space["AsPrinted"]


def test_the_articles_block_fails_on_its_own_example(printed):
    with pytest.raises(RuntimeError, match=r"32.*24"):
        printed(24, 32)(torch.randn(1, 24, 8, 8))


def test_the_articles_block_ends_in_a_relu_and_ours_does_not(printed):
    x = torch.randn(2, 24, 8, 8)
    assert printed(24, 24)(x).min() == 0
    assert blocks.InvertedResidual(24, 24, 3)(x).min() < 0


def test_what_only_its_repository_has_is_cited_where_it_is_used():
    """Expansions, strides and projected shortcuts are not in the article."""
    link = "](https://github.com/niranjanaambadi/Fashion_search_engine)"
    cells = [" ".join(cell.source.replace("# ", "").split()) for cell in CELLS]
    for fact in ("uses 3, 3 and 6", "uses them too", "gives no strides"):
        (told,) = (cell for cell in cells if fact in cell)
        assert link in told


def test_two_layers_of_equal_macs_are_timed_in_one_run():
    assert "take_turns(runs" in CODE
    assert "assert rows[0][1] == rows[1][1]" in CODE


def test_the_counts_are_asserted_in_the_chapter():
    asserted = {
        ast.unparse(node.test) for node in ast.walk(ast.parse(CODE)) if isinstance(node, ast.Assert)
    }
    assert "count_parameters(with_groups) == 33039" in asserted
    assert "count_parameters(without_groups) == 429399" in asserted
    assert "count_parameters(network) <= 429399" in asserted
    assert "formula == measured" in asserted
    # the one line that would have caught it
    assert "all((shape[1:] == (1, 3, 3) for shape in shapes))" in ast.unparse(ast.parse(CODE))


def test_the_bars_in_words_name_each_networks_own_counts():
    (cell,) = (cell.source for cell in CELLS if "diagrams.layer_bars(" in cell.source)
    alts = []
    space = {
        "dense": {"filter": 396_460, "head": 7}, "sparse": {"filter": 100, "head": 7},
        "differing": ["filter"], "without_groups": None, "count_parameters": lambda _: 429_399,
        "diagrams": diagrams, "say": lambda _: None,
        "show": lambda figure, alt, caption: alts.append((figure, alt)),
    }  # fmt: skip
    exec(cell, space)
    ((figure, alt),) = alts
    assert "with and without groups" in alt
    assert alt.endswith(": filter 396,460 against 100.")
    bars = {bars.get_label(): bars.datavalues.tolist() for bars in figure.axes[0].containers}
    assert bars == {"without groups": [396_460, 7], "with groups": [100, 7]}
    plt.close(figure)


def test_every_figure_goes_through_show():
    assert "plt.show" not in CODE
    assert CODE.count("diagrams.") == len(re.findall(r"^show\(", CODE, re.MULTILINE)) >= 6


def test_long_code_stays_out_of_the_readers_way():
    """A cell does one thing in about fifteen lines; the block itself is the exception."""
    for cell in CELLS:
        hidden = "hide-input" in cell.metadata.get("tags", [])
        if cell.cell_type == "code" and not hidden and "the same code as" not in cell.source:
            assert len(cell.source.splitlines()) <= 18, cell.source


def test_the_dead_widget_is_not_in_the_book():
    (cell,) = (cell for cell in CELLS if cell.source.endswith("block_explorer()"))
    assert cell.metadata["tags"] == ["remove-output"]
    assert PROSE.count('<div class="block-explorer"></div>') == 1
