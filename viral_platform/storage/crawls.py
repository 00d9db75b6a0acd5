"""When the newest crawl was, when anything of one was stored last, and what each has brought."""

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
