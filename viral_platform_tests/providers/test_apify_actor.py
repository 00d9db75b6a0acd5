from __future__ import annotations

import asyncio
from typing import Any

import pytest

from viral_platform.engine.errors import FailureReason, ProviderError
from viral_platform.engine.spend import RequestSpend
from viral_platform.providers.apify_actor import (
    ActorStarter,
    RunCaps,
    RunWebhook,
    UnclearStartError,
)
from viral_platform.providers.apify_wire import ActorRun
from viral_platform.providers.breaker import CircuitBreaker
from viral_platform.providers.budget import Budget
from viral_platform.providers.calls import Waits
from viral_platform.sandbox.stand_ins import Fault, StandIn

from .test_apify import PRICING, MemoryLedger

CEILING = 500_000


class Bench:
    """A starter, and what is around it."""

    def __init__(self, base_url: str, **options: Any) -> None:
        self.base_url = base_url
        self.options = options
        self.ledger = MemoryLedger()
        self.breaker = CircuitBreaker("apify")
        self.meter = RequestSpend("scrape-1").meter("scrape")

    def start(self) -> ActorRun:
        async def run() -> ActorRun:
            client = ActorStarter(
                token="apify_api_token",
                base_url=self.base_url,
                actor="clockworks/tiktok-scraper",
                breaker=self.breaker,
                budget=Budget(self.ledger, PRICING, day_cap_microdollars=10**9),
                waits=Waits(first=0.01, factor=1.0, jitter=0.0),
                **self.options,
            )
            try:
                return await client.start_actor(
                    {"hashtags": ["dance"]},
                    webhook=RunWebhook("http://127.0.0.1:9", "hush-hush"),
                    caps=RunCaps(max_items=10, max_charge_usd=0.5, seconds=60),
                    meter=self.meter,
                )
            finally:
                await client.aclose()

        return asyncio.run(run())

    def refused(self, reason: FailureReason) -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            self.start()
        assert caught.value.reason == reason, caught.value
        # The meter of a request equals the rows of the ledger, however its calls ended.
        assert self.meter.microdollars == sum(self.ledger.microdollars())
        return caught.value


def test_a_run_is_started_and_counts_with_its_ceiling(stand_in: StandIn) -> None:
    bench = Bench(stand_in.base_url)
    run = bench.start()
    assert run.is_under_way
    assert bench.ledger.microdollars() == [CEILING]
    assert bench.meter.microdollars == CEILING


def test_nobody_waits_longer_than_the_deadline(stand_in: StandIn) -> None:
    stand_in.latency = 5.0
    bench = Bench(stand_in.base_url, deadline_seconds=0.3)
    assert isinstance(bench.refused("timeout"), UnclearStartError)
    assert bench.ledger.microdollars() == [CEILING]


def test_no_wait_is_begun_that_would_end_after_the_deadline(stand_in: StandIn) -> None:
    stand_in.fail("apify", Fault.RATE_LIMITED, retry_after=30)
    bench = Bench(stand_in.base_url, deadline_seconds=10.0)
    assert not isinstance(bench.refused("rate_limited"), UnclearStartError)
    assert len(stand_in.calls("apify")) == 1


def test_without_a_connection_nothing_is_started_and_nothing_paid() -> None:
    bench = Bench("http://127.0.0.1:9")
    assert not isinstance(bench.refused("unreachable"), UnclearStartError)
    assert bench.ledger.microdollars() == [0, 0, 0]
    # The third failure opened the breaker.
    assert bench.breaker.state().status == "open"


def test_an_open_breaker_lets_no_start_through(stand_in: StandIn) -> None:
    bench = Bench(stand_in.base_url)
    for _ in range(3):
        bench.breaker.acquire().failure()
    bench.refused("circuit_open")
    assert stand_in.calls("apify") == []
    assert bench.ledger.microdollars() == []


@pytest.mark.parametrize("status", [408, 500, 502, 504])
def test_an_error_that_may_come_after_a_start_is_not_tried_again(
    stand_in: StandIn, status: int
) -> None:
    stand_in.fail("apify", Fault.SERVER_ERROR, status=status)
    bench = Bench(stand_in.base_url)
    error = bench.refused("timeout" if status == 408 else "unavailable")
    assert isinstance(error, UnclearStartError)
    assert len(stand_in.calls("apify")) == 1
    assert bench.ledger.microdollars() == [CEILING]
