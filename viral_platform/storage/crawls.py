"""When the newest crawl was, when anything was stored last, what crawls brought and lack."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

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


# Datasets by the end of their last delivery, the newest first, each with its deliveries' reports.
_DATASETS = text(
    """
    select
        delivery.dataset_id, coalesce(min(start.purpose), 'other') as purpose,
        jsonb_agg(delivery.report) as reports
    from app.webhook_inbox as delivery
    left join app.scrape_starts as start
        on
            start.actor_run_id = coalesce(
                delivery.body -> 'eventData' ->> 'actorRunId', delivery.body -> 'resource' ->> 'id'
            )
    where
        delivery.source = 'apify' and delivery.processed_at is not null
        and delivery.dataset_id is not null and delivery.report is not null
    group by delivery.dataset_id
    order by max(delivery.processed_at) desc, delivery.dataset_id
    limit :limit
    """
)
_IS_SIMULATED = text(
    "select coalesce((select is_simulated from app.scraped_videos limit 1), false)"
)


@dataclass(frozen=True, slots=True)
class IngestedDataset:
    """A dataset that was read; `purpose` is "other" when no scrape of ours is known for it."""

    dataset_id: str
    purpose: str
    reports: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class NewestCrawl:
    """Both None before the first crawl."""

    newest_crawl: datetime | None
    stored_at: datetime | None


def newest(database: Database) -> NewestCrawl:
    """Return the time of the newest crawl, and when a crawl of whatever time was stored last."""
    with database.engine.connect() as connection:
        return NewestCrawl(**connection.execute(_NEWEST).mappings().one())


def is_simulated(database: Database) -> bool:
    """Tell whether the stored crawls are simulated; real and simulated ones are never mixed."""
    with database.engine.connect() as connection:
        return bool(connection.execute(_IS_SIMULATED).scalar_one())


def ingested_datasets(database: Database, limit: int) -> list[IngestedDataset]:
    """Return the datasets that were read last, the newest first."""
    with database.engine.connect() as connection:
        rows = connection.execute(_DATASETS, {"limit": limit}).mappings()
        return [IngestedDataset(**row) for row in rows]


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
