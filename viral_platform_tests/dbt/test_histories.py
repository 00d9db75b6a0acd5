"""Trends from any order of deliveries are those from all crawls at once, and as reckoned here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from viral_platform.services.sounds import identify_sounds
from viral_platform.storage import copies, videos
from viral_platform.storage.database import Database
from viral_platform.storage.videos import VideoRow
from viral_platform_tests.dbt_runs import compiled_models, rebuild

START = datetime(2026, 3, 10, 0, 0, 0, 250_001, tzinfo=UTC)
WINDOW, LEAST_SPAN = timedelta(hours=48), timedelta(hours=1)
MODELS = (
    "int_videos_in_window",
    "trending_sounds",
    "trending_hashtags",
    "creator_baselines",
)
KEYS = ("platform_video_id", "sound_key", "hashtag", "handle")

Rows = list[dict[str, Any]]
Deliveries = list[list[VideoRow]]

SOUNDS = st.sampled_from(
    [
        ("1", "Paper Boat"),
        ("2", "paper boat"),
        ("3", "original sound - x"),
        (None, "Lantern  Song"),
        (None, "lantern song"),
        (None, "Lantern Songs"),
        (None, "paper boat"),
        (None, "nhạc nền - x"),
        (None, None),
    ]
)


@st.composite
def _crawled_videos(draw: st.DrawFn) -> list[VideoRow]:
    """Each crawl of each video, some with a copy that saw fewer views, in order of crawl time."""
    rows = []
    for number in range(draw(st.integers(1, 5))):
        sound_id, sound_name = draw(SOUNDS)
        sound_author = draw(st.sampled_from(["Mai", None]))
        tags = draw(st.lists(st.sampled_from(["fyp", "đàlạt", "calm"]), max_size=3))
        author = draw(st.sampled_from(["one", "two", None]))
        posted_at = START - timedelta(hours=draw(st.integers(1, 200)))
        minutes = st.one_of(st.sampled_from(range(0, 97 * 60, 12 * 60)), st.integers(0, 100 * 60))
        for at in draw(st.lists(minutes, min_size=1, max_size=6, unique=True)):
            views = draw(st.one_of(st.none(), st.integers(0, 10**7), st.just(10**12)))
            lower = draw(st.booleans()) and bool(views)
            rows += [
                VideoRow(
                    platform_video_id=str(7_000_000_000_000_000_000 + number),
                    crawled_at=START + timedelta(minutes=at),
                    posted_at=posted_at,
                    source="clockworks",
                    sound_id=sound_id,
                    sound_name=sound_name,
                    sound_author=sound_author,
                    hashtags=tuple(tags),
                    author_handle=author,
                    views=seen,
                    likes=seen,
                    comments=3,
                    shares=1,
                    author_followers=at,
                )
                for seen in ([views, (views or 0) // 2] if lower else [views])
            ]
    return sorted(rows, key=lambda row: row.crawled_at)


@st.composite
def _histories(draw: st.DrawFn) -> tuple[list[VideoRow], Deliveries]:
    """All rows, and the same in deliveries of any order and size, some of them twice or more."""
    rows = draw(_crawled_videos())
    shuffled = draw(st.permutations(rows + draw(st.lists(st.sampled_from(rows), max_size=5))))
    cuts = sorted(draw(st.lists(st.integers(0, len(shuffled)), max_size=6)))
    deliveries = [
        shuffled[start:end] for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)
    ]
    retried = draw(st.lists(st.sampled_from(deliveries), max_size=2))
    return rows, draw(st.permutations(deliveries + retried))


@dataclass(frozen=True)
class Trends:
    """The models built from what a database holds."""

    database: Database
    compiled: dict[str, str]

    def of(self, deliveries: Sequence[Sequence[VideoRow]]) -> dict[str, Rows]:
        """Return the models' rows after deliveries, each ingested, then its sounds identified."""
        with self.database.connect() as connection:
            connection.execute(
                "truncate app.scraped_videos, app.video_snapshots, app.creator_profiles,"
                " app.sound_identities"
            )
        for rows in deliveries:
            with self.database.connect() as connection:
                columns = {
                    name: [getattr(row, name) for row in rows]
                    for name in VideoRow.__struct_fields__
                }
                videos.stage(connection, [videos.copy_block(columns)] if rows else [])
                videos.merge(connection, "The test")
                copies.raise_counts(connection)
            identify_sounds(self.database)
        with self.database.connect() as connection:
            rebuild(connection, self.compiled)
            cursor = connection.cursor(row_factory=dict_row)
            # Numbers of videos follow the order in which they came.
            return {
                model: cursor.execute(
                    f"select * from {table}"
                    + (
                        " join (select id, platform_video_id from app.scraped_videos) as known"
                        " on known.id = video_id"
                        if key == "platform_video_id"
                        else ""
                    )
                    + f" order by {key}"
                ).fetchall()
                for model, key, table in zip(MODELS, KEYS, self.compiled, strict=True)
            }


