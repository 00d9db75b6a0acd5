"""Watched creators: who is, the daily scrape of their profiles, and how they grow."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from viral_platform.engine.errors import NotFoundError
from viral_platform.engine.normalize import normalize_handle, tiktok_handle
from viral_platform.settings import Settings
from viral_platform.storage import competitors, marts
from viral_platform.storage.competitors import Competitor
from viral_platform.storage.database import Database
from viral_platform.storage.marts import CompetitorGrowth
from viral_platform.storage.scrapes import ScrapeOrder

# Daily at 06:00 UTC.
EVERY, AFTER = timedelta(days=1), timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class WatchedCompetitor:
    """A competitor's newest snapshot, and its growth up to it; None where it is not known yet."""

    competitor: Competitor
    growth: CompetitorGrowth | None

    def as_dict(self) -> dict[str, object]:
        """Return both as one level of plain values."""
        names = CompetitorGrowth.__dataclass_fields__
        growth = dict.fromkeys(names) if self.growth is None else asdict(self.growth)
        return {**growth, **asdict(self.competitor)}


def watch(database: Database, text: str) -> str:
    """Watch the creator whom a text names; return the handle. Watching again changes nothing.

    Raises
    ------
    RefusedRequestError
        Code "not_a_handle".
    """
    handle = tiktok_handle(text)
    competitors.add(database, handle)
    return handle


def unwatch(database: Database, text: str) -> str:
    """Watch a creator no more; what was measured stays. Return the handle.

    Raises
    ------
    NotFoundError
        The creator is not watched.
    """
    handle = normalize_handle(text)
    if "\x00" in handle or not competitors.remove(database, handle):
        raise NotFoundError("This creator is not watched. See who is: viral competitors list.")
    return handle


def watched(database: Database) -> list[WatchedCompetitor]:
    """Return all watched creators by handle."""
    try:
        growth = marts.competitor_growth(database)
    except NotFoundError:
        growth = {}
    return [
        WatchedCompetitor(one, growth.get((one.handle, one.crawled_at)))
        for one in competitors.watched(database)
    ]


def competitors_order(settings: Settings, database: Database, tick: datetime) -> ScrapeOrder:
    """Return the scrape of a tick: the newest videos of watched profiles, the longest unseen first.

    As many profiles as `SCRAPER_MAX_ITEMS` has room for; the others come first the next time.

    Raises
    ------
    NotFoundError
        Nobody is watched.
    """
    room = max(1, settings.scraper_max_items // settings.competitor_videos)
    handles = competitors.longest_unseen(database, room)
    if not handles:
        raise NotFoundError("No competitor is watched. Add one: viral competitors add HANDLE.")
    actor_input = {"profiles": handles, "resultsPerPage": settings.competitor_videos}
    return ScrapeOrder("competitors", tick.isoformat(), actor_input)
