"""Augmentation is for training and draws for each picture; evaluation draws nothing."""

import math

import pytest
import torch

from fashionlib.transforms import AUGMENTATIONS, LIGHT, augment, swap_frames, to_input


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.randint(0, 256, (1, 3, 40, 40), generator=torch.manual_seed(0), dtype=torch.uint8)


def test_to_input_is_scaled_repeatable_and_leaves_its_pictures_alone(pictures):
    before = pictures.clone()
    inputs = to_input(pictures)
    assert torch.equal(inputs, to_input(pictures))
    assert torch.equal(pictures, before)
    assert inputs.dtype == torch.float32
    assert torch.allclose(inputs, pictures.float() / 127.5 - 1)
    assert inputs.is_contiguous(memory_format=torch.channels_last)  # faster on a CPU
    for stored in (pictures, pictures[..., :20, :], pictures[..., :20]):
        for size in (40, 64):
            assert to_input(stored, size).shape == (1, 3, size, size)


def test_to_input_draws_nothing(pictures):
    torch.manual_seed(5)
    to_input(pictures, 24)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_picture_has_its_own_draw(pictures, name):
    torch.manual_seed(0)
    out = augment(pictures[..., :30].expand(6, -1, -1, -1), AUGMENTATIONS[name](32))
    assert out.shape == (6, 3, 32, 32)  # whatever shape they had
    assert out.dtype == torch.uint8
    assert len({picture.numpy().tobytes() for picture in out}) == 6


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_seed_repeats_the_draws(pictures, name):
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(augment(pictures.expand(4, -1, -1, -1), AUGMENTATIONS[name](32)))
    assert torch.equal(*results)


def test_swapped_frames_keep_the_middle_and_take_the_edges_of_another():
    """Each picture is one colour, so a pixel tells where it comes from."""
    torch.manual_seed(0)
    own = torch.arange(1, 6, dtype=torch.uint8)[:, None, None, None].expand(5, 3, 48, 40)
    swapped = swap_frames(own)
    assert swapped.shape == own.shape
    assert swapped.dtype == torch.uint8
    other = own.roll(1, dims=0)
    assert ((swapped == own) | (swapped == other)).all()
    assert (swapped[:, :, 18:30, 15:25] == own[:, :, 18:30, 15:25]).all()
    assert (swapped[:, :, 0, 0] == other[:, :, 0, 0]).all()
    kept = (swapped == own).float().mean(dim=(1, 2, 3))
    assert len(set(kept.tolist())) == 5  # a box of its own for each


def test_frames_of_a_batch_of_one_are_its_own(pictures):
    assert torch.equal(swap_frames(pictures), pictures)


# What each augmentation does to a picture, read off its pixels

CROPPED = {"fashion": 0.6, "strong": 0.35, "views": 0.5}  # the least share kept
COLOURS_KEPT = ("article", "views")


def augmented(picture: torch.Tensor, name: str, count: int, size: int = 32) -> torch.Tensor:
    """So many views of one picture: float [count, 3, size, size]."""
    torch.manual_seed(1)
    views = augment(picture.expand(count, -1, -1, -1), AUGMENTATIONS[name](size))
    return views.float()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_half_of_the_views_are_mirrored(name):
    """Dark on the left, bright on the right: in a mirrored one it is the other way round."""
    ramp = torch.linspace(40, 200, 48).byte().expand(1, 3, 48, 48)
    views = augmented(ramp, name, 200)[:, :, 8:24]
    mirrored = views[..., :16].mean(dim=(1, 2, 3)) > views[..., 16:].mean(dim=(1, 2, 3))
    assert 70 < mirrored.sum() < 130


@pytest.mark.parametrize("name", CROPPED)
def test_crops_keep_the_share_they_should_and_reach_down_to_it(name):
    """Red and green tell the column and the row that a pixel came from."""
    steps = torch.linspace(0, 1, 120)
    place = torch.stack([steps.expand(120, 120), steps[:, None].expand(120, 120)])
    seen, size = [], 24
    torch.manual_seed(1)
    transform = AUGMENTATIONS[name](size)
    crop = next(part for part in transform.transforms if type(part).__name__.endswith("Crop"))
    for _ in range(400):
        part = crop(place)
        width, height = (float(x) * size / (size - 1) for x in (
            part[0].amax() - part[0].amin(), part[1].amax() - part[1].amin()))  # fmt: skip
        seen.append(width * height)
        assert 0.6 < width / height < 1.7
    least = CROPPED[name]
    assert least - 0.06 < min(seen) < least + 0.08
    assert max(seen) > 0.9


def turned_by(view: torch.Tensor) -> float:
    """Degrees that the dark bar in a picture leans from the horizontal, -90 to 90."""
    rows, columns = (view[0] < 60).nonzero().double().T
    points = torch.stack([columns - columns.mean(), -(rows - rows.mean())])
    x, y = torch.linalg.eigh(points @ points.T).eigenvectors[:, -1].tolist()
    return math.degrees(math.atan(y / x)) if x else 90.0


def test_the_articles_rotation_is_by_ten_degrees_at_most_and_leaves_grey_corners():
    bar = torch.full((1, 3, 64, 64), 255, dtype=torch.uint8)
    bar[..., 28:36, 8:56] = 0
    views = augmented(bar, "article", 120, 64)
    angles = [turned_by(view) for view in views]
    assert max(map(abs, angles)) < 10.5
    assert min(angles) < -7
    assert max(angles) > 7
    corner = views[max(range(120), key=lambda n: angles[n])][:, 0, 0]
    assert corner.tolist() == [127] * 3


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_colours_are_changed_where_they_should_be_and_nowhere_else(name):
    """A picture of one colour: the article's augmentation and two views of a look keep it."""
    orange = torch.tensor([200, 120, 40], dtype=torch.uint8)[None, :, None, None]
    views = augmented(orange.expand(1, 3, 40, 40), name, 60)[:, :, 16, 16]
    if name in COLOURS_KEPT:
        assert (views == orange.flatten()).all()
    else:
        assert views.std(dim=0).min() > 4
        assert (views - orange.flatten()).abs().max() < 100


