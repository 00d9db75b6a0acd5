"""Memberships over HTTP: pages, what is tried again, what is given up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from viral_platform.engine.errors import ConfigurationError, ProviderError
from viral_platform.providers.calls import Waits
from viral_platform.providers.reading import ATTEMPTS
from viral_platform.providers.whop import LIST_LAG, WhopMemberships
from viral_platform.sandbox.stand_ins import Fault, StandIn
from viral_platform.sandbox.stand_ins.whop import COMPANY

AT_ONCE = Waits(first=0.0, factor=1.0, jitter=0.0)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def reader(**options: object) -> WhopMemberships:
    given = {
        "api_key": "whop-key",
        "base_url": "http://whop.invalid",
        "company_id": COMPANY,
        "waits": AT_ONCE,
        "page_memberships": 3,
        "now": lambda: NOW,
        **options,
    }
    return WhopMemberships(**given)  # type: ignore[arg-type]


@pytest.fixture
def whop(stand_in: StandIn) -> Iterator[WhopMemberships]:
    one = reader(base_url=stand_in.base_url)
    yield one
    one.close()


def fill(stand_in: StandIn, count: int) -> list[str]:
    ids = [f"mem_{number}" for number in range(count)]
    for one in ids:
        stand_in.whop.member(one, product="prod_s", account="a", at=NOW - timedelta(days=1))
    return ids


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (3, [3]), (7, [3, 3, 1])])
def test_pages_cover_all_memberships_once(
    stand_in: StandIn, whop: WhopMemberships, count: int, sizes: list[int]
) -> None:
    ids = fill(stand_in, count)
    pages = list(whop.pages())
    assert [len(page.memberships) for page in pages] == sizes
    assert [one.id for page in pages for one in page.memberships] == ids
    for call in stand_in.calls("whop"):
        assert call.key == "whop-key"
        assert "whop-key" not in str(call.query)
        assert call.query["company_id"] == COMPANY


def test_a_membership_is_as_of_its_change_or_of_the_reading_whichever_is_later(
    stand_in: StandIn, whop: WhopMemberships
) -> None:
    changes = {"mem_old": NOW - timedelta(days=9), "mem_now": NOW}
    for one, at in changes.items():
        stand_in.whop.member(one, product=None, account=None, at=at)
    (page,) = whop.pages()
    assert {one.id: one.as_of for one in page.memberships} == {
        "mem_old": NOW - LIST_LAG,
        "mem_now": NOW,
    }
    assert all(one.is_dated for one in page.memberships)


def test_one_that_cannot_be_read_leaves_the_others(
    stand_in: StandIn, whop: WhopMemberships
) -> None:
    fill(stand_in, 2)
    stand_in.whop.hold({"id": "mem_bad", "status": "active", "renewal_period_end": "soon"})
    (page,) = whop.pages()
    assert len(page.memberships) == 2
    assert page.unreadable == ["renewal_period_end"]


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        (Fault.RATE_LIMITED, {"retry_after": 0}),
        (Fault.SERVER_ERROR, {}),
        (Fault.RESET, {}),
        (Fault.GARBAGE, {}),
        (Fault.SCHEMA_DRIFT, {}),
    ],
)
def test_what_can_change_by_itself_is_tried_again_and_in_the_end_given_up(
    stand_in: StandIn, whop: WhopMemberships, fault: Fault, options: dict[str, object]
) -> None:
    ids = fill(stand_in, 4)
    stand_in.fail("whop", fault, times=ATTEMPTS - 1, **options)
    assert [one.id for page in whop.pages() for one in page.memberships] == ids
    stand_in.fail("whop", fault, **options)
    with pytest.raises(ProviderError) as caught:
        list(whop.pages())
    assert caught.value.is_retryable


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(Fault.UNAUTHORIZED, "unauthorized"), (Fault.NOT_FOUND, "not_found")],
)
def test_what_cannot_change_is_not_tried_again(
    stand_in: StandIn, whop: WhopMemberships, fault: Fault, reason: str
) -> None:
    stand_in.fail("whop", fault)
    with pytest.raises(ProviderError) as caught:
        list(whop.pages())
    assert caught.value.reason == reason
    assert len(stand_in.calls("whop")) == 1
    assert "whop-key" not in str(caught.value)


def test_a_server_that_is_silent_is_left_in_time(stand_in: StandIn) -> None:
    stand_in.fail("whop", Fault.HANG)
    impatient = reader(base_url=stand_in.base_url, read_seconds=0.05)
    with pytest.raises(ProviderError) as caught:
        list(impatient.pages())
    assert caught.value.reason == "timeout"
    impatient.close()


def answering(answer: Callable[[httpx.Request], httpx.Response]) -> WhopMemberships:
    return reader(transport=httpx.MockTransport(answer))


@pytest.mark.parametrize("cursor", [None, "", "YzE"], ids=["none", "empty", "the same again"])
def test_a_cursor_that_leads_nowhere_ends_the_reading(cursor: str | None) -> None:
    page = {"data": [], "page_info": {"end_cursor": cursor, "has_next_page": True}}
    with pytest.raises(ProviderError, match="leads nowhere"):
        list(answering(lambda _: httpx.Response(200, json=page)).pages())


def test_a_page_without_an_end_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("viral_platform.providers.whop.PAGE_BYTES", 100)
    with pytest.raises(ProviderError, match="over 100 bytes"):
        list(answering(lambda _: httpx.Response(200, content=b" " * 101)).pages())


def test_a_key_that_cannot_be_sent_is_named_by_its_setting() -> None:
    with pytest.raises(ConfigurationError, match="WHOP_API_KEY"):
        reader(api_key="a\nb")
