"""Webhooks of Whop over HTTP, and what they give to a key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from viral_platform.sandbox.stand_ins.apify_webhooks import Dispatch
from viral_platform.sandbox.stand_ins.whop import WhopStandIn, signed
from viral_platform.services.keys import create_key
from viral_platform.settings import Settings
from viral_platform.storage.database import Database

from .conftest import Running, Serve

SECRET = "ws_gate-ß-17"
WHOP = WhopStandIn()


@pytest.fixture
def known(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "whop_webhook_secret": SecretStr(SECRET),
            "whop_product_id_starter": "prod_s",
            "whop_product_id_pro": "prod_p",
        }
    )


@pytest.fixture
def guarded(serve: Serve, known: Settings, database: Database) -> Iterator[Running]:
    """An API on a database of its own that knows the secret."""
    with serve(known, database) as running:
        yield running


def message(
    running: Running, status: str = "active", *, at: datetime | None = None, **changes: Any
) -> Dispatch:
    """An event of a membership of account `acme`."""
    options = {"product": "prod_s", "account": "acme", "status": status, **changes}
    document = WHOP.member("mem_1", **options)
    event = "membership.activated" if status == "active" else "membership.deactivated"
    url = f"{running.base_url}/v1/webhooks/whop"
    return WHOP.message(event, document, secret=SECRET, to=url, at=at)


def send(one: Dispatch) -> httpx.Response:
    return httpx.post(one.url, content=one.body, headers=one.headers)


def rows(database: Database) -> tuple[int, int]:
    """Return how many deliveries and memberships are stored."""
    with database.connect() as connection:
        counts = [
            connection.execute(f"select count(*) from app.{table}").fetchone()
            for table in ("webhook_inbox", "memberships")
        ]
    return counts[0][0], counts[1][0]


def state(running: Running, *, account: str | None = "acme", tier: str = "free") -> dict[str, Any]:
    key = create_key(running.database, name="x", scopes=["read"], tier=tier, account=account).key
    answer = running.with_token(key).get("/v1/subscription")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_signed_event_gives_the_account_s_keys_their_tier(guarded: Running) -> None:
    end = datetime(2099, 1, 1, tzinfo=UTC)
    answer = send(message(guarded, period_end=end))
    assert (answer.status_code, answer.json()) == (202, {"accepted": True, "new": True})
    assert state(guarded) == {
        "account": "acme",
        "tier": "starter",
        "status": "active",
        "whop_connected": True,
        "cancel_at_period_end": False,
        "current_period_end": "2099-01-01T00:00:00Z",
    }
    assert state(guarded, account="another")["tier"] == "free"


def test_the_same_message_again_is_acknowledged_and_changes_nothing(guarded: Running) -> None:
    one = message(guarded)
    assert [send(one).json()["new"] for _ in range(3)] == [True, False, False]
    assert rows(guarded.database) == (1, 1)


def test_an_end_that_comes_before_the_beginning_stays(guarded: Running) -> None:
    now = datetime.now(UTC)
    begun = message(guarded, "active", at=now)
    for one in (message(guarded, "canceled"), begun):
        assert send(one).status_code == 202
    found = state(guarded)
    assert (found["tier"], found["status"], found["whop_connected"]) == ("free", "canceled", True)


@pytest.mark.parametrize("flaw", ["secret", "body", "early", "late", "unsigned"])
def test_a_message_that_is_not_signed_just_now_is_refused_and_stores_nothing(
    guarded: Running, flaw: str
) -> None:
    one = message(guarded)
    now, minutes = datetime.now(UTC), timedelta(minutes=6)
    again = {"message_id": "msg_1", "to": one.url, "secret": SECRET, "at": now}
    match flaw:
        case "secret":
            one = signed(one.body, **{**again, "secret": "ws_other"})
        case "body":
            one = replace(one, body=one.body.replace(b"active", b"trialing"))
        case "early":
            one = signed(one.body, **{**again, "at": now - minutes})
        case "late":
            one = signed(one.body, **{**again, "at": now + minutes})
        case "unsigned":
            one = replace(one, headers={"content-type": "application/json"})
    answer = send(one)
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_webhook_signature")
    assert rows(guarded.database) == (0, 0)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b"[]", 422, "not_a_delivery"),
        (b'{"type": "membership.updated", "data": {"id": "m"}}', 422, "not_a_delivery"),
        (b" " * ((1 << 20) + 1), 413, "body_too_large"),
    ],
)
def test_a_signed_body_that_is_no_event_is_refused_and_stores_nothing(
    guarded: Running, content: bytes, status: int, code: str
) -> None:
    url = f"{guarded.base_url}/v1/webhooks/whop"
    one = signed(content, message_id="msg_1", secret=SECRET, to=url, at=datetime.now(UTC))
    answer = send(one)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert rows(guarded.database) == (0, 0)


def test_without_a_secret_of_ours_nothing_is_taken(own_api: Running) -> None:
    answer = send(message(own_api))
    assert (answer.status_code, answer.json()["code"]) == (503, "webhook_secret_unset")


def test_a_secret_that_is_none_lets_nobody_in(
    serve: Serve, known: Settings, database: Database
) -> None:
    """An empty secret was a key once, and anybody knew it."""
    empty = known.model_copy(update={"whop_webhook_secret": SecretStr("whsec_")})
    with serve(empty, database) as running:
        answer = send(message(running))
    assert (answer.status_code, answer.json()["code"]) == (503, "misconfigured")


def test_without_a_database_the_sender_is_told_to_come_again(serve: Serve, known: Settings) -> None:
    nowhere = Database(make_url("postgresql://viral@127.0.0.1:1/viral"))
    with serve(known, nowhere) as running:
        answer = send(message(running))
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert answer.headers["Retry-After"]


def test_a_delivery_is_stored_with_its_effect_or_not_at_all(guarded: Running) -> None:
    """A message that was marked as seen before its effect broke was lost for good."""
    one = message(guarded)
    with guarded.database.connect() as connection:
        connection.execute("alter table app.memberships rename to away")
    assert send(one).status_code == 503
    with guarded.database.connect() as connection:
        connection.execute("alter table app.away rename to memberships")
    assert rows(guarded.database) == (0, 0)
    assert send(one).json() == {"accepted": True, "new": True}
    assert rows(guarded.database) == (1, 1)


def test_nothing_of_a_person_is_stored(guarded: Running) -> None:
    send(message(guarded))
    with guarded.database.connect() as connection:
        found = connection.execute(
            "select to_jsonb(inbox), to_jsonb(held) "
            "from app.webhook_inbox as inbox, app.memberships as held"
        ).fetchall()
    assert len(found) == 1
    assert not [word for word in ("example.com", "A1B2C3", "Person") if word in json.dumps(found)]


@pytest.mark.parametrize("tier", ["free", "pro"])
def test_a_key_without_an_account_has_the_tier_that_it_was_made_with(
    guarded: Running, tier: str
) -> None:
    found = state(guarded, account=None, tier=tier)
    assert (found["account"], found["tier"], found["status"]) == (None, tier, None)
    assert found["whop_connected"] is False


def test_the_memberships_of_an_account_count_and_not_the_tier_of_its_key(
    guarded: Running,
) -> None:
    assert state(guarded, tier="pro")["tier"] == "free"


def test_a_subscription_needs_a_key_that_may_read(guarded: Running) -> None:
    assert guarded.with_token(None).get("/v1/subscription").status_code == 401
    assert guarded.client("predict").get("/v1/subscription").status_code == 403