def test_strong_greys_a_part_of_a_fifth_of_the_views():
    """Of a blue picture the grey part is what is not blue: 2 to 20 percent, at one grey."""
    blue = torch.tensor([0, 0, 220], dtype=torch.uint8)[None, :, None, None].expand(1, 3, 40, 40)
    views = augmented(blue, "strong", 300)
    shares = [(view[0] > 100).float().mean().item() for view in views]
    greyed = [share for share in shares if share]
    assert views[:, 0][views[:, 0] > 100].unique().tolist() == [127]  # whatever the light
    assert 40 < len(greyed) < 85
    assert 0.01 < min(greyed) < max(greyed) < 0.22
    assert max(greyed) > 0.15
    for name in ("fashion", "views"):
        assert not (augmented(blue, name, 60)[:, 0] > 100).any()


def test_the_resize_of_an_input_smooths_what_it_cannot_show():
    """Stripes of two pixels, four times smaller: of the middle two alone all would be white."""
    stripes = torch.tensor([0, 255, 255, 0], dtype=torch.uint8).repeat(16).expand(1, 3, 64, 64)
    assert to_input(stripes, 16)[..., 1:-1].abs().max() < 0.05


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_what_an_augmentation_makes_smaller_is_smoothed(name):
    """Pixels in black and white, four times smaller or more: all grey, where none is left out."""
    board = ((torch.arange(160)[:, None] + torch.arange(160)) % 2 * 255).byte()
    views = augmented(board.expand(1, 3, 160, 160), name, 20, 20)[..., 4:-4, 4:-4]
    assert views.std(dim=(2, 3)).median() < 12


def test_another_light_has_another_contrast_too():
    """Two greys: brightness alone makes both so many times as bright, and keeps their ratio."""
    greys = torch.tensor([60, 120], dtype=torch.uint8).repeat_interleave(20).expand(1, 3, 40, 40)
    views = augmented(greys, "fashion", 60)
    ratios = views.amax(dim=(1, 2, 3)) / views.amin(dim=(1, 2, 3))
    assert ratios.min() < 1.9
    assert ratios.max() > 2.1


def test_another_light_has_another_saturation_too():
    """Contrast moves two greys apart as much as it moves red from blue; saturation, red alone."""
    torch.manual_seed(0)
    colours = torch.tensor([[60, 60, 60], [160, 160, 160], [160, 60, 60]], dtype=torch.uint8)
    ratios = []
    for _ in range(60):
        dark, light, red = LIGHT(colours.T[:, None, :])[:, 0].T.tolist()
        ratios.append((red[0] - red[2]) / (light[0] - dark[0]))
    assert min(ratios) < 0.88
    assert max(ratios) > 1.12


def test_light_changes_by_a_fifth_each_way():
    """With more or less of it the recorded trainings would be of another recipe."""
    assert LIGHT.brightness == LIGHT.contrast == LIGHT.saturation == (0.8, 1.2)
    assert LIGHT.hue is None


def test_middles_are_of_many_sizes():
    """How wide each is: between half of the picture and all of it; how high is another draw."""
    torch.manual_seed(0)
    own = torch.arange(32, dtype=torch.uint8)[:, None, None, None].expand(32, 3, 40, 40)
    kept = (swap_frames(own) == own)[:, 0]
    widths, heights = kept[:, 20].sum(dim=1), kept[:, :, 20].sum(dim=1)
    assert widths.min() < 26
    assert widths.max() > 36
    assert ((widths - heights).abs() > 3).sum() > 8


def test_a_middle_is_a_box_with_round_corners():
    """By the area of |x|⁴ + |y|⁴ < 1 in the square around it: of a circle it is 0.785."""
    torch.manual_seed(0)
    own = torch.arange(32, dtype=torch.uint8)[:, None, None, None].expand(32, 1, 200, 160)
    kept = (swap_frames(own) == own)[:, 0]
    cut = kept[:, [0, -1]].any(dim=(1, 2)) | kept[:, :, [0, -1]].any(dim=(1, 2))
    rows, columns = kept.any(dim=2).sum(dim=1), kept.any(dim=1).sum(dim=1)
    shares = (kept.sum(dim=(1, 2)) / (rows * columns))[~cut]
    assert len(shares) > 10
    assert float(shares.mean()) == pytest.approx(
        math.gamma(5 / 4) ** 2 / math.gamma(3 / 2), abs=0.01
    )


def test_middles_are_moved_to_all_sides():
    """Where the middle of what is kept lies, from -1 to 1; a pixel is a twentieth."""
    torch.manual_seed(0)
    own = torch.arange(32, dtype=torch.uint8)[:, None, None, None].expand(32, 3, 40, 40)
    kept = (swap_frames(own) == own)[:, 0]
    place, both = torch.linspace(-1, 1, 40), []
    for line in (kept[:, 20], kept[:, :, 20]):  # across, down
        middles = (line * place).sum(dim=1) / line.sum(dim=1)
        both.append(middles)
        assert -0.13 < middles.min() < -0.05
        assert 0.05 < middles.max() < 0.13
    assert float(torch.corrcoef(torch.stack(both))[0, 1]) < 0.5  # each way on its own
