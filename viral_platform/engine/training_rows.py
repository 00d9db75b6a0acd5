"""From the crawls of videos to training rows: which crawl is input, which is label.

Per video at most one row a horizon. The label comes from the first crawl at maturity that is at
least a day later than the input; creator facts are those known at the input crawl. A row before
publication takes its creator facts from the first crawl that saw the post, since no earlier one
exists.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from viral_platform.engine.contracts import (
    HORIZONS,
    CreatorFacts,
    Horizon,
    MeasuredSnapshot,
    VideoFacts,
)
from viral_platform.engine.features import engagement_of, feature_vector, horizon_of
from viral_platform.engine.tier_model import TrainingRows

MATURITY_HOURS = 168.0
# Two exports of one scrape, dated by their receipt, are no two crawls: a label so soon after its
# input would be the input.
MIN_LABEL_GAP_HOURS = 24.0
_MIN_LABEL_GAP = timedelta(hours=MIN_LABEL_GAP_HOURS)


@dataclass(frozen=True, slots=True)
class CrawledCounts:
    """Counts of one video at one crawl; `None` is unknown."""

    crawled_at: datetime
    views: int | None
    likes: int | None
    comments: int | None
    shares: int | None
    saves: int | None
    author_followers: int | None


@dataclass(frozen=True, slots=True)
class VideoHistory:
    """A video with all its crawls, oldest first. `video.posted_at` is known."""

    video_id: str
    author: str
    video: VideoFacts
    crawls: tuple[CrawledCounts, ...]

    @property
    def posted_at(self) -> datetime:
        """Posting time."""
        if self.video.posted_at is None:
            raise ValueError("a history needs a posting time")
        return self.video.posted_at


@dataclass(frozen=True, slots=True)
class _Seen:
    """A usable crawl: views known, at or after publication."""

    crawled_at: datetime
    snapshot: MeasuredSnapshot
    engagement: float
    followers: int | None


def _usable(history: VideoHistory) -> list[_Seen]:
    seen = []
    for crawl in history.crawls:
        age = (crawl.crawled_at - history.posted_at) / timedelta(hours=1)
        if age < 0 or not crawl.views:
            continue
        snapshot = MeasuredSnapshot(
            age_hours=age,
            views=crawl.views,
            likes=crawl.likes,
            comments=crawl.comments,
            shares=crawl.shares,
            saves=crawl.saves,
        )
        seen.append(
            _Seen(crawl.crawled_at, snapshot, engagement_of(snapshot), crawl.author_followers)
        )
    return seen


def _label(seen: Sequence[_Seen], after: datetime) -> _Seen | None:
    return next(
        (
            crawl
            for crawl in seen
            if crawl.crawled_at - after >= _MIN_LABEL_GAP
            and crawl.snapshot.age_hours >= MATURITY_HOURS
            and not math.isnan(crawl.engagement)
        ),
        None,
    )


def _settled_state(seen: Sequence[_Seen], until: datetime) -> _Seen | None:
    """Return the first mature crawl up to `until`, else the latest one: as the mart does."""
    known = [c for c in seen if c.crawled_at <= until and not math.isnan(c.engagement)]
    mature = next((c for c in known if c.snapshot.age_hours >= MATURITY_HOURS), None)
    return mature or (known[-1] if known else None)


def _creator_facts(
    earlier: Sequence[Sequence[_Seen]], until: datetime, followers: int | None
) -> CreatorFacts:
    states = [state for seen in earlier if (state := _settled_state(seen, until)) is not None]
    if not states:
        return CreatorFacts(followers=followers)
    return CreatorFacts(
        followers=followers,
        median_engagement=float(np.median([state.engagement for state in states])),
        median_views=float(np.median([state.snapshot.views for state in states])),
        n_posts=len(states),
    )


def _inputs(seen: Sequence[_Seen]) -> dict[Horizon, _Seen]:
    """Return the input crawl of each horizon: the first crawl that belongs to it."""
    chosen: dict[Horizon, _Seen] = {"pre_publication": seen[0]}
    for crawl in seen:
        chosen.setdefault(horizon_of(crawl.snapshot), crawl)
    return chosen


@dataclass(frozen=True, slots=True)
class RowFacts:
    """What one training row is made of, before it becomes a vector."""

    history: VideoHistory
    horizon: Horizon
    creator: CreatorFacts
    snapshot: MeasuredSnapshot | None
    label: _Seen


def _rows_of(
    history: VideoHistory, seen: list[_Seen], earlier: list[list[_Seen]]
) -> list[RowFacts]:
    rows = []
    inputs = _inputs(seen) if seen else {}
    for horizon in HORIZONS:
        crawl = inputs.get(horizon)
        label = None if crawl is None else _label(seen, crawl.crawled_at)
        if crawl is None or label is None:
            continue
        creator = _creator_facts(earlier, crawl.crawled_at, crawl.followers)
        snapshot = None if horizon == "pre_publication" else crawl.snapshot
        rows.append(RowFacts(history, horizon, creator, snapshot, label))
    return rows


def row_facts(histories: Sequence[VideoHistory]) -> list[RowFacts]:
    """Return the facts of every row, oldest post first; a video without a label gives none."""
    by_author: dict[str, list[tuple[VideoHistory, list[_Seen]]]] = defaultdict(list)
    for history in sorted(histories, key=lambda item: (item.posted_at, item.video_id)):
        by_author[history.author].append((history, _usable(history)))
    rows: list[RowFacts] = []
    for posts in by_author.values():
        for number, (history, seen) in enumerate(posts):
            rows += _rows_of(history, seen, [other for _, other in posts[:number]])
    rows.sort(key=lambda row: (row.history.posted_at, row.history.video_id, row.horizon))
    return rows


def training_vector(row: RowFacts) -> NDArray[np.float32]:
    """Return the vector of a training row."""
    return feature_vector(row.history.video, row.creator, row.snapshot)


def build_rows(histories: Sequence[VideoHistory]) -> TrainingRows:
    """Return the training rows of videos; videos without a later mature crawl give none."""
    rows = row_facts(histories)
    vectors = [training_vector(row) for row in rows]
    width = len(feature_vector(VideoFacts("", ()), CreatorFacts(), None))
    return TrainingRows(
        features=np.array(vectors, dtype=np.float32).reshape(len(rows), width),
        engagement=np.array([row.label.engagement for row in rows], dtype=float),
        input_engagement=np.array(
            [math.nan if r.snapshot is None else engagement_of(r.snapshot) for r in rows],
            dtype=float,
        ),
        creator_engagement=np.array(
            [
                math.nan if r.creator.median_engagement is None else r.creator.median_engagement
                for r in rows
            ],
            dtype=float,
        ),
        horizon=np.array([row.horizon for row in rows], dtype=np.str_),
        author=np.array([row.history.author for row in rows], dtype=np.str_),
        video_id=np.array([row.history.video_id for row in rows], dtype=np.str_),
        posted_at=np.array(
            [row.history.posted_at.astimezone(UTC).replace(tzinfo=None) for row in rows],
            dtype="datetime64[us]",
        ),
        label_age_hours=np.array([row.label.snapshot.age_hours for row in rows], dtype=float),
    )
