from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import make_url, select, text

from viral_platform.engine.errors import DatabaseUnavailableError, NotFoundError
from viral_platform.providers.budget import Reservation, Settlement
from viral_platform.storage import costs, schema
from viral_platform.storage.costs import CostLedger, DailyTotal
from viral_platform.storage.database import Database
from viral_platform.storage.tables import cost_events

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CALL = Reservation("request-1", "deepseek", "deepseek-flash", "reason", 1_000, NOON)
TOKENS = {"input_tokens": 900, "output_tokens": 100}


@pytest.fixture
def ledger(database: Database) -> CostLedger:
    return CostLedger(database)


def rows(database: Database) -> list[dict[str, Any]]:
    with database.engine.connect() as connection:
        found = connection.execute(select(cost_events).order_by(cost_events.c.id)).mappings()
        return [dict(row) for row in found]


def reserve(ledger: CostLedger, call: Reservation = CALL, *, cap: int = 10_000) -> int:
    event_id = ledger.reserve(call, day_cap_microdollars=cap)
    assert event_id is not None
    return event_id


def test_a_call_is_a_row_of_its_ceiling_before_it_is_made_and_of_its_cost_afterwards(
    database: Database, ledger: CostLedger
) -> None:
    event_id = reserve(ledger)
    (row,) = rows(database)
    assert row == {
        "id": event_id,
        "occurred_at": NOON,
        "request_id": "request-1",
        "provider": "deepseek",
        "model": "deepseek-flash",
        "operation": "reason",
        "tokens": {},
        "cost_microdollars": 1_000,
        "price_version": "ceiling",
        "is_estimate": True,
    }
    ledger.settle(event_id, Settlement(210, "genai-prices 0.2.3", TOKENS))
    assert rows(database) == [
        {
            **row,
            "tokens": TOKENS,
            "cost_microdollars": 210,
            "price_version": "genai-prices 0.2.3",
            "is_estimate": False,
        }
    ]


def test_what_was_never_settled_counts_against_the_day_and_what_was_settled_makes_room(
    ledger: CostLedger,
) -> None:
    abandoned, settled = reserve(ledger, cap=2_000), reserve(ledger, cap=2_000)
    assert ledger.reserve(replace(CALL, ceiling_microdollars=1), day_cap_microdollars=2_000) is None
    ledger.settle(settled, Settlement(300, "v"))
    assert ledger.reserve(CALL, day_cap_microdollars=2_000) is None
    assert reserve(ledger, replace(CALL, ceiling_microdollars=700), cap=2_000)
    assert abandoned != settled


def test_a_cap_of_zero_lets_only_free_calls_through(ledger: CostLedger) -> None:
    assert ledger.reserve(CALL, day_cap_microdollars=0) is None
    assert reserve(ledger, replace(CALL, ceiling_microdollars=0), cap=0)


@pytest.mark.parametrize(
    ("at", "is_the_same_day"),
    [
        (datetime(2026, 11, 20, 0, 0, tzinfo=UTC), True),
        (datetime(2026, 11, 20, 23, 59, 59, 999_999, tzinfo=UTC), True),
        (datetime(2026, 11, 19, 23, 59, 59, 999_999, tzinfo=UTC), False),
        (datetime(2026, 11, 21, 0, 0, tzinfo=UTC), False),
        (datetime.fromisoformat("2026-11-21T06:59:00+07:00"), True),
        (datetime.fromisoformat("2026-11-21T07:00:00+07:00"), False),
    ],
    ids=["first", "last", "day before", "day after", "tomorrow in Hanoi", "next day in Hanoi"],
)
def test_a_day_is_a_utc_day(ledger: CostLedger, at: datetime, *, is_the_same_day: bool) -> None:
    reserve(ledger, cap=1_000)
    refused = ledger.reserve(replace(CALL, occurred_at=at), day_cap_microdollars=1_000) is None
    assert refused == is_the_same_day


def test_fifty_threads_never_pass_the_cap_and_as_many_as_fit_do(
    database: Database, ledger: CostLedger
) -> None:
    start = threading.Barrier(50)

    def call(number: int) -> bool:
        start.wait(timeout=20)
        own = replace(CALL, request_id=str(number), ceiling_microdollars=1_000)
        return ledger.reserve(own, day_cap_microdollars=17_999) is not None

    with ThreadPoolExecutor(50) as pool:
        passed = sum(pool.map(call, range(50)))
    assert passed == 17
    assert sum(row["cost_microdollars"] for row in rows(database)) == 17_000


