"""The creator that the holder of a key is: set at once, scraped later by a run.

Nothing here calls Apify, so neither its failures nor its settings reach who sets a handle.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from viral_platform.engine.normalize import tiktok_handle
from viral_platform.observability.logging import get_logger
from viral_platform.settings import Settings
from viral_platform.storage import profiles
from viral_platform.storage.database import Database
from viral_platform.storage.scrapes import ScrapeOrder

log = get_logger(__name__)

# What will happen: a scrape was queued; the handle is as it was; its creator was scraped, or waits
# for it, within the cool-down; there is no handle.
WhatFollows = Literal["queued", "unchanged", "scraped_recently", "none"]


@dataclass(frozen=True, slots=True)
class HandleSet:
    """The stored handle and what follows from it."""

    creator_handle: str | None
    scrape: WhatFollows


def profile_order(key_id: int, handle: str, now: datetime) -> ScrapeOrder:
    """Return the scrape of one profile: its newest post, which tells the creator's figures.

    Its key, which operators see, names the API key and the time and no creator.
    """
    actor_input = {"profiles": [handle], "resultsPerPage": 1}
    return ScrapeOrder("profile", f"{key_id} {now.astimezone(UTC).isoformat()}", actor_input)


def set_creator_handle(
    settings: Settings,
    database: Database,
    key_id: int,
    text: str | None,
    *,
    now: datetime | None = None,
) -> HandleSet:
    """Store a key's handle and queue the scrape of a changed one, in one transaction.

    Raises
    ------
    RefusedRequestError
        Code "not_a_handle".
    DatabaseUnavailableError
        Nothing is stored.
    """
    handle = None if text is None else tiktok_handle(text)
    at = datetime.now(UTC) if now is None else now
    change = profiles.set_handle(
        database,
        key_id,
        handle,
        now=at,
        scraped_since=at - timedelta(hours=settings.profile_cooldown_hours),
        order=lambda changed: profile_order(key_id, changed, at),
    )
    follows: WhatFollows = "scraped_recently"
    if handle is None:
        follows = "none"
    elif change.is_queued:
        follows = "queued"
    elif not change.is_changed:
        follows = "unchanged"
    log.info("creator_handle_set", key_id=key_id, scrape=follows)
    return HandleSet(handle, follows)
