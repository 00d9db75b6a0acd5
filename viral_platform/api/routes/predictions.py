"""Predictions: ask for one, read it again, list them."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from viral_platform.api.backend import Shared
from viral_platform.api.bodies import described, json_body
from viral_platform.api.pages import DEFAULT_LIMIT, Limit, cursor_at, read_cursor
from viral_platform.api.problems import Problem, documented
from viral_platform.api.schemas import PostBody, PredictedPost, PredictionBody, PredictionPage
from viral_platform.api.security import Caller, requires
from viral_platform.engine.contracts import PredictionAnswer
from viral_platform.engine.errors import GateRefusedError, NotFoundError
from viral_platform.services import posts
from viral_platform.storage import analyses

router = APIRouter(prefix="/v1/predictions", tags=["predictions"])


@router.post(
    "",
    response_model=PredictionAnswer,
    openapi_extra=described(PredictionBody),
    responses=documented(
        "malformed_json",
        "unauthorized",
        "missing_scope",
        "body_too_large",
        "unsupported_media_type",
        "invalid_request",
        "database_unavailable",
        "misconfigured",
    ),
)
async def predict(
    request: Request,
    backend: Shared,
    caller: Annotated[Caller, Depends(requires("predict"))],
    body: Annotated[PredictionBody, Depends(json_body(PredictionBody))],
) -> Response:
    """Answer how far a post is likely to go, why, and what to change.

    A part that fails makes the answer `degraded` and is named in its `stages`. A content that
    breaks a rule is refused with status 422, a code of its own and a `fix`.
    """
    service = await backend.predictions()
    asked = service.submit(body, key_id=caller.key_id, request_id=request.state.request_id)
    answer = await asyncio.wrap_future(asked)
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get(
    "",
    response_model=PredictionPage,
    responses=documented(
        "unauthorized", "missing_scope", "invalid_request", "database_unavailable"
    ),
)
def list_predictions(
    backend: Shared,
    caller: Annotated[Caller, Depends(requires("read"))],
    limit: Limit = DEFAULT_LIMIT,
    cursor: Annotated[
        str | None, Query(description="`next_cursor` of the page before; absent: the first page.")
    ] = None,
) -> Response:
    """List the key's own answers, the newest first; a key with the scope admin sees all."""
    before = None if cursor is None else read_cursor(cursor)
    found = analyses.list_answers(
        backend.database, limit=limit + 1, before=before, key_id=caller.sees
    )
    page = found[:limit]
    has_more = len(found) > limit
    after = None
    if has_more:
        last = page[-1]
        after = cursor_at((datetime.fromisoformat(last["created_at"]), UUID(last["id"])))
    return JSONResponse({"data": page, "next_cursor": after, "has_more": has_more})


@router.put(
    "/{prediction_id}/post",
    response_model=PredictedPost,
    openapi_extra=described(PostBody),
    responses=documented(
        "malformed_json",
        "unauthorized",
        "missing_scope",
        "prediction_not_found",
        "outcome_exists",
        "body_too_large",
        "unsupported_media_type",
        "invalid_request",
        "database_unavailable",
    ),
)
def name_post(
    backend: Shared,
    caller: Annotated[Caller, Depends(requires("predict"))],
    prediction_id: Annotated[str, Path(description="`id` of the answer.")],
    body: Annotated[PostBody, Depends(json_body(PostBody))],
) -> Response:
    """Tell which post the prediction was about, so that its outcome is collected at 168 hours.

    Another one replaces it until there is an outcome.
    """
    try:
        analysis_id = UUID(prediction_id)
        analyses.get_answer(backend.database, analysis_id, key_id=caller.sees)
        post = posts.name_post(backend.database, analysis_id, body.post)
    except (ValueError, NotFoundError):
        raise Problem("prediction_not_found", "This key has no prediction of that id.") from None
    except GateRefusedError:
        raise Problem("outcome_exists", "The prediction has its outcome, which stays.") from None
    named = PredictedPost(
        analysis_id=analysis_id,
        video_id=post.platform_video_id,
        url=post.url,
        posted_at=post.posted_at,
    )
    return JSONResponse(named.model_dump(mode="json"))


@router.get(
    "/{prediction_id}",
    response_model=PredictionAnswer,
    responses=documented(
        "unauthorized", "missing_scope", "prediction_not_found", "database_unavailable"
    ),
)
def read_prediction(
    backend: Shared,
    caller: Annotated[Caller, Depends(requires("read"))],
    prediction_id: Annotated[str, Path(description="`id` of the answer.")],
) -> Response:
    """Return an answer as it was given."""
    try:
        answer = analyses.get_answer(backend.database, UUID(prediction_id), key_id=caller.sees)
    except (ValueError, NotFoundError):
        raise Problem("prediction_not_found", "This key has no prediction of that id.") from None
    return JSONResponse(answer)
