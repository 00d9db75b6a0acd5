"""Batches of prediction requests: what was asked, who answers it, and how far that has come.

A queued batch waits for `prediction_batch_sensor`; one is answered by one process at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, func, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from viral_platform.engine.contracts import PredictionRequest
from viral_platform.engine.errors import (
    DatabaseUnavailableError,
    GateRefusedError,
    NotFoundError,
    RefusedRequestError,
)
from viral_platform.storage.database import Database
from viral_platform.storage.tables import (
    analysis_results,
    prediction_batches,
    prediction_requests,
)

BatchState = Literal["queued", "running", "done", "failed"]

_LOCK_NAMESPACE = 7_271
_RESULT_LINES = text(
    """
    select
        requests.position,
        answers.answer::text as answer,
        requests.problem
    from app.prediction_requests as requests
    left join app.analysis_results as answers
        on answers.batch_id = requests.batch_id and answers.position = requests.position
    where requests.batch_id = :batch_id
    order by requests.position
    """
)


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """Where a batch stands: `answered` and `refused` of its `total` requests are done with."""

    batch_id: str
    key_id: int | None
    state: BatchState
    total: int
    answered: int
    refused: int
    requested_at: datetime
    finished_at: datetime | None
    run_id: str | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class WaitingBatch:
    """A batch that has not ended; `run_id` is the run that took it, None while it is queued."""

    batch_id: str
    run_id: str | None


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch that this process answers: its requests that are not done with, by position."""

    key_id: int | None
    requests: list[tuple[int, PredictionRequest]]


@dataclass(frozen=True, slots=True)
class ResultLine:
    """What became of one request: the answer as JSON, the reason for its refusal, or neither."""

    position: int
    answer: str | None
    problem: Mapping[str, str] | None


def save_batch(
    database: Database,
    batch_id: str,
    requests: Sequence[PredictionRequest],
    *,
    key_id: int | None,
    state: BatchState,
) -> None:
    """Store a batch and its requests in their order."""
    rows = [
        {"batch_id": batch_id, "position": position, "request": request.model_dump(mode="json")}
        for position, request in enumerate(requests, start=1)
    ]
    batch = {"batch_id": batch_id, "key_id": key_id, "total": len(rows), "state": state}
    with database.engine.begin() as connection:
        connection.execute(insert(prediction_batches), batch)
        connection.execute(insert(prediction_requests), rows)


def get_batch(database: Database, batch_id: str, *, key_id: int | None = None) -> BatchRecord:
    """Return where a batch stands; with `key_id`, only when that key asked for it.

    Raises
    ------
    NotFoundError
        There is no such batch.
    """
    columns = prediction_batches.c
    query = select(
        columns.batch_id,
        columns.key_id,
        columns.state,
        columns.total,
        select(func.count())
        .where(analysis_results.c.batch_id == columns.batch_id)
        .scalar_subquery()
        .label("answered"),
        select(func.count())
        .where(
            prediction_requests.c.batch_id == columns.batch_id,
            prediction_requests.c.problem.is_not(None),
        )
        .scalar_subquery()
        .label("refused"),
        columns.requested_at,
        columns.finished_at,
        columns.run_id,
        columns.problem,
    ).where(columns.batch_id == batch_id)
    if key_id is not None:
        query = query.where(columns.key_id == key_id)
    with database.engine.connect() as connection:
        row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"No batch {batch_id}. viral predict --batch makes one.")
    return BatchRecord(**row)


def open_batches(database: Database, limit: int) -> list[WaitingBatch]:
    """Return batches that wait for a run or whose run has not told its end, the oldest first."""
    columns = prediction_batches.c
    query = (
        select(columns.batch_id, columns.run_id)
        .where(
            columns.finished_at.is_(None),
            (columns.state == "queued") | columns.run_id.is_not(None),
        )
        .order_by(columns.requested_at, columns.batch_id)
        .limit(limit)
    )
    with database.engine.connect() as connection:
        return [WaitingBatch(**row) for row in connection.execute(query).mappings()]


