from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from structlog.testing import capture_logs

from viral_platform.engine.errors import ProviderError
from viral_platform.providers.breaker import BACK_OFF_SECONDS, BreakerState, CircuitBreaker, Permit

PROBE_SECONDS = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("deepseek", clock=clock, probe_seconds=PROBE_SECONDS)


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.acquire().failure()


@contextmanager
def refused() -> Iterator[None]:
    with pytest.raises(ProviderError, match="deepseek: circuit_open") as caught:
        yield
    assert caught.value.reason == "circuit_open"


def test_three_failures_in_a_row_open_it_and_a_success_between_them_does_not(
    breaker: CircuitBreaker,
) -> None:
    fail(breaker, 2)
    breaker.acquire().success()
    fail(breaker, 2)
    assert breaker.state() == BreakerState("closed", 2, None)
    fail(breaker)
    assert breaker.state() == BreakerState("open", 3, 1.0)
    with refused():
        breaker.acquire()


def test_failed_probes_wait_one_three_nine_and_nine_seconds_and_a_success_starts_anew(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker, 3)
    for wait, following in zip(
        (*BACK_OFF_SECONDS, 9.0), (*BACK_OFF_SECONDS[1:], 9.0, 9.0), strict=True
    ):
        clock.now += wait - 0.001
        with refused():
            breaker.acquire()
        clock.now += 0.001
        fail(breaker)
        assert breaker.state().retry_in_seconds == pytest.approx(following)
    clock.now += 9
    breaker.acquire().success()
    assert breaker.state() == BreakerState("closed", 0, None)
    fail(breaker, 3)
    assert breaker.state().retry_in_seconds == pytest.approx(1.0)


