"""What real exports do to items, at the rates that were measured on public ones.

Views are never blank here: they were on 14.8% of the second crawl of S, but that is its scraper's
fault and no property of a feed.

H is an export of 4,755 items, F and S are two crawls of viral videos, P is 7,885 videos in both.
Each rate names its source or says that it is an assumption.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

# An item of an outside system: dirt breaks its shape on purpose, so nothing holds of its values.
Item = dict[str, Any]

# H: keys that an item lacks. mentions, effectStickers, hashtags and locationMeta are lacking where
# they would be empty too, which makes the 96, 98, 6.1 and 43% of H.
ABSENT_SHARES = {"text": 0.014, "isMuted": 0.063, "searchHashtag": 0.063}
ABSENT_MUSIC_AUTHOR_SHARE = 0.0008
EMPTY_KEYS = ("hashtags", "mentions", "detailedMentions", "effectStickers")

# F: values that are there but blank.
BLANK_COMMENTS_SHARE = 0.004
BLANK_FOLLOWERS_SHARE = 0.0005
BLANK_SOUND_ID_SHARE = 0.0016
BLANK_SOUND_NAME_SHARE = 0.049
# F: 3 of 10,102 have likes and no views.
ZERO_VIEWS_SHARE = 0.0003

# P: share of recrawls where a count fell, with the median and the p95 of the fall; the p95 of saves
# and likes is an assumption. Growth since the crawl before hides a part of the falls. Views (2 of
# 7,885) and shares (none) do not fall here.
FALLS = {
    "commentCount": (0.13, 0.007, 0.13),
    "collectCount": (0.06, 0.007, 0.13),
    "diggCount": (0.002, 0.002, 0.02),
}
NORMAL_P95 = 1.645

# H: from 10,000 on, counts are whole hundreds, from 1,000,000 on whole 100,000s.
ROUNDING_STEPS = ((1_000_000, 100_000), (10_000, 100))
COUNT_KEYS = ("playCount", "diggCount", "commentCount", "shareCount", "collectCount")

# Assumptions, in the order of magnitude of what importers meet: the rates are not known.
ERROR_ITEM_SHARE = 0.002
NUL_SHARE = 0.0005
REJECT_SHARE = 0.003
# Assumption: one export holds no id twice, 23 exports of neighbouring searches together 10% (H);
# a run of several searches lies between.
DUPLICATE_SHARE = 0.02
# Assumption: how long before the end of a run the other copy of a duplicate was read.
STALE_SECONDS = 3 * 3_600


def soil(items: Iterable[Item], rng: np.random.Generator) -> Iterator[Item]:
    """Yield the items as an export would hold them, with error items between them.

    The items are changed in place.
    """
    for item in items:
        if rng.random() < ERROR_ITEM_SHARE:
            yield error_item(item["input"])
        _let_counts_fall(item, rng)
        _round_counts(item)
        _blank_values(item, rng)
        _leave_keys_out(item, rng)
        if rng.random() < REJECT_SHARE:
            _break(item, rng)
        yield item


def error_item(hashtag: str) -> Item:
    """Return what the scraper stores for an input that failed, as seen in an export of 2024-09."""
    return {
        "error": "This profile/hashtag does not exist.",
        "input": hashtag,
        "url": f"https://www.tiktok.com/tag/{hashtag}",
        "simulated": True,
    }


def _let_counts_fall(item: Item, rng: np.random.Generator) -> None:
    for key, (share, median, p95) in FALLS.items():
        if rng.random() < share:
            fall = min(rng.lognormal(np.log(median), np.log(p95 / median) / NORMAL_P95), 1.0)
            item[key] = round(item[key] * (1.0 - fall))


def _round_counts(item: Item) -> None:
    for key in COUNT_KEYS:
        item[key] = _shown(item[key])
    for key in ("fans", "heart"):
        item["authorMeta"][key] = _shown(item["authorMeta"][key])


def _shown(count: int) -> int:
    for least, step in ROUNDING_STEPS:
        if count >= least:
            return count // step * step
    return count


def _blank_values(item: Item, rng: np.random.Generator) -> None:
    comments, followers, sound_id, sound_name, views, nul = rng.random(6).tolist()
    if comments < BLANK_COMMENTS_SHARE:
        item["commentCount"] = None
    if followers < BLANK_FOLLOWERS_SHARE:
        item["authorMeta"]["fans"] = None
    if sound_id < BLANK_SOUND_ID_SHARE:
        item["musicMeta"]["musicId"] = ""
    if sound_name < BLANK_SOUND_NAME_SHARE:
        item["musicMeta"]["musicName"] = ""
    if views < ZERO_VIEWS_SHARE:
        item["playCount"] = 0
    if nul < NUL_SHARE:
        item["text"] = "\x00" + item["text"]


def _leave_keys_out(item: Item, rng: np.random.Generator) -> None:
    for key in EMPTY_KEYS:
        if not item[key]:
            del item[key]
    for key, share in ABSENT_SHARES.items():
        if rng.random() < share:
            del item[key]
    if rng.random() < ABSENT_MUSIC_AUTHOR_SHARE:
        del item["musicMeta"]["musicAuthor"]


def _break(item: Item, rng: np.random.Generator) -> None:
    """Make the item one that no importer may accept."""
    kind = rng.integers(3)
    if kind == 0:
        item["playCount"] = -1
    elif kind == 1:
        item["playCount"] = "n/a"
    else:
        # The address holds the id too, and importers read it there when the key is missing.
        del item["id"], item["webVideoUrl"]
