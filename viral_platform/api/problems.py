"""Errors as RFC 9457 problem details: stable codes, no internal text, nothing of the input.

Every answer that is no success is made here. What went wrong inside is in the log, under the
same request id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic_core import ErrorDetails
from starlette.requests import Request
from starlette.responses import Response

from viral_platform.engine.errors import RefusedRequestError

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 5
SHOWN_ERRORS: Final = 100

# Code to status and title. The code of a refused content is its own (`RefusedRequestError`).
PROBLEMS: Final[dict[str, tuple[int, str]]] = {
    "malformed_json": (400, "The body is not JSON"),
    "unauthorized": (401, "A valid key is needed"),
    "missing_scope": (403, "The key does not allow this"),
    "route_not_found": (404, "There is no such route"),
    "prediction_not_found": (404, "There is no such prediction"),
    "competitor_not_found": (404, "This creator is not watched"),
    "job_not_found": (404, "There is no such job"),
    "creator_not_found": (404, "There is no such creator"),
    "trends_not_computed": (404, "Trends were never computed"),
    "method_not_allowed": (405, "The route does not take this method"),
    "outcome_exists": (409, "The prediction has an outcome already"),
    "job_not_finished": (409, "The job has not ended"),
    "no_reference_model": (409, "No model judges outcomes yet"),
    "body_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body has another media type"),
    "invalid_request": (422, "The request does not validate"),
    "internal_error": (500, "Something broke here"),
    "database_unavailable": (503, "The database does not answer"),
    "misconfigured": (503, "This installation is not set up for it"),
    "cron_secret_unset": (503, "CRON_SECRET is not set"),
    "wrong_webhook_secret": (401, "The secret is missing or wrong"),
    "wrong_webhook_signature": (401, "The signature is missing, wrong or too old"),
    "webhook_secret_unset": (503, "No secret is set for this webhook"),
}
_REFUSED: Final = (422, "The content is refused")

# These messages quote the input or name a class of ours.
_OWN_MESSAGES: Final = {
    "uuid_parsing": "Input should be a valid UUID",
    "model_type": "Input should be an object",
    "model_attributes_type": "Input should be an object",
    "extra_forbidden": "There is no such field",
    "none_required": "This field cannot be given here",
}
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

Fault = dict[str, object]


class Problem(Exception):  # noqa: N818  named as in RFC 9457
    """An answer that is no success.

    Parameters
    ----------
    code : str
        Of `PROBLEMS`, or that of a refused content.
    detail : str
        A sentence for the caller.
    headers : mapping, optional
        Headers of the answer.
    more : object
        Further members of the problem document.
    """

    def __init__(
        self, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: object
    ) -> None:
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more
        super().__init__(code)

    def document(self, request_id: str | None = None) -> dict[str, object]:
        """Return the problem document; without a request id it has none."""
        status, title = PROBLEMS.get(self.code, _REFUSED)
        identity = {} if request_id is None else {"request_id": request_id}
        return {
            "type": f"urn:viral-platform:problem:{self.code}",
            "title": title,
            "status": status,
            "detail": self.detail,
            "code": self.code,
            **identity,
            **self.more,
        }


def as_response(problem: Problem, request_id: str) -> Response:
    """Return a problem as an HTTP response."""
    document = problem.document(request_id)
    return Response(
        json.dumps(document),
        status_code=PROBLEMS.get(problem.code, _REFUSED)[0],
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )


def respond(request: Request, problem: Problem) -> Response:
    """Return a problem as the response to a request."""
    return as_response(problem, str(request.state.request_id))


def invalid(faults: Sequence[Fault]) -> Problem:
    """Return the problem of a request that does not validate, with its first 100 faults."""
    places = "1 place" if len(faults) == 1 else f"{len(faults)} places"
    return Problem(
        "invalid_request",
        f"The request does not validate in {places}; errors lists them.",
        errors=list(faults[:SHOWN_ERRORS]),
    )


def faults_of(errors: Iterable[ErrorDetails | Mapping[str, Any]]) -> list[Fault]:
    """Return pydantic's errors as path, code and message.

    A path is made of our field names and of positions; a name that the caller made up may hold
    anything and is shown as `?` unless it is plain.
    """
    return [
        {
            "path": ".".join(_part(part) for part in error["loc"]),
            "code": str(error["type"]),
            "message": _OWN_MESSAGES.get(error["type"], str(error["msg"])),
        }
        for error in errors
    ]


def _part(part: object) -> str:
    if isinstance(part, int):
        return str(part)
    name = str(part)
    return name if _PLAIN_NAME.fullmatch(name) else "?"


def refused(error: RefusedRequestError) -> Problem:
    """Return the problem of a content that breaks a rule."""
    return Problem(error.code, error.problem, fix=error.fix)


def database_unavailable() -> Problem:
    """Return the problem of a database that does not answer."""
    return Problem(
        "database_unavailable",
        "The database does not answer at the moment. Try again.",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return the problem responses of a route for the OpenAPI document."""
    by_status: dict[int, list[str]] = {}
    for code in (*codes, "internal_error"):
        by_status.setdefault(PROBLEMS[code][0], []).append(code)
    return {
        status: {
            "description": "; ".join(f"`{code}`: {PROBLEMS[code][1]}" for code in named),
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/ProblemDetails"},
                    "example": Problem(named[0], "A sentence for people.").document("4f1c"),
                }
            },
        }
        for status, named in sorted(by_status.items())
    }
