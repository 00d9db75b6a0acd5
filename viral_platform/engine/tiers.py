"""The label: weighted engagement, its tiers, and percentiles within a training reference.

Cuts and reference come from a training part only and travel with the model. How tiers are
predicted does not belong here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from viral_platform.engine.contracts import TIERS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CUT_QUANTILES = (0.25, 0.50, 0.75, 0.90)
# Centres of the tiers' score ranges, as the replaced system shows them.
MIDPOINTS = (12.5, 35.0, 55.0, 72.5, 90.0)
# Percentiles between which each tier lies, by the cuts.
PERCENTILE_BORDERS = (0.0, 25.0, 50.0, 75.0, 90.0, 100.0)
REFERENCE_POINTS = 201


def weighted_engagement(
    likes: ArrayLike, comments: ArrayLike, shares: ArrayLike, views: ArrayLike
) -> FloatArray:
    """Return (likes + 2 comments + 3 shares) / views; NaN where a count is missing or views 0.

    >>> weighted_engagement([10.0], [2.0], [1.0], [100.0]).tolist()
    [0.17]
    """
    seen = np.asarray(views, dtype=float)
    total = (
        np.asarray(likes, dtype=float)
        + 2 * np.asarray(comments, dtype=float)
        + 3 * np.asarray(shares, dtype=float)
    )
    unknown = np.full(np.shape(seen), np.nan)
    return np.asarray(np.divide(total, seen, out=unknown, where=seen > 0), dtype=float)


@dataclass(frozen=True, slots=True)
class TierScale:
    """Cuts and reference distribution of one training part.

    Attributes
    ----------
    cuts : tuple of four floats, ascending
        Lower borders of tiers 2 to 5, inclusive: p25, p50, p75, p90 of the engagement.
    reference : tuple of floats, ascending
        Engagement at evenly spaced percentiles from 0 to 100.
    """

    cuts: tuple[float, ...]
    reference: tuple[float, ...]

    def tiers(self, engagement: ArrayLike) -> IntArray:
        """Return the tier, 1 to 5, of each engagement. NaN raises `ValueError`."""
        values = np.asarray(engagement, dtype=float)
        if np.isnan(values).any():
            raise ValueError("an unknown engagement has no tier")
        return (np.searchsorted(self.cuts, values, side="right") + 1).astype(np.int64)

    def percentiles(self, engagement: ArrayLike) -> FloatArray:
        """Return 100 x the percentile of each engagement within the reference, 0 to 100."""
        grid = np.linspace(0.0, 100.0, len(self.reference))
        values = np.asarray(engagement, dtype=float)
        return np.asarray(np.interp(values, self.reference, grid), dtype=float)


def fit_scale(engagement: ArrayLike) -> TierScale:
    """Return the scale of a training part. `engagement`: shape (n,), no NaN, n at least 1."""
    values = np.asarray(engagement, dtype=float)
    grid = np.linspace(0.0, 1.0, REFERENCE_POINTS)
    return TierScale(
        cuts=tuple(float(cut) for cut in np.quantile(values, CUT_QUANTILES)),
        reference=tuple(float(point) for point in np.quantile(values, grid)),
    )


def expected_score(probabilities: Sequence[float]) -> float:
    """Return the sum over tiers of p(tier) x midpoint of one forecast, 12.5 to 90."""
    return sum(p * midpoint for p, midpoint in zip(probabilities, MIDPOINTS, strict=True))


def percentile_of_one(probabilities: Sequence[float], level: float) -> float:
    """Return the percentile below which a share `level` of one predicted distribution lies.

    Within a tier the percentile is taken as uniform. `probabilities` holds five shares that sum
    to 1, `level` lies in 0 to 1; the result in 0 to 100.

    >>> percentile_of_one([0.5, 0.5, 0.0, 0.0, 0.0], 0.75)
    37.5
    """
    cumulated = 0.0
    for tier, probability in enumerate(probabilities):
        if probability > 0 and cumulated + probability >= level:
            low, high = PERCENTILE_BORDERS[tier : tier + 2]
            return min(high, low + (high - low) * (level - cumulated) / probability)
        cumulated += probability
    return PERCENTILE_BORDERS[-1]


def percentile_quantile(probabilities: FloatArray, level: float) -> FloatArray:
    """Return `percentile_of_one` of each row. Shape (n, 5) gives (n,), 0 to 100."""
    return np.array([percentile_of_one(row, level) for row in probabilities.tolist()])


def class_shares(tiers: ArrayLike) -> dict[int, float]:
    """Return the share of each tier among `tiers`; zeros for an empty input."""
    values = np.asarray(tiers)
    n = max(len(values), 1)
    return {tier: float(np.sum(values == tier)) / n for tier in TIERS}
