"""Watched creators, and how they grow."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.responses import JSONResponse, Response

from viral_platform.api.backend import Shared
from viral_platform.api.creator_schemas import Competitor, WatchedHandle
from viral_platform.api.problems import Problem, documented
from viral_platform.api.security import ADMIN, Caller, requires
from viral_platform.engine.errors import NotFoundError
from viral_platform.services import competitors

router = APIRouter(prefix="/v1/competitors", tags=["competitors"])

Handle = Annotated[str, Path(description="The creator's handle, with or without '@'.")]


@router.get(
    "",
    response_model=list[Competitor],
    responses=documented("unauthorized", "missing_scope", "database_unavailable"),
)
def list_competitors(
    backend: Shared,
    caller: Annotated[Caller, Depends(requires("read"))],  # noqa: ARG001  it lets in or raises
) -> Response:
    """List all watched creators by handle, with their newest snapshot and their growth up to it."""
    found = [
        Competitor.model_validate(one.as_dict()) for one in competitors.watched(backend.database)
    ]
    return JSONResponse([one.model_dump(mode="json") for one in found])


@router.put(
    "/{handle}",
    response_model=WatchedHandle,
    responses=documented(
        "unauthorized",
        "missing_scope",
        "invalid_request",
        "database_unavailable",
        "cron_secret_unset",
    ),
)
def watch_competitor(
    backend: Shared,
    caller: Annotated[Caller, Depends(requires(ADMIN))],  # noqa: ARG001  it lets in or raises
    handle: Handle,
) -> Response:
    """Watch a creator from the next `refresh_competitors` on; again, it changes nothing."""
    return JSONResponse({"handle": competitors.watch(backend.database, handle)})


@router.delete(
    "/{handle}",
    status_code=204,
    response_class=Response,
    responses=documented(
        "unauthorized",
        "missing_scope",
        "competitor_not_found",
        "database_unavailable",
        "cron_secret_unset",
    ),
)
def unwatch_competitor(
    backend: Shared,
    caller: Annotated[Caller, Depends(requires(ADMIN))],  # noqa: ARG001  it lets in or raises
    handle: Handle,
) -> Response:
    """Watch a creator no more; what was measured stays."""
    try:
        competitors.unwatch(backend.database, handle)
    except NotFoundError:
        raise Problem("competitor_not_found", "No creator of that handle is watched.") from None
    return Response(status_code=204)
