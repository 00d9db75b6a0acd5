"""Times at which schedules are due; a scrape that a tick starts is keyed by its tick."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from viral_platform.engine.errors import InputError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def latest_tick(now: datetime, every: timedelta, after: timedelta = timedelta()) -> datetime:
    """Return the last time at which something was due: `after` midnight UTC and every `every`.

    `every` divides a day.

    Examples
    --------
    >>> latest_tick(datetime(2026, 5, 1, 17, 59, tzinfo=UTC), timedelta(hours=6)).hour
    12
    """
    first = _EPOCH + after
    return first + (now.astimezone(UTC) - first) // every * every


def parse_tick(text: str) -> datetime:
    """Return the time of a tick.

    Raises
    ------
    InputError
        It is no ISO time with a zone.
    """
    try:
        tick = datetime.fromisoformat(text)
    except ValueError:
        tick = None
    if tick is None or tick.tzinfo is None:
        raise InputError(f"tick {text!r} is no ISO time with a zone, as 2026-05-01T06:00:00+00:00.")
    return tick.astimezone(UTC)
