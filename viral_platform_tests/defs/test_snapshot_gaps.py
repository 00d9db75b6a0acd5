from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from sqlalchemy import insert, update

from viral_platform.defs.checks import snapshot_gaps
from viral_platform.defs.resources import DatabaseResource
from viral_platform.storage import tables
from viral_platform.storage.database import Database

NEWEST = datetime(2026, 3, 10, 12, tzinfo=UTC)


def add_video(database: Database, *hours_ago: float) -> None:
    with database.engine.begin() as connection:
        video_id = connection.execute(
            insert(tables.scraped_videos)
            .values(
                platform="tiktok",
                platform_video_id=str(hours_ago),
                caption="",
                posted_at=NEWEST - timedelta(days=9),
                hashtags=[],
                source="clockworks",
                is_simulated=False,
                crawled_at=NEWEST - timedelta(hours=min(hours_ago)),
            )
            .returning(tables.scraped_videos.c.id)
        ).scalar_one()
        connection.execute(
            insert(tables.video_snapshots),
            [
                {"video_id": video_id, "crawled_at": NEWEST - timedelta(hours=hours)}
                for hours in hours_ago
            ],
        )


@pytest.fixture
def judged(database: Database, monkeypatch: pytest.MonkeyPatch) -> DatabaseResource:
    monkeypatch.setenv("VIRAL_DATABASE_URL", database.url)
    return DatabaseResource()


def result(resource: DatabaseResource) -> dg.AssetCheckResult:
    found = snapshot_gaps(resource)
    assert isinstance(found, dg.AssetCheckResult)
    return found


def test_nothing_is_missing_where_no_video_was_crawled_again(
    judged: DatabaseResource, database: Database
) -> None:
    assert result(judged).passed
    add_video(database, 0)
    add_video(database, 30)
    found = result(judged)
    assert (found.passed, found.metadata["n"].value, found.metadata["videos"].value) == (True, 0, 2)


def test_a_crawl_that_is_missing_between_two_others_is_a_gap(
    judged: DatabaseResource, database: Database
) -> None:
    # Some hours early or late, twice at one tick, gone since a day, also crawled before the window.
    for crawls in [(0, 5.5, 13, 18), (0, 0.5, 6), (24, 30, 36), (0, 6, 90)]:
        add_video(database, *crawls)
    assert result(judged).metadata["without_gap"].value == 4
    add_video(database, 0, 12)
    found = result(judged)
    assert (found.passed, found.metadata["share"].value) == (True, 0.8)

    add_video(database, 0, 6, 42)
    found = result(judged)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "4 of 6 videos" in (found.description or "")

    with database.engine.begin() as connection:
        connection.execute(update(tables.scraped_videos).values(is_simulated=True))
    found = result(judged)
    assert found.passed
    assert (found.description or "").endswith("Not judged: the feed is simulated.")
