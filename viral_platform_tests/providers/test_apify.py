from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from viral_platform.engine.errors import ConfigurationError, FailureReason, ProviderError
from viral_platform.engine.spend import Meter, RequestSpend
from viral_platform.providers.apify import PRICE_VERSION, ApifyClient
from viral_platform.providers.breaker import CircuitBreaker
from viral_platform.providers.budget import Budget, Reservation, Settlement
from viral_platform.providers.calls import Waits
from viral_platform.providers.pricing import Pricing
from viral_platform.sandbox.stand_ins import Fault, StandIn

URL = "https://www.tiktok.com/@bread.maker/video/7301234567890123456"
TOKEN = "apify_api_do_not_show"
CEILING = 20_000
# One start and one item at the stand-in's prices.
COST = 5_000
PRICING = Pricing()


@dataclass
class MemoryLedger:
    reservations: list[Reservation] = field(default_factory=list)
    settlements: dict[int, Settlement] = field(default_factory=dict)

    def reserve(self, reservation: Reservation, *, day_cap_microdollars: int) -> int | None:
        if reservation.ceiling_microdollars > day_cap_microdollars:
            return None
        self.reservations.append(reservation)
        return len(self.reservations) - 1

    def settle(self, event_id: int, settlement: Settlement) -> None:
        self.settlements[event_id] = settlement

    def microdollars(self) -> list[int]:
        return [
            self.settlements[i].microdollars if i in self.settlements else one.ceiling_microdollars
            for i, one in enumerate(self.reservations)
        ]


@dataclass
class Bench:
    """A client with everything around it."""

    stand_in: StandIn
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    breaker: CircuitBreaker = field(default_factory=lambda: CircuitBreaker("apify"))
    meter: Meter = field(default_factory=lambda: RequestSpend("request-1").meter("post"))
    day_cap: int = 1_000_000
    options: dict[str, Any] = field(default_factory=dict)

    def run(self, work: Callable[[ApifyClient], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            options = {
                "base_url": self.stand_in.base_url,
                "attempt_seconds": 5.0,
                "poll_seconds": 0.01,
                "waits": Waits(first=0.01, factor=1.0, jitter=0.0),
                **self.options,
            }
            client = ApifyClient(
                token=TOKEN,
                actor="clockworks/tiktok-scraper",
                breaker=self.breaker,
                budget=Budget(self.ledger, PRICING, day_cap_microdollars=self.day_cap),
                **options,
            )
            try:
                return await work(client)
            finally:
                await client.aclose()

        return asyncio.run(run())

    def fetch(self, url: str = URL) -> dict[str, Any]:
        item: dict[str, Any] = self.run(lambda client: client.fetch_post(url, self.meter))
        return item

    def refused(self, reason: FailureReason, url: str = URL) -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            self.fetch(url)
        assert caught.value.reason == reason, caught.value
        assert caught.value.provider == "apify"
        assert TOKEN not in str(caught.value)
        return caught.value

    def operations(self) -> list[str]:
        return [call.operation for call in self.stand_in.calls("apify")]


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def bench(running: StandIn) -> Iterator[Bench]:
    bench = Bench(running)
    yield bench
    # The meter of a request equals the rows of the ledger, however its calls ended.
    assert bench.meter.microdollars == sum(bench.ledger.microdollars())
    running.reset()


def test_a_post_is_read_by_one_run_and_costs_what_the_run_says(bench: Bench) -> None:
    item = bench.fetch()
    assert item["id"] == "7301234567890123456"
    assert item["authorMeta"]["name"] == "bread.maker"
    assert bench.operations() == ["start", "run", "items", "run"]
    assert bench.ledger.settlements == {0: Settlement(COST, PRICE_VERSION)}
    (booked,) = bench.ledger.reservations
    assert (booked.provider, booked.model) == ("apify", "clockworks~tiktok-scraper")
    assert booked.ceiling_microdollars == CEILING
    assert bench.breaker.state().consecutive_failures == 0


def test_the_run_is_bounded_and_the_token_stays_out_of_addresses(bench: Bench) -> None:
    bench.fetch()
    start, *reads = bench.stand_in.calls("apify")
    assert start.path == "/v2/acts/clockworks~tiktok-scraper/runs"
    assert start.query == {"maxItems": "1", "maxTotalChargeUsd": "0.02", "timeout": "5"}
    assert start.body["postURLs"] == [URL]
    assert start.body["resultsPerPage"] == 1
    for call in (start, *reads):
        assert call.headers["authorization"] == f"Bearer {TOKEN}"
        assert TOKEN not in call.path + str(call.query)


def test_a_run_is_looked_at_until_it_ends(bench: Bench) -> None:
    bench.stand_in.fail("apify", Fault.RUN_STATUS, times=3, status="RUNNING")
    bench.options = {"poll_seconds": 0.05}
    started = time.monotonic()
    assert bench.fetch()["id"] == "7301234567890123456"
    assert bench.operations() == ["start", *["run"] * 4, "items", "run"]
    assert time.monotonic() - started >= 0.15


def test_a_run_that_does_not_end_is_given_up_at_the_deadline(bench: Bench) -> None:
    bench.stand_in.fail("apify", Fault.RUN_STATUS, status="RUNNING")
    bench.options = {"attempt_seconds": 0.3, "poll_seconds": 0.1}
    started = time.monotonic()
    assert bench.refused("timeout").detail == "the run did not end in time"
    assert time.monotonic() - started < 1.0
    assert bench.operations().count("start") == 1
    assert bench.ledger.microdollars() == [CEILING]
    assert bench.breaker.state().consecutive_failures == 1


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("FAILED", "unavailable"),
        ("ABORTED", "unavailable"),
        ("TIMED-OUT", "timeout"),
        ("on fire", "unavailable"),
    ],
)
def test_a_run_that_ends_badly_costs_and_is_not_started_again(
    bench: Bench, status: str, reason: FailureReason
) -> None:
    bench.stand_in.fail("apify", Fault.RUN_STATUS, status=status)
    error = bench.refused(reason)
    assert error.detail == f"the run ended {'in an unknown way' if ' ' in status else status}"
    assert bench.operations() == ["start", "run", "run"]
    assert bench.ledger.microdollars() == [COST]
    assert bench.breaker.state().consecutive_failures == 1


