"""Where a crawled video shows up: its snapshots and the row of its sound in the trends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from viral_platform.engine.errors import NotFoundError
from viral_platform.storage.database import Database

_FASTEST = text(
    """
    select
        videos.id, videos.platform_video_id, videos.caption, sounds.sound_key, sounds.sound_name,
        sounds.video_count, sounds.velocity_score, sounds.trend_phase, sounds.window_end
    from app.scraped_videos as videos
    inner join marts.trending_sounds as sounds on sounds.sound_key = videos.sound_id
    where videos.platform_video_id = any(:ids) and videos.crawled_at = :crawled_at
        and sounds.velocity_score is not null and not sounds.is_generic_name
    order by
        sounds.video_count > 1 desc, sounds.views_per_hour desc, videos.views desc nulls last,
        videos.id
    limit 1
    """
)
_SNAPSHOTS = text(
    """
    select crawled_at, views from app.video_snapshots where video_id = :id order by crawled_at
    """
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A video's views at one crawl."""

    crawled_at: datetime
    views: int | None


@dataclass(frozen=True, slots=True)
class TracedVideo:
    """A video, all of its snapshots, and the row of `trending_sounds` that it counts in."""

    platform_video_id: str
    caption: str
    snapshots: list[Snapshot]
    sound_key: str
    sound_name: str
    video_count: int
    velocity_score: float
    trend_phase: str
    window_end: datetime


def of_fastest_sound(
    database: Database, video_ids: Sequence[str], crawled_at: datetime
) -> TracedVideo:
    """Return that of some videos of one crawl whose sound is the fastest of several videos.

    Raises
    ------
    NotFoundError
        None of them has a sound with a name of its own and a velocity.
    """
    with database.engine.connect() as connection:
        wanted = {"ids": list(video_ids), "crawled_at": crawled_at}
        row = connection.execute(_FASTEST, wanted).mappings().one_or_none()
        if row is None:
            raise NotFoundError("No video of this crawl has a named sound with a velocity.")
        values = dict(row)
        shots = connection.execute(_SNAPSHOTS, {"id": values.pop("id")}).mappings().all()
    return TracedVideo(snapshots=[Snapshot(**shot) for shot in shots], **values)
