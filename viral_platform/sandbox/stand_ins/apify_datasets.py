"""Datasets of simulated posts, made a page at a time: item k is a function of seed and k."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from viral_platform.sandbox.dirt import error_item
from viral_platform.sandbox.stand_ins.apify_posts import items_of_search
from viral_platform.sandbox.stand_ins.exchange import Document

# So many posts are drawn for a dataset; the others are these under ids and handles of their own.
DRAWN_ITEMS = 200
# With dirt one item in so many is a copy of an earlier post, an error of the scraper, or broken.
COPY_EVERY, ERROR_EVERY, BROKEN_EVERY = 40, 250, 150
COUNTS = ("playCount", "diggCount", "commentCount", "shareCount", "collectCount")


@dataclass
class Dataset:
    """What a run has gathered so far: the first `total` of the items that `item` makes.

    `growth` lists how many items appear once a page from an offset on was read.
    """

    id: str
    total: int
    item: Callable[[int], Document]
    is_expired: bool = False
    growth: list[tuple[int, int]] = field(default_factory=list)

    def page(self, offset: int, limit: int, *, is_descending: bool) -> list[Document]:
        """Return some items, the newest first when `is_descending`."""
        places = range(offset, min(offset + limit, self.total))
        return [self.item(self.total - 1 - k if is_descending else k) for k in places]

    def was_read(self, offset: int) -> None:
        """Let the items appear that a page from `offset` on brings about."""
        due = [entry for entry in self.growth if entry[0] <= offset]
        self.growth = [entry for entry in self.growth if entry[0] > offset]
        self.total += sum(items for _, items in due)


def simulated_items(seed: int, *, dirt: bool) -> Callable[[int], Document]:
    """Return what makes item k of a dataset.

    Clean items are of videos of their own. With `dirt` some are copies of earlier posts with
    other counts, errors of the scraper, or items without a usable id.
    """
    drawn = items_of_search(f"dataset {seed}", DRAWN_ITEMS)

    def clean(k: int) -> Document:
        return _variant(drawn[k % DRAWN_ITEMS], seed, k)

    def dirty(k: int) -> Document:
        if k % ERROR_EVERY == ERROR_EVERY - 1:
            return error_item(f"simulated {k}")
        if k % BROKEN_EVERY == BROKEN_EVERY - 1:
            return {**clean(k), "id": "7.5e+18"}
        if k % COPY_EVERY == COPY_EVERY - 1:
            copied = clean(_number(f"{seed} {k} copied") % k)
            more = _number(f"{seed} {k} more") % 2_000 - 1_000
            return {**copied, "playCount": max(0, copied["playCount"] + more)}
        return clean(k)

    return dirty if dirt else clean


def _variant(item: Document, seed: int, k: int) -> Document:
    second = item["createTime"]
    video_id = str(second << 32 | (k * 2_654_435_761 + seed * 40_503) % 2**32)
    handle = f"{item['authorMeta']['name']}_{k // DRAWN_ITEMS}"
    grown = 1 + _number(f"{seed} {k}") % 1_000 / 1_000
    return {
        **item,
        **{name: int(item[name] * grown) for name in COUNTS},
        "id": video_id,
        "webVideoUrl": f"https://www.tiktok.com/@{handle}/video/{video_id}",
        "authorMeta": {**item["authorMeta"], "name": handle},
    }


def _number(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest())