@pytest.mark.parametrize(
    ("fault", "url", "word"),
    [
        (Fault.EMPTY, URL, "the scraper found no such post"),
        (Fault.ERROR_ITEM, URL, "This profile/hashtag does not exist."),
        (None, "https://www.tiktok.com/about", "This post does not exist."),
    ],
)
def test_a_post_that_is_not_there_is_not_held_against_the_provider(
    bench: Bench, fault: Fault | None, url: str, word: str
) -> None:
    if fault is not None:
        bench.stand_in.fail("apify", fault)
    for _ in range(4):
        assert bench.refused("empty", url).detail == word
    assert bench.operations().count("start") == 4
    assert bench.ledger.microdollars() == [COST] * 4
    assert bench.breaker.state().consecutive_failures == 0


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_refused_start_is_tried_again_and_costs_nothing(bench: Bench, status: int) -> None:
    fault = Fault.RATE_LIMITED if status == 429 else Fault.SERVER_ERROR
    given = {"retry_after": 0.05} if status == 429 else {"status": status}
    bench.stand_in.fail("apify", fault, times=2, operation="start", **given)
    assert bench.fetch()["id"] == "7301234567890123456"
    assert bench.operations() == ["start"] * 3 + ["run", "items", "run"]
    assert bench.ledger.microdollars() == [0, 0, COST]
    assert bench.breaker.state().consecutive_failures == 0


def test_a_start_is_tried_three_times_and_each_counts_for_the_breaker(bench: Bench) -> None:
    bench.stand_in.fail("apify", Fault.SERVER_ERROR)
    assert bench.refused("unavailable").detail == "HTTP 503 internal-server-error"
    assert bench.operations() == ["start"] * 3
    assert bench.ledger.microdollars() == [0, 0, 0]
    assert bench.breaker.state().status == "open"
    assert bench.refused("circuit_open").retry_after is not None
    assert len(bench.ledger.reservations) == 3


