"""What operators see of a prediction while it is made, and the answer that is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import sentry_sdk

from viral_platform.engine.contracts import PredictionAnswer, StageRecord
from viral_platform.engine.errors import FailureReason, ProviderError
from viral_platform.engine.pipeline import ENGINE_VERSION
from viral_platform.engine.prediction import Prediction
from viral_platform.observability.logging import get_logger

log = get_logger(__name__)

# States that were decided before, or by the content: logged, but nobody's error to look into.
_EXPECTED: frozenset[FailureReason] = frozenset(
    {"circuit_open", "budget_day", "budget_request", "refused"}
)


class LoggingObserver:
    """Logs each stage as one line and reports each stage that broke once.

    Records become breadcrumbs, so that a report shows the stages before it. The request's id is
    in the context of the log and of the reports.
    """

    def on_stage(self, record: StageRecord) -> None:
        """Log the record and leave it as a breadcrumb."""
        log.info(
            "stage",
            stage=record.stage,
            status=record.status,
            duration_ms=round(record.duration_ms, 3),
            cost_cents=record.cost_cents,
            reason=record.reason,
        )
        sentry_sdk.add_breadcrumb(
            category="stage",
            message=f"{record.stage}: {record.status}",
            level="info" if record.status != "failed" else "warning",
            data={
                "duration_ms": round(record.duration_ms, 3),
                "cost_cents": record.cost_cents,
                "reason": record.reason,
            },
        )

    def on_error(self, stage: str, error: Exception) -> None:
        """Report the exception, unless it is a state that was reported before."""
        report(stage, error)


def report(stage: str, error: Exception) -> None:
    """Log a failure by its kind, without its text, and send it to Sentry."""
    reason = error.reason if isinstance(error, ProviderError) else type(error).__name__
    log.error("stage_failed", stage=stage, error=reason)
    if isinstance(error, ProviderError) and error.reason in _EXPECTED:
        return
    sentry_sdk.capture_exception(error, tags={"stage": stage})


def answer_of(
    prediction: Prediction,
    *,
    answer_id: str,
    calibration_version: str | None,
    is_simulated: bool,
    seconds: float,
) -> PredictionAnswer:
    """Return a prediction in the form in which it is stored and sent."""
    signals, behavior, analysis = prediction.signals, prediction.behavior, prediction.analysis
    reasoned_by = signals.behavioral_source if behavior is not None else None
    spoke = {"gemini": analysis.model if analysis is not None else None, "deepseek": None}
    if behavior is not None and spoke[signals.behavioral_source] is None:
        spoke[signals.behavioral_source] = behavior.model
    return PredictionAnswer(
        id=answer_id,
        created_at=datetime.now(UTC),
        overall_score=prediction.overall_score,
        raw_score=prediction.raw_score,
        confidence=prediction.confidence,
        confidence_label=prediction.confidence_label,
        is_calibrated=prediction.is_calibrated,
        behavioral_score=signals.behavioral,
        gemini_score=signals.gemini,
        ml_score=signals.ml,
        rule_score=signals.rules,
        trend_score=signals.trends,
        score_weights=prediction.score_weights,
        horizon=prediction.ml.horizon,
        tier_probabilities=prediction.ml.tier_probabilities,
        interval=prediction.ml.interval,
        feature_vector=prediction.feature_vector,
        factors=prediction.factors,
        suggestions=prediction.suggestions,
        warnings=prediction.warnings,
        matched_rules=prediction.rules.matched_rules,
        rule_findings=prediction.rules.findings,
        matched_sounds=prediction.trends.matched_sounds,
        reasoning=prediction.reasoning,
        stages=prediction.stages,
        degraded=prediction.degraded,
        simulated=is_simulated,
        model_version=prediction.ml.model_version,
        calibration_version=calibration_version if prediction.is_calibrated else None,
        prompt_version=_prompt_versions(prediction),
        behavioral_predictions=None if behavior is None else behavior.value.behavioral_predictions,
        behavioral_source=reasoned_by,
        video_signals=None if analysis is None else analysis.value.video_signals,
        gemini_model=spoke["gemini"],
        deepseek_model=spoke["deepseek"],
        attributions=prediction.attributions,
        engine_version=ENGINE_VERSION,
        input_mode=prediction.request.input_mode,
        has_video=signals.has_video,
        latency_ms=round(seconds * 1000, 3),
        cost_cents=round(sum(stage.cost_cents for stage in prediction.stages), 4),
    )


def unstored(answer: PredictionAnswer, seconds: float) -> PredictionAnswer:
    """Return an answer that says of itself that it could not be stored."""
    record = StageRecord(
        stage="store", status="failed", duration_ms=seconds * 1000, reason="database_unavailable"
    )
    line = "This answer could not be stored: it cannot be read again nor take an outcome."
    return answer.model_copy(
        update={
            "stages": [*answer.stages, record],
            "warnings": [*answer.warnings, line],
            "degraded": True,
            "stored": False,
        }
    )


def _prompt_versions(prediction: Prediction) -> str | None:
    answered: Sequence[str] = [
        one.prompt_version
        for one in (prediction.analysis, prediction.behavior, prediction.judge)
        if one is not None
    ]
    return " ".join(answered) or None
