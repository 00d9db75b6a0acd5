"""Which post a prediction was about, and which of them wait for their outcome.

An outcome is wanted from the age of maturity on, while the post is not too old to be compared.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from viral_platform.storage.database import Database

_NAME = text(
    """
    insert into app.predicted_posts (analysis_id, platform_video_id, url, posted_at)
    values (:analysis_id, :platform_video_id, :url, :posted_at)
    on conflict (analysis_id) do update set
        platform_video_id = excluded.platform_video_id, url = excluded.url,
        posted_at = excluded.posted_at, named_at = now()
    """
)
# The first crawl of the post at the age of outcomes, after the prediction, that knows all counts.
_MEASURED = """
    select
        post.analysis_id, video.posted_at, shot.views, shot.likes, shot.comments, shot.shares,
        shot.saves, shot.crawled_at as measured_at
    from app.predicted_posts as post
    inner join app.analysis_results as analysis on analysis.id = post.analysis_id
    inner join app.scraped_videos as video
        on video.platform = 'tiktok' and video.platform_video_id = post.platform_video_id
    cross join lateral (
        select * from app.video_snapshots as known
        where
            known.video_id = video.id
            and known.crawled_at >= video.posted_at + make_interval(hours => :from_hours)
            and known.crawled_at < video.posted_at + make_interval(hours => :to_hours)
            and (analysis.is_simulated or known.crawled_at > analysis.created_at)
            and known.views > 0 and known.likes is not null and known.comments is not null
            and known.shares is not null
        order by known.crawled_at limit 1
    ) as shot
    where
        (analysis.is_simulated or not video.is_simulated)
        and not exists (
            select from app.outcomes as known where known.analysis_id = post.analysis_id
        )
"""
_ARRIVED = text(f"{_MEASURED} order by shot.crawled_at, post.analysis_id")
# Simulated predictions are none that a paid crawl could judge.
_DUE = text(
    f"""
    select url from (
        select distinct on (post.platform_video_id) post.url, post.posted_at
        from app.predicted_posts as post
        inner join app.analysis_results as analysis on analysis.id = post.analysis_id
        where
            post.posted_at <= :now - make_interval(hours => :from_hours)
            and post.posted_at > :now - make_interval(hours => :to_hours)
            and not analysis.is_simulated
            and not exists (
                select from app.outcomes as known where known.analysis_id = post.analysis_id
            )
            and not exists (
                select from ({_MEASURED}) as arrived where arrived.analysis_id = post.analysis_id
            )
            and not exists (
                select from app.scrape_starts as start
                where
                    start.purpose = 'outcomes' and start.state != 'refused'
                    and start.requested_at > :asked_since
                    and start.input -> 'postURLs' @> to_jsonb(post.url)
            )
        order by post.platform_video_id, post.named_at
    ) as due
    order by posted_at, url
    limit :limit
    """  # noqa: S608  our own statement
)


@dataclass(frozen=True, slots=True)
class Post:
    """A post by its id; `posted_at` is the time that the id holds."""

    platform_video_id: str
    url: str
    posted_at: datetime


@dataclass(frozen=True, slots=True)
class Ages:
    """From which age of a post on an outcome counts, and up to which it is compared; hours."""

    from_hours: int
    to_hours: int


@dataclass(frozen=True, slots=True)
class ArrivedCounts:
    """What a crawl measured of a post whose prediction has no outcome yet."""

    analysis_id: UUID
    posted_at: datetime
    views: int
    likes: int
    comments: int
    shares: int
    saves: int | None
    measured_at: datetime


def name_post(connection: Connection, analysis_id: UUID | str, post: Post) -> None:
    """Store which post an analysis was about, in the place of what was said before."""
    connection.execute(_NAME, {"analysis_id": analysis_id, **asdict(post)})


def arrived(database: Database, ages: Ages) -> list[ArrivedCounts]:
    """Return the outcomes that crawls have measured and that are not recorded, oldest first."""
    with database.engine.connect() as connection:
        rows = connection.execute(_ARRIVED, asdict(ages)).mappings()
        return [ArrivedCounts(**row) for row in rows]


def due(
    database: Database, ages: Ages, *, now: datetime, asked_since: datetime, limit: int
) -> list[str]:
    """Return the addresses of posts whose outcome is to be crawled, each once, the oldest first.

    Not those that a scrape was started for since `asked_since`.
    """
    values = {**asdict(ages), "now": now, "asked_since": asked_since, "limit": limit}
    with database.engine.connect() as connection:
        return list(connection.execute(_DUE, values).scalars())
