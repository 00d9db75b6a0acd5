"""Watched creators and what a crawl measured of each.

A snapshot is written by the transaction that ends the ingest of its crawl. How it grew is the mart
`competitor_growth`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg
from sqlalchemy import text

from viral_platform.storage.database import Database

_ADD = text("insert into app.competitors (handle) values (:handle) on conflict do nothing")
_REMOVE = text("delete from app.competitors where handle = :handle returning handle")
_NEWEST = """
    select
        watched.handle, watched.added_at, newest.crawled_at, newest.followers, newest.hearts,
        newest.video_count, newest.videos_seen, newest.views, newest.likes, newest.comments,
        newest.shares, newest.is_simulated
    from app.competitors as watched
    left join lateral (
        select * from app.competitor_snapshots as known
        where known.handle = watched.handle
        order by known.crawled_at desc limit 1
    ) as newest on true
"""
_LIST = text(f"{_NEWEST} order by watched.handle")
_LONGEST_UNSEEN = text(
    f"{_NEWEST} order by newest.crawled_at nulls first, watched.handle limit :limit"
)
# Of a crawl that was started for them. What the profile tells is this crawl's only while no newer
# one has replaced it. A delivery that brings more of the crawl completes the row.
_SNAPSHOT = """
insert into app.competitor_snapshots as known (
    handle, crawled_at, followers, hearts, video_count, videos_seen, views, likes, comments, shares,
    is_simulated
)
select
    asked.handle, %(crawled_at)s, coalesce(profile.followers, seen.followers), profile.hearts,
    profile.video_count, seen.videos, seen.views, seen.likes, seen.comments, seen.shares,
    seen.is_simulated
from app.scrape_starts as start
cross join lateral jsonb_array_elements_text(start.input -> 'profiles') as asked (handle)
cross join lateral (
    select
        count(*) as videos, max(shot.author_followers) as followers, sum(shot.views) as views,
        sum(shot.likes) as likes, sum(shot.comments) as comments, sum(shot.shares) as shares,
        bool_or(video.is_simulated) as is_simulated
    from app.scraped_videos as video
    inner join app.video_snapshots as shot on shot.video_id = video.id
    where
        video.platform = 'tiktok' and video.author_handle = asked.handle
        and shot.crawled_at = %(crawled_at)s
    having count(*) > 0
) as seen
left join app.creator_profiles as profile
    on
        profile.platform = 'tiktok' and profile.handle = asked.handle
        and profile.crawled_at = %(crawled_at)s
where start.purpose = 'competitors' and start.actor_run_id = %(run_id)s
on conflict (handle, crawled_at) do update set
    followers = coalesce(excluded.followers, known.followers),
    hearts = coalesce(excluded.hearts, known.hearts),
    video_count = coalesce(excluded.video_count, known.video_count),
    videos_seen = excluded.videos_seen, views = excluded.views, likes = excluded.likes,
    comments = excluded.comments, shares = excluded.shares
where excluded.videos_seen > known.videos_seen
"""


@dataclass(frozen=True, slots=True)
class Competitor:
    """A watched creator with its newest snapshot; all of it None before the first."""

    handle: str
    added_at: datetime
    crawled_at: datetime | None
    followers: int | None
    hearts: int | None
    video_count: int | None
    videos_seen: int | None
    views: int | None
    likes: int | None
    comments: int | None
    shares: int | None
    is_simulated: bool | None


def add(database: Database, handle: str) -> bool:
    """Watch a creator; False when it was watched already."""
    with database.engine.begin() as connection:
        return connection.execute(_ADD, {"handle": handle}).rowcount == 1


def remove(database: Database, handle: str) -> bool:
    """Watch a creator no more; its snapshots stay. False when it was not watched."""
    with database.engine.begin() as connection:
        return connection.execute(_REMOVE, {"handle": handle}).scalar_one_or_none() is not None


def watched(database: Database) -> list[Competitor]:
    """Return all watched creators by handle."""
    with database.engine.connect() as connection:
        return [Competitor(**row) for row in connection.execute(_LIST).mappings()]


def longest_unseen(database: Database, limit: int) -> list[str]:
    """Return watched creators, those never crawled first, then by their newest crawl."""
    with database.engine.connect() as connection:
        rows = connection.execute(_LONGEST_UNSEEN, {"limit": limit})
        return [row.handle for row in rows]


def snapshot(connection: psycopg.Connection, run_id: str, crawled_at: datetime) -> int:
    """Store what the crawl of an actor run measured of those it was started for; return how many.

    Nothing for runs that were started for something else. Again, it changes nothing.
    """
    values = {"run_id": run_id, "crawled_at": crawled_at}
    return connection.execute(_SNAPSHOT, values).rowcount
