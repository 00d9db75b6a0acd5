"""Webhook deliveries: what a provider sent, stored before it is answered, and leased to runs.

Checking the secret is the route's work; reading the data that a delivery tells of is that of
`services.ingestion.datasets`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from viral_platform.engine.errors import RefusedRequestError
from viral_platform.storage import inbox
from viral_platform.storage.database import Database
from viral_platform.storage.inbox import Delivery

APIFY = "apify"
DISPATCH_HEADER = "x-apify-webhook-dispatch-id"
# The ends of an actor run. Others are recorded: a run that began or was resurrected has its end
# before it.
INGESTED_EVENTS = frozenset(
    {
        "ACTOR.RUN.SUCCEEDED",
        "ACTOR.RUN.FAILED",
        "ACTOR.RUN.ABORTED",
        "ACTOR.RUN.TIMED_OUT",
    }
)

# Above what a page takes with all its retries; each stored page renews it.
LEASE_SECONDS = 300.0
_FIRST_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 6 * 3_600.0

_EVENT = re.compile(r"(?=[A-Z_.]{1,64}\Z)[A-Z][A-Z_]*(\.[A-Z_]+)*", re.ASCII)
_RUN_ID = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)
_DISPATCH_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
# The replaced system's webhooks carry their secret here; it is not stored.
_SECRET_KEY = "secret"  # noqa: S105  a name


@dataclass(frozen=True, slots=True)
class ApifyDelivery:
    """A delivery as it was sent; `run_id` is None for events that are of no run.

    `body` is without the secret. Nothing in it is believed but the run's id.
    """

    delivery_id: str
    event_type: str
    run_id: str | None
    body: dict[str, Any]


def parse_apify_delivery(headers: Mapping[str, str], body: bytes) -> ApifyDelivery:
    """Return what an Apify webhook sent.

    Retries of a delivery have its id. Where the header with it is lacking, the id is made of
    event type and run, so that they still are one.

    Parameters
    ----------
    headers : mapping of str
        Names in any case.
    body : bytes
        As it came.

    Raises
    ------
    RefusedRequestError
        Code "not_a_delivery".

    Examples
    --------
    >>> sent = b'{"eventType": "ACTOR.RUN.SUCCEEDED", "resource": {"id": "HG7ML7M8z78YcAPEB"}}'
    >>> parse_apify_delivery({}, sent).delivery_id
    'ACTOR.RUN.SUCCEEDED/HG7ML7M8z78YcAPEB'
    """
    document = _document(body)
    event_type = document.get("eventType")
    if not isinstance(event_type, str) or not _EVENT.fullmatch(event_type):
        raise _refused("eventType is missing, or no event type of Apify.")
    run_id = run_id_of(document)
    if run_id is None and event_type in INGESTED_EVENTS:
        raise _refused("neither eventData.actorRunId nor resource.id holds the id of a run.")
    told = {name.lower(): value for name, value in headers.items()}.get(DISPATCH_HEADER)
    if told is not None and not _DISPATCH_ID.fullmatch(told):
        raise _refused("X-Apify-Webhook-Dispatch-Id is no id.")
    subject = run_id or hashlib.sha256(body).hexdigest()
    return ApifyDelivery(told or f"{event_type}/{subject}", event_type, run_id, document)


def run_id_of(body: Mapping[str, Any]) -> str | None:
    """Return the id of the actor run that a delivery is about, None when it names none."""
    for part, key in (("eventData", "actorRunId"), ("resource", "id")):
        inner = body.get(part)
        run_id = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id):
            return run_id
    return None


def receive(
    database: Database,
    *,
    source: str,
    delivery_id: str,
    event_type: str,
    body: Mapping[str, object],
) -> bool:
    """Store a delivery; it is durable on return. False when it was stored before.

    What no run follows from is recorded as processed.

    Raises
    ------
    DatabaseUnavailableError
        It is not stored: the sender must be told to come again.
    """
    is_done = source == APIFY and event_type not in INGESTED_EVENTS
    return inbox.insert(
        database,
        source=source,
        delivery_id=delivery_id,
        event_type=event_type,
        body=body,
        processed_at=datetime.now(UTC) if is_done else None,
    )


def due(database: Database, limit: int, now: datetime) -> list[Delivery]:
    """Return Apify's deliveries that wait for an ingest, the oldest first."""
    return inbox.due(database, limit, now, source=APIFY)


def take(
    database: Database, inbox_id: int, lease_seconds: float = LEASE_SECONDS, *, now: datetime
) -> int | None:
    """Lease a delivery that is due; return the number of the attempt, None when it is not due."""
    return inbox.take(database, inbox_id, lease_seconds, now=now)


def pause_seconds(attempt: int) -> float:
    """Return how long a delivery rests after a failed attempt, counted from 1.

    Examples
    --------
    >>> [pause_seconds(attempt) for attempt in (1, 2, 3, 20)]
    [60.0, 120.0, 240.0, 21600.0]
    """
    doublings = min(max(attempt, 1) - 1, 16)
    return min(_FIRST_PAUSE_SECONDS * 2.0**doublings, _LONGEST_PAUSE_SECONDS)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise _refused("the body is no JSON.") from None
    if not isinstance(document, dict):
        raise _refused("the body is no JSON object.")
    document.pop(_SECRET_KEY, None)
    return document


def _refused(problem: str) -> RefusedRequestError:
    return RefusedRequestError(
        "not_a_delivery",
        problem,
        "Send what Apify's default payload template gives, or at least eventType and resource.",
    )
