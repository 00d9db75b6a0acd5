"""Webhook deliveries: durable at receipt, leased to one attempt at a time, ended once.

A delivery of an actor run also holds the cursor of its dataset. What a delivery means, and what
is read from a dataset, does not belong here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from viral_platform.engine.errors import (
    DatabaseUnavailableError,
    GateRefusedError,
    NotFoundError,
)
from viral_platform.storage.database import Database

# First half of the key of each dataset's advisory lock; the second is a hash of its id.
_LOCK_NAMESPACE = 7_273
_LOCK_TIMEOUT = "30s"

_COLUMNS = """
    id, source, delivery_id, event_type, body, received_at, attempt, lease_until, processed_at,
    dataset_id, run_status, problem, report
"""
# For the driver itself: who sends a webhook waits for this.
_INSERT = """
insert into app.webhook_inbox (source, delivery_id, event_type, body, processed_at)
values (%(source)s, %(delivery_id)s, %(event_type)s, %(body)s::json, %(processed_at)s)
on conflict (source, delivery_id) do nothing
returning id
"""
_DUE = text(
    f"""
    select {_COLUMNS} from app.webhook_inbox
    where
        source = :source and processed_at is null
        and (lease_until is null or lease_until <= :now)
    order by received_at, id
    limit :limit
    """  # noqa: S608  our own columns
)
_TAKE = text(
    """
    update app.webhook_inbox
    set attempt = attempt + 1, lease_until = :lease_until
    where id = :id and processed_at is null and (lease_until is null or lease_until <= :now)
    returning attempt
    """
)
_GET = text(f"select {_COLUMNS} from app.webhook_inbox where id = :id")  # noqa: S608
_NEWEST = text(
    f"""
    select {_COLUMNS} from app.webhook_inbox
    where source = :source and processed_at is not null and run_status is not null
    order by processed_at desc, id desc
    limit 1
    """  # noqa: S608
)
_POSTPONE = text(
    """
    update app.webhook_inbox set problem = :problem, lease_until = greatest(lease_until, :until)
    where id = :id and processed_at is null
    """
)

# The lock is of the session and holds over the transactions of the pages. These do not wait for
# the disk: what a crash of the server takes of them, it takes with their cursor, and the mark,
# which waits, comes behind all of them.
_LOCK_DATASET = """
select
    set_config('synchronous_commit', 'off', false),
    set_config('lock_timeout', %s, true), pg_advisory_lock(%s, hashtext(%s))
"""
_WAIT_FOR_DISK = "set local synchronous_commit to on"
_BEGIN = """
update app.webhook_inbox as this set
    dataset_id = %(dataset_id)s,
    next_offset = (
        select coalesce(max(next_offset), 0) from app.webhook_inbox
        where dataset_id = %(dataset_id)s
    )
where id = %(id)s and processed_at is null
returning next_offset, report
"""
_ADVANCE = """
update app.webhook_inbox
set next_offset = %s, report = %s, lease_until = greatest(lease_until, %s)
where id = %s and processed_at is null
"""
_FINISH = """
update app.webhook_inbox
set processed_at = %s, run_status = %s, problem = %s, report = %s, lease_until = null
where id = %s and processed_at is null
"""
_BOOK = """
insert into app.cost_events (
    occurred_at, request_id, provider, model, operation, tokens, cost_microdollars, price_version
)
select %(at)s, %(run_id)s, 'apify', %(actor)s, 'scrape', '{}', %(cost)s - booked, %(version)s
from (
    select coalesce(sum(cost_microdollars), 0) as booked from app.cost_events
    where occurred_at = %(at)s and provider = 'apify' and request_id = %(run_id)s
) as before
where %(cost)s > booked
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A stored delivery. `report` is None until a page of its dataset is stored."""

    id: int
    source: str
    delivery_id: str
    event_type: str
    body: dict[str, Any]
    received_at: datetime
    attempt: int
    lease_until: datetime | None
    processed_at: datetime | None
    dataset_id: str | None
    run_status: str | None
    problem: str | None
    report: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a dataset was read, by whichever delivery, and what this delivery counted of it."""

    next_offset: int
    report: dict[str, Any] | None


def insert(
    database: Database,
    *,
    source: str,
    delivery_id: str,
    event_type: str,
    body: Mapping[str, object],
    processed_at: datetime | None,
) -> bool:
    """Store a delivery; False, and nothing is stored, when it is there already.

    Raises
    ------
    DatabaseUnavailableError
        It is not stored.
    """
    with _no_receipt_without(database), database.statements.connect() as connection:
        return record(
            connection,
            source=source,
            delivery_id=delivery_id,
            event_type=event_type,
            body=body,
            processed_at=processed_at,
        )


