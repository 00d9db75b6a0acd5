from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, select

from viral_platform.settings import Settings
from viral_platform.storage.database import Database
from viral_platform.storage.tables import webhook_inbox

from .conftest import Running, Serve

SECRET = "gate-ß-17"
RUN = {
    "userId": "u1",
    "createdAt": "2026-03-01T00:00:00.000Z",
    "eventType": "ACTOR.RUN.SUCCEEDED",
    "eventData": {"actorId": "a1", "actorRunId": "HG7ML7M8z78YcAPEB"},
    "resource": {"id": "HG7ML7M8z78YcAPEB", "status": "SUCCEEDED"},
}
DISPATCH = "X-Apify-Webhook-Dispatch-Id"


@pytest.fixture
def guarded(serve: Serve, settings: Settings, database: Database) -> Iterator[Running]:
    """An API on a database of its own that knows the secret."""
    known = settings.model_copy(update={"apify_webhook_secret": SecretStr(SECRET)})
    with serve(known, database) as running:
        yield running


def send(
    running: Running,
    document: Any = RUN,
    *,
    secret: str | None = SECRET,
    dispatch: str | None = "d-1",
    content: bytes | None = None,
) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    if dispatch is not None:
        headers[DISPATCH] = dispatch
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    if secret is not None:
        raw.append((b"X-Webhook-Secret", secret.encode()))
    body = json.dumps(document).encode() if content is None else content
    return httpx.post(f"{running.base_url}/v1/webhooks/apify", content=body, headers=raw)


def stored(database: Database) -> list[Any]:
    with database.engine.connect() as connection:
        return list(connection.execute(select(webhook_inbox).order_by(webhook_inbox.c.id)))


def test_a_delivery_is_stored_once_and_acknowledged_each_time(guarded: Running) -> None:
    first, again = send(guarded), send(guarded)
    assert (first.status_code, again.status_code) == (202, 202)
    assert (first.json()["new"], again.json()["new"]) == (True, False)
    (row,) = stored(guarded.database)
    assert (row.source, row.delivery_id, row.event_type) == ("apify", "d-1", RUN["eventType"])
    assert row.body == RUN
    assert row.processed_at is None


@pytest.mark.parametrize("secret", ["wrong", "", "gate-ß-1", None])
def test_a_wrong_secret_is_refused_and_stores_nothing(guarded: Running, secret: str | None) -> None:
    answer = send(guarded, secret=secret)
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_webhook_secret")
    assert stored(guarded.database) == []


def test_the_header_counts_and_not_the_body_beside_it(guarded: Running) -> None:
    answer = send(guarded, {**RUN, "secret": SECRET}, secret="wrong")
    assert answer.status_code == 401


def test_a_secret_in_the_body_is_taken_with_a_warning_and_not_stored(guarded: Running) -> None:
    answer = send(guarded, {**RUN, "secret": SECRET}, secret=None)
    assert answer.status_code == 202
    assert answer.headers["Deprecation"] == "true"
    (row,) = stored(guarded.database)
    assert row.body == RUN


def test_without_a_secret_of_ours_nothing_is_taken(own_api: Running) -> None:
    """Unset and absent once compared equal: an open door."""
    for secret in (None, "undefined", ""):
        answer = send(own_api, secret=secret)
        assert (answer.status_code, answer.json()["code"]) == (503, "webhook_secret_unset")
    assert stored(own_api.database) == []


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b"\xff", 400, "malformed_json"),
        (b"[]", 422, "not_a_delivery"),
        (b"{}", 422, "not_a_delivery"),
        (b'{"eventType": "ACTOR.RUN.SUCCEEDED"}', 422, "not_a_delivery"),
        (b'{"eventType": "' + b"A" * (1 << 20) + b'"}', 413, "body_too_large"),
    ],
)
def test_what_is_no_delivery_is_refused_and_stores_nothing(
    guarded: Running, content: bytes, status: int, code: str
) -> None:
    answer = send(guarded, content=content)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert stored(guarded.database) == []


@pytest.mark.parametrize(
    "event", ["ACTOR.RUN.FAILED", "ACTOR.RUN.ABORTED", "ACTOR.RUN.TIMED_OUT", "ACTOR.RUN.SUCCEEDED"]
)
def test_the_end_of_a_run_waits_for_its_ingest_however_it_ended(
    guarded: Running, event: str
) -> None:
    assert send(guarded, {**RUN, "eventType": event}).status_code == 202
    assert [row.processed_at for row in stored(guarded.database)] == [None]


@pytest.mark.parametrize("event", ["ACTOR.RUN.CREATED", "ACTOR.RUN.RESURRECTED", "TEST"])
def test_other_events_are_recorded_and_done(guarded: Running, event: str) -> None:
    assert send(guarded, {**RUN, "eventType": event}).status_code == 202
    (row,) = stored(guarded.database)
    assert row.processed_at is not None


def test_without_a_database_the_sender_is_told_to_come_again(
    serve: Serve, settings: Settings
) -> None:
    known = settings.model_copy(update={"apify_webhook_secret": SecretStr(SECRET)})
    nowhere = Database(make_url("postgresql://viral@127.0.0.1:1/viral"))
    with serve(known, nowhere) as running:
        answer = send(running)
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
