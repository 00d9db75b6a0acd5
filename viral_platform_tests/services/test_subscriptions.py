from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from viral_platform.engine.errors import ConfigurationError, ProviderError, RefusedRequestError
from viral_platform.engine.subscriptions import Tier
from viral_platform.providers.calls import Waits
from viral_platform.sandbox.stand_ins import Fault, StandIn
from viral_platform.sandbox.stand_ins.whop import COMPANY
from viral_platform.services.subscriptions import (
    SyncReport,
    missing_settings,
    open_whop,
    products_of,
    receive_message,
    subscription_of,
    sync_memberships,
)
from viral_platform.settings import Settings
from viral_platform.storage.database import Database

PRODUCTS: dict[str, Tier] = {"prod_s": "starter", "prod_p": "pro"}
SECRET = "ws_secret"
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def whop(running: StandIn) -> Iterator[StandIn]:
    yield running
    running.reset()


@pytest.fixture
def known(settings: Settings, whop: StandIn) -> Settings:
    """Settings with which Whop can be read."""
    return settings.model_copy(
        update=Settings(
            whop_api_key="key",
            whop_base_url=whop.base_url,
            whop_company_id=COMPANY,
            whop_product_id_starter="prod_s",
            whop_product_id_pro="prod_p",
            _env_file=None,
        ).model_dump(include={name for name in Settings.model_fields if name.startswith("whop_")})
    )


def sync(database: Database, settings: Settings) -> SyncReport:
    reader = open_whop(settings, waits=Waits(first=0.0, factor=1.0, jitter=0.0))
    try:
        return sync_memberships(database, reader, products_of(settings))
    finally:
        reader.close()


def send(database: Database, whop: StandIn, event: str, document: Any, **options: Any) -> bool:
    message = whop.whop.message(event, document, secret=SECRET, to="http://x/", **options)
    return receive_message(
        database, message.headers, json.loads(message.body), now=datetime.now(UTC)
    )


def tier(database: Database, account: str, *, now: datetime | None = None) -> Tier:
    return subscription_of(database, account, PRODUCTS, now=now or datetime.now(UTC)).tier


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        return connection.execute(query).fetchall()


def test_a_reading_stores_every_membership_over_all_pages(
    database: Database, known: Settings, whop: StandIn
) -> None:
    """One account in two, and pages of a hundred: the replaced system ended at a thousand rows."""
    for number in range(230):
        product = "prod_p" if number % 2 else "prod_s"
        whop.whop.member(f"mem_{number}", product=product, account=f"a{number // 2}")
    report = sync(database, known)
    assert (report.pages, report.read, report.new) == (3, 230, 230)
    assert report.tiers == {"pro": 115}
    assert rows(database, "select count(*), count(read_at) from app.memberships") == [(230, 230)]
    again = sync(database, known)
    assert (again.read, again.new, again.changed, again.unchanged) == (230, 0, 0, 230)
    assert (again.not_read, again.unreadable, again.unknown_products) == ((), (), ())


def test_a_cancelled_membership_takes_its_tier_away_on_either_way(
    database: Database, known: Settings, whop: StandIn
) -> None:
    """The reading gave the tier back that the webhook had taken: it looked at the product alone."""
    whop.whop.member("mem_1", product="prod_p", account="a")
    whop.whop.member("mem_2", product="prod_p", account="b")
    sync(database, known)
    assert (tier(database, "a"), tier(database, "b")) == ("pro", "pro")
    gone = whop.whop.member("mem_1", product="prod_p", account="a", status="canceled")
    whop.whop.member("mem_2", product="prod_p", account="b", status="expired")
    send(database, whop, "membership.deactivated", gone)
    assert tier(database, "a") == "free"
    report = sync(database, known)
    assert (tier(database, "a"), tier(database, "b")) == ("free", "free")
    assert (report.changed, report.tiers) == (1, {})


def test_an_old_membership_s_end_does_not_touch_the_new_one(
    database: Database, known: Settings, whop: StandIn
) -> None:
    whop.whop.member("mem_new", product="prod_p", account="a")
    old = whop.whop.member("mem_old", product="prod_s", account="a", status="canceled")
    sync(database, known)
    send(database, whop, "membership.deactivated", old)
    assert tier(database, "a") == "pro"


def test_events_in_any_order_end_in_the_last_state(database: Database, whop: StandIn) -> None:
    now = datetime.now(UTC)
    at = {"membership.activated": now - 2 * HOUR, "membership.deactivated": now - HOUR}
    documents = {
        name: whop.whop.member(
            "mem_1",
            product="prod_s",
            account="a",
            at=moment,
            status="active" if name.endswith("activated") and "de" not in name else "canceled",
        )
        for name, moment in at.items()
    }
    for name in reversed(at):
        assert send(database, whop, name, documents[name])
    assert tier(database, "a") == "free"
    assert rows(database, "select status, as_of from app.memberships")[0][0] == "canceled"


def test_messages_at_once_end_in_the_last_state(database: Database, whop: StandIn) -> None:
    now = datetime.now(UTC)
    statuses = ["active", "past_due", "canceled", "expired", "trialing", "canceled"]
    documents = [
        whop.whop.member("mem_1", product="prod_s", account="a", status=one, at=now - hours * HOUR)
        for hours, one in enumerate(statuses)
    ]
    with ThreadPoolExecutor(len(documents)) as senders:
        sent = senders.map(lambda one: send(database, whop, "membership.updated", one), documents)
        assert all(sent)
    assert rows(database, "select status from app.memberships") == [("active",)]


