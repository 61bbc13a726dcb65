"""Scenes: the box is the garment's, to the pixel, and a seed gives the same scene for ever."""

import numpy as np
import pytest
import torch
from torchvision.ops import box_convert

from fashionlib.drawn import SEVEN, sample_garment, scenes
from fashionlib.drawn.scenes import LONG_SIDE, SCENE_SEEDS, draw_scenes
from fashionlib.errors import FashionError

SIZE = 96


@pytest.fixture(scope="module")
def drawn():
    return draw_scenes(14, seed=5, layouts=2, size=SIZE)


def test_shapes_types_and_one_of_each_class(drawn):
    assert drawn.images.shape == (28, 3, SIZE, SIZE)
    assert drawn.images.dtype == torch.uint8
    assert (drawn.boxes.shape, drawn.boxes.dtype) == ((28, 4), torch.float32)
    assert len(drawn) == 28
    assert torch.bincount(drawn.labels).tolist() == [4] * len(SEVEN)
    assert [SEVEN[n] for n in drawn.labels] == [g.category for g in drawn.garments]


def test_every_garment_is_whole_and_of_the_size_it_should_have(drawn):
    corners = box_convert(drawn.boxes, "cxcywh", "xyxy")
    assert corners.min() > -1e-6
    assert corners.max() < 1 + 1e-6
    long = drawn.boxes[:, 2:].amax(dim=1)
    rim = 3 / SIZE  # rounding, and the soft rim that is less than half garment
    assert long.min() > LONG_SIDE[0] - rim
    assert long.max() < LONG_SIDE[1] + rim


def test_places_sizes_and_backdrops_vary(drawn):
    """Layouts of one garment differ from each other, and scenes from one another."""
    assert (drawn.boxes.std(dim=0) > 0.05).all()
    for first, second in zip(drawn.garments[::2], drawn.garments[1::2], strict=True):
        assert first.seed == second.seed
        assert first.backdrop_seed != second.backdrop_seed
    assert not drawn.boxes[::2].isclose(drawn.boxes[1::2]).all(dim=1).any()
    assert len({garment.backdrop for garment in drawn.garments}) > 3


def test_the_box_is_where_the_garment_changed_the_scene(monkeypatch):
    """Against pixels: a red square without shadow or noise, on a black backdrop."""
    monkeypatch.setattr(scenes, "backdrop", lambda kind, seed, n: np.zeros((n, n, 3), np.float32))
    garment = sample_garment(np.random.default_rng(0), "hat")
    square = scenes.Image.new("RGBA", (60, 40), (255, 0, 0, 255))
    for seed in range(20):
        scene, mask = scenes._laid_out(np.random.default_rng(seed), square, garment, SIZE)
        rows, columns = np.nonzero(scene[..., 0] > 100)
        x, y, width, height = (scenes._box(mask) * SIZE).tolist()
        assert width / height == pytest.approx(60 / 40, abs=0.08), "cut off at the scene's edge"
        assert x - width / 2 == pytest.approx(columns.min(), abs=1e-3)
        assert x + width / 2 == pytest.approx(columns.max() + 1, abs=1e-3)
        assert y - height / 2 == pytest.approx(rows.min(), abs=1e-3)
        assert y + height / 2 == pytest.approx(rows.max() + 1, abs=1e-3)


@pytest.mark.parametrize(("end", "edge"), [(0, 0), (-1, SIZE)])
def test_a_garment_may_touch_every_edge_of_a_scene(end, edge):
    class Extreme(np.random.Generator):
        def integers(self, low, high):
            return range(low, high)[end]

    garment = sample_garment(np.random.default_rng(0), "hat")
    square = scenes.Image.new("RGBA", (60, 40), (255, 0, 0, 255))
    _, mask = scenes._laid_out(Extreme(np.random.PCG64(0)), square, garment, SIZE)
    x, y, width, height = (scenes._box(mask) * SIZE).tolist()
    side = 1 if edge else -1
    assert (x + side * width / 2, y + side * height / 2) == pytest.approx((edge, edge), abs=1e-3)


def test_the_shadow_of_a_garment_lies_below_it(monkeypatch):
    """A red square on a light gray backdrop: two pixels below it and above it."""
    gray = np.full((SIZE, SIZE, 3), 200, np.float32)
    monkeypatch.setattr(scenes, "backdrop", lambda *_: gray.copy())
    garment = sample_garment(np.random.default_rng(0), "hat")
    square = scenes.Image.new("RGBA", (60, 40), (255, 0, 0, 255))
    above, below = [], []
    for seed in range(20):
        scene, mask = scenes._laid_out(np.random.default_rng(seed), square, garment, SIZE)
        rows, columns = np.nonzero(mask)
        across = slice(columns.min() + 4, columns.max() - 3)
        if rows.min() >= 2 and rows.max() < SIZE - 2:
            above.append(scene[rows.min() - 2, across, 1].mean())
            below.append(scene[rows.max() + 2, across, 1].mean())
    assert len(above) > 9
    assert np.mean(below) < np.mean(above) - 5


def test_a_rim_that_is_less_than_half_garment_is_outside_the_box():
    """A square in a wide soft rim, which is no square."""
    garment = sample_garment(np.random.default_rng(0), "hat")
    soft = scenes.Image.new("RGBA", (60, 40), (255, 0, 0, 60))
    soft.paste((255, 0, 0, 255), (20, 10, 40, 30))
    for seed in range(5):
        _, mask = scenes._laid_out(np.random.default_rng(seed), soft, garment, SIZE)
        width, height = (scenes._box(mask) * SIZE).tolist()[2:]
        assert width == pytest.approx(height, abs=2)


def test_the_same_seed_gives_the_same_scenes_and_more_start_with_fewer(drawn):
    fewer = draw_scenes(3, seed=5, layouts=2, size=SIZE)
    assert torch.equal(fewer.images, drawn.images[:6])
    assert torch.equal(fewer.boxes, drawn.boxes[:6])
    other = draw_scenes(3, seed=6, layouts=2, size=SIZE)
    assert not torch.equal(other.images, fewer.images)


def test_the_chapters_splits_share_no_garment():
    parts = [draw_scenes(7, seed, size=64).garments for seed in SCENE_SEEDS.values()]
    seeds = [garment.seed for part in parts for garment in part]
    assert len(set(seeds)) == len(seeds) == 21


def test_no_garment_is_cut_off_by_its_own_picture():
    """A class may be drawn in close-up, cut at the edge; such a one is drawn anew.

    Of what is whole the rim is left behind, a pixel on each side, where the wall mixes in.
    """
    for seed in range(12):
        rng = np.random.default_rng([seed, 1])
        garment, cut = scenes._whole_garment(rng, "shoes")
        left, top, right, bottom = scenes.render(garment, scenes._FINE).box
        assert min(left, top) > 0
        assert max(right, bottom) < scenes._FINE
        assert cut.size[0] <= right - left - 2
        assert cut.size[1] <= bottom - top - 2


@pytest.mark.parametrize("wrong", [{"count": 0}, {"layouts": 0}, {"size": 32}])
def test_mistakes_are_told(wrong):
    with pytest.raises(FashionError, match="draw at least"):
        draw_scenes(**{"count": 1, "seed": 0} | wrong)
