"""A seeded feed of simulated TikTok posts, crawled as the Apify actor `clockworks` would.

Creators, posts and the growth of their counts follow figures measured on public crawls (see
`population`, `growth`, `dirt`). What can be learnt of a post's fate is its creator, as in those
crawls; captions, hashtags, sounds, hours and durations carry no signal. Every item says
`"simulated": true`, every handle starts with `sim_`.
"""

from __future__ import annotations

import gzip
import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import numpy as np

from viral_platform.engine.errors import InputError, NotFoundError
from viral_platform.sandbox import dirt as dirty
from viral_platform.sandbox import vocabulary as words
from viral_platform.sandbox.dirt import Item
from viral_platform.sandbox.growth import RATE_INTERCEPTS, Habits, Ints, Trajectories
from viral_platform.sandbox.items import Counts, Extras, SimulatedPost, post_item
from viral_platform.sandbox.population import (
    DAY,
    GONE_A_DAY,
    MENTION_SHARE,
    SCHEDULED_LEAD,
    SCHEDULED_SHARE,
    Creators,
    Hashtags,
    Schedule,
    draw_durations,
    draw_sounds,
    pitman_yor,
    snowflake,
    write_caption,
)

# H: the authors of 4,268 videos found by a keyword search.
SEARCH_AUTHOR_DISCOUNT, SEARCH_AUTHOR_CONCENTRATION = 0.72, 565.0


@dataclass(frozen=True, slots=True)
class FeedConfig:
    """What to simulate; equal configurations give equal feeds, byte for byte.

    Parameters
    ----------
    seed : int, default 7
        Not negative.
    n_posts : int, default 5,000
        Posts in the whole span.
    author_discount, author_concentration : float, default 0.5 and 180
        How creators share the posts, by Pitman-Yor. The defaults follow about 1,500 creators over
        time: 400 of them have three posts or more, the busiest three a day.
        `SEARCH_AUTHOR_DISCOUNT` and `SEARCH_AUTHOR_CONCENTRATION` are those of a keyword search,
        where 81% of creators have one post.
    start_at : datetime
        Aware; the first post comes at or after it.
    days : int, default 30
        Span of publication.
    niches : tuple of str
        Some of `vocabulary.NICHES`.
    """

    seed: int = 7
    n_posts: int = 5_000
    author_discount: float = 0.5
    author_concentration: float = 180.0
    start_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    days: int = 30
    niches: tuple[str, ...] = words.NICHES

    def __post_init__(self) -> None:
        if self.start_at.tzinfo is None or self.start_at.timestamp() < 0:
            raise InputError(f"start_at must be aware and after 1970, is {self.start_at}. Use UTC.")
        for name in ("n_posts", "days", "author_concentration"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} must be above 0, is {getattr(self, name)}.")
        if not 0 <= self.author_discount < 1:
            raise InputError(f"author_discount must be in [0, 1), is {self.author_discount}.")
        if self.seed < 0:
            raise InputError(f"seed must not be negative, is {self.seed}.")
        if not self.niches or not set(self.niches) <= set(words.NICHES):
            raise InputError(f"niches must be some of {words.NICHES}, are {self.niches}.")


