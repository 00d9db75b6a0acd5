"""Simulated posts in the shape of the Apify actor `clockworks`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from viral_platform.sandbox import vocabulary as words
from viral_platform.sandbox.dirt import Item
from viral_platform.sandbox.population import Sound

# H, 4,755 items: effectStickers and locationMeta are on 2 and 57% of them, the flags on 1.7 and
# 0.8%.
STICKER_SHARE, LOCATION_SHARE = 0.02, 0.57
AD_SHARE, SPONSORED_SHARE = 0.017, 0.008


@dataclass(frozen=True, slots=True)
class SimulatedPost:
    """What is known of a post before it is published.

    `caption` is the text as scraped: words, then mentions, then hashtags.
    """

    id: str
    handle: str
    niche: str
    language: str
    caption: str
    hashtags: tuple[str, ...]
    mentions: tuple[str, ...]
    duration_seconds: int
    posted_at: datetime
    sound_id: str
    sound_name: str
    sound_is_original: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Exact counts of a post at a time."""

    views: int
    likes: int
    comments: int
    shares: int
    saves: int


@dataclass(frozen=True, slots=True)
class Extras:
    """What else an item shows of a post. `place` and `sticker` are -1 where there is none."""

    is_ad: bool
    is_sponsored: bool
    place: int
    sticker: int

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int) -> list[Extras]:
        """Draw the extras of n posts."""
        place = rng.integers(len(words.PLACES), size=n)
        place[rng.random(n) >= LOCATION_SHARE] = -1
        sticker = rng.integers(len(words.STICKERS), size=n)
        sticker[rng.random(n) >= STICKER_SHARE] = -1
        ad, sponsored = rng.random(n) < AD_SHARE, rng.random(n) < SPONSORED_SHARE
        columns = (ad.tolist(), sponsored.tolist(), place.tolist(), sticker.tolist())
        return [cls(*row) for row in zip(*columns, strict=True)]


def post_item(
    post: SimulatedPost,
    counts: Counts,
    extras: Extras,
    *,
    author: Item,
    sound: Sound,
    mentioned: list[Item],
    tag_ids: list[str],
) -> Item:
    """Return the item of a post, complete and clean; `author` is its `authorMeta`."""
    item: Item = {
        "id": post.id,
        "text": post.caption,
        "textLanguage": post.language,
        "createTime": int(post.posted_at.timestamp()),
        "createTimeISO": post.posted_at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "isAd": extras.is_ad,
        "isSponsored": extras.is_sponsored,
        "isMuted": False,
        "isPinned": False,
        "isSlideshow": False,
        "authorMeta": author,
        "musicMeta": _music_meta(sound),
        "videoMeta": {
            "duration": post.duration_seconds,
            "height": 1024,
            "width": 576,
            "definition": "540p",
            "format": "mp4",
        },
        "webVideoUrl": f"https://www.tiktok.com/@{post.handle}/video/{post.id}",
        "playCount": counts.views,
        "diggCount": counts.likes,
        "shareCount": counts.shares,
        "commentCount": counts.comments,
        "collectCount": counts.saves,
        "hashtags": [
            {"id": tag_id, "name": name}
            for tag_id, name in zip(tag_ids, post.hashtags, strict=True)
        ],
        "mentions": [f"@{handle}" for handle in post.mentions],
        "detailedMentions": mentioned,
        "effectStickers": _stickers(extras.sticker),
        "searchHashtag": {"name": post.niche, "views": 4_300_000},
        "input": post.niche,
        "simulated": True,
    }
    if extras.place >= 0:
        city, country = words.PLACES[extras.place]
        item["locationMeta"] = {
            "locationId": str(700_000 + extras.place),
            "locationName": city,
            "address": country,
        }
    return item


def _music_meta(sound: Sound) -> Item:
    meta: Item = {
        "musicId": sound.id,
        "musicName": sound.name,
        "musicAuthor": sound.author,
        "musicOriginal": sound.original,
    }
    if sound.album is not None:
        meta["musicAlbum"] = sound.album
    return meta


def _stickers(k: int) -> list[Item]:
    if k < 0:
        return []
    sticker_id, name = words.STICKERS[k]
    return [{"ID": sticker_id, "name": name}]
