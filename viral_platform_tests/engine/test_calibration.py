from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from viral_platform.engine.calibration import (
    IDENTITY,
    PlattFit,
    expected_calibration_error,
    fit_platt,
    judge,
    log_loss,
    reliability_bins,
    split_pairs,
)
from viral_platform.engine.errors import CalibrationInputError, NotEnoughDataError

SHARE = st.floats(0, 1)
PAIRS = st.lists(st.tuples(SHARE, SHARE), min_size=1, max_size=80)


def simulated(fit: PlattFit, n: int, *, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and outcomes that happen as often as `fit` says."""
    draw = np.random.default_rng(seed)
    scores = draw.uniform(0.02, 0.98, n)
    chance = expit(fit.slope * logit(scores) + fit.intercept)
    return scores, (draw.random(n) < chance).astype(float)


def naive_ece(pairs: list[tuple[float, float]], n_bins: int) -> float:
    total = 0.0
    for number in range(n_bins):
        low, high = number / n_bins, (number + 1) / n_bins
        last = number == n_bins - 1
        inside = [(p, y) for p, y in pairs if low <= p and (p < high or last)]
        if inside:
            predicted = sum(p for p, _ in inside) / len(inside)
            observed = sum(y for _, y in inside) / len(inside)
            total += len(inside) / len(pairs) * abs(predicted - observed)
    return total


@pytest.mark.parametrize(
    ("predicted", "number"),
    [(0.0, 0), (0.0999, 0), (0.1, 1), (0.3, 3), (0.6, 6), (0.7, 7), (0.9, 9), (1.0, 9)],
)
def test_a_border_belongs_to_the_upper_bin_and_one_to_the_last(
    predicted: float, number: int
) -> None:
    filled = [bin_.count for bin_ in reliability_bins([predicted], [0.5])]
    assert filled.index(1) == number


def test_an_empty_bin_has_no_means() -> None:
    first, *_, last = reliability_bins([0.05, 0.07], [0.0, 1.0])
    assert (first.count, first.mean_predicted, first.mean_observed) == (2, pytest.approx(0.06), 0.5)
    assert (last.count, last.mean_predicted, last.mean_observed) == (0, None, None)


def test_the_bins_are_of_equal_width_from_zero_to_one() -> None:
    borders = [(bin_.low, bin_.high) for bin_ in reliability_bins([0.5], [0.5], n_bins=4)]
    assert borders == [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]


@given(PAIRS)
def test_every_pair_is_in_exactly_one_bin(pairs: list[tuple[float, float]]) -> None:
    predicted, observed = zip(*pairs, strict=True)
    assert sum(bin_.count for bin_ in reliability_bins(predicted, observed)) == len(pairs)


@given(PAIRS, st.integers(1, 20))
def test_the_calibration_error_is_what_its_definition_says(
    pairs: list[tuple[float, float]], n_bins: int
) -> None:
    predicted, observed = zip(*pairs, strict=True)
    found = expected_calibration_error(predicted, observed, n_bins=n_bins)
    assert found == pytest.approx(naive_ece(pairs, n_bins), abs=1e-12)
    assert 0 <= found <= 1


def test_the_error_is_of_ten_bins_unless_told_otherwise() -> None:
    """Misses within one bin of 0 to 0.1 even out; apart they would not."""
    assert expected_calibration_error([0.05, 0.095], [0.1, 0.045]) == pytest.approx(0)


@pytest.mark.parametrize(
    ("predicted", "observed", "message"),
    [
        ([0.1, None], [0, 1], "prediction of row 1 is nan"),
        ([0.1, np.nan], [0, 1], "prediction of row 1 is nan"),
        ([0.1, 0.2, 1.1], [0, 1, 1], "prediction of row 2 is 1.1"),
        ([-0.1], [0], "prediction of row 0 is -0.1"),
        ([0.1, 0.2], [0, 2], "outcome of row 1 is 2.0"),
        ([0.1], [0, 1], "one length"),
        ([], [], "one length"),
    ],
    ids=["none", "nan", "above", "below", "outcome", "lengths", "empty"],
)
@pytest.mark.parametrize("of", [expected_calibration_error, reliability_bins, fit_platt])
def test_what_cannot_be_judged_is_named_by_its_row(
    of: Callable[..., object], predicted: list[float | None], observed: list[float], message: str
) -> None:
    with pytest.raises(CalibrationInputError, match=message):
        of(predicted, observed)


def test_identity_gives_scores_back() -> None:
    scores = np.linspace(0.01, 0.99, 50)
    assert IDENTITY.apply(scores) == pytest.approx(scores)


def test_scores_of_none_and_all_are_taken_for_half_a_point_off() -> None:
    """Their logit is not finite."""
    assert IDENTITY.apply([0.0, 1.0]) == pytest.approx([0.005, 0.995])


def test_scores_of_single_precision_are_calibrated_like_all_others() -> None:
    """A booster's own numbers are of single precision."""
    single = np.array([0.1, 0.3, 0.7], dtype=np.float32)
    fit = PlattFit(0.6, 0.4)
    assert fit.apply(single).tolist() == fit.apply([float(score) for score in single]).tolist()


@given(SHARE, st.floats(-5, 5), st.floats(-5, 5))
def test_a_calibrated_score_is_a_share(score: float, slope: float, intercept: float) -> None:
    assert 0 <= PlattFit(slope, intercept).apply([score])[0] <= 1


@given(SHARE, SHARE, st.floats(0.01, 5), st.floats(-5, 5))
def test_a_rising_fit_keeps_the_order_of_scores(
    one: float, other: float, slope: float, intercept: float
) -> None:
    low, high = PlattFit(slope, intercept).apply(sorted((one, other)))
    assert low <= high


@pytest.mark.parametrize(
    "true",
    [PlattFit(0.6, 0.4), PlattFit(1.5, -1.0), PlattFit(1.0, 0.0)],
    ids=["too sure", "too timid", "calibrated"],
)
def test_known_parameters_are_recovered(true: PlattFit) -> None:
    """The replaced system's gradient had the wrong sign and climbed the loss."""
    fit = fit_platt(*simulated(true, 20_000))
    assert fit.slope == pytest.approx(true.slope, abs=0.05)
    assert fit.intercept == pytest.approx(true.intercept, abs=0.05)


def test_known_parameters_are_recovered_from_soft_outcomes() -> None:
    scores = np.linspace(0.02, 0.98, 200)
    fit = fit_platt(scores, PlattFit(0.6, 0.4).apply(scores))
    assert (fit.slope, fit.intercept) == pytest.approx((0.6, 0.4), abs=1e-5)


@pytest.mark.parametrize("slope", [-1.0, 0.6, 1.5, 3.0])
@pytest.mark.parametrize("intercept", [-4.0, 0.4])
def test_at_a_fit_no_change_of_a_parameter_helps(slope: float, intercept: float) -> None:
    """The misses neither lean to a side nor go with the score."""
    scores, observed = simulated(PlattFit(slope, intercept), 400)
    misses = fit_platt(scores, observed).apply(scores) - observed
    assert misses.mean() == pytest.approx(0, abs=1e-7)
    assert (misses * logit(scores)).mean() == pytest.approx(0, abs=1e-7)


def test_outcomes_that_go_by_the_scores_leave_them_as_they_are() -> None:
    """With one score alone many fits do as well; the raw scores are kept."""
    fit = fit_platt([0.4] * 60, [1.0, 0.0, 0.0, 1.0, 0.0] * 12)
    assert (fit.slope, fit.intercept) == pytest.approx((1, 0))


def test_outcomes_parted_by_a_hair_of_the_score_are_told_apart() -> None:
    scores, observed = [0.499] * 30 + [0.501] * 30, [0.0] * 30 + [1.0] * 30
    assert fit_platt(scores, observed).apply(scores) == pytest.approx(observed, abs=1e-5)


@given(st.lists(st.tuples(SHARE, SHARE), min_size=50, max_size=120))
def test_a_fit_never_loses_to_the_raw_scores_on_its_own_pairs(
    pairs: list[tuple[float, float]],
) -> None:
    scores, observed = zip(*pairs, strict=True)
    fit = fit_platt(scores, observed)
    assert np.isfinite([fit.slope, fit.intercept]).all()
    assert log_loss(fit, scores, observed) <= log_loss(IDENTITY, scores, observed)


@pytest.mark.parametrize(
    ("scores", "observed"),
    [
        ([0.4] * 60, [1.0, 0.0] * 30),
        ([0.2] * 30 + [0.8] * 30, [0.0] * 30 + [1.0] * 30),
        ([0.0, 1.0] * 30, [1.0] * 60),
    ],
    ids=["one score", "separable", "always reached"],
)
def test_degenerate_pairs_still_give_finite_parameters(
    scores: list[float], observed: list[float]
) -> None:
    fit = fit_platt(scores, observed)
    assert np.isfinite([fit.slope, fit.intercept]).all()


def test_fewer_than_fifty_pairs_give_no_fit() -> None:
    with pytest.raises(NotEnoughDataError) as refused:
        fit_platt([0.5] * 49, [0.5] * 49)
    assert str(refused.value) == "Platt scaling: found 49, needed 50. Report more outcomes."
    assert fit_platt([0.5] * 50, [0.5] * 50) == IDENTITY


@pytest.mark.parametrize(("n", "n_fit"), [(150, 50), (151, 51), (200, 80), (1000, 400)])
def test_the_fit_gets_the_earlier_pairs_and_leaves_a_hundred(n: int, n_fit: int) -> None:
    assert split_pairs(n) == n_fit


@given(st.integers(150, 100_000))
def test_both_parts_of_the_pairs_have_their_minimum(n: int) -> None:
    assert split_pairs(n) >= 50
    assert n - split_pairs(n) >= 100


def test_a_hundred_and_forty_nine_pairs_are_too_few_to_fit_and_judge() -> None:
    with pytest.raises(NotEnoughDataError) as refused:
        split_pairs(149)
    assert str(refused.value) == (
        "Outcome pairs for a fit and its judgement: found 149, needed 150. Report more outcomes."
    )


TURNED = simulated(PlattFit(-1.0, 0.0), 2_000)
# Half of them happen, whatever the score.
NO_ORDER = np.repeat(np.linspace(0.02, 0.98, 50), 2), np.tile([0.0, 1.0], 50)


@pytest.mark.parametrize(
    ("fit", "pairs", "reason"),
    [
        (IDENTITY, simulated(IDENTITY, 99), "judged on 99 pairs, 100 are needed"),
        (IDENTITY, ([0.9] * 100, [0.1] * 100), "ECE 0.800 > 0.15"),
        (PlattFit(0.7, 0.0), simulated(IDENTITY, 2_000), "is worse than"),
        (PlattFit(-1.0, 0.0), TURNED, "slope -1.000 would turn the order"),
        (PlattFit(0.0, 0.0), NO_ORDER, "slope 0.000 would turn the order"),
    ],
    ids=["too few", "error above the bar", "worse than raw", "order turned", "order lost"],
)
def test_a_fit_is_refused_for_a_reason(
    fit: PlattFit, pairs: tuple[np.ndarray, np.ndarray], reason: str
) -> None:
    verdict = judge(fit, *pairs, n_fit=50)
    assert not verdict.applied
    assert reason in verdict.reason


def test_a_fit_that_helps_is_applied() -> None:
    true = PlattFit(0.5, 0.8)
    verdict = judge(fit_platt(*simulated(true, 500)), *simulated(true, 500, seed=4), n_fit=500)
    assert verdict.applied
    assert verdict.ece < verdict.ece_raw
    assert verdict.loss < verdict.loss_raw
    assert (verdict.n_fit, verdict.n_judge) == (500, 500)


def test_at_the_bar_and_no_better_than_the_raw_scores_a_fit_may_take_effect() -> None:
    verdict = judge(IDENTITY, [0.5] * 100, [1.0] * 35 + [0.0] * 65, n_fit=50)
    assert (verdict.ece, verdict.loss) == (0.15, verdict.loss_raw)
    assert verdict.applied
    assert verdict.reason == "ECE 0.150 <= 0.15 on 100 held-out pairs"


def test_the_interval_of_the_error_is_ordered_and_repeatable() -> None:
    scores, observed = simulated(IDENTITY, 200)
    verdict = judge(IDENTITY, scores, observed, n_fit=50)
    assert 0 <= verdict.ece_low < verdict.ece_high <= 1
    assert judge(IDENTITY, scores, observed, n_fit=50) == verdict
    assert judge(IDENTITY, scores, observed, n_fit=50, seed=0) == verdict
    assert judge(IDENTITY, scores, observed, n_fit=50, seed=1) != verdict


def test_of_one_pair_every_draw_has_the_same_error() -> None:
    verdict = judge(IDENTITY, [0.4], [1.0], n_fit=50)
    assert (verdict.ece, verdict.ece_low, verdict.ece_high) == pytest.approx((0.6, 0.6, 0.6))


def test_a_verdict_is_stored_as_plain_values() -> None:
    stored = judge(IDENTITY, *simulated(IDENTITY, 100), n_fit=50).as_dict()
    assert {type(value) for value in stored.values()} <= {bool, str, int, float}
