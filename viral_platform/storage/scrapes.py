"""Scheduled scrapes: one row a tick, written before the actor run is started.

The row is what keeps a tick from being started twice. What a run costs stays booked with its
ceiling until the run has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from viral_platform.engine.errors import DatabaseUnavailableError
from viral_platform.storage.database import Database

StartState = Literal["starting", "started", "refused", "unclear"]

# The lock under which deliveries of a run's dataset book what the run has cost.
_DATASET_LOCK_NAMESPACE = 7_273

# Only what was clearly refused may be started anew.
_CLAIM = text(
    """
    insert into app.scrape_starts (tick, state, requested_at)
    values (:tick, 'starting', :now)
    on conflict (tick) do update set state = 'starting', requested_at = :now, problem = null
    where scrape_starts.state = 'refused'
    returning tick
    """
)
_GET = text(
    """
    select tick, state, actor_run_id, started_at, run_status, problem
    from app.scrape_starts where tick = :tick
    """
)
_STARTED = text(
    """
    update app.scrape_starts
    set state = 'started', actor_run_id = :run_id, started_at = :started_at
    where tick = :tick
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
    where tick = :tick and state = 'starting'
    """
)
_ABANDON = text(
    """
    update app.scrape_starts set state = 'unclear', problem = 'interrupted'
    where state = 'starting' and requested_at < :before
    """
)
_UNSETTLED = text(
    """
    select tick, state, actor_run_id, started_at, run_status, problem
    from app.scrape_starts
    where state = 'started' and run_status is null
    order by tick
    limit :limit
    """
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
_ENDED = text("update app.scrape_starts set run_status = :run_status where tick = :tick")


@dataclass(frozen=True, slots=True)
class ScrapeStart:
    """A start; `run_status` is None until the run is known to have ended."""

    tick: datetime
    state: StartState
    actor_run_id: str | None
    started_at: datetime | None
    run_status: str | None
    problem: str | None


def claim(database: Database, tick: datetime, now: datetime) -> bool:
    """Store that a tick is being started; False when it was before, and not clearly refused.

    Of several callers one gets it.
    """
    with database.engine.begin() as connection:
        claimed = connection.execute(_CLAIM, {"tick": tick, "now": now})
        return claimed.scalar_one_or_none() is not None


def get(database: Database, tick: datetime) -> ScrapeStart | None:
    """Return the start of a tick, None when there was none."""
    with database.engine.connect() as connection:
        row = connection.execute(_GET, {"tick": tick}).mappings().one_or_none()
    return None if row is None else ScrapeStart(**row)


def record_started(
    database: Database,
    tick: datetime,
    *,
    run_id: str,
    started_at: datetime,
    request_id: str,
    reserved_since: datetime,
) -> None:
    """Store the run of a tick, and name it in what was reserved for it under `request_id`.

    Raises
    ------
    DatabaseUnavailableError
        Nothing of it is stored; the tick stays claimed.
    """
    values = {
        "tick": tick,
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
    tick: datetime,
    *,
    state: Literal["refused", "unclear"],
    problem: str,
) -> None:
    """Store why a tick was not started, or that this is not known."""
    with database.engine.begin() as connection:
        connection.execute(_FAILED, {"tick": tick, "state": state, "problem": problem})


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
        connection.execute(_ENDED, {"tick": start.tick, "run_status": run_status})
    return True
