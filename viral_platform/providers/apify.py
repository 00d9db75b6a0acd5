"""Apify: the post behind a URL, read by one run of a scraper.

A run costs money, so it is started at most once for one outcome that is not known. Datasets of
many posts are read in `apify_datasets.py`.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import stamina

from viral_platform.engine.errors import FailureReason, ProviderError
from viral_platform.engine.spend import Meter
from viral_platform.observability.logging import get_logger
from viral_platform.providers.apify_wire import (
    PRICE_VERSION,
    PROVIDER,
    ActorRun,
    broken,
    client_options,
    microdollars,
    read_run,
    refusal,
)
from viral_platform.providers.breaker import CircuitBreaker
from viral_platform.providers.budget import Budget, PaidCall
from viral_platform.providers.calls import Waits
from viral_platform.providers.wire import plain_word

log = get_logger(__name__)

OPERATION = "fetch_post"

ATTEMPTS = 3
# How long the API holds a poll, and how long the connection may then be silent.
POLL_HELD_SECONDS = 10
READ_SECONDS = 15.0
# The figure of a run may still grow when it ends; for how long a second look may take.
SECOND_LOOK_SECONDS = 3.0
MAX_WORD_CHARACTERS = 120

_ENDED_BADLY: dict[str, FailureReason] = {"TIMED-OUT": "timeout"}
# A gateway that lost its server does not know whether the run was started.
_UNCLEAR = frozenset({502, 504})


class ApifyClient:
    """Reads posts through an actor. Safe for many requests at once on one event loop.

    Parameters
    ----------
    token, base_url : str
        The token goes into a header, never into an address.
    actor : str
        `user~name`, `user/name` or an id.
    breaker : CircuitBreaker
        Asked before each start of a run; has one verdict for it and all that follows.
    budget : Budget
        What runs are paid from.
    attempt_seconds : float, default 40
        When a post is given up, waits and all; the run itself is bounded likewise.
    poll_seconds : float, default 1
        Least time between two looks at a run.
    max_charge_usd : float, default 0.02
        What one run may charge at most.
    waits : Waits
        Between tries of one request.
    transport : httpx.AsyncBaseTransport, optional
        What carries the requests.
    now : callable, optional
        Returns the present, aware.

    Raises
    ------
    ConfigurationError
        The token cannot be sent.
    """

    def __init__(
        self,
        *,
        token: str,
        base_url: str,
        actor: str,
        breaker: CircuitBreaker,
        budget: Budget,
        attempt_seconds: float = 40.0,
        poll_seconds: float = 1.0,
        max_charge_usd: float = 0.02,
        waits: Waits = Waits(),  # noqa: B008  frozen
        transport: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.actor = actor.replace("/", "~")
        self._breaker = breaker
        self._budget = budget
        self._attempt_seconds = attempt_seconds
        self._poll_seconds = poll_seconds
        self._max_charge_usd = max_charge_usd
        self._waits = waits
        self._now = now
        self._client = httpx.AsyncClient(
            **client_options(token, base_url, read_seconds=READ_SECONDS), transport=transport
        )

    async def fetch_post(self, url: str, meter: Meter) -> dict[str, Any]:
        """Return the post as the scraper's item, not validated.

        Reads are tried again. The start of a run is only when it was clearly refused: 429 or a
        server's own error. Nobody waits for longer than `attempt_seconds`.

        Parameters
        ----------
        url : str
            A checked address of one post.
        meter : Meter
            Of the stage that asks.

        Raises
        ------
        ProviderError
            "empty" when the scraper found no such post; the breaker does not count that.
        """
        tries = _Tries(self._waits, self._clock() + self._attempt_seconds)
        turns = stamina.retry_context(on=tries.wait_to_start, attempts=ATTEMPTS, timeout=None)
        async for turn in turns:
            with turn:
                return await self._attempt(url, tries, meter)
        raise AssertionError("the last attempt returns or raises")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _attempt(self, url: str, tries: _Tries, meter: Meter) -> dict[str, Any]:
        with self._breaker.acquire() as permit:
            paid_call = self._budget.paid_call(
                meter,
                provider=PROVIDER,
                model=self.actor,
                operation=OPERATION,
                ceiling=microdollars(self._max_charge_usd),
            )
            async with paid_call as call:
                try:
                    items = await self._items_in_time(url, tries, call)
                except ProviderError as error:
                    if error.is_of_provider:
                        permit.failure()
                    log.warning(
                        "provider_attempt_failed",
                        provider=PROVIDER,
                        operation=OPERATION,
                        reason=error.reason,
                        detail=error.detail,
                        request_id=meter.request.request_id,
                    )
                    raise
                permit.success()
        return _post(items)

    async def _items_in_time(self, url: str, tries: _Tries, call: PaidCall) -> list[Any]:
        try:
            async with asyncio.timeout(tries.remaining()):
                run = await self._start(url, tries, call)
                return await self._items(run, tries, call)
        except TimeoutError:
            raise ProviderError(PROVIDER, "timeout", "the run did not end in time") from None

    async def _start(self, url: str, tries: _Tries, call: PaidCall) -> ActorRun:
        """Start the run; from here on its cost is an estimate until it is told."""
        tries.is_refused = False
        try:
            response = await self._client.post(
                f"/acts/{quote(self.actor, safe='~')}/runs",
                params={
                    "maxItems": 1,
                    "maxTotalChargeUsd": self._max_charge_usd,
                    "timeout": math.ceil(self._attempt_seconds),
                },
                json={
                    "postURLs": [url],
                    "resultsPerPage": 1,
                    "shouldDownloadVideos": False,
                    "shouldDownloadCovers": False,
                    "shouldDownloadSubtitles": False,
                    "shouldDownloadSlideshowImages": False,
                },
            )
        except httpx.HTTPError as error:
            failure = broken(error)
            if failure.is_free:
                call.free()
            raise failure.error from None
        if not response.is_success:
            status = response.status_code
            if status not in _UNCLEAR:
                call.free()
                tries.is_refused = status == 429 or status >= 500
            raise refusal(response, response.content, self._now())
        return read_run(response.content)

    async def _items(self, run: ActorRun, tries: _Tries, call: PaidCall) -> list[Any]:
        """Wait for the end of a run, book its cost and return its items."""
        while run.is_under_way:
            polled_at = self._clock()
            run = await self._look(run.id, tries, held_seconds=POLL_HELD_SECONDS)
            if run.is_under_way:
                early = self._poll_seconds - (self._clock() - polled_at)
                await asyncio.sleep(max(0.0, early))
        _book(run, call)
        items: list[Any] = []
        if run.status == "SUCCEEDED":
            path = f"/datasets/{run.dataset_id}/items"
            items = _list(await self._get(path, {"limit": 1}, tries))
        await self._look_again(run, tries, call)
        if run.status != "SUCCEEDED":
            reason = _ENDED_BADLY.get(run.status, "unavailable")
            word = plain_word(run.status) or "in an unknown way"
            raise ProviderError(PROVIDER, reason, f"the run ended {word}")
        return items

    async def _look(self, run_id: str, tries: _Tries, *, held_seconds: int) -> ActorRun:
        body = await self._get(f"/actor-runs/{run_id}", {"waitForFinish": held_seconds}, tries)
        return read_run(body)

    async def _look_again(self, run: ActorRun, tries: _Tries, call: PaidCall) -> None:
        """Book what a run that ended has cost by now; what is known of it stands otherwise."""
        try:
            async with asyncio.timeout(SECOND_LOOK_SECONDS):
                _book(await self._look(run.id, tries, held_seconds=0), call)
        except (ProviderError, TimeoutError) as error:
            log.warning("run_cost_not_confirmed", provider=PROVIDER, problem=str(error))

    async def _get(self, path: str, query: dict[str, int], tries: _Tries) -> bytes:
        attempt = _Tries(tries.waits, tries.ends_at)
        turns = stamina.retry_context(on=attempt.wait_to_read, attempts=ATTEMPTS, timeout=None)
        async for turn in turns:
            with turn:
                try:
                    response = await self._client.get(path, params=query)
                except httpx.HTTPError as error:
                    raise broken(error).error from None
                if not response.is_success:
                    raise refusal(response, response.content, self._now())
                return response.content
        raise AssertionError("the last attempt returns or raises")

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()


@dataclass
class _Tries:
    """Tries of one request, and when all of them end by the loop's clock.

    `is_refused` says that a start clearly left no run behind.
    """

    waits: Waits
    ends_at: float
    is_refused: bool = False
    number: int = 1

    def remaining(self) -> float:
        """Return the seconds that are left."""
        return self.ends_at - asyncio.get_running_loop().time()

    def wait_to_start(self, error: Exception) -> float | bool:
        """Return the seconds until a run may be started again, False when it must not be."""
        return self.is_refused and self.wait_to_read(error)

    def wait_to_read(self, error: Exception) -> float | bool:
        """Return the seconds until the next try, False when there is to be none."""
        if not isinstance(error, ProviderError) or not error.is_retryable:
            return False
        seconds = max(self.waits.after(self.number), error.retry_after or 0.0)
        self.number += 1
        return seconds if seconds < self.remaining() else False


def _book(run: ActorRun, call: PaidCall) -> None:
    """Book the figure of a run that ended. None or zero is one that was not told yet."""
    if run.microdollars is not None:
        call.cost(run.microdollars, PRICE_VERSION)


def _list(body: bytes) -> list[Any]:
    try:
        items = json.loads(body)
    except (ValueError, RecursionError):
        raise ProviderError(PROVIDER, "not_json", "the dataset is no JSON") from None
    if not isinstance(items, list):
        raise ProviderError(PROVIDER, "schema", "the dataset is no list")
    return items


def _post(items: list[Any]) -> dict[str, Any]:
    """Return the first item, when it is a post."""
    if not items:
        raise ProviderError(PROVIDER, "empty", "the scraper found no such post")
    item = items[0]
    if not isinstance(item, dict):
        raise ProviderError(PROVIDER, "schema", "the dataset holds no object")
    if item.get("error"):
        raise ProviderError(PROVIDER, "empty", _word_of(item["error"]))
    return item


def _word_of(problem: object) -> str:
    """Return the scraper's own sentence on an input that failed, when it is a short one."""
    is_short = isinstance(problem, str) and len(problem) <= MAX_WORD_CHARACTERS
    usual = "the scraper could not read the post"
    return problem if isinstance(problem, str) and is_short and problem.isprintable() else usual
