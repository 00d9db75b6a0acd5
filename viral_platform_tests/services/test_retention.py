from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from viral_platform.services.retention import Pruned, prune
from viral_platform.settings import Settings
from viral_platform.storage import retention
from viral_platform.storage.database import Database

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SETTINGS = Settings(_env_file=None)


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def run(database: Database, statement: str, *rows: list[object]) -> None:
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.executemany(statement, rows)


def count(database: Database, table: str) -> int:
    with database.connect() as connection:
        row = connection.execute(f"select count(*) from app.{table}").fetchone()
    assert row is not None
    return int(row[0])


def answer(database: Database, age_days: float, *, with_outcome: bool = False) -> UUID:
    key = uuid4()
    run(
        database,
        """
        insert into app.analysis_results (
            id, created_at, input_mode, content_text, confidence, is_calibrated, horizon,
            engine_version, is_degraded, is_simulated, latency_ms, cost_cents, request, answer
        )
        values (%s, %s, 'text', 'x', 0, false, 'settled', '3', false, false, 1, 0, '{}', '{}')
        """,
        [key, days_ago(age_days)],
    )
    if with_outcome:
        outcome(database, key)
    return key


def outcome(database: Database, key: UUID) -> None:
    run(
        database,
        """
        insert into app.outcomes (
            analysis_id, views, likes, comments, shares, age_hours, engagement, actual_score,
            actual_tier, model_version, is_simulated, measured_at
        )
        values (%s, 9, 1, 0, 0, 200, 0.1, 50, 3, 'v', false, %s)
        """,
        [key, NOW],
    )


def batch(database: Database, batch_id: str, finished: float | None, requested: float) -> None:
    run(
        database,
        """
        insert into app.prediction_batches (batch_id, requested_at, total, state, finished_at)
        values (%s, %s, 1, %s, %s)
        """,
        [
            batch_id,
            days_ago(requested),
            "running" if finished is None else "done",
            None if finished is None else days_ago(finished),
        ],
    )
    run(
        database,
        """
        insert into app.prediction_requests (batch_id, position, request, requested_at)
        values (%s, 1, '{}', %s)
        """,
        [batch_id, days_ago(requested)],
    )


def cost_event(database: Database, *ages: float) -> None:
    run(
        database,
        """
        insert into app.cost_events (
            occurred_at, provider, model, operation, tokens, cost_microdollars, price_version
        )
        values (%s, 'gemini', 'm', 'o', '{}', 7, 'v')
        """,
        *[[days_ago(age)] for age in ages],
    )


def delivery(database: Database, name: str, processed: float | None, source: str = "apify") -> None:
    run(
        database,
        """
        insert into app.webhook_inbox (
            source, delivery_id, event_type, body, received_at, processed_at
        )
        values (%s, %s, 'e', '{}', %s, %s)
        """,
        [source, name, days_ago(500), None if processed is None else days_ago(processed)],
    )


def rejected(database: Database, *ages: float) -> None:
    run(
        database,
        """
        insert into app.quarantined_items (
            source, file_sha256, file_name, position, field, reason, message, item, crawled_at,
            quarantined_at
        )
        values ('s', 'f', 'f', %s, 'x', 'r', 'm', '{}', %s, %s)
        """,
        *[[number, NOW, days_ago(age)] for number, age in enumerate(ages, start=1)],
    )


def scrape(database: Database, *ages: float) -> None:
    run(
        database,
        """
        insert into app.scrape_starts (purpose, key, input, state, requested_at)
        values ('trending', %s, '{}', 'started', %s)
        """,
        *[[str(number), days_ago(age)] for number, age in enumerate(ages)],
    )


def cut(database: Database, *, dry_run: bool = False, batch_rows: int = 5_000) -> dict[str, Pruned]:
    done = prune(SETTINGS, database, dry_run=dry_run, now=lambda: NOW, batch_rows=batch_rows)
    return {one.table: one for one in done}


@pytest.fixture
def old(database: Database) -> Database:
    """In each table one row beyond its time and one within."""
    answer(database, 401)
    answer(database, 399)
    batch(database, "old", 401, 402)
    batch(database, "new", 399, 402)
    cost_event(database, 401, 399)
    scrape(database, 401, 399)
    delivery(database, "old", 31)
    delivery(database, "new", 29)
    rejected(database, 91, 89)
    return database


def test_each_table_loses_what_is_beyond_its_days_and_nothing_else(old: Database) -> None:
    cut_tables = cut(old)
    assert {name: one.rows for name, one in cut_tables.items()} == {
        "analysis_results": 1,
        "prediction_requests": 1,
        "prediction_batches": 1,
        "cost_events": 1,
        "scrape_starts": 1,
        "webhook_inbox": 1,
        "quarantined_items": 1,
    }
    assert all(count(old, table) == 1 for table in cut_tables)
    assert {one.rows for one in cut(old).values()} == {0}


