"""Paid calls as rows of `cost_events`: reserved before, settled after, summed by day.

A row is written with the most that its call can cost and marked as an estimate; the settlement
puts what it did cost in the place. What is never settled stays counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from viral_platform.engine.errors import DatabaseUnavailableError, NotFoundError
from viral_platform.storage.database import Database

# One number for the reservations of all installations on a server.
_ADVISORY_LOCK = 7_271_003
_LOCK_TIMEOUT = "3s"

# The lock is a statement of its own: the sum must be read by one that starts under it.
_TAKE_TURN = text("select set_config('lock_timeout', :timeout, true), pg_advisory_xact_lock(:key)")
_RESERVE = text(
    """
    insert into app.cost_events (
        occurred_at, request_id, provider, model, operation, tokens, cost_microdollars,
        price_version, is_estimate
    )
    select
        :occurred_at, :request_id, :provider, :model, :operation, '{}', :ceiling, 'ceiling', true
    where :ceiling + (
        select coalesce(sum(cost_microdollars), 0) from app.cost_events
        where occurred_at >= :day_start and occurred_at < :day_end
    ) <= :day_cap
    returning id
    """
)
_SETTLE = text(
    """
    update app.cost_events
    set
        tokens = :tokens, cost_microdollars = :microdollars, price_version = :price_version,
        is_estimate = false
    where id = :id
    """
)
_DAILY_TOTALS = text(
    """
    select
        (occurred_at at time zone 'UTC')::date as day,
        provider,
        model,
        count(*) as calls,
        count(*) filter (where is_estimate) as estimates,
        sum(cost_microdollars)::bigint as total_microdollars
    from app.cost_events
    where occurred_at >= :since
    group by 1, 2, 3
    order by day desc, total_microdollars desc, provider, model
    """
)
_MART_TOTALS = text(
    """
    select day, provider, model, calls, estimates, total_microdollars
    from marts.daily_costs
    where day > (select max(day) from marts.daily_costs) - :days
    order by day desc, total_microdollars desc, provider, model
    """
)


@dataclass(frozen=True, slots=True)
class DailyTotal:
    """What the calls to one model cost on one UTC day; `estimates` of them are not settled."""

    day: date
    provider: str
    model: str
    calls: int
    estimates: int
    total_microdollars: int


class NewCost(Protocol):
    """A call that may be made, as budgets describe it; the day is `occurred_at`'s in UTC."""

    @property
    def occurred_at(self) -> datetime: ...  # noqa: D102
    @property
    def request_id(self) -> str: ...  # noqa: D102
    @property
    def provider(self) -> str: ...  # noqa: D102
    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def operation(self) -> str: ...  # noqa: D102
    @property
    def ceiling_microdollars(self) -> int: ...  # noqa: D102


class SettledCost(Protocol):
    """What a call did cost, and its tokens by kind."""

    @property
    def microdollars(self) -> int: ...  # noqa: D102
    @property
    def price_version(self) -> str: ...  # noqa: D102
    @property
    def tokens(self) -> dict[str, int]: ...  # noqa: D102


class CostLedger:
    """The ledger of an installation; what it says is stored before it returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, reservation: NewCost, *, day_cap_microdollars: int) -> int | None:
        """Store a call that may be made; return its id, None when the day's cap would be passed.

        Reservations of all processes take turns, so that together they keep the cap. Estimates
        count in full.

        Raises
        ------
        DatabaseUnavailableError
            The row cannot be written, or the turn did not come within three seconds.
        """
        day = reservation.occurred_at.astimezone(UTC).date()
        start = datetime.combine(day, time(), tzinfo=UTC)
        with self._writing() as connection:
            connection.execute(_TAKE_TURN, {"key": _ADVISORY_LOCK, "timeout": _LOCK_TIMEOUT})
            return connection.execute(
                _RESERVE,
                {
                    "occurred_at": reservation.occurred_at,
                    "request_id": reservation.request_id,
                    "provider": reservation.provider,
                    "model": reservation.model,
                    "operation": reservation.operation,
                    "ceiling": reservation.ceiling_microdollars,
                    "day_start": start,
                    "day_end": start + timedelta(days=1),
                    "day_cap": day_cap_microdollars,
                },
            ).scalar_one_or_none()

    def settle(self, event_id: int, settlement: SettledCost) -> None:
        """Replace the estimate of a call by what it cost.

        Raises
        ------
        DatabaseUnavailableError
            The row cannot be written; it stays an estimate.
        """
        with self._writing() as connection:
            connection.execute(
                _SETTLE,
                {
                    "id": event_id,
                    "tokens": Jsonb(settlement.tokens),
                    "microdollars": settlement.microdollars,
                    "price_version": settlement.price_version,
                },
            )

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Yield a transaction; whatever keeps it from being stored means no record."""
        try:
            with self._database.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise DatabaseUnavailableError(
                f"The cost of a call cannot be recorded at {self._database.safe_url}: "
                f"{type(error).__name__}. Look at PostgreSQL's log; `viral migrate` adds missing "
                "tables."
            ) from error


def daily_totals(database: Database, days: int, *, until: date) -> list[DailyTotal]:
    """Return the spend of the `days` UTC days that end with `until`, the newest day first.

    Read from the events themselves, so that it is always current.
    """
    since = datetime.combine(until - timedelta(days=days - 1), time(), tzinfo=UTC)
    with database.engine.connect() as connection:
        rows = connection.execute(_DAILY_TOTALS, {"since": since}).mappings()
        return [DailyTotal(**row) for row in rows]


def daily_costs(database: Database, days: int) -> list[DailyTotal]:
    """Return the newest `days` days of the mart `daily_costs`, the newest first.

    Raises
    ------
    NotFoundError
        The mart was never built.
    """
    try:
        with database.engine.connect() as connection:
            rows = connection.execute(_MART_TOTALS, {"days": days}).mappings()
            return [DailyTotal(**row) for row in rows]
    except ProgrammingError as error:
        if not isinstance(error.orig, psycopg.errors.UndefinedTable):
            raise
        raise NotFoundError(
            "marts.daily_costs was never built. Run `viral run aggregate_costs`."
        ) from error
