"""Chapter 1 teaches the library's block and holds its own assertions."""

import ast
import inspect
import re
import statistics
from functools import partial
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
import torch
from chapter_cells import cells_of, code_of, the_one_with

from fashionlib import blocks
from fashionlib.pages import diagrams
from fashionlib.pages.latency import middle

CELLS = cells_of("01_inverted_residual_block")
CODE = "\n".join(code_of(CELLS))
cell_with = partial(the_one_with, code=code_of(CELLS))
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
    cell = cell_with("diagrams.layer_bars(")
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


def test_a_true_skip_is_one_without_a_convolution():
    """Of three blocks after the stem one has a true skip, one a projected one, one has none."""
    cell = cell_with('"with a true skip"')
    skips = (torch.nn.Identity(), torch.nn.Conv2d(1, 1, 1), None)
    network = SimpleNamespace(
        backbone=SimpleNamespace(blocks=["stem", *(SimpleNamespace(skip=skip) for skip in skips)])
    )
    tables = []
    space = {
        "PLANS": ["one"], "nn": torch.nn, "build_classifier": lambda *_, **__: network,
        "count_macs": lambda *_: 2e6, "count_parameters": lambda _: 1234,
        "table": lambda header, rows: tables.append(rows),
    }  # fmt: skip
    exec(cell, space)
    assert tables == [[["`one`", "1,234", "2 million", 3, 1]]]


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ([2, 2, 2, 2], "would have called it a tie"),
        ([0.9, 1.0, 1.3, 1.4], "about as fast"),  # the median is 1.15
        ([0.6, 0.7, 1.0, 1.1], "about as fast"),  # 0.85
        ([0.5, 0.5, 0.5, 0.5], "the dense layer that waits"),
    ],
)
def test_a_layer_is_slower_where_most_rounds_say_so(times, told):
    cell = cell_with("dense, thin = ")
    heard = []
    space = {
        "spent": {"dense": [1.0] * 4, "depthwise": times}, "rows": [["", 1], ["", 1]],
        "statistics": statistics, "middle": middle, "say": heard.append,
    }  # fmt: skip
    exec(cell, space)
    assert told in heard[0]
    assert f"**{statistics.median(times):.1f} times as long" in heard[0]


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
