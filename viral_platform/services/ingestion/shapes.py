"""What the keys of each shape of item mean: a batch of items becomes the columns of `VideoRow`.

What is absent or blank is None, never zero. Crawl time is the first filled one of `scrapedAt`,
`scrapedAtISO`, `collectedAt`, `crawledAt`, else the reading's default. Posting time is the item's
own, else the upper 32 bits of the video's id. An id or a handle that is missing is read off the
video's address. A batch goes column by column: a value of the expected type costs no call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from viral_platform.engine.errors import InputError
from viral_platform.engine.normalize import extract_hashtags, normalize_handle
from viral_platform.services.ingestion import values
from viral_platform.services.ingestion.columns import Columns, Converter
from viral_platform.services.ingestion.items import (
    ApidojoItem,
    AuthorMeta,
    Channel,
    ClockworksItem,
    Item,
    MusicMeta,
    Song,
    Tag,
    Tags,
    VideoMeta,
)
from viral_platform.services.ingestion.values import Value

# TikTok's predecessor opened in 2014; no id is older.
EARLIEST_POST = datetime(2014, 1, 1, tzinfo=UTC)

_ADDRESS = re.compile(r"/@([^/?#]+)/(?:video|photo)/([0-9]{1,19})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reading:
    """How the items of one file are read.

    `default_crawled_at` serves items without a crawl time of their own. `crawl_zone` is the zone
    of crawl times that name none.
    """

    source: str
    default_crawled_at: datetime | None
    crawl_zone: tzinfo = UTC


_NO_AUTHOR, _NO_MUSIC, _NO_VIDEO = AuthorMeta(), MusicMeta(), VideoMeta()
_NO_CHANNEL, _NO_SONG = Channel(), Song()


def clockworks_columns(
    items: Sequence[ClockworksItem], reading: Reading, convert: Converter
) -> Columns:
    """Return the columns of clockworks items; `convert` notes the values that are not usable."""
    authors = [item.authorMeta or _NO_AUTHOR for item in items]
    sounds = [item.musicMeta or _NO_MUSIC for item in items]
    videos = [item.videoMeta or _NO_VIDEO for item in items]
    urls = convert.texts([item.webVideoUrl for item in items])
    captions = [text or "" for text in convert.texts([item.text for item in items])]
    return _identity(items, urls, reading, convert, _clockworks_posted_at) | {
        "is_simulated": [item.simulated is True for item in items],
        "video_url": urls,
        "caption": captions,
        "text_language": convert.texts([item.textLanguage for item in items]),
        "hashtags": [
            _hashtags(item.hashtags, caption) for item, caption in zip(items, captions, strict=True)
        ],
        "duration_seconds": convert.durations([video.duration for video in videos]),
        "is_ad": convert.flags("is_ad", [item.isAd for item in items]),
        "is_slideshow": convert.flags("is_slideshow", [item.isSlideshow for item in items]),
        "views": convert.counts("views", [item.playCount for item in items]),
        "likes": convert.counts("likes", [item.diggCount for item in items]),
        "comments": convert.counts("comments", [item.commentCount for item in items]),
        "shares": convert.counts("shares", [item.shareCount for item in items]),
        "saves": convert.counts("saves", [item.collectCount for item in items]),
        "sound_id": [values.sound_id(sound.musicId) for sound in sounds],
        "sound_name": convert.texts([sound.musicName for sound in sounds]),
        "sound_author": convert.texts([sound.musicAuthor for sound in sounds]),
        "sound_is_original": convert.flags(
            "sound_is_original", [sound.musicOriginal for sound in sounds]
        ),
        "sound_uses": convert.counts("sound_uses", [sound.uses for sound in sounds]),
        "author_handle": _handles([author.name for author in authors], urls),
        "author_id": convert.texts([author.id for author in authors]),
        "author_display_name": convert.texts([author.nickName for author in authors]),
        "author_verified": convert.flags(
            "author_verified", [author.verified for author in authors]
        ),
        "author_followers": convert.counts("author_followers", [author.fans for author in authors]),
        "author_following": convert.counts(
            "author_following", [author.following for author in authors]
        ),
        "author_hearts": convert.counts("author_hearts", [author.heart for author in authors]),
        "author_videos": convert.counts("author_videos", [author.video for author in authors]),
    }


def apidojo_columns(items: Sequence[ApidojoItem], reading: Reading, convert: Converter) -> Columns:
    """Return the columns of apidojo items; `convert` notes the values that are not usable."""
    unknown: list[object] = [None] * len(items)
    channels = [item.channel or _NO_CHANNEL for item in items]
    sounds = [item.song or _NO_SONG for item in items]
    videos = [item.video or _NO_VIDEO for item in items]
    urls = convert.texts([item.postPage for item in items])
    captions = [text or "" for text in convert.texts([item.title for item in items])]
    return _identity(items, urls, reading, convert, _apidojo_posted_at) | {
        "is_simulated": [item.simulated is True for item in items],
        "video_url": urls,
        "caption": captions,
        "text_language": unknown,
        "hashtags": [
            _hashtags(item.hashtags, caption) for item, caption in zip(items, captions, strict=True)
        ],
        "duration_seconds": convert.durations([video.duration for video in videos]),
        "is_ad": unknown,
        "is_slideshow": unknown,
        "views": convert.counts("views", [item.views for item in items]),
        "likes": convert.counts("likes", [item.likes for item in items]),
        "comments": convert.counts("comments", [item.comments for item in items]),
        "shares": convert.counts("shares", [item.shares for item in items]),
        "saves": convert.counts("saves", [item.bookmarks for item in items]),
        "sound_id": [values.sound_id(sound.id) for sound in sounds],
        "sound_name": convert.texts([sound.title for sound in sounds]),
        "sound_author": convert.texts([sound.artist for sound in sounds]),
        "sound_is_original": unknown,
        "sound_uses": unknown,
        "author_handle": _handles(
            [values.text(channel.username) or channel.name for channel in channels], urls
        ),
        "author_id": convert.texts([channel.id for channel in channels]),
        "author_display_name": convert.texts([channel.name for channel in channels]),
        "author_verified": convert.flags(
            "author_verified", [channel.verified for channel in channels]
        ),
        "author_followers": convert.counts(
            "author_followers", [channel.followers for channel in channels]
        ),
        "author_following": convert.counts(
            "author_following", [channel.following for channel in channels]
        ),
        "author_hearts": unknown,
        "author_videos": convert.counts("author_videos", [channel.videos for channel in channels]),
    }


def _identity(
    items: Sequence[Any],
    urls: Sequence[str | None],
    reading: Reading,
    convert: Converter,
    own_posted_at: Callable[[Any], datetime | None],
) -> Columns:
    """Return the columns that say which video at which time."""
    ids = convert.each(list(zip([item.id for item in items], urls, strict=True)), _video_id)
    crawled = convert.each(items, lambda item: _crawled_at(item, reading))

    def posted_at(index: int) -> datetime | None:
        own = own_posted_at(items[index])
        video_id, crawled_at = ids[index], crawled[index]
        if own is not None or video_id is None or crawled_at is None:
            return own
        return posted_at_of_id(video_id, crawled_at)

    return {
        "platform_video_id": ids,
        "crawled_at": crawled,
        "posted_at": convert.each(range(len(items)), posted_at),
        "source": [reading.source] * len(items),
        "platform": ["tiktok"] * len(items),
    }


def _clockworks_posted_at(item: ClockworksItem) -> datetime | None:
    return values.instant(item.createTime, "posted_at") or values.instant(
        item.createTimeISO, "posted_at"
    )


def _apidojo_posted_at(item: ApidojoItem) -> datetime | None:
    return values.instant(item.uploadedAt, "posted_at") or values.instant(
        item.uploadedAtFormatted, "posted_at"
    )


def posted_at_of_id(video_id: str, crawled_at: datetime) -> datetime:
    """Return the creation time in an id's upper 32 bits.

    Raises
    ------
    ItemRejectedError
        It lies before 2014 or after the crawl.

    Examples
    --------
    >>> posted_at_of_id("7374737911075310856", datetime(2025, 1, 1, tzinfo=UTC)).isoformat()
    '2024-05-30T10:29:34+00:00'
    """
    posted_at = datetime.fromtimestamp(int(video_id) >> 32, UTC)
    if not EARLIEST_POST <= posted_at <= crawled_at:
        values.reject(
            "posted_at", "missing", None, "a posting time, since the id does not hold one either"
        )
    return posted_at


def _video_id(given: tuple[Value, str | None]) -> str:
    value, url = given
    video_id = values.video_id(value, "platform_video_id")
    if video_id is None and url is not None and (address := _ADDRESS.search(url)):
        video_id = values.video_id(address[2], "platform_video_id")
    if video_id is None:
        values.reject("platform_video_id", "missing", value, "the video's id, or its address")
    return video_id


def _handles(names: Sequence[Value], urls: Sequence[str | None]) -> list[str | None]:
    return [_handle(name, url) for name, url in zip(names, urls, strict=True)]


def _handle(name: Value, url: str | None) -> str | None:
    handle = values.text(name)
    if handle is None and url is not None and (address := _ADDRESS.search(url)):
        handle = address[1]
    return None if handle is None else normalize_handle(handle) or None


def _crawled_at(item: Item, reading: Reading) -> datetime:
    for own in (item.scrapedAt, item.scrapedAtISO, item.collectedAt, item.crawledAt):
        if own is not None:
            crawled_at = values.instant(own, "crawled_at", reading.crawl_zone)
            if crawled_at is not None:
                return crawled_at
    if reading.default_crawled_at is None:
        raise InputError(
            "An item carries no crawl time. Say when the file was scraped: --scraped-at."
        )
    return reading.default_crawled_at


def _hashtags(tags: Tags, caption: str) -> tuple[str, ...]:
    """Return the item's hashtags; those of the caption where the item has no list of them."""
    if tags is None:
        return extract_hashtags(caption) if "#" in caption else ()
    names: Sequence[Value]
    if isinstance(tags, str):
        names = tags.split(",")
    else:
        names = [tag.name if isinstance(tag, Tag) else tag for tag in tags]
    stored = [values.hashtag(str(name)) for name in names if name is not None]
    return tuple([tag for tag in dict.fromkeys(stored) if tag is not None])


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape of item: its type, its way into columns, and the keys that tell it."""

    item: type[Item]
    columns: Callable[[Any, Reading, Converter], Columns]
    recognised_by: frozenset[str]


# The order in which a file's first items are tried.
SHAPES = {
    "apidojo": Shape(ApidojoItem, apidojo_columns, frozenset({"channel", "postPage"})),
    "clockworks": Shape(
        ClockworksItem,
        clockworks_columns,
        frozenset({"id", "authorMeta", "webVideoUrl", "playCount", "createTime"}),
    ),
}
