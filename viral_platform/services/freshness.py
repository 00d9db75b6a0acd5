"""Whether trends are as new as the crawls that they are computed from, and these are whole."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from viral_platform.engine.errors import NotFoundError
from viral_platform.services import trends
from viral_platform.services.trending_scrapes import EVERY
from viral_platform.storage import crawls
from viral_platform.storage.crawls import Coverage
from viral_platform.storage.database import Database

# Of the videos that were crawled again, so many should lack no crawl in between.
WITHOUT_GAP_BAR = 0.8


@dataclass(frozen=True, slots=True)
class TrendState:
    """`window_end` is that of the computed trends, None when there are none."""

    newest_crawl: datetime | None
    stored_at: datetime | None
    window_end: datetime | None


def trend_state(database: Database) -> TrendState:
    """Return up to when there are crawls, and up to when trends."""
    newest = crawls.newest(database)
    return TrendState(newest.newest_crawl, newest.stored_at, _window_end(database))


def why_trends_stay(state: TrendState, last_run_at: datetime | None) -> str | None:
    """Return why computing trends anew would change nothing, None when it may change something.

    The newest crawl being within their window is not enough: a data set is stored page by page
    under one crawl time, and an earlier crawl may come late.

    Parameters
    ----------
    state : TrendState
        Of the database.
    last_run_at : datetime, optional
        When the last run that computed them began; None when it is not known.

    Examples
    --------
    >>> why_trends_stay(TrendState(None, None, None), None)
    'Nothing was crawled yet.'
    """
    if state.newest_crawl is None or state.stored_at is None:
        return "Nothing was crawled yet."
    is_covered = state.window_end is not None and state.newest_crawl <= state.window_end
    is_unchanged = last_run_at is not None and state.stored_at < last_run_at
    if not (is_covered and is_unchanged):
        return None
    return (
        f"No crawl is newer than the window of the trends, which ends at "
        f"{state.window_end:%Y-%m-%d %H:%M} UTC; nothing was stored since the last run."
    )


def crawl_coverage(database: Database, window_hours: int) -> Coverage:
    """Return how whole the crawls of the trends' window are, at the pace of scheduled scrapes."""
    return crawls.coverage(database, window_hours, EVERY // timedelta(hours=1))


def _window_end(database: Database) -> datetime | None:
    try:
        ends = [
            ranked(database, 1).window_end
            for ranked in (trends.ranked_sounds, trends.ranked_hashtags)
        ]
    except NotFoundError:
        return None
    return max((end for end in ends if end is not None), default=None)
