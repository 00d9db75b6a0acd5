"""Trends as the marts hold them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from viral_platform.api.backend import Shared
from viral_platform.api.pages import DEFAULT_LIMIT, Limit
from viral_platform.api.problems import Problem, documented
from viral_platform.api.schemas import SoundTrend, SoundTrends
from viral_platform.api.security import Caller, requires
from viral_platform.engine.errors import NotFoundError
from viral_platform.services.trends import ranked_sounds

router = APIRouter(prefix="/v1/trends", tags=["trends"])


@router.get(
    "/sounds",
    response_model=SoundTrends,
    responses=documented(
        "unauthorized",
        "missing_scope",
        "trends_not_computed",
        "invalid_request",
        "database_unavailable",
    ),
)
def read_sounds(
    backend: Shared,
    caller: Annotated[Caller, Depends(requires("read"))],  # noqa: ARG001  it lets in or raises
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List the sounds that gain views fastest; those without a velocity come last."""
    try:
        ranked = ranked_sounds(backend.database, limit)
    except NotFoundError:
        raise Problem(
            "trends_not_computed", "Trends are computed after the first crawl; there was none."
        ) from None
    page = SoundTrends(
        window_start=ranked.window_start,
        window_end=ranked.window_end,
        data=[SoundTrend.model_validate(row) for row in ranked.rows],
    )
    return JSONResponse(page.model_dump(mode="json"))
