"""When the newest crawl was, and when anything of a crawl was stored last."""

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


@dataclass(frozen=True, slots=True)
class NewestCrawl:
    """Both None before the first crawl."""

    newest_crawl: datetime | None
    stored_at: datetime | None


def newest(database: Database) -> NewestCrawl:
    """Return the time of the newest crawl, and when a crawl of whatever time was stored last."""
    with database.engine.connect() as connection:
        return NewestCrawl(**connection.execute(_NEWEST).mappings().one())
