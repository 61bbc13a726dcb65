"""Figures show what they are given; importing what draws them changes no setting of a person's."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jupytext
import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.text import Text
from tiny import striped_catalog

from fashionlib.pages import plots
from fashionlib.pages.embedding_map import map_figure
from fashionlib.pages.result_strips import result_strip

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
CHAPTERS = sorted([*NOTEBOOKS.glob("*.py"), *NOTEBOOKS.glob("exercises/solutions/*.py")])


@pytest.mark.parametrize("titled", [True, False])
@pytest.mark.parametrize(("count", "rows"), [(0, 1), (4, 1), (7, 2)])
def test_a_grid_shows_every_picture_and_has_no_row_without_one(count, rows, titled):
    """Cells are as high as wide; a title has room over each."""
    images = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8)
    titles = [str(n) for n in range(count)] if titled else []
    figure = plots.picture_grid(images, titles, columns=4, width=8)
    assert figure.axes[0].get_gridspec().get_geometry() == (rows, 4)
    room = 0.22 if titles else 0
    assert figure.get_size_inches() == pytest.approx([8, rows * (2 + room)])
    drawn = [axis for axis in figure.axes if axis.images]
    for axis, image in zip(drawn, images, strict=True):
        assert (axis.images[0].get_array() == image.permute(1, 2, 0).numpy()).all()
    assert [axis.get_title() for axis in drawn] == (titles or [""] * count)
    plt.close(figure)


def test_confusion_alt_names_the_commonest_mistake():
    matrix = torch.tensor([[5, 2, 0], [0, 7, 1], [0, 0, 4]])
    text = plots.confusion_alt(matrix, ["hat", "shoes", "shirt"])
    assert "16 of 19" in text
    assert text.index("hat called shoes 2 times") < text.index("shoes called shirt 1 times")


def test_the_confusion_figure_shows_counts_coloured_by_their_share_of_the_row():
    matrix = torch.tensor([[30, 10, 0], [0, 5, 5], [0, 0, 0]])
    figure = plots.confusion_figure(matrix, ["hat", "shoes", "shirt"])
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.texts] == ["30", "10", "", "", "5", "5", "", "", ""]
    image = axis.images[0]
    shares = torch.tensor([[0.75, 0.25, 0], [0, 0.5, 0.5], [0, 0, 0]])
    assert torch.equal(torch.from_numpy(image.get_array().data), shares)
    assert (image.get_clim(), image.get_cmap().name) == ((0, 1), "cividis")
    labels = axis.get_xticklabels(), axis.get_yticklabels()
    assert [[label.get_text() for label in side] for side in labels] == [
        ["hat", "shoes", "shirt"]
    ] * 2
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("answer", "true class")
    plt.close(figure)


def test_the_books_style_is_its_palette():
    with plt.style.context("fashionlib.pages.book"):
        colours = plt.rcParams["axes.prop_cycle"].by_key()["color"]
        assert tuple(to_hex(colour).upper() for colour in colours) == plots.PALETTE
        assert plt.rcParams["figure.constrained_layout.use"]
        assert plt.rcParams["grid.color"] == "#dddddd"


@pytest.mark.parametrize("name", ["US$ 5 and $6", "$\\frac{$", "caf\udce9"])
def test_names_of_people_are_drawn_letter_by_letter(name, tmp_path):
    """Without the book's style too: no formulas, and what is no Unicode is a question mark."""
    images = torch.zeros(8, 3, 8, 8, dtype=torch.uint8)
    labels, names = torch.arange(8) % 2, (name, "hat")
    catalog = replace(striped_catalog(8, 8), classes=names)
    rows = [{"epoch": 1, "loss": 1.0, "validation_accuracy": 0.5}]
    figures = [
        plots.picture_grid(images, [name + "\nb"]),
        plots.class_shares(catalog),
        plots.confusion_figure(torch.eye(2), names),
        plots.training_curves({name: rows}),
        plots.row_figure(names, "x", 0.3, 1)[0],
        map_figure(torch.rand(8, 2), images, labels, names),
        result_strip(images[0], images[:1], [0.5], None, [name]),
    ]
    shown = name.replace("\udce9", "?")
    for figure in figures:
        figure.savefig(tmp_path / "figure.png")
        texts = figure.findobj(Text)
        assert any(shown in text.get_text() for text in texts)
        assert not any(text.get_parse_math() for text in texts if shown in text.get_text())
        plt.close(figure)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_every_chapter_sets_the_books_style_before_its_first_figure(chapter):
    cells = jupytext.read(chapter).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    style = code.index('plt.style.use("fashionlib.pages.book")')
    assert style < re.search(r"\bplt\.(?!style)|\bshow\(", code).start()


def test_importing_the_library_changes_no_setting_of_matplotlib():
    code = """
import importlib, pkgutil
import matplotlib
before = dict(matplotlib.rcParams)
import fashionlib
for module in pkgutil.walk_packages(fashionlib.__path__, "fashionlib."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
after = dict(matplotlib.rcParams)
print([key for key in before if before[key] != after[key]])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
