"""Ad-hoc webhooks of actor runs: templates filled in, deliveries with their headers, retries."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from viral_platform.engine.errors import InputError
from viral_platform.sandbox.stand_ins.exchange import Document

ATTEMPTS = 12
DELIVERY_SECONDS = 30.0
DEFAULT_PAYLOAD = (
    '{"userId": {{userId}}, "createdAt": {{createdAt}}, "eventType": {{eventType}}, '
    '"eventData": {{eventData}}, "resource": {{resource}}}'
)
CREATED = "ACTOR.RUN.CREATED"

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z]+(?:\.[A-Za-z0-9_]+)*)\s*\}\}")
_KNOWN = frozenset({"userId", "createdAt", "eventType", "eventData", "resource", "globals"})


class Webhook(BaseModel):
    """Where the events of one run go."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )

    event_types: tuple[str, ...]
    request_url: str
    payload_template: str = DEFAULT_PAYLOAD
    headers_template: str = "{}"


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One event for one webhook; retries and duplicates of it are equal."""

    url: str
    headers: dict[str, str]
    body: bytes


_WEBHOOKS = TypeAdapter(list[Webhook])


def read_webhooks(encoded: str) -> list[Webhook]:
    """Return the webhooks that the query of a start names, in Base64.

    Raises
    ------
    InputError
        They are none, or a template names what does not exist.
    """
    try:
        webhooks = _WEBHOOKS.validate_json(base64.b64decode(encoded, validate=True))
    except (ValueError, ValidationError) as error:
        raise InputError(f"webhooks: {error}. Send Base64 of a JSON array.") from error
    for webhook in webhooks:
        for template in (webhook.payload_template, webhook.headers_template):
            unknown = {name.split(".")[0] for name in _VARIABLE.findall(template)} - _KNOWN
            if unknown:
                raise InputError(f"webhooks: no variable {', '.join(sorted(unknown))}.")
    return webhooks


def event_of(status: str) -> str:
    """Return the event that a run's status brings about.

    Examples
    --------
    >>> event_of("TIMED-OUT")
    'ACTOR.RUN.TIMED_OUT'
    """
    return f"ACTOR.RUN.{status.replace('-', '_')}"


def dispatch(webhook: Webhook, event_type: str, run: Document) -> Dispatch:
    """Return an event as it is sent; `run` is the run as it stands then."""
    at = run["finishedAt"] or run["startedAt"]
    variables: Document = {
        "userId": run["userId"],
        "createdAt": at,
        "eventType": event_type,
        "eventData": {"actorId": run["actId"], "actorRunId": run["id"]},
        "resource": run,
        "globals": {"dateISO": at},
    }
    key = f"{run['id']} {event_type} {webhook.request_url}"
    headers = {
        **json.loads(_filled(webhook.headers_template, variables)),
        "content-type": "application/json",
        "x-apify-webhook": "yo",
        "x-apify-webhook-dispatch-id": hashlib.sha256(key.encode()).hexdigest()[:17],
        "x-apify-request-origin": "WEBHOOK",
    }
    return Dispatch(
        webhook.request_url, headers, _filled(webhook.payload_template, variables).encode()
    )


async def deliver_until_taken(one: Dispatch, retry_seconds: float) -> None:
    """Send a dispatch again and again, with doubling pauses, until an answer is 2xx."""
    async with httpx.AsyncClient(timeout=DELIVERY_SECONDS, trust_env=False) as client:
        for attempt in range(ATTEMPTS):
            try:
                answer = await client.post(one.url, headers=one.headers, content=one.body)
                if answer.is_success:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(retry_seconds * 2**attempt)


def deliver(one: Dispatch, times: int) -> list[int]:
    """Send a dispatch so many times, whatever is answered; return the statuses."""
    with httpx.Client(timeout=DELIVERY_SECONDS, trust_env=False) as client:
        return [
            client.post(one.url, headers=one.headers, content=one.body).status_code
            for _ in range(times)
        ]


def _filled(template: str, variables: Document) -> str:
    return _VARIABLE.sub(lambda found: json.dumps(_value(variables, found[1])), template)


def _value(variables: Document, path: str) -> Any:  # noqa: ANN401  any JSON value
    value: Any = variables
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
