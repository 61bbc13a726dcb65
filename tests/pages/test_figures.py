"""Curves and bars show what they are given, in colours that colour-blind readers tell apart."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from chapter_cells import labels_of
from matplotlib.colors import to_rgb
from tiny import striped_catalog

from fashionlib.catalog import Catalog, Split
from fashionlib.pages import diagrams, ledger_figures, plots
from fashionlib.pages.boxes import box_figure
from fashionlib.pages.embedding_map import map_figure
from fashionlib.pages.result_strips import FRAMES


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


HISTORIES = {
    "one": [{"epoch": 1, "loss": 2.0, "validation_accuracy": 0.25},
            {"epoch": 2, "loss": 1.0, "validation_accuracy": 0.5}],
    "two": [{"epoch": 1, "loss": 1.5, "validation_accuracy": 0.4}],
}  # fmt: skip


def test_training_curves_are_loss_on_the_left_and_accuracy_on_the_right():
    figure = plots.training_curves(HISTORIES)
    assert labels_of(figure) == [
        ("epoch", "training loss", []), ("epoch", "validation accuracy, %", ["one", "two"]),
    ]  # fmt: skip
    left, right = figure.axes
    assert [line.get_xydata().tolist() for line in left.lines] == [
        [[1, 2.0], [2, 1.0]], [[1, 1.5]],
    ]  # fmt: skip
    assert [line.get_xydata().tolist() for line in right.lines] == [
        [[1, 25.0], [2, 50.0]], [[1, 40.0]],
    ]  # fmt: skip
    assert [line.get_label() for line in left.lines] == ["one", "two"]
    assert left.lines[0].get_marker() != left.lines[1].get_marker()
    alt = plots.training_curves_alt(HISTORIES)
    assert "one: loss 2.00 to 1.00, validation 25% to 50%" in alt


def test_class_shares_are_percent_of_each_split():
    """Of stripes half is across; of the first three of four pictures two."""
    catalog = striped_catalog(3, 4)
    figure = plots.class_shares(catalog)
    assert labels_of(figure) == [("", "% of the split", ["train", "validation", "test"])]
    axis = figure.axes[0]
    heights = [[bar.get_height() for bar in bars] for bars in axis.containers]
    assert heights[0] == pytest.approx([200 / 3, 100 / 3])
    assert heights[1:] == [pytest.approx([50, 50])] * 2
    assert "train: across 67%, down 33%" in plots.class_shares_alt(catalog)


DOZEN = [f"name {n}" for n in range(12)]  # more than there are colours and marks


def of_a_dozen_classes() -> Catalog:
    """In each split pictures of two of them alone: the first, and one in the middle."""
    images, labels = torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 6, 0, 6])
    split = Split(images, labels, tuple("abcd"))
    return Catalog("few", tuple(DOZEN), split, split, split)


DRAWN = {
    "runs": lambda: plots.training_curves(dict.fromkeys(DOZEN, HISTORIES["one"])).axes[1].lines,
    "classes in bars": lambda: plots.class_shares(of_a_dozen_classes()).axes[0].containers[0],
    "classes in a grid": lambda: list(plots.confusion_figure(
        torch.eye(12, dtype=torch.int64), DOZEN).axes[0].get_yticklabels()),
    "classes on a map": lambda: map_figure(
        torch.rand(12, 2), torch.zeros(12, 3, 8, 8, dtype=torch.uint8), torch.arange(12), DOZEN
    ).axes[0].artists,
    "networks": lambda: ledger_figures.accuracy_time_figure(
        [ledger_figures.Point(n, 1.0, [0.5], (0.4, 0.6)) for n in DOZEN]).axes[0].lines[::2],
    "networks in dots": lambda: ledger_figures.accuracy_dots(
        {n: [0.5] for n in DOZEN}, 100, 0.85).axes[0].lines[:-1:2],
    "trainings with triplets": lambda: ledger_figures.triplet_curves(
        {n: [[{"loss": 1.0, "precision@5": 0.5}]] for n in DOZEN}).axes[0].lines,
    "networks in bars": lambda: diagrams.layer_bars(
        {n: {"a": 1} for n in DOZEN}).axes[0].containers,
    "boxes": lambda: [p for axis in box_figure(
        torch.zeros(12, 3, 8, 8, dtype=torch.uint8), DOZEN, torch.full((12, 4), 0.5)
    ).axes for p in axis.patches],
}  # fmt: skip


@pytest.mark.parametrize("what", DRAWN)
def test_each_of_a_dozen_is_drawn(what):
    assert len(DRAWN[what]()) == 12


def test_a_class_that_a_split_lacks_has_a_share_of_nothing():
    shares = ", ".join(f"{n} {'50%' if n in (DOZEN[0], DOZEN[6]) else '0%'}" for n in DOZEN)
    assert f"validation: {shares}" in plots.class_shares_alt(of_a_dozen_classes())


def test_a_row_figure_has_its_first_name_on_top():
    figure, axis = plots.row_figure(["a", "b", "c"], "times", 0.5, 1.0)
    assert figure.get_size_inches()[1] == pytest.approx(2.5)
    figure.draw_without_rendering()
    tops = {}
    for place, text in zip(axis.get_yticks(), axis.get_yticklabels(), strict=True):
        tops[text.get_text()] = axis.transData.transform((0, place))[1]
    assert tops["a"] > tops["b"] > tops["c"]
    assert axis.get_xlabel() == "times"


# Colours: what Machado, Oliveira and Fernandes (2009) say that a person sees who lacks one kind of
# cone, in linear RGB; and the distance of two colours as an eye counts it (CIE 1976, L*a*b*)

SEEN = {
    "all cones": np.eye(3),
    "no red cones": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                              [-0.003882, -0.048116, 1.051998]]),
    "no green cones": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                                [-0.011820, 0.042940, 0.968881]]),
}  # fmt: skip
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ.sum(axis=1)
TOLD_APART = 15  # 2.3 is just noticed, side by side (Mahy et al. 1994); thin lines need more


def lab(colour: str, cones: str) -> np.ndarray:
    """Lightness and two opponent colours, as seen with these cones."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(SEEN[cones] @ linear, 0, 1) / WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def apart(one: str, other: str, cones: str) -> float:
    return float(np.linalg.norm(lab(one, cones) - lab(other, cones)))


def test_the_simulation_knows_red_and_green_from_blue_and_yellow():
    """A red and a green of one brightness, which whoever lacks green cones takes for each other."""
    red, green = "#b40000", "#5c6e00"
    assert apart(red, green, "no green cones") < 15
    assert apart(red, green, "all cones") > 60
    assert apart("#0000ff", "#ffff00", "no green cones") > 100


@pytest.mark.parametrize("cones", SEEN)
def test_any_two_colours_of_the_palette_are_told_apart(cones):
    gaps = {pair: apart(*pair, cones) for pair in itertools.combinations(plots.PALETTE, 2)}
    assert min(gaps.values()) > TOLD_APART, min(gaps, key=gaps.get)


@pytest.mark.parametrize("cones", SEEN)
def test_right_and_wrong_are_told_apart_and_stand_out_from_white(cones):
    right, wrong = FRAMES[True]["color"], FRAMES[False]["color"]
    assert apart(right, wrong, cones) > 2 * TOLD_APART
    for colour in (right, wrong):
        assert apart(colour, "white", cones) > 2 * TOLD_APART
