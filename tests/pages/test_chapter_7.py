"""Chapter 7 says of a backbone that it has learned something only beside one that has not."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from chapter_cells import cells_of, code_of, grid, into, shown_by, the_one_with
from torchvision.ops import box_convert, generalized_box_iou_loss

from fashionlib.catalog import SEVEN
from fashionlib.detection import iou
from fashionlib.drawn.scenes import Scenes
from fashionlib.heads import cell_centres
from fashionlib.retrieval import resampled, score

CELLS = cells_of("07_detection_head")
CODE = code_of(CELLS)
cell_with = partial(the_one_with, code=CODE)


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
    sides = torch.linspace(0.1, 0.9, 60)[:, None]  # from small to large, from right to left
    boxes = torch.cat([1 - sides, 1 - sides, sides, sides], dim=1)
    spread = torch.tensor([-0.1, 0.1]).repeat(10)
    overlap = torch.cat([mean + spread for mean in (of_small, 0.5, 0.6)])
    found = shown_by(
        cell, test=SimpleNamespace(boxes=boxes, labels=torch.zeros(60, dtype=torch.long)),
        found=None, iou=lambda *_: overlap, logits=torch.zeros(60, 7), resampled=resampled,
        with_interval=lambda values, _=None: f"{values.mean():.2f}",
    )  # fmt: skip
    assert said in found.said[0]
    assert found.tables == [(["garments", "share of the picture", "mean IoU", "class right"], [
        ["small", "1% to 13%", f"{of_small:.2f}", "1.00"],
        ["middle", "14% to 40%", "0.50", "1.00"], ["large", "41% to 81%", "0.60", "1.00"],
    ])]  # fmt: skip


def test_scenes_of_the_test_split_stand_beside_test_pictures():
    cell = cell_with('filled = about["figures"]')
    figures = {"validation accuracy": "95.0% (of 276)", "test accuracy": "91.0% (of 296)"}
    labels = torch.tensor([0, 1, 2, 0])
    scenes, heard = Scenes(None, labels, torch.zeros(4, 4), ("",) * 4), []
    space = {
        "about": {"figures": figures}, "logits": torch.eye(4), "found": None, "score": score,
        "test": scenes, "is_right": lambda *_: torch.ones(4), "say": into(heard),
    }  # fmt: skip
    exec(cell, space)
    assert "On 4 test scenes the class is right in 75.0%" in heard[0]
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
        "lazy": SimpleNamespace(mean=0.3), "say": into(heard),
    }  # fmt: skip
    exec(cell, space)
    assert said in heard[0]
    assert "names the right class for 20 more of 100 scenes" in heard[0]


def test_a_scene_is_told_by_the_sides_of_its_box():
    boxes = torch.tensor([[0.5, 0.5, 0.25, 0.75]] * 13)
    train = SimpleNamespace(labels=torch.arange(13) % 2, boxes=boxes, images=torch.arange(13))
    drawn = []
    found = shown_by(
        cell_with("Twelve scenes with a dashed box"), SEVEN=("hat", "shoes"),
        scenes={"train": train, "validation": None, "test": None},
        box_figure=lambda *given: drawn.append(given),
    )  # fmt: skip
    ((images, names, shown),) = drawn
    assert images.tolist() == list(range(12))
    assert names == ["hat", "shoes"] * 6
    assert torch.equal(shown, boxes[:12])
    part = "hat, 25% of the picture wide and 75% high, shoes, 25% of the picture wide and 75% high"
    assert part in found.alts[0]


def test_the_mean_box_is_that_of_train_and_is_judged_on_validation():
    """Half of the picture, against the left quarter of it and against itself."""
    train = SimpleNamespace(boxes=torch.tensor([[0.4, 0.5, 0.4, 1.0], [0.6, 0.5, 0.6, 1.0]]))
    validation = SimpleNamespace(boxes=torch.tensor([[0.375, 0.5, 0.25, 1], [0.5, 0.5, 0.5, 1]]))
    cell = cell_with("Always the mean box")
    (said,) = shown_by(cell, train=train, validation=validation, iou=iou, score=score).said
    assert said.startswith("Always the mean box: a mean IoU of 0.750 on")


def test_the_depth_is_chosen_by_class_and_box_together():
    """After block 6 boxes are best, after 9 classes, and after 12 most are right in both."""
    validation = SimpleNamespace(labels=torch.arange(4))
    trained = {
        depth: (depth, [{"iou": 0.0, "right": 0.0}, {"iou": overlap, "right": both}])
        for depth, overlap, both in ((6, 0.9, 0.2), (9, 0.5, 0.3), (12, 0.6, 0.4))
    }
    right = {6: 1, 9: 4, 12: 2}
    found = shown_by(
        cell_with("def at_each_depth"), validation=validation, trained=trained,
        maps={"train": None, "validation": {6: 6, 9: 9, 12: 12}, "test": None},
        detect=lambda head, depth: (
            torch.eye(4)[(torch.arange(4) + (torch.arange(4) >= right[depth])) % 4], None),
    )  # fmt: skip
    assert found.tables[0][0] == ["after block", "mean IoU", "class right", "both right"]
    assert found.tables[0][1] == [
        [6, "0.900", "25.0%", "20.0%"], [9, "0.500", "100.0%", "30.0%"],
        [12, "0.600", "50.0%", "40.0%"],
    ]  # fmt: skip
    assert found.said == ["Chosen: the map after block 12."]


def test_detectors_are_judged_by_their_own_boxes():
    """On four test scenes: the mean box overlaps by a third, by six tenths what pooled features
    give: they learn from training scenes, whose boxes are less high.
    """
    true = torch.tensor([[0.25, 0.5, 0.5, 1.0], [0.75, 0.5, 0.5, 1.0]] * 2)
    half, lower = (true * torch.tensor([1, 1, 1, share]) for share in (0.5, 0.6))
    none = torch.tensor([[0.05, 0.05, 0.1, 0.1]] * 4)
    features = torch.tensor([[1.0, 0], [0, 1.0]] * 2)[:, :, None, None]
    maps = {name: {12: features, 6: features} for name in ("train", "test")}
    boxes = {"head": half, "control head": none}
    found = shown_by(
        cell_with("detection head, backbone of random weights"), torch=torch, iou=iou, score=score,
        F=torch.nn.functional, resampled=resampled, maps=maps, chosen=12, best=6,
        train=SimpleNamespace(boxes=lower), test=SimpleNamespace(boxes=true),
        mean_box=torch.tensor([[0.5, 0.5, 1.0, 0.5]]), random_maps=maps,
        trained={12: ("head", None), 6: None}, control={6: ("control head", None), 12: None},
        detect=lambda head, _: (None, boxes[head]),
    )  # fmt: skip
    assert found.tables[0][0] == ["detector", "mean IoU", "IoU of a half or more"]
    rows = [[name, overlap[:5], half[:5]] for name, overlap, half in found.tables[0][1]]
    assert [row[1:] for row in rows] == [
        ["0.333", "0.000"], ["0.600", "1.000"], ["0.010", "0.000"], ["0.500", "1.000"],
    ]  # fmt: skip
    assert "mean box" in rows[0][0]
    assert "random weights" in rows[2][0]


def test_the_worst_boxes_come_first_with_the_class_that_is_said():
    """The second scene has the box with no overlap, and a class that is wrong."""
    true = torch.tensor([[0.5, 0.5, 1.0, 1.0]] * 7)
    found_boxes = true * torch.linspace(1, 0.4, 7)[:, None]
    found_boxes[1] = torch.tensor([0.5, 0.5, 0.1, 0.1])
    labels = torch.zeros(7, dtype=torch.long)
    logits = torch.eye(7)[torch.tensor([0, 1, 0, 0, 0, 0, 0])]
    drawn = []
    test = SimpleNamespace(images=torch.arange(7), boxes=true, labels=labels)
    space = {"test": test, "found": found_boxes, "logits": logits, "iou": iou, "SEVEN": SEVEN,
             "box_figure": lambda *given: drawn.append(given)}  # fmt: skip
    words = shown_by(cell_with("def boxes_and_words"), **space).space["boxes_and_words"]
    found = shown_by(cell_with("the lowest IoU"), **space, boxes_and_words=words)
    ((images, titles, boxes, predicted),) = drawn
    assert images.tolist() == [1, 6, 5, 4, 3, 2]
    assert torch.equal(boxes, true[:6])
    assert torch.equal(predicted, found_boxes[images])
    assert titles[0] == f"{SEVEN[1]} (is {SEVEN[0]})\nIoU 0.01"
    assert titles[1].startswith(f"{SEVEN[0]}\nIoU ")
    assert f"{SEVEN[1]} (is {SEVEN[0]}), IoU 0.01; {SEVEN[0]}, IoU" in found.alts[0]


def test_trust_is_counted_inside_of_the_true_boxes():
    """The box is the left half of a map of two rows and four columns, and has 3 of 4 of it."""
    trust = torch.tensor([([0.75 / 4] * 2 + [0.25 / 4] * 2) * 2] * 6)
    found = shown_by(
        cell_with("hold {inside:.0%} of the trust"), torch=torch, F=torch.nn.functional,
        head=SimpleNamespace(ask_cells=lambda _: (None, trust, None)), chosen=12,
        maps={"test": {12: torch.zeros(8, 5, 2, 4)}}, cell_centres=cell_centres,
        test=SimpleNamespace(images=torch.full((8, 3, 4, 8), 200, dtype=torch.uint8),
                             boxes=torch.tensor([[0.25, 0.5, 0.5, 1.0]] * 8)),
        plots=SimpleNamespace(picture_grid=grid),
    )  # fmt: skip
    assert found.alts[0].endswith("Of the trust 75% lies inside the true boxes.")
    assert "The boxes cover 50% of these pictures and hold 75% of the trust." in found.captions[0]
    lit = torch.tensor(found.figures[0].images)[6:]
    assert (lit[..., 0] > lit[..., -1]).all()  # the left is brighter


def test_the_slider_of_two_boxes_says_both_overlaps():
    """By hand, of squares a quarter wide: one place, side by side, and a quarter apart."""
    (pieces,) = shown_by(
        cell_with('slider("centre of the solid box"'), torch=torch, iou=iou,
        box_convert=box_convert,
        generalized_box_iou_loss=generalized_box_iou_loss,
    ).pieces  # fmt: skip
    for place, said in (
        ("0.25", "IoU 1.00, generalised 1.00"),
        ("0.50", "IoU 0.00, generalised 0.00"),
        ("0.75", "IoU 0.00, generalised -0.33"),
    ):
        assert pieces[place].startswith('<svg viewBox="0 0 110 50" ')
        assert pieces[place].endswith(f"<p>{said}</p>")
        assert f'x="{100 * float(place) - 12.5}"' in pieces[place]


def test_each_split_has_garments_and_layouts_of_its_own():
    drawn = []
    found = shown_by(
        cell_with('"train": (420, 3)'), budget=lambda full, quick: full,
        SCENE_SEEDS={"train": 1, "validation": 2, "test": 3},
        draw_scenes=lambda *given: drawn.append(given) or range(given[0] * given[2]),
    )  # fmt: skip
    assert drawn == [(420, 1, 3), (210, 2, 1), (280, 3, 1)]
    assert found.said == ["train: 1,260 scenes, validation: 210 scenes, test: 280 scenes."]


def test_maps_are_taken_of_every_scene_at_three_depths():
    found = shown_by(
        cell_with("The maps of"), load_classifier=lambda path: (path, "card"), shipped=str,
        time=SimpleNamespace(perf_counter=iter([1.0, 8.0]).__next__), fingerprint=str,
        frozen_maps=lambda *given: given,
        scenes={name: Scenes(name, torch.zeros(n), torch.zeros(n, 4), ("",) * n)
                for name, n in (("train", 1_000), ("test", 30))},
    )  # fmt: skip
    assert found.space["maps"] == {
        name: ("classifier_drawn", name, (6, 9, 12)) for name in ("train", "test")
    }
    assert found.said == ["The maps of 1,030 scenes took 7 s."]


def test_the_first_twelve_scenes_are_shown_with_their_words():
    asked = []
    found = shown_by(
        cell_with("boxes_and_words(torch.arange(12))"), torch=torch,
        boxes_and_words=lambda places: asked.append(places.tolist()) or ("figure", "in words"),
    )  # fmt: skip
    assert asked == [list(range(12))]
    assert found.alts == ["Twelve scenes with a true and a predicted box each: in words."]


def test_fewer_right_classes_than_by_random_weights_are_told_as_fewer():
    (said,) = shown_by(
        cell_with("with_it, without = "), judged={12: (0.5, 0.6, 0.0)}, chosen=12,
        control_judged={6: (0.4, 0.7, 0.0)}, best=6, lazy=SimpleNamespace(mean=0.3),
    ).said  # fmt: skip
    assert "names the right class for 10 fewer of 100 scenes" in said


def test_a_head_is_trained_on_the_maps_of_each_depth_from_the_same_draw():
    """With the answers of the scenes of its split; a long training has ten epochs."""
    scenes = {name: SimpleNamespace(labels=f"labels of {name}", boxes=f"boxes of {name}")
              for name in ("train", "validation", "test")}  # fmt: skip
    maps = {name: {depth: f"{name} {depth}" for depth in (6, 9)} for name in scenes}
    stub = SimpleNamespace(train_head=lambda *given: given)
    found = shown_by(
        cell_with("def train_heads"), torch=torch, maps=maps, scenes=scenes, SEVEN=SEVEN,
        detection=stub, DetectionRecipe=lambda epochs: epochs, Answers=lambda *given: given,
        budget=lambda full, quick: full,
        DetectionHead=lambda *given: (*given, float(torch.rand(1))),
    )  # fmt: skip
    trained = found.space["trained"]
    assert list(trained) == [6, 9]
    assert trained[6][0] == trained[9][0]
    assert trained[6][0][:2] == (64, 7)
    assert trained[9][1:] == (
        ("train 9", "labels of train", "boxes of train"),
        ("validation 9", "labels of validation", "boxes of validation"),
        10,
    )
    assert found.printed == ["trained heads on the maps after blocks 6, 9"]


def test_the_control_has_the_depth_that_is_best_for_it():
    """By class and box together: after 6 its boxes are best, after 9 its classes."""
    by_depth = {6: (0.5, 0.1, 0.1), 9: (0.1, 0.5, 0.2), 12: (0.2, 0.2, 0.3)}
    updated = []
    found = shown_by(
        cell_with("control = train_heads(random_maps)"), torch=torch, SEVEN=SEVEN, chosen=9,
        build_classifier=lambda *given: given, judged={9: (0.6, 0.7, 0.65)},
        update_bn=lambda batches, network: updated.append((batches[0].tolist(), network)),
        train=SimpleNamespace(images=torch.tensor([0, 255])),
        scenes={name: SimpleNamespace(images=name) for name in ("train", "validation")},
        frozen_maps=lambda *given: given, train_heads=lambda maps: ("heads", maps),
        at_each_depth=lambda maps, heads: by_depth if heads == ("heads", maps) else None,
    )  # fmt: skip
    network = ("fashion", 7)
    assert updated == [([-1, 1], network)]
    assert found.space["random_maps"] == {
        name: (network, name, (6, 9, 12)) for name in ("train", "validation")
    }
    assert found.tables[0][0] == [
        "backbone", "after block", "mean IoU", "class right", "both right",
    ]  # fmt: skip
    assert found.tables[0][1] == [
        ["trained", 9, "0.600", "70.0%", "65.0%"],
        ["random weights", 12, "0.200", "20.0%", "30.0%"],
    ]
