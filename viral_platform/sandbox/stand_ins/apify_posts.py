"""Simulated posts that belong to an actor's input: the same input gives the same items."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

import numpy as np

from viral_platform.sandbox import vocabulary as words
from viral_platform.sandbox.dirt import error_item
from viral_platform.sandbox.items import Counts, Extras, SimulatedPost, post_item
from viral_platform.sandbox.population import (
    DAY,
    LOG_FOLLOWERS_MEAN,
    LOG_FOLLOWERS_SD,
    Sound,
    draw_durations,
    pick,
    snowflake,
    write_caption,
)
from viral_platform.sandbox.stand_ins.exchange import Document

ITEMS_A_SEARCH = 5
# Ids below hold no time of the years in which TikTok exists.
FIRST_SECOND = int(datetime(2016, 1, 1, tzinfo=UTC).timestamp())
SEARCHES_START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
SEARCHES_DAYS = 300
_POST = re.compile(r"https://www\.tiktok\.com/@([\w.]+)/(?:video|photo)/([0-9]{5,20})/?")
_MOBILE = re.compile(r"https://m\.tiktok\.com/v/([0-9]{5,20})\.html")


def items_for(actor_input: Document) -> list[Document]:
    """Return the items of `postURLs`, `hashtags` and `profiles`, in that order.

    An address that names no post gives what the scraper stores for a failed input.
    """
    items = [_of_url(str(url)) for url in actor_input.get("postURLs", [])]
    wanted = int(actor_input.get("resultsPerPage", ITEMS_A_SEARCH))
    for tag in actor_input.get("hashtags", []):
        for rng, video_id in islice(_found(f"hashtag {tag}"), min(wanted, ITEMS_A_SEARCH)):
            handle = f"sim_{pick(rng, words.CREATOR_WORDS)}_{int(rng.integers(100)):05d}"
            item = _item(rng, video_id, handle, tag=str(tag))
            items.append({**item, "input": tag})
    for handle in actor_input.get("profiles", []):
        for rng, video_id in islice(_found(f"profile {handle}"), min(wanted, ITEMS_A_SEARCH)):
            items.append({**_item(rng, video_id, str(handle)), "input": handle})
    return items


def items_of_search(search: str, wanted: int) -> list[Document]:
    """Return so many posts that a search finds."""
    found = islice(_found(search), wanted)
    return [
        _item(rng, video_id, f"sim_{pick(rng, words.CREATOR_WORDS)}_{int(rng.integers(100)):05d}")
        for rng, video_id in found
    ]


def _of_url(url: str) -> Document:
    post, mobile = _POST.match(url), _MOBILE.match(url)
    if post:
        handle, video_id = post[1], post[2]
    elif mobile:
        handle, video_id = f"sim_{mobile[1][-5:]}", mobile[1]
    else:
        return {**error_item(url), "error": "This post does not exist.", "url": url}
    return {**_item(_rng(video_id), video_id, handle), "input": url, "submittedVideoUrl": url}


def _found(search: str) -> Iterator[tuple[np.random.Generator, str]]:
    """Yield random streams and ids of the posts of a search, without end."""
    for number in range(2**31):
        rng = _rng(f"{search} {number}")
        second = SEARCHES_START + int(rng.integers(SEARCHES_DAYS * DAY))
        yield rng, snowflake(second, int(rng.integers(2**31)), kind=0)


def _rng(key: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]))


def _item(
    rng: np.random.Generator, video_id: str, handle: str, *, tag: str | None = None
) -> Document:
    second = int(video_id) >> 32
    if second < FIRST_SECOND:
        second = SEARCHES_START + int(rng.integers(SEARCHES_DAYS * DAY))
    niche = pick(rng, words.NICHES)
    name = f"{pick(rng, words.SOUND_FIRST)} {pick(rng, words.SOUND_SECOND)}"
    is_original = bool(rng.random() < 0.5)
    sound = Sound(
        id=snowflake(second + 7, int(rng.integers(2**31)), kind=2),
        name=f"original sound - {handle}" if is_original else name,
        author=handle if is_original else pick(rng, words.ARTISTS),
        original=is_original,
        album=None,
    )
    text = ""
    while not text:
        text = write_caption(rng, niche, "en", sound)
    tags = [tag] if tag else []
    tags += [pick(rng, words.TAG_ROOTS[niche]) for _ in range(int(rng.integers(1, 5)))]
    hashtags = tuple(dict.fromkeys(tags))
    post = SimulatedPost(
        id=video_id,
        handle=handle,
        niche=niche,
        language="en",
        caption=" ".join([text, *(f"#{one}" for one in hashtags)]),
        hashtags=hashtags,
        mentions=(),
        duration_seconds=int(draw_durations(rng, 1)[0]),
        posted_at=datetime.fromtimestamp(second, UTC),
        sound_id=sound.id,
        sound_name=sound.name,
        sound_is_original=is_original,
    )
    return post_item(
        post,
        _counts(rng),
        Extras(is_ad=False, is_sponsored=False, place=-1, sticker=-1),
        author=_author(handle),
        sound=sound,
        mentioned=[],
        tag_ids=[str(20_000 + k) for k in range(len(hashtags))],
    )


def _counts(rng: np.random.Generator) -> Counts:
    """Draw counts in the order of magnitude of a middling post."""
    views = int(10.0 ** rng.normal(4.4, 0.7))
    shares = (0.07, 0.002, 0.004, 0.006)
    likes, comments, shared, saves = (
        int(views * share * rng.lognormal(0.0, 0.5)) for share in shares
    )
    return Counts(views, min(likes, views), comments, shared, saves)


def _author(handle: str) -> Document:
    known = _rng(f"creator {handle}")
    videos = int(known.integers(5, 500))
    return {
        "id": snowflake(SEARCHES_START - int(known.integers(1_000)) * DAY, videos, kind=1),
        "name": handle,
        "nickName": handle,
        "verified": False,
        "privateAccount": False,
        "ttSeller": False,
        "following": int(known.integers(1_000)),
        "friends": 0,
        "fans": int(10.0 ** known.normal(LOG_FOLLOWERS_MEAN, LOG_FOLLOWERS_SD)),
        "heart": videos * 2_000,
        "video": videos,
        "digg": 0,
    }
