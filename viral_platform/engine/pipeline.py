"""One prediction from loaded inputs: the stages in their order, each with its record.

No stage is fatal: a signal whose input is absent or whose stage broke is absent from the score,
and the answer says which. Loading the inputs does not belong here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from viral_platform.engine.aggregate import (
    Signals,
    build_factors,
    confidence,
    raw_score,
    round_half_up,
    warnings,
    weights,
)
from viral_platform.engine.calibration import Calibration
from viral_platform.engine.contracts import (
    ConfidenceLabel,
    ContentPayload,
    CreatorFacts,
    Factor,
    MlResult,
    PredictionRequest,
    Rule,
    RuleResult,
    SignalName,
    StageRecord,
    Suggestion,
    TrendResult,
    TrendTable,
    VideoFacts,
)
from viral_platform.engine.features import feature_vector, horizon_of, named
from viral_platform.engine.normalize import normalize
from viral_platform.engine.rules import score_rules, tips
from viral_platform.engine.tier_model import TierModel
from viral_platform.engine.trends import match_trends

ENGINE_VERSION = "3.0.0"

_NO_RULES = RuleResult(rule_score=None, matched_rules=[], evaluated=0, not_evaluated=[])
_NO_TRENDS = TrendResult(
    trend_score=None,
    matched_sounds=[],
    matched_hashtags=[],
    saturated_hashtags=[],
    hashtag_relevance=None,
    trend_context="",
)

Result = TypeVar("Result")


class Absent(Exception):  # noqa: N818  not an error: the stage has nothing to judge
    """Raised inside a stage that has nothing to judge; the text says what is missing."""


@dataclass(frozen=True)
class Inputs:
    """What a prediction draws on. `None` is absent; `failures` says why a load broke."""

    rules: list[Rule] | None = None
    trends: TrendTable | None = None
    creator: CreatorFacts | None = None
    model: TierModel | None = None
    calibration: Calibration | None = None
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Prediction:
    """The outcome of all stages; the service adds id and time and stores it."""

    payload: ContentPayload
    signals: Signals
    raw_score: float | None
    overall_score: float | None
    score_weights: dict[SignalName, float]
    confidence: float
    confidence_label: ConfidenceLabel
    rules: RuleResult
    trends: TrendResult
    ml: MlResult
    feature_vector: dict[str, float | None]
    factors: list[Factor]
    suggestions: list[Suggestion]
    warnings: list[str]
    reasoning: str
    stages: list[StageRecord]

    @property
    def degraded(self) -> bool:
        """Whether a stage broke."""
        return any(stage.status == "failed" for stage in self.stages)

    @property
    def is_calibrated(self) -> bool:
        """Whether the overall score went through a calibration."""
        return any(stage.stage == "calibration" and stage.status == "ok" for stage in self.stages)


class StageRecorder:
    """Runs stages and keeps a record of each: what it did and how long it took.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    on_error : callable
        Told the stage's name and the exception of a stage that broke.
    """

    def __init__(
        self, clock: Callable[[], float], on_error: Callable[[str, Exception], None]
    ) -> None:
        self._clock = clock
        self._on_error = on_error
        self.records: list[StageRecord] = []

    def run(self, stage: str, work: Callable[[], Result], otherwise: Result) -> Result:
        """Return what `work` returns, or `otherwise` when it is absent or breaks."""
        started = self._clock()
        result, status, reason = otherwise, "ok", None
        try:
            result = work()
        except Absent as absent:
            status, reason = "absent", str(absent)
        except Exception as error:  # noqa: BLE001  no stage is fatal; the error is reported
            status, reason = "failed", "internal_error"
            self._on_error(stage, error)
        self.records.append(
            StageRecord.model_validate(
                {
                    "stage": stage,
                    "status": status,
                    "duration_ms": max(0.0, (self._clock() - started) * 1000),
                    "reason": reason,
                }
            )
        )
        return result


def _present(value: Result | None, name: str, inputs: Inputs, missing: str) -> Result:
    if name in inputs.failures:
        raise RuntimeError(inputs.failures[name])
    if value is None:
        raise Absent(missing)
    return value


def predict(
    request: PredictionRequest,
    inputs: Inputs,
    *,
    clock: Callable[[], float],
    on_error: Callable[[str, Exception], None],
) -> Prediction:
    """Return the prediction for one request; never raises for a failing stage."""
    stages = StageRecorder(clock, on_error)
    payload = normalize(request)
    creator = stages.run(
        "creator",
        lambda: _present(inputs.creator, "creator", inputs, "nothing is known of the creator"),
        CreatorFacts(),
    )
    rules = stages.run(
        "rules",
        lambda: score_rules(
            payload, _present(inputs.rules, "rules", inputs, "the rule library is empty")
        ),
        _NO_RULES,
    )
    trends = stages.run(
        "trends",
        lambda: match_trends(
            payload, _present(inputs.trends, "trends", inputs, "no trends were computed yet")
        ),
        _NO_TRENDS,
    )
    vector = feature_vector(video_facts(payload), creator, request.snapshot)
    horizon = horizon_of(request.snapshot)
    ml = stages.run(
        "ml",
        lambda: _present(inputs.model, "model", inputs, "no model was promoted yet").predict(
            vector, horizon
        ),
        MlResult(
            horizon=horizon,
            ml_score=None,
            tier_probabilities=None,
            interval=None,
            model_version=None,
        ),
    )
    signals = Signals(
        ml=ml.ml_score,
        rules=rules.rule_score,
        trends=trends.trend_score,
        matched_sounds=len(trends.matched_sounds),
        matched_rules=len(rules.matched_rules),
    )
    raw = raw_score(signals)
    overall = stages.run("calibration", lambda: _calibrated(raw, signals, ml, inputs), raw)
    level, label = confidence(signals)
    used = weights(list(signals.scores()))
    return Prediction(
        payload=payload,
        signals=signals,
        raw_score=raw,
        overall_score=overall,
        score_weights=used,
        confidence=level,
        confidence_label=label,
        rules=rules,
        trends=trends,
        ml=ml,
        feature_vector=named(vector),
        factors=build_factors(rules, trends, ml),
        suggestions=tips(inputs.rules or [], rules),
        warnings=[*warnings(signals, ml.withheld_reason), *_doubts(overall, stages, ml)],
        reasoning=_reasoning(signals, used, trends, ml),
        stages=stages.records,
    )


def video_facts(payload: ContentPayload) -> VideoFacts:
    """Return what the feature builder takes of a normalised request."""
    return VideoFacts(
        caption=payload.content_text,
        hashtags=payload.hashtags,
        duration_seconds=payload.duration_seconds,
        posted_at=payload.posted_at,
        sound_is_original=payload.sound_is_original,
    )


def _calibrated(raw: float | None, signals: Signals, ml: MlResult, inputs: Inputs) -> float | None:
    found = _present(inputs.calibration, "calibration", inputs, "no calibration is in force")
    if raw is None:
        raise Absent("there is no score to calibrate")
    if found.signals != signals.mix:
        raise Absent(f"it was fitted on scores of {found.signals}, this one is of {signals.mix}")
    if found.model_version != ml.model_version:
        raise Absent("it was fitted on scores of another model")
    return round_half_up(100 * float(found.fit.apply([raw / 100])[0]), 2)


def _doubts(score: float | None, stages: StageRecorder, ml: MlResult) -> list[str]:
    """Return why the score is not, or hardly, the percentile that it estimates."""
    if score is None:
        return []
    lines = []
    calibration = stages.records[-1]
    if calibration.status != "ok":
        lines.append(
            "Not calibrated: the score is a weighted sum of signals and no percentile yet"
            f" ({calibration.reason})."
        )
    if ml.interval is not None and not ml.interval.low <= score <= ml.interval.high:
        lines.append(
            f"The score lies outside the tier model's own {ml.interval.level:.0%} interval, "
            f"{ml.interval.low:.0f} to {ml.interval.high:.0f}: the other signals pull it away."
        )
    return lines


def _reasoning(
    signals: Signals, used: dict[SignalName, float], trends: TrendResult, ml: MlResult
) -> str:
    """Return one sentence per present signal: its score, its weight, what it looked at."""
    says = {
        "rules": f"{signals.matched_rules} writing rules hold",
        "trends": trends.trend_context,
        "ml": f"the tier model looks at horizon {ml.horizon}",
    }
    return " ".join(
        f"{name} {score:.0f} of 100 at weight {used[name]:.2f}: {says[name].rstrip('.')}."
        for name, score in signals.scores().items()
    )
