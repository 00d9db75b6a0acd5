from __future__ import annotations

import asyncio
import itertools
import math
from dataclasses import replace

import pytest
import xgboost as xgb

from viral_platform.engine import pipeline
from viral_platform.engine.aggregate import weights
from viral_platform.engine.calibration import Calibration, PlattFit
from viral_platform.engine.contracts import (
    HORIZONS,
    CreatorFacts,
    MeasuredSnapshot,
    PredictionRequest,
    Rule,
    StageRecord,
    TrendingHashtag,
    TrendingSound,
    TrendTable,
)
from viral_platform.engine.prediction import Inputs, Prediction, Sources
from viral_platform.engine.spend import RequestSpend
from viral_platform.engine.stages import Absent, StageRecorder
from viral_platform.engine.tier_model import TierModel

REQUEST = PredictionRequest(
    content_text="Is this the calmest river? Paper Boat, 15 sec #hue",
    creator_handle="some.creator",
    snapshot=MeasuredSnapshot(age_hours=100, views=1000, likes=100, comments=5, shares=5),
)
RULES = [
    Rule("question_hook", "Question Hook", "hook", "regex", "question_hook", 15, None),
    Rule(
        *("story_hook", "Story Hook", "hook", "regex", "story_hook", 10, None),
        improvement_tip="Begin in the middle of something.",
    ),
]
TRENDS = TrendTable(
    sounds=[TrendingSound("1", "Paper Boat", 80.0, "rising")],
    hashtags={"hue": TrendingHashtag("hue", 5, 10_000, 0.2)},
)
CREATOR = CreatorFacts(followers=1000, median_engagement=0.1, median_views=500.0, n_posts=3)


SPOKEN = {"gemini", "deepseek", "rule_judge"}


