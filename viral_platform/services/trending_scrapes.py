"""Scrapes of the watched hashtags: one a tick of the schedule."""

from __future__ import annotations

from datetime import datetime, timedelta

from viral_platform.engine.errors import ConfigurationError
from viral_platform.settings import Settings
from viral_platform.storage.scrapes import ScrapeOrder

EVERY = timedelta(hours=6)
RESULTS_PER_PAGE = 100


def hashtags_of(text: str) -> tuple[str, ...]:
    """Return the hashtags of `SCRAPER_HASHTAGS`, each once, as the actor takes them.

    Examples
    --------
    >>> hashtags_of(" #FYP, cooking,,fyp ")
    ('fyp', 'cooking')
    """
    bare = (part.strip().lstrip("#").strip().lower() for part in text.split(","))
    return tuple(dict.fromkeys(tag for tag in bare if tag))


def trending_order(settings: Settings, tick: datetime) -> ScrapeOrder:
    """Return the scrape of a tick: the newest posts of each hashtag.

    Raises
    ------
    ConfigurationError
        No hashtag is named.
    """
    hashtags = hashtags_of(settings.scraper_hashtags)
    if not hashtags:
        raise ConfigurationError("SCRAPER_HASHTAGS names no hashtag. Name one, or unset it.")
    actor_input = {"hashtags": list(hashtags), "resultsPerPage": RESULTS_PER_PAGE}
    return ScrapeOrder("trending", tick.isoformat(), actor_input)
