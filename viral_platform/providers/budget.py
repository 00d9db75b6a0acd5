"""No paid call without a reservation: by request, then by day in a ledger that outlives us.

What is spent is known after a call, so its ceiling is set aside before and replaced after.
Prices, and how the ledger keeps its rows, do not belong here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Literal, ParamSpec, Protocol, TypeVar

from viral_platform.engine.errors import DatabaseUnavailableError, ProviderError
from viral_platform.engine.spend import Meter
from viral_platform.observability.logging import get_logger
from viral_platform.providers.pricing import Pricing, Usage

log = get_logger(__name__)

Given = ParamSpec("Given")
Got = TypeVar("Got")


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a call may cost at most, set aside before it is made; its UTC day is `occurred_at`'s."""

    request_id: str
    provider: str
    model: str
    operation: str
    ceiling_microdollars: int
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a call did cost; `tokens` by kind, empty where a provider counts none."""

    microdollars: int
    price_version: str
    tokens: dict[str, int] = field(default_factory=dict)


UNPAID = Settlement(0, "free")


class Ledger(Protocol):
    """Durable list of paid calls, one for all processes of an installation."""

    def reserve(self, reservation: Reservation, *, day_cap_microdollars: int) -> int | None:
        """Return the id of the new event, None when the UTC day's sum would pass the cap.

        Raises
        ------
        DatabaseUnavailableError
        """
        ...

    def settle(self, event_id: int, settlement: Settlement) -> None:
        """Replace the ceiling of an event by what was spent.

        Raises
        ------
        DatabaseUnavailableError
        """
        ...


class PaidCall:
    """A call with its money set aside. Who makes it says what became of it; the last word counts.

    Nothing said means that the call may have been sent: its ceiling then stays booked, as an
    estimate.
    """

    def __init__(self, price: Callable[[Usage], Settlement]) -> None:
        self._price = price
        self.settlement: Settlement | None = None

    def used(self, usage: Usage) -> int:
        """Book tokens at the prices of the time of the request; return micro-dollars."""
        self.settlement = self._price(usage)
        return self.settlement.microdollars

    def cost(self, microdollars: int, price_version: str) -> None:
        """Book a price that the provider itself says."""
        self.settlement = Settlement(microdollars, price_version)

    def free(self) -> None:
        """Book nothing: the provider answered with an error, or was never reached."""
        self.settlement = UNPAID


class Budget:
    """Caps on what calls to providers cost, for a request and for a UTC day.

    Parameters
    ----------
    ledger : Ledger
        Where each paid call is a row before it is made.
    pricing : Pricing
        Prices of language models.
    day_cap_microdollars : int
        What all calls of one UTC day may cost, over all processes.
    now : callable, optional
        Returns the present, aware.
    """

    def __init__(
        self,
        ledger: Ledger,
        pricing: Pricing,
        *,
        day_cap_microdollars: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._pricing = pricing
        self._day_cap = day_cap_microdollars
        self._now = now

    def paid_call(
        self, meter: Meter, *, provider: str, model: str, operation: str, ceiling: int
    ) -> AbstractAsyncContextManager[PaidCall]:
        """Return the context of one call; entering sets its ceiling aside, leaving settles it.

        The meter is charged on leaving with what the ledger's row then holds, also when the task
        is cancelled; the row is written even then.

        Parameters
        ----------
        meter : Meter
            Of the stage that calls; its request's cap is asked first.
        provider, model, operation : str
            What is called; `operation` names the purpose, as "analyse".
        ceiling : int
            Micro-dollars that the call costs at most (`Pricing.ceiling`).

        Raises
        ------
        ProviderError
            On entering, and the call must not be made: "budget_request" or "budget_day" when a
            cap would be passed, "ledger_unavailable" when the ledger cannot be written.
        """
        reservation = Reservation(
            request_id=meter.request.request_id,
            provider=provider,
            model=model,
            operation=operation,
            ceiling_microdollars=ceiling,
            occurred_at=self._now(),
        )
        return self._paid_call(_Booking(self._ledger, meter, reservation, self._day_cap))

    @asynccontextmanager
    async def _paid_call(self, booking: _Booking) -> AsyncIterator[PaidCall]:
        event_id = await booking.reserve()
        booked = booking.reservation

        def price(usage: Usage) -> Settlement:
            priced = self._pricing.cost(booked.provider, booked.model, usage, booked.occurred_at)
            return Settlement(priced.microdollars, priced.price_version, usage.by_kind())

        call = PaidCall(price)
        try:
            yield call
        finally:
            await booking.leave(event_id, call.settlement)


class _Booking:
    """One reservation on its way through request, ledger and settlement.

    Writes run in threads and are never waited for by a cancelled task. `asyncio.shield` keeps
    the cancellation from a write that waits for its thread.
    """

    def __init__(
        self, ledger: Ledger, meter: Meter, reservation: Reservation, day_cap: int
    ) -> None:
        self.reservation = reservation
        self._ledger = ledger
        self._meter = meter
        self._day_cap = day_cap
        self._ceiling = reservation.ceiling_microdollars
        self._lock = threading.Lock()
        self._event_id: int | None = None
        self._is_abandoned = False

    async def reserve(self) -> int:
        """Set the ceiling aside, at the request and in the ledger; return the row's id."""
        if not self._meter.request.reserve(self._ceiling):
            raise self._refusal("budget_request", "REQUEST_BUDGET_CENTS")
        reserved = None
        try:
            reserved = await _in_thread(self._reserve_in_ledger)
        except asyncio.CancelledError:
            with self._lock:
                self._is_abandoned = True
                event_id = self._event_id
            if event_id is not None:
                _in_thread(self._settle, event_id, UNPAID)
            raise
        except DatabaseUnavailableError as error:
            log.error("ledger_unavailable", problem=str(error), **self._names())  # noqa: TRY400
            raise ProviderError(
                self.reservation.provider,
                "ledger_unavailable",
                "what it costs cannot be recorded, so the call is not made",
            ) from error
        finally:
            if reserved is None:
                self._meter.request.settle(self._ceiling, 0)
        if reserved is None:
            log.warning("day_budget_reached", **self._names())
            raise self._refusal("budget_day", "DAILY_BUDGET_CENTS")
        return reserved

    async def leave(self, event_id: int, settlement: Settlement | None) -> None:
        """Charge the meter and settle the row; the row stays an estimate when nothing is known."""
        if settlement is None:
            self._meter.add(self._ceiling)
            log.warning("cost_estimated", microdollars=self._ceiling, **self._names())
            return
        if settlement.microdollars > self._ceiling:
            log.warning(
                "cost_above_ceiling",
                microdollars=settlement.microdollars,
                ceiling_microdollars=self._ceiling,
                **self._names(),
            )
        self._meter.add(settlement.microdollars)
        self._meter.request.settle(self._ceiling, settlement.microdollars)
        await _in_thread(self._settle, event_id, settlement)

    def _reserve_in_ledger(self) -> int | None:
        event_id = self._ledger.reserve(self.reservation, day_cap_microdollars=self._day_cap)
        with self._lock:
            self._event_id = event_id
            is_abandoned = self._is_abandoned
        if is_abandoned and event_id is not None:
            self._settle(event_id, UNPAID)
        return event_id

    def _settle(self, event_id: int, settlement: Settlement) -> None:
        try:
            self._ledger.settle(event_id, settlement)
        except DatabaseUnavailableError as error:
            log.error(  # noqa: TRY400
                "settlement_failed", event_id=event_id, problem=str(error), **self._names()
            )
            # The row keeps the ceiling, so the meter and the request keep it too.
            self._meter.add(self._ceiling - settlement.microdollars)
            self._meter.request.settle(settlement.microdollars, self._ceiling)

    def _refusal(
        self, reason: Literal["budget_request", "budget_day"], setting: str
    ) -> ProviderError:
        return ProviderError(
            self.reservation.provider,
            reason,
            f"the call may cost {self._ceiling} micro-dollars and would pass {setting}",
        )

    def _names(self) -> dict[str, str]:
        booked = self.reservation
        return {
            "provider": booked.provider,
            "model": booked.model,
            "operation": booked.operation,
            "request_id": booked.request_id,
        }


def _in_thread(
    work: Callable[Given, Got], *args: Given.args, **kwargs: Given.kwargs
) -> asyncio.Future[Got]:
    """Start work in a thread at once; it ends even when whoever waits for it is cancelled."""
    run = partial(copy_context().run, work, *args, **kwargs)
    return asyncio.shield(asyncio.get_running_loop().run_in_executor(None, run))
