from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import insert, make_url

from viral_platform.engine.contracts import CreatorFacts, TrendingHashtag, TrendingSound, TrendTable
from viral_platform.engine.errors import NotFoundError
from viral_platform.settings import PROJECT_ROOT
from viral_platform.storage import marts, schema, tables
from viral_platform.storage.database import Database

NEWEST_CRAWL = datetime(2026, 3, 10, 12, tzinfo=UTC)
YESTERDAY = NEWEST_CRAWL - timedelta(hours=24)


def build_marts(database: Database, target: Path) -> None:
    project = str(PROJECT_ROOT / "dbt_project")
    subprocess.run(
        [
            *(str(Path(sys.executable).with_name("dbt")), "--quiet", "run"),
            *("--project-dir", project, "--profiles-dir", project),
            *("--target-path", str(target), "--log-path", str(target)),
        ],
        env={**os.environ, **database.process_environment()},
        timeout=120,
        check=True,
    )


def add_video(
    database: Database,
    number: int,
    views: tuple[int | None, int | None],
    *,
    sound_id: str | None = None,
    sound_name: str | None = None,
    hashtags: tuple[str, ...] = (),
    author: str | None = None,
) -> None:
    """Add a video with its views a day before the newest crawl (None: not crawled) and at it."""
    with database.engine.begin() as connection:
        video_id = connection.execute(
            insert(tables.scraped_videos)
            .values(
                platform="tiktok",
                platform_video_id=str(number),
                author_handle=author,
                caption="",
                posted_at=NEWEST_CRAWL - timedelta(hours=180),
                hashtags=list(hashtags),
                sound_id=sound_id,
                sound_name=sound_name,
                source="clockworks",
                is_simulated=False,
                crawled_at=NEWEST_CRAWL,
            )
            .returning(tables.scraped_videos.c.id)
        ).scalar_one()
        counts = {"likes": 10, "comments": 5, "shares": 10, "author_followers": 900}
        connection.execute(
            insert(tables.video_snapshots),
            [
                {"video_id": video_id, "crawled_at": at, "views": seen, **counts}
                for at, seen in ((YESTERDAY, views[0]), (NEWEST_CRAWL, views[1]))
                if seen is not None or at == NEWEST_CRAWL
            ],
        )


def add_profile(database: Database, handle: str, followers: int | None) -> None:
    with database.engine.begin() as connection:
        connection.execute(
            insert(tables.creator_profiles).values(
                platform="tiktok",
                handle=handle,
                followers=followers,
                is_simulated=False,
                crawled_at=NEWEST_CRAWL,
            )
        )


@pytest.fixture(scope="module")
def filled(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with marts built from a few videos."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    database = Database(make_url(server_url).set(database=name))
    schema.migrate(database)
    add_video(database, 1, (0, 90_000_000), sound_id="generic", sound_name="original sound - x")
    add_video(database, 2, (0, 80_000_000), sound_id="nameless")
    add_video(database, 3, (100, 2_500), sound_id="slow twin", sound_name="Paper Boat")
    fast = (100, 240_100)
    add_video(
        database, 4, fast, sound_id="fast twin", sound_name="paper boat", hashtags=("cooking",)
    )
    add_video(database, 5, (1_000, 1_240), sound_name="Lantern")
    add_video(database, 6, (None, 10**12), sound_id="still", sound_name="Crawled Once")
    add_video(database, 7, (100, 200), hashtags=("calm", "fyp"), author="known")
    add_video(database, 8, (100, 400), hashtags=("busy",), author="known")
    add_video(database, 9, (None, None), hashtags=("unmeasured",))
    add_video(database, 10, (None, 100), author="unprofiled")
    add_profile(database, "known", 1_000)
    add_profile(database, "silent", 7)
    build_marts(database, tmp_path_factory.mktemp("dbt"))
    yield database
    database.engine.dispose()
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="module")
def table(filled: Database) -> TrendTable:
    return marts.load_trend_table(filled)


def test_the_engine_gets_sounds_with_a_telling_name_the_fastest_first(table: TrendTable) -> None:
    assert [sound.sound_name for sound in table.sounds] == ["paper boat", "Lantern", "Crawled Once"]


