from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from viral_platform.engine.errors import DatabaseUnavailableError, ProviderError
from viral_platform.engine.spend import Meter, RequestSpend
from viral_platform.providers.budget import Budget, PaidCall, Reservation, Settlement
from viral_platform.providers.pricing import Pricing, Usage

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PRICING = Pricing()
CEILING = 1_000
USAGE = Usage(1_000, output_tokens=100)  # 210 micro-dollars of deepseek-flash at noon


@dataclass
class MemoryLedger:
    """The rows that the database would hold, and the day's cap over them."""

    rows: list[int] = field(default_factory=list)
    settlements: dict[int, Settlement] = field(default_factory=dict)
    reservations: list[Reservation] = field(default_factory=list)
    fails_at: set[str] = field(default_factory=set)
    may_go_on: threading.Event = field(default_factory=threading.Event)
    is_written: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.may_go_on.set()

    def _answer(self, operation: str) -> None:
        assert self.may_go_on.wait(timeout=10)
        if operation in self.fails_at:
            raise DatabaseUnavailableError("PostgreSQL does not answer")

    def reserve(self, reservation: Reservation, *, day_cap_microdollars: int) -> int | None:
        self._answer("reserve")
        with self.lock:
            if sum(self.rows) + reservation.ceiling_microdollars > day_cap_microdollars:
                return None
            self.reservations.append(reservation)
            self.rows.append(reservation.ceiling_microdollars)
            self.is_written.set()
            return len(self.rows) - 1

    def settle(self, event_id: int, settlement: Settlement) -> None:
        self._answer("settle")
        with self.lock:
            assert event_id not in self.settlements
            self.settlements[event_id] = settlement
            self.rows[event_id] = settlement.microdollars


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


def a_meter(cap: int | None = None) -> Meter:
    return RequestSpend("request-1", cap).meter("behavior")


def a_budget(ledger: MemoryLedger, day_cap: int = 100_000) -> Budget:
    return Budget(ledger, PRICING, day_cap_microdollars=day_cap, now=lambda: NOON)


def paid(
    budget: Budget, meter: Meter, say: Callable[[PaidCall], object], *, ceiling: int = CEILING
) -> None:
    async def run() -> None:
        async with budget.paid_call(
            meter,
            provider="deepseek",
            model="deepseek-flash",
            operation="reason",
            ceiling=ceiling,
        ) as call:
            say(call)

    asyncio.run(run())


def left(meter: Meter, cap: int) -> int:
    """Return what the request could still set aside."""
    return next(amount for amount in range(cap, -1, -1) if meter.request.reserve(amount))


@pytest.mark.parametrize(
    ("say", "spent", "version"),
    [
        (lambda call: call.used(USAGE), 210, "genai-prices"),
        (lambda call: call.cost(77, "apify 2026-11"), 77, "apify 2026-11"),
        (lambda call: call.free(), 0, "free"),
        (lambda call: (call.free(), call.used(USAGE)), 210, "genai-prices"),
    ],
    ids=["used", "cost", "free", "the last word counts"],
)
def test_what_is_said_of_a_call_is_what_row_meter_and_request_hold(
    ledger: MemoryLedger, say: Callable[[PaidCall], object], spent: int, version: str
) -> None:
    meter = a_meter(cap=5_000)
    paid(a_budget(ledger), meter, say)
    assert ledger.rows == [spent]
    assert meter.microdollars == spent
    assert ledger.settlements[0].price_version.startswith(version)
    assert left(meter, 5_000) == 5_000 - spent


def test_tokens_are_priced_at_once_at_the_time_of_the_request_and_kept_by_kind(
    ledger: MemoryLedger,
) -> None:
    answers: list[int] = []
    paid(a_budget(ledger), a_meter(), lambda call: answers.append(call.used(USAGE)))
    assert answers == [210]
    assert ledger.settlements[0].tokens == USAGE.by_kind()
    assert ledger.reservations == [
        Reservation("request-1", "deepseek", "deepseek-flash", "reason", CEILING, NOON)
    ]


