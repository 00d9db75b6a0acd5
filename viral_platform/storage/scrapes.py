"""Scrapes: one row by purpose and key, written before the actor run is started.

The row is what keeps a scrape from being started twice. What a run costs stays booked with its
ceiling until the run has ended. What is scraped for which purpose does not belong here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import SQLAlchemyError

from viral_platform.engine.errors import DatabaseUnavailableError
from viral_platform.storage.database import Database

Purpose = Literal["trending", "profile", "competitors", "outcomes"]
StartState = Literal["queued", "starting", "started", "refused", "unclear"]

# The lock under which deliveries of a run's dataset book what the run has cost.
_DATASET_LOCK_NAMESPACE = 7_273

_COLUMNS = "purpose, key, input, state, requested_at, actor_run_id, started_at, run_status, problem"
# Only what waits, or was clearly refused, may be started.
_CLAIM = text(
    """
    insert into app.scrape_starts (purpose, key, input, state, requested_at)
    values (:purpose, :key, :input, 'starting', :now)
    on conflict (purpose, key) do update
    set state = 'starting', requested_at = :now, problem = null, input = :input
    where scrape_starts.state in ('queued', 'refused')
    returning key
    """
).bindparams(bindparam("input", type_=JSONB))
_ENQUEUE = text(
    """
    insert into app.scrape_starts (purpose, key, input, state, requested_at)
    values (:purpose, :key, :input, 'queued', :now)
    on conflict (purpose, key) do nothing
    """
).bindparams(bindparam("input", type_=JSONB))
_GET = text(
    f"select {_COLUMNS} from app.scrape_starts where purpose = :purpose and key = :key"  # noqa: S608
)
_QUEUED = text(
    f"""
    select {_COLUMNS} from app.scrape_starts
    where state = 'queued' order by requested_at, purpose, key limit :limit
    """  # noqa: S608  our own columns
)
_NEWEST_OF_PROFILE = text(
    f"""
    select {_COLUMNS} from app.scrape_starts
    where
        input -> 'profiles' @> to_jsonb(cast(:handle as text))
        and (:with_refused or state != 'refused')
    order by requested_at desc limit 1
    """  # noqa: S608
)
_STARTED = text(
    """
    update app.scrape_starts
    set state = 'started', actor_run_id = :run_id, started_at = :started_at
    where purpose = :purpose and key = :key
    """
)
# Under the run's own id and start, deliveries of its dataset find what is booked of it already.
_NAME_RESERVATION = text(
    """
    update app.cost_events set request_id = :run_id, occurred_at = :started_at
    where
        occurred_at >= :reserved_since and request_id = :request_id and provider = 'apify'
        and is_estimate
    """
)
_FAILED = text(
    """
    update app.scrape_starts set state = :state, problem = :problem
    where purpose = :purpose and key = :key and state in ('queued', 'starting')
    """
)
_ABANDON = text(
    """
    update app.scrape_starts set state = 'unclear', problem = 'interrupted'
    where state = 'starting' and requested_at < :before
    """
)
_UNSETTLED = text(
    f"""
    select {_COLUMNS} from app.scrape_starts
    where state = 'started' and run_status is null
    order by requested_at
    limit :limit
    """  # noqa: S608
)
_TAKE_LOCK = text("select pg_try_advisory_xact_lock(:namespace, hashtext(:dataset_id))")
_SETTLE = text(
    """
    update app.cost_events as reserved
    set
        is_estimate = false, price_version = :price_version,
        cost_microdollars = greatest(
            0,
            :microdollars - (
                select coalesce(sum(cost_microdollars), 0) from app.cost_events
                where
                    occurred_at = :started_at and provider = 'apify' and request_id = :run_id
                    and not is_estimate
            )
        )
    where occurred_at = :started_at and provider = 'apify' and request_id = :run_id and is_estimate
    """
)
_ENDED = text(
    """
    update app.scrape_starts set run_status = :run_status
    where purpose = :purpose and key = :key
    """
)


@dataclass(frozen=True, slots=True)
class ScrapeOrder:
    """What to scrape: `input` is the actor's. `key` is unique in its purpose."""

    purpose: Purpose
    key: str
    input: Mapping[str, Any]

    @property
    def named(self) -> dict[str, str]:
        """Purpose and key."""
        return {"purpose": self.purpose, "key": self.key}


@dataclass(frozen=True, slots=True)
class ScrapeStart(ScrapeOrder):
    """An order with what became of it; `run_status` is None until the run is known to have ended.

    `requested_at` is when it was queued, then when it was claimed.
    """

    state: StartState
    requested_at: datetime
    actor_run_id: str | None
    started_at: datetime | None
    run_status: str | None
    problem: str | None


