"""Chapter 1 teaches the library's block and holds its own assertions."""

import ast
import inspect
import re
import statistics
from functools import partial
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from chapter_cells import cells_of, code_of, into, shown_by, the_one_with

from fashionlib import blocks, counting
from fashionlib.heads import build_classifier
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
    space = {"nn": torch.nn, "F": torch.nn.functional, "Tensor": torch.Tensor,
             "conv_bn": blocks.conv_bn}  # fmt: skip
    return shown_by(cell_with("class AsPrinted"), **space).space["AsPrinted"]


def test_the_articles_block_fails_on_its_own_example(printed):
    """Else the chapter stops: it says that the block fails."""
    cell = cell_with("adding 24 channels to 32 should have failed")
    (line,) = shown_by(cell, torch=torch, AsPrinted=printed).printed
    assert re.search(r"RuntimeError:.*32.*24", " ".join(line.split()))
    with pytest.raises(AssertionError, match="should have failed"):
        shown_by(cell, torch=torch, AsPrinted=lambda *_: lambda x: x)


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
    found = shown_by(
        cell_with("diagrams.layer_bars("), dense={"filter": 396_460, "head": 7},
        sparse={"filter": 100, "head": 7}, differing=["filter"], without_groups=None,
        count_parameters=lambda _: 429_399, diagrams=diagrams,
    )  # fmt: skip
    (figure,), (alt,) = found.figures, found.alts
    assert "with and without groups" in alt
    assert alt.endswith(": filter 396,460 against 100.")
    bars = {bars.get_label(): bars.datavalues.tolist() for bars in figure.axes[0].containers}
    assert bars == {"without groups": [396_460, 7], "with groups": [100, 7]}
    plt.close(figure)
    assert found.said == [
        "Without `groups`, the three filters hold 396,460 weights, 92% of the network; with it "
        "100. The difference, 396,360, is exactly what separates the two counts."
    ]


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
        "table": lambda *given: tables.append(given),
    }  # fmt: skip
    exec(cell, space)
    header = ["plan", "parameters", "MACs at 128 px", "blocks", "with a true skip"]
    assert tables == [(header, [["`one`", "1,234", "2 million", 3, 1]])]


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
        "statistics": statistics, "middle": middle, "say": into(heard),
    }  # fmt: skip
    exec(cell, space)
    assert told in heard[0]
    low, high = middle(times)
    spread = f"(half of the rounds: {low:.1f} to {high:.1f})"
    assert f"**{statistics.median(times):.1f} times as long {spread}**" in heard[0]


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


def test_the_time_of_a_map_is_an_eighth_of_a_batch_of_eight():
    """By the median of the rounds; the layer has 20 channels in and 100 out, 56 × 56 each."""
    assert "maps = torch.zeros(8, " in cell_with("take_turns(runs")
    found = shown_by(
        cell_with('"ms a map"'), statistics=statistics, count_macs=counting.count_macs,
        layers={"one": torch.nn.Conv2d(20, 100, 1)}, spent={"one": [8.0, 16.0, 99.0]},
    )  # fmt: skip
    assert found.tables[0][0] == ["layer", "million MACs", "numbers in and out", "ms a map"]
    assert found.tables[0][1] == [["one", "6.3", "125,440", "2.00"]]


def test_what_comes_back_is_told_in_shares_of_the_spirals_size():
    """Of four points one is lost; T⁻¹ brings nothing back, the best map all but a tenth."""
    points = torch.ones(4, 2)

    def there_and_back(points, n, seed):
        lifted = torch.ones(4, n)
        lifted[seed % 4] = 0
        lifted[(seed + 1) % 4, 0] = 0  # which is not lost
        return lifted, 0 * points, points * (1 - 1 / n)

    found = shown_by(
        cell_with("points where all is zero"), Tensor=torch.Tensor, np=np, points=points,
        sizes=(2, 10), there_and_back=there_and_back,
    )  # fmt: skip
    assert found.tables[0][0] == [
        "n", "points where all is zero", "error by T⁻¹", "error of the best map",
    ]  # fmt: skip
    assert found.tables[0][1] == [[2, "25%", "100%", "50.0%"], [10, "25%", "100%", "10.0%"]]
    errors = {2: 0.5, 3: 0.4, 15: 0.02, 30: 0.003}
    (said,) = shown_by(cell_with("even the best map misses"), errors=errors).said
    assert "misses by 50% of the spiral's size; through 30 by 0.3%." in said