def test_a_call_of_which_nothing_is_said_stays_booked_at_its_ceiling(ledger: MemoryLedger) -> None:
    meter = a_meter(cap=5_000)
    with capture_logs() as logs, pytest.raises(ConnectionResetError):
        paid(a_budget(ledger), meter, _break_off)
    assert (ledger.rows, ledger.settlements, meter.microdollars) == ([CEILING], {}, CEILING)
    assert left(meter, 5_000) == 5_000 - CEILING
    assert [entry["event"] for entry in logs] == ["cost_estimated"]


def _break_off(_: PaidCall) -> None:
    raise ConnectionResetError


def test_a_failed_answer_that_was_paid_is_booked_and_its_error_goes_on(
    ledger: MemoryLedger,
) -> None:
    meter = a_meter()

    def say(call: PaidCall) -> None:
        call.used(USAGE)
        raise ProviderError("deepseek", "not_json", "cut off")

    with pytest.raises(ProviderError, match="not_json"):
        paid(a_budget(ledger), meter, say)
    assert ledger.rows == [210] == [meter.microdollars]


def refused(budget: Budget, meter: Meter, **options: Any) -> ProviderError:
    def never(_: PaidCall) -> None:
        pytest.fail("the call was made")

    with pytest.raises(ProviderError) as caught:
        paid(budget, meter, never, **options)
    assert not caught.value.is_of_provider
    assert not caught.value.is_retryable
    return caught.value


def test_above_the_requests_cap_nothing_reaches_the_ledger(ledger: MemoryLedger) -> None:
    meter = a_meter(cap=CEILING - 1)
    error = refused(a_budget(ledger), meter)
    assert error.reason == "budget_request"
    assert "REQUEST_BUDGET_CENTS" in str(error)
    assert (ledger.rows, meter.microdollars, left(meter, 999)) == ([], 0, 999)


def test_above_the_days_cap_the_request_gets_its_reservation_back(ledger: MemoryLedger) -> None:
    meter = a_meter(cap=5_000)
    budget = a_budget(ledger, day_cap=CEILING + 209)
    paid(budget, meter, lambda call: call.used(USAGE))
    with capture_logs() as logs:
        error = refused(budget, meter)
    assert error.reason == "budget_day"
    assert "DAILY_BUDGET_CENTS" in str(error)
    assert [entry["event"] for entry in logs] == ["day_budget_reached"]
    assert (ledger.rows, meter.microdollars, left(meter, 5_000)) == ([210], 210, 4_790)


def test_without_a_ledger_no_call_is_made(ledger: MemoryLedger) -> None:
    ledger.fails_at = {"reserve"}
    meter = a_meter(cap=5_000)
    with capture_logs() as logs:
        error = refused(a_budget(ledger), meter)
    assert error.reason == "ledger_unavailable"
    assert [entry["event"] for entry in logs] == ["ledger_unavailable"]
    assert (meter.microdollars, left(meter, 5_000)) == (0, 5_000)


def test_a_defect_of_the_ledger_is_no_call_and_no_reservation_either(ledger: MemoryLedger) -> None:
    meter = a_meter(cap=5_000)
    ledger.reserve = lambda *_args, **_options: 1 // 0  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        paid(a_budget(ledger), meter, lambda call: call.free())
    assert left(meter, 5_000) == 5_000


def test_a_row_that_cannot_be_settled_keeps_its_ceiling_and_so_does_the_meter(
    ledger: MemoryLedger,
) -> None:
    ledger.fails_at = {"settle"}
    meter = a_meter(cap=5_000)
    with capture_logs() as logs:
        paid(a_budget(ledger), meter, lambda call: call.used(USAGE))
    assert ledger.rows == [CEILING] == [meter.microdollars]
    assert left(meter, 5_000) == 5_000 - CEILING
    assert [entry["event"] for entry in logs] == ["settlement_failed"]


def test_a_cost_above_its_ceiling_is_booked_in_full_and_logged(ledger: MemoryLedger) -> None:
    meter = a_meter()
    with capture_logs() as logs:
        paid(a_budget(ledger), meter, lambda call: call.used(USAGE), ceiling=200)
    assert ledger.rows == [210] == [meter.microdollars]
    assert [entry["event"] for entry in logs] == ["cost_above_ceiling"]


