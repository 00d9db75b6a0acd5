"""Batches of predictions: ordered here, answered by a Dagster run, fetched when that has ended."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.responses import JSONResponse, Response

from viral_platform.api.backend import Backend, Shared
from viral_platform.api.bodies import described, json_body
from viral_platform.api.problems import Fault, Problem, documented, invalid
from viral_platform.api.schemas import Job, JobBody
from viral_platform.api.security import Caller, requires
from viral_platform.engine.errors import NotFoundError
from viral_platform.services.batches import refused_requests, results_as_json_lines, store_batch
from viral_platform.storage.batches import BatchRecord, get_batch

router = APIRouter(prefix="/v1/prediction-jobs", tags=["prediction jobs"])

# The sensor looks every five seconds.
POLL_SECONDS = 5
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_READ_PROBLEMS = ("unauthorized", "missing_scope", "job_not_found", "database_unavailable")

BatchId = Annotated[str, Path(description="`batch_id` of the job.")]
Reader = Annotated[Caller, Depends(requires("read"))]


@router.post(
    "",
    status_code=202,
    response_model=Job,
    openapi_extra=described(JobBody),
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
def order_job(
    backend: Shared,
    caller: Annotated[Caller, Depends(requires("predict"))],
    body: Annotated[JobBody, Depends(json_body(JobBody))],
) -> Response:
    """Take requests to be answered by a run of `prediction_job`.

    Each is checked before any is taken; an error's path begins with the place of its request,
    `requests.0` being the first.
    """
    faults: list[Fault] = [
        {
            "path": f"requests.{place}",
            "code": error.code,
            "message": error.problem,
            "fix": error.fix,
        }
        for place, error in refused_requests(body.requests)
    ]
    if faults:
        raise invalid(faults)
    batch_id = store_batch(backend.database, body.requests, key_id=caller.key_id, launch=True)
    location = f"{router.prefix}/{batch_id}"
    job = _job(get_batch(backend.database, batch_id))
    return JSONResponse(
        job.model_dump(mode="json"),
        status_code=202,
        headers={"Location": location, "Retry-After": str(POLL_SECONDS)},
    )


@router.get("/{batch_id}", response_model=Job, responses=documented(*_READ_PROBLEMS))
def read_job(backend: Shared, caller: Reader, batch_id: BatchId) -> Response:
    """Tell how far a job has come."""
    return JSONResponse(_job(_own(backend, caller, batch_id)).model_dump(mode="json"))


@router.get(
    "/{batch_id}/results",
    response_class=Response,
    responses={
        200: {
            "description": "JSON Lines: line n is the answer to request n, or "
            '`{"position": n, "problem": {...}}` where there is none.',
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        },
        **documented(*_READ_PROBLEMS, "job_not_finished"),
    },
)
def read_results(backend: Shared, caller: Reader, batch_id: BatchId) -> Response:
    """Return the answers of a job that has ended, in the order of its requests."""
    if _own(backend, caller, batch_id).state in {"queued", "running"}:
        raise Problem(
            "job_not_finished",
            "The job still runs. Ask for it until its status is done or failed.",
            headers={"Retry-After": str(POLL_SECONDS)},
        )
    lines = results_as_json_lines(backend.database, batch_id)
    return Response(lines, media_type="application/x-ndjson")


def _own(backend: Backend, caller: Caller, batch_id: str) -> BatchRecord:
    unknown = Problem("job_not_found", "This key has no job of that id.")
    if not _ID.fullmatch(batch_id):  # PostgreSQL's text cannot hold every character
        raise unknown
    try:
        return get_batch(backend.database, batch_id, key_id=caller.sees)
    except NotFoundError:
        raise unknown from None


def _job(record: BatchRecord) -> Job:
    return Job(
        batch_id=record.batch_id,
        status=record.state,
        total=record.total,
        answered=record.answered,
        refused=record.refused,
        requested_at=record.requested_at,
        finished_at=record.finished_at,
        problem=record.problem,
    )
