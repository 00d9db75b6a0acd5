"""A circuit breaker per provider: after three failures in a row its calls are put off.

Which errors count as the provider's own failures is decided by who calls (`ProviderError`);
retries, deadlines and budgets do not belong here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from viral_platform.engine.errors import ProviderError
from viral_platform.observability.logging import get_logger

log = get_logger(__name__)

BreakerStatus = Literal["closed", "open", "half_open"]
Verdict = Literal["success", "failure", "release"]

FAILURES_TO_OPEN = 3
BACK_OFF_SECONDS = (1.0, 3.0, 9.0)


@dataclass(frozen=True, slots=True)
class BreakerState:
    """How a breaker stands.

    `retry_in_seconds` is the time until a call may pass, None while all pass; while a probe is
    under way it is the time until its permit expires.
    """

    status: BreakerStatus
    consecutive_failures: int
    retry_in_seconds: float | None


class Permit:
    """Leave to make one call, and the way to say how it ended.

    The first verdict holds, later ones are ignored. As a context manager it gives itself back on
    leaving without a verdict.
    """

    def __init__(self, settle: Callable[[Permit, Verdict], None], epoch: int) -> None:
        self._settle = settle
        self.epoch = epoch
        self.is_spent = False

    def success(self) -> None:
        """Say that the provider answered."""
        self._settle(self, "success")

    def failure(self) -> None:
        """Say that the provider failed."""
        self._settle(self, "failure")

    def release(self) -> None:
        """Give the permit back: cancelled, never sent, or a fault of ours."""
        self._settle(self, "release")

    def __enter__(self) -> Permit:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class CircuitBreaker:
    """The breaker of one provider in this process; safe for threads and tasks.

    Three failures in a row open it for 1 second. Then one call, the probe, passes however many
    ask: its success closes the breaker, its failure opens it for 3 seconds, then 9 each time. A
    verdict counts only for the state in which its permit was given, so that a late answer to an
    old call neither closes an open breaker nor frees the place of another's probe.

    Parameters
    ----------
    provider : str
        Who is called; named in errors and logs.
    clock : callable, default time.monotonic
        Returns seconds that never go back.
    probe_seconds : float, default 60
        After so long without a verdict a probe is given up and another call may try.
    """

    def __init__(
        self,
        provider: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        probe_seconds: float = 60.0,
    ) -> None:
        self.provider = provider
        self._clock = clock
        self._probe_seconds = probe_seconds
        self._lock = threading.Lock()
        self._status: BreakerStatus = "closed"
        self._failures = 0
        self._openings = 0
        self._passes_at = 0.0
        self._epoch = 0

    def acquire(self) -> Permit:
        """Return leave to make one call.

        Raises
        ------
        ProviderError
            Reason "circuit_open": the breaker is open, or its probe is under way.
        """
        with self._lock:
            now = self._clock()
            if self._status != "closed":
                if now < self._passes_at:
                    raise self._refusal(self._passes_at - now)
                self._status = "half_open"
                self._passes_at = now + self._probe_seconds
                self._epoch += 1
            return Permit(self._on_verdict, self._epoch)

    def state(self) -> BreakerState:
        """Return how the breaker stands; looking changes nothing."""
        with self._lock:
            wait = None
            if self._status != "closed":
                wait = max(0.0, self._passes_at - self._clock())
            return BreakerState(self._status, self._failures, wait)

    def _refusal(self, wait: float) -> ProviderError:
        return ProviderError(
            self.provider,
            "circuit_open",
            f"{self._failures} failures in a row; it is tried again in {wait:.1f} s",
            retry_after=wait,
        )

    def _on_verdict(self, permit: Permit, verdict: Verdict) -> None:
        with self._lock:
            counts = not permit.is_spent and permit.epoch == self._epoch
            permit.is_spent = True
            before = self._status
            if counts:
                self._apply(verdict)
            after, failures, openings = self._status, self._failures, self._openings
        if after == before:
            return
        if after == "open":
            log.warning(
                "breaker_opened",
                provider=self.provider,
                consecutive_failures=failures,
                retry_in_seconds=_back_off(openings),
            )
        else:
            log.info("breaker_closed", provider=self.provider)

    def _apply(self, verdict: Verdict) -> None:
        is_probe = self._status == "half_open"
        if verdict == "success":
            self._failures = 0
            if is_probe:
                self._status = "closed"
                self._openings = 0
                self._epoch += 1
        elif verdict == "failure":
            self._failures += 1
            if is_probe or self._failures >= FAILURES_TO_OPEN:
                self._status = "open"
                self._openings += 1
                self._passes_at = self._clock() + _back_off(self._openings)
                self._epoch += 1
        elif is_probe:
            self._passes_at = self._clock()


def _back_off(openings: int) -> float:
    return BACK_OFF_SECONDS[min(openings, len(BACK_OFF_SECONDS)) - 1]
