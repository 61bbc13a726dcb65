"""The detection head: boxes against torchvision, a still backbone, and a head that learns."""

import math
from dataclasses import asdict

import pytest
import torch
from tiny import same_weights, without_time
from torchvision.ops import box_convert, box_iou, generalized_box_iou

from fashionlib import training
from fashionlib.counting import count_parameters
from fashionlib.detection import (
    Answers,
    DetectionRecipe,
    detect,
    detection_loss,
    frozen_maps,
    iou,
    is_right,
    train_head,
)
from fashionlib.drawn.scenes import draw_scenes
from fashionlib.errors import FashionError
from fashionlib.heads import DetectionHead, build_classifier, cell_centres
from fashionlib.weights import load_classifier, shipped, weights_hash


def random_boxes(count: int, seed: int) -> torch.Tensor:
    return torch.rand(count, 4, generator=torch.manual_seed(seed)) * 0.6 + 0.2


@pytest.fixture
def head():
    torch.manual_seed(0)
    return DetectionHead(8, 3, hidden=16).eval()


def test_iou_is_torchvisions():
    a, b = random_boxes(50, 1), random_boxes(50, 2)
    a[:5, :2] -= 5  # far away
    corners = [box_convert(boxes, "cxcywh", "xyxy") for boxes in (a, b)]
    wanted = box_iou(*corners)
    assert torch.allclose(iou(a, b), wanted.diagonal(), atol=1e-6)
    assert torch.allclose(iou(a[7:8], b), wanted[7], atol=1e-6)
    assert iou(a, b)[:5].tolist() == [0.0] * 5


def test_the_loss_is_its_three_terms():
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    found, boxes = random_boxes(6, 1), random_boxes(6, 2)
    corners = [box_convert(b, "cxcywh", "xyxy") for b in (found, boxes)]
    entropy = -logits.log_softmax(dim=1)[range(6), labels].mean()
    wanted = entropy + 5 * (found - boxes).abs().mean()
    wanted += 2 * (1 - generalized_box_iou(*corners).diagonal()).mean()
    assert torch.allclose(detection_loss(logits, found, labels, boxes), wanted, atol=1e-5)


def test_a_box_that_does_not_touch_is_still_pulled():
    found = torch.tensor([[0.1, 0.1, 0.1, 0.1]], requires_grad=True)
    boxes = torch.tensor([[0.8, 0.1, 0.1, 0.1]])
    detection_loss(torch.zeros(1, 2), found, torch.tensor([0]), boxes).backward()
    assert found.grad[0, 0] < 0  # larger x, smaller loss


def test_right_takes_class_and_box():
    box = torch.tensor([[0.5, 0.5, 0.4, 0.4]]).expand(3, 4)
    found = box + torch.tensor([[0.0], [0.0], [1.0]]) * torch.tensor([0.3, 0, 0, 0])
    logits = torch.eye(3)
    assert is_right(logits, found, torch.tensor([0, 0, 2]), box).tolist() == [True, False, False]


def test_an_overlap_of_exactly_half_is_enough():
    """The lower half of a square, and a little less of it."""
    box = torch.tensor([[0.5, 0.5, 1.0, 1.0]]).expand(2, 4)
    found = torch.tensor([[0.5, 0.25, 1.0, 0.5], [0.5, 0.25, 1.0, 0.49]])
    labels = torch.zeros(2, dtype=torch.int64)
    assert is_right(torch.eye(2)[labels], found, labels, box).tolist() == [True, False]


def test_cell_centres_against_a_loop():
    centres = cell_centres(2, 4)
    wanted = [[(x + 0.5) / 4, (y + 0.5) / 2] for y in range(2) for x in range(4)]
    assert torch.allclose(centres.T, torch.tensor(wanted))


