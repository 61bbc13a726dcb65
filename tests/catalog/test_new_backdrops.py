import numpy as np
import pytest
import torch
from complaints import complaint
from tiny import tiny_catalog

from fashionlib.catalog import load_catalog
from fashionlib.catalog.new_backdrops import kept_at_k, on_new_backdrops
from fashionlib.drawn import render


@pytest.fixture(scope="module")
def drawn():
    return load_catalog("drawn", few=True)


@pytest.fixture(scope="module")
def shown(drawn):
    test = drawn.test
    return type(test)(test.images[:6], test.labels[:6], test.names[:6])


def test_the_garment_stays_and_what_is_behind_it_changes(drawn, shown):
    moved = on_new_backdrops(drawn, shown, seed=1)
    assert moved.shape == shown.images.shape
    assert moved.dtype == torch.uint8
    for name, before, after in zip(shown.names, shown.images, moved, strict=True):
        mask = torch.from_numpy(render(drawn.garments[name], before.shape[-1]).mask)
        change = (before.int() - after.int()).abs().float().mean(dim=0)
        assert change[mask].median() == 0, name
        assert change[~mask].mean() > 10, name


def test_a_seed_gives_the_same_backdrops_for_any_selection(drawn, shown):
    all_six = on_new_backdrops(drawn, shown, seed=1)
    two = type(shown)(shown.images[:2], shown.labels[:2], shown.names[:2])
    small = type(shown)(shown.images[:2, :, :48, :48], shown.labels[:2], shown.names[:2])
    assert on_new_backdrops(drawn, small, seed=1).shape == small.images.shape
    assert torch.equal(on_new_backdrops(drawn, two, seed=1), all_six[:2])
    assert not torch.equal(on_new_backdrops(drawn, two, seed=2), all_six[:2])


def test_a_photo_cannot_change_its_backdrop(shown):
    said = f"{shown.names[0]} is not drawn: only drawn garments can change backdrops."
    assert complaint(lambda: on_new_backdrops(tiny_catalog(), shown, seed=1)) == said


def test_kept_at_k_against_sets():
    rng = np.random.default_rng(0)
    first, second = (
        torch.from_numpy(np.stack([rng.permutation(9) for _ in range(5)])) for _ in "ab"
    )
    for k in (1, 3, 9):
        wanted = [
            len(set(a[:k]) & set(b[:k])) / k
            for a, b in zip(first.tolist(), second.tolist(), strict=True)
        ]
        assert kept_at_k(first, second, k).tolist() == pytest.approx(wanted)
    assert kept_at_k(first, second, 9).tolist() == [1.0] * 5


def test_each_garment_gets_a_backdrop_of_its_own(drawn, shown):
    """The same garment six times: what differs is behind it. The next seed has none of these."""
    same = type(shown)(shown.images, shown.labels, shown.names[:1] * 6)
    moved = [picture for seed in (1, 2) for picture in on_new_backdrops(drawn, same, seed)]
    assert len({picture.numpy().tobytes() for picture in moved}) == 12