class Watcher:
    """What the pipeline reported: stage and text of each error, and the records."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, str]] = []
        self.records: list[StageRecord] = []

    def on_error(self, stage: str, error: Exception) -> None:
        self.errors.append((stage, str(error)))

    def on_stage(self, record: StageRecord) -> None:
        self.records.append(record)


async def known(handle: str) -> CreatorFacts | None:
    return CREATOR


async def unknown(handle: str) -> CreatorFacts | None:
    return None


async def unreadable(handle: str) -> CreatorFacts | None:
    raise KeyError("creator")


KNOWN = Sources(creator=known)


def failing(
    inputs: Inputs, sources: Sources = KNOWN, request: PredictionRequest = REQUEST
) -> tuple[Prediction, list[tuple[str, str]]]:
    clock, watcher = itertools.count(0.0, 0.001), Watcher()
    found = asyncio.run(
        pipeline.predict(
            request,
            inputs,
            sources,
            RequestSpend("r-1"),
            clock=lambda: next(clock),
            observer=watcher,
        )
    )
    assert watcher.records == found.stages
    return found, watcher.errors


def predicted(
    inputs: Inputs,
    request: PredictionRequest = REQUEST,
    *,
    sources: Sources = KNOWN,
) -> Prediction:
    found, errors = failing(inputs, sources, request)
    assert errors == []
    return found


def recorder(clock: object, watcher: Watcher | None = None) -> StageRecorder:
    return StageRecorder(clock, watcher or Watcher(), RequestSpend("r-1"), 90.0)  # type: ignore[arg-type]


def statuses(prediction: Prediction) -> dict[str, str]:
    return {stage.stage: stage.status for stage in prediction.stages}


def in_force(
    fit: PlattFit, signals: str = "ml+rules+trends", model_version: str | None = "tier-1"
) -> dict[tuple[str, str], Calibration]:
    return {("text", "settled"): Calibration(fit, signals, model_version)}


@pytest.fixture(scope="session")
def served(model: TierModel) -> TierModel:
    return replace(model, version="tier-1", served=dict.fromkeys(HORIZONS, True))


@pytest.fixture
def everything(served: TierModel) -> Inputs:
    return Inputs(
        rules=RULES,
        trends=TRENDS,
        model=served,
        calibrations=in_force(PlattFit(0.5, 0.3)),
    )


def test_with_every_input_every_stage_is_done(everything: Inputs) -> None:
    found = predicted(everything)
    spoken = dict.fromkeys(["gemini", "deepseek", "rule_judge"], "absent")
    assert statuses(found) == spoken | dict.fromkeys(
        ["creator", "rules", "trends", "ml", "calibration"], "ok"
    )
    assert not found.degraded
    assert found.score_weights == weights(["ml", "rules", "trends"])


def test_without_any_input_there_is_an_answer_with_reasons_and_no_score() -> None:
    found = predicted(Inputs(), sources=Sources())
    assert found.overall_score is None
    assert found.raw_score is None
    assert not found.degraded
    assert {stage.stage: stage.reason for stage in found.stages} == {
        "gemini": "not_configured",
        "deepseek": "not_configured",
        "rule_judge": "no rule asks for a judge",
        "creator": "nothing is known of the creator",
        "rules": "the rule library is empty",
        "trends": "no trends were computed yet",
        "ml": "no model was promoted yet",
        "calibration": "no calibration is in force",
    }
    assert set(statuses(found).values()) == {"absent"}
    assert set(found.score_weights.values()) == {0.0}
    assert found.confidence_label == "LOW"
    assert found.reasoning == ""


@pytest.mark.parametrize(
    ("missing", "signal"), [("rules", "rules"), ("trends", "trends"), ("model", "ml")]
)
def test_the_weight_of_an_absent_signal_goes_to_the_others(
    everything: Inputs, missing: str, signal: str
) -> None:
    found = predicted(replace(everything, **{missing: None}))
    assert statuses(found)[signal] == "absent"
    assert found.score_weights[signal] == 0
    assert math.isclose(sum(found.score_weights.values()), 1)
    assert any(f"Missing signals: behavioral, gemini, {signal}" in w for w in found.warnings)


@pytest.mark.parametrize(
    ("failed", "stage"),
    [
        ("rules", "rules"),
        ("trends", "trends"),
        ("model", "ml"),
        ("calibration", "calibration"),
    ],
)
def test_a_part_that_could_not_be_loaded_is_named_and_the_others_go_on(
    everything: Inputs, failed: str, stage: str
) -> None:
    """A calibration that could not be read was in no stage, so nothing told of it."""
    gone = {} if failed == "calibration" else {failed: None}
    found, errors = failing(replace(everything, **gone, failures={failed: "KeyError"}))  # type: ignore[arg-type]
    assert errors == [(stage, "KeyError")]
    not_done = {name for name, status in statuses(found).items() if status != "ok"} - SPOKEN
    # Without one of its signals a calibration holds no more; it is absent then and not failed.
    assert not_done - {"calibration"} == {stage} - {"calibration"}
    assert statuses(found)[stage] == "failed"
    assert found.degraded
    assert found.overall_score is not None


def test_a_creator_who_cannot_be_read_is_named_and_the_others_go_on(everything: Inputs) -> None:
    found, errors = failing(everything, Sources(creator=unreadable))
    assert errors == [("creator", "'creator'")]
    assert statuses(found)["creator"] == "failed"
    assert found.degraded
    assert found.overall_score is not None


def test_a_stage_that_breaks_fails_alone_and_says_nothing_of_the_inside(
    everything: Inputs, served: TierModel
) -> None:
    broken = replace(served, booster=xgb.Booster())
    found, errors = failing(replace(everything, model=broken))
    (ml,) = [stage for stage in found.stages if stage.status == "failed"]
    assert (ml.stage, ml.reason) == ("ml", "internal_error")
    assert [stage for stage, _ in errors] == ["ml"]
    assert found.ml.ml_score is None
    assert found.score_weights == weights(["rules", "trends"])


def test_a_calibration_that_breaks_leaves_the_raw_score(everything: Inputs) -> None:
    steep = PlattFit("steep", 0.0)  # type: ignore[arg-type]
    found, errors = failing(replace(everything, calibrations=in_force(steep)))
    assert [stage for stage, _ in errors] == ["calibration"]
    assert found.overall_score == found.raw_score
    assert not found.is_calibrated


def test_a_score_is_calibrated_only_where_a_calibration_is_given(everything: Inputs) -> None:
    fit = PlattFit(0.5, 0.3)
    plain, calibrated = predicted(replace(everything, calibrations={})), predicted(everything)
    assert plain.overall_score == plain.raw_score == calibrated.raw_score
    assert not plain.is_calibrated
    assert calibrated.raw_score is not None
    assert calibrated.overall_score == pytest.approx(
        100 * fit.apply([calibrated.raw_score / 100])[0], abs=0.005
    )
    assert calibrated.is_calibrated


@pytest.mark.parametrize("missing", ["rules", "trends", "model"])
def test_a_calibration_of_other_signals_is_not_applied(everything: Inputs, missing: str) -> None:
    """A fit that lifts what rules and trends pull down turned a model's 54 into 94."""
    found = predicted(replace(everything, **{missing: None}))
    assert not found.is_calibrated
    assert found.overall_score == found.raw_score
    assert "it was fitted on scores of ml+rules+trends" in str(found.stages[-1].reason)
    assert not found.degraded