def test_a_dry_run_tells_the_same_and_deletes_nothing(old: Database) -> None:
    told = cut(old, dry_run=True)
    assert all(count(old, table) == 2 for table in told)
    assert {name: one.rows for name, one in told.items()} == {
        name: one.rows for name, one in cut(old).items()
    }


def test_snapshots_videos_and_creators_are_never_cut(database: Database) -> None:
    tables = {one.table for one in prune(SETTINGS, database)}
    kept = {"scraped_videos", "video_snapshots", "creator_profiles", "outcomes", "api_keys"}
    assert tables.isdisjoint(kept | {"model_versions", "platt_parameters", "import_files"})


def test_an_answer_with_an_outcome_stays_however_old(database: Database) -> None:
    kept = answer(database, 4_000, with_outcome=True)
    answer(database, 4_000)
    assert cut(database)["analysis_results"].rows == 1
    with database.connect() as connection:
        assert connection.execute("select id from app.analysis_results").fetchall() == [(kept,)]
    assert count(database, "outcomes") == 1


def test_an_outcome_that_is_stored_while_its_answer_is_cut_keeps_it(database: Database) -> None:
    """The cascade of the foreign key would take the outcome with the answer."""
    key = answer(database, 500)
    answer(database, 500)
    with database.connect() as connection:
        # As the insert of an outcome does, in a transaction that goes on.
        connection.execute("select from app.analysis_results where id = %s for key share", [key])
        assert cut(database)["analysis_results"].rows == 1
        connection.execute(
            """
            insert into app.outcomes (
                analysis_id, views, likes, comments, shares, age_hours, engagement, actual_score,
                actual_tier, model_version, is_simulated, measured_at
            )
            values (%s, 9, 1, 0, 0, 200, 0.1, 50, 3, 'v', false, now())
            """,
            [key],
        )
    assert cut(database)["analysis_results"].rows == 0
    assert count(database, "outcomes") == 1


def test_a_batch_that_has_not_ended_keeps_its_requests(database: Database) -> None:
    batch(database, "endless", None, 900)
    cut(database)
    assert (count(database, "prediction_batches"), count(database, "prediction_requests")) == (1, 1)


def test_deliveries_that_wait_and_the_newest_of_a_source_stay(database: Database) -> None:
    delivery(database, "waits", None)
    delivery(database, "whop only", 400, source="whop")
    delivery(database, "old", 400)
    delivery(database, "newest", 399)
    assert cut(database)["webhook_inbox"].rows == 1
    with database.connect() as connection:
        left = connection.execute(
            "select delivery_id from app.webhook_inbox order by id"
        ).fetchall()
    assert [name for (name,) in left] == ["waits", "whop only", "newest"]


def test_each_batch_is_a_transaction_so_what_is_cut_short_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost_event(database, *[500.0] * 25)
    assert cut(database, batch_rows=10)["cost_events"] == Pruned(
        "cost_events", 400, days_ago(400), 25, 3
    )
    cost_event(database, *[500.0] * 25)
    real, calls = retention.delete_batch, 0

    def killed(*given: object) -> int:
        nonlocal calls
        calls += given[1] is retention.COST_EVENTS
        if calls == 3:
            raise KeyboardInterrupt
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(retention, "delete_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        cut(database, batch_rows=10)
    assert count(database, "cost_events") == 5
    monkeypatch.undo()
    assert cut(database, batch_rows=10)["cost_events"].rows == 5


def test_two_that_cut_at_once_delete_each_row_once(database: Database) -> None:
    cost_event(database, *[500.0] * 400)
    rows: list[int] = []

    def work() -> None:
        rows.append(cut(database, batch_rows=20)["cost_events"].rows)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert sum(rows) == 400
    assert count(database, "cost_events") == 0


def viral(database: Database, home: Path, *arguments: str) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("viral"), "prune", *arguments],
        env={"PATH": "", "VIRAL_DATABASE_URL": database.url, "VIRAL_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_the_command_tells_what_would_go_and_then_deletes_it(old: Database, tmp_path: Path) -> None:
    told = json.loads(viral(old, tmp_path, "--dry-run", "--json"))
    # The command reads the clock, by which more rows may be old.
    assert told["dry_run"] is True
    assert told["rows"] >= 6
    assert count(old, "quarantined_items") == 2
    done = json.loads(viral(old, tmp_path, "--json"))
    assert done["rows"] == told["rows"]
    assert "webhook_inbox" in viral(old, tmp_path)
