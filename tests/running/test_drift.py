"""Quiet while queries are like the catalog, loud when they are not."""

import numpy as np
import pytest
import torch
from complaints import complaint
from scipy.stats import ks_2samp

from fashionlib.drawn import drawn_pictures
from fashionlib.drawn.not_garments import pictures_of_no_garment
from fashionlib.inference import predict
from fashionlib.running.distance_limit import distance_limit
from fashionlib.running.drift import compare, nearest_distances
from fashionlib.search import SearchIndex
from fashionlib.weights import load_encoder, shipped

WINDOW = 50


def test_false_alarms_are_as_rare_as_they_are_asked_to_be():
    torch.manual_seed(0)
    pairs = [(torch.randn(300).exp(), torch.randn(WINDOW).exp()) for _ in range(400)]
    alarms = {
        alarm_at: sum(compare(*pair, alarm_at).alarm for pair in pairs)
        for alarm_at in (0.001, 0.05)
    }
    assert alarms[0.001] <= 2
    assert 8 < alarms[0.05] <= 30  # about 20


def test_unless_told_otherwise_one_window_in_a_thousand_is_a_false_alarm():
    """Windows on either side of the threshold, with scipy's own p-values."""
    calibration = torch.arange(300) / 300
    found = {}
    for shift in (n / 200 for n in range(80)):
        window = torch.arange(60) / 60 + shift
        p = ks_2samp(calibration, window, alternative="greater").pvalue
        found[p] = compare(calibration, window).alarm
        assert compare(calibration, window).p_value == pytest.approx(p)
    assert any(0.001 < p < 0.01 for p in found)
    assert any(0.0002 < p < 0.001 for p in found)
    assert all(alarm == (p < 0.001) for p, alarm in found.items())


def test_farther_is_an_alarm_and_nearer_is_none():
    torch.manual_seed(0)
    calibration, window = torch.rand(300), torch.rand(WINDOW)
    assert not compare(calibration, window).alarm
    assert compare(calibration, window + 0.5).alarm
    assert not compare(calibration, window / 4).alarm


def test_gap_and_quantiles_are_what_they_say():
    calibration = torch.arange(100) / 100
    window = calibration[:40] + 0.3
    found = compare(calibration, window)
    shares = [(calibration <= x).float().mean() - (window <= x).float().mean()
              for x in torch.arange(200) / 200]  # fmt: skip
    assert found.gap == pytest.approx(float(max(shares)), abs=0.02)
    assert list(found.quantiles) == [0.25, 0.5, 0.75, 0.95]
    for share, both in found.quantiles.items():
        wanted = [np.quantile(each.numpy(), share) for each in (calibration, window)]
        assert both == pytest.approx(wanted, abs=1e-6)
    assert compare(calibration, calibration).p_value == pytest.approx(1)


def test_within_the_limit_and_yet_noticed():
    """All near their calibration's 75th percentile: a limit sees nothing."""
    torch.manual_seed(0)
    calibration = torch.rand(300)
    window = 0.7 + 0.1 * torch.rand(WINDOW)
    assert (window < distance_limit(calibration)).all()
    assert compare(calibration, window).alarm


def test_photos_of_garments_are_quiet_and_strangers_raise_it(photo_embeddings):
    """The shipped encoder; of each kind of stranger as many as a window holds."""
    encoder, _ = load_encoder(shipped("encoder_photos"))
    train = photo_embeddings["train"]
    index = SearchIndex(train, tuple(map(str, range(len(train)))), "the encoder")
    calibration = nearest_distances(index, photo_embeddings["validation"])
    test = nearest_distances(index, photo_embeddings["test"])
    generator = torch.manual_seed(0)
    windows = [test[torch.randperm(len(test), generator=generator)[:WINDOW]] for _ in range(100)]
    assert sum(compare(calibration, window).alarm for window in windows) <= 3
    strangers = pictures_of_no_garment(WINDOW, seed=0, size=128)
    strangers["drawn garments"] = torch.from_numpy(drawn_pictures(WINDOW, 5, 128)[0])
    for name, images in strangers.items():
        found = nearest_distances(index, predict(encoder, images))
        assert compare(calibration, found).alarm, name


def test_the_nearest_is_the_nearest():
    index = SearchIndex(torch.tensor([[0.0, 0.0], [3.0, 0.0]]), ("a", "b"), "someone")
    for queries, wanted in (([[1.0, 0.0], [3.0, 4.0]], [1.0, 4.0]), ([[3.0, 4.0]], [4.0])):
        assert nearest_distances(index, torch.tensor(queries)).tolist() == wanted


def test_too_few_or_broken_distances_are_mistakes():
    enough = torch.rand(30)
    complaint(lambda: compare(enough, enough[:19]), "a window of 19 queries: take 20 or more")
    complaint(lambda: compare(enough[:0], enough), "a calibration of 0 queries")
    for number in (torch.nan, torch.inf):
        broken = torch.cat([enough, torch.tensor([number])])
        complaint(lambda broken=broken: compare(enough, broken), "window is not finite")


def test_twenty_distances_are_enough():
    few = torch.linspace(0, 1, 20)
    assert not compare(few, few).alarm
    assert compare(few, few + 2).alarm
