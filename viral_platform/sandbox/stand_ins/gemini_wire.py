"""Spellings and errors of the Gemini API."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from viral_platform.sandbox.stand_ins.exchange import Answer, Document, as_json

_ERRORS: dict[int, tuple[str, str]] = {
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    402: ("FAILED_PRECONDITION", "Billing is not enabled for this project."),
    403: ("PERMISSION_DENIED", "The caller does not have permission."),
    404: ("NOT_FOUND", "Requested entity was not found."),
    429: (
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    500: ("INTERNAL", "An internal error has occurred."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "The request timed out. Please try again."),
}


def field(document: Any, name: str) -> Any:  # noqa: ANN401  any JSON value
    """Return a field by its camelCase name in either spelling, None when it is absent.

    Examples
    --------
    >>> field({"file_uri": "a"}, "fileUri"), field({"fileUri": "b"}, "fileUri")
    ('a', 'b')
    """
    if not isinstance(document, dict):
        return None
    snake = re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)
    return document.get(name, document.get(snake))


def error(
    status: int,
    message: str | None = None,
    *,
    named: str | None = None,
    details: list[Document] | None = None,
    retry_after: float | None = None,
) -> Answer:
    """Return an error; `retry_after` seconds go where the API puts them, into its details."""
    name, default = _ERRORS.get(status, _ERRORS[500])
    document: Document = {
        "code": status,
        "message": message or default,
        "status": named or name,
    }
    if retry_after is not None:
        details = [
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}],
            },
            {
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": f"{retry_after:g}s",
            },
        ]
    if details:
        document["details"] = details
    return as_json({"error": document}, status=status)


def key_error(key: str) -> Answer | None:
    """Return the refusal of a missing key or of one that says that it is invalid."""
    if not key:
        return error(
            403,
            "Method doesn't allow unregistered callers (callers without established identity). "
            "Please use API Key or other form of API consumer identity to call this API.",
        )
    if "invalid" not in key:
        return None
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }
    return error(400, "API key not valid. Please pass a valid API key.", details=[info])


def cancelled(answer: Answer) -> Answer:
    """Return the answer as the end of an upload.

    Without a status the client library takes any answer for a lost one and waits for seconds.
    """
    return replace(answer, headers={**answer.headers, "x-goog-upload-status": "cancelled"})
