import numpy as np
import pytest
import torch
from tiny import tiny_catalog, tiny_encoder

from fashionlib.catalog import Split
from fashionlib.errors import FashionError
from fashionlib.inference import predict
from fashionlib.running.distance_limit import calibrated_limit, distance_limit


def test_the_limit_keeps_the_share_and_is_one_of_the_distances():
    distances = torch.arange(1, 101).float()
    limit = distance_limit(distances, keep=0.95)
    assert (distances <= limit).float().mean() >= 0.95
    assert (distances < limit).float().mean() < 0.96
    assert limit in distances


def test_unless_told_otherwise_the_limit_keeps_95_of_100():
    """As numpy counts quantiles: of 100 distances it is the 95th or 96th, of 40 the 39th."""
    for count in (100, 40, 7):
        distances = torch.rand(count, generator=torch.Generator().manual_seed(count))
        wanted = np.quantile(distances.numpy(), 0.95, method="higher")
        assert distance_limit(distances) == pytest.approx(float(wanted))


@pytest.mark.parametrize(("count", "keep"), [(0, 0.9), (5, 0.0), (5, 1.0)])
def test_no_limit_without_distances_or_a_share(count, keep):
    with pytest.raises(FashionError, match="a distance limit needs"):
        distance_limit(torch.rand(count), keep)


def test_the_calibrated_limit_keeps_the_validation_pictures():
    catalog, encoder = tiny_catalog(), tiny_encoder()
    limit = calibrated_limit(encoder, catalog)
    queries, known = (predict(encoder, s.images) for s in (catalog.validation, catalog.train))
    nearest = torch.tensor([min(float((q - row).norm()) for row in known) for q in queries])
    assert limit == pytest.approx(np.quantile(nearest.numpy(), 0.95, method="higher"), abs=2e-4)
    assert (nearest <= limit + 1e-4).float().mean() >= 0.95
    assert (nearest > limit - 1e-3).any()


def test_no_limit_without_validation_pictures():
    catalog = tiny_catalog()
    empty = Split(catalog.test.images[:0], catalog.test.labels[:0], ())
    with pytest.raises(FashionError, match="tiny has no validation pictures"):
        calibrated_limit(
            tiny_encoder(),
            type(catalog)(catalog.name, catalog.classes, catalog.train, empty, catalog.test),
        )
