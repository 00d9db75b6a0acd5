"""What the wire formats of both language models share: statuses, broken connections, bodies.

What a failure leads to, a retry or a verdict for the breaker, does not belong here.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler

from viral_platform.engine.errors import ConfigurationError, FailureReason, ProviderError
from viral_platform.providers.calls import Failure

_STATUS_REASONS: dict[int, FailureReason] = {
    401: "unauthorized",
    402: "out_of_credit",
    403: "unauthorized",
    404: "not_found",
    408: "timeout",
    429: "rate_limited",
}
# The official libraries take whichever HTTP layer is installed; the layers' classes differ, but
# bear the same names.
_HTTP_LAYERS = frozenset({"httpx2", "httpx", "httpcore2", "httpcore", "aiohttp", "anyio"})
_NEVER_SENT = frozenset(
    {
        "ConnectError",
        "ConnectTimeout",
        "PoolTimeout",
        "UnsupportedProtocol",
        "LocalProtocolError",
        "InvalidURL",
        "ClientConnectorError",
    }
)
_TIMEOUTS = frozenset({"TimeoutException", "TimeoutError"})
_PLAIN_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,79}")


class WireModel(BaseModel):
    """Base of what is read off the wire: unknown keys are dropped."""

    model_config = ConfigDict(extra="ignore", frozen=True)


Body = TypeVar("Body", bound=WireModel)


def reason_of(status: int) -> FailureReason:
    """Return what an HTTP status other than success means.

    Examples
    --------
    >>> reason_of(429), reason_of(503), reason_of(422)
    ('rate_limited', 'unavailable', 'bad_request')
    """
    if status in _STATUS_REASONS:
        return _STATUS_REASONS[status]
    return "bad_request" if 400 <= status < 500 else "unavailable"


def http_failure(
    provider: str,
    status: int,
    *,
    word: object = None,
    reason: FailureReason | None = None,
    retry_after: float | None = None,
) -> Failure:
    """Return the failure of an answer with an error status; such a call is not charged.

    `word` is the provider's own name for the error. Its message is left out: it may quote what
    was sent.
    """
    detail = f"HTTP {status} {plain_word(word) or ''}".rstrip()
    error = ProviderError(provider, reason or reason_of(status), detail, retry_after=retry_after)
    return Failure(error, is_free=True)


def connection_failure(provider: str, error: BaseException | None) -> Failure | None:
    """Return the failure that an exception of the HTTP layer stands for, None for another one.

    A call is free when its request was never sent; one that broke later may have been processed.
    """
    kinds = () if error is None else type(error).__mro__
    of_layer = any(kind.__module__.partition(".")[0] in _HTTP_LAYERS for kind in kinds)
    if not of_layer and not isinstance(error, OSError):
        return None
    names = {kind.__name__ for kind in kinds}
    is_free = bool(names & _NEVER_SENT)
    is_late = bool(names & _TIMEOUTS) and not is_free
    reason: FailureReason = "timeout" if is_late else "unreachable"
    return Failure(ProviderError(provider, reason, type(error).__name__), is_free)


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` header asks for: a number or a date, RFC 9110.

    Examples
    --------
    >>> retry_after_seconds("23", datetime(2026, 1, 1, tzinfo=UTC))
    23.0
    >>> retry_after_seconds("Thu, 01 Jan 2026 00:00:05 GMT", datetime(2026, 1, 1, tzinfo=UTC))
    5.0
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        seconds = (at - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def plain_word(value: object) -> str | None:
    """Return a name that a provider gave, None when it is anything but one plain word."""
    return value if isinstance(value, str) and _PLAIN_WORD.fullmatch(value) else None


def read_body(model: type[Body], body: str | bytes | None, provider: str) -> Body:
    """Return the body of a successful answer.

    Raises
    ------
    ProviderError
        `not_json` or `schema`.
    """
    try:
        return model.model_validate_json(body or b"")
    except ValidationError as error:
        is_json = error.errors(include_input=False)[0]["type"] != "json_invalid"
    raise ProviderError(
        provider,
        "schema" if is_json else "not_json",
        "the answer has another shape" if is_json else "the answer is no JSON",
    )


def or_none(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401  any value
    """Validate a part whose absence can be borne: what does not fit is None."""
    try:
        return handler(value)
    except ValidationError:
        return None


def usable_key(key: str, setting: str) -> str:
    """Return an API key without outer blanks.

    Raises
    ------
    ConfigurationError
        It cannot be sent in a header.
    """
    bare = key.strip()
    if not bare or not bare.isascii() or not bare.isprintable():
        raise ConfigurationError(f"{setting}: this is no API key. Copy it again, without quotes.")
    return bare