def test_a_refusal_says_when_to_come_back(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 0.25
    with pytest.raises(ProviderError, match="3 failures in a row") as caught:
        breaker.acquire()
    assert caught.value.retry_after == pytest.approx(0.75)


def test_looking_at_the_state_takes_no_probe(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 2
    for _ in range(5):
        assert breaker.state() == BreakerState("open", 3, 0.0)
    breaker.acquire().success()


def test_a_late_success_of_an_old_call_does_not_close_an_open_breaker(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    old = breaker.acquire()
    fail(breaker, 3)
    old.success()
    assert breaker.state().status == "open"
    clock.now += 1
    probe = breaker.acquire()
    for late in (old.success, old.failure, old.release):
        late()
        with refused():
            breaker.acquire()
    probe.success()
    assert breaker.state().status == "closed"


def test_late_failures_of_one_burst_open_it_once_and_keep_the_first_wait(
    breaker: CircuitBreaker,
) -> None:
    """Each failed answer counted once more, so that a burst skipped the wait of one second."""
    calls = [breaker.acquire() for _ in range(9)]
    with capture_logs() as logs:
        for call in calls:
            call.failure()
    assert breaker.state() == BreakerState("open", 3, 1.0)
    assert [entry["event"] for entry in logs] == ["breaker_opened"]


def test_a_probe_given_back_lets_the_next_caller_try(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 1
    with pytest.raises(RuntimeError, match="ours"), breaker.acquire():
        raise RuntimeError("a fault of ours")
    assert breaker.state() == BreakerState("half_open", 3, 0.0)
    with breaker.acquire() as probe:
        probe.success()
    assert breaker.state().status == "closed"


def test_a_hung_probe_is_given_up_and_its_late_verdict_is_ignored(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker, 3)
    clock.now += 1
    hung = breaker.acquire()
    clock.now += PROBE_SECONDS - 1
    assert breaker.state() == BreakerState("half_open", 3, 1.0)
    with refused():
        breaker.acquire()
    clock.now += 1
    second = breaker.acquire()
    hung.failure()
    assert breaker.state().status == "half_open"
    second.success()
    assert breaker.state().status == "closed"


def test_only_the_first_verdict_of_a_permit_counts(breaker: CircuitBreaker) -> None:
    permit = breaker.acquire()
    for _ in range(5):
        permit.failure()
    permit.success()
    assert breaker.state() == BreakerState("closed", 1, None)


def test_each_change_of_state_is_logged_once(breaker: CircuitBreaker, clock: Clock) -> None:
    with capture_logs() as logs:
        fail(breaker, 3)
        clock.now += 1
        fail(breaker)
        clock.now += 3
        breaker.acquire().success()
        breaker.acquire().success()
    assert [(entry["event"], entry.get("retry_in_seconds")) for entry in logs] == [
        ("breaker_opened", 1.0),
        ("breaker_opened", 3.0),
        ("breaker_closed", None),
    ]
    assert all(entry["provider"] == "deepseek" for entry in logs)


def _due(clock: Clock, breaker: CircuitBreaker) -> None:
    fail(breaker, 3)
    clock.now += 1


def test_of_fifty_threads_one_is_the_probe(breaker: CircuitBreaker, clock: Clock) -> None:
    _due(clock, breaker)
    start = threading.Barrier(50)

    def ask(_: int) -> Permit | None:
        start.wait(timeout=10)
        try:
            return breaker.acquire()
        except ProviderError:
            return None

    with ThreadPoolExecutor(50) as pool:
        passed = [permit for permit in pool.map(ask, range(50)) if permit is not None]
    assert len(passed) == 1
    passed[0].success()
    assert breaker.state().status == "closed"


def test_of_two_hundred_tasks_one_at_a_time_probes_also_when_probes_are_cancelled(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    _due(clock, breaker)
    probing = 0
    probes = 0

    async def call() -> bool:
        nonlocal probing, probes
        try:
            permit = breaker.acquire()
        except ProviderError:
            return False
        with permit:
            probing += 1
            probes += 1
            assert probing == 1
            try:
                await asyncio.sleep(60)
            finally:
                probing -= 1
        return True

    async def run() -> None:
        for _ in range(3):
            tasks = [asyncio.create_task(call()) for _ in range(200)]
            done, waiting = await asyncio.wait(tasks, timeout=0.05)
            assert (len(done), len(waiting)) == (199, 1)
            waiting.pop().cancel()
            await asyncio.wait(tasks, timeout=5)

    asyncio.run(run())
    assert probes == 3
    breaker.acquire().success()
    assert breaker.state().status == "closed"


def test_the_real_clock_lets_a_probe_through_after_a_second() -> None:
    breaker = CircuitBreaker("gemini")
    fail(breaker, 3)
    time.sleep(1.01)
    breaker.acquire().success()
    assert breaker.state().status == "closed"


class BreakerMachine(RuleBasedStateMachine):
    """The breaker beside a model that knows every permit by the state it was given in."""

    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = CircuitBreaker("deepseek", clock=self.clock, probe_seconds=PROBE_SECONDS)
        self.failures = 0
        self.waits = 0
        self.open_until: float | None = None
        self.probe: Permit | None = None
        self.probe_until = 0.0
        self.live: set[int] = set()
        self.kept: list[Permit] = []

    @rule(target=permits)
    def acquire(self) -> Permit | None:
        now = self.clock.now
        is_free = self.open_until is None or (
            now >= self.open_until and (self.probe is None or now >= self.probe_until)
        )
        if not is_free:
            with refused():
                self.breaker.acquire()
            return None
        permit = self.breaker.acquire()
        self.kept.append(permit)
        if self.open_until is not None:
            self.live.clear()
            self.probe, self.probe_until = permit, now + PROBE_SECONDS
        self.live.add(id(permit))
        return permit

    def _is_live(self, permit: Permit | None) -> bool:
        if permit is None or id(permit) not in self.live:
            return False
        self.live.discard(id(permit))
        return True

    @rule(permit=permits)
    def success(self, permit: Permit | None) -> None:
        is_live = self._is_live(permit)
        if permit is not None:
            permit.success()
        if is_live:
            if permit is self.probe:
                self.open_until, self.probe, self.waits = None, None, 0
                self.live.clear()
            self.failures = 0

    @rule(permit=permits)
    def failure(self, permit: Permit | None) -> None:
        is_live = self._is_live(permit)
        if permit is not None:
            permit.failure()
        if is_live:
            self.failures += 1
            if permit is self.probe or self.failures >= 3:
                self.open_until = self.clock.now + (1, 3, 9, 9)[min(self.waits, 3)]
                self.waits += 1
                self.probe = None
                self.live.clear()

    @rule(permit=consumes(permits))
    def release(self, permit: Permit | None) -> None:
        is_live = self._is_live(permit)
        if permit is not None:
            permit.release()
        if is_live and permit is self.probe:
            self.probe = None

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0, 9.0, 30.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def the_state_is_the_models(self) -> None:
        state = self.breaker.state()
        assert state.consecutive_failures == self.failures
        assert (state.status == "closed") == (self.open_until is None)
        if self.probe is not None:
            assert state.status == "half_open"


BreakerMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestBreakerAgainstItsModel = BreakerMachine.TestCase
