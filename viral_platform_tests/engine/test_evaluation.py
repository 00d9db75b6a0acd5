from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.contracts import HORIZONS, TIERS, Horizon
from viral_platform.engine.evaluation import (
    EvaluationReport,
    Interval,
    Judged,
    apply_model,
    join,
    judge_horizon,
    promotion_reasons,
    ranked_probability_scores,
    report,
    verdict,
)
from viral_platform.engine.tier_model import TierModel, TrainingRows

CLEAR_GAIN = Interval(value=0.1, low=0.05, high=0.15)
NO_GAIN = Interval(value=0.01, low=0.0, high=0.02)
SAME = Interval(value=-0.01, low=-0.03, high=0.01)
WORSE = Interval(value=-0.05, low=-0.08, high=-0.01)


def sure_of(tiers: list[int]) -> np.ndarray:
    return np.eye(5)[np.array(tiers) - 1]


def one_horizon(
    rows: TrainingRows, guesses: list[int], tiers: list[int], horizon: Horizon = "settled"
) -> Judged:
    n = len(tiers)
    some = rows.take(np.flatnonzero(rows.horizon == horizon)[:n])
    return Judged(
        probabilities=sure_of(guesses),
        tiers=np.array(tiers),
        percentiles=np.array([{1: 10.0, 2: 40, 3: 60, 4: 80, 5: 95}[tier] for tier in tiers]),
        prior=np.full((n, 5), 0.2),
        persistence=np.full(n, np.nan),
        creator=np.full(n, np.nan),
        rows=some,
    )


@pytest.mark.parametrize("tier", TIERS)
def test_a_sure_and_right_forecast_scores_zero(tier: int) -> None:
    assert ranked_probability_scores(sure_of([tier]), np.array([tier])).tolist() == [0]


@pytest.mark.parametrize(("said", "was"), [(1, 5), (5, 1)])
def test_the_worst_forecast_scores_one(said: int, was: int) -> None:
    assert ranked_probability_scores(sure_of([said]), np.array([was])).tolist() == [1]


def test_a_miss_by_one_tier_costs_less_than_a_miss_by_three() -> None:
    near, far = ranked_probability_scores(sure_of([2, 5]), np.array([1, 2]))
    assert (near, far) == (0.25, 0.75)


def test_an_even_forecast_has_the_score_computed_by_hand() -> None:
    even = np.full((1, 5), 0.2)
    found = ranked_probability_scores(even, np.array([3]))
    assert found == pytest.approx((0.2**2 + 0.4**2 + 0.4**2 + 0.2**2) / 4)


@given(
    st.lists(st.integers(0, 100), min_size=5, max_size=5).filter(sum),
    st.sampled_from(TIERS),
)
def test_a_ranked_probability_score_lies_between_zero_and_one(parts: list[int], tier: int) -> None:
    forecast = np.array([parts]) / sum(parts)
    found = ranked_probability_scores(forecast, np.array([tier]))[0]
    assert -1e-12 <= found <= 1 + 1e-12


@pytest.mark.parametrize(
    ("horizon", "n", "accuracy", "gain", "persistence", "reasons"),
    [
        ("settled", 50, 0.60, CLEAR_GAIN, SAME, []),
        ("settled", 50, 0.60, CLEAR_GAIN, None, []),
        ("early", 50, 0.60, CLEAR_GAIN, SAME, []),
        ("pre_publication", 50, 0.20, CLEAR_GAIN, None, []),
        ("settled", 49, 0.60, CLEAR_GAIN, SAME, ["49 test rows"]),
        ("settled", 50, 0.599, CLEAR_GAIN, SAME, ["accuracy 0.599 < 0.6"]),
        ("early", 50, 0.599, CLEAR_GAIN, SAME, ["accuracy 0.599 < 0.6"]),
        ("settled", 50, 0.60, NO_GAIN, SAME, ["not above 0"]),
        ("pre_publication", 50, 0.99, NO_GAIN, None, ["not above 0"]),
        ("settled", 50, 0.60, CLEAR_GAIN, WORSE, ["worse than persistence"]),
        (
            "settled",
            10,
            0.10,
            NO_GAIN,
            WORSE,
            ["10 test rows", "not above 0", "accuracy 0.100", "worse than persistence"],
        ),
    ],
    ids=[
        "good enough",
        "no persistence to compare",
        "early good enough",
        "before publication needs no accuracy",
        "too few rows",
        "below the bar",
        "early below the bar",
        "no gain over the prior",
        "no gain before publication",
        "worse than persistence",
        "every reason at once",
    ],
)
def test_a_horizon_is_served_unless_there_is_a_reason(
    horizon: Horizon,
    n: int,
    accuracy: float,
    gain: Interval,
    persistence: Interval | None,
    reasons: list[str],
) -> None:
    found = verdict(horizon, n=n, accuracy=accuracy, rps_gain=gain, over_persistence=persistence)
    assert found.served == (not reasons)
    assert len(found.reasons) == len(reasons)
    for said, expected in zip(found.reasons, reasons, strict=True):
        assert expected in said


def test_the_figures_of_a_horizon_are_those_of_its_rows(rows: TrainingRows) -> None:
    tiers, guesses = [1, 1, 2, 3, 4, 5], [1, 2, 2, 3, 4, 1]
    found = judge_horizon(one_horizon(rows, guesses, tiers), "settled")
    assert found.n == 6
    assert found.accuracy.value == pytest.approx(4 / 6)
    assert found.recall == {1: 0.5, 2: 1, 3: 1, 4: 1, 5: 0}
    assert found.precision == {1: 0.5, 2: 0.5, 3: 1, 4: 1, 5: 0}
    assert found.confusion[4] == [1, 0, 0, 0, 0]
    assert found.class_shares[1] == pytest.approx(1 / 3)
    assert found.rps.value == pytest.approx((0.25 + 1) / 6)
    assert found.rps_gain.value == pytest.approx(found.baselines.prior_rps - found.rps.value)
    assert found.baselines.prior_accuracy == pytest.approx(2 / 6)