def test_three_times_holds_against_what_is_nearest_to_three_times():
    ratios = {"the block": 1.0, "one": 2.4, "two": 3.4, "three": 8.0}
    rivals = dict.fromkeys(("one", "two", "three"))
    (said,) = shown_by(cell_with("holds against"), ratios=ratios, rivals=rivals).said
    assert "“3×” holds against two. It is 2.4× against one and 8.0× against three." in said


def test_blocks_and_fields_of_the_networks_are_told_as_they_are():
    (said,) = shown_by(
        cell_with("times as many blocks"), macs={"fashion": 34.2, "article-dense": 31.6},
        blocks={"fashion": range(12), "article-dense": range(3)},
    ).said  # fmt: skip
    assert "MACs (34 against 32 million), and **4 times as many blocks**" in said
    fields = {"article": [7, 32], "fashion": [7, 200]}
    (said,) = shown_by(cell_with("the field is {near}"), fields=fields).said
    assert "32 pixels: 50% of the width of a picture of 64 pixels, 25% of one of 128." in said


def test_fields_stand_beside_the_block_that_they_are_after():
    """A field of each 3×3 filter; the article's network has fewer of them."""
    article, fashion = [3, 7, 15], [3, 7, 11, 27]
    names = iter((article, fashion))
    layers = lambda _: [  # noqa: E731
        SimpleNamespace(kernel=kernel, size=size * (1 if kernel == 3 else 2))
        for size in next(names)
        for kernel in (1, 3)
    ]
    found = shown_by(
        cell_with("zip_longest(places"),
        build_classifier=lambda _: SimpleNamespace(backbone=None),
        counting=SimpleNamespace(receptive_fields=layers),
    )
    ((header, rows),) = found.tables
    assert header == ["after", "`article`, pixels", "`fashion`, pixels"]
    assert rows[:5] == [["stem", 3, 3], ["block 1", 7, 7], ["block 2", 15, 11],
                        ["block 3", "", 27], ["block 4", "", ""]]  # fmt: skip


LAYERS = {
    "nn": torch.nn, "count_parameters": counting.count_parameters,
    "count_macs": counting.count_macs, "conv_bn": blocks.conv_bn,
    "InvertedResidual": blocks.InvertedResidual,
}  # fmt: skip


def test_what_two_steps_save_is_counted_on_the_layers():
    """By hand: 24 · 32 · 9 weights in one step, 24 · 9 and 24 · 32 in two; at 32 × 32 places."""
    plain = torch.nn.Conv2d(24, 32, 3, padding=1, bias=False)
    found = shown_by(cell_with("separable = nn.Sequential("), plain=plain, **LAYERS)
    assert found.tables[0][0] == ["layer", "parameters", "MACs"]
    assert found.tables[0][1] == [
        ["plain 3×3", "6,912", "7,077,888"],
        ["depthwise 3×3", "216", "221,184"],
        ["1×1", "768", "786,432"],
        ["depthwise + 1×1", "984", "1,007,616"],
    ]
    assert found.said == ["Two steps need **7.0 times** fewer weights and MACs."]


def test_what_a_projected_skip_costs_is_held_against_the_block_without():
    """By hand: 1,872 and 792 and 2,368 parameters, and 24 · 32 + 64 in the detour."""
    found = shown_by(cell_with("the detour adds"), **LAYERS)
    assert found.tables[0][0] == ["24 → 32, stride 2", "parameters", "MACs"]
    assert found.tables[0][1] == [
        ["no skip", "5,032", "2,525,184"], ["projected skip", "5,864", "2,721,792"],
    ]  # fmt: skip
    assert found.said == ["For this block the detour adds 17% to the parameters."]


