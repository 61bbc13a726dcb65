"""Do queries still look like the catalog? Noticed by their distances to it (chapter 6).

One strange query is a matter for `distance_limit`. When many are a little farther from everything
than they used to be, none of them need be beyond the limit: another camera, a new season, people
who search for something else. That shows in how the distances of many queries are distributed.
"""

from dataclasses import dataclass

from scipy.stats import ks_2samp
from torch import Tensor

from fashionlib.errors import FashionError
from fashionlib.search import SearchIndex

FEWEST = 20  # distances on either side: fewer could hardly raise an alarm, whatever they are
SHARES = (0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Drift:
    """A window of queries, compared with those of the calibration."""

    gap: float  # 0 to 1: by how much more of the window lies beyond a distance, at most
    p_value: float  # how often queries like those of the calibration show such a gap
    alarm: bool
    quantiles: dict[float, tuple[float, float]]  # by share: distance in calibration, in window


def nearest_distances(index: SearchIndex, queries: Tensor) -> Tensor:
    """The distance of each query float32 [Q, D] to its nearest in the index: float32 [Q]."""
    return index.search(queries, 1).distances[:, 0]


def compare(calibration: Tensor, window: Tensor, alarm_at: float = 1e-3) -> Drift:
    """Are queries farther from the catalog than they were when all was well?

    Both are distances to the nearest catalog picture, float32 [Q] and [W]; the calibration is of
    validation pictures. The two-sample test of Kolmogorov and Smirnov, of larger distances only:
    it looks at all quantiles, and assumes nothing about their distribution. With `alarm_at` 0.001
    one window in a thousand raises a false alarm, as long as queries are like the calibration.

    Raises:
        FashionError: fewer than 20 distances on either side, or one that is not finite.
    """
    for name, distances in (("calibration", calibration), ("window", window)):
        if len(distances) < FEWEST:
            raise FashionError(f"a {name} of {len(distances)} queries: take {FEWEST} or more.")
        if not distances.isfinite().all():
            raise FashionError(f"a distance of the {name} is not finite: is the encoder broken?")
    # "less": the window has a smaller share of its distances below a point
    test = ks_2samp(window.numpy(), calibration.numpy(), alternative="less")
    gap, p_value = float(test.statistic), float(test.pvalue)
    quantiles = {s: (calibration.quantile(s).item(), window.quantile(s).item()) for s in SHARES}
    return Drift(gap, p_value, p_value < alarm_at, quantiles)