def test_without_persistence_or_creator_the_baselines_are_absent(rows: TrainingRows) -> None:
    found = judge_horizon(one_horizon(rows, [1, 2, 3], [1, 2, 3]), "settled")
    assert found.accuracy_over_persistence is None
    assert found.baselines.persistence_accuracy is None
    assert found.baselines.creator_median_accuracy is None
    assert (found.baselines.persistence_n, found.baselines.creator_median_n) == (0, 0)


def test_persistence_is_compared_on_the_same_rows(rows: TrainingRows) -> None:
    judged = replace(
        one_horizon(rows, [1, 2, 3, 4], [1, 2, 3, 5]),
        persistence=np.array([1.0, 0.0, np.nan, 0.0]),
        creator=np.array([np.nan, np.nan, 1.0, 0.0]),
    )
    found = judge_horizon(judged, "settled")
    assert found.baselines.persistence_n == 3
    assert found.accuracy_over_persistence is not None
    assert found.accuracy_over_persistence.value == pytest.approx(2 / 3 - 1 / 3)
    assert found.baselines.creator_median_accuracy is not None
    assert found.baselines.creator_median_accuracy.value == 0.5
    assert found.accuracy_over_creator_median is not None
    assert found.baselines.creator_median_n == 2


def test_an_interval_holds_its_figure(rows: TrainingRows) -> None:
    draw = np.random.default_rng(5)
    tiers = draw.integers(1, 6, 60).tolist()
    guesses = draw.integers(1, 6, 60).tolist()
    found = judge_horizon(one_horizon(rows, guesses, tiers), "settled")
    for figure in (found.accuracy, found.rps, found.rps_gain):
        assert figure.low <= figure.value <= figure.high
        assert figure.low < figure.high


def test_kappa_is_absent_where_all_is_of_one_tier(rows: TrainingRows) -> None:
    """It was NaN, which JSON cannot hold: a part with one row made the whole report unstorable."""
    found = judge_horizon(one_horizon(rows, [3], [3]), "settled")
    assert found.quadratic_kappa is None
    assert "NaN" not in found.model_dump_json()


def test_kappa_is_one_for_right_forecasts(rows: TrainingRows) -> None:
    found = judge_horizon(one_horizon(rows, [1, 3, 5], [1, 3, 5]), "settled")
    assert found.quadratic_kappa == pytest.approx(1)


def test_the_reliability_counts_every_forecast_once(rows: TrainingRows, model: TierModel) -> None:
    found = report(apply_model(model, rows, rows), split="panel", train=rows)
    for horizon in found.horizons.values():
        assert sum(n for _, _, n in horizon.reliability) == horizon.n * len(TIERS)


def test_a_report_covers_each_horizon_with_rows(rows: TrainingRows, model: TierModel) -> None:
    early = rows.take(rows.horizon == "early")
    found = report(apply_model(model, rows, early), split="panel", train=rows)
    assert list(found.horizons) == ["early"]


def test_without_a_settled_row_nothing_is_promotable(rows: TrainingRows, model: TierModel) -> None:
    early = rows.take(rows.horizon == "early")
    found = report(apply_model(model, rows, early), split="panel", train=rows)
    assert not found.promotable
    assert "settled horizon was not judged" in found.reasons[0]


def test_a_horizon_that_fails_before_settling_does_not_forbid_promotion(
    rows: TrainingRows, model: TierModel
) -> None:
    found = report(apply_model(model, rows, rows), split="panel", train=rows)
    failed = verdict("early", n=0, accuracy=0.0, rps_gain=NO_GAIN, over_persistence=None)
    horizons = dict(found.horizons)
    horizons["early"] = horizons["early"].model_copy(update={"verdict": failed})
    assert promotion_reasons(horizons) == []


def test_persistence_says_the_tier_of_the_input_rate(rows: TrainingRows, model: TierModel) -> None:
    judged = apply_model(model, rows, rows)
    known = ~np.isnan(rows.input_engagement)
    expected = model.scale.tiers(rows.input_engagement[known]) == judged.tiers[known]
    assert np.array_equal(judged.persistence[known], expected)
    assert np.isnan(judged.persistence[~known]).all()


def test_the_prior_is_the_training_part_s_shares(rows: TrainingRows, model: TierModel) -> None:
    judged = apply_model(model, rows, rows)
    tiers = model.scale.tiers(rows.engagement)
    assert judged.prior[0] == pytest.approx([(tiers == tier).mean() for tier in TIERS])


def test_joined_folds_hold_the_rows_of_both(rows: TrainingRows, model: TierModel) -> None:
    judged = apply_model(model, rows, rows)
    twice = join([judged, judged])
    assert len(twice.rows) == len(twice.tiers) == 2 * len(rows)
    assert {horizon: len(twice.of(horizon).rows) for horizon in HORIZONS} == {
        horizon: 2 * int((rows.horizon == horizon).sum()) for horizon in HORIZONS
    }


def test_a_report_comes_back_from_its_json(
    judged_by_time: tuple[TierModel, EvaluationReport],
) -> None:
    _, found = judged_by_time
    assert EvaluationReport.model_validate_json(found.model_dump_json()) == found
