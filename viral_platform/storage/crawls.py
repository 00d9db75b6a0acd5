"""When the newest crawl was, when anything was stored last, and how whole the crawls are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from viral_platform.storage.database import Database

_NEWEST = text(
    """
    select
        (select max(crawled_at) from app.scraped_videos) as newest_crawl,
        greatest(
            (select max(updated_at) from app.scraped_videos),
            (select max(first_received_at) from app.import_files)
        ) as stored_at
    """
)

# A tick is the nearest whole number of intervals before the newest crawl, since crawls take time.
_COVERAGE = text(
    """
    with newest as (
        select max(crawled_at) as crawled_at from app.scraped_videos
    ),

    ticks as (
        select distinct
            video_id,
            round(extract(epoch from (select crawled_at from newest) - crawled_at) / :interval)
            as tick
        from app.video_snapshots
        where
            crawled_at >= (
                select crawled_at - make_interval(hours => :window_hours) from newest
            )
            and crawled_at <= (select crawled_at from newest)
    ),

    videos as (
        select count(*) as ticks, max(tick) - min(tick) + 1 as ticks_between
        from ticks
        group by video_id
    )

    select
        count(*) as videos,
        count(*) filter (where ticks_between > 1) as crawled_again,
        count(*) filter (where ticks_between > 1 and ticks = ticks_between) as without_gap
    from videos
    """
)


@dataclass(frozen=True, slots=True)
class NewestCrawl:
    """Both None before the first crawl."""

    newest_crawl: datetime | None
    stored_at: datetime | None


def newest(database: Database) -> NewestCrawl:
    """Return the time of the newest crawl, and when a crawl of whatever time was stored last."""
    with database.engine.connect() as connection:
        return NewestCrawl(**connection.execute(_NEWEST).mappings().one())


@dataclass(frozen=True, slots=True)
class Coverage:
    """Videos of a window: all, those crawled at two ticks or more, those of them without a gap."""

    videos: int
    crawled_again: int
    without_gap: int


def coverage(database: Database, window_hours: int, interval_hours: int) -> Coverage:
    """Return how many videos were crawled at each tick between their first and last in the window.

    The window ends at the newest crawl; ticks are `interval_hours` apart, counted back from it.
    """
    values = {"window_hours": window_hours, "interval": 3_600 * interval_hours}
    with database.engine.connect() as connection:
        return Coverage(**connection.execute(_COVERAGE, values).mappings().one())
