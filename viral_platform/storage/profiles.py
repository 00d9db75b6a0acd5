"""Which creator the holder of a key is, and the scrape that brings that creator's profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from viral_platform.engine.errors import DatabaseUnavailableError
from viral_platform.storage import scrapes
from viral_platform.storage.database import Database
from viral_platform.storage.scrapes import ScrapeOrder, ScrapeStart

# Two keys that name one creator at once order one scrape.
_LOCK_NAMESPACE = 7_274
_LOCK = text("select pg_advisory_xact_lock(:namespace, hashtext(:handle))")
# The row is locked first, so that what is compared is what is replaced.
_LOCK_KEY = text(
    """
    insert into app.key_profiles (key_id, creator_handle, changed_at)
    values (:key_id, null, :now)
    on conflict (key_id) do update set key_id = excluded.key_id
    returning creator_handle
    """
)
_SET = text(
    """
    update app.key_profiles set creator_handle = :handle, changed_at = :now
    where key_id = :key_id
    """
)
_GET = text(
    """
    select profile.creator_handle, profile.changed_at
    from app.key_profiles as profile where profile.key_id = :key_id
    """
)
_CREATOR = text(
    """
    select handle, display_name, followers, following, hearts, video_count, is_verified,
        is_simulated, crawled_at
    from app.creator_profiles where platform = 'tiktok' and handle = :handle
    """
)


@dataclass(frozen=True, slots=True)
class KeyProfile:
    """A key's creator; `creator` is what the newest crawl tells, `scrape` the last one ordered."""

    creator_handle: str | None
    changed_at: datetime | None
    creator: dict[str, Any] | None
    scrape: ScrapeStart | None


@dataclass(frozen=True, slots=True)
class Change:
    """What setting a handle did."""

    is_changed: bool
    is_queued: bool


def set_handle(
    database: Database,
    key_id: int,
    handle: str | None,
    *,
    now: datetime,
    scraped_since: datetime,
    order: Callable[[str], ScrapeOrder],
) -> Change:
    """Store a key's handle, and queue the scrape of a changed one, in one transaction.

    So is one that was set before when its last scrape was refused.

    Parameters
    ----------
    database : Database
        Of the installation.
    key_id : int
        The key.
    handle : str, optional
        In the form of `tiktok_handle`; None takes it back.
    now : datetime
        Aware.
    scraped_since : datetime
        A creator who was scraped since then is not scraped again.
    order : callable
        Makes the scrape of a handle.

    Raises
    ------
    DatabaseUnavailableError
        Nothing is stored.
    """
    try:
        with database.engine.begin() as connection:
            return _set(connection, key_id, handle, now, scraped_since, order)
    except SQLAlchemyError as error:
        raise DatabaseUnavailableError(
            f"The handle cannot be stored at {database.safe_url}: {type(error).__name__}."
        ) from error


def _set(
    connection: Connection,
    key_id: int,
    handle: str | None,
    now: datetime,
    scraped_since: datetime,
    order: Callable[[str], ScrapeOrder],
) -> Change:
    values = {"key_id": key_id, "now": now}
    before: str | None = connection.execute(_LOCK_KEY, values).scalar_one()
    if handle != before:
        connection.execute(_SET, {"key_id": key_id, "handle": handle, "now": now})
    if handle is None:
        return Change(is_changed=handle != before, is_queued=False)
    connection.execute(_LOCK, {"namespace": _LOCK_NAMESPACE, "handle": handle})
    newest = scrapes.newest_of_profile(connection, handle, with_refused=True)
    was_refused = newest is not None and newest.state == "refused"
    if handle == before and not was_refused:
        return Change(is_changed=False, is_queued=False)
    done = scrapes.newest_of_profile(connection, handle, with_refused=False)
    is_queued = done is None or done.requested_at < scraped_since
    if is_queued:
        scrapes.enqueue(connection, order(handle), now)
    return Change(is_changed=handle != before, is_queued=is_queued)


def get(database: Database, key_id: int) -> KeyProfile:
    """Return a key's creator; every field is None when none was ever set."""
    with database.engine.connect() as connection:
        row = connection.execute(_GET, {"key_id": key_id}).mappings().one_or_none()
        if row is None or row["creator_handle"] is None:
            return KeyProfile(None, None if row is None else row["changed_at"], None, None)
        handle = row["creator_handle"]
        creator = connection.execute(_CREATOR, {"handle": handle}).mappings().one_or_none()
        scrape = scrapes.newest_of_profile(connection, handle, with_refused=True)
    return KeyProfile(handle, row["changed_at"], None if creator is None else dict(creator), scrape)
