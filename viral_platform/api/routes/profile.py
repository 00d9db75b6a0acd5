"""The creator that the holder of a key is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from viral_platform.api.backend import Shared
from viral_platform.api.bodies import described, json_body
from viral_platform.api.creator_schemas import Creator, HandleResult, Profile, ProfileScrape
from viral_platform.api.problems import documented
from viral_platform.api.schemas import ProfileBody
from viral_platform.api.security import Caller, requires
from viral_platform.services.profiles import set_creator_handle
from viral_platform.storage import profiles

router = APIRouter(prefix="/v1/profile", tags=["profile"])


@router.put(
    "",
    response_model=HandleResult,
    openapi_extra=described(ProfileBody),
    responses=documented(
        "malformed_json",
        "unauthorized",
        "missing_scope",
        "body_too_large",
        "unsupported_media_type",
        "invalid_request",
        "database_unavailable",
    ),
)
def set_profile(
    backend: Shared,
    caller: Annotated[Caller, Depends(requires("predict"))],
    body: Annotated[ProfileBody, Depends(json_body(ProfileBody))],
) -> Response:
    """Set the key's creator; a changed one is scraped later, which this does not wait for.

    `scrape` tells what follows: `queued`, `unchanged`, `scraped_recently` or, without a handle,
    `none`.
    """
    stored = set_creator_handle(
        backend.settings, backend.database, caller.require_key(), body.creator_handle
    )
    result = HandleResult(creator_handle=stored.creator_handle, scrape=stored.scrape)
    return JSONResponse(result.model_dump(mode="json"))


@router.get(
    "",
    response_model=Profile,
    responses=documented("unauthorized", "missing_scope", "database_unavailable"),
)
def read_profile(
    backend: Shared, caller: Annotated[Caller, Depends(requires("predict", "read"))]
) -> Response:
    """Return the key's creator, what the newest crawl tells of it, and how its scrape stands."""
    found = profiles.get(backend.database, caller.require_key())
    profile = Profile(
        creator_handle=found.creator_handle,
        changed_at=found.changed_at,
        creator=None if found.creator is None else Creator(**found.creator),
        scrape=None
        if found.scrape is None
        else ProfileScrape(state=found.scrape.state, requested_at=found.scrape.requested_at),
    )
    return JSONResponse(profile.model_dump(mode="json"))