def test_rivals_are_counted_in_blocks():
    """By hand: 24 · 32 · 9 + 64; 32 · 32 · 9 + 64 more; 72 · 72 · 9 for 72 · 9 in the filter."""
    found = shown_by(cell_with("one plain 3×3 convolution"), **LAYERS)
    assert found.tables[0][0] == ["layer", "parameters", "times the block's", "MACs on 32×32"]
    assert [row[1:3] for row in found.tables[0][1]] == [
        ["5,032", "1.0×"], ["6,976", "1.4×"], ["16,256", "3.2×"], ["51,040", "10.1×"],
    ]  # fmt: skip
    assert [row[3] for row in found.tables[0][1]][:2] == ["4,792,320", "7,077,888"]


def test_the_articles_claim_is_held_against_our_count():
    (said,) = shown_by(
        cell_with("claimed = 429_000"), network=None, count_parameters=lambda _: 33_039
    ).said
    assert said.startswith("We count 33,039. The article says 429K, **13 times** as many.")


def test_there_and_back_is_the_best_linear_map_and_the_one_that_undoes_the_lift():
    """By numpy's least squares; where no point is folded both give it back."""
    space = shown_by(cell_with("def there_and_back"), torch=torch, Tensor=torch.Tensor,
                     F=torch.nn.functional).space  # fmt: skip
    points = space["spiral"](50)
    assert points.norm(dim=1).numpy() == pytest.approx(np.linspace(0.05, 1, 50))
    lifted, by_inverse, best = space["there_and_back"](points, 3, seed=4)
    lift = torch.randn(2, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    assert lifted.numpy() == pytest.approx(np.maximum(points.numpy() @ lift.numpy(), 0))
    assert by_inverse.numpy() == pytest.approx(lifted.numpy() @ np.linalg.pinv(lift.numpy()))
    known = np.column_stack([lifted.numpy(), np.ones(50)])
    weights = np.linalg.lstsq(known, points.numpy(), rcond=None)[0]
    assert best.numpy() == pytest.approx(known @ weights, abs=1e-9)


def test_weights_of_each_layer_and_all_the_rest_are_those_of_the_network():
    dense, sparse = (build_classifier(plan, 7) for plan in ("article-dense", "article"))
    found = shown_by(cell_with("def weights_by_layer"), nn=torch.nn, without_groups=dense,
                     with_groups=sparse, count_parameters=counting.count_parameters)  # fmt: skip
    for name, network in (("dense", dense), ("sparse", sparse)):
        weights = found.space[name]
        assert sum(weights.values()) == sum(each.numel() for each in network.parameters())
        assert weights["stem"] == network.backbone.blocks[0][0].weight.numel()
        assert weights["block 1.filter"] == network.backbone.blocks[1].filter[0].weight.numel()
    assert found.printed == ["different: block 1.filter, block 2.filter, block 3.filter"]


def test_what_the_last_relu_zeroes_is_told_of_the_block_as_printed():
    """Of four numbers two are below zero; the last is zero before."""
    blocks_of = {"AsPrinted": lambda *_: torch.relu, "InvertedResidual": lambda *_: lambda x: -x}
    x = SimpleNamespace(relu=lambda: torch.tensor([-1.0, -2.0, 3.0, 0.0]))
    found = shown_by(cell_with("The last ReLU sets"), x=x, **blocks_of)
    assert found.tables[0][0] == ["block, 24 → 24", "numbers below zero", "exactly zero"]
    assert found.tables[0][1] == [["as printed", "0%", "75%"], ["ours", "25%", "25%"]]
    assert found.said[0].startswith("The last ReLU sets 75% of the narrow map to zero")


def test_the_step_with_most_macs_is_named_and_each_with_its_costs():
    steps = [counting.LayerCount(name, (1, 1, 1), parameters, macs) for name, parameters, macs in (
        ("expand", 1_000, 200), ("filter", 3_000, 100), ("project", 2_000, 4_000))]  # fmt: skip
    stub = SimpleNamespace(block_boxes=lambda *given: given)
    found = shown_by(cell_with("dear = max("), steps=steps, diagrams=stub)
    assert found.figures == [((24, 32, 32), steps)]
    assert "The step with most MACs is “project”" in found.captions[0]
    assert (
        "expand: 1,000 parameters, 200 MACs. filter: 3,000 parameters, 100 MACs." in found.alts[0]
    )


def test_footprints_stand_under_the_field_of_their_last_block():
    stub = SimpleNamespace(footprints=lambda *given: given)
    found = shown_by(
        cell_with("counting.footprint("), diagrams=stub, picture="it", model="a blue hat",
        counting=SimpleNamespace(footprint=lambda blocks, size: f"{blocks} at {size}"),
        backbones={n: SimpleNamespace(blocks=n) for n in ("article", "fashion")},
        fields={"article": [3, 31], "fashion": [3, 200]},
    )  # fmt: skip
    maps = {"article": "article at 128", "fashion": "fashion at 128"}
    assert found.figures == [("it", maps, [31, 200])]
    assert "over a blue hat. Left" in found.alts[0]
    assert "a small square of 31 pixels" in found.alts[0]


def test_kernels_of_three_convolutions_stand_beside_each_other():
    stub = SimpleNamespace(kernel_grid=lambda convolutions: list(convolutions.values()))
    found = shown_by(cell_with("Three grids of kernels"), nn=torch.nn, diagrams=stub)
    (convolutions,) = found.figures
    assert [(conv.kernel_size[0], conv.groups) for conv in convolutions] == [(3, 1), (3, 8), (1, 1)]
    assert all(conv.in_channels == conv.out_channels == 8 for conv in convolutions)


def test_each_size_has_its_spirals_below_it():
    """By a number of the size: 100 more by T⁻¹ and 200 more by the best map."""
    stub = SimpleNamespace(spirals=lambda rows, titles: (rows, titles))
    found = shown_by(
        cell_with("diagrams.spirals("), diagrams=stub, spiral=lambda: "spiral",
        there_and_back=lambda points, n, seed: (points, n + 100, n + 200),
    )  # fmt: skip
    ((rows, titles),) = found.figures
    assert titles == ["the spiral", "n = 2", "n = 3", "n = 5", "n = 15", "n = 30"]
    assert rows == {"back by T⁻¹": ("spiral", 102, 103, 105, 115, 130),
                    "best linear map": ("spiral", 202, 203, 205, 215, 230)}  # fmt: skip


def test_maps_of_the_one_picture_are_shown_step_by_step():
    garment = SimpleNamespace(colour="blue", category="hat", pattern="dots")
    stub = SimpleNamespace(activation_rows=lambda picture, tensors: (picture, tensors))
    tensors = {name: [n] for n, name in enumerate(("input", "expand"))}
    found = shown_by(cell_with("diagrams.activation_rows("), diagrams=stub, picture="picture",
                     tensors=tensors, garment=garment)  # fmt: skip
    assert found.figures == [("picture", {"input": 0, "expand": 1})]
    assert found.alts[0].startswith("On the left a blue hat with dots. On the right")


def test_each_step_of_the_block_is_shown_of_the_one_before():
    """The picture is brown: of the numbers 0 to 255 those from -1 to 1."""
    steps = {"expand": lambda x: x + 1, "filter": lambda x: 2 * x, "project": lambda x: -x}
    drawn = []
    picture = np.array([[[255, 51, 0]] * 4] * 4, np.uint8)
    found = shown_by(
        cell_with('tensors["filter"] = block.filter('), np=np, torch=torch,
        sample_garment=lambda _, kind: kind, replace=lambda kind, **look: (kind, look["pattern"]),
        draw_garment=lambda garment, size: drawn.append(garment) or picture,
        conv_bn=lambda *given, **more: lambda x: x, block=SimpleNamespace(**steps),
    )  # fmt: skip
    assert drawn == [("t-shirt", "stripes")]
    values = {name: each[0, :, 0, 0].tolist() for name, each in found.space["tensors"].items()}
    assert values == {name: pytest.approx(each) for name, each in {
        "input": [1, -0.6, -1], "expand": [2, 0.4, 0], "filter": [4, 0.8, 0],
        "project": [-4, -0.8, 0]}.items()}  # fmt: skip