def test_a_calibration_of_another_model_is_not_applied(
    everything: Inputs, served: TierModel
) -> None:
    found = predicted(replace(everything, model=replace(served, version="tier-2")))
    assert not found.is_calibrated
    assert found.stages[-1].reason == "it was fitted on scores of another model"


def test_a_score_that_is_not_calibrated_says_that_it_is_no_percentile(everything: Inputs) -> None:
    said = "Not calibrated: the score is a weighted sum of signals and no percentile yet"
    raw = predicted(replace(everything, calibrations={}))
    assert any(said in line for line in raw.warnings)
    assert not any(said in line for line in predicted(everything).warnings)


def test_a_score_outside_the_model_s_own_interval_is_doubted(everything: Inputs) -> None:
    found = predicted(replace(everything, calibrations={}))
    interval = found.ml.interval
    assert interval is not None
    assert found.overall_score is not None
    outside = not interval.low <= found.overall_score <= interval.high
    assert any("outside the tier model's own" in line for line in found.warnings) == outside
    alone = predicted(replace(everything, rules=None, trends=None, calibrations={}))
    assert not any("outside the tier model's own" in line for line in alone.warnings)


def test_without_a_score_there_is_nothing_to_calibrate() -> None:
    found = predicted(Inputs(calibrations=in_force(PlattFit(0.5, 0.3), "", None)))
    assert found.overall_score is None
    assert not found.is_calibrated
    assert found.stages[-1].reason == "there is no score to calibrate"


def test_a_withheld_model_is_no_signal_and_says_why(everything: Inputs, served: TierModel) -> None:
    withheld = replace(served, served={"settled": False})
    found = predicted(replace(everything, model=withheld))
    assert found.ml.ml_score is None
    assert found.score_weights["ml"] == 0
    assert found.ml.withheld_reason is not None
    assert any(found.ml.withheld_reason in warning for warning in found.warnings)


def test_the_model_sees_what_the_answer_shows(everything: Inputs) -> None:
    shown = predicted(everything).feature_vector
    assert shown["duration_seconds"] == 15
    assert shown["log_followers"] == pytest.approx(math.log10(1001))
    assert shown["log_engagement"] == pytest.approx(math.log10(0.125), abs=1e-4)
    assert shown["log_save_share"] is None


def test_an_unknown_creator_leaves_unknown_features(everything: Inputs) -> None:
    shown = predicted(everything, sources=Sources(creator=unknown)).feature_vector
    assert shown["log_followers"] is None
    assert shown["creator_posts"] == 0


def test_before_publication_the_horizon_says_so(everything: Inputs) -> None:
    found = predicted(everything, PredictionRequest(content_text="calm", creator_handle="a"))
    assert found.ml.horizon == "pre_publication"
    assert found.ml.tier_probabilities is None


def test_the_reasoning_names_every_present_signal_with_its_weight(everything: Inputs) -> None:
    found = predicted(everything)
    for name in ("ml", "rules", "trends"):
        assert f"{name} " in found.reasoning
        assert f"at weight {found.score_weights[name]:.2f}" in found.reasoning


def test_rules_that_do_not_hold_become_suggestions(everything: Inputs) -> None:
    assert any("Begin in the middle" in tip.text for tip in predicted(everything).suggestions)


def test_a_stage_record_holds_the_time_it_took() -> None:
    clock = iter([0.0, 1.0, 1.25])
    stages = recorder(lambda: next(clock))
    assert stages.run("rules", lambda: 7, 0) == 7
    assert (stages.records[0].duration_ms, stages.records[0].reason) == (250, None)


def test_a_clock_that_goes_back_gives_no_negative_time() -> None:
    clock = iter([0.0, 2.0, 1.0])
    stages = recorder(lambda: next(clock))
    stages.run("rules", lambda: 7, 0)
    assert stages.records[0].duration_ms == 0


def test_an_absent_stage_returns_its_substitute_and_is_no_error() -> None:
    def nothing() -> int:
        raise Absent("no text")

    watcher = Watcher()
    stages = recorder(lambda: 0.0, watcher)
    assert stages.run("rules", nothing, 3) == 3
    assert (stages.records[0].status, stages.records[0].reason) == ("absent", "no text")
    assert watcher.errors == []


@pytest.mark.parametrize("mode", ["text", "tiktok_url", "video_upload"])
def test_a_request_needs_the_field_of_its_mode(mode: str) -> None:
    with pytest.raises(ValueError, match=f"input_mode {mode} needs its own field"):
        PredictionRequest.model_validate({"input_mode": mode})
