"""The drawings of chapters 0 and 1, read back from what was drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from chapter_cells import labels_of
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle

from fashionlib.counting import LayerCount
from fashionlib.pages import diagrams
from fashionlib.pages.plots import PALETTE


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_each_head_gets_the_features_and_has_its_answer_beside_it():
    picture = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    axis = diagrams.two_heads(picture).axes[0]
    assert np.array_equal(axis.images[0].get_array(), picture.permute(1, 2, 0))
    at = {text.get_text().split("\n")[0]: text for text in axis.texts if text.get_text()}
    for head, answer in (
        ("classification head", "what is it?"),
        ("embedding head", "what is it l"),
    ):
        (beside,) = [text for words, text in at.items() if words.startswith(answer)]
        assert beside.get_position()[1] == at[head].get_position()[1]
    arrows = [text for text in axis.texts if hasattr(text, "arrow_patch") and not text.get_text()]
    assert len(arrows) == 5  # into the backbone, from there to both heads, from each to its answer


def test_kernels_stand_at_their_output_and_input_channel():
    """A row for each output, a column for each input; what `groups` leaves out is empty."""
    plain, grouped = torch.nn.Conv2d(4, 2, 3), torch.nn.Conv2d(4, 4, 3, groups=2)
    figure = diagrams.kernel_grid({"plain": plain, "grouped": grouped})
    assert labels_of(figure) == [("input channels", "output channels", [])] * 2
    for axis, conv in zip(figure.axes, (plain, grouped), strict=True):
        assert f"{conv.weight.numel()} weights" in axis.get_title()
        image = axis.images[0].get_array().filled(np.nan)
        outputs, inside = conv.weight.shape[:2]
        for o in range(outputs):
            first = (o // (outputs // conv.groups)) * inside
            for i in range(conv.in_channels):
                cell = image[4 * o : 4 * o + 3, 4 * i : 4 * i + 3]
                if first <= i < first + inside:
                    wanted = conv.weight[o, i - first].detach().abs().numpy()
                    assert cell == pytest.approx(wanted, abs=1e-6)
                else:
                    assert np.isnan(cell).all()


def test_spirals_are_the_curves_in_the_order_of_their_points():
    curves = [torch.rand(9, 2) for _ in range(4)]
    figure = diagrams.spirals({"one": curves[:2], "two": curves[2:]}, ["a", "b"])
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "", ""]
    assert [axis.get_ylabel() for axis in figure.axes] == ["one", "", "two", ""]
    for axis, curve in zip(figure.axes, curves, strict=True):
        (points,) = axis.collections
        assert np.asarray(points.get_offsets()) == pytest.approx(curve.numpy())
        assert points.get_array().tolist() == list(range(9))


LINES = [LayerCount("expand", (72, 28, 28), 1872, 2_000_000),
         LayerCount("filter", (72, 14, 14), 792, 500_000),
         LayerCount("project", (32, 14, 14), 2368, 250_000)]  # fmt: skip


def test_boxes_of_a_block_are_to_scale_and_say_what_a_step_costs():
    axis = diagrams.block_boxes((24, 28, 28), LINES).axes[0]
    said = [text.get_text() for text in axis.texts]
    for shape in ("24 × 28 × 28", "72 × 28 × 28", "72 × 14 × 14", "32 × 14 × 14"):
        assert shape in said
    assert "1,872 parameters\n2.00 million MACs" in said
    assert "2,368 parameters\n0.25 million MACs" in said
    assert sum(isinstance(patch, FancyArrowPatch) for patch in axis.patches) == 3
    # of each box its front, top and side; the front is as wide as it has channels
    fronts = [p for p in axis.patches if isinstance(p, Polygon)][::3]
    spans = [np.ptp(front.get_xy(), axis=0) for front in fronts]
    widths, heights = np.array(spans).T
    assert widths / widths.max() == pytest.approx(np.array([24, 72, 72, 32]) / 72)
    assert heights / heights.max() == pytest.approx(np.array([1, 1, 0.5, 0.5]))
    assert widths.max() == pytest.approx(heights.max())  # the most of each is equally long
    dark = plt.matplotlib.colors.to_rgb(PALETTE[0])
    assert [front.get_facecolor()[:3] == dark for front in fronts] == [False, True, True, False]


def test_activation_rows_show_the_first_channels_on_one_scale_a_row():
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    tensors = {"wide": torch.rand(5, 4, 4) * 6, "narrow": torch.randn(2, 4, 4)}
    first, *others = diagrams.activation_rows(picture, tensors, columns=3).axes
    assert (first.images[0].get_array() == picture).all()
    shown = [tensors["wide"][n] for n in range(3)] + [tensors["narrow"][n] for n in range(2)]
    assert len(others) == len(shown)
    for axis, channel in zip(others, shown, strict=True):
        assert axis.images[0].get_array().data == pytest.approx(channel.numpy())
    limits = [axis.images[0].get_clim() for axis in others]
    wide, narrow = tensors["wide"][:3], tensors["narrow"]
    assert limits[:3] == [pytest.approx((float(wide.min()), float(wide.max())))] * 3
    assert limits[3:] == [pytest.approx((float(narrow.min()), float(narrow.max())))] * 2
    assert [axis.get_ylabel() for axis in others] == ["wide", "", "", "narrow", ""]


def test_layer_bars_are_as_long_as_their_numbers():
    counts = {"ours": {"a": 10, "b": 300}, "theirs": {"a": 20, "b": 3000}}
    figure = diagrams.layer_bars(counts)
    assert labels_of(figure) == [("parameters", "", ["ours", "theirs"])]
    axis = figure.axes[0]
    bars = [patch for patch in axis.patches if isinstance(patch, Rectangle)]
    assert [bar.get_width() for bar in bars] == [10, 300, 20, 3000]
    assert [text.get_text() for text in axis.texts] == ["10", "300", "20", "3,000"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b"]


def test_footprints_frame_what_a_network_sees_and_dim_the_rest():
    picture = np.full((20, 20, 3), 200, np.uint8)
    influence = torch.zeros(20, 20, dtype=torch.float64)
    influence[5:12, 6:15] = torch.rand(7, 9, dtype=torch.float64) + 0.1
    figure = diagrams.footprints(picture, {"small": influence}, [9])
    above, below = figure.axes[:2]
    assert above.get_title() == "small: field of 9 pixels"
    (frame,) = above.patches
    assert (*frame.get_xy(), frame.get_width(), frame.get_height()) == (5.5, 4.5, 9, 7)
    shown = above.images[0].get_array().data
    inside = np.zeros((20, 20), bool)
    inside[5:12, 6:15] = True
    assert shown[inside] == pytest.approx(np.full((63, 3), 200 / 255))
    assert shown[~inside] == pytest.approx(np.full((337, 3), 0.25 * 200 / 255 + 0.55))
    shares = below.images[0].get_array()
    assert np.ma.getmaskarray(shares)[~inside].all() or np.isnan(shares[~inside]).all()
    assert float(np.nansum(shares.filled(np.nan))) == pytest.approx(1)


def test_footprints_have_one_scale_which_is_that_of_the_colour_bar():
    """The first network's most is a half of its influence, the second's a quarter."""
    maps = {name: torch.zeros(8, 8, dtype=torch.float64) for name in ("narrow", "wide")}
    maps["narrow"][3, 3:5], maps["wide"][2:4, 2:4] = 0.1, 0.7
    figure = diagrams.footprints(np.zeros((8, 8, 3), np.uint8), maps, [2, 2])
    below = figure.axes[2:4]
    assert [axis.images[0].get_clim() for axis in below] == [(0.5e-4, 0.5)] * 2
    shown = [float(np.nanmax(axis.images[0].get_array().filled(np.nan))) for axis in below]
    assert shown == [pytest.approx(0.5), pytest.approx(0.25)]
    figure.draw_without_rendering()
    assert figure.axes[-1].get_ylabel() == "share of the influence"
    assert figure.axes[-1].get_ylim() == pytest.approx((0.5e-4, 0.5))
