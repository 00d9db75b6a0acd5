from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.errors import RefusedRequestError
from viral_platform.providers.links import HOSTS, LinkResolver, PostLink, parse_link

POST = "https://www.tiktok.com/@some.one/video/7301234567890123456"
SHORT = "https://vm.tiktok.com/ZMabc123/"


@pytest.mark.parametrize(
    ("text", "url", "video_id"),
    [
        (POST, POST, "7301234567890123456"),
        (f" {POST}?lang=en#top ", POST, "7301234567890123456"),
        ("https://tiktok.com/@a/photo/7301234567890123456/",
         "https://www.tiktok.com/@a/video/7301234567890123456", "7301234567890123456"),
        ("https://m.tiktok.com/v/7301234567890123456.html",
         "https://m.tiktok.com/v/7301234567890123456.html", "7301234567890123456"),
        ("https://VM.TikTok.com/ZMabc123", SHORT, None),
        ("https://vt.tiktok.com/ZSabc123/", "https://vt.tiktok.com/ZSabc123/", None),
        ("https://www.tiktok.com/t/ZTabc123/", "https://www.tiktok.com/t/ZTabc123/", None),
    ],
)  # fmt: skip
def test_a_post_or_a_share_link_is_accepted(text: str, url: str, video_id: str | None) -> None:
    assert parse_link(text) == PostLink(url, video_id)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (POST.replace("https", "http"), "url_not_https"),
        ("javascript:alert(1)", "url_not_https"),
        ("file:///etc/passwd", "url_not_https"),
        ("https://tiktok.com.evil.example/@a/video/7301234567890123456", "url_host"),
        ("https://evil.example/tiktok.com/@a/video/7301234567890123456", "url_host"),
        ("https://ads.tiktok.com/@a/video/7301234567890123456", "url_host"),
        ("https://user:secret@www.tiktok.com/@a/video/7301234567890123456", "url_host"),
        ("https://www.tiktok.com@evil.example/@a/video/7301234567890123456", "url_host"),
        ("https://www.tiktok.com:8443/@a/video/7301234567890123456", "url_host"),
        ("https://127.0.0.1/@a/video/7301234567890123456", "url_host"),
        ("https://www.tiktok.com:x/@a/video/7301234567890123456", "url_not_a_post"),
        ("https://www.tiktok.com/@a", "url_not_a_post"),
        ("https://www.tiktok.com/tag/fyp", "url_not_a_post"),
        ("https://www.tiktok.com/@a/video/7301234567890123456/../../x", "url_not_a_post"),
        ("https://vm.tiktok.com/", "url_not_a_post"),
    ],
)
def test_anything_else_is_refused_with_its_code_and_how_to_fix_it(text: str, code: str) -> None:
    with pytest.raises(RefusedRequestError) as refused:
        parse_link(text)
    assert refused.value.code == code
    assert refused.value.fix
    assert "secret" not in str(refused.value)


@given(st.text() | st.from_regex(r"https://[a-z.]{0,20}tiktok\.com/.{0,30}"))
def test_whatever_is_accepted_stays_on_the_allow_list(text: str) -> None:
    try:
        link = parse_link(text)
    except RefusedRequestError:
        return
    assert httpx.URL(link.url).host in HOSTS
    assert httpx.URL(link.url).scheme == "https"


def follow(
    answer: Callable[[httpx.Request], httpx.Response], *addresses: str, start: str = SHORT
) -> tuple[PostLink, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answer(request)

    async def resolve(host: str) -> list[str]:
        return list(addresses) or ["8.8.8.8"]

    async def run() -> PostLink:
        transport = httpx.MockTransport(handle)
        async with LinkResolver(transport=transport, resolve=resolve) as resolver:
            return await resolver.resolve(parse_link(start))

    return asyncio.run(run()), seen


def to(location: str, status: int = 301) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, headers={"location": location})


def test_a_short_link_is_followed_to_its_post_at_the_checked_address() -> None:
    link, (request,) = follow(to(f"{POST}?_t=1"))
    assert link.url == POST
    assert request.url.host == "8.8.8.8"
    assert request.headers["host"] == "vm.tiktok.com"
    assert request.extensions["sni_hostname"] == "vm.tiktok.com"


def test_an_address_of_the_newer_internet_is_written_in_brackets() -> None:
    _, (request,) = follow(to(POST), "2001:4860:4860::8888")
    assert request.url.host == "2001:4860:4860::8888"


def test_a_link_to_a_link_is_followed() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        location = "/t/ZTabc123/" if request.headers["host"] == "vm.tiktok.com" else POST
        return httpx.Response(302, headers={"location": location})

    with pytest.raises(RefusedRequestError) as refused:
        follow(answer)
    assert refused.value.code == "url_not_a_post"
    link, seen = follow(
        lambda request: httpx.Response(
            302,
            headers={
                "location": "https://www.tiktok.com/t/ZTabc123/"
                if request.headers["host"] == "vm.tiktok.com"
                else POST
            },
        )
    )
    assert link.url == POST
    assert len(seen) == 2


def test_three_hops_are_the_most() -> None:
    with pytest.raises(RefusedRequestError) as refused:
        follow(to(SHORT))
    assert refused.value.code == "url_redirects"


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("https://evil.example/@a/video/7301234567890123456", "url_host"),
        ("http://www.tiktok.com/@a/video/7301234567890123456", "url_not_https"),
        ("https://www.tiktok.com/login", "url_not_a_post"),
    ],
)
def test_a_hop_that_leaves_the_allow_list_is_refused(location: str, code: str) -> None:
    with pytest.raises(RefusedRequestError) as refused:
        follow(to(location))
    assert refused.value.code == code


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "::1", "fc00::1", "100.64.0.1"],
)
def test_a_host_at_a_private_address_is_not_asked(address: str) -> None:
    with pytest.raises(RefusedRequestError) as refused:
        follow(to(POST), "8.8.8.8", address)
    assert refused.value.code == "url_private_address"


def test_a_page_instead_of_a_redirect_names_no_post() -> None:
    with pytest.raises(RefusedRequestError) as refused:
        follow(lambda _: httpx.Response(200))
    assert refused.value.code == "url_not_a_post"


def test_a_link_that_cannot_be_reached_is_left_as_it_is() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route")

    link, _ = follow(broken)
    assert link == PostLink(SHORT, None)


def test_a_link_to_a_post_is_not_asked_about() -> None:
    link, seen = follow(to(SHORT), start=POST)
    assert link.url == POST
    assert seen == []
