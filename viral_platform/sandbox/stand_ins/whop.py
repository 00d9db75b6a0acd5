"""The stand-in for Whop: memberships by pages, and signed webhooks of what becomes of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import re
import threading
from datetime import UTC, datetime
from typing import Any

from viral_platform.sandbox.stand_ins.apify_webhooks import Dispatch, deliver
from viral_platform.sandbox.stand_ins.exchange import (
    Answer,
    Document,
    Provider,
    Received,
    Route,
    as_json,
    garbage,
)
from viral_platform.sandbox.stand_ins.faults import Fault

COMPANY = "biz_1Wd4Gf6Yk8Zp3r"
LONGEST_PAGE = 100

_STATUS_OF = {
    Fault.RATE_LIMITED: 429,
    Fault.SERVER_ERROR: 503,
    Fault.UNAUTHORIZED: 401,
    Fault.OUT_OF_CREDIT: 402,
    Fault.NOT_FOUND: 404,
}
_ERRORS = {
    400: ("bad_request", "The request is not valid"),
    401: ("unauthorized", "The API key is not valid"),
    402: ("payment_required", "Payment required"),
    404: ("not_found", "Not found"),
    429: ("too_many_requests", "Too many requests"),
    503: ("server_error", "Service unavailable"),
}


class WhopStandIn(Provider):
    """Holds the memberships of one company; safe for threads."""

    name = "whop"
    routes = (Route("GET", re.compile(r"/api/v1/memberships"), "memberships"),)

    def __init__(self) -> None:
        self._memberships: dict[str, Document] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Drop all memberships."""
        with self._lock:
            self._memberships.clear()

    def member(
        self,
        membership_id: str,
        *,
        product: str | None,
        account: str | None,
        status: str = "active",
        at: datetime | None = None,
        period_end: datetime | None = None,
        cancel_at_period_end: bool = False,
    ) -> Document:
        """Add a membership, or let it stand so from `at` on, now by default; return it."""
        changed_at = _text(at or datetime.now(UTC))
        number = hashlib.sha256(membership_id.encode()).hexdigest()[:14]
        shown: Document = {
            "id": membership_id,
            "status": status,
            "created_at": changed_at,
            "joined_at": changed_at,
            "updated_at": changed_at,
            "manage_url": f"https://whop.com/billing/manage/{membership_id}",
            "member": {"id": f"mber_{number}"},
            "user": {
                "id": f"user_{number}",
                "username": f"user{number}",
                "name": "Simulated Person",
                "email": f"{number}@example.com",
            },
            "renewal_period_start": changed_at,
            "renewal_period_end": None if period_end is None else _text(period_end),
            "cancel_at_period_end": cancel_at_period_end,
            "cancel_option": None,
            "cancellation_reason": None,
            "canceled_at": None,
            "currency": "usd",
            "company": {"id": COMPANY, "title": "Simulated"},
            "plan": {"id": f"plan_{number}"},
            "promo_code": None,
            "product": None if product is None else {"id": product, "title": "Simulated"},
            "license_key": "A1B2C3-D4E5F6-G7H8I9",
            "metadata": {} if account is None else {"supabase_user_id": account},
            "payment_collection_paused": False,
            "custom_field_responses": [],
        }
        self.hold(shown)
        return shown

    def hold(self, document: Document) -> None:
        """Hold a membership as it is given, readable or not."""
        with self._lock:
            self._memberships[document["id"]] = document

    def lose(self, membership_id: str) -> None:
        """Leave a membership out of the list from now on."""
        with self._lock:
            del self._memberships[membership_id]

    def message(
        self, event: str, membership: Document, *, secret: str, to: str, at: datetime | None = None
    ) -> Dispatch:
        """Return a signed event of today's generation, sent at `at`, now by default.

        Its signature is made here as Standard Webhooks has it, and not by the code that checks it.
        """
        sent_at = at or datetime.now(UTC)
        number = next(self._numbers)
        message_id = f"msg_{hashlib.sha256(f'{number}'.encode()).hexdigest()[:24]}"
        body = json.dumps(
            {
                "id": message_id,
                "api_version": "v1",
                "api_version_date": None,
                "timestamp": _text(sent_at),
                "type": event,
                "company_id": COMPANY,
                "data": membership,
            }
        ).encode()
        return signed(body, message_id=message_id, secret=secret, to=to, at=sent_at)

    def deliver(self, message: Dispatch, *, times: int = 1) -> list[int]:
        """Send a message so many times; return the answers' statuses."""
        return deliver(message, times)

    def answer(self, request: Received, parts: dict[str, str]) -> Answer:  # noqa: ARG002
        """Return a page of the list."""
        fault = request.planned.fault if request.planned else None
        if fault is Fault.GARBAGE:
            return garbage()
        if fault in _STATUS_OF:
            options = request.planned.options if request.planned else {}
            return _error(
                int(options.get("status", _STATUS_OF[fault])),
                {"retry-after": str(options.get("retry_after", 1))}
                if fault is Fault.RATE_LIMITED
                else {},
            )
        if not request.key:
            return _error(401)
        if request.query.get("company_id") != COMPANY:
            return _error(404)
        page = self._page(request.query)
        if fault is Fault.SCHEMA_DRIFT:
            page = {"memberships": page["data"], "pagination": page["page_info"]}
        return as_json(page)

    def _page(self, query: dict[str, str]) -> Document:
        first = min(int(query.get("first", "20")), LONGEST_PAGE)
        start = int(base64.b64decode(query["after"])[1:]) if "after" in query else 0
        with self._lock:
            held: list[Any] = list(self._memberships.values())
        shown = held[start : start + first]
        end = start + len(shown)
        return {
            "data": shown,
            "page_info": {
                "end_cursor": base64.b64encode(f"c{end}".encode()).decode() if shown else None,
                "start_cursor": base64.b64encode(f"c{start}".encode()).decode(),
                "has_next_page": end < len(held),
                "has_previous_page": start > 0,
            },
        }


def signed(
    body: bytes,
    *,
    message_id: str,
    secret: str,
    to: str,
    at: datetime,
    names: str = "webhook",
) -> Dispatch:
    """Return a body with the headers of its signature, named `webhook-...` or `svix-...`."""
    bare = secret.removeprefix("whsec_")
    key = secret.encode() if bare == secret else base64.b64decode(bare)
    sent = str(int(at.timestamp()))
    digest = hmac.digest(key, f"{message_id}.{sent}.".encode() + body, "sha256")
    headers = {
        "content-type": "application/json",
        f"{names}-id": message_id,
        f"{names}-timestamp": sent,
        f"{names}-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    return Dispatch(to, headers, body)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _error(status: int, headers: dict[str, str] | None = None) -> Answer:
    kind, message = _ERRORS.get(status, _ERRORS[400])
    return as_json({"error": {"type": kind, "message": message}}, status=status, headers=headers)
