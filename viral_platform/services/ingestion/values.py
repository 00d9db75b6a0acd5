"""How a value of an export becomes a number, an id, a time or a text.

Each function takes what JSON or a CSV cell can hold and the field's name, and raises
`ItemRejectedError` when the value is not of its kind. Whether a value is plausible (range,
length) is judged in `schema.py`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import NoReturn

from viral_platform.engine.errors import ItemRejectedError
from viral_platform.engine.normalize import normalize_hashtag

Value = bool | int | float | str | None

# Up to here a double holds every integer, so a number that came through JavaScript is exact.
EXACT_INTEGERS = 2**53
# Seconds up to the year 5138, milliseconds from 1973 on.
_MILLISECONDS_FROM = 10**11

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}(?:\.0+)?", re.ASCII)
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+", re.ASCII)
_SHORT = re.compile(r"([+-]?[0-9]{1,12}(?:\.[0-9]{1,12})?)\s?([KMB])", re.ASCII | re.IGNORECASE)
_SUFFIXES = {"K": 10**3, "M": 10**6, "B": 10**9}
_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
# A double prints 17 digits at most: one of 19 that does not end in 00 never was a double.
_EXACT_ID = re.compile(r"[1-9][0-9]{16}(?!00)[0-9]{2}", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_CLOCK = re.compile(r"(?:([0-9]{1,3}):)?([0-9]{1,3}):([0-9]{2}(?:\.[0-9]+)?)", re.ASCII)
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_SHOWN = 60


def reject(field: str, reason: str, value: object, expected: str) -> NoReturn:
    """Reject the item: `field` holds `value` where `expected` was due."""
    raise ItemRejectedError(field, reason, f"{field} is {show(value)}; expected {expected}.")


def show(value: object) -> str:
    """Return a value as it stands in a message, cut to one line."""
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}... ({len(shown)} characters)"


def text(value: Value) -> str | None:
    """Return a text that PostgreSQL can hold, None for a blank one.

    NUL is taken out. (Lone surrogates never arrive here: the decoder replaced them.)
    """
    if value is None:
        return None
    shown = value if type(value) is str else str(value)
    if "\x00" in shown:
        shown = shown.replace("\x00", "")
    return shown if shown and not shown.isspace() else None


def count(value: Value, field: str) -> int | None:
    """Return a count: a whole number, "1,234" or a display string such as "541.2K".

    Examples
    --------
    >>> count("541.2K", "views"), count("1.4M", "views"), count("", "views")
    (541200, 1400000, None)
    """
    if type(value) is int or value is None:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is str:
        shown = value.strip()
        if not shown:
            return None
        if _WHOLE.fullmatch(shown):
            return int(shown.split(".")[0])
        if _GROUPED.fullmatch(shown):
            return int(shown.replace(",", ""))
        if short := _SHORT.fullmatch(shown):
            return round(Decimal(short[1]) * _SUFFIXES[short[2].upper()])
    reject(field, "not_a_count", value, 'a whole number or a text such as "541.2K"')


def video_id(value: Value, field: str) -> str | None:
    """Return a video's id digit for digit; a rounded one is rejected, a blank one is None.

    Examples
    --------
    >>> video_id(7506832682593094928, "id")
    '7506832682593094928'
    """
    if type(value) is int:
        value = str(value)
    elif type(value) is float:
        value = repr(value)
    shown = text(value)
    if shown is None:
        return None
    shown = shown.strip()
    if _ID.fullmatch(shown):
        return shown
    if _NUMBER.fullmatch(shown):
        number = float(shown)
        if 0 < number <= EXACT_INTEGERS and number.is_integer():
            return str(int(number))
        if abs(number) > EXACT_INTEGERS and not shown.isdigit():
            reject(field, "inexact_id", value, "all digits of the id, as text")
    reject(field, "not_an_id", value, "an id of 1 to 19 digits")


def sound_id(value: Value) -> str | None:
    """Return a sound's id, marked with '~' where a double has rounded it.

    Exports lose the last digits of these ids in two ways: as "7.506832745952218e+18" and as a
    JSON number with zeros at its end. Both give the same marked key, so that equal sounds still
    group, while it never passes for the exact id.

    Examples
    --------
    >>> sound_id("7374737941841267457"), sound_id(7582653324450926000), sound_id("7.5068e+18")
    ('7374737941841267457', '~7582653324450926000', '~7506800000000000000')
    """
    if type(value) is str and _EXACT_ID.fullmatch(value):
        return value
    shown = text(value)
    if shown is None:
        return None
    shown = shown.strip()
    if not _NUMBER.fullmatch(shown):
        return shown
    number = float(shown)
    if not number.is_integer():
        return shown
    shortest = str(int(Decimal(repr(number))))
    if abs(number) <= EXACT_INTEGERS:
        return shortest
    # Digits that a double would not print were not rounded by one.
    return shown if shown.isdigit() and shown != shortest else f"~{shortest}"


def instant(value: Value, field: str, zone: tzinfo = UTC) -> datetime | None:
    """Return a time: Unix seconds or milliseconds, or ISO 8601 (in `zone` when it names none).

    Examples
    --------
    >>> instant(1717064979000, "createTime").isoformat()
    '2024-05-30T10:29:39+00:00'
    """
    if value is None:
        return None
    try:
        if isinstance(value, str):
            shown = value.strip()
            if not shown:
                return None
            if not _NUMBER.fullmatch(shown):
                parsed = datetime.fromisoformat(shown)
                aware = parsed.replace(tzinfo=zone) if parsed.tzinfo is None else parsed
                return aware.astimezone(UTC)
            value = float(shown)
        if not isinstance(value, bool):
            seconds = value / 1000 if abs(value) >= _MILLISECONDS_FROM else value
            return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    reject(field, "not_a_time", value, "Unix seconds, milliseconds or ISO 8601")


def seconds_long(value: Value, field: str) -> float | None:
    """Return a duration in seconds, given as a number or as "mm:ss".

    Examples
    --------
    >>> seconds_long("01:05", "duration"), seconds_long(93.761, "duration")
    (65.0, 93.761)
    """
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return min(float(value), float(EXACT_INTEGERS))
    if isinstance(value, str):
        shown = value.strip()
        if not shown:
            return None
        if clock := _CLOCK.fullmatch(shown):
            return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])
        if _NUMBER.fullmatch(shown):
            return float(shown)
    reject(field, "not_a_duration", value, 'seconds or "mm:ss"')


def flag(value: Value, field: str) -> bool | None:
    """Return a yes or no, None for a blank."""
    if type(value) is bool or value is None:
        return value
    shown = str(value).strip().lower()
    if not shown:
        return None
    known = _FLAGS.get(shown)
    if known is None:
        reject(field, "not_a_flag", value, "true or false")
    return known


@lru_cache(maxsize=65_536)
def hashtag(name: str) -> str | None:
    """Return the stored form of a hashtag; a feed repeats few of them often."""
    return normalize_hashtag(name.replace("\x00", ""))