class Feed:
    """A simulated feed: its posts, their true counts at any time, and crawls of them.

    Posts are numbered in the order of publication. Each part of the feed has a random stream of
    its own.

    Examples
    --------
    >>> feed = Feed(FeedConfig(n_posts=100))
    >>> items = list(feed.crawl(datetime(2026, 2, 1, tzinfo=UTC), dirt=False))
    >>> len(items), items[0]["simulated"], items[0]["authorMeta"]["name"][:4]
    (100, True, 'sim_')
    """

    def __init__(self, config: FeedConfig) -> None:
        self.config = config
        n = config.n_posts
        start = int(np.ceil(config.start_at.timestamp()))
        streams = [np.random.default_rng(s) for s in np.random.SeedSequence(config.seed).spawn(7)]
        self._author: list[int] = pitman_yor(
            streams[0],
            n,
            discount=config.author_discount,
            concentration=config.author_concentration,
        )
        self._creators = Creators.draw(
            streams[1], max(self._author) + 1, start=start, niches=config.niches
        )
        schedule = Schedule.draw(streams[2], n, start=start, days=config.days)
        self._sounds = draw_sounds(streams[3], schedule, self._author, self._creators)
        self._hashtags = Hashtags.draw(streams[4], [self._creators.niches[a] for a in self._author])
        habits = Habits.draw(streams[5], self._creators.log_followers)
        self._author_index = np.array(self._author, dtype=np.int64)
        self._trajectories = Trajectories.draw(
            streams[5], habits, self._author_index, schedule.posted
        )
        # Hearts that a creator had before the feed: earlier posts at the creator's usual size.
        rate = habits.log_rates[:, 0] + habits.log_views
        self._hearts_before = (
            self._creators.posts_before * 10.0 ** np.clip(rate + RATE_INTERCEPTS[0], 0.0, 6.0)
        ).astype(np.int64)
        self._gone_after_days = streams[6].exponential(1.0 / GONE_A_DAY, n)
        self._extras = Extras.draw(streams[6], n)
        mentioned = streams[6].integers(len(self._creators.ids), size=n)
        mentioned[streams[6].random(n) >= MENTION_SHARE] = -1
        self._mentioned: list[int] = mentioned.tolist()
        self._posts = self._draw_posts(streams[6])
        self._row_of = {post.id: i for i, post in enumerate(self._posts)}

    def _draw_posts(self, rng: np.random.Generator) -> list[SimulatedPost]:
        n = self.config.n_posts
        lead = rng.integers(*SCHEDULED_LEAD, n)
        lead[rng.random(n) >= SCHEDULED_SHARE] = 0
        posted: list[int] = self._trajectories.posted.tolist()
        durations: list[int] = draw_durations(rng, n).tolist()
        rows = zip(posted, lead.tolist(), durations, strict=True)
        return [
            self._describe(rng, i, snowflake(second - ahead, i, kind=0), duration)
            for i, (second, ahead, duration) in enumerate(rows)
        ]

    def _describe(
        self, rng: np.random.Generator, i: int, post_id: str, duration_seconds: int
    ) -> SimulatedPost:
        author, sound, mentioned = self._author[i], self._sounds[i], self._mentioned[i]
        niche, language = self._creators.niches[author], self._creators.languages[author]
        hashtags = tuple(self._hashtags.names[k] for k in self._hashtags.of_post[i])
        mentions = () if mentioned < 0 else (self._creators.handles[mentioned],)
        text = write_caption(rng, niche, language, sound)
        parts = [text, *(f"@{name}" for name in mentions), *(f"#{tag}" for tag in hashtags)]
        return SimulatedPost(
            id=post_id,
            handle=self._creators.handles[author],
            niche=niche,
            # The scraper says "un" where a caption has no words.
            language=language if text else "un",
            caption=" ".join(part for part in parts if part),
            hashtags=hashtags,
            mentions=mentions,
            duration_seconds=duration_seconds,
            posted_at=datetime.fromtimestamp(int(self._trajectories.posted[i]), UTC),
            sound_id=sound.id,
            sound_name=sound.name,
            sound_is_original=sound.original,
        )

    def posts_between(self, start: datetime, end: datetime) -> list[SimulatedPost]:
        """Return the posts published from `start` on and before `end`, oldest first."""
        first, last = (
            bisect_left(self._posts, _aware(at), key=lambda post: post.posted_at)
            for at in (start, end)
        )
        return self._posts[first:last]

    def truth(self, post_id: str, at: datetime) -> Counts:
        """Return the exact counts of a post at a time: zeros before its publication.

        Raises
        ------
        NotFoundError
            No post of this feed has the id.
        """
        row = self._row_of.get(post_id)
        if row is None:
            raise NotFoundError(
                f"no post {post_id!r} in this feed (seed {self.config.seed}, "
                f"{self.config.n_posts} posts). Take ids from posts_between or a crawl."
            )
        counts = self._trajectories.at(np.array([row]), _aware(at).timestamp())
        return Counts(*counts[0].tolist())

    def crawl(
        self, at: datetime, *, max_age_days: float | None = None, dirt: bool = True
    ) -> Iterator[Item]:
        """Yield what a scraper reads at a time, as Apify items without a crawl time.

        The same crawl yields the same items. Without dirt each post published by then comes once,
        oldest first, with its true counts. With dirt, deleted posts are missing and the items
        are spoilt at the rates of the module `dirt`: counts are rounded and some fall, keys are
        absent, a few posts come twice, some items are not usable.

        Parameters
        ----------
        at : datetime
            Aware.
        max_age_days : float, optional
            Leaves older posts out.
        dirt : bool, default True
            Whether to spoil the items.
        """
        seconds = _aware(at).timestamp()
        age_days = (seconds - self._trajectories.posted) / DAY
        seen = age_days >= 0.0
        if max_age_days is not None:
            seen &= age_days <= max_age_days
        if not dirt:
            return self._items(np.flatnonzero(seen), seconds)
        index = np.flatnonzero(seen & (age_days < self._gone_after_days))
        rng = np.random.default_rng([self.config.seed, max(int(seconds), 0)])
        # The second copies were read a little earlier; half of them stand before the newer copy.
        stale_at = seconds - dirty.STALE_SECONDS
        twice = index[
            (rng.random(len(index)) < dirty.DUPLICATE_SHARE)
            & (self._trajectories.posted[index] <= stale_at)
        ]
        items = chain(
            self._items(twice[::2], stale_at),
            self._items(index, seconds),
            self._items(twice[1::2], stale_at),
        )
        return dirty.soil(items, rng)

    def _items(self, index: Ints, seconds: float) -> Iterator[Item]:
        """Yield clean items of some posts with all counts as of a time."""
        published = np.flatnonzero(self._trajectories.posted <= seconds)
        author = self._author_index[published]
        n_creators = len(self._creators.ids)
        likes = self._trajectories.at(published, seconds)[:, 1]
        hearts = self._hearts_before + np.bincount(author, likes, n_creators).astype(np.int64)
        videos = self._creators.posts_before + np.bincount(author, minlength=n_creators)
        days = max(seconds - self.config.start_at.timestamp(), 0.0) / DAY
        growth = 1.0 + self._creators.daily_growth * days
        fans = (10.0**self._creators.log_followers * growth).astype(np.int64)
        counts = self._trajectories.at(index, seconds)
        for i, row in zip(index.tolist(), counts.tolist(), strict=True):
            a, mentioned = self._author[i], self._mentioned[i]
            yield post_item(
                self._posts[i],
                Counts(*row),
                self._extras[i],
                author={
                    **self._creators.card(a),
                    "verified": self._creators.verified[a],
                    "privateAccount": False,
                    "ttSeller": self._creators.seller[a],
                    "following": self._creators.following[a],
                    "friends": 0,
                    "fans": int(fans[a]),
                    "heart": int(hearts[a]),
                    "video": int(videos[a]),
                    "digg": 0,
                },
                sound=self._sounds[i],
                mentioned=[] if mentioned < 0 else [self._creators.card(mentioned)],
                tag_ids=[str(20_000 + k) for k in self._hashtags.of_post[i]],
            )


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise InputError(f"the time {at} has no zone. Use an aware datetime, as in UTC.")
    return at


def write_export(items: Iterable[Item], path: Path) -> int:
    """Write items as gzipped JSON Lines, the same bytes for the same items; return how many."""
    n = 0
    # A file name or a time in the header would make equal exports differ.
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as export,
    ):
        for item in items:
            export.write(json.dumps(item, ensure_ascii=False).encode() + b"\n")
            n += 1
    return n