RESERVE_TWENTY = """
import sys
from datetime import UTC, datetime
from sqlalchemy import make_url
from viral_platform.providers.budget import Reservation
from viral_platform.storage.costs import CostLedger
from viral_platform.storage.database import Database

ledger = CostLedger(Database(make_url(sys.argv[1])))
call = Reservation("r", "deepseek", "m", "reason", 1_000, datetime(2026, 11, 20, tzinfo=UTC))
print("ready", flush=True)
sys.stdin.readline()
answers = [ledger.reserve(call, day_cap_microdollars=25_500) for _ in range(20)]
print(sum(answer is not None for answer in answers))
"""


def test_two_processes_keep_one_cap(database: Database) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RESERVE_TWENTY, database.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        counts = [int(process.communicate(timeout=30)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert sum(counts) == 25
    assert all(counts)
    assert len(rows(database)) == 25


def test_a_ledger_that_is_locked_refuses_after_a_while_instead_of_hanging(
    database: Database, ledger: CostLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "_LOCK_TIMEOUT", "50ms")
    with database.engine.begin() as connection:
        connection.execute(
            text("select pg_advisory_xact_lock(:key)"), {"key": costs._ADVISORY_LOCK}
        )
        with pytest.raises(DatabaseUnavailableError, match="cannot be recorded"):
            ledger.reserve(CALL, day_cap_microdollars=10_000)
    assert reserve(ledger)


def test_a_database_that_is_gone_or_not_migrated_is_said_to_be_unavailable(
    database: Database,
) -> None:
    nowhere = CostLedger(Database(make_url("postgresql://nobody@127.0.0.1:1/none")))
    with pytest.raises(DatabaseUnavailableError, match="does not answer"):
        nowhere.reserve(CALL, day_cap_microdollars=1)
    schema.downgrade(database, "base")
    with pytest.raises(DatabaseUnavailableError, match="viral migrate"):
        CostLedger(database).settle(1, Settlement(0, "free"))


def test_a_downgrade_keeps_the_events_and_an_upgrade_takes_them_for_settled(
    database: Database, ledger: CostLedger
) -> None:
    ledger.settle(reserve(ledger), Settlement(210, "v", TOKENS))
    (before,) = rows(database)
    schema.downgrade(database, "0002")
    schema.migrate(database)
    assert rows(database) == [before]


@pytest.fixture
def spent(database: Database, ledger: CostLedger) -> date:
    """Three days of calls, of which the newest is returned."""
    calls = [
        (replace(CALL, occurred_at=NOON), 27),
        (replace(CALL, occurred_at=NOON), 1),
        (replace(CALL, occurred_at=NOON, provider="gemini", model="gemini-2.5-flash"), 888),
        (replace(CALL, occurred_at=NOON.replace(hour=0)), None),
        (replace(CALL, occurred_at=NOON - timedelta(days=1, hours=12, seconds=1)), 5),
        (replace(CALL, occurred_at=NOON - timedelta(days=6)), 7),
    ]
    for call, cost in calls:
        event_id = reserve(ledger, call)
        if cost is not None:
            ledger.settle(event_id, Settlement(cost, "v", TOKENS))
    return NOON.date()


def test_totals_add_up_every_microdollar_by_day_provider_and_model(
    database: Database, spent: date
) -> None:
    assert costs.daily_totals(database, 3, until=spent) == [
        DailyTotal(spent, "deepseek", "deepseek-flash", 3, 1, 1_028),
        DailyTotal(spent, "gemini", "gemini-2.5-flash", 1, 0, 888),
        DailyTotal(spent - timedelta(days=2), "deepseek", "deepseek-flash", 1, 0, 5),
    ]


def test_the_days_that_are_asked_for_end_with_the_day_that_is_named(
    database: Database, spent: date
) -> None:
    def days(count: int) -> set[date]:
        return {total.day for total in costs.daily_totals(database, count, until=spent)}

    assert days(1) == {spent}
    assert days(6) == {spent, spent - timedelta(days=2)}
    assert days(7) == {spent, spent - timedelta(days=2), spent - timedelta(days=6)}


def test_a_mart_that_was_never_built_is_named_with_its_remedy(database: Database) -> None:
    with pytest.raises(NotFoundError, match="viral run aggregate_costs"):
        costs.daily_costs(database, 1)