@pytest.fixture(scope="module")
def trends(
    clone_database: Callable[..., AbstractContextManager[Database]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Trends]:
    with clone_database() as database:
        target = tmp_path_factory.mktemp("dbt")
        yield Trends(database, compiled_models(database, target, MODELS))


def _comparable(found: dict[str, Rows]) -> dict[str, Rows]:
    passing = {"computed_at", "video_id", "id"}
    return {
        model: [{name: row[name] for name in row.keys() - passing} for row in rows]
        for model, rows in found.items()
    }


@settings(max_examples=25, deadline=None)
@given(_histories())
def test_any_order_of_deliveries_gives_the_trends_of_all_crawls_at_once(
    trends: Trends, history: tuple[list[VideoRow], Deliveries]
) -> None:
    rows, deliveries = history
    assert _comparable(trends.of(deliveries)) == _comparable(trends.of([rows]))


def _rate(first: VideoRow, last: VideoRow) -> Decimal | None:
    span = last.crawled_at - first.crawled_at
    if span < LEAST_SPAN:
        return None
    gained = Decimal((last.views or 0) - (first.views or 0)) * 3_600_000_000
    exact = gained / (span // timedelta(microseconds=1))
    return exact.quantize(Decimal("0.000001"), rounding=ROUND_HALF_UP)


def _reckoned(rows: Sequence[VideoRow]) -> dict[str, tuple[object, ...]]:
    """Return snapshots, latest views, rate and acceleration of each video in the window."""
    end = max(row.crawled_at for row in rows)
    crawls: dict[str, dict[datetime, VideoRow]] = {}
    for row in sorted(rows, key=lambda row: -1 if row.views is None else row.views):
        if row.crawled_at >= end - WINDOW:
            crawls.setdefault(row.platform_video_id, {})[row.crawled_at] = row
    found: dict[str, tuple[object, ...]] = {}
    for video, by_time in crawls.items():
        known = [by_time[at] for at in sorted(by_time) if by_time[at].views is not None]
        if not known:
            found[video] = (len(by_time), None, None, None)
            continue
        older = [row for row in known if row.crawled_at <= end - WINDOW / 2]
        earlier = _rate(known[0], older[-1]) if older else None
        later = _rate(older[-1], known[-1]) if older else None
        found[video] = (
            len(by_time),
            known[-1].views,
            _rate(known[0], known[-1]),
            None if earlier is None or later is None else later - earlier,
        )
    return found


@settings(max_examples=25, deadline=None)
@given(_crawled_videos())
def test_the_window_holds_what_is_reckoned_from_the_crawls_one_by_one(
    trends: Trends, rows: list[VideoRow]
) -> None:
    found = trends.of([rows])["int_videos_in_window"]
    measured = ("snapshots", "latest_views", "views_per_hour", "acceleration")
    assert {
        row["platform_video_id"]: tuple(row[name] for name in measured) for row in found
    } == _reckoned(rows)
    assert {(row["window_start"], row["window_end"]) for row in found} == {
        (max(row.crawled_at for row in rows) - WINDOW, max(row.crawled_at for row in rows))
    }
