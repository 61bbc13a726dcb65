import pytest
import torch

from fashionlib.errors import FashionError
from fashionlib.strangers import distance_limit, stranger_pictures


def test_pictures_of_each_kind_and_the_same_again():
    first, again = (stranger_pictures(3, seed=1, size=48) for _ in range(2))
    assert list(first) == ["empty backdrop", "temple", "flower", "printed page", "noise"]
    for name, images in first.items():
        assert images.shape == (3, 3, 48, 48), name
        assert images.dtype == torch.uint8
        assert torch.equal(images, again[name])
        assert not torch.equal(images[0], images[1]), name
        assert images.float().std() > 5, name  # not one flat colour


def test_another_seed_gives_other_pictures():
    first, other = (stranger_pictures(1, seed, 48) for seed in (1, 2))
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_the_limit_keeps_the_share_and_is_one_of_the_distances():
    distances = torch.arange(1, 101).float()
    limit = distance_limit(distances, keep=0.95)
    assert (distances <= limit).float().mean() >= 0.95
    assert (distances < limit).float().mean() < 0.96
    assert limit in distances


@pytest.mark.parametrize(("count", "keep"), [(0, 0.9), (5, 0.0), (5, 1.0)])
def test_no_limit_without_distances_or_a_share(count, keep):
    with pytest.raises(FashionError, match="a distance limit needs"):
        distance_limit(torch.rand(count), keep)