def cancel(
    ledger: MemoryLedger,
    meter: Meter,
    *,
    at: str,
    say: Callable[[PaidCall], object] = lambda _: None,
) -> None:
    """Cancel a task that reserves, calls or settles; the ledger is held where it should be."""

    async def call(inside: asyncio.Event) -> None:
        async with a_budget(ledger).paid_call(
            meter, provider="deepseek", model="deepseek-flash", operation="reason", ceiling=CEILING
        ) as paid_call:
            say(paid_call)
            if at == "settle":
                ledger.may_go_on.clear()
            inside.set()
            if at == "call":
                await asyncio.sleep(60)

    async def run() -> None:
        inside = asyncio.Event()
        if at == "reserve":
            ledger.may_go_on.clear()
        task = asyncio.create_task(call(inside))
        if at != "reserve":
            await asyncio.wait_for(inside.wait(), 10)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 10)
        ledger.may_go_on.set()

    asyncio.run(run())


def test_a_task_cancelled_while_it_reserves_leaves_a_row_of_nothing(ledger: MemoryLedger) -> None:
    meter = a_meter(cap=5_000)
    cancel(ledger, meter, at="reserve")
    assert (ledger.rows, meter.microdollars, left(meter, 5_000)) == ([0], 0, 5_000)


def test_a_task_cancelled_during_its_call_is_booked_at_the_ceiling(ledger: MemoryLedger) -> None:
    meter = a_meter()
    cancel(ledger, meter, at="call")
    assert ledger.rows == [CEILING] == [meter.microdollars]


def test_a_settlement_is_written_though_its_task_is_cancelled(ledger: MemoryLedger) -> None:
    meter = a_meter()
    cancel(ledger, meter, at="settle", say=lambda call: call.used(USAGE))
    assert ledger.rows == [210] == [meter.microdollars]


def test_a_reservation_written_in_the_moment_of_the_cancellation_is_given_back(
    ledger: MemoryLedger,
) -> None:
    meter = a_meter(cap=5_000)

    async def run() -> None:
        async def call() -> None:
            async with a_budget(ledger).paid_call(
                meter, provider="deepseek", model="m", operation="reason", ceiling=CEILING
            ):
                pytest.fail("the call was made")

        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        # The loop must not turn before the row is there.
        assert ledger.is_written.wait(timeout=10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert (ledger.rows, meter.microdollars, left(meter, 5_000)) == ([0], 0, 5_000)


@given(
    endings=st.lists(
        st.sampled_from(["used", "cost", "free", "broken", "cancelled", "unsettled"]), max_size=12
    )
)
def test_the_meters_of_a_request_add_up_to_its_rows_however_calls_end(endings: list[str]) -> None:
    ledger = MemoryLedger()
    spend = RequestSpend("request-1", 6 * CEILING)
    meters = [spend.meter(stage) for stage in ("content", "behavior")]
    budget = a_budget(ledger, day_cap=5 * CEILING)

    async def call(number: int, ending: str) -> None:
        ledger.fails_at = {"settle"} if ending == "unsettled" else set()
        async with budget.paid_call(
            meters[number % 2],
            provider="deepseek",
            model="deepseek-flash",
            operation="reason",
            ceiling=CEILING,
        ) as paid_call:
            match ending:
                case "used" | "unsettled":
                    paid_call.used(USAGE)
                case "cost":
                    paid_call.cost(77, "apify")
                case "free":
                    paid_call.free()
                case "broken":
                    raise ConnectionResetError
                case "cancelled":
                    raise asyncio.CancelledError

    async def run() -> None:
        for number, ending in enumerate(endings):
            with suppress(ConnectionResetError, asyncio.CancelledError, ProviderError):
                await call(number, ending)

    asyncio.run(run())
    assert sum(meter.microdollars for meter in meters) == sum(ledger.rows)
    assert sum(ledger.rows) <= 5 * CEILING
    assert spend.reserve(6 * CEILING - sum(ledger.rows))
    assert not spend.reserve(1)
