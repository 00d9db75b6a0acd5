"""What a plausible row is: the one schema that every batch of rows passes, as a frame.

The frame holds figures of the rows (counts, times, lengths of texts), so that a batch is judged
column by column. That a value is of its kind at all was settled in `values.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray
from pandera.errors import SchemaErrors

from viral_platform.engine.errors import ItemRejectedError
from viral_platform.services.ingestion.columns import Columns
from viral_platform.services.ingestion.shapes import EARLIEST_POST
from viral_platform.services.ingestion.values import show

# Below bigint's end by so much that likes + 2 comments + 3 shares still fits.
MAX_COUNT = 10**18
# Beyond it a duration is in another unit; TikTok's longest video has 60 minutes.
MAX_DURATION_SECONDS = 86_400.0
# Clocks and stated zones are off by hours; a day is none of these.
MAX_AHEAD_HOURS = 24.0
# TikTok takes captions of 4,000 characters.
MAX_CAPTION = 100_000
# Names, addresses. Handles and sound ids are indexed, and an index entry holds 2,700 bytes.
MAX_TEXT, MAX_INDEXED_TEXT = 10_000, 500
MAX_HASHTAGS, MAX_HASHTAG = 1_000, 500


COUNTS = (
    "views",
    "likes",
    "comments",
    "shares",
    "saves",
    "sound_uses",
    "author_followers",
    "author_following",
    "author_hearts",
    "author_videos",
)


_INDEXED_TEXTS = ("author_handle", "sound_id")
_TEXTS = (
    "author_display_name",
    "author_id",
    "sound_author",
    "sound_name",
    "text_language",
    "video_url",
)


def frame(columns: Columns, now: datetime) -> pd.DataFrame:
    """Return the figures of the rows that the schema judges; times in Unix seconds."""
    posted = np.array([time.timestamp() for time in columns["posted_at"]])
    crawled = np.array([time.timestamp() for time in columns["crawled_at"]])
    longest_tags = [max(tags, key=len, default="") for tags in columns["hashtags"]]
    figures = {name: _numbers(columns[name]) for name in (*COUNTS, "duration_seconds")}
    figures |= {
        f"{name}.length": _lengths(columns[name]) for name in ("caption", *_INDEXED_TEXTS, *_TEXTS)
    }
    figures |= {
        "posted_at": posted,
        "crawled_at": crawled,
        "posted_at.hours_ahead": (posted - crawled) / 3600,
        "crawled_at.hours_ahead": (crawled - now.timestamp()) / 3600,
        "hashtags.number": _lengths(columns["hashtags"]),
        "hashtags.length": _lengths(longest_tags),
    }
    return pd.DataFrame(figures, copy=False)


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        return np.array([np.inf if v and abs(v) > MAX_COUNT else v for v in values], np.float64)


def _lengths(texts: Sequence[Sequence[object] | None]) -> NDArray[np.float64]:
    return np.fromiter(map(len, [text or () for text in texts]), np.float64, len(texts))


def _column(*checks: pa.Check) -> pa.Column:
    return pa.Column(float, checks=list(checks), nullable=True)


def _at_least(least: float, reason: str) -> pa.Check:
    return pa.Check.ge(least, error=reason)


def _at_most(most: float, reason: str) -> pa.Check:
    return pa.Check.le(most, error=reason)


def _no_longer_than(most: int) -> pa.Column:
    return _column(_at_most(most, "too_long"))


ROWS = pa.DataFrameSchema(
    {
        name: _column(_at_least(0, "negative_count"), _at_most(MAX_COUNT, "count_too_large"))
        for name in COUNTS
    }
    | {
        "duration_seconds": _column(
            _at_least(0, "negative_duration"), _at_most(MAX_DURATION_SECONDS, "too_long")
        ),
        "posted_at": _column(_at_least(EARLIEST_POST.timestamp(), "before_tiktok")),
        "crawled_at": _column(_at_least(EARLIEST_POST.timestamp(), "before_tiktok")),
        "posted_at.hours_ahead": _column(_at_most(MAX_AHEAD_HOURS, "in_the_future")),
        "crawled_at.hours_ahead": _column(_at_most(MAX_AHEAD_HOURS, "in_the_future")),
        "caption.length": _no_longer_than(MAX_CAPTION),
        "hashtags.number": _column(_at_most(MAX_HASHTAGS, "too_many")),
        "hashtags.length": _no_longer_than(MAX_HASHTAG),
    }
    | {f"{name}.length": _no_longer_than(MAX_INDEXED_TEXT) for name in _INDEXED_TEXTS}
    | {f"{name}.length": _no_longer_than(MAX_TEXT) for name in _TEXTS},
    name="video_rows",
)

_EXPECTED = {
    "negative_count": "no less than 0",
    "count_too_large": f"no more than {MAX_COUNT}",
    "negative_duration": "no less than 0",
    "before_tiktok": f"a time from {EARLIEST_POST:%Y} on",
    "too_many": f"no more than {MAX_HASHTAGS}",
}
_EXPECTED_AHEAD = {
    "posted_at": f"no more than {MAX_AHEAD_HOURS:.0f} h after the crawl",
    "crawled_at": f"no more than {MAX_AHEAD_HOURS:.0f} h after now",
}


def judge(columns: Columns, now: datetime) -> dict[int, ItemRejectedError]:
    """Return why rows are not plausible, by their index: the first reason of each.

    `now` bounds crawl times, and through them posting times.
    """
    rejected: dict[int, ItemRejectedError] = {}
    try:
        ROWS.validate(frame(columns, now), lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        for column, reason, index in zip(
            cases["column"], cases["check"], cases["index"], strict=True
        ):
            field, _, figure = column.partition(".")
            value = columns[field][int(index)]
            rejected.setdefault(int(index), _rejection(field, figure, reason, value))
    return rejected


def _rejection(field: str, figure: str, reason: str, value: Any) -> ItemRejectedError:  # noqa: ANN401  of any field
    if figure in {"length", "number"}:
        limit = ROWS.columns[f"{field}.{figure}"].checks[0].statistics["max_value"]
        found = max(value, key=len) if field == "hashtags" and figure == "length" else value
        unit = "characters" if figure == "length" else "entries"
        message = f"{field} has {len(found)} {unit}; expected no more than {limit}."
    else:
        shown = value.isoformat() if isinstance(value, datetime) else show(value)
        expected = _EXPECTED_AHEAD[field] if figure else _expected(field, reason)
        message = f"{field} is {shown}; expected {expected}."
    return ItemRejectedError(field, reason, message)


def _expected(column: str, reason: str) -> str:
    if column == "duration_seconds" and reason == "too_long":
        return f"no more than {MAX_DURATION_SECONDS:.0f} s"
    return _EXPECTED[reason]
