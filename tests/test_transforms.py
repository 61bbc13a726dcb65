"""Augmentation is for training and draws for each picture; evaluation draws nothing."""

import pytest
import torch

from fashionlib.transforms import AUGMENTATIONS, augment, other_light, swap_frames, to_input


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
    assert to_input(pictures, 64).shape == (1, 3, 64, 64)


def test_to_input_draws_nothing(pictures):
    torch.manual_seed(5)
    to_input(pictures, 24)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_picture_has_its_own_draw(pictures, name):
    torch.manual_seed(0)
    out = augment(pictures.expand(6, -1, -1, -1), AUGMENTATIONS[name](32))
    assert out.shape == (6, 3, 32, 32)
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


def test_other_light_changes_brightness_more_than_white_balance():
    """Of a grey picture every pixel alike; channels drift apart less than all of them together."""
    torch.manual_seed(0)
    grey = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    lit = torch.stack([other_light(grey) for _ in range(400)]).float()
    assert torch.equal(lit.amin(dim=(2, 3)), lit.amax(dim=(2, 3)))
    gains = lit[:, :, 0, 0] / 100
    assert gains.mean().item() == pytest.approx(1, abs=0.02)
    brightness, cast = gains.mean(dim=1).std(), (gains - gains.mean(dim=1, keepdim=True)).std()
    assert 0.09 < brightness < 0.16
    assert 0.03 < cast < 0.08
    white = other_light(torch.full((3, 2, 2), 255, dtype=torch.uint8))
    assert white.min() > 100  # cut off at white, not begun again at black


def test_views_for_looks_keep_what_is_red_red():
    red = torch.zeros(1, 3, 40, 40, dtype=torch.uint8)
    red[0, 0] = 200
    seen = augment(red.expand(20, -1, -1, -1), AUGMENTATIONS["looks"](32))
    assert (seen[:, 0] > 90).all()
    assert (seen[:, 1:] == 0).all()