def record(
    connection: Connection,
    *,
    source: str,
    delivery_id: str,
    event_type: str,
    body: Mapping[str, object],
    processed_at: datetime | None,
) -> bool:
    """Store a delivery beside what else its transaction does; False when it is there already."""
    values = {
        "source": source,
        "delivery_id": delivery_id,
        "event_type": event_type,
        "body": json.dumps(body),
        "processed_at": processed_at,
    }
    return connection.exec_driver_sql(_INSERT, values).scalar_one_or_none() is not None


def due(database: Database, limit: int, now: datetime, *, source: str) -> list[Delivery]:
    """Return deliveries that are not processed and not leased, the oldest first."""
    with database.engine.connect() as connection:
        rows = connection.execute(_DUE, {"source": source, "now": now, "limit": limit})
        return [Delivery(**row) for row in rows.mappings()]


def take(database: Database, inbox_id: int, lease_seconds: float, *, now: datetime) -> int | None:
    """Lease a delivery that is due; return the number of the attempt, None when it is not due.

    Of several callers one gets it.
    """
    lease_until = now + timedelta(seconds=lease_seconds)
    with database.engine.begin() as connection:
        values = {"id": inbox_id, "now": now, "lease_until": lease_until}
        taken: int | None = connection.execute(_TAKE, values).scalar_one_or_none()
        return taken


def get(database: Database, inbox_id: int) -> Delivery:
    """Return one delivery.

    Raises
    ------
    NotFoundError
        There is no such delivery.
    """
    with database.engine.connect() as connection:
        row = connection.execute(_GET, {"id": inbox_id}).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"The inbox holds no delivery {inbox_id}. See app.webhook_inbox.")
    return Delivery(**row)


def newest_processed(database: Database, *, source: str) -> Delivery | None:
    """Return the delivery whose dataset was read last to its end, None without one."""
    with database.engine.connect() as connection:
        row = connection.execute(_NEWEST, {"source": source}).mappings().one_or_none()
    return None if row is None else Delivery(**row)


def postpone(database: Database, inbox_id: int, *, problem: str, until: datetime) -> None:
    """Record why an attempt failed; the delivery is not due before `until`."""
    with database.engine.begin() as connection:
        connection.execute(_POSTPONE, {"id": inbox_id, "problem": problem, "until": until})


@contextmanager
def alone(database: Database, dataset_id: str) -> Iterator[psycopg.Connection]:
    """Yield a connection that holds the dataset's lock; its transactions are the caller's.

    Lock and writes share one connection, so nobody writes who has lost the lock.

    Raises
    ------
    GateRefusedError
        Another process has held the lock for half a minute.
    """
    with database.connect() as connection:
        try:
            connection.execute(_LOCK_DATASET, [_LOCK_TIMEOUT, _LOCK_NAMESPACE, dataset_id])
        except psycopg.errors.LockNotAvailable as error:
            raise GateRefusedError(
                f"Dataset {dataset_id} is being read by another process. Wait for its end."
            ) from error
        connection.commit()
        yield connection


def begin(connection: psycopg.Connection, inbox_id: int, dataset_id: str) -> Progress | None:
    """Return where reading goes on; None when the delivery was processed meanwhile."""
    row = connection.execute(_BEGIN, {"id": inbox_id, "dataset_id": dataset_id}).fetchone()
    return None if row is None else Progress(*row)


def advance(
    connection: psycopg.Connection,
    inbox_id: int,
    next_offset: int,
    report: Mapping[str, object],
    *,
    lease_until: datetime,
) -> None:
    """Move the cursor behind a page, in the transaction that stores it, and keep the lease."""
    connection.execute(_ADVANCE, [next_offset, Jsonb(report), lease_until, inbox_id])


def finish(
    connection: psycopg.Connection,
    inbox_id: int,
    *,
    run_status: str,
    problem: str | None,
    report: Mapping[str, object],
    now: datetime,
) -> None:
    """Mark a delivery as processed, on disk with all pages before; one that is stays as it is."""
    connection.execute(_WAIT_FOR_DISK)
    connection.execute(_FINISH, [now, run_status, problem, Jsonb(report), inbox_id])


def book_run(
    connection: psycopg.Connection,
    run_id: str,
    *,
    actor: str,
    microdollars: int,
    started_at: datetime,
    price_version: str,
) -> None:
    """Store what an actor run has cost; of what was booked of it before, only the rest.

    The caller holds the lock of the run's dataset.
    """
    connection.execute(
        _BOOK,
        {
            "at": started_at,
            "run_id": run_id,
            "actor": actor,
            "cost": microdollars,
            "version": price_version,
        },
    )


@contextmanager
def writing(database: Database) -> Iterator[Connection]:
    """Yield a transaction; whatever keeps it from being stored means no receipt."""
    with _no_receipt_without(database), database.engine.begin() as connection:
        yield connection


@contextmanager
def _no_receipt_without(database: Database) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise DatabaseUnavailableError(
            f"The delivery cannot be stored at {database.safe_url}: {type(error).__name__}. "
            "Look at PostgreSQL's log; `viral migrate` adds missing tables."
        ) from error
