"""Whop: the memberships of a company, page by page.

Reading changes nothing, so it is tried again. What a membership gives does not belong here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx

from viral_platform.engine.errors import ProviderError
from viral_platform.engine.subscriptions import Membership
from viral_platform.providers import reading
from viral_platform.providers.calls import Waits
from viral_platform.providers.reading import READ_SECONDS, BodyTooLongError, tried
from viral_platform.providers.whop_wire import (
    PROVIDER,
    MembershipsBody,
    UnreadableMembershipError,
    broken,
    read_membership,
    refusal,
)
from viral_platform.providers.wire import read_body

PAGE_MEMBERSHIPS = 100
PAGE_BYTES = 16 << 20
# A list may be behind by so much: a message of this time counts more than the list.
LIST_LAG = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class MembershipPage:
    """Memberships as they stand, and the fields that made others unreadable."""

    memberships: list[Membership]
    unreadable: list[str]


class WhopMemberships:
    """Reads memberships. Safe for several threads.

    Parameters
    ----------
    api_key, base_url : str
        The key goes into a header, never into an address.
    company_id : str
        Whose memberships are read.
    waits : Waits
        Between tries of one request.
    page_memberships : int, default 100
        How many a page is asked to hold.
    read_seconds : float, default 30
        How long the connection may be silent.
    transport : httpx.BaseTransport, optional
        What carries the requests.
    now : callable, optional
        Returns the present, aware.

    Raises
    ------
    ConfigurationError
        The key cannot be sent.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str,
        company_id: str,
        waits: Waits = Waits(),  # noqa: B008  frozen
        page_memberships: int = PAGE_MEMBERSHIPS,
        read_seconds: float = READ_SECONDS,
        transport: httpx.BaseTransport | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._company_id = company_id
        self._waits = waits
        self._page_memberships = page_memberships
        self._now = now
        self._client = httpx.Client(
            **reading.client_options(
                api_key,
                f"{base_url.rstrip('/')}/api/v1",
                setting="WHOP_API_KEY",
                read_seconds=read_seconds,
            ),
            transport=transport,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def pages(self) -> Iterator[MembershipPage]:
        """Yield all memberships of the company.

        A membership is as of its own last change, or of the reading, whichever is later.

        Raises
        ------
        ProviderError
            A page stayed unreadable, or its cursor leads nowhere; pages before it were whole.
        """
        cursors: set[str] = set()
        cursor: str | None = None
        while True:
            read_at = self._now()
            body = tried(partial(self._page, cursor), self._waits)
            yield _page_of(body, read_at - LIST_LAG)
            if not body.page_info.has_next_page:
                return
            cursor = body.page_info.end_cursor
            if not cursor or cursor in cursors:
                raise ProviderError(PROVIDER, "schema", "the cursor of a page leads nowhere")
            cursors.add(cursor)

    def _page(self, cursor: str | None) -> MembershipsBody:
        query: dict[str, str | int] = {
            "company_id": self._company_id,
            "first": self._page_memberships,
        }
        if cursor is not None:
            query["after"] = cursor
        try:
            body, _ = reading.get(
                self._client,
                "/memberships",
                query,
                max_bytes=PAGE_BYTES,
                refusal=lambda response, content: refusal(response, content, self._now()),
                broken=broken,
            )
        except BodyTooLongError:
            raise ProviderError(PROVIDER, "schema", f"a page is over {PAGE_BYTES} bytes") from None
        return read_body(MembershipsBody, body, PROVIDER)


def _page_of(body: MembershipsBody, as_of: datetime) -> MembershipPage:
    page = MembershipPage([], [])
    for document in body.data:
        try:
            read = read_membership(document, sent_at=as_of)
        except UnreadableMembershipError as error:
            page.unreadable.append(str(error))
        else:
            page.memberships.append(_dated(read, as_of))
    return page


def _dated(read: Membership, as_of: datetime) -> Membership:
    return replace(read, as_of=max(read.as_of, as_of), is_dated=True)
