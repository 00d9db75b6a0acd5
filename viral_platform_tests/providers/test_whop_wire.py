"""What Whop puts on the wire, in both generations: samples, signatures, times, events."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.errors import ConfigurationError
from viral_platform.engine.subscriptions import Membership
from viral_platform.providers.whop_wire import (
    MembershipsBody,
    UnreadableMembershipError,
    is_signed,
    read_membership,
    read_message,
)
from viral_platform.providers.wire import read_body
from viral_platform.sandbox.stand_ins.whop import signed

AT = datetime(2026, 3, 1, 10, 0, 5, tzinfo=UTC)
SECRET = "ws_standin_secret_0123456789"
CHANGED = datetime(2026, 3, 1, 10, 0, 5, 120_000, tzinfo=UTC)
ACCOUNT = "0b0f7d0e-2f2a-4a53-9d3c-0d3b6f3a9f11"
Sample = Callable[[str], Any]
KNOWN = {
    "id": "mem_3kQv8ZtR1xYp7a",
    "account": ACCOUNT,
    "whop_user_id": "user_5uJd7Hc2Vb8Mx",
    "product_id": "prod_STARTER0000001",
}


def headers_of(
    *, secret: str = SECRET, body: bytes = b"{}", at: datetime = AT, names: str = "webhook"
) -> dict[str, str]:
    return signed(
        body, message_id="msg_1", secret=secret, to="http://x/", at=at, names=names
    ).headers


def event(name: str, data: object, **more: object) -> tuple[dict[str, str], object]:
    return headers_of(), {"type": name, "data": data, **more}


def test_the_page_of_today_is_read_from_its_nested_parts(sample: Sample) -> None:
    body = json.dumps(sample("whop_v1_memberships_page")).encode()
    page = read_body(MembershipsBody, body, "whop")
    assert not page.page_info.has_next_page
    (document,) = page.data
    assert read_membership(document, sent_at=AT) == Membership(
        **KNOWN,
        status="active",
        as_of=CHANGED,
        period_end=datetime(2026, 4, 1, 10, 0, 0, 401_000, tzinfo=UTC),
    )


def test_the_membership_of_before_is_read_from_its_flat_parts_and_seconds(
    sample: Sample,
) -> None:
    read = read_membership(sample("whop_v5_membership"), sent_at=AT)
    assert read == Membership(
        **KNOWN,
        status="active",
        as_of=AT,
        period_end=datetime.fromtimestamp(1_775_037_600, UTC),
        is_dated=False,
    )


@pytest.mark.parametrize(
    ("name", "secret_key", "event_name", "is_dated"),
    [
        ("whop_webhook_activated", "secret_text", "membership.activated", True),
        ("whop_webhook_went_valid_legacy", "secret", "membership.went_valid", False),
    ],
    ids=["today", "before"],
)
def test_the_webhooks_of_both_generations_hold_to_their_signatures(
    sample: Sample, name: str, secret_key: str, event_name: str, is_dated: bool
) -> None:
    found = sample(name)
    headers, body = found["_http"]["headers"], found["raw_body"].encode()
    secret = found["_signing"][secret_key]
    sent = datetime.fromtimestamp(1_772_359_205, UTC)
    assert is_signed(headers, body, secret=secret, now=sent)
    assert not is_signed(headers, body + b" ", secret=secret, now=sent)
    message = read_message(headers, json.loads(body))
    assert (message.id, message.event) == ("msg_2Hs7Kd9Lq4Wz1Xc6Vb8Nm3Ty", event_name)
    assert message.membership is not None
    assert message.membership.is_dated is is_dated
    assert message.membership.as_of == (CHANGED if is_dated else sent)
    assert (message.membership.id, message.membership.account) == (KNOWN["id"], ACCOUNT)


@pytest.mark.parametrize("names", ["webhook", "svix"])
@pytest.mark.parametrize("secret", [SECRET, "whsec_" + base64.b64encode(b"k" * 24).decode()])
def test_both_keys_and_both_names_of_headers_are_taken(secret: str, names: str) -> None:
    headers = headers_of(secret=secret, names=names)
    assert is_signed(headers, b"{}", secret=secret, now=AT)
    assert not is_signed(headers, b"{}", secret="ws_another", now=AT)


def test_of_several_signatures_one_has_to_hold() -> None:
    headers = headers_of()
    good = headers["webhook-signature"]
    headers["webhook-signature"] = f"v1,AAAA v2,{good[3:]} {good}"
    assert is_signed(headers, b"{}", secret=SECRET, now=AT)
    headers["webhook-signature"] = f"v1,AAAA v2,{good[3:]} v1a,{good[3:]}"
    assert not is_signed(headers, b"{}", secret=SECRET, now=AT)


@pytest.mark.parametrize(
    ("seconds", "taken"), [(300, True), (301, False), (-300, True), (-301, False)]
)
def test_a_message_is_taken_within_five_minutes_either_way(seconds: int, taken: bool) -> None:
    now = AT + timedelta(seconds=seconds)
    assert is_signed(headers_of(), b"{}", secret=SECRET, now=now) is taken


@pytest.mark.parametrize("part", ["id", "timestamp", "signature"])
@pytest.mark.parametrize("value", [None, "", "NaN", "msg 1", "é", "v1,", "99999999999999999999"])
def test_a_header_that_lacks_or_is_none_is_refused(part: str, value: str | None) -> None:
    """A time that was no number passed the window once: NaN > 300 is false."""
    headers = headers_of()
    headers.pop(f"webhook-{part}")
    if value is not None:
        headers[f"webhook-{part}"] = value
    assert not is_signed(headers, b"{}", secret=SECRET, now=AT)


def test_no_part_of_a_message_can_be_changed() -> None:
    for name, other in (
        ("webhook-id", "msg_2"),
        ("webhook-timestamp", str(int(AT.timestamp()) + 1)),
    ):
        headers = {**headers_of(), name: other}
        assert not is_signed(headers, b"{}", secret=SECRET, now=AT)


@pytest.mark.parametrize("secret", ["", " ", "whsec_", "whsec_%%%", "whsec_é"])
def test_an_empty_secret_is_no_key(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="WHOP_WEBHOOK_SECRET"):
        is_signed(headers_of(), b"{}", secret=secret, now=AT)


@given(
    st.dictionaries(
        st.sampled_from(
            [f"{a}-{b}" for a in ("webhook", "svix") for b in ("id", "timestamp", "signature")]
        ),
        st.text(st.characters(max_codepoint=255), max_size=40),
    ),
    st.binary(max_size=40),
)
def test_nobody_passes_without_the_secret(headers: dict[str, str], body: bytes) -> None:
    assert not is_signed(headers, body, secret=SECRET, now=AT)


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("membership.activated", {}, "active"),
        ("membership_activated", {}, "active"),
        ("membership.went_valid", {"valid": True}, "active"),
        ("membership_went_valid", {"status": "trialing"}, "trialing"),
        ("membership.deactivated", {"status": "expired"}, "expired"),
        ("membership.deactivated", {"status": "active"}, "canceled"),
        ("membership_went_invalid", {"valid": False, "status": "completed"}, "canceled"),
        ("membership.went_invalid", {}, "canceled"),
        ("membership.payment_failed", {"status": "active"}, "past_due"),
        ("membership.updated", {"status": "canceling"}, "canceling"),
        ("membership.updated", {"valid": False, "status": "active"}, "canceled"),
        ("membership.trial_ending_soon", {"status": "trialing"}, "trialing"),
    ],
)
@pytest.mark.parametrize("key", ["type", "action", "event"])
def test_an_event_of_either_generation_tells_a_status(
    name: str, data: dict[str, object], status: str, key: str
) -> None:
    message = read_message(headers_of(), {key: name, "data": {"id": "mem_1", **data}})
    assert "_" not in message.event.partition(".")[0]
    assert message.membership is not None
    assert message.membership.status == status


@pytest.mark.parametrize("name", ["payment.succeeded", "payment.failed", "payment_failed", "x.y"])
def test_an_event_that_is_of_no_membership_changes_none(name: str) -> None:
    assert read_message(*event(name, {"id": "pay_1"})).membership is None


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "type"),
        ({}, "type"),
        ({"type": "no event"}, "type"),
        ({"type": 7}, "type"),
        ({"type": "membership.updated"}, "no object"),
        ({"type": "membership.updated", "data": {"status": "active"}}, "id"),
        ({"type": "membership.updated", "data": {"id": "mem_1"}}, "status"),
        (
            {"type": "membership.updated", "data": {"id": "mem 1", "status": "Active!"}},
            "id, status",
        ),
        (
            {"type": "membership.activated", "data": {"id": "m", "renewal_period_end": "soon"}},
            "renewal_period_end",
        ),
        (
            {"type": "membership.activated", "data": {"id": "m", "expires_at": "9999-12-31"}},
            "expires_at",
        ),
    ],
)
def test_what_cannot_be_read_is_named_by_its_fields(document: object, field: str) -> None:
    with pytest.raises(UnreadableMembershipError, match=f"^{field}"):
        read_message(headers_of(), document)


@pytest.mark.parametrize(
    "value", [1_775_037_600, 1_775_037_600_000, "2026-04-01T10:00:00Z", "2026-04-01T12:00:00+02:00"]
)
def test_times_are_read_in_seconds_and_in_words(value: object) -> None:
    """One was stored as it came, the other converted: a number broke the webhook."""
    read = read_membership({"id": "m", "status": "active", "expires_at": value}, sent_at=AT)
    assert read.period_end == datetime(2026, 4, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("metadata", "account"),
    [
        ({"supabase_user_id": ACCOUNT}, ACCOUNT),
        ({"supabase_user_id": " "}, "user_1"),
        ({"supabase_user_id": "a\x00b"}, "user_1"),
        ({"supabase_user_id": 7}, "user_1"),
        ({}, "user_1"),
        (None, "user_1"),
        ("none", "user_1"),
    ],
)
def test_an_account_is_told_by_the_purchase_or_is_the_user_at_whop(
    metadata: object, account: str
) -> None:
    document = {"id": "m", "status": "active", "user": {"id": "user_1"}, "metadata": metadata}
    assert read_membership(document, sent_at=AT).account == account


def test_a_time_of_the_event_stands_in_for_that_of_the_membership() -> None:
    told = event("membership.updated", {"id": "m", "status": "active"}, timestamp=AT.isoformat())
    message = read_message(*told)
    assert message.membership is not None
    assert message.membership.as_of == AT


FIELDS = [
    *("id", "status", "valid", "product", "product_id", "user", "user_id", "metadata"),
    *("renewal_period_end", "expires_at", "updated_at", "cancel_at_period_end", "data"),
    *("type", "action", "event", "timestamp", "supabase_user_id"),
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(
        [
            *("membership.updated", "membership_went_valid", "active", "mem_1", "\x00", "\ud800"),
            *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "1e400", "253402300800"),
        ]
    )
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6)
    ),
    max_leaves=12,
)
EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["membership.updated", "membership.went_valid"]),
        "data": st.dictionaries(st.sampled_from(FIELDS), DOCUMENTS, max_size=8).map(
            lambda data: {"id": "mem_1", **data}
        ),
    }
)


@given(DOCUMENTS | EVENTS)
def test_no_document_breaks_the_reader_and_what_it_reads_can_be_judged(document: object) -> None:
    try:
        message = read_message(headers_of(), document)
    except UnreadableMembershipError:
        return
    if message.membership is not None:
        message.membership.gives_access(AT)
        assert "\x00" not in repr(message.membership)
        assert message.membership.as_of.tzinfo is not None
