"""The strip says in colours, lines, signs and words what is right."""

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_rgb

from fashionlib.errors import FashionError
from fashionlib.pages.result_strips import FRAMES, check_count, result_strip, result_strip_alt

QUERY = torch.full((3, 8, 8), 7, dtype=torch.uint8)


def pictures(count: int) -> torch.Tensor:
    return torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def shown(figure) -> list:
    return [axis for axis in figure.axes if axis.images]


def test_query_and_results_in_order():
    figure = result_strip(QUERY, pictures(3), [0.1, 0.25, 1.0], None, ["hat", "", "shoes"])
    axes = shown(figure)
    assert [int(axis.images[0].get_array().max()) for axis in axes] == [7, 0, 1, 2]
    titles = [axis.get_title() for axis in axes]
    assert titles == ["query", "1. hat\n0.100", "2.\n0.250", "3. shoes\n1.000"]
    lines = {(s.get_linestyle(), s.get_linewidth()) for a in axes for s in a.spines.values()}
    assert lines == {("solid", FRAMES[None]["linewidth"])}


def test_right_and_wrong_differ_in_more_than_colour():
    figure = result_strip(QUERY, pictures(2), [0.1, 0.2], [True, False], ["hat", "shoes"])
    query, right, wrong = shown(figure)
    assert right.get_title().startswith("✓ 1. hat")
    assert wrong.get_title().startswith("✗ 2. shoes")
    frames = [axis.spines["top"] for axis in (right, wrong)]  # as chapter 4's caption says
    assert frames[0].get_linestyle() == "solid" != frames[1].get_linestyle()
    blue, orange = (to_rgb(frame.get_edgecolor()) for frame in frames)
    assert max(blue) == blue[2]
    assert orange[0] > orange[1] > orange[2]
    assert query.spines["top"].get_edgecolor() != right.spines["top"].get_edgecolor()


def test_the_picture_that_lends_its_look_stands_beside_the_query():
    look = torch.full((3, 8, 8), 9, dtype=torch.uint8)
    figure = result_strip(QUERY, pictures(7), [0.0] * 7, None, [""] * 7, look)
    axes = shown(figure)
    assert [axis.get_title() for axis in axes[:2]] == ["query", "in this look"]
    values = [int(axis.images[0].get_array().max()) for axis in axes]
    assert values == [7, 9, 0, 1, 2, 3, 4, 5, 6]
    starts = {axis.get_subplotspec().colspan.start for axis in axes[2:]}
    assert starts == {2, 3, 4, 5, 6}  # the results alone fill the second row


def test_many_results_take_several_rows():
    figure = result_strip(QUERY, pictures(12), [0.0] * 12, None, [""] * 12)
    axes = shown(figure)
    assert len(axes) == 13
    figure.draw_without_rendering()
    tops = [round(axis.get_position().y1, 2) for axis in axes]
    assert len(set(tops)) == 3
    assert tops[1:6] == [tops[0]] * 5
    assert axes[6].get_position().x0 == pytest.approx(axes[1].get_position().x0, abs=0.01)


@pytest.mark.parametrize(
    ("count", "look", "shape"),
    [(0, None, (1, 1)), (3, None, (1, 4)), (3, QUERY, (1, 5)), (5, None, (1, 6)),
     (6, QUERY, (2, 7)), (10, None, (2, 6))],
)  # fmt: skip
def test_a_strip_has_no_empty_row_or_column(count, look, shape):
    figure = result_strip(QUERY, pictures(count), [0.0] * count, None, [""] * count, look)
    assert figure.axes[0].get_gridspec().get_geometry() == shape
    assert figure.get_size_inches() == pytest.approx([1.7 * shape[1], 2.1 * shape[0]])


def test_a_strip_has_an_end():
    check_count(50)
    with pytest.raises(FashionError, match="51 results"):
        result_strip(QUERY, pictures(51), [0.0] * 51, None, [""] * 51)


def test_where_nothing_was_found_the_query_stands_alone():
    figure = result_strip(QUERY, pictures(0), [], None, [])
    assert [axis.get_title() for axis in shown(figure)] == ["query"]


def test_it_can_be_drawn_where_grids_are_on():
    with plt.rc_context({"axes.grid": True}):
        figure = result_strip(QUERY, pictures(1), [0.5], [False], ["hat"])
        figure.draw_without_rendering()
        assert not any(line.get_visible() for a in shown(figure) for line in a.get_xgridlines())


def test_the_strip_in_words():
    text = result_strip_alt([0.1, 0.25], [True, False], ["hat", "shoes"])
    assert text == (
        "A query and its 2 nearest pictures, 1 of 2 right: "
        "1. hat at 0.100, right; 2. shoes at 0.250, wrong."
    )
    assert result_strip_alt([0.1], None, [""]).endswith("pictures: 1. a picture at 0.100.")
