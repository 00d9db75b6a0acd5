"""What ingests have stored, without keys and times of writing: databases can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from viral_platform.storage.database import Database

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class StoredRows:
    videos: Rows
    snapshots: Rows
    creators: Rows
    quarantine: Rows


def stored_rows(database: Database) -> StoredRows:
    """Return all rows in an order of their own."""

    def rows(query: str) -> Rows:
        with database.connect() as connection:
            return connection.execute(query).fetchall()

    return StoredRows(
        videos=rows(
            """
            select platform, platform_video_id, video_url, author_handle, caption, posted_at, views,
                likes, comments, shares, saves, hashtags, duration_seconds, sound_id, source,
                is_simulated, crawled_at
            from app.scraped_videos order by platform_video_id
            """
        ),
        snapshots=rows(
            """
            select platform_video_id, snapshots.crawled_at, snapshots.views, snapshots.likes,
                snapshots.comments, snapshots.shares, snapshots.saves, author_followers
            from app.video_snapshots as snapshots
            join app.scraped_videos as videos on videos.id = snapshots.video_id
            order by 1, 2
            """
        ),
        creators=rows(
            """
            select platform, handle, author_id, display_name, followers, hearts, video_count,
                crawled_at
            from app.creator_profiles order by handle
            """
        ),
        quarantine=rows(
            """
            select source, position, field, reason, message, item, crawled_at
            from app.quarantined_items order by file_sha256, position
            """
        ),
    )