@pytest.mark.parametrize(
    ("status", "reason", "attempts"),
    [
        (400, "bad_request", 1),
        (401, "unauthorized", 1),
        (402, "out_of_credit", 1),
        (403, "unauthorized", 1),
        (404, "not_found", 1),
        (302, "unavailable", 1),
    ],
)
def test_refusals_that_cannot_change_are_not_tried_again(
    bench: Bench, status: int, reason: FailureReason, attempts: int
) -> None:
    bench.stand_in.fail("apify", Fault.SERVER_ERROR, status=status)
    error = bench.refused(reason)
    assert error.detail.startswith(f"HTTP {status}")
    assert bench.operations() == ["start"] * attempts
    assert bench.ledger.microdollars() == [0]
    assert bench.breaker.state().consecutive_failures == (1 if status == 302 else 0)


@pytest.mark.parametrize(
    ("fault", "given", "reason"),
    [
        (Fault.RESET, {}, "unreachable"),
        (Fault.GARBAGE, {}, "not_json"),
        (Fault.SCHEMA_DRIFT, {}, "schema"),
        (Fault.SERVER_ERROR, {"status": 502}, "unavailable"),
        (Fault.SERVER_ERROR, {"status": 504}, "unavailable"),
        (Fault.HANG, {}, "timeout"),
    ],
)
def test_a_start_of_unclear_outcome_is_never_repeated_and_stays_booked(
    bench: Bench, fault: Fault, given: dict[str, Any], reason: FailureReason
) -> None:
    bench.options = {"attempt_seconds": 0.5}
    bench.stand_in.fail("apify", fault, operation="start", **given)
    bench.refused(reason)
    assert bench.operations() == ["start"]
    assert bench.ledger.microdollars() == [CEILING]
    assert bench.ledger.settlements == {}
    assert bench.breaker.state().consecutive_failures == 1


def test_a_start_that_never_left_costs_nothing(bench: Bench) -> None:
    bench.options = {"base_url": "http://127.0.0.1:1"}
    assert bench.refused("unreachable").detail == "ConnectError"
    assert bench.ledger.microdollars() == [0]


@pytest.mark.parametrize("operation", ["run", "items"])
@pytest.mark.parametrize(
    ("fault", "given"),
    [
        (Fault.RESET, {}),
        (Fault.RATE_LIMITED, {"retry_after": 0.02}),
        (Fault.SERVER_ERROR, {"status": 502}),
    ],
)
def test_reads_are_tried_again_without_another_run(
    bench: Bench, operation: str, fault: Fault, given: dict[str, Any]
) -> None:
    bench.stand_in.fail("apify", fault, times=2, operation=operation, **given)
    assert bench.fetch()["id"] == "7301234567890123456"
    assert bench.operations().count("start") == 1
    assert bench.ledger.microdollars() == [COST]
    assert bench.breaker.state().consecutive_failures == 0


@pytest.mark.parametrize(
    ("operation", "fault", "reason", "spent"),
    [
        ("run", Fault.SERVER_ERROR, "unavailable", CEILING),
        ("run", Fault.RESET, "unreachable", CEILING),
        ("run", Fault.GARBAGE, "not_json", CEILING),
        ("run", Fault.SCHEMA_DRIFT, "schema", CEILING),
        ("run", Fault.NOT_FOUND, "not_found", CEILING),
        ("items", Fault.SERVER_ERROR, "unavailable", COST),
        ("items", Fault.GARBAGE, "not_json", COST),
    ],
)
def test_reads_that_keep_failing_end_it_and_no_second_run_is_started(
    bench: Bench, operation: str, fault: Fault, reason: FailureReason, spent: int
) -> None:
    bench.stand_in.fail("apify", fault, operation=operation)
    bench.refused(reason)
    assert bench.operations().count("start") == 1
    retried = reason in {"unavailable", "unreachable"}
    assert bench.operations().count(operation) == (3 if retried else 1)
    assert bench.ledger.microdollars() == [spent]


