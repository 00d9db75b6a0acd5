"""TikTok links: which are accepted, and where a short one leads.

Short links are followed by hand: each hop must stay on the allow-list and resolve to public
addresses, and the connection goes to the very address that was checked. What stands behind a link
does not belong here.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import SplitResult, urljoin, urlsplit

import httpx

from viral_platform.engine.errors import RefusedRequestError

HOSTS = frozenset(
    {"tiktok.com", "www.tiktok.com", "m.tiktok.com", "vm.tiktok.com", "vt.tiktok.com"}
)
SHORT_HOSTS = frozenset({"vm.tiktok.com", "vt.tiktok.com"})
MAX_HOPS = 3
HOP_SECONDS = 5.0

_POST = re.compile(r"/@([\w.]{1,64})/(?:video|photo)/([0-9]{5,20})/?", re.ASCII)
_MOBILE = re.compile(r"/v/([0-9]{5,20})(?:\.html)?/?", re.ASCII)
_SHORT = re.compile(r"/([A-Za-z0-9]{5,20})/?", re.ASCII)
_SHORT_PATH = re.compile(r"/t/([A-Za-z0-9]{5,20})/?", re.ASCII)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Resolve = Callable[[str], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class PostLink:
    """An accepted link, without query and fragment; a short one names no video yet."""

    url: str
    video_id: str | None

    @property
    def is_short(self) -> bool:
        """Whether it must be followed to name a video."""
        return self.video_id is None


def parse_link(text: str) -> PostLink:
    """Return the link that a text is.

    Raises
    ------
    RefusedRequestError
        `url_not_https`, `url_host` or `url_not_a_post`.

    Examples
    --------
    >>> parse_link("https://www.tiktok.com/@some.one/video/7301234567890123456?lang=en").video_id
    '7301234567890123456'
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise _not_a_post() from None
    if parts.scheme != "https":
        raise RefusedRequestError(
            "url_not_https", "The URL does not begin with https://.", "Give the https address."
        )
    is_bare = parts.username is None and parts.password is None and port in {None, 443}
    if parts.hostname not in HOSTS or not is_bare:
        raise RefusedRequestError(
            "url_host",
            "The URL is not on TikTok.",
            f"Its host must be exactly one of {', '.join(sorted(HOSTS))}.",
        )
    return _of_path(parts)


def _of_path(parts: SplitResult) -> PostLink:
    host, path = str(parts.hostname), parts.path
    if host in SHORT_HOSTS:
        short = _SHORT.fullmatch(path)
    else:
        short = _SHORT_PATH.fullmatch(path)
        if post := _POST.fullmatch(path):
            return PostLink(f"https://www.tiktok.com/@{post[1]}/video/{post[2]}", post[2])
        if mobile := _MOBILE.fullmatch(path):
            return PostLink(f"https://m.tiktok.com/v/{mobile[1]}.html", mobile[1])
    if short is None:
        raise _not_a_post()
    return PostLink(f"https://{host}{path.rstrip('/')}/", None)


def _not_a_post() -> RefusedRequestError:
    return RefusedRequestError(
        "url_not_a_post",
        "The URL names no post.",
        "Give the address of a video, https://www.tiktok.com/@name/video/123, or a share link.",
    )


class LinkResolver:
    """Follows short links.

    Parameters
    ----------
    transport : httpx.AsyncBaseTransport, optional
        What carries the requests.
    resolve : callable, optional
        Returns the addresses of a host.
    """

    def __init__(
        self, *, transport: httpx.AsyncBaseTransport | None = None, resolve: Resolve | None = None
    ) -> None:
        self._client = httpx.AsyncClient(
            transport=transport, timeout=HOP_SECONDS, follow_redirects=False, trust_env=False
        )
        self._resolve = resolve or _addresses

    async def __aenter__(self) -> LinkResolver:
        """Return the resolver."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def resolve(self, link: PostLink) -> PostLink:
        """Return the link to the post that a short one leads to, in three hops at most.

        A link that cannot be reached is returned as it is.

        Raises
        ------
        RefusedRequestError
            It leads elsewhere (`url_host`, `url_not_a_post`, `url_not_https`), to an address that
            is not public (`url_private_address`), or never arrives (`url_redirects`).
        """
        for _ in range(MAX_HOPS):
            if not link.is_short:
                return link
            try:
                async with asyncio.timeout(HOP_SECONDS):
                    target = await self._hop(link.url)
            except (httpx.HTTPError, OSError, TimeoutError):
                return link
            link = parse_link(target)
        if link.is_short:
            raise RefusedRequestError(
                "url_redirects",
                f"The short link names no post after {MAX_HOPS} hops.",
                "Open it and give the address of the post itself.",
            )
        return link

    async def _hop(self, url: str) -> str:
        host = str(urlsplit(url).hostname)
        address = (await self._public(host))[0]
        literal = f"[{address}]" if ":" in address else address
        asked = self._client.stream(
            "GET",
            url.replace(f"//{host}", f"//{literal}", 1),
            headers={"Host": host},
            extensions={"sni_hostname": host},
        )
        async with asked as response:
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or not location:
                raise _not_a_post()
            return urljoin(url, str(location))

    async def _public(self, host: str) -> list[str]:
        addresses = await self._resolve(host)
        if not addresses or not all(ipaddress.ip_address(one).is_global for one in addresses):
            raise RefusedRequestError(
                "url_private_address",
                "The link's host resolves to an address that is not public.",
                "Give the address of the post itself.",
            )
        return addresses


async def _addresses(host: str) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]
