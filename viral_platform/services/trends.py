"""The ranked trends with the window that they speak of, and creators, for people and programs.

How trends are computed is in `dbt_project/`; how the engine matches a post with them is in
`engine/trends.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from viral_platform.engine.normalize import normalize_handle
from viral_platform.storage import marts
from viral_platform.storage.database import Database


@dataclass(frozen=True, slots=True)
class RankedTrends:
    """Rows of a trend mart, the fastest first.

    `window_start` and `window_end` are None when there is no row: nothing was crawled, or no
    crawled video has a sound or hashtag.
    """

    rows: list[dict[str, object]]
    window_start: datetime | None
    window_end: datetime | None


def ranked_sounds(database: Database, limit: int, niche: str | None = None) -> RankedTrends:
    """Return up to `limit` sounds, those without a velocity last.

    A niche is a scraped hashtag, with or without '#', in any case; only its videos count then.
    Of a niche that is not scraped there is no row.

    Raises
    ------
    NotFoundError
        The trends were never computed.
    """
    tag = None if niche is None else niche.strip().lstrip("#").strip().lower()
    return _with_window(marts.trending_sounds(database, limit, tag))


def ranked_hashtags(database: Database, limit: int) -> RankedTrends:
    """Return up to `limit` hashtags, saturated ones last.

    Raises
    ------
    NotFoundError
        The trends were never computed.
    """
    return _with_window(marts.trending_hashtags(database, limit))


def known_creator(database: Database, handle: str) -> dict[str, object] | None:
    """Return what is usual for a creator, None when no crawl has seen them; any form of handle.

    Raises
    ------
    NotFoundError
        The baselines were never computed.
    """
    return marts.creator(database, normalize_handle(handle))


def _with_window(rows: list[dict[str, object]]) -> RankedTrends:
    start, end = (rows[0]["window_start"], rows[0]["window_end"]) if rows else (None, None)
    return RankedTrends(rows, cast("datetime | None", start), cast("datetime | None", end))