def test_a_late_event_without_a_time_does_not_bring_an_ended_membership_back(
    database: Database, whop: StandIn
) -> None:
    now = datetime.now(UTC)
    gone = whop.whop.member("mem_1", product="prod_s", account="a", status="canceled", at=now)
    send(database, whop, "membership.deactivated", gone)
    headers = {"webhook-id": "msg_late", "webhook-timestamp": str(int(now.timestamp()) + 200)}
    legacy = {"id": "mem_1", "product_id": "prod_s", "valid": True, "user_id": "user_1"}
    document = {"event": "membership.went_valid", "data": legacy}
    assert receive_message(database, headers, document, now=now)
    assert tier(database, "a") == "free"


def test_a_payment_that_fails_leaves_the_tier_for_the_grace(
    database: Database, whop: StandIn
) -> None:
    now = datetime.now(UTC)
    due = whop.whop.member("mem_1", product="prod_s", account="a", period_end=now)
    send(database, whop, "membership.payment_failed", due)
    assert rows(database, "select status from app.memberships") == [("past_due",)]
    assert tier(database, "a", now=now + 71 * HOUR) == "starter"
    assert tier(database, "a", now=now + 73 * HOUR) == "free"


def test_a_message_counts_once_and_keeps_no_more_than_is_read(
    database: Database, whop: StandIn
) -> None:
    document = whop.whop.member("mem_1", product="prod_s", account="a")
    message = whop.whop.message("membership.activated", document, secret=SECRET, to="http://x/")
    body, now = json.loads(message.body), datetime.now(UTC)
    assert receive_message(database, message.headers, body, now=now)
    changed = {**body, "data": {**document, "status": "canceled"}}
    assert not receive_message(database, message.headers, changed, now=now)
    assert tier(database, "a") == "starter"
    ((source, event, stored, processed_at),) = rows(
        database, "select source, event_type, body, processed_at from app.webhook_inbox"
    )
    assert (source, event, processed_at) == ("whop", "membership.activated", now)
    assert (stored["id"], stored["status"]) == ("mem_1", "active")
    told = json.dumps(stored)
    assert not [secret for secret in ("@example.com", "A1B2C3", "Person") if secret in told]


def test_an_event_of_no_membership_is_recorded_and_changes_nothing(
    database: Database, whop: StandIn
) -> None:
    assert send(database, whop, "payment.failed", {"id": "pay_1"})
    assert rows(database, "select event_type, body from app.webhook_inbox") == [
        ("payment.failed", {})
    ]
    assert rows(database, "select count(*) from app.memberships") == [(0,)]


def test_a_message_that_cannot_be_read_stores_nothing(database: Database, whop: StandIn) -> None:
    with pytest.raises(RefusedRequestError, match="not_a_delivery: status"):
        send(database, whop, "membership.updated", {"id": "mem_1"})
    assert rows(database, "select count(*) from app.webhook_inbox") == [(0,)]


def test_what_the_list_lacks_or_hides_and_unknown_products_are_told(
    database: Database, known: Settings, whop: StandIn
) -> None:
    for one, product in (("mem_1", "prod_s"), ("mem_2", "prod_other"), ("mem_3", None)):
        whop.whop.member(one, product=product, account=one)
    whop.whop.member("mem_4", product="prod_lost", account="d", status="expired")
    sync(database, known)
    whop.whop.lose("mem_1")
    whop.whop.lose("mem_4")
    whop.whop.hold({"id": "mem_5", "status": 5})
    report = sync(database, known)
    assert report.not_read == ("mem_1",)
    assert report.unreadable == ("status",)
    assert report.unknown_products == ("none", "prod_other")
    assert report.tiers == {"starter": 1, "free": 2}


def test_pages_before_a_failure_are_kept(
    database: Database, known: Settings, whop: StandIn
) -> None:
    for number in range(150):
        whop.whop.member(f"mem_{number}", product="prod_s", account="a")
    reader = open_whop(known)
    pages = reader.pages()

    class Cut:
        def pages(self) -> Iterator[Any]:
            yield next(pages)
            whop.fail("whop", Fault.UNAUTHORIZED)
            yield from pages

    with pytest.raises(ProviderError, match="unauthorized"):
        sync_memberships(database, Cut(), PRODUCTS)  # type: ignore[arg-type]
    reader.close()
    assert rows(database, "select count(*) from app.memberships") == [(100,)]


@pytest.mark.parametrize(
    "name",
    ["whop_api_key", "whop_company_id", "whop_product_id_starter", "whop_product_id_pro"],
)
def test_a_setting_that_lacks_is_named(known: Settings, name: str) -> None:
    lacking = known.model_copy(update={name: None})
    assert missing_settings(known) == []
    assert missing_settings(lacking) == [name.upper()]
    with pytest.raises(ConfigurationError, match=f"without {name.upper()}\\."):
        open_whop(lacking)


def test_a_product_that_is_not_set_is_not_known(settings: Settings) -> None:
    assert products_of(settings) == {}