def test_every_box_has_a_size_and_trust_adds_up(head):
    maps = torch.randn(20, 8, 5, 6) * 10
    logits, boxes = head(maps)
    assert (logits.shape, boxes.shape) == ((20, 3), (20, 4))
    assert (boxes[:, 2:] > 0).all()
    mixed, trust, corners = head.ask_cells(maps)
    assert (mixed.shape, trust.shape, corners.shape) == ((20, 16, 30), (20, 1, 30), (20, 4, 30))
    assert torch.allclose(trust.sum(dim=2), torch.ones(20, 1), atol=1e-5)
    assert torch.allclose(logits, head.linear((mixed * trust).sum(dim=2)))
    middle = box_convert((corners * trust).sum(dim=2), "xyxy", "cxcywh")
    assert torch.allclose(boxes, middle, atol=1e-6)


def test_the_parameters_of_a_head_by_hand():
    """Two filters of 64 channels with their norms; five votes of a cell; seven classes."""
    filters = 2 * (9 * 64 * 64 + 2 * 64)
    assert count_parameters(DetectionHead(64, 7)) == filters + 5 * (64 + 1) + 7 * (64 + 1)


def test_a_cell_without_an_opinion_reaches_a_third_around_itself(head):
    """The first boxes are like a large garment: from the centre ln(1 + 1/e) to each side."""
    torch.nn.init.zeros_(head.votes.weight)
    torch.nn.init.zeros_(head.votes.bias)
    _, boxes = head(torch.randn(4, 8, 5, 5))
    side = 2 * math.log(1 + 1 / math.e)
    assert torch.allclose(boxes, torch.tensor([0.5, 0.5, side, side]).expand(4, 4), atol=1e-5)


def test_a_cell_speaks_relative_to_its_own_centre(head):
    """Away from the rim, what moves by a cell moves the cell's answer by just a cell."""
    maps = torch.zeros(1, 8, 9, 9)
    maps[0, :, 3, 3] = torch.randn(8, generator=torch.manual_seed(1))
    moved = maps.roll((1, 2), dims=(2, 3))
    corners = head.ask_cells(maps)[2].view(4, 9, 9)
    later = head.ask_cells(moved)[2].view(4, 9, 9)
    step = torch.tensor([2, 1, 2, 1]) / 9
    assert torch.allclose(later[:, 4, 5], corners[:, 3, 3] + step, atol=1e-6)


def test_a_cell_sees_two_cells_around_itself(head):
    """Through two filters of 3 by 3; in the dark all features are 0."""
    maps = torch.zeros(1, 8, 9, 9)
    maps[0, :, 4, 4] = torch.randn(8, generator=torch.manual_seed(1))
    seen = head.ask_cells(maps)[0].view(16, 9, 9).any(dim=0)
    wanted = torch.zeros(9, 9, dtype=torch.bool)
    wanted[2:7, 2:7] = True
    assert torch.equal(seen, wanted)


def test_frozen_maps_are_the_backbones_own():
    torch.manual_seed(0)
    classifier = build_classifier("fashion").train()
    images = torch.randint(0, 256, (5, 3, 64, 64), dtype=torch.uint8)
    before = weights_hash(classifier)
    maps = frozen_maps(classifier, images, (12, 6, 12))
    assert weights_hash(classifier) == before, "batch-norm's statistics moved"
    assert list(maps) == [6, 12]
    assert maps[6].shape == maps[12].shape == (5, 64, 4, 4)
    inputs = images.float() / 127.5 - 1
    classifier.eval()
    frozen_maps(classifier, images, (12,))
    with torch.no_grad():
        features = classifier.backbone(inputs)
        early = classifier.backbone.blocks[:7](inputs)
    assert torch.allclose(maps[12].mean(dim=(2, 3)), features, atol=1e-4)
    assert torch.allclose(maps[6], early, atol=1e-4)
    assert not any(part.training for part in classifier.modules()), "left in training mode"
    torch.nn.Conv2d(64, 1, 1)(maps[12]).sum().backward()  # what inference mode made would refuse


@pytest.mark.parametrize("training", [True, False])
def test_freezing_leaves_the_classifier_in_its_mode(training):
    classifier = build_classifier("fashion").train(training)
    frozen_maps(classifier, torch.zeros(2, 3, 64, 64, dtype=torch.uint8), (3,))
    assert {part.training for part in classifier.modules()} == {training}


def test_in_training_mode_the_statistics_would_have_moved():
    classifier = build_classifier("fashion").train()
    before = weights_hash(classifier)
    classifier.requires_grad_(False)(torch.randn(4, 3, 64, 64))
    assert weights_hash(classifier) != before


