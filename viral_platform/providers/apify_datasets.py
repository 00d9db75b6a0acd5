"""Apify: actor runs that others started, and their datasets page by page.

Reading costs nothing and changes nothing, so it is tried again. What items mean does not belong
here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import httpx
import msgspec

from viral_platform.engine.errors import ProviderError
from viral_platform.providers.apify_wire import (
    PROVIDER,
    ActorRun,
    broken,
    client_options,
    read_run,
    refusal,
)
from viral_platform.providers.calls import Waits
from viral_platform.providers.reading import READ_SECONDS, BodyTooLongError, get, tried

PAGE_ITEMS = 1_000
# A page is held whole; one of longer items is asked for in parts.
PAGE_BYTES = 64 << 20

_TOTAL, _COUNT = "x-apify-pagination-total", "x-apify-pagination-count"
_SPACE = " \t\r\n"
_OPENING = re.compile(r"[ \t\r\n]*\[[ \t\r\n]*")
_SEPARATOR = re.compile(r"[ \t\r\n]*[\],][ \t\r\n]*")
# Numbers stay text here: only the extent of each element is wanted.
_ELEMENT = json.JSONDecoder(parse_int=str, parse_float=str)


@dataclass(frozen=True, slots=True)
class DatasetPage:
    """Items of a dataset, each as its JSON, from the place `offset` on, counted from 0.

    `next_offset` is where the next page begins: it counts the rows that the page was made of,
    of which the server may leave some out. `total` is how many the dataset held then.
    """

    offset: int
    next_offset: int
    total: int
    items: list[bytes]
    body_bytes: int


class ApifyDatasets:
    """Reads runs and datasets. Safe for several threads.

    Parameters
    ----------
    token, base_url : str
        The token goes into a header, never into an address.
    waits : Waits
        Between tries of one request.
    page_items, page_bytes : int
        How long a page may be.
    read_seconds : float, default 30
        How long the connection may be silent.
    transport : httpx.BaseTransport, optional
        What carries the requests.
    now : callable, optional
        Returns the present, aware.

    Raises
    ------
    ConfigurationError
        The token cannot be sent.
    """

    def __init__(
        self,
        *,
        token: str,
        base_url: str,
        waits: Waits = Waits(),  # noqa: B008  frozen
        page_items: int = PAGE_ITEMS,
        page_bytes: int = PAGE_BYTES,
        read_seconds: float = READ_SECONDS,
        transport: httpx.BaseTransport | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._waits = waits
        self._page_items = page_items
        self._page_bytes = page_bytes
        self._now = now
        self._client = httpx.Client(
            **client_options(token, base_url, read_seconds=read_seconds), transport=transport
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def run(self, run_id: str) -> ActorRun:
        """Return an actor run as it is now.

        Raises
        ------
        ProviderError
            "not_found" when Apify knows no such run.
        """
        return tried(lambda: read_run(self._get(f"/actor-runs/{run_id}", {})[0]), self._waits)

    def page(self, dataset_id: str, offset: int) -> DatasetPage:
        """Return the items from `offset` on, as many as a page may hold.

        A page without items that ends where it begins lies at or behind the end, as it is now.

        Raises
        ------
        ProviderError
            "not_found" when there is no such dataset any more; "not_json" or "schema" when the
            answers stayed no page, "empty" when items are missing before the end.
        """
        limit = self._page_items
        while True:
            try:
                return tried(partial(self._page, dataset_id, offset, limit), self._waits)
            except BodyTooLongError:
                if limit == 1:
                    raise ProviderError(
                        PROVIDER, "schema", f"item {offset + 1} is over {self._page_bytes} bytes"
                    ) from None
                limit = max(1, limit // 4)

    def _page(self, dataset_id: str, offset: int, limit: int) -> DatasetPage:
        path = f"/datasets/{dataset_id}/items"
        body, headers = self._get(path, {"offset": offset, "limit": limit})
        items = _elements(body)
        total = _number(headers.get(_TOTAL))
        if total is None:
            raise ProviderError(PROVIDER, "schema", "the page does not tell its total")
        rows = max(len(items), _number(headers.get(_COUNT)) or 0)
        if not rows and offset < total:
            raise ProviderError(PROVIDER, "empty", f"no item at {offset + 1} of {total}")
        return DatasetPage(offset, offset + rows, total, items, len(body))

    def _get(self, path: str, query: dict[str, int]) -> tuple[bytes, httpx.Headers]:
        return get(
            self._client,
            path,
            query,
            max_bytes=self._page_bytes,
            refusal=lambda response, body: refusal(response, body, self._now()),
            broken=broken,
        )


def _number(header: str | None) -> int | None:
    return int(header) if header is not None and header.isdecimal() else None


def _elements(body: bytes) -> list[bytes]:
    """Return the elements of a JSON array as they stand in it.

    Raises
    ------
    ProviderError
        "not_json", or "schema" for JSON that is no array.
    """
    try:
        return [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except msgspec.ValidationError:
        raise ProviderError(PROVIDER, "schema", "the page is no list") from None
    except (msgspec.DecodeError, RecursionError):
        return _cut(body.decode("utf-8", "replace"))


def _cut(text: str) -> list[bytes]:
    """Cut an array that holds NaN or lone surrogates, so that only their items are rejected."""
    elements: list[bytes] = []
    mark = _OPENING.match(text)
    try:
        while mark is not None and mark[0].strip(_SPACE) != "]":
            _, end = _ELEMENT.raw_decode(text, mark.end())
            elements.append(text[mark.end() : end].encode())
            mark = _SEPARATOR.match(text, end)
    except (ValueError, RecursionError):
        mark = None
    if mark is None or mark.end() < len(text):
        raise ProviderError(PROVIDER, "not_json", "the page is no JSON")
    return elements
