"""Hand-written items and files of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

Item = dict[str, Any]
WriteItems = Callable[..., Path]

CRAWLED_AT = datetime(2025, 6, 1, 12, tzinfo=UTC)
VIDEO_ID = "7374737911075310856"


def clockworks_item(**changes: object) -> Item:
    """Return a complete item; a change of None leaves the key out."""
    item: Item = {
        "id": VIDEO_ID,
        "text": "A quiet room #Hotel",
        "textLanguage": "en",
        "createTime": 1717064979,
        "isAd": False,
        "isSlideshow": False,
        "authorMeta": {
            "id": "6902080249958532098",
            "name": "@Quiet.Rooms",
            "nickName": "Quiet Rooms",
            "verified": False,
            "fans": 38_000,
            "following": 1,
            "heart": 20_000,
            "video": 66,
        },
        "musicMeta": {
            "musicId": "7374737941841267457",
            "musicName": "original sound",
            "musicAuthor": "Quiet Rooms",
            "musicOriginal": True,
        },
        "videoMeta": {"duration": 74, "height": 1024},
        "webVideoUrl": f"https://www.tiktok.com/@quiet.rooms/video/{VIDEO_ID}",
        "playCount": 250_400,
        "diggCount": 3_051,
        "shareCount": 1_273,
        "commentCount": 502,
        "collectCount": 889,
        "hashtags": [{"id": "1", "name": "Hotel"}, {"id": "2", "name": "room"}],
        "mediaUrls": [],
    }
    item.update(changes)
    return {key: value for key, value in item.items() if value is not None}


def apidojo_item(**changes: object) -> Item:
    """Return a complete item of the other actor."""
    item: Item = {
        "id": "7582653507375746334",
        "title": "A trailer",
        "views": 3_515_372,
        "likes": 128_151,
        "comments": 18_185,
        "shares": 19_300,
        "bookmarks": 9_107,
        "hashtags": [None, "Trailer"],
        "channel": {"id": "66", "name": "Someone", "username": "someone", "followers": 12},
        "uploadedAt": 1765474107,
        "video": {"duration": 93.761},
        "song": {"id": 7582653324450926000, "title": "a song", "artist": "An Artist"},
        "postPage": "https://www.tiktok.com/@someone/video/7582653507375746334",
    }
    item.update(changes)
    return {key: value for key, value in item.items() if value is not None}


@pytest.fixture
def write_items(tmp_path: Path) -> WriteItems:
    """Write items, given as objects or as raw lines, to a JSON Lines file."""

    def write(*items: Item | bytes, name: str = "items.jsonl") -> Path:
        lines = [item if isinstance(item, bytes) else json.dumps(item).encode() for item in items]
        return write_bytes(tmp_path / name, b"".join(line + b"\n" for line in lines))

    return write


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file, gzipped when its name says so."""
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def array(items: Sequence[Item], *, indent: int | None = None) -> bytes:
    """Return items as a JSON array."""
    return json.dumps(items, indent=indent, ensure_ascii=False).encode()
