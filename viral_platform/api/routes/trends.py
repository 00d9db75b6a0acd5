"""Trends and creators as the marts hold them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import JSONResponse, Response

from viral_platform.api.backend import Shared
from viral_platform.api.creator_schemas import CreatorBaseline
from viral_platform.api.pages import DEFAULT_LIMIT, Limit
from viral_platform.api.problems import Problem, documented
from viral_platform.api.schemas import (
    HashtagTrend,
    HashtagTrends,
    SoundTrend,
    SoundTrends,
)
from viral_platform.api.security import Caller, requires
from viral_platform.engine.errors import NotFoundError
from viral_platform.services.trends import known_creator, ranked_hashtags, ranked_sounds

router = APIRouter(prefix="/v1", tags=["trends"])

_PROBLEMS = (
    "unauthorized",
    "missing_scope",
    "trends_not_computed",
    "invalid_request",
    "database_unavailable",
)
Reader = Annotated[Caller, Depends(requires("read"))]
Niche = Annotated[
    str | None,
    Query(
        max_length=100,
        pattern=r"^[^\x00-\x1f]+$",
        description="A scraped hashtag: only videos that carry it count.",
        examples=["cooking"],
    ),
]
Handle = Annotated[
    str,
    Path(
        max_length=100,
        pattern=r"^[^\x00-\x1f/]+$",
        description="With or without '@', in any case.",
        examples=["some.cook"],
    ),
]


@router.get("/trends/sounds", response_model=SoundTrends, responses=documented(*_PROBLEMS))
def read_sounds(
    backend: Shared,
    caller: Reader,  # noqa: ARG001  it lets in or raises
    limit: Limit = DEFAULT_LIMIT,
    niche: Niche = None,
) -> Response:
    """List the sounds that gain views fastest; those without a velocity come last."""
    try:
        ranked = ranked_sounds(backend.database, limit, niche)
    except NotFoundError:
        raise _never_computed() from None
    page = SoundTrends(
        window_start=ranked.window_start,
        window_end=ranked.window_end,
        data=[SoundTrend.model_validate(row) for row in ranked.rows],
    )
    return JSONResponse(page.model_dump(mode="json"))


@router.get("/trends/hashtags", response_model=HashtagTrends, responses=documented(*_PROBLEMS))
def read_hashtags(
    backend: Shared,
    caller: Reader,  # noqa: ARG001  it lets in or raises
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List the hashtags that gain views fastest; saturated ones come last."""
    try:
        ranked = ranked_hashtags(backend.database, limit)
    except NotFoundError:
        raise _never_computed() from None
    page = HashtagTrends(
        window_start=ranked.window_start,
        window_end=ranked.window_end,
        data=[HashtagTrend.model_validate(row) for row in ranked.rows],
    )
    return JSONResponse(page.model_dump(mode="json"))


@router.get(
    "/creators/{handle}",
    response_model=CreatorBaseline,
    responses=documented("creator_not_found", *_PROBLEMS),
)
def read_creator(
    backend: Shared,
    caller: Reader,  # noqa: ARG001  it lets in or raises
    handle: Handle,
) -> Response:
    """Show what is usual for a creator whose posts were crawled."""
    try:
        found = known_creator(backend.database, handle)
    except NotFoundError:
        raise _never_computed() from None
    if found is None:
        raise Problem("creator_not_found", "No crawl has seen a creator of this handle.")
    return JSONResponse(CreatorBaseline.model_validate(found).model_dump(mode="json"))


def _never_computed() -> Problem:
    return Problem(
        "trends_not_computed", "Trends are computed after the first crawl; there was none."
    )