def fail_open_batch(database: Database, batch_id: str, problem: str) -> None:
    """Mark a batch as failed, unless it has ended meanwhile."""
    with database.engine.begin() as connection:
        connection.execute(
            update(prediction_batches)
            .where(
                prediction_batches.c.batch_id == batch_id,
                prediction_batches.c.finished_at.is_(None),
            )
            .values(state="failed", problem=problem, finished_at=func.clock_timestamp())
        )


def refuse_request(
    database: Database, batch_id: str, position: int, error: RefusedRequestError
) -> None:
    """Store why a request of a batch gets no answer."""
    problem = {"code": error.code, "problem": error.problem, "fix": error.fix}
    with database.engine.begin() as connection:
        connection.execute(
            update(prediction_requests)
            .where(
                prediction_requests.c.batch_id == batch_id,
                prediction_requests.c.position == position,
            )
            .values(problem=problem)
        )


def result_lines(database: Database, batch_id: str) -> list[ResultLine]:
    """Return what became of the requests of a batch, in their order."""
    with database.engine.connect() as connection:
        rows = connection.execute(_RESULT_LINES, {"batch_id": batch_id}).mappings()
        return [ResultLine(**row) for row in rows]


@contextmanager
def answering(database: Database, batch_id: str, run_id: str | None) -> Iterator[OpenBatch]:
    """Yield a batch to answer, marked as running; leaving marks it as done, an error as failed.

    Raises
    ------
    NotFoundError
        There is no such batch.
    GateRefusedError
        Another process answers it.
    """
    with _alone(database, batch_id):
        batch = _taken(database, batch_id, run_id)
        try:
            yield batch
        except BaseException as error:
            # A database that is gone cannot be told; the sensor sees that the run has failed.
            with suppress(DatabaseUnavailableError, SQLAlchemyError):
                fail_open_batch(database, batch_id, _code_of(error))
            raise
        with database.engine.begin() as connection:
            _set_state(connection, batch_id, state="done", finished_at=func.clock_timestamp())


def _code_of(error: BaseException) -> str:
    if isinstance(error, DatabaseUnavailableError):
        return "database_unavailable"
    return "internal_error" if isinstance(error, Exception) else "interrupted"


@contextmanager
def _alone(database: Database, batch_id: str) -> Iterator[None]:
    """Hold the batch's advisory lock: answers are paid for, so no two processes make them."""
    key = (_LOCK_NAMESPACE, func.hashtext(batch_id))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        is_ours: bool = connection.execute(select(func.pg_try_advisory_lock(*key))).scalar_one()
        if not is_ours:
            raise GateRefusedError(
                f"Batch {batch_id} is being answered by another process. Wait for its end."
            )
        try:
            yield
        finally:
            with suppress(DatabaseUnavailableError, SQLAlchemyError):
                connection.execute(select(func.pg_advisory_unlock(*key)))


def _taken(database: Database, batch_id: str, run_id: str | None) -> OpenBatch:
    unanswered = (
        select(prediction_requests.c.position, prediction_requests.c.request)
        .outerjoin(
            analysis_results,
            (analysis_results.c.batch_id == prediction_requests.c.batch_id)
            & (analysis_results.c.position == prediction_requests.c.position),
        )
        .where(
            prediction_requests.c.batch_id == batch_id,
            prediction_requests.c.problem.is_(None),
            analysis_results.c.id.is_(None),
        )
        .order_by(prediction_requests.c.position)
    )
    with database.engine.begin() as connection:
        keys = _set_state(
            connection, batch_id, state="running", run_id=run_id, problem=None, finished_at=None
        )
        if not keys:
            raise NotFoundError(f"No batch {batch_id}. viral predict --batch makes one.")
        rows = connection.execute(unanswered).all()
    requests = [(row.position, PredictionRequest.model_validate(row.request)) for row in rows]
    return OpenBatch(key_id=keys[0], requests=requests)


def _set_state(connection: Connection, batch_id: str, **values: Any) -> list[int | None]:  # noqa: ANN401  values of columns
    """Change a batch; return the id of its key, nothing when there is no such batch."""
    changed = (
        update(prediction_batches)
        .where(prediction_batches.c.batch_id == batch_id)
        .values(**values)
        .returning(prediction_batches.c.key_id)
    )
    return list(connection.execute(changed).scalars())
