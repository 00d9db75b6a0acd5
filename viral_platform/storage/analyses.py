"""Answered predictions as rows of `analysis_results`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import select, tuple_

from viral_platform.engine.contracts import PredictionAnswer, PredictionRequest
from viral_platform.engine.errors import NotFoundError
from viral_platform.storage import posts
from viral_platform.storage.database import Database
from viral_platform.storage.posts import Post
from viral_platform.storage.tables import analysis_results, outcomes

_INSERT = """
insert into app.analysis_results (
    id, created_at, input_mode, content_text, creator_handle, posted_at, overall_score, raw_score,
    confidence, is_calibrated, horizon, model_version, calibration_version, engine_version,
    is_degraded, is_simulated, latency_ms, cost_cents, request, answer, batch_id, position, key_id
) values (
    %(id)s, %(created_at)s, %(input_mode)s, %(content_text)s, %(creator_handle)s, %(posted_at)s,
    %(overall_score)s, %(raw_score)s, %(confidence)s, %(is_calibrated)s, %(horizon)s,
    %(model_version)s, %(calibration_version)s, %(engine_version)s, %(is_degraded)s,
    %(is_simulated)s, %(latency_ms)s, %(cost_cents)s, %(request)s, %(answer)s, %(batch_id)s,
    %(position)s, %(key_id)s
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
    position: int | None = None,
    key_id: int | None = None,
    post: Post | None = None,
) -> None:
    """Store one answer with its request.

    `position` is that of the request in its batch, `key_id` the key that asked over HTTP, `post`
    what the request was about.
    """
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
        "position": position,
        "key_id": key_id,
    }
    if post is None:
        with database.statements.connect() as connection:
            connection.exec_driver_sql(_INSERT, values)
        return
    with database.engine.begin() as connection:
        connection.exec_driver_sql(_INSERT, values)
        posts.name_post(connection, answer.id, post)


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


def answers_of_batch(database: Database, batch_id: str) -> list[dict[str, Any]]:
    """Return the answers of a batch in the order of its requests."""
    query = (
        select(analysis_results.c.answer)
        .where(analysis_results.c.batch_id == batch_id)
        .order_by(analysis_results.c.position)
    )
    with database.engine.connect() as connection:
        return list(connection.execute(query).scalars())


def get_answer(
    database: Database, analysis_id: UUID, *, key_id: int | None = None
) -> dict[str, Any]:
    """Return a stored answer as it was given; with `key_id`, only when that key asked for it.

    Raises
    ------
    NotFoundError
        There is no such analysis.
    """
    query = select(analysis_results.c.answer).where(analysis_results.c.id == analysis_id)
    if key_id is not None:
        query = query.where(analysis_results.c.key_id == key_id)
    with database.engine.connect() as connection:
        answer: dict[str, Any] | None = connection.execute(query).scalar_one_or_none()
    if answer is None:
        raise NotFoundError(f"No analysis {analysis_id}.")
    return answer


def list_answers(
    database: Database,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None = None,
    key_id: int | None = None,
) -> list[dict[str, Any]]:
    """Return stored answers as they were given, the newest first.

    Parameters
    ----------
    database : Database
        Of the installation.
    limit : int
        How many at most.
    before : tuple of datetime and UUID, optional
        Time and id of an answer; only those older than it are returned.
    key_id : int, optional
        Only what this key asked for.
    """
    columns = analysis_results.c
    query = select(columns.answer).order_by(columns.created_at.desc(), columns.id.desc())
    if before is not None:
        query = query.where(tuple_(columns.created_at, columns.id) < tuple_(*before))
    if key_id is not None:
        query = query.where(columns.key_id == key_id)
    with database.engine.connect() as connection:
        return list(connection.execute(query.limit(limit)).scalars())


def get_outcome(database: Database, analysis_id: UUID) -> dict[str, Any]:
    """Return the outcome of an analysis with the score that was served and their difference.

    Raises
    ------
    NotFoundError
        It has none.
    """
    predicted = analysis_results.c.overall_score
    query = (
        select(
            outcomes,
            predicted.label("predicted_score"),
            (outcomes.c.actual_score - predicted).label("delta"),
        )
        .join(analysis_results, analysis_results.c.id == outcomes.c.analysis_id)
        .where(outcomes.c.analysis_id == analysis_id)
    )
    with database.engine.connect() as connection:
        row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"No outcome of analysis {analysis_id}.")
    return dict(row)


def storable(request: PredictionRequest) -> PredictionRequest:
    """Return the request without the NUL characters that PostgreSQL's text cannot hold."""
    return request.model_copy(update={name: _without_nul(value) for name, value in request})


def _without_nul(value: object) -> object:
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    return value.replace("\x00", "") if isinstance(value, str) else value
