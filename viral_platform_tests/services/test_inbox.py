"""What Apify sends, as a delivery; and what is recorded without a run."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.errors import RefusedRequestError
from viral_platform.services import inbox
from viral_platform.services.inbox import parse_apify_delivery
from viral_platform.storage.database import Database

RUN = "HG7ML7M8z78YcAPEB"


def _body(**changes: object) -> bytes:
    body: dict[str, Any] = {
        "userId": "7sT5jcggjjA9fNcxF",
        "eventType": "ACTOR.RUN.SUCCEEDED",
        "eventData": {"actorId": "GdWCkxBtKWOsKjdch", "actorRunId": RUN},
        "resource": {"id": RUN, "status": "SUCCEEDED", "defaultDatasetId": "wmKPijuyDnPZAPRMk"},
        **changes,
    }
    return json.dumps({key: value for key, value in body.items() if value is not None}).encode()


def test_a_delivery_has_the_dispatch_id_of_its_header_in_any_case() -> None:
    read = parse_apify_delivery({"X-Apify-Webhook-Dispatch-Id": "Zg5qk8P2mVd0Rw1aT"}, _body())
    assert (read.delivery_id, read.event_type, read.run_id) == (
        "Zg5qk8P2mVd0Rw1aT",
        "ACTOR.RUN.SUCCEEDED",
        RUN,
    )


def test_without_the_header_event_and_run_make_the_id() -> None:
    first, again = parse_apify_delivery({}, _body()), parse_apify_delivery({}, _body(userId="x"))
    assert first.delivery_id == again.delivery_id == f"ACTOR.RUN.SUCCEEDED/{RUN}"
    failed = parse_apify_delivery({}, _body(eventType="ACTOR.RUN.FAILED"))
    assert failed.delivery_id != first.delivery_id


def test_the_run_is_read_from_either_place_and_the_secret_is_left_out() -> None:
    read = parse_apify_delivery({}, _body(eventData=None, secret="hidden", scrape_hashtags=["a"]))
    assert read.run_id == RUN
    assert "secret" not in read.body
    assert read.body["scrape_hashtags"] == ["a"]


def test_a_test_needs_no_run() -> None:
    read = parse_apify_delivery({}, b'{"eventType": "TEST"}')
    assert (read.event_type, read.run_id) == ("TEST", None)
    assert (
        read.delivery_id != parse_apify_delivery({}, b'{"eventType": "TEST", "a": 1}').delivery_id
    )


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b""),
        ({}, b"{"),
        ({}, b"[" * 100_000),
        ({}, b"[1]"),
        ({}, b"\xff\xfe"),
        ({}, b"{}"),
        ({}, _body(eventType=7)),
        ({}, _body(eventType="DROP TABLE")),
        ({}, _body(eventType="A" * 1_000)),
        ({}, _body(eventData=None, resource=None)),
        ({}, _body(eventData={"actorRunId": "../users"}, resource={"id": 7})),
        ({}, _body(eventData=[], resource="x")),
        ({"X-APIFY-WEBHOOK-DISPATCH-ID": ""}, _body()),
        ({"X-APIFY-WEBHOOK-DISPATCH-ID": "a/b\n"}, _body()),
    ],
)
def test_what_is_no_delivery_is_refused(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(RefusedRequestError) as caught:
        parse_apify_delivery(headers, body)
    assert caught.value.code == "not_a_delivery"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["id", "actorRunId", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(
    st.dictionaries(st.sampled_from(["eventType", "eventData", "resource", "secret"]), JSON),
    st.sampled_from(["ACTOR.RUN.SUCCEEDED", "ACTOR.RUN.CREATED", "TEST", ""]),
)
def test_any_json_is_a_delivery_with_a_usable_id_or_refused(
    body: dict[str, object], event: str
) -> None:
    if event:
        body["eventType"] = event
    try:
        read = parse_apify_delivery({}, json.dumps(body).encode())
    except RefusedRequestError:
        return
    assert read.delivery_id.isascii()
    assert read.delivery_id.startswith(read.event_type)
    assert read.run_id is None or read.run_id.isalnum()
    assert read.run_id or read.event_type not in inbox.INGESTED_EVENTS


def _receive(database: Database, event: str, name: str = "one") -> bool:
    return inbox.receive(
        database, source=inbox.APIFY, delivery_id=name, event_type=event, body={"a": 1}
    )


@pytest.mark.parametrize(
    ("event", "waits"),
    [
        ("ACTOR.RUN.SUCCEEDED", True),
        ("ACTOR.RUN.FAILED", True),
        ("ACTOR.RUN.ABORTED", True),
        ("ACTOR.RUN.TIMED_OUT", True),
        ("ACTOR.RUN.CREATED", False),
        ("ACTOR.RUN.RESURRECTED", False),
        ("ACTOR.BUILD.SUCCEEDED", False),
        ("TEST", False),
    ],
)
def test_every_event_is_recorded_and_the_end_of_a_run_waits(
    database: Database, event: str, waits: bool
) -> None:
    assert _receive(database, event)
    assert not _receive(database, event)
    assert bool(inbox.due(database, 10, datetime.now(UTC))) is waits
    with database.connect() as connection:
        (row,) = connection.execute(
            "select event_type, processed_at is null from app.webhook_inbox"
        ).fetchall()
    assert row == (event, waits)


def test_a_delivery_is_leased_for_longer_than_a_page_takes(database: Database) -> None:
    _receive(database, "ACTOR.RUN.SUCCEEDED")
    now = datetime.now(UTC)
    (delivery,) = inbox.due(database, 1, now)
    assert inbox.take(database, delivery.id, now=now) == 1
    assert inbox.due(database, 1, now) == []
