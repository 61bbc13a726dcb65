"""Boxes are drawn around what they name."""

import pytest
import torch
from matplotlib.patches import Rectangle

from fashionlib.pages.boxes import box_figure


def test_boxes_are_drawn_where_they_are():
    images = torch.zeros(2, 3, 100, 100, dtype=torch.uint8)
    true, found = torch.tensor([[0.5, 0.4, 0.2, 0.6]] * 2), torch.tensor([[0.3, 0.3, 0.1, 0.1]] * 2)
    drawn = [p for p in box_figure(images, ["a", "b"], true, found).axes[0].patches
             if isinstance(p, Rectangle)]  # fmt: skip
    assert len(drawn) == 2
    for patch, box in zip(drawn, ((39.5, 9.5, 20, 60), (24.5, 24.5, 10, 10)), strict=True):
        got = (*patch.get_xy(), patch.get_width(), patch.get_height())
        assert got == pytest.approx(box, abs=1e-4)
    # as the captions say
    assert [patch.get_linestyle() for patch in drawn] == ["--", "-"]
    assert len(box_figure(images, ["a", "b"], true).axes[0].patches) == 1


def test_pictures_with_boxes_stand_in_rows_of_six():
    """So that a box of a hundredth of the picture is seen."""
    boxes = torch.full((7, 4), 0.5)
    figure = box_figure(torch.zeros(7, 3, 8, 8, dtype=torch.uint8), list("abcdefg"), boxes)
    assert figure.axes[0].get_gridspec().get_geometry() == (2, 6)