def test_a_wait_that_does_not_fit_the_deadline_is_not_begun(bench: Bench) -> None:
    bench.stand_in.fail("apify", Fault.RATE_LIMITED, retry_after=60)
    started = time.monotonic()
    assert bench.refused("rate_limited").retry_after == 60
    assert time.monotonic() - started < 1.0
    assert bench.operations() == ["start"]


def test_a_run_that_does_not_say_what_it_used_stays_an_estimate(bench: Bench) -> None:
    bench.stand_in.fail("apify", Fault.NO_USAGE)
    bench.fetch()
    assert bench.ledger.settlements == {}
    assert bench.ledger.microdollars() == [CEILING]


def test_a_second_look_that_fails_leaves_the_first_figure(bench: Bench) -> None:
    # The first look passes, what comes after it does not.
    bench.stand_in.fail("apify", Fault.RUN_STATUS, times=1, status="SUCCEEDED")
    bench.stand_in.fail("apify", Fault.SERVER_ERROR, operation="run")
    with capture_logs() as events:
        bench.fetch()
    assert bench.ledger.microdollars() == [COST]
    assert "run_cost_not_confirmed" in [event["event"] for event in events]


def test_an_error_page_that_is_no_json_is_known_by_its_status(bench: Bench) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(413, text="<html>too large</html>")

    bench.options = {"transport": httpx.MockTransport(answer)}
    assert bench.refused("bad_request").detail == "HTTP 413"
    assert bench.ledger.microdollars() == [0]


def test_what_may_not_be_spent_is_not_asked_for(bench: Bench) -> None:
    bench.day_cap = CEILING - 1
    bench.refused("budget_day")
    bench.meter = RequestSpend("request-1", CEILING - 1).meter("post")
    bench.refused("budget_request")
    assert bench.operations() == []
    assert bench.breaker.state().consecutive_failures == 0


def test_a_cancelled_read_gives_its_permit_back_and_stays_an_estimate(bench: Bench) -> None:
    bench.stand_in.fail("apify", Fault.HANG, operation="run")

    async def cancelled(client: ApifyClient) -> None:
        task = asyncio.create_task(client.fetch_post(URL, bench.meter))
        while "run" not in bench.operations():
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    bench.run(cancelled)
    assert bench.ledger.microdollars() == [CEILING]
    assert bench.breaker.state().consecutive_failures == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{}", "schema"),
        ("[3]", "schema"),
        ("[]", "empty"),
        ('[{"error": "' + "x" * 200 + '"}]', "empty"),
        ("[" * 99_999, "not_json"),
        ("nothing", "not_json"),
    ],
)
def test_a_dataset_of_any_other_shape_gives_a_typed_error(
    bench: Bench, body: str, reason: FailureReason
) -> None:
    run = {"id": "r1", "status": "SUCCEEDED", "defaultDatasetId": "d1", "usageTotalUsd": "?"}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/items"):
            return httpx.Response(200, text=body)
        return httpx.Response(201, json={"data": run})

    bench.options = {"transport": httpx.MockTransport(answer)}
    assert "x" * 9 not in str(bench.refused(reason))
    assert bench.ledger.microdollars() == [CEILING]


def test_ids_that_would_lead_elsewhere_are_refused(bench: Bench) -> None:
    run = {"id": "../users/me", "status": "READY", "defaultDatasetId": "d1"}
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(201, json={"data": run})

    bench.options = {"transport": httpx.MockTransport(answer)}
    bench.refused("schema")
    assert asked == ["/v2/acts/clockworks~tiktok-scraper/runs"]


@pytest.mark.parametrize("token", ["", "  ", "a\nb", "khoá"])
def test_a_token_that_cannot_be_sent_is_refused_at_the_start(bench: Bench, token: str) -> None:
    with pytest.raises(ConfigurationError, match="APIFY_TOKEN"):
        ApifyClient(
            token=token,
            base_url="http://127.0.0.1:1",
            actor="a",
            breaker=bench.breaker,
            budget=Budget(bench.ledger, PRICING, day_cap_microdollars=1),
        )
