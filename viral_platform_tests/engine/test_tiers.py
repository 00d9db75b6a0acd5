from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.tiers import (
    MIDPOINTS,
    TierScale,
    class_shares,
    expected_score,
    fit_scale,
    percentile_quantile,
    weighted_engagement,
)

LEVEL = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)
RATE = st.integers(0, 5_000_000).map(lambda millionths: millionths / 1_000_000)
RATES = st.lists(RATE, min_size=1, max_size=60)
PROBABILITIES = (
    st.lists(st.integers(0, 1000), min_size=5, max_size=5)
    .filter(sum)
    .map(lambda parts: np.array([parts]) / sum(parts))
)
SCALE = TierScale(cuts=(0.1, 0.2, 0.3, 0.4), reference=(0.0, 0.1, 0.2, 0.3, 0.4))


def test_comments_count_double_and_shares_triple() -> None:
    assert weighted_engagement([10], [5], [2], [100]).tolist() == [0.26]


@pytest.mark.parametrize(
    ("likes", "comments", "shares", "views"),
    [
        (np.nan, 1, 1, 10),
        (1, np.nan, 1, 10),
        (1, 1, np.nan, 10),
        (1, 1, 1, np.nan),
        (1, 1, 1, 0),
    ],
    ids=["likes", "comments", "shares", "views", "no views"],
)
def test_engagement_with_an_unknown_count_is_unknown(
    likes: float, comments: float, shares: float, views: float
) -> None:
    assert np.isnan(weighted_engagement(likes, comments, shares, views))


@pytest.mark.parametrize(
    ("engagement", "tier"),
    [(0.0, 1), (0.0999, 1), (0.1, 2), (0.1999, 2), (0.2, 3), (0.3, 4), (0.3999, 4), (0.4, 5)],
)
def test_a_cut_belongs_to_the_tier_above_it(engagement: float, tier: int) -> None:
    assert SCALE.tiers([engagement]).tolist() == [tier]


def test_an_unknown_engagement_has_no_tier() -> None:
    with pytest.raises(ValueError, match="unknown engagement"):
        SCALE.tiers([0.1, np.nan])


def test_the_cuts_of_a_hundred_rates_are_their_quartiles_and_the_ninth_decile() -> None:
    scale = fit_scale(np.arange(101) / 100)
    assert scale.cuts == pytest.approx((0.25, 0.5, 0.75, 0.9))


def test_a_rate_beyond_the_reference_has_an_end_percentile() -> None:
    assert SCALE.percentiles([-1.0, 0.0, 0.2, 0.4, 9.0]).tolist() == [0, 0, 50, 100, 100]


@given(RATES, st.lists(RATE, min_size=2, max_size=20))
def test_a_higher_rate_never_has_a_lower_percentile_or_tier(
    reference: list[float], rates: list[float]
) -> None:
    scale = fit_scale(reference)
    assert (np.diff(scale.percentiles(sorted(rates))) >= 0).all()
    assert (np.diff(scale.tiers(sorted(rates))) >= 0).all()


@given(RATES)
def test_percentiles_lie_between_0_and_100(reference: list[float]) -> None:
    found = fit_scale(reference).percentiles(reference)
    assert ((found >= 0) & (found <= 100)).all()


def test_the_score_of_a_sure_tier_is_its_midpoint() -> None:
    sure = [expected_score(row) for row in np.eye(5).tolist()]
    assert sure == list(MIDPOINTS) == [12.5, 35, 55, 72.5, 90]


@given(PROBABILITIES)
def test_the_expected_score_lies_between_the_outer_midpoints(probabilities: np.ndarray) -> None:
    assert 12.5 - 1e-9 <= expected_score(probabilities[0].tolist()) <= 90 + 1e-9


@given(PROBABILITIES, LEVEL, LEVEL)
def test_a_percentile_quantile_never_falls_with_its_level(
    probabilities: np.ndarray, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    found = [percentile_quantile(probabilities, level)[0] for level in (low, high)]
    assert 0 <= found[0] <= found[1] <= 100


@pytest.mark.parametrize(("level", "percentile"), [(0.2, 55.0), (0.5, 62.5), (0.8, 70.0)])
def test_within_a_sure_tier_the_percentile_is_uniform(level: float, percentile: float) -> None:
    sure = np.array([[0.0, 0.0, 1.0, 0.0, 0.0]])
    assert percentile_quantile(sure, level)[0] == pytest.approx(percentile)


def test_the_shares_of_tiers_name_every_tier() -> None:
    assert class_shares([1, 1, 3, 5]) == {1: 0.5, 2: 0.0, 3: 0.25, 4: 0.0, 5: 0.25}


def test_no_tiers_have_no_shares() -> None:
    assert set(class_shares([]).values()) == {0.0}
