"""Running a stage so that nothing it does is fatal, and keeping the record of what it did.

What the stages are does not belong here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from viral_platform.engine.contracts import StageRecord, StageStatus
from viral_platform.engine.errors import ProviderError
from viral_platform.engine.spend import Meter, RequestSpend

MICRODOLLARS_PER_CENT = 10_000

Result = TypeVar("Result")


class Absent(Exception):  # noqa: N818  not an error: the stage has nothing to judge
    """Raised inside a stage that has nothing to judge; the text says what is missing."""


class Observer(Protocol):
    """Who is told what the stages do, as it happens."""

    def on_stage(self, record: StageRecord) -> None:
        """Take the record of a stage that ended."""
        ...

    def on_error(self, stage: str, error: Exception) -> None:
        """Take the exception of a stage that broke, once."""
        ...


class StageRecorder:
    """Runs stages and keeps a record of each: what it did, how long it took, what it cost.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    observer : Observer
        Told of each record and each exception.
    spend : RequestSpend
        What the request spends; each stage has its own meter on it.
    deadline_seconds : float
        When the request ends, from now: no stage waits longer.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        observer: Observer,
        spend: RequestSpend,
        deadline_seconds: float,
    ) -> None:
        self._clock = clock
        self._observer = observer
        self._spend = spend
        self._ends_at = clock() + deadline_seconds
        self.records: list[StageRecord] = []

    def remaining(self) -> float:
        """Return the seconds that are left to the request, at least 0."""
        return max(0.0, self._ends_at - self._clock())

    def status(self, stage: str) -> StageStatus | None:
        """Return how a stage ended, None for one that did not run."""
        return next((record.status for record in self.records if record.stage == stage), None)

    def run(self, stage: str, work: Callable[[], Result], otherwise: Result) -> Result:
        """Return what `work` returns, or `otherwise` when it is absent or breaks."""
        started = self._clock()
        try:
            result = work()
        except Exception as error:  # noqa: BLE001  no stage is fatal; the error is reported
            self._record(stage, started, self._told(stage, error))
            return otherwise
        self._record(stage, started, ("ok", None))
        return result

    async def wait(
        self,
        stage: str,
        work: Callable[[Meter], Awaitable[Result]],
        otherwise: Result,
        seconds: float,
    ) -> Result:
        """Return what `work` returns within so many seconds, or `otherwise`.

        The request's own end comes first when it is nearer. Cancellation passes through.
        """
        started = self._clock()
        meter = self._spend.meter(stage)
        try:
            async with asyncio.timeout(min(seconds, self.remaining())):
                result = await work(meter)
        except Exception as error:  # noqa: BLE001  no stage is fatal; the error is reported
            self._record(stage, started, self._told(stage, error), meter)
            return otherwise
        self._record(stage, started, ("ok", None), meter)
        return result

    def _told(self, stage: str, error: Exception) -> tuple[StageStatus, str]:
        """Return status and reason of an exception, after reporting it when it is a failure."""
        if isinstance(error, Absent):
            return "absent", str(error)
        if isinstance(error, ProviderError) and error.reason == "not_configured":
            return "absent", "not_configured"
        self._observer.on_error(stage, error)
        if isinstance(error, ProviderError):
            # A refusal's detail is the provider's own word for it; other details stay inside.
            refused = error.reason == "refused"
            return "failed", f"refused: {error.detail}" if refused else error.reason
        return "failed", "timeout" if isinstance(error, TimeoutError) else "internal_error"

    def _record(
        self,
        stage: str,
        started: float,
        told: tuple[StageStatus, str | None],
        meter: Meter | None = None,
    ) -> None:
        status, reason = told
        record = StageRecord(
            stage=stage,
            status=status,
            duration_ms=max(0.0, (self._clock() - started) * 1000),
            cost_cents=0.0 if meter is None else meter.microdollars / MICRODOLLARS_PER_CENT,
            reason=reason,
        )
        self.records.append(record)
        self._observer.on_stage(record)
