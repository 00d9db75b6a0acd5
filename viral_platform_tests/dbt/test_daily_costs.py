"""The mart `daily_costs` over a few designed events, built and tested by dbt itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from psycopg.rows import dict_row

from viral_platform.providers.budget import Reservation, Settlement
from viral_platform.settings import PROJECT_ROOT
from viral_platform.storage import costs
from viral_platform.storage.costs import CostLedger, DailyTotal
from viral_platform.storage.database import Database

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CALL = {"provider": "deepseek", "model": "deepseek-flash"}


def add(database: Database, at: datetime, cost: int | None, **options: Any) -> None:
    ledger = CostLedger(database)
    call = Reservation(
        **{"request_id": "r", "operation": "reason", **CALL, **options},
        ceiling_microdollars=1_500,
        occurred_at=at,
    )
    event_id = ledger.reserve(call, day_cap_microdollars=10**15)
    assert event_id is not None
    if cost is not None:
        tokens = {"input_tokens": 900, "cached_input_tokens": 300, "output_tokens": 100}
        ledger.settle(event_id, Settlement(cost, "v", tokens if options == {} else {}))


def dbt(database: Database, target: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    project = str(PROJECT_ROOT / "dbt_project")
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")),
            *("--warn-error", "--no-use-colors", *arguments, "--select", "daily_costs"),
            *("--project-dir", project, "--profiles-dir", project),
            *("--target-path", str(target), "--log-path", str(target)),
        ],
        env={**os.environ, **database.process_environment()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def built(
    clone_database: Callable[..., AbstractContextManager[Database]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Database, Path]]:
    target = tmp_path_factory.mktemp("dbt")
    with clone_database() as database:
        for cost in (1, 1, 1, None):
            add(database, NOON, cost)
        add(database, NOON, 70_000_000_000, provider="apify", model="clockworks~tiktok-scraper")
        # A minute before midnight in UTC, the next day in Hanoi.
        add(database, datetime.fromisoformat("2026-11-20T06:59:00+07:00"), 5)
        result = dbt(database, target, "build")
        assert result.returncode == 0, result.stdout
        yield database, target


def mart(database: Database) -> dict[tuple[date, str], dict[str, Any]]:
    with database.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute("select * from marts.daily_costs")
        return {(row["day"], row["provider"]): row for row in cursor.fetchall()}


def test_no_microdollar_is_rounded_away_and_days_are_utc_days(
    built: tuple[Database, Path],
) -> None:
    rows = mart(built[0])
    today, yesterday = NOON.date(), NOON.date() - timedelta(days=1)
    assert set(rows) == {(today, "deepseek"), (today, "apify"), (yesterday, "deepseek")}
    deepseek = rows[(today, "deepseek")]
    assert (deepseek["calls"], deepseek["estimates"]) == (4, 1)
    assert (deepseek["total_microdollars"], deepseek["total_cents"]) == (1_503, Decimal("0.1503"))
    assert rows[(today, "apify")]["total_cents"] == Decimal("7000000.0000")
    assert rows[(yesterday, "deepseek")]["total_cents"] == Decimal("0.0005")


def test_tokens_are_summed_by_kind_and_calls_without_any_count_as_none(
    built: tuple[Database, Path],
) -> None:
    rows = mart(built[0])
    deepseek = rows[(NOON.date(), "deepseek")]
    assert [deepseek[f"{kind}_tokens"] for kind in ("input", "cached_input", "output")] == [
        2_700,
        900,
        300,
    ]
    assert deepseek["reasoning_tokens"] == deepseek["video_input_tokens"] == 0
    assert rows[(NOON.date(), "apify")]["input_tokens"] == 0


def test_the_mart_reads_as_the_events_do(built: tuple[Database, Path]) -> None:
    database, _ = built
    events = costs.daily_totals(database, 2, until=NOON.date())
    assert costs.daily_costs(database, 2) == events
    assert costs.daily_costs(database, 1) == [total for total in events if total.day == NOON.date()]
    assert events[-1] == DailyTotal(
        NOON.date() - timedelta(days=1), "deepseek", "deepseek-flash", 1, 0, 5
    )


def test_a_broken_mart_fails_the_test_of_each_rule(
    built: tuple[Database, Path],
    clone_database: Callable[..., AbstractContextManager[Database]],
) -> None:
    database, target = built
    original = database.process_environment()["VIRAL_PG_DATABASE"]
    database.close()
    with clone_database(original) as broken:
        with broken.connect() as connection:
            connection.execute(
                "update marts.daily_costs set total_microdollars = -1, total_cents = -0.0001 "
                "where provider = 'apify'"
            )
            connection.execute(
                "update marts.daily_costs "
                "set day = '2026-11-20', total_cents = round(total_cents, 2), estimates = 9 "
                "where provider = 'deepseek'"
            )
        result = dbt(broken, target, "test")
    assert result.returncode == 1
    failed = set(re.findall(r"FAIL \d+ (\w+) \.", result.stdout))
    assert failed == {
        "cents_are_exact",
        "cost_not_negative",
        "estimates_within_calls",
        "one_row_a_day_and_model",
    }
