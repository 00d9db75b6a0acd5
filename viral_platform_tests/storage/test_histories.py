from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from viral_platform.engine.training_rows import VideoHistory
from viral_platform.storage.database import Database
from viral_platform.storage.histories import holds_real, holds_simulated, load_histories
from viral_platform.storage.tables import scraped_videos, video_snapshots

POSTED = datetime(2026, 3, 1, tzinfo=UTC)


def add(database: Database, video_id: str, *ages: int, **changed: object) -> None:
    """Add a video crawled at these ages in hours; its views at each are 100 times the age."""
    row = {
        "platform": "tiktok",
        "platform_video_id": video_id,
        "author_handle": "ann",
        "caption": "calm",
        "posted_at": POSTED,
        "hashtags": ["hue"],
        "duration_seconds": 12.0,
        "sound_is_original": True,
        "source": "clockworks",
        "is_simulated": False,
        "crawled_at": POSTED,
        **changed,
    }
    with database.engine.begin() as connection:
        key = connection.execute(
            insert(scraped_videos).values(row).returning(scraped_videos.c.id)
        ).scalar_one()
        for age in ages:
            connection.execute(
                insert(video_snapshots).values(
                    video_id=key,
                    crawled_at=POSTED + timedelta(hours=age),
                    views=100 * age,
                    likes=age,
                    author_followers=9,
                )
            )


def found(database: Database) -> dict[str, VideoHistory]:
    return {video.video_id: video for video in load_histories(database).videos}


def test_a_video_comes_with_its_facts_and_its_crawls_oldest_first(database: Database) -> None:
    add(database, "1", 200, 10, 100)
    video = found(database)["1"]
    assert (video.author, video.video.caption, video.video.hashtags) == ("ann", "calm", ("hue",))
    assert (video.video.duration_seconds, video.video.sound_is_original) == (12.0, True)
    assert video.posted_at == POSTED
    assert [crawl.views for crawl in video.crawls] == [1_000, 10_000, 20_000]
    assert (video.crawls[0].likes, video.crawls[0].comments) == (10, None)
    assert video.crawls[0].author_followers == 9


def test_a_video_crawled_once_alone_cannot_give_a_row(database: Database) -> None:
    add(database, "1", 10)
    assert found(database) == {}


def test_other_posts_of_a_creator_come_along_for_their_baseline(database: Database) -> None:
    add(database, "1", 10, 200)
    add(database, "2", 10)
    add(database, "3", 10, author_handle="bob")
    assert set(found(database)) == {"1", "2"}


@pytest.mark.parametrize(
    "changed", [{"is_ad": True}, {"author_handle": None}], ids=["advertisement", "no author"]
)
def test_what_teaches_nothing_is_left_out(database: Database, changed: dict[str, object]) -> None:
    add(database, "1", 10, 200, **changed)
    assert found(database) == {}


def test_an_unstated_duration_is_read_from_the_caption(database: Database) -> None:
    add(database, "1", 10, 200, duration_seconds=None, caption="calm for 15 sec")
    assert found(database)["1"].video.duration_seconds == 15


@pytest.mark.parametrize(
    ("kinds", "simulated", "real"),
    [
        ([], False, False),
        ([False], False, True),
        ([True], True, False),
        ([True, False], True, True),
    ],
    ids=["empty", "real", "simulated", "both"],
)
def test_simulated_and_real_videos_are_told_apart(
    database: Database, kinds: list[bool], simulated: bool, real: bool
) -> None:
    for number, kind in enumerate(kinds):
        add(database, str(number), 10, 200, is_simulated=kind)
    assert holds_simulated(database) == simulated
    assert holds_real(database) == real
    assert load_histories(database).is_simulated == simulated
