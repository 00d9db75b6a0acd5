"""Reading over HTTP what costs nothing and changes nothing: bounded, and tried again.

What is asked for, and how a provider says no, is in the module of its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypedDict, TypeVar

import httpx
import stamina

from viral_platform.engine.errors import ProviderError
from viral_platform.providers.calls import Failure, Waits
from viral_platform.providers.wire import usable_key

Result = TypeVar("Result")

ATTEMPTS = 4
READ_SECONDS = 30.0
CONNECT_SECONDS = 5.0


class ClientOptions(TypedDict):
    """Options of an HTTP client."""

    base_url: str
    headers: dict[str, str]
    timeout: httpx.Timeout
    follow_redirects: bool


class BodyTooLongError(Exception):
    """An answer has more bytes than it may have."""


def client_options(
    token: str, base_url: str, *, setting: str, read_seconds: float
) -> ClientOptions:
    """Return how a provider is spoken to: the token in a header, never in an address or elsewhere.

    Raises
    ------
    ConfigurationError
        The token cannot be sent; names its setting.
    """
    return ClientOptions(
        base_url=base_url,
        headers={"Authorization": f"Bearer {usable_key(token, setting)}"},
        timeout=httpx.Timeout(read_seconds, connect=CONNECT_SECONDS),
        follow_redirects=False,
    )


def get(
    client: httpx.Client,
    path: str,
    query: Mapping[str, str | int],
    *,
    max_bytes: int,
    refusal: Callable[[httpx.Response, bytes], ProviderError],
    broken: Callable[[httpx.HTTPError], Failure],
) -> tuple[bytes, httpx.Headers]:
    """Return the body of a successful answer, and its headers.

    Raises
    ------
    ProviderError
        What `refusal` or `broken` make of another one.
    BodyTooLongError
        The body has more than `max_bytes`.
    """
    body = bytearray()
    try:
        with client.stream("GET", path, params=query) as response:
            for piece in response.iter_bytes():
                body += piece
                if len(body) > max_bytes:
                    raise BodyTooLongError
    except httpx.HTTPError as error:
        raise broken(error).error from None
    if not response.is_success:
        raise refusal(response, bytes(body))
    return bytes(body), response.headers


def tried(read: Callable[[], Result], waits: Waits) -> Result:
    """Return what `read` returns, after up to `ATTEMPTS` tries of what can change by itself.

    No try comes before the provider said.
    """
    number = 0

    def wait(error: Exception) -> float | bool:
        nonlocal number
        if not isinstance(error, ProviderError) or not error.is_retryable:
            return False
        number += 1
        return max(waits.after(number), error.retry_after or 0.0)

    for turn in stamina.retry_context(on=wait, attempts=ATTEMPTS, timeout=None):
        with turn:
            return read()
    raise AssertionError("the last attempt returns or raises")
