"""The items that scrapers write, as types: only the keys that are read, the others are passed over.

`clockworks` is the Apify actor's item; the older `tiktok-scraper` writes the same keys. `apidojo`
is the other actor's. What the keys mean for a row is in `shapes.py`.
"""

from __future__ import annotations

import msgspec

from viral_platform.services.ingestion.values import Value


class Tag(msgspec.Struct, gc=False):
    """A hashtag as an object."""

    name: Value = None


Tags = list[Tag | str | int | float | None] | str | None
ErrorValue = bool | int | float | str | list[object] | dict[str, object] | None


class Item(msgspec.Struct, kw_only=True, gc=False):
    """The keys that both shapes may have."""

    id: Value = None
    hashtags: Tags = None
    error: ErrorValue = None
    simulated: Value = None
    scrapedAt: Value = None  # noqa: N815  keys of the item
    scrapedAtISO: Value = None  # noqa: N815
    collectedAt: Value = None  # noqa: N815
    crawledAt: Value = None  # noqa: N815


class AuthorMeta(msgspec.Struct, gc=False):
    """`authorMeta` of a clockworks item."""

    id: Value = None
    name: Value = None
    nickName: Value = None  # noqa: N815
    verified: Value = None
    fans: Value = None
    following: Value = None
    heart: Value = None
    video: Value = None


class MusicMeta(msgspec.Struct, gc=False):
    """`musicMeta` of a clockworks item; `uses` comes from column maps only."""

    musicId: Value = None  # noqa: N815
    musicName: Value = None  # noqa: N815
    musicAuthor: Value = None  # noqa: N815
    musicOriginal: Value = None  # noqa: N815
    uses: Value = None


class VideoMeta(msgspec.Struct, gc=False):
    """`videoMeta` of a clockworks item."""

    duration: Value = None


class ClockworksItem(Item, kw_only=True, gc=False):
    """An item of the Apify actor `clockworks/tiktok-scraper`."""

    text: Value = None
    textLanguage: Value = None  # noqa: N815
    createTime: Value = None  # noqa: N815
    createTimeISO: Value = None  # noqa: N815
    isAd: Value = None  # noqa: N815
    isSlideshow: Value = None  # noqa: N815
    authorMeta: AuthorMeta | None = None  # noqa: N815
    musicMeta: MusicMeta | None = None  # noqa: N815
    videoMeta: VideoMeta | None = None  # noqa: N815
    webVideoUrl: Value = None  # noqa: N815
    playCount: Value = None  # noqa: N815
    diggCount: Value = None  # noqa: N815
    commentCount: Value = None  # noqa: N815
    shareCount: Value = None  # noqa: N815
    collectCount: Value = None  # noqa: N815


class Channel(msgspec.Struct, gc=False):
    """`channel` of an apidojo item."""

    id: Value = None
    name: Value = None
    username: Value = None
    verified: Value = None
    followers: Value = None
    following: Value = None
    videos: Value = None


class Song(msgspec.Struct, gc=False):
    """`song` of an apidojo item."""

    id: Value = None
    title: Value = None
    artist: Value = None


class ApidojoItem(Item, kw_only=True, gc=False):
    """An item of the Apify actor `apidojo/tiktok-scraper`."""

    title: Value = None
    views: Value = None
    likes: Value = None
    comments: Value = None
    shares: Value = None
    bookmarks: Value = None
    channel: Channel | None = None
    uploadedAt: Value = None  # noqa: N815
    uploadedAtFormatted: Value = None  # noqa: N815
    video: VideoMeta | None = None
    song: Song | None = None
    postPage: Value = None  # noqa: N815
