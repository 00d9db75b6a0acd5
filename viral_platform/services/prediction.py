"""One method answers everyone: the op, the command line and, later, the API.

The service loads what a prediction draws on, keeps it for a short while, stores each answer and
never lets a failing part fail the answer. How a score is made is in `engine/pipeline.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar
from uuid import uuid4

import sentry_sdk

from viral_platform.engine import pipeline
from viral_platform.engine.contracts import (
    CreatorFacts,
    PredictionAnswer,
    PredictionRequest,
    Rule,
    TrendTable,
)
from viral_platform.engine.errors import NotFoundError
from viral_platform.engine.features import horizon_of
from viral_platform.engine.normalize import normalize_handle
from viral_platform.engine.tier_model import TierModel
from viral_platform.observability.logging import get_logger
from viral_platform.services.training import load_model
from viral_platform.storage import analyses, calibration, histories, marts, models, rules
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.calibration import PlattRecord
from viral_platform.storage.database import Database

log = get_logger(__name__)

# How old a kept trend table, model or calibration may be: a promotion or a new mart is seen by
# every process within this time, and a request pays for the reading once in it.
RELOAD_SECONDS = 30.0

Loaded = TypeVar("Loaded")


@dataclass
class _Kept:
    """What is the same for all requests of a short while."""

    rules: list[Rule] | None = None
    trends: TrendTable | None = None
    model: TierModel | None = None
    calibrations: dict[tuple[str, str], PlattRecord] = field(default_factory=dict)
    simulated: bool = False
    failures: dict[str, str] = field(default_factory=dict)


def store_batch(database: Database, requests: Sequence[PredictionRequest]) -> str:
    """Store requests for `prediction_job` and return the id of their batch."""
    batch_id = f"batch-{uuid4().hex[:12]}"
    analyses.store_requests(database, batch_id, [_storable(request) for request in requests])
    return batch_id


class PredictionService:
    """Answers prediction requests from one installation's database and artifacts."""

    def __init__(
        self,
        database: Database,
        artifacts: ArtifactStore,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: _Kept | None = None
        self._loaded_at = 0.0

    def predict(
        self, request: PredictionRequest, *, batch_id: str | None = None
    ) -> PredictionAnswer:
        """Return the answer to one request, stored under its id.

        A part that cannot be loaded degrades the answer and is named in its stages.

        Raises
        ------
        DatabaseUnavailableError
            The answer itself cannot be stored.
        """
        started = self._clock()
        request = _storable(request)
        kept = self._current()
        failures = dict(kept.failures)
        creator = self._guarded("creator", failures, lambda: self._creator(request))
        platt = kept.calibrations.get((request.input_mode, horizon_of(request.snapshot)))
        prediction = pipeline.predict(
            request,
            pipeline.Inputs(
                rules=kept.rules,
                trends=kept.trends,
                creator=creator,
                model=kept.model,
                calibration=None if platt is None else platt.calibration,
                failures=failures,
            ),
            clock=self._clock,
            on_error=_report,
        )
        answer = _answer(request, prediction, kept, platt, self._clock() - started)
        analyses.save_answer(self._database, request, answer, batch_id=batch_id)
        log.info(
            "prediction_answered",
            analysis_id=answer.id,
            duration_ms=round(answer.latency_ms, 2),
            degraded=answer.degraded,
            model_version=answer.model_version,
        )
        return answer

    def predict_batch(self, batch_id: str) -> list[PredictionAnswer]:
        """Return the answers to the stored requests of a batch, in their order.

        Raises
        ------
        NotFoundError
            There is no such batch.
        """
        requests = analyses.load_requests(self._database, batch_id)
        return [self.predict(request, batch_id=batch_id) for request in requests]

    def refresh(self) -> None:
        """Forget what is kept; the next request reads it anew."""
        with self._lock:
            self._kept = None

    def _current(self) -> _Kept:
        with self._lock:
            if self._kept is None or self._clock() - self._loaded_at > RELOAD_SECONDS:
                self._kept = self._load()
                self._loaded_at = self._clock()
            return self._kept

    def _load(self) -> _Kept:
        kept = _Kept()
        kept.rules = self._guarded(
            "rules", kept.failures, lambda: rules.load_rules(self._database) or None
        )
        kept.trends = self._guarded("trends", kept.failures, self._trends)
        kept.model = self._guarded("model", kept.failures, self._champion)
        kept.calibrations = (
            self._guarded(
                "calibration", kept.failures, lambda: calibration.fits_in_force(self._database)
            )
            or {}
        )
        kept.simulated = bool(
            self._guarded(
                "simulated", kept.failures, lambda: histories.holds_simulated(self._database)
            )
        )
        return kept

    def _trends(self) -> TrendTable | None:
        try:
            return marts.load_trend_table(self._database)
        except NotFoundError:
            return None

    def _champion(self) -> TierModel | None:
        record = models.champion(self._database)
        return None if record is None else load_model(record, self._artifacts)

    def _creator(self, request: PredictionRequest) -> CreatorFacts | None:
        if not request.creator_handle:
            return None
        try:
            return marts.creator_facts(self._database, normalize_handle(request.creator_handle))
        except NotFoundError:
            return None

    @staticmethod
    def _guarded(
        name: str, failures: dict[str, str], load: Callable[[], Loaded | None]
    ) -> Loaded | None:
        try:
            return load()
        except Exception as error:  # noqa: BLE001  a part that cannot be read degrades the answer
            failures[name] = type(error).__name__
            _report(name, error)
            return None


def _storable(request: PredictionRequest) -> PredictionRequest:
    """Return the request without the NUL characters that PostgreSQL's text cannot hold."""
    return request.model_copy(update={name: _without_nul(value) for name, value in request})


def _without_nul(value: object) -> object:
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    return value.replace("\x00", "") if isinstance(value, str) else value


def _report(stage: str, error: Exception) -> None:
    log.error("stage_failed", stage=stage, error=type(error).__name__)
    sentry_sdk.capture_exception(error, tags={"stage": stage})


def _answer(
    request: PredictionRequest,
    prediction: pipeline.Prediction,
    kept: _Kept,
    platt: PlattRecord | None,
    seconds: float,
) -> PredictionAnswer:
    return PredictionAnswer(
        id=str(uuid4()),
        created_at=datetime.now(UTC),
        overall_score=prediction.overall_score,
        raw_score=prediction.raw_score,
        confidence=prediction.confidence,
        confidence_label=prediction.confidence_label,
        is_calibrated=prediction.is_calibrated,
        ml_score=prediction.ml.ml_score,
        rule_score=prediction.rules.rule_score,
        trend_score=prediction.trends.trend_score,
        score_weights=prediction.score_weights,
        horizon=prediction.ml.horizon,
        tier_probabilities=prediction.ml.tier_probabilities,
        interval=prediction.ml.interval,
        feature_vector=prediction.feature_vector,
        factors=prediction.factors,
        suggestions=prediction.suggestions,
        warnings=prediction.warnings,
        matched_rules=prediction.rules.matched_rules,
        matched_sounds=prediction.trends.matched_sounds,
        reasoning=prediction.reasoning,
        stages=prediction.stages,
        degraded=prediction.degraded,
        simulated=kept.simulated,
        model_version=prediction.ml.model_version,
        calibration_version=platt.version if platt and prediction.is_calibrated else None,
        engine_version=pipeline.ENGINE_VERSION,
        input_mode=request.input_mode,
        latency_ms=round(seconds * 1000, 3),
    )