@pytest.mark.parametrize("depths", [(), (0,), (12, 13)])
def test_a_depth_that_is_not_there(depths):
    with pytest.raises(FashionError, match="choose from 1 to 12"):
        frozen_maps(build_classifier("fashion"), torch.zeros(1, 3, 64, 64).byte(), depths)


def test_a_head_is_trained_as_a_classifier_is_but_in_larger_batches():
    head, classifier = asdict(DetectionRecipe(epochs=10)), asdict(training.RECIPE)
    assert head == {name: classifier[name] for name in head} | {"batch_size": 32}


def blobs(count: int, seed: int) -> Answers:
    """Maps where one of two channels is lit in a rectangle: which one is the class."""
    generator = torch.manual_seed(seed)
    maps, boxes = torch.zeros(count, 2, 8, 8), torch.zeros(count, 4)
    labels = torch.arange(count) % 2
    for n in range(count):
        width, height = torch.randint(2, 6, (2,), generator=generator).tolist()
        left = int(torch.randint(0, 9 - width, (), generator=generator))
        top = int(torch.randint(0, 9 - height, (), generator=generator))
        maps[n, labels[n], top : top + height, left : left + width] = 1
        boxes[n] = torch.tensor([left + width / 2, top + height / 2, width, height]) / 8
    return Answers(maps, labels, boxes)


RECIPE = DetectionRecipe(epochs=6, batch_size=16)


def test_a_head_learns_what_and_where_and_a_seed_repeats_it(two_threads):
    train, validation = blobs(256, 1), blobs(64, 2)
    runs = []
    for seed in ((), (0,), (1,)):
        torch.manual_seed(0)
        runs.append(train_head(DetectionHead(2, 2, hidden=16), train, validation, RECIPE, *seed))
    (first, history), (again, same), (other, _) = runs
    assert same_weights(first, again)
    assert without_time(history) == without_time(same)
    assert not same_weights(first, other)
    lazy = float(iou(train.boxes.mean(dim=0, keepdim=True), validation.boxes).mean())
    assert history[-1]["iou"] > 0.7 > lazy + 0.2
    assert history[-1]["right"] > 0.9
    assert all(math.isfinite(row["loss"]) for row in history)
    logits, found = detect(first, validation.maps)
    right = is_right(logits, found, validation.labels, validation.boxes).float().mean()
    assert without_time(history)[-1] == {
        "epoch": RECIPE.epochs,
        "loss": history[-1]["loss"],
        "iou": float(iou(found, validation.boxes).mean()),
        "right": float(right),
    }


def test_detect_leaves_the_mode_and_does_not_depend_on_the_batch(head):
    maps = torch.randn(10, 8, 5, 5)
    head.train()
    before = weights_hash(head)
    logits, boxes = detect(head, maps)
    parts = [detect(head, maps[:3]), detect(head, maps[3:], batch_size=2)]
    assert head.training
    assert weights_hash(head) == before
    assert not any(answer.requires_grad for answer in (logits, boxes))
    assert torch.allclose(torch.cat([part[0] for part in parts]), logits, atol=1e-5)
    assert torch.allclose(torch.cat([part[1] for part in parts]), boxes, atol=1e-5)


def test_the_shipped_backbone_knows_where():
    """Few scenes are enough to beat by far a detector that never looks."""
    classifier, _ = load_classifier(shipped("classifier_drawn"))
    parts = []
    for count, seed in ((70, 21), (42, 22)):
        drawn = draw_scenes(count, seed, layouts=2)
        maps = frozen_maps(classifier, drawn.images, (12,))[12]
        parts.append(Answers(maps, drawn.labels, drawn.boxes))
    torch.manual_seed(0)
    _, history = train_head(DetectionHead(64, 7), *parts, DetectionRecipe(epochs=15, batch_size=14))
    lazy = float(iou(parts[0].boxes.mean(dim=0, keepdim=True), parts[1].boxes).mean())
    assert lazy < 0.4
    assert history[-1]["iou"] > lazy + 0.2
    assert history[-1]["right"] > 0.5