def claim(database: Database, order: ScrapeOrder, now: datetime) -> bool:
    """Store that a scrape is being started; False when it was before, and not clearly refused.

    Of several callers one gets it.
    """
    values = {**order.named, "input": dict(order.input), "now": now}
    with database.engine.begin() as connection:
        return connection.execute(_CLAIM, values).scalar_one_or_none() is not None


def enqueue(connection: Connection, order: ScrapeOrder, now: datetime) -> None:
    """Store a scrape that a run is to start; one that is stored stays as it is."""
    connection.execute(_ENQUEUE, {**order.named, "input": dict(order.input), "now": now})


def queued(database: Database, limit: int) -> list[ScrapeStart]:
    """Return scrapes that wait for a run, the oldest first."""
    with database.engine.connect() as connection:
        rows = connection.execute(_QUEUED, {"limit": limit}).mappings()
        return [ScrapeStart(**row) for row in rows]


def get(database: Database, purpose: str, key: str) -> ScrapeStart | None:
    """Return one scrape, None when there is none of that purpose and key."""
    with database.engine.connect() as connection:
        row = connection.execute(_GET, {"purpose": purpose, "key": key}).mappings().one_or_none()
    return None if row is None else ScrapeStart(**row)


def newest_of_profile(
    connection: Connection, handle: str, *, with_refused: bool
) -> ScrapeStart | None:
    """Return the last scrape that asked for a creator's profile, None when there is none."""
    values = {"handle": handle, "with_refused": with_refused}
    row = connection.execute(_NEWEST_OF_PROFILE, values).mappings().one_or_none()
    return None if row is None else ScrapeStart(**row)


def record_started(
    database: Database,
    order: ScrapeOrder,
    *,
    run_id: str,
    started_at: datetime,
    request_id: str,
    reserved_since: datetime,
) -> None:
    """Store the run of a scrape, and name it in what was reserved for it under `request_id`.

    Raises
    ------
    DatabaseUnavailableError
        Nothing of it is stored; the scrape stays claimed.
    """
    values = {
        **order.named,
        "run_id": run_id,
        "started_at": started_at,
        "request_id": request_id,
        "reserved_since": reserved_since,
    }
    try:
        with database.engine.begin() as connection:
            connection.execute(_STARTED, values)
            connection.execute(_NAME_RESERVATION, values)
    except SQLAlchemyError as error:
        raise DatabaseUnavailableError(
            f"Actor run {run_id} was started and cannot be recorded at {database.safe_url}: "
            f"{type(error).__name__}. Its webhook still brings its data."
        ) from error


def record_failed(
    database: Database,
    order: ScrapeOrder,
    *,
    state: Literal["refused", "unclear"],
    problem: str,
) -> None:
    """Store why a scrape was not started, or that this is not known."""
    with database.engine.begin() as connection:
        connection.execute(_FAILED, {**order.named, "state": state, "problem": problem})


def abandon(database: Database, *, before: datetime) -> int:
    """Mark starts that were interrupted as unclear; return how many."""
    with database.engine.begin() as connection:
        return connection.execute(_ABANDON, {"before": before}).rowcount


def unsettled(database: Database, limit: int) -> list[ScrapeStart]:
    """Return starts whose run is not known to have ended, the oldest first."""
    with database.engine.connect() as connection:
        rows = connection.execute(_UNSETTLED, {"limit": limit}).mappings()
        return [ScrapeStart(**row) for row in rows]


def record_ended(
    database: Database,
    start: ScrapeStart,
    *,
    run_status: str,
    dataset_id: str = "",
    microdollars: int | None = None,
    price_version: str = "",
) -> bool:
    """Store how a run ended; what it cost takes the place of its ceiling.

    Without a cost the ceiling stays, as an estimate. False, and nothing is stored, while a
    delivery of the run's dataset is being ingested.
    """
    with database.engine.begin() as connection:
        if dataset_id:
            lock = {"namespace": _DATASET_LOCK_NAMESPACE, "dataset_id": dataset_id}
            is_alone: bool = connection.execute(_TAKE_LOCK, lock).scalar_one()
            if not is_alone:
                return False
        if microdollars is not None:
            connection.execute(
                _SETTLE,
                {
                    "run_id": start.actor_run_id,
                    "started_at": start.started_at,
                    "microdollars": microdollars,
                    "price_version": price_version,
                },
            )
        connection.execute(_ENDED, {**start.named, "run_status": run_status})
    return True
