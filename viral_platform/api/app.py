"""The application: routes, what errors become, the OpenAPI document.

It imports neither Dagster nor, before the first prediction, the model's libraries.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import sentry_sdk
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic.json_schema import models_json_schema
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from viral_platform.api import problems, schemas
from viral_platform.api.backend import Backend
from viral_platform.api.middleware import RequestContext
from viral_platform.api.problems import Problem
from viral_platform.api.routes import (
    competitors,
    costs,
    health,
    jobs,
    outcomes,
    predictions,
    profile,
    subscription,
    trends,
    webhooks,
)
from viral_platform.engine.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    RefusedRequestError,
)
from viral_platform.observability.logging import get_logger
from viral_platform.settings import Settings
from viral_platform.storage.database import Database

log = get_logger(__name__)

_DESCRIPTION = """How far a TikTok is likely to go, why, and what to change.

Send a key as `Authorization: Bearer vp_...`; `viral keys create` makes one. Every answer has an
`X-Request-ID`. Errors are RFC 9457 problem documents with a stable `code`."""
_REFERENCE = "#/components/schemas/{model}"


class Api(FastAPI):
    """The application; its document describes the bodies too, which its routes read themselves."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            document = super().openapi()
            _, definitions = models_json_schema(
                [(body, "validation") for body in schemas.BODIES], ref_template=_REFERENCE
            )
            document["components"]["schemas"].update(definitions["$defs"])
            self.openapi_schema = document
        return self.openapi_schema


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document; nothing of an installation is needed for it."""
    return _routed().openapi()


def create_app(settings: Settings, database: Database) -> Api:
    """Return the application for one installation; its end closes the database's connections."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.backend = Backend(settings, database)
        log.info("api_started")
        try:
            yield
        finally:
            await asyncio.to_thread(app.state.backend.close)
            log.info("api_stopped")

    app = _routed()
    app.router.lifespan_context = life
    app.add_middleware(RequestContext)
    return app


def _routed() -> Api:
    app = Api(
        title="viral_platform",
        version=version("viral-platform"),
        description=_DESCRIPTION,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for module in (
        predictions,
        jobs,
        outcomes,
        profile,
        competitors,
        trends,
        subscription,
        costs,
        webhooks,
        health,
    ):
        app.include_router(module.router)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unroutable)
    app.add_exception_handler(RefusedRequestError, _refused)
    app.add_exception_handler(DatabaseUnavailableError, _database_unavailable)
    app.add_exception_handler(PoolTimeoutError, _database_unavailable)
    app.add_exception_handler(ConfigurationError, _misconfigured)
    return app


def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101  for the type checker, as below
    return problems.respond(request, error)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    # The place of a parameter begins with where it was: query, path.
    errors = [{**fault, "loc": fault["loc"][1:]} for fault in error.errors()]
    return problems.respond(request, problems.invalid(problems.faults_of(errors)))


def _unroutable(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code == 405:
        headers = dict(error.headers or {})
        problem = Problem("method_not_allowed", "See /openapi.json.", headers=headers)
    else:
        problem = Problem("route_not_found", "See /openapi.json.")
    return problems.respond(request, problem)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedRequestError)  # noqa: S101
    return problems.respond(request, problems.refused(error))


def _database_unavailable(request: Request, error: Exception) -> Response:
    log.error("database_unavailable", error=type(error).__name__)
    return problems.respond(request, problems.database_unavailable())


def _misconfigured(request: Request, error: Exception) -> Response:
    log.error("misconfigured", error=str(error))
    sentry_sdk.capture_exception(error)
    detail = "A setting keeps it from answering; the log names it under this request's id."
    return problems.respond(request, Problem("misconfigured", detail))