def test_of_sounds_with_one_name_the_engine_gets_the_fastest(table: TrendTable) -> None:
    fastest = table.sounds[0]
    assert fastest == TrendingSound("fast twin", "paper boat", fastest.velocity_score, "emerging")
    assert fastest.velocity_score == pytest.approx(80.0, abs=0.01)


def test_a_sound_without_an_id_goes_by_its_key(table: TrendTable) -> None:
    assert table.sounds[1].sound_id == "name:lantern"


def test_a_sound_without_velocity_keeps_its_place_at_the_end(table: TrendTable) -> None:
    assert table.sounds[2] == TrendingSound("still", "Crawled Once", None, "insufficient_data")


def test_the_engine_gets_hashtags_whose_views_are_known(table: TrendTable) -> None:
    assert table.hashtags == {
        "calm": TrendingHashtag("calm", video_count=1, total_views=200, share=0.1),
        "fyp": TrendingHashtag("fyp", video_count=1, total_views=200, share=0.1),
        "busy": TrendingHashtag("busy", video_count=1, total_views=400, share=0.1),
        "cooking": TrendingHashtag("cooking", video_count=1, total_views=240_100, share=0.1),
    }


def test_the_trend_table_names_its_window(table: TrendTable) -> None:
    start = NEWEST_CRAWL - timedelta(hours=48)
    assert (table.window_start, table.window_end) == (start, NEWEST_CRAWL)


def test_the_engine_gets_a_bounded_number_of_sounds_and_hashtags(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marts, "MAX_SOUNDS", 1)
    monkeypatch.setattr(marts, "MAX_HASHTAGS", 2)
    table = marts.load_trend_table(filled)
    assert [sound.sound_name for sound in table.sounds] == ["paper boat"]
    assert set(table.hashtags) == {"cooking", "busy"}


def test_sounds_are_listed_fastest_first_and_generic_names_last(
    filled: Database,
) -> None:
    listed = [row["sound_key"] for row in marts.trending_sounds(filled, 10)]
    assert listed == ["nameless", "fast twin", "slow twin", "name:lantern", "still", "generic"]
    assert len(marts.trending_sounds(filled, 2)) == 2


def test_the_sounds_of_a_niche_are_listed_alone(filled: Database) -> None:
    found = marts.trending_sounds(filled, 10, "cooking")
    assert [(row["sound_key"], row["video_count"]) for row in found] == [("fast twin", 1)]
    assert marts.trending_sounds(filled, 10, "never scraped") == []


def test_hashtags_are_listed_fastest_first_and_saturated_ones_last(filled: Database) -> None:
    listed = [row["hashtag"] for row in marts.trending_hashtags(filled, 10)]
    assert listed == ["cooking", "busy", "calm", "unmeasured", "fyp"]
    assert len(marts.trending_hashtags(filled, 1)) == 1


@pytest.mark.parametrize(
    ("handle", "facts"),
    [
        ("known", CreatorFacts(1_000, (0.25 + 0.125) / 2, 300.0, 2)),
        ("silent", CreatorFacts(followers=7)),
        ("unprofiled", CreatorFacts(900, 0.5, 100.0, 1)),
        ("never.seen", None),
    ],
)
def test_a_creator_is_known_by_profile_by_baseline_or_by_both(
    filled: Database, handle: str, facts: CreatorFacts | None
) -> None:
    assert marts.creator_facts(filled, handle) == facts


def test_a_creator_is_looked_up_within_a_millisecond(filled: Database) -> None:
    marts.creator_facts(filled, "known")
    seconds = []
    for _ in range(50):
        started = time.perf_counter()
        marts.creator_facts(filled, "known")
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.001


@pytest.mark.parametrize(
    "read",
    [
        marts.load_trend_table,
        lambda database: marts.trending_sounds(database, 10),
        lambda database: marts.trending_sounds(database, 10, "cooking"),
        lambda database: marts.trending_hashtags(database, 10),
        lambda database: marts.creator_facts(database, "known"),
    ],
    ids=["trend table", "sounds", "sounds of a niche", "hashtags", "creator"],
)
def test_marts_that_were_never_built_are_an_error_and_not_an_empty_answer(
    database: Database, read: Callable[[Database], object]
) -> None:
    with pytest.raises(NotFoundError, match="viral run calculate_trends"):
        read(database)
