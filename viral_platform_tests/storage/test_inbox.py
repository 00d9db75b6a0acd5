"""Deliveries as rows: stored once, due in order, leased to one attempt at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import URL

from viral_platform.engine.errors import DatabaseUnavailableError, GateRefusedError, NotFoundError
from viral_platform.storage import inbox
from viral_platform.storage.database import Database

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
LEASE = 300.0


def _insert(database: Database, name: str, *, source: str = "apify") -> bool:
    return inbox.insert(
        database,
        source=source,
        delivery_id=name,
        event_type="ACTOR.RUN.SUCCEEDED",
        body={"resource": {"id": name}, "odd": "\x00 \ud800"},
        processed_at=None,
    )


def _due(database: Database, now: datetime = NOW) -> list[str]:
    return [one.delivery_id for one in inbox.due(database, 10, now, source="apify")]


def test_a_delivery_is_stored_once_a_source_with_its_body(database: Database) -> None:
    assert _insert(database, "one")
    assert not _insert(database, "one")
    assert _insert(database, "one", source="whop")
    (delivery,) = inbox.due(database, 10, NOW, source="apify")
    assert delivery.body == {"resource": {"id": "one"}, "odd": "\x00 \ud800"}
    assert (delivery.attempt, delivery.processed_at) == (0, None)


def test_of_deliveries_that_come_at_once_one_is_new(database: Database) -> None:
    with ThreadPoolExecutor(8) as senders:
        assert sum(senders.map(lambda _: _insert(database, "one"), range(8))) == 1


def test_a_delivery_that_cannot_be_stored_is_said_to_be_so(database: Database) -> None:
    away = Database(URL.create("postgresql", "nobody", host="127.0.0.1", port=1, database="none"))
    with pytest.raises(DatabaseUnavailableError):
        _insert(away, "one")
    with database.connect() as connection:
        connection.execute("alter table app.webhook_inbox rename to lost")
    with pytest.raises(DatabaseUnavailableError, match="viral migrate"):
        _insert(database, "one")


def test_due_is_what_is_neither_processed_nor_leased_the_oldest_first(database: Database) -> None:
    for name in ("a", "b", "c", "d"):
        _insert(database, name)
    ids = {one.delivery_id: one.id for one in inbox.due(database, 10, NOW, source="apify")}
    assert inbox.take(database, ids["b"], LEASE, now=NOW) == 1
    with database.connect() as connection:
        inbox.finish(connection, ids["c"], run_status="X", problem=None, report={}, now=NOW)
    assert _due(database) == ["a", "d"]
    assert [one.delivery_id for one in inbox.due(database, 1, NOW, source="apify")] == ["a"]
    assert _due(database, NOW + timedelta(seconds=LEASE)) == ["a", "b", "d"]


def test_a_lease_that_expired_is_given_again_with_the_next_attempt(database: Database) -> None:
    _insert(database, "one")
    (delivery,) = inbox.due(database, 1, NOW, source="apify")
    assert inbox.take(database, delivery.id, LEASE, now=NOW) == 1
    assert inbox.take(database, delivery.id, LEASE, now=NOW) is None
    later = NOW + timedelta(seconds=LEASE)
    assert inbox.take(database, delivery.id, LEASE, now=later) == 2
    assert inbox.take(database, 999, LEASE, now=later) is None


def test_of_several_that_take_a_delivery_at_once_one_gets_it(database: Database) -> None:
    _insert(database, "one")
    (delivery,) = inbox.due(database, 1, NOW, source="apify")
    with ThreadPoolExecutor(8) as takers:
        got = list(
            takers.map(lambda _: inbox.take(database, delivery.id, LEASE, now=NOW), range(8))
        )
    assert sorted(got, key=str) == [1, *[None] * 7]


def test_a_failed_attempt_says_why_and_is_not_due_at_once(database: Database) -> None:
    _insert(database, "one")
    (delivery,) = inbox.due(database, 1, NOW, source="apify")
    inbox.postpone(
        database, delivery.id, problem="apify: timeout: x", until=NOW + timedelta(minutes=1)
    )
    assert inbox.get(database, delivery.id).problem == "apify: timeout: x"
    assert _due(database) == []
    assert _due(database, NOW + timedelta(minutes=1)) == ["one"]


def test_a_delivery_that_is_not_there_is_named(database: Database) -> None:
    with pytest.raises(NotFoundError, match="no delivery 7"):
        inbox.get(database, 7)


def test_a_dataset_is_read_by_one_at_a_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "_LOCK_TIMEOUT", "50ms")
    with inbox.alone(database, "dataset"):
        with inbox.alone(database, "another"):
            pass
        with (
            pytest.raises(GateRefusedError, match="another process"),
            inbox.alone(database, "dataset"),
        ):
            pass
    with inbox.alone(database, "dataset"):
        pass


def test_a_run_is_paid_for_once_whatever_is_told_of_its_cost(database: Database) -> None:
    for told in (250_000, 250_000, 300_000, 280_000):
        with database.connect() as connection:
            inbox.book_run(
                connection,
                "run1",
                actor="actor1",
                microdollars=told,
                started_at=NOW,
                price_version="apify-run",
            )
    with database.connect() as connection:
        booked = connection.execute(
            "select provider, model, operation, request_id, cost_microdollars, is_estimate "
            "from app.cost_events order by id"
        ).fetchall()
    assert booked == [
        ("apify", "actor1", "scrape", "run1", 250_000, False),
        ("apify", "actor1", "scrape", "run1", 50_000, False),
    ]
