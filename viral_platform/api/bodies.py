"""JSON bodies: bounded, decoded strictly, validated, and described for the OpenAPI document.

A dependency reads the body, so that who may not call is refused before a byte of it is read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from viral_platform.api.problems import Problem, faults_of, invalid

MAX_BODY_BYTES = 1024 * 1024

Message = TypeVar("Message", bound=BaseModel)


def json_body(model: type[Message]) -> Callable[[Request], Awaitable[Message]]:
    """Return a dependency that reads a message from the request's body.

    It raises 415 for another media type, 413 above 1 MiB, 400 for what is no JSON and 422 for
    what is no such message.
    """

    async def read(request: Request) -> Message:
        document = await json_document(request)
        try:
            return model.model_validate(document)
        except ValidationError as error:
            faults = faults_of(error.errors(include_input=False, include_url=False))
        raise invalid(faults)

    return read


async def json_document(request: Request) -> object:
    """Return the JSON value of the request's body.

    It raises 415 for another media type, 413 above 1 MiB and 400 for what is no JSON.
    """
    return decoded(await json_bytes(request))


async def json_bytes(request: Request) -> bytes:
    """Return the request's body as it came; it raises 415 for another media type and 413."""
    _require_json(request)
    return await _bounded(request)


def described(model: type[BaseModel]) -> dict[str, Any]:
    """Return the request body of a route for the OpenAPI document."""
    reference = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}
    }


def _require_json(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    kind, _, subtype = media_type.partition("/")
    if kind != "application" or not (subtype == "json" or subtype.endswith("+json")):
        raise Problem("unsupported_media_type", "Send the body as application/json.")


async def _bounded(request: Request) -> bytes:
    too_large = Problem("body_too_large", f"A body may have {MAX_BODY_BYTES} bytes at most.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise too_large
    return bytes(body)


def decoded(body: bytes) -> object:
    """Return the JSON value of a body; it raises 400 for what is no JSON."""
    try:
        document: object = from_json(body, allow_inf_nan=False)
    except ValueError:
        pass  # outside the handler, since the exception quotes the body
    else:
        return document
    raise Problem("malformed_json", "The body cannot be read as JSON in UTF-8.")
