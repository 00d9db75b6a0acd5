"""Answered predictions as rows of `analysis_results`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import insert, select

from viral_platform.engine.contracts import PredictionAnswer, PredictionRequest
from viral_platform.engine.errors import NotFoundError
from viral_platform.storage.database import Database
from viral_platform.storage.tables import analysis_results, prediction_requests

_INSERT = """
insert into app.analysis_results (
    id, created_at, input_mode, content_text, creator_handle, posted_at, overall_score, raw_score,
    confidence, is_calibrated, horizon, model_version, calibration_version, engine_version,
    is_degraded, is_simulated, latency_ms, cost_cents, request, answer, batch_id
) values (
    %(id)s, %(created_at)s, %(input_mode)s, %(content_text)s, %(creator_handle)s, %(posted_at)s,
    %(overall_score)s, %(raw_score)s, %(confidence)s, %(is_calibrated)s, %(horizon)s,
    %(model_version)s, %(calibration_version)s, %(engine_version)s, %(is_degraded)s,
    %(is_simulated)s, %(latency_ms)s, %(cost_cents)s, %(request)s, %(answer)s, %(batch_id)s
)
"""


@dataclass(frozen=True)
class AnalysisRecord:
    """What an outcome needs to know of the analysis that it belongs to."""

    id: UUID
    created_at: datetime
    posted_at: datetime | None
    model_version: str | None
    is_simulated: bool


def save_answer(
    database: Database,
    request: PredictionRequest,
    answer: PredictionAnswer,
    *,
    batch_id: str | None,
) -> None:
    """Store one answer with its request."""
    values = {
        "id": answer.id,
        "created_at": answer.created_at,
        "input_mode": answer.input_mode,
        "content_text": request.content_text or "",
        "creator_handle": request.creator_handle,
        "posted_at": request.posted_at,
        "overall_score": answer.overall_score,
        "raw_score": answer.raw_score,
        "confidence": answer.confidence,
        "is_calibrated": answer.is_calibrated,
        "horizon": answer.horizon,
        "model_version": answer.model_version,
        "calibration_version": answer.calibration_version,
        "engine_version": answer.engine_version,
        "is_degraded": answer.degraded,
        "is_simulated": answer.simulated,
        "latency_ms": answer.latency_ms,
        "cost_cents": answer.cost_cents,
        "request": Jsonb(request.model_dump(mode="json", exclude={"content_text"})),
        "answer": Jsonb(answer.model_dump(mode="json")),
        "batch_id": batch_id,
    }
    with database.engine.begin() as connection:
        connection.exec_driver_sql(_INSERT, values)


def get_analysis(database: Database, analysis_id: UUID) -> AnalysisRecord:
    """Return what is needed of one analysis.

    Raises
    ------
    NotFoundError
        There is no such analysis.
    """
    columns = [analysis_results.c[name] for name in AnalysisRecord.__dataclass_fields__]
    query = select(*columns).where(analysis_results.c.id == analysis_id)
    with database.engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(f"No analysis {analysis_id}. Its id is in the answer of viral predict.")
    return AnalysisRecord(**row._mapping)  # noqa: SLF001  SQLAlchemy's public accessor


def store_requests(
    database: Database, batch_id: str, requests: Sequence[PredictionRequest]
) -> None:
    """Store the requests of a batch in their order."""
    rows = [
        {"batch_id": batch_id, "position": position, "request": request.model_dump(mode="json")}
        for position, request in enumerate(requests, start=1)
    ]
    with database.engine.begin() as connection:
        connection.execute(insert(prediction_requests), rows)


def load_requests(database: Database, batch_id: str) -> list[PredictionRequest]:
    """Return the requests of a batch in their order.

    Raises
    ------
    NotFoundError
        There is no such batch.
    """
    query = (
        select(prediction_requests.c.request)
        .where(prediction_requests.c.batch_id == batch_id)
        .order_by(prediction_requests.c.position)
    )
    with database.engine.connect() as connection:
        found: list[object] = list(connection.execute(query).scalars())
    if not found:
        raise NotFoundError(f"No batch {batch_id}. viral predict --batch makes one.")
    return [PredictionRequest.model_validate(request) for request in found]


def answers_of_batch(database: Database, batch_id: str) -> list[dict[str, Any]]:
    """Return the answers of a batch in the order of its requests."""
    query = (
        select(analysis_results.c.answer)
        .where(analysis_results.c.batch_id == batch_id)
        .order_by(analysis_results.c.created_at)
    )
    with database.engine.connect() as connection:
        return list(connection.execute(query).scalars())


def get_answer(database: Database, analysis_id: UUID) -> dict[str, Any]:
    """Return a stored answer as it was given.

    Raises
    ------
    NotFoundError
        There is no such analysis.
    """
    query = select(analysis_results.c.answer).where(analysis_results.c.id == analysis_id)
    with database.engine.connect() as connection:
        answer: dict[str, Any] | None = connection.execute(query).scalar_one_or_none()
    if answer is None:
        raise NotFoundError(f"No analysis {analysis_id}.")
    return answer
