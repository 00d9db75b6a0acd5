"""What holds for every question to a language model: faults, money, retries, cancellation."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from viral_platform.engine.errors import ConfigurationError, ProviderError
from viral_platform.providers.breaker import CircuitBreaker
from viral_platform.providers.calls import (
    Attempt,
    ModelCalls,
    Patience,
    Question,
    Reply,
    Size,
    Waits,
)
from viral_platform.providers.wire import (
    WireModel,
    connection_failure,
    read_body,
    reason_of,
    retry_after_seconds,
)
from viral_platform.sandbox.stand_ins import Fault, StandIn
from viral_platform.storage.costs import CostLedger
from viral_platform.storage.database import Database

from .asking import (
    DEEPSEEK_JUDGE,
    DEEPSEEK_REASON,
    GEMINI_REASON,
    GEMINI_TEXT,
    NOON,
    PRICING,
    Desk,
    Method,
    gemini_video,
)

METHODS = [GEMINI_TEXT, GEMINI_REASON, DEEPSEEK_REASON, DEEPSEEK_JUDGE]
EITHER = [GEMINI_TEXT, DEEPSEEK_REASON]

# fault and its options, reason, what the call then costs
FAULTS: list[tuple[Fault, dict[str, Any], str, str]] = [
    (Fault.RATE_LIMITED, {"retry_after": 0}, "rate_limited", "free"),
    (Fault.SERVER_ERROR, {}, "unavailable", "free"),
    (Fault.SERVER_ERROR, {"status": 500}, "unavailable", "free"),
    (Fault.RESET, {}, "unreachable", "estimate"),
    (Fault.UNAUTHORIZED, {}, "unauthorized", "free"),
    (Fault.UNAUTHORIZED, {"status": 403}, "unauthorized", "free"),
    (Fault.OUT_OF_CREDIT, {}, "out_of_credit", "free"),
    (Fault.NOT_FOUND, {}, "not_found", "free"),
    (Fault.GARBAGE, {}, "not_json", "estimate"),
    (Fault.TRUNCATED_JSON, {}, "not_json", "used"),
    (Fault.TRUNCATED_JSON, {"finish": True}, "truncated", "used"),
    (Fault.SCHEMA_DRIFT, {}, "schema", "used"),
    (Fault.REFUSAL, {}, "refused", "used"),
    (Fault.BLOCKED, {}, "refused", "used"),
    (Fault.EMPTY, {}, "empty", "used"),
    (Fault.EMPTY, {"blank": True}, "empty", "used"),
]
RETRIED = {
    "rate_limited", "unavailable", "unreachable", "timeout", "not_json", "truncated", "schema",
    "empty",
}  # fmt: skip
OF_PROVIDER = RETRIED - {"truncated"}


def refused(desk: Desk, method: Method) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        desk.ask(method)
    assert caught.value.provider == method.provider
    return caught.value


@pytest.fixture(params=[*METHODS, "gemini video"], ids=str)
def method(request: pytest.FixtureRequest, clip: Path) -> Method:
    return gemini_video(clip) if request.param == "gemini video" else request.param


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize(
    ("fault", "options", "reason", "paid"),
    FAULTS,
    ids=[f"{fault}{options or ''}" for fault, options, *_ in FAULTS],
)
def test_a_fault_is_told_paid_retried_and_counted_as_what_it_is(
    stand_in: StandIn,
    method: Method,
    fault: Fault,
    options: dict[str, Any],
    reason: str,
    paid: str,
) -> None:
    stand_in.fail(method.provider, fault, operation=method.operation, **options)
    desk = Desk(stand_in.base_url, Patience(5.0, 10.0, attempts=2))
    error = refused(desk, method)
    attempts = 2 if reason in RETRIED else 1
    assert error.reason == reason
    assert desk.ledger.kinds == [paid] * attempts
    assert desk.meter.microdollars == sum(desk.ledger.rows)
    assert len(stand_in.calls(method.provider, method.operation)) == attempts
    assert desk.breaker.state().consecutive_failures == (attempts if reason in OF_PROVIDER else 0)


@pytest.mark.parametrize(
    ("fault", "options"),
    [(Fault.HANG, {}), (Fault.KEEP_ALIVE, {"seconds": 5.0})],
    ids=["hang", "blank lines"],
)
def test_the_deadline_of_an_attempt_cuts_what_hangs_and_what_only_keeps_alive(
    stand_in: StandIn, method: Method, fault: Fault, options: dict[str, Any]
) -> None:
    stand_in.fail(method.provider, fault, operation=method.operation, **options)
    desk = Desk(stand_in.base_url, Patience(0.3, 10.0, attempts=1))
    started = time.monotonic()
    error = refused(desk, method)
    assert error.reason == "timeout"
    assert time.monotonic() - started < 2.0
    assert desk.ledger.kinds == ["estimate"]
    assert desk.meter.microdollars == sum(desk.ledger.rows) > 0
    assert desk.breaker.state().consecutive_failures == 1


def test_an_answer_that_does_not_say_what_it_used_is_booked_at_its_ceiling(
    stand_in: StandIn, method: Method
) -> None:
    stand_in.fail(method.provider, Fault.NO_USAGE)
    desk = Desk(stand_in.base_url)
    assert desk.ask(method).value
    assert desk.ledger.kinds == ["estimate"]
    assert desk.meter.microdollars == desk.ledger.reservations[0].ceiling_microdollars


def test_a_reply_in_a_fence_is_read_and_costs_less_than_its_ceiling(
    stand_in: StandIn, method: Method
) -> None:
    stand_in.fail(method.provider, Fault.FENCED)
    desk = Desk(stand_in.base_url)
    answered = desk.ask(method)
    assert answered.model in {"gemini-2.5-flash", "deepseek-flash"}
    assert desk.ledger.kinds == ["used"]
    assert 0 < desk.meter.microdollars < desk.ledger.reservations[0].ceiling_microdollars
    assert desk.breaker.state().consecutive_failures == 0


@pytest.mark.parametrize("method", EITHER, ids=str)
def test_where_nobody_listens_nothing_is_charged(method: Method) -> None:
    desk = Desk("http://127.0.0.1:9")
    assert refused(desk, method).reason == "unreachable"
    assert desk.ledger.kinds == ["free"]


@pytest.mark.parametrize("method", EITHER, ids=str)
def test_one_attempt_is_one_request_and_a_later_one_may_succeed(
    stand_in: StandIn, method: Method
) -> None:
    stand_in.fail(method.provider, Fault.SERVER_ERROR, times=2)
    desk = Desk(stand_in.base_url, Patience(5.0, 10.0))
    with capture_logs() as logs:
        desk.ask(method)
    assert len(stand_in.calls(method.provider)) == 3
    assert desk.ledger.kinds == ["free", "free", "used"]
    failed = [entry for entry in logs if entry["event"] == "provider_attempt_failed"]
    assert [(entry["attempt"], entry["reason"]) for entry in failed] == [
        (1, "unavailable"),
        (2, "unavailable"),
    ]


@pytest.mark.parametrize("method", EITHER, ids=str)
@pytest.mark.parametrize(
    ("options", "says"),
    [({}, "could not be used"), ({"finish": True}, "was cut off")],
    ids=["no JSON", "cut"],
)
def test_after_an_unusable_reply_the_model_is_told_so_and_one_that_was_cut_gets_more_room(
    stand_in: StandIn, method: Method, options: dict[str, Any], says: str
) -> None:
    stand_in.fail(method.provider, Fault.TRUNCATED_JSON, times=1, **options)
    desk = Desk(stand_in.base_url, Patience(5.0, 10.0))
    desk.ask(method)
    first, second = (json.dumps(call.body) for call in stand_in.calls(method.provider))
    assert says not in first
    assert says in second
    limits = [_token_limit(call.body) for call in stand_in.calls(method.provider)]
    assert limits[1] == limits[0] * (2 if options else 1)
    ceilings = [entry.ceiling_microdollars for entry in desk.ledger.reservations]
    assert ceilings[0] < ceilings[1]


def _token_limit(body: dict[str, Any]) -> int:
    return body.get("max_tokens") or body["generationConfig"]["maxOutputTokens"]


@pytest.mark.parametrize("method", EITHER, ids=str)
def test_a_provider_that_asks_for_a_pause_gets_it(stand_in: StandIn, method: Method) -> None:
    stand_in.fail(method.provider, Fault.RATE_LIMITED, times=1, retry_after=0.5)
    desk = Desk(stand_in.base_url, Patience(5.0, 10.0))
    started = time.monotonic()
    desk.ask(method)
    assert 0.5 <= time.monotonic() - started < 2.0


@pytest.mark.parametrize("method", EITHER, ids=str)
def test_a_pause_that_does_not_fit_into_the_time_left_is_not_begun(
    stand_in: StandIn, method: Method
) -> None:
    stand_in.fail(method.provider, Fault.RATE_LIMITED, retry_after=30)
    desk = Desk(stand_in.base_url, Patience(5.0, 10.0))
    started = time.monotonic()
    error = refused(desk, method)
    assert (error.reason, error.retry_after) == ("rate_limited", 30.0)
    assert time.monotonic() - started < 2.0
    assert len(stand_in.calls(method.provider)) == 1


def test_attempts_end_with_the_total_time(stand_in: StandIn) -> None:
    stand_in.fail("deepseek", Fault.HANG)
    desk = Desk(stand_in.base_url, Patience(attempt_seconds=0.3, total_seconds=0.5))
    started = time.monotonic()
    assert refused(desk, DEEPSEEK_REASON).reason == "timeout"
    assert time.monotonic() - started < 1.5
    assert len(stand_in.calls("deepseek")) == 2


def test_retries_stop_when_the_breaker_has_opened(stand_in: StandIn) -> None:
    stand_in.fail("deepseek", Fault.SERVER_ERROR)
    breaker = CircuitBreaker("deepseek")
    for _ in range(2):
        breaker.acquire().failure()
    desk = Desk(stand_in.base_url, Patience(5.0, 10.0), breaker=breaker)
    error = refused(desk, DEEPSEEK_REASON)
    assert error.reason == "circuit_open"
    assert len(stand_in.calls("deepseek")) == 1
    assert refused(desk, DEEPSEEK_REASON).reason == "circuit_open"
    assert len(stand_in.calls("deepseek")) == len(desk.ledger.rows) == 1


@pytest.mark.parametrize("method", EITHER, ids=str)
@pytest.mark.parametrize(
    ("caps", "reason"),
    [({"day_cap": 100}, "budget_day"), ({"request_cap": 100}, "budget_request")],
    ids=["day", "request"],
)
def test_over_a_cap_nothing_is_sent_and_the_breaker_is_left_as_it_was(
    stand_in: StandIn, method: Method, caps: dict[str, int], reason: str
) -> None:
    desk = Desk(stand_in.base_url, Patience(5.0, 10.0), **caps)
    assert refused(desk, method).reason == reason
    assert stand_in.calls() == []
    assert desk.meter.microdollars == 0
    assert desk.breaker.state().consecutive_failures == 0


@pytest.mark.parametrize("method", EITHER, ids=str)
def test_a_cancelled_call_gives_its_permit_back_and_stays_booked_as_an_estimate(
    stand_in: StandIn, method: Method
) -> None:
    stand_in.fail(method.provider, Fault.HANG)
    moment = 0.0
    breaker = CircuitBreaker(method.provider, clock=lambda: moment)
    for _ in range(3):
        breaker.acquire().failure()
    moment = 2.0
    desk = Desk(stand_in.base_url, Patience(5.0, 10.0), breaker=breaker)

    async def given_up(desk: Desk) -> None:
        task = asyncio.ensure_future(method.ask(desk))
        while not stand_in.calls(method.provider):
            await asyncio.sleep(0.01)
        assert breaker.state().status == "half_open"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    desk.run(given_up)
    assert desk.ledger.kinds == ["estimate"]
    assert desk.meter.microdollars == sum(desk.ledger.rows) > 0
    # The place of the probe is free at once.
    breaker.acquire().success()
    assert breaker.state().status == "closed"


@pytest.mark.parametrize("method", EITHER, ids=str)
def test_the_callers_deadline_passes_through_an_attempt_and_through_a_wait(
    stand_in: StandIn, method: Method
) -> None:
    for fault in (Fault.HANG, Fault.SERVER_ERROR):
        stand_in.heal()
        stand_in.fail(method.provider, fault)
        desk = Desk(stand_in.base_url, Patience(5.0, 10.0), waits=Waits(5.0, 1.0, 0.0))

        async def cut(desk: Desk) -> None:
            async with asyncio.timeout(0.3):
                await method.ask(desk)

        started = time.monotonic()
        with pytest.raises(TimeoutError):
            desk.run(cut)
        assert time.monotonic() - started < 2.0
        assert len(desk.ledger.rows) == 1


def test_many_requests_share_a_client_and_each_pays_for_its_own(stand_in: StandIn) -> None:
    desk = Desk(stand_in.base_url)

    async def many(desk: Desk) -> None:
        await asyncio.gather(*(m.ask(desk) for m in METHODS for _ in range(5)))

    desk.run(many)
    assert desk.ledger.kinds == ["used"] * 20
    assert desk.meter.microdollars == sum(desk.ledger.rows)


def test_the_rows_of_the_database_sum_up_to_what_the_meter_says(
    stand_in: StandIn, database: Database
) -> None:
    stand_in.fail("deepseek", Fault.TRUNCATED_JSON, times=1)
    stand_in.fail("deepseek", Fault.NO_USAGE, times=1)
    stand_in.fail("gemini", Fault.SERVER_ERROR, times=1)
    desk = Desk(stand_in.base_url, Patience(5.0, 10.0), ledger=CostLedger(database))
    for method in METHODS:
        desk.ask(method)
    with database.connect() as connection:
        rows = connection.execute(
            "select request_id, provider, operation, cost_microdollars, is_estimate "
            "from app.cost_events order by id"
        ).fetchall()
    assert sum(row[3] for row in rows) == desk.meter.microdollars
    assert {row[0] for row in rows} == {"request-1"}
    assert [row[1:3] for row in rows] == [
        ("gemini", "analyse"),
        ("gemini", "analyse"),
        ("gemini", "reason"),
        ("deepseek", "reason"),
        ("deepseek", "reason"),
        ("deepseek", "judge"),
    ]
    assert [row[4] for row in rows] == [False, False, False, False, True, False]


@pytest.mark.parametrize("method", EITHER, ids=str)
def test_an_not_found_is_refused_at_start_up_and_names_the_setting(method: Method) -> None:
    desk = Desk("http://127.0.0.1:9", gemini_model="gemini-0", deepseek_model="deepseek-0")
    with pytest.raises(ConfigurationError, match=f"{method.provider.upper()}_MODEL"):
        desk.ask(method)


@pytest.mark.parametrize("key", ["", " ", "clé", "a\nb"])
@pytest.mark.parametrize("method", EITHER, ids=str)
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(
    method: Method, key: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"{method.provider.upper()}_API_KEY") as caught:
        Desk("http://127.0.0.1:9", key=key).ask(method)
    assert len(key.strip()) < 2 or key not in str(caught.value)


@pytest.mark.parametrize("method", EITHER, ids=str)
def test_no_failure_tells_the_key_or_what_the_creator_wrote(
    stand_in: StandIn, method: Method
) -> None:
    for fault in (Fault.UNAUTHORIZED, Fault.GARBAGE, Fault.SCHEMA_DRIFT, Fault.RESET):
        stand_in.heal()
        stand_in.fail(method.provider, fault)
        with capture_logs() as logs:
            error = refused(Desk(stand_in.base_url, key="secret-key-1"), method)
        told = f"{error!r} {error.__cause__!r} {logs}"
        assert error.__suppress_context__ or error.__context__ is None
        assert "secret-key-1" not in told
        assert "calmest" not in told


def test_a_fault_of_ours_is_not_taken_for_the_providers(stand_in: StandIn) -> None:
    desk = Desk(stand_in.base_url, Patience(5.0, 10.0))
    calls = ModelCalls(
        "deepseek",
        "deepseek-flash",
        breaker=desk.breaker,
        budget=desk.shared()["budget"],
        pricing=PRICING,
        waits=desk.waits,
        failure=lambda error: connection_failure("deepseek", error),
    )

    async def broken(attempt: Attempt) -> Reply:
        raise ZeroDivisionError(attempt.number)

    question = Question(
        "reason", "v", desk.patience, lambda _: Size(10, 10), broken, parse=lambda text: text
    )
    with pytest.raises(ZeroDivisionError, match="1"):
        asyncio.run(calls.ask(question, desk.meter))
    assert desk.breaker.state().consecutive_failures == 0
    assert desk.ledger.kinds == ["estimate"]


@given(st.text(), st.datetimes(timezones=st.just(UTC)))
def test_any_retry_after_is_a_number_of_seconds_or_none(header: str, now: datetime) -> None:
    seconds = retry_after_seconds(header, now)
    assert seconds is None or 0 <= seconds < float("inf")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("-1", 0.0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("Fri, 20 Nov 2026 12:00:30 GMT", 30.0),
        ("Fri, 20 Nov 2026 12:00:30 -0000", 30.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOON) == seconds


@given(st.integers(100, 599))
def test_only_what_can_change_is_retried_by_status(status: int) -> None:
    error = ProviderError("gemini", reason_of(status), "")
    assert error.is_retryable == (status in {408, 429} or status >= 500 or status < 400)


class Body(WireModel):
    count: int


@given(st.binary())
def test_any_body_is_read_or_refused(body: bytes) -> None:
    with suppress(ProviderError):
        assert isinstance(read_body(Body, body, "gemini").count, int)


@given(st.floats(0.1, 5), st.floats(1, 4), st.floats(0, 2), st.integers(1, 6))
def test_waits_grow_and_stay_within_their_jitter(
    first: float, factor: float, jitter: float, attempt: int
) -> None:
    waited = Waits(first, factor, jitter).after(attempt)
    least = first * factor ** (attempt - 1)
    assert least <= waited <= least + jitter
