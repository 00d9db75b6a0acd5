"""Around every request: its id, its context in log and reports, its line in the log.

A route adds to that line by `request.state.told`.

What no handler knows becomes a 500 here: logged and reported once, told to nobody else.
"""

from __future__ import annotations

import re
import time
from uuid import uuid4

import sentry_sdk
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from viral_platform.api.problems import Problem, as_response
from viral_platform.observability.logging import get_logger

log = get_logger(__name__)

REQUEST_ID = "X-Request-ID"
_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# As proxies log a caller who went away before the answer.
_CALLER_GONE = 499


class RequestContext:
    """ASGI middleware, the outermost of ours.

    Parameters
    ----------
    app : ASGIApp
        What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _ACCEPTED_ID.fullmatch(given) else uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        with (
            sentry_sdk.isolation_scope() as reports,
            structlog.contextvars.bound_contextvars(request_id=request_id),
        ):
            reports.set_tag("request_id", request_id)
            await self._answer(scope, receive, send, request_id)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started = time.perf_counter()
        status: int | None = None

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                headers.setdefault("Cache-Control", "no-store")
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        except ClientDisconnect:
            status = status or _CALLER_GONE
        except Exception as error:
            log.exception("unexpected_error")
            sentry_sdk.capture_exception(error)
            if status is None:
                detail = "The error is logged under this request's id."
                response = as_response(Problem("internal_error", detail), request_id)
                await response(scope, receive, send_named)
        finally:
            log.info(
                "request",
                method=scope["method"],
                route=_template(scope),
                status=status,
                duration_ms=round((time.perf_counter() - started) * 1000, 3),
                key=scope["state"].get("key_prefix"),
                **scope["state"].get("told", {}),
            )


def _template(scope: Scope) -> str:
    """Return the route's path with its placeholders: a path itself may hold anything."""
    return str(getattr(scope.get("route"), "path", "unknown"))
