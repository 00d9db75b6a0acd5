"""What became of a post that was predicted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from viral_platform.api.backend import Shared
from viral_platform.api.bodies import described, json_body
from viral_platform.api.problems import Problem, documented
from viral_platform.api.schemas import OutcomeBody, OutcomeResult
from viral_platform.api.security import Caller, requires
from viral_platform.engine.errors import NotEnoughDataError, NotFoundError
from viral_platform.storage import analyses

router = APIRouter(prefix="/v1/outcomes", tags=["outcomes"])


@router.post(
    "",
    status_code=201,
    response_model=OutcomeResult,
    openapi_extra=described(OutcomeBody),
    responses=documented(
        "malformed_json",
        "unauthorized",
        "missing_scope",
        "prediction_not_found",
        "outcome_exists",
        "no_reference_model",
        "body_too_large",
        "unsupported_media_type",
        "invalid_request",
        "database_unavailable",
    ),
)
def report_outcome(
    backend: Shared,
    caller: Annotated[Caller, Depends(requires("predict", "ingest"))],
    body: Annotated[OutcomeBody, Depends(json_body(OutcomeBody))],
) -> Response:
    """Store what was measured of a post, and tell how the prediction did.

    Counts are of one moment, 168 hours or more after posting and after the prediction. One
    outcome a prediction: a second one is refused.
    """
    # Judges by the model's scale, whose module loads the model's libraries.
    from viral_platform.services.outcomes import OutcomeReport, add_outcome

    measured_at = body.measured_at or datetime.now(UTC)
    report = OutcomeReport(**{**dict(body), "measured_at": measured_at})
    try:
        analyses.get_answer(backend.database, body.analysis_id, key_id=caller.sees)
        is_new = add_outcome(backend.database, report)
    except NotFoundError:
        raise Problem("prediction_not_found", "This key has no prediction of that id.") from None
    except NotEnoughDataError:
        raise Problem(
            "no_reference_model", "No model was ever promoted here, so nothing judges counts."
        ) from None
    if not is_new:
        raise Problem("outcome_exists", "The outcome that was reported first stays.")
    stored = analyses.get_outcome(backend.database, body.analysis_id)
    return JSONResponse(OutcomeResult(**stored).model_dump(mode="json"), status_code=201)
