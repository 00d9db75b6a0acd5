"""Webhooks: a delivery is checked, stored and acknowledged; a run does what follows from it."""

from __future__ import annotations

import asyncio
import hmac
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from viral_platform.api.backend import Shared
from viral_platform.api.bodies import decoded, json_bytes
from viral_platform.api.problems import Problem, documented
from viral_platform.observability.logging import get_logger
from viral_platform.providers.whop_wire import is_signed
from viral_platform.services import inbox, subscriptions

log = get_logger(__name__)

SECRET_HEADER = "X-Webhook-Secret"  # noqa: S105  a name

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


@router.post(
    "/apify",
    status_code=202,
    response_class=JSONResponse,
    responses=documented(
        "malformed_json",
        "wrong_webhook_secret",
        "body_too_large",
        "unsupported_media_type",
        "webhook_secret_unset",
        "database_unavailable",
    ),
    openapi_extra={
        "parameters": [
            {
                "name": SECRET_HEADER,
                "in": "header",
                "required": False,
                "schema": {"type": "string"},
                "description": "`APIFY_WEBHOOK_SECRET`. The field `secret` of the body is taken "
                "in its place, and is deprecated.",
            }
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
    },
)
async def receive_apify(request: Request, backend: Shared) -> Response:
    """Store a delivery of Apify and acknowledge it; the same one again is acknowledged too."""
    secret = backend.settings.apify_webhook_secret
    if secret is None:
        raise Problem("webhook_secret_unset", "APIFY_WEBHOOK_SECRET is not set here.")
    expected = secret.get_secret_value().encode()
    shown = request.headers.get(SECRET_HEADER)
    if shown is not None:
        # Header values are Latin-1 by the standard; a secret may be any text.
        _require(shown.encode("latin-1"), expected)
    body = await json_bytes(request)
    document = decoded(body)
    headers = {}
    if shown is None:
        _require(_secret_of(document), expected)
        log.warning("webhook_secret_in_body", source=inbox.APIFY)
        headers = {"Deprecation": "true", "Warning": f'299 - "Send {SECRET_HEADER} instead"'}
    delivery = inbox.parse_apify_delivery(request.headers, body)
    is_new = await asyncio.to_thread(
        inbox.receive,
        backend.database,
        source=inbox.APIFY,
        delivery_id=delivery.delivery_id,
        event_type=delivery.event_type,
        body=delivery.body,
    )
    request.state.told = {
        "delivery_id": delivery.delivery_id,
        "event_type": delivery.event_type,
        "is_new": is_new,
    }
    return JSONResponse({"accepted": True, "new": is_new}, status_code=202, headers=headers)


@router.post(
    "/whop",
    status_code=202,
    response_class=JSONResponse,
    responses=documented(
        "malformed_json",
        "wrong_webhook_signature",
        "body_too_large",
        "unsupported_media_type",
        "webhook_secret_unset",
        "misconfigured",
        "database_unavailable",
    ),
    openapi_extra={
        "parameters": [
            {
                "name": f"webhook-{part}",
                "in": "header",
                "required": True,
                "schema": {"type": "string"},
                "description": f"{meaning} `svix-{part}` is taken in its place.",
            }
            for part, meaning in (
                ("id", "The same for all tries at one message."),
                ("timestamp", "Unix seconds, within 300 of ours."),
                ("signature", "`v1,` and the HMAC-SHA256 of id, timestamp and body."),
            )
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
    },
)
async def receive_whop(request: Request, backend: Shared) -> Response:
    """Store a signed event of Whop with what follows from it; the same one again changes nothing.

    Events come in any order: a state that is older than the stored one does not take its place.
    """
    secret = backend.settings.whop_webhook_secret
    if secret is None:
        raise Problem("webhook_secret_unset", "WHOP_WEBHOOK_SECRET is not set here.")
    now = datetime.now(UTC)
    body = await json_bytes(request)
    if not is_signed(request.headers, body, secret=secret.get_secret_value(), now=now):
        raise Problem(
            "wrong_webhook_signature", "Sign id, timestamp and body with the secret, just now."
        )
    is_new = await asyncio.to_thread(
        subscriptions.receive_message, backend.database, request.headers, decoded(body), now=now
    )
    request.state.told = {"is_new": is_new}
    return JSONResponse({"accepted": True, "new": is_new}, status_code=202)


def _secret_of(document: Any) -> bytes:  # noqa: ANN401  any JSON value
    found = document.get("secret") if isinstance(document, dict) else None
    return found.encode("utf-8", "surrogatepass") if isinstance(found, str) else b""


def _require(shown: bytes, expected: bytes) -> None:
    if not hmac.compare_digest(shown, expected):
        raise Problem("wrong_webhook_secret", f"Send the secret in the header {SECRET_HEADER}.")
