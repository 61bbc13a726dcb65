"""Chapter 7 says of a backbone that it has learned something only beside one that has not."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from chapter_cells import cells_of, code_of, the_one_with

from fashionlib.drawn.scenes import Scenes
from fashionlib.retrieval import resampled, score

CELLS = cells_of("07_detection_head")
CODE = code_of(CELLS)
cell_with = partial(the_one_with, code=CODE)


def test_the_control_is_the_same_network_and_head_but_for_its_weights():
    cell = cell_with("random_weights = build_classifier(")
    assert 'build_classifier("fashion", len(SEVEN))' in cell
    assert "update_bn(" in cell
    assert "control = train_heads(random_maps)" in cell
    assert any("\ntrained = train_heads(maps)\n" in source for source in CODE)
    test = cell_with("always the mean box")
    assert "random_maps" in test


def test_what_the_control_says_is_chosen_by_its_measurement():
    cell = cell_with('comes "\n')
    assert cell.count("if ") >= 3
    assert "gains[1] / gains[0]" in cell


def test_there_is_something_to_touch():
    assert sum(source.splitlines()[-1].startswith("slider(") for source in CODE) == 1


@pytest.mark.parametrize(
    ("of_small", "said"), [(0.2, "Yes: small"), (0.58, "do not tell"), (0.9, "do not tell")]
)
def test_small_garments_get_worse_boxes_where_the_intervals_lie_apart(of_small, said):
    """Large ones have an overlap of 0.6 on average, and all differ by 0.1 up and down."""
    cell = cell_with('thirds = dict(zip(("small"')
    boxes = torch.linspace(0.1, 0.9, 60)[:, None].expand(-1, 4)  # from small to large
    spread = torch.tensor([-0.1, 0.1]).repeat(10)
    overlap = torch.cat([mean + spread for mean in (of_small, 0.5, 0.6)])
    labels, heard = torch.zeros(60, dtype=torch.long), []
    space = {
        "test": SimpleNamespace(boxes=boxes, labels=labels), "found": None,
        "iou": lambda *_: overlap, "logits": torch.zeros(60, 7), "resampled": resampled,
        "with_interval": lambda *_: "", "table": lambda *_: None, "say": heard.append,
    }  # fmt: skip
    exec(cell, space)
    assert said in heard[0]


def test_scenes_of_the_test_split_stand_beside_test_pictures():
    cell = cell_with('filled = about["figures"]')
    figures = {"validation accuracy": "95.0% (of 276)", "test accuracy": "91.0% (of 296)"}
    scenes, heard = Scenes(None, torch.arange(4), torch.zeros(4, 4), ("",) * 4), []
    space = {
        "about": {"figures": figures}, "logits": torch.eye(4), "found": None, "score": score,
        "test": scenes, "is_right": lambda *_: torch.ones(4), "say": heard.append,
    }  # fmt: skip
    exec(cell, space)
    assert "On 4 test scenes the class is right in 100.0%" in heard[0]
    assert "named 91.0% right where a garment fills the picture" in heard[0]


@pytest.mark.parametrize(
    ("overlaps", "said"),
    [
        ((0.25, 0.4), "neither head is better than the mean box"),
        ((0.5, 0.3), "Only the trained backbone helps"),
        ((0.5, 0.4), "gains 0.200 of IoU, the one on random weights 0.100: **50% of the gain"),
        ((0.5, 0.6), "gives no better boxes than random weights"),
    ],
)
def test_what_training_the_backbone_brings_is_above_the_mean_box_and_the_control(overlaps, said):
    """The mean box has an overlap of 0.3."""
    cell = cell_with("with_it, without = ")
    of_trained, of_control = overlaps
    heard = []
    space = {
        "judged": {12: (of_trained, 0.9, 0.0)}, "chosen": 12,
        "control_judged": {6: (of_control, 0.7, 0.0)}, "best": 6,
        "lazy": SimpleNamespace(mean=0.3), "say": heard.append,
    }  # fmt: skip
    exec(cell, space)
    assert said in heard[0]
    assert "names the right class for 20 more of 100 scenes" in heard[0]
