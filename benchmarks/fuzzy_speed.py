"""Speed of matching one caption with 10,000 sound names.

Baseline: one bare `rapidfuzz.process.cdist` call by Jaro-Winkler on the same strings, measured in
the same run. Bar: at most 2 x of it, the preparation of the caption included; the index over the
names is kept with the trends, and its building is shown apart. Names and captions are the
simulator's. Prints one JSON document.
"""

from __future__ import annotations

import json
import random
import statistics
import time

from rapidfuzz import process
from rapidfuzz.distance import JaroWinkler

from viral_platform.engine import fuzzy
from viral_platform.engine.name_index import NameIndex
from viral_platform.sandbox.feed import Feed, FeedConfig

NAMES = 10_000
RUNS = 9
BAR = 2.0


def _strings() -> tuple[str, list[str]]:
    """Return a caption of usual length and 10,000 distinct names: the feed's and mixtures."""
    feed = Feed(FeedConfig(n_posts=6_000))
    at = feed.config.start_at
    posts = feed.posts_between(at, at.replace(year=at.year + 1))
    caption = next(post.caption for post in posts if 100 <= len(post.caption) <= 160)
    names = dict.fromkeys(post.sound_name for post in posts if post.sound_name)
    words = [word for name in names for word in name.split()]
    rng = random.Random(7)
    while len(names) < NAMES:
        names[" ".join(rng.choices(words, k=rng.randint(2, 5)))] = None
    return caption, list(names)[:NAMES]


def main() -> None:
    """Measure both in turn and print what was seen."""
    caption, names = _strings()
    started = time.perf_counter()
    index = NameIndex(names)
    built = (time.perf_counter() - started) * 1000
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(RUNS):
        started = time.perf_counter()
        index.find(fuzzy.prepare(caption))
        between = time.perf_counter()
        process.cdist([caption], names, scorer=JaroWinkler.similarity)
        ended = time.perf_counter()
        ours.append((between - started) * 1000)
        bare.append((ended - between) * 1000)
    ratio = statistics.median(ours) / statistics.median(bare)
    print(
        json.dumps(
            {
                "benchmark": "fuzzy_speed",
                "names": NAMES,
                "caption_characters": len(caption),
                "ours_ms": round(statistics.median(ours), 2),
                "index_built_once_ms": round(built, 1),
                "bare_cdist_ms": round(statistics.median(bare), 2),
                "ratio": round(ratio, 3),
                "bar": BAR,
                "met": ratio <= BAR,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
