"""Boxes are drawn around what they name."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from fashionlib.pages.boxes import box_figure
from fashionlib.pages.plots import PALETTE


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


def test_boxes_are_seen_on_any_backdrop():
    """On black, grey and white, and on either box's own colour; the one left, the other right."""
    colours = ["#000000", "#808080", "#FFFFFF", PALETTE[0], PALETTE[7]]
    backdrops = 255 * torch.tensor([to_rgb(colour) for colour in colours])
    images = backdrops.round().byte()[:, :, None, None].expand(-1, -1, 40, 40)
    left, right = (torch.tensor([[x, 0.5, 0.3, 0.6]] * 5) for x in (0.25, 0.75))
    figure = box_figure(images, [""] * 5, left, right)
    figure.canvas.draw()
    light = torch.tensor([0.2126, 0.7152, 0.0722])
    drawn = torch.from_numpy(np.asarray(figure.canvas.buffer_rgba())[::-1, :, :3].copy()).float()
    for axis, backdrop in zip(figure.axes, backdrops, strict=False):
        x, y, end, top = axis.get_window_extent().extents.round().astype(int)
        seen = ((drawn[y:top, x:end] - backdrop) @ light).abs() > 60
        middle = (end - x) // 2
        assert all(half.sum() > 100 for half in (seen[:, 3 : middle - 3], seen[:, middle + 3 : -3]))
