"""Read the crawls of videos as the engine's training rows need them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import text

from viral_platform.engine.contracts import VideoFacts
from viral_platform.engine.normalize import known_duration
from viral_platform.engine.training_rows import CrawledCounts, VideoHistory
from viral_platform.storage.database import Database

# Only videos crawled at least twice can have an input and a later label; the earlier posts of
# their authors are needed too, for the creator's baseline.
_QUERY = """
with repeated as (
    select v.author_handle
    from app.video_snapshots s join app.scraped_videos v on v.id = s.video_id
    where v.author_handle is not null
    group by v.id, v.author_handle
    having count(*) > 1
)
select
    v.platform_video_id, v.author_handle, v.caption, v.hashtags, v.duration_seconds, v.posted_at,
    v.sound_is_original, v.is_simulated,
    s.crawled_at, s.views, s.likes, s.comments, s.shares, s.saves, s.author_followers
from app.scraped_videos v join app.video_snapshots s on s.video_id = v.id
where v.author_handle in (select author_handle from repeated) and not coalesce(v.is_ad, false)
order by v.id, s.crawled_at
"""


@dataclass(frozen=True)
class Histories:
    """Videos with their crawls, and whether any of them is simulated."""

    videos: list[VideoHistory]
    is_simulated: bool


def load_histories(database: Database) -> Histories:
    """Return every video that can give training rows, advertisements left out."""
    videos: list[VideoHistory] = []
    is_simulated = False
    with database.connect() as connection, connection.cursor(name="histories") as cursor:
        cursor.itersize = 20_000
        cursor.execute(_QUERY)
        for video_id, group in groupby(cursor, key=lambda row: row[0]):
            rows = list(group)
            _, author, caption, tags, duration, posted_at, original, simulated = rows[0][:8]
            is_simulated = is_simulated or simulated
            videos.append(
                VideoHistory(
                    video_id=video_id,
                    author=author,
                    video=VideoFacts(
                        caption, tuple(tags), known_duration(duration, caption), posted_at, original
                    ),
                    crawls=tuple(CrawledCounts(*row[8:]) for row in rows),
                )
            )
    return Histories(videos, is_simulated)


def holds_simulated(database: Database) -> bool:
    """Return whether any stored video is simulated."""
    with database.engine.connect() as connection:
        query = text("select exists (select 1 from app.scraped_videos where is_simulated)")
        return bool(connection.execute(query).scalar_one())


def holds_real(database: Database) -> bool:
    """Return whether any stored video is not simulated."""
    with database.engine.connect() as connection:
        query = text("select exists (select 1 from app.scraped_videos where not is_simulated)")
        return bool(connection.execute(query).scalar_one())
