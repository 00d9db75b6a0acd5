from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from viral_platform.engine.contracts import HORIZONS, TIERS, Horizon
from viral_platform.engine.errors import InputError, NotEnoughDataError
from viral_platform.engine.features import FEATURE_NAMES, FEATURES_VERSION
from viral_platform.engine.tier_model import (
    TierModel,
    TrainingRows,
    contributions,
    fit,
    load_booster,
)
from viral_platform.engine.tiers import fit_scale

EVERYWHERE: dict[Horizon, bool] = dict.fromkeys(HORIZONS, True)


def first_videos(rows: TrainingRows, n: int) -> TrainingRows:
    return rows.take(np.isin(rows.video_id, np.unique(rows.video_id)[:n]))


def test_the_cuts_and_the_reference_are_those_of_the_rows_it_was_fitted_on(
    rows: TrainingRows, model: TierModel
) -> None:
    _, first = np.unique(rows.video_id, return_index=True)
    assert model.scale == fit_scale(rows.engagement[first])


def test_probabilities_of_the_five_tiers_sum_to_one(rows: TrainingRows, model: TierModel) -> None:
    found = model.probabilities(rows.features)
    assert found.shape == (len(rows), len(TIERS))
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_one_vector_is_predicted_as_it_is_among_others(
    rows: TrainingRows, model: TierModel
) -> None:
    assert np.array_equal(
        model.probabilities(rows.features[3])[0], model.probabilities(rows.features)[3]
    )


def test_the_same_rows_give_the_same_bytes(rows: TrainingRows) -> None:
    some = first_videos(rows, 300)
    assert fit(some).to_bytes() == fit(some).to_bytes()


def test_a_stored_model_predicts_what_it_did_before(rows: TrainingRows, model: TierModel) -> None:
    loaded = load_booster(model.to_bytes(), FEATURE_NAMES, FEATURES_VERSION)
    again = replace(model, booster=loaded)
    assert np.array_equal(again.probabilities(rows.features), model.probabilities(rows.features))
    assert again.to_bytes() == model.to_bytes()


@pytest.mark.parametrize(
    ("names", "version"),
    [(FEATURE_NAMES[::-1], FEATURES_VERSION), (FEATURE_NAMES, "0")],
    ids=["other names", "another meaning"],
)
def test_a_model_of_other_features_is_not_loaded(
    model: TierModel, names: tuple[str, ...], version: str
) -> None:
    with pytest.raises(InputError, match="Train again"):
        load_booster(model.to_bytes(), names, version)


def test_fewer_than_three_hundred_videos_make_no_model(rows: TrainingRows) -> None:
    with pytest.raises(NotEnoughDataError, match="found 299, needed 300"):
        fit(first_videos(rows, 299))


def test_rows_without_a_difference_make_no_model(rows: TrainingRows) -> None:
    alike = replace(rows, engagement=np.full(len(rows), 0.1))
    with pytest.raises(NotEnoughDataError, match=r"missing: \[1, 2, 3, 4\]"):
        fit(alike)


@pytest.mark.parametrize("horizon", HORIZONS)
def test_a_horizon_that_was_never_judged_is_withheld(
    rows: TrainingRows, model: TierModel, horizon: Horizon
) -> None:
    answer = model.predict(rows.features[0], horizon)
    assert answer.ml_score is None
    assert answer.tier_probabilities is None
    assert answer.interval is None
    assert answer.withheld_reason == f"horizon {horizon} of model unsaved was never evaluated"


def test_a_horizon_that_failed_is_withheld_and_others_are_not(
    rows: TrainingRows, model: TierModel
) -> None:
    judged = replace(model, version="tier-1", served={"early": False, "settled": True})
    reason = judged.predict(rows.features[0], "early").withheld_reason
    assert reason == "horizon early of model tier-1 failed its evaluation"
    assert judged.predict(rows.features[0], "settled").ml_score is not None


@pytest.mark.parametrize("horizon", ["early", "settled"])
def test_a_served_horizon_answers_with_score_tiers_and_interval(
    rows: TrainingRows, model: TierModel, horizon: Horizon
) -> None:
    vector = rows.features[rows.horizon == horizon][0]
    answer = replace(model, version="tier-1", served=EVERYWHERE).predict(vector, horizon)
    assert answer.ml_score is not None
    assert answer.tier_probabilities is not None
    assert answer.interval is not None
    assert list(answer.tier_probabilities) == list(TIERS)
    assert answer.interval.low < answer.interval.high
    assert answer.interval.level == 0.8
    assert (answer.model_version, answer.withheld_reason) == ("tier-1", None)


def test_before_publication_there_is_a_score_with_an_interval_and_no_tiers(
    rows: TrainingRows, model: TierModel
) -> None:
    vector = rows.features[rows.horizon == "pre_publication"][0]
    answer = replace(model, served=EVERYWHERE).predict(vector, "pre_publication")
    assert answer.ml_score is not None
    assert answer.interval is not None
    assert answer.tier_probabilities is None


def test_a_higher_measured_rate_gets_a_higher_score(rows: TrainingRows, model: TierModel) -> None:
    settled = rows.take(rows.horizon == "settled")
    served = replace(model, served=EVERYWHERE)
    low, high = settled.input_engagement.argmin(), settled.input_engagement.argmax()
    scores = [served.predict(settled.features[at], "settled").ml_score for at in (low, high)]
    assert scores[0] is not None
    assert scores[1] is not None
    assert scores[0] < 25 < 75 < scores[1]


def test_every_horizon_counts_the_same_in_a_fit(rows: TrainingRows) -> None:
    """Repeating the rows of one horizon must not drown the others."""
    some = first_videos(rows, 300)
    early = np.flatnonzero(some.horizon == "early")
    repeated = some.take(np.concatenate([np.arange(len(some)), np.tile(early, 8)]))
    settled = some.take(some.horizon == "settled")
    plain, drowned = (fit(part).probabilities(settled.features) for part in (some, repeated))
    assert np.abs(plain - drowned).mean() < 0.1


def test_what_a_feature_moves_is_told_for_every_feature(
    rows: TrainingRows, model: TierModel
) -> None:
    found = contributions(model, rows.features[rows.horizon == "settled"])
    assert list(found) == list(FEATURE_NAMES)
    assert min(found.values()) >= 0


def test_a_random_caption_moves_the_model_less_than_the_creator_s_record(
    rows: TrainingRows, model: TierModel
) -> None:
    found = contributions(model, rows.features[rows.horizon == "pre_publication"])
    assert found["caption_characters"] < found["creator_log_median_engagement"]


def test_rows_can_be_taken_by_mask_and_by_number(rows: TrainingRows) -> None:
    by_mask = rows.take(rows.video_id == rows.video_id[0])
    by_number = rows.take(np.flatnonzero(rows.video_id == rows.video_id[0]))
    assert by_mask.videos == by_number.videos == 1
    assert by_mask.horizon.tolist() == by_number.horizon.tolist()
