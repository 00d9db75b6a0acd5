"""Apify: the start of an actor run that is not waited for; its webhook tells of its end.

A run costs money, so it is started again only after an answer that clearly started none.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

import httpx
import stamina

from viral_platform.engine.errors import ConfigurationError, ProviderError
from viral_platform.engine.spend import Meter
from viral_platform.observability.logging import get_logger
from viral_platform.providers.apify_wire import (
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
from viral_platform.providers.wire import usable_key

log = get_logger(__name__)

OPERATION = "scrape"
ATTEMPTS = 3
READ_SECONDS = 30.0
SECRET_HEADER = "X-Webhook-Secret"  # noqa: S105  a name
# Every way in which a run can end: one that failed still brings what it had gathered.
EVENT_TYPES = (
    "ACTOR.RUN.SUCCEEDED",
    "ACTOR.RUN.FAILED",
    "ACTOR.RUN.ABORTED",
    "ACTOR.RUN.TIMED_OUT",
)
# Apify's own default, written out: no secret of ours belongs into the body.
PAYLOAD_TEMPLATE = (
    '{"userId": {{userId}}, "createdAt": {{createdAt}}, "eventType": {{eventType}}, '
    '"eventData": {{eventData}}, "resource": {{resource}}}'
)
_OVERLOADED = 503


class UnclearStartError(ProviderError):
    """Whether a run was started is not known: the request was sent and its answer is of no use."""


@dataclass(frozen=True, slots=True)
class RunWebhook:
    """Where Apify tells of the end of a run, with the secret that it shows there."""

    url: str
    secret: str = field(repr=False)

    def encoded(self) -> str:
        """Return it as the query parameter `webhooks`: Base64 of a JSON list.

        Raises
        ------
        ConfigurationError
            The secret cannot be sent in a header.
        """
        secret = usable_key(self.secret, "APIFY_WEBHOOK_SECRET")
        if "{{" in secret:
            # Apify fills in variables wherever a template holds two braces.
            raise ConfigurationError("APIFY_WEBHOOK_SECRET must not hold two braces in a row.")
        webhook = {
            "eventTypes": EVENT_TYPES,
            "requestUrl": self.url,
            "payloadTemplate": PAYLOAD_TEMPLATE,
            "headersTemplate": json.dumps({SECRET_HEADER: secret}),
        }
        return base64.b64encode(json.dumps([webhook]).encode()).decode()


@dataclass(frozen=True, slots=True)
class RunCaps:
    """What a run may do at most; `seconds` is how long it may take."""

    max_items: int
    max_charge_usd: float
    seconds: int


class ActorStarter:
    """Starts runs of one actor.

    Parameters
    ----------
    token, base_url : str
        The token goes into a header, never into an address.
    actor : str
        `user~name`, `user/name` or an id.
    breaker : CircuitBreaker
        Asked before each try.
    budget : Budget
        What runs are paid from; the most that a run may charge stays booked as an estimate.
    deadline_seconds : float, default 60
        When a start is given up, all tries and waits together.
    waits : Waits
        Between tries.
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
        deadline_seconds: float = 60.0,
        waits: Waits = Waits(),  # noqa: B008  frozen
        transport: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.actor = actor.replace("/", "~")
        self._breaker = breaker
        self._budget = budget
        self._deadline_seconds = deadline_seconds
        self._waits = waits
        self._now = now
        self._client = httpx.AsyncClient(
            **client_options(token, base_url, read_seconds=READ_SECONDS), transport=transport
        )

    async def start_actor(
        self,
        actor_input: Mapping[str, object],
        *,
        webhook: RunWebhook,
        caps: RunCaps,
        meter: Meter,
    ) -> ActorRun:
        """Start a run and return it; its end is not waited for.

        What was clearly refused for the moment (429, 503, no connection) is tried again.

        Raises
        ------
        UnclearStartError
            It may have been started. It must not be started again.
        ProviderError
            Nothing was started.
        ConfigurationError
            The webhook's secret cannot be sent; nothing was started.
        """
        query: dict[str, str | int | float] = {
            "maxItems": caps.max_items,
            "maxTotalChargeUsd": caps.max_charge_usd,
            "timeout": caps.seconds,
            "webhooks": webhook.encoded(),
        }
        ends_at = self._clock() + self._deadline_seconds
        number = 0

        def wait(error: Exception) -> float | bool:
            nonlocal number
            if not isinstance(error, ProviderError) or isinstance(error, UnclearStartError):
                return False
            number += 1
            seconds = max(self._waits.after(number), error.retry_after or 0.0)
            return seconds if error.is_retryable and self._clock() + seconds < ends_at else False

        async for turn in stamina.retry_context(on=wait, attempts=ATTEMPTS, timeout=None):
            with turn:
                return await self._attempt(actor_input, query, ends_at, meter)
        raise AssertionError("the last attempt returns or raises")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _attempt(
        self,
        actor_input: Mapping[str, object],
        query: Mapping[str, str | int | float],
        ends_at: float,
        meter: Meter,
    ) -> ActorRun:
        with self._breaker.acquire() as permit:
            paid_call = self._budget.paid_call(
                meter,
                provider=PROVIDER,
                model=self.actor,
                operation=OPERATION,
                ceiling=microdollars(float(query["maxTotalChargeUsd"])),
            )
            async with paid_call as call:
                try:
                    run = await self._post(actor_input, query, ends_at, call)
                except ProviderError as error:
                    if error.is_of_provider:
                        permit.failure()
                    log.warning(
                        "provider_attempt_failed",
                        provider=PROVIDER,
                        operation=OPERATION,
                        reason=error.reason,
                        detail=error.detail,
                        is_unclear=isinstance(error, UnclearStartError),
                        request_id=meter.request.request_id,
                    )
                    raise
                permit.success()
                return run

    async def _post(
        self,
        actor_input: Mapping[str, object],
        query: Mapping[str, str | int | float],
        ends_at: float,
        call: PaidCall,
    ) -> ActorRun:
        try:
            async with asyncio.timeout_at(ends_at):
                response = await self._client.post(
                    f"/acts/{quote(self.actor, safe='~')}/runs",
                    params=dict(query),
                    json=dict(actor_input),
                )
        except TimeoutError:
            raise UnclearStartError(PROVIDER, "timeout", "no answer in time") from None
        except httpx.HTTPError as error:
            failure = broken(error)
            if failure.is_free:
                call.free()
                raise failure.error from None
            raise _unclear(failure.error) from None
        if not response.is_success:
            refused = refusal(response, response.content, self._now())
            if _may_have_started(response.status_code):
                raise _unclear(refused)
            call.free()
            raise refused
        try:
            return read_run(response.content)
        except ProviderError as error:
            raise _unclear(error) from None

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()


def _may_have_started(status: int) -> bool:
    """Tell whether an answer with an error status may come after the start of a run.

    A server that fails, or a gateway that lost it, may have started one before.
    """
    return status == httpx.codes.REQUEST_TIMEOUT or (status >= 500 and status != _OVERLOADED)


def _unclear(error: ProviderError) -> UnclearStartError:
    return UnclearStartError(error.provider, error.reason, error.detail)
