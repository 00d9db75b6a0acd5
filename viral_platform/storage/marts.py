"""Reads of schema `marts`: trends for the engine and for people, facts of one creator.

dbt builds the marts (`dbt_project/`); nothing is written here. Marts that were never built raise
`NotFoundError`, so that their absence cannot pass for an empty measurement; marts built from no
crawl are empty and have no window.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from viral_platform.engine.contracts import (
    CreatorFacts,
    TrendingHashtag,
    TrendingSound,
    TrendTable,
)
from viral_platform.engine.creator import PlatformBaseline
from viral_platform.engine.errors import NotFoundError
from viral_platform.engine.trends import MAX_SOUNDS
from viral_platform.storage.database import Database

# The rarest of 5,000 tags is on a handful of videos and moves no score.
MAX_HASHTAGS = 5_000

# Sounds are matched by name: of several with one name only the fastest counts.
_SOUNDS_TO_MATCH = text(
    """
    with fastest as (
        select distinct on (lower(sound_name))
            sound_key, sound_name, velocity_score, views_per_hour, total_views, trend_phase,
            window_start, window_end
        from marts.trending_sounds
        where sound_name is not null and not is_generic_name
        order by
            lower(sound_name), views_per_hour desc nulls last, total_views desc nulls last,
            sound_key
    )
    select * from fastest
    order by views_per_hour desc nulls last, total_views desc nulls last, sound_key
    limit :limit
    """
)
_HASHTAGS_TO_MATCH = text(
    """
    select hashtag, video_count, total_views, share, window_start, window_end
    from marts.trending_hashtags
    where total_views is not null
    order by video_count desc, total_views desc, hashtag
    limit :limit
    """
)
_SOUNDS = text(
    """
    select * from marts.trending_sounds
    order by
        is_generic_name, views_per_hour desc nulls last, total_views desc nulls last, sound_key
    limit :limit
    """
)
_NICHE_SOUNDS = text(
    """
    select * from marts.trending_niche_sounds
    where niche = :niche
    order by
        is_generic_name, views_per_hour desc nulls last, total_views desc nulls last, sound_key
    limit :limit
    """
)
_HASHTAGS = text(
    """
    select * from marts.trending_hashtags
    order by
        is_saturated, views_per_hour desc nulls last, total_views desc nulls last, hashtag
    limit :limit
    """
)
_PLATFORM = text(
    """
    select
        percentile_cont(0.5) within group (order by median_views) as views,
        percentile_cont(0.5) within group (order by median_engagement) as engagement_rate
    from marts.creator_baselines
    """
)
_CREATOR = text(
    """
    select
        asked.handle,
        coalesce(profile.followers, baseline.followers) as followers,
        baseline.median_engagement,
        baseline.median_views,
        coalesce(baseline.n_posts, 0) as n_posts,
        coalesce(baseline.n_mature, 0) as n_mature,
        coalesce(baseline.n_at_maturity, 0) as n_at_maturity,
        baseline.median_views_at_maturity,
        baseline.median_engagement_at_maturity,
        greatest(profile.crawled_at, baseline.last_crawled_at) as last_crawled_at,
        coalesce(profile.is_simulated, false)
        or coalesce(baseline.is_simulated, false) as is_simulated
    from (select cast(:handle as text) as handle) as asked
    left join app.creator_profiles as profile
        on profile.platform = 'tiktok' and profile.handle = asked.handle
    left join marts.creator_baselines as baseline
        on baseline.handle = asked.handle
    where profile.handle is not null or baseline.handle is not null
    """
)


_COMPETITORS = text(
    """
    select distinct on (handle) * from marts.competitor_growth
    order by handle, crawled_at desc
    """
)


@dataclass(frozen=True, slots=True)
class CompetitorGrowth:
    """A creator at one crawl against the crawl before, and against the one a week before.

    `views_per_video` is over the videos of this crawl. None where there is nothing to compare.
    """

    views_per_video: float | None
    previous_crawled_at: datetime | None
    followers_gained: int | None
    hearts_gained: int | None
    videos_gained: int | None
    week_crawled_at: datetime | None
    followers_gained_week: int | None
    hearts_gained_week: int | None
    videos_gained_week: int | None
    followers_growth_week: float | None


def load_trend_table(database: Database) -> TrendTable:
    """Return the trends as the engine reads them.

    The 50 fastest sounds whose name says something, those without a velocity last, and the
    5,000 hashtags on most videos. A sound that has no id goes by its key.

    Raises
    ------
    NotFoundError
        The marts were never built.
    """
    with _reading(database) as connection:
        sounds = connection.execute(_SOUNDS_TO_MATCH, {"limit": MAX_SOUNDS}).mappings().all()
        hashtags = connection.execute(_HASHTAGS_TO_MATCH, {"limit": MAX_HASHTAGS}).mappings().all()
    rows = [*hashtags, *sounds]
    return TrendTable(
        sounds=[
            TrendingSound(
                sound_id=row["sound_key"],
                sound_name=row["sound_name"],
                velocity_score=row["velocity_score"],
                trend_phase=row["trend_phase"],
            )
            for row in sounds
        ],
        hashtags={
            row["hashtag"]: TrendingHashtag(
                hashtag=row["hashtag"],
                video_count=row["video_count"],
                total_views=row["total_views"],
                share=row["share"],
            )
            for row in hashtags
        },
        window_start=rows[0]["window_start"] if rows else None,
        window_end=rows[0]["window_end"] if rows else None,
    )


def trending_sounds(
    database: Database, limit: int, niche: str | None = None
) -> list[dict[str, object]]:
    """Return the rows of `trending_sounds`, fastest first; generic names come last.

    With a niche, a scraped hashtag, those of `trending_niche_sounds`: of its videos alone.

    Raises
    ------
    NotFoundError
        The mart was never built.
    """
    query = _SOUNDS if niche is None else _NICHE_SOUNDS.bindparams(niche=niche)
    with _reading(database) as connection:
        return [dict(row) for row in connection.execute(query, {"limit": limit}).mappings()]


def trending_hashtags(database: Database, limit: int) -> list[dict[str, object]]:
    """Return the rows of `trending_hashtags`, fastest first, the saturated ones last.

    Raises
    ------
    NotFoundError
        The mart was never built.
    """
    with _reading(database) as connection:
        return [dict(row) for row in connection.execute(_HASHTAGS, {"limit": limit}).mappings()]


def creator(database: Database, handle: str) -> dict[str, Any] | None:
    """Return the baseline and profile of a creator, None when no crawl has seen them.

    Parameters
    ----------
    database : Database
        The installation's database.
    handle : str
        In the form of `normalize_handle`.

    Raises
    ------
    NotFoundError
        The mart `creator_baselines` was never built.
    """
    with _reading(database) as connection:
        row = connection.execute(_CREATOR, {"handle": handle}).mappings().one_or_none()
    return None if row is None else dict(row)


def creator_facts(database: Database, handle: str) -> CreatorFacts | None:
    """Return what the engine takes of `creator`."""
    row = creator(database, handle)
    if row is None:
        return None
    return CreatorFacts(**{name: row[name] for name in CreatorFacts.__dataclass_fields__})


def competitor_growth(
    database: Database,
) -> dict[tuple[str, datetime | None], CompetitorGrowth]:
    """Return by handle and crawl time the growth up to each watched creator's newest snapshot.

    Raises
    ------
    NotFoundError
        The mart `competitor_growth` was never built.
    """
    with _reading(database) as connection:
        rows = connection.execute(_COMPETITORS).mappings()
        return {
            (row["handle"], row["crawled_at"]): CompetitorGrowth(
                **{name: row[name] for name in CompetitorGrowth.__dataclass_fields__}
            )
            for row in rows
        }


def platform_baseline(database: Database) -> PlatformBaseline:
    """Return the medians over all creators; their share and comment rates are not kept.

    Raises
    ------
    NotFoundError
        The mart `creator_baselines` was never built.
    """
    with _reading(database) as connection:
        return PlatformBaseline(**connection.execute(_PLATFORM).mappings().one())


@contextmanager
def _reading(database: Database) -> Iterator[Connection]:
    try:
        with database.statements.connect() as connection:
            yield connection
    except ProgrammingError as error:
        if not isinstance(error.orig, psycopg.errors.UndefinedTable):
            raise
        raise NotFoundError(
            "Schema marts lacks a table: trends were never computed here, so there is nothing to "
            "read. Run `viral run calculate_trends`."
        ) from error
