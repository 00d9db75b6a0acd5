"""The marts over one scenario of designed videos, built by the dbt executable itself."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import insert, make_url, select

from viral_platform.storage import schema, tables
from viral_platform.storage.database import Database
from viral_platform_tests.dbt_runs import dbt

NEWEST_CRAWL = datetime(2026, 3, 10, 12, tzinfo=UTC)
MARTS = ("trending_sounds", "trending_hashtags", "creator_baselines", "outcome_pairs")
KEYS = dict(zip(MARTS, ("sound_key", "hashtag", "handle", "analysis_id"), strict=True))
CALIBRATED, SIMULATED, UNSCORED = (uuid.UUID(int=n) for n in (1, 2, 3))

Row = dict[str, Any]
Marts = dict[str, dict[Any, Row]]


def ago(hours: float) -> datetime:
    return NEWEST_CRAWL - timedelta(hours=hours)


def build(database: Database, target: Path, variables: Mapping[str, object] | None = None) -> None:
    result = dbt(database, target, "build", variables=variables)
    assert result.returncode == 0, result.stdout


def read(database: Database) -> Marts:
    with database.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        return {
            mart: {row[KEYS[mart]]: row for row in cursor.execute(f"select * from marts.{mart}")}
            for mart in MARTS
        }


def without_build_time(marts: Marts) -> Marts:
    return {
        mart: {
            key: {name: value for name, value in row.items() if name != "computed_at"}
            for key, row in found.items()
        }
        for mart, found in marts.items()
    }


@dataclass
class Scenario:
    """Videos and their crawls, numbered as they are added."""

    videos: list[Row] = field(default_factory=list)
    snapshots: list[Row] = field(default_factory=list)

    def video(
        self,
        *crawls: tuple[float, int | None],
        sound_id: str | None = None,
        sound_name: str | None = None,
        hashtags: Sequence[str] = (),
        author: str | None = None,
        posted: float = 100,
        is_simulated: bool = False,
        **counts: int | None,
    ) -> None:
        """Add a video that was posted so many hours ago; a crawl is (hours ago, views)."""
        number = str(len(self.videos) + 1)
        self.videos.append(
            {
                "platform": "tiktok",
                "platform_video_id": number,
                "author_handle": author,
                "caption": "",
                "posted_at": ago(posted),
                "hashtags": list(hashtags),
                "sound_id": sound_id,
                "sound_name": sound_name,
                "source": "clockworks",
                "is_simulated": is_simulated,
                "crawled_at": ago(min(hours for hours, _ in crawls)),
            }
        )
        measured = {"likes": 10, "comments": 0, "shares": 0, "author_followers": None, **counts}
        self.snapshots += [
            {"number": number, "crawled_at": ago(hours), "views": views, **measured}
            for hours, views in crawls
        ]

    def store(self, database: Database) -> None:
        videos = tables.scraped_videos
        with database.engine.begin() as connection:
            connection.execute(insert(videos), self.videos)
            ids = dict(connection.execute(select(videos.c.platform_video_id, videos.c.id)).all())
            connection.execute(
                insert(tables.video_snapshots),
                [{"video_id": ids[row["number"]], **row} for row in self.snapshots],
            )


def add_sounds(scenario: Scenario) -> None:
    video = scenario.video
    video((24, 1_000), (0, 1_480), sound_id="emerging", sound_name="Paper Boat", posted=30)
    video((12, 2_000), (0, 2_120), sound_id="emerging", sound_name="Paper Boat", posted=200)
    video((24, 500_000), (0, 600_000), sound_id="rising")
    video((24, 10_000), (0, 10_500), sound_id="peak")
    video((24, 10_000), (0, 10_050), sound_id="declining")
    video((24, 10_000), (0, 9_000), sound_id="falling")
    video((24, 1_000), (0, 1_000_001_000), sound_id="explosion")
    video((12, 7_000), sound_id="crawled once")
    video((60, 1_000), (0, 9_000), sound_id="once in the window")
    video((48, 1_000), (0, 1_100), sound_id="at both ends of the window")
    video((0.5, 1_000), (0, 9_000), sound_id="crawled within the hour")
    video((24, None), (0, None), sound_id="views unknown")
    video((24, 1_000), (12, 1_300), (0, None), sound_id="views unknown at last")
    video((24, 0), (0, 1_000), sound_id="from nothing")
    video((40, 1_000), (30, 1_200), (24, 1_650), (1, 1_700), (0, 1_900), sound_id="slowing")
    video((200, 1_000), (150, 9_000), sound_id="out of the window")
    video((360, 800_000), (0, 980_000), sound_id="two crawls far apart", posted=400)
    video((0, 10), sound_id="partly simulated")
    video((0, 10), sound_id="partly simulated", is_simulated=True)
    video((20, 10), sound_id="renamed", sound_name="Old Name")
    video((10, 10), sound_id="renamed", sound_name="New Name")
    video((5, 10), sound_id="renamed", sound_name=" ")
    video((0, 10), sound_id="", sound_name="Lantern  Song ")
    video((0, 10), sound_name="lantern song")
    video((0, 10), sound_id=" ", sound_name=" ")


GENERIC_NAMES = (
    "original sound",
    "Original Sound - some.author",
    "nhạc nền - Tên – HCM",
    "Nha\u0323c nê\u0300n",  # in decomposed form
    "sonido original",
    "som original - autor",
    "son original",
    "suara asli - x",
    "оригинальный звук - Имя",
    "origineel geluid",
    "original ton",
    "Originalton - x",
    "suono originale",
    "オリジナル楽曲 - 名前",
    "原聲 - x",
    "오리지널 사운드",
)
SPECIFIC_NAMES = ("The Original Sounds", "Original Sin", "son original remix", "Sunrise - original")


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    scenario = Scenario()
    add_sounds(scenario)
    for name in GENERIC_NAMES:
        scenario.video((0, 10), sound_id=f"id of {name}", sound_name=name)
        scenario.video((0, 10), sound_name=name)
    for name in SPECIFIC_NAMES:
        scenario.video((0, 10), sound_name=name)
    scenario.video((24, 1_000), (0, 1_240), hashtags=["fyp", "đàlạt", "fyp", ""], is_simulated=True)
    scenario.video((0, 500), hashtags=["đàlạt"])
    for hashtags, views in ((["cooking", "fyp"], 1_240), (["cooking", "tech"], 1_480), ([], 9_000)):
        scenario.video((24, 1_000), (0, views), sound_id="of niches", hashtags=hashtags)
    for _ in range(60):
        scenario.video((0, 10), hashtags=["everywhere"])
    # Crawled at 24, 170 and 400 hours of age, then at 30 hours only.
    steady = {"author": "steady", "comments": 5, "shares": 10}
    scenario.video((400, 100), (254, 1_000), (24, 2_000), posted=424, **steady)
    scenario.video((3, 400), posted=33, **{**steady, "author_followers": 800})
    scenario.video((2, 9_000), **{**steady, "likes": None})
    scenario.video((1, 0), **{**steady, "author_followers": None})
    # Views by the logarithm of age, crawled at differing ages.
    for author, ages in (("early", (24, 200)), ("late", (100, 700)), ("once", (180,))):
        crawls = [(800 - age, round(1_000_000 * math.log(age))) for age in ages]
        scenario.video(*crawls, author=author, posted=800, likes=90_000)
    scenario.video((100, 5_000), author="too late", posted=800)
    scenario.video((100, 5_000), author="too young", posted=150)
    scenario.video((500, 10), author="unmeasured", likes=None, is_simulated=True)
    return scenario


def add_outcomes(database: Database) -> None:
    analysis = {
        "created_at": ago(200),
        "input_mode": "text",
        "content_text": "",
        "confidence": 0.5,
        "horizon": "pre_publication",
        "engine_version": "1",
        "is_degraded": False,
        "latency_ms": 1.0,
        "cost_cents": 0,
        "request": {},
        "answer": {"score_weights": {"rules": 0.5, "ml": 0.5, "trends": 0.0}},
    }
    scores = [
        (CALIBRATED, 60.0, 55.0, "platt-1", False),
        (SIMULATED, 40.0, 40.0, None, True),
        (UNSCORED, None, None, None, False),
    ]
    outcome = {
        "views": 100,
        "likes": 1,
        "comments": 1,
        "shares": 1,
        "age_hours": 168.0,
        "engagement": 0.06,
        "actual_score": 70.0,
        "actual_tier": 4,
        "model_version": "m",
        "is_simulated": False,
        "measured_at": ago(0),
    }
    with database.engine.begin() as connection:
        for key, raw, served, version, is_simulated in scores:
            connection.execute(
                insert(tables.analysis_results).values(
                    id=key,
                    raw_score=raw,
                    overall_score=served,
                    calibration_version=version,
                    is_calibrated=version is not None,
                    is_simulated=is_simulated,
                    **analysis,
                )
            )
            connection.execute(insert(tables.outcomes).values(analysis_id=key, **outcome))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(scope="module")
def installation(server_url: str) -> Iterator[Database]:
    """A migrated, empty database of this module."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    database = Database(make_url(server_url).set(database=name))
    schema.migrate(database)
    yield database
    database.engine.dispose()
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="module")
def empty_marts(installation: Database, target: Path) -> Marts:
    build(installation, target)
    return read(installation)


@pytest.fixture(scope="module")
def marts(empty_marts: Marts, installation: Database, scenario: Scenario, target: Path) -> Marts:
    scenario.store(installation)
    add_outcomes(installation)
    build(installation, target)
    return read(installation)


@pytest.fixture(scope="module")
def wide_marts(marts: Marts, installation: Database, target: Path) -> Marts:
    """The same scenario over a window of thirty days."""
    build(installation, target, {"trend_window_hours": 720})
    return read(installation)


@pytest.fixture(scope="module")
def sounds(marts: Marts) -> dict[str, Row]:
    return marts["trending_sounds"]


@pytest.fixture(scope="module")
def hashtags(marts: Marts) -> dict[str, Row]:
    return marts["trending_hashtags"]


@pytest.fixture(scope="module")
def creators(marts: Marts) -> dict[str, Row]:
    return marts["creator_baselines"]


def test_marts_of_an_installation_without_rows_are_built_and_empty(empty_marts: Marts) -> None:
    assert empty_marts == {mart: {} for mart in MARTS}


@pytest.mark.parametrize(
    ("sound", "phase"),
    [
        ("emerging", "emerging"),
        ("rising", "rising"),
        ("peak", "peak"),
        ("declining", "declining"),
        ("falling", "declining"),
        ("explosion", "rising"),
        ("at both ends of the window", "peak"),
        ("crawled once", "insufficient_data"),
        ("once in the window", "insufficient_data"),
        ("crawled within the hour", "insufficient_data"),
        ("views unknown", "insufficient_data"),
        ("from nothing", "insufficient_data"),
        ("two crawls far apart", "insufficient_data"),
    ],
)
def test_the_phase_follows_the_growth_seen_in_the_window(
    sounds: dict[str, Row], sound: str, phase: str
) -> None:
    assert sounds[sound]["trend_phase"] == phase


def test_rates_are_summed_over_videos_each_over_its_own_span(sounds: dict[str, Row]) -> None:
    row = sounds["emerging"]
    assert (row["video_count"], row["videos_with_velocity"], row["snapshots"]) == (2, 2, 4)
    assert (row["total_views"], row["views_gained"], row["hours_observed"]) == (3_600, 600, 24)
    assert row["views_per_hour"] == 20 + 10
    assert row["growth_per_day"] == pytest.approx(24 * 30 / 3_000)
    assert row["velocity_score"] == pytest.approx(20 * math.log10(31))


@pytest.mark.parametrize(
    ("sound", "views"),
    [
        ("crawled once", 7_000),
        ("once in the window", 9_000),
        ("crawled within the hour", 9_000),
        ("views unknown", None),
    ],
)
def test_without_two_crawls_there_is_a_volume_and_no_velocity(
    sounds: dict[str, Row], sound: str, views: int | None
) -> None:
    row = sounds[sound]
    assert (row["video_count"], row["videos_with_velocity"], row["total_views"]) == (1, 0, views)
    rates = ("views_gained", "hours_observed", "views_per_hour", "growth_per_day")
    assert [row[name] for name in (*rates, "velocity_score")] == [None] * 5


def test_growth_from_no_views_is_unknown_and_its_velocity_known(sounds: dict[str, Row]) -> None:
    row = sounds["from nothing"]
    assert row["growth_per_day"] is None
    assert row["views_per_hour"] == pytest.approx(1_000 / 24)


def test_a_crawl_without_a_view_count_leaves_the_rate_of_the_others(
    sounds: dict[str, Row],
) -> None:
    row = sounds["views unknown at last"]
    assert (row["snapshots"], row["total_views"], row["views_per_hour"]) == (3, 1_300, 25)


def test_views_taken_back_count_as_negative_growth_and_score_zero(
    sounds: dict[str, Row],
) -> None:
    row = sounds["falling"]
    assert row["views_gained"] == -1_000
    assert row["growth_per_day"] == pytest.approx(-0.1)
    assert row["velocity_score"] == 0


def test_the_velocity_score_ends_at_100_and_the_growth_does_not(sounds: dict[str, Row]) -> None:
    assert sounds["explosion"]["velocity_score"] == 100
    assert sounds["explosion"]["growth_per_day"] == pytest.approx(1_000_000)


def test_acceleration_compares_the_halves_of_the_window(sounds: dict[str, Row]) -> None:
    assert sounds["slowing"]["acceleration"] == pytest.approx(250 / 24 - 650 / 16)
    assert sounds["emerging"]["acceleration"] is None


def test_a_sound_that_left_the_window_leaves_the_mart(sounds: dict[str, Row]) -> None:
    assert "out of the window" not in sounds


def test_each_row_names_the_window_that_ends_at_the_newest_crawl(marts: Marts) -> None:
    rows = [*marts["trending_sounds"].values(), *marts["trending_hashtags"].values()]
    assert {(row["window_start"], row["window_end"]) for row in rows} == {(ago(48), ago(0))}


def test_new_videos_are_those_posted_within_the_window(sounds: dict[str, Row]) -> None:
    row = sounds["emerging"]
    assert row["new_videos"] == 1
    assert (row["first_posted_at"], row["last_posted_at"]) == (ago(200), ago(30))


def test_a_sound_carries_the_name_of_the_newest_crawl_that_has_one(
    sounds: dict[str, Row],
) -> None:
    assert sounds["renamed"]["sound_name"] == "New Name"
    assert sounds["peak"]["sound_name"] is None


def test_a_sound_without_an_id_is_keyed_by_its_normalised_name(sounds: dict[str, Row]) -> None:
    row = sounds["name:lantern song"]
    assert (row["sound_id"], row["video_count"]) == (None, 2)


def test_a_video_without_sound_id_and_name_makes_no_sound(sounds: dict[str, Row]) -> None:
    assert not {"", " ", "name:"} & set(sounds)


@pytest.mark.parametrize("name", GENERIC_NAMES)
def test_a_generic_name_is_flagged_by_id_and_no_sound_by_name(
    sounds: dict[str, Row], name: str
) -> None:
    assert sounds[f"id of {name}"]["is_generic_name"] is True
    assert [row for row in sounds.values() if row["sound_name"] == name] == [
        sounds[f"id of {name}"]
    ]


@pytest.mark.parametrize("name", SPECIFIC_NAMES)
def test_a_name_that_only_resembles_a_generic_one_is_a_sound(
    sounds: dict[str, Row], name: str
) -> None:
    assert sounds[f"name:{name.lower()}"]["is_generic_name"] is False


def test_a_sound_counts_in_each_niche_by_the_videos_with_its_hashtag(
    marts: Marts, installation: Database
) -> None:
    with installation.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute("select * from marts.trending_niche_sounds")
        found = {(row["niche"], row["sound_key"]): row for row in cursor}
    assert set(found) == {("cooking", "of niches"), ("tech", "of niches")}
    cooking, tech = (found[niche, "of niches"] for niche in ("cooking", "tech"))
    assert (cooking["video_count"], cooking["views_per_hour"]) == (2, 10 + 20)
    assert (tech["video_count"], tech["views_per_hour"]) == (1, 20)
    assert marts["trending_sounds"]["of niches"]["video_count"] == 3
    assert cooking["window_end"] == ago(0)


def test_a_sound_with_one_simulated_video_is_labelled_simulated(sounds: dict[str, Row]) -> None:
    assert sounds["partly simulated"]["is_simulated"] is True
    assert sounds["peak"]["is_simulated"] is False


def test_crawls_weeks_apart_give_a_velocity_once_the_window_holds_both(
    sounds: dict[str, Row], wide_marts: Marts
) -> None:
    assert sounds["two crawls far apart"]["videos_with_velocity"] == 0
    row = wide_marts["trending_sounds"]["two crawls far apart"]
    assert (row["videos_with_velocity"], row["hours_observed"]) == (1, 360)
    assert row["views_per_hour"] == 500
    assert row["growth_per_day"] == pytest.approx(0.015)
    assert row["trend_phase"] == "peak"
    assert (row["window_start"], row["window_end"]) == (ago(720), ago(0))


def test_a_hashtag_counts_once_a_video_and_its_share_is_of_all_videos(
    hashtags: dict[str, Row], scenario: Scenario
) -> None:
    in_window = {row["number"] for row in scenario.snapshots if row["crawled_at"] >= ago(48)}
    assert (hashtags["fyp"]["video_count"], hashtags["đàlạt"]["video_count"]) == (2, 2)
    assert hashtags["đàlạt"]["share"] == pytest.approx(2 / len(in_window))
    assert hashtags["đàlạt"]["total_views"] == 1_740
    assert "" not in hashtags


def test_a_hashtag_has_velocity_and_phase_like_a_sound(hashtags: dict[str, Row]) -> None:
    row = hashtags["đàlạt"]
    assert (row["videos_with_velocity"], row["views_per_hour"]) == (1, 10)
    assert row["growth_per_day"] == pytest.approx(0.24)
    assert (row["trend_phase"], row["is_simulated"]) == ("emerging", True)
    assert hashtags["everywhere"]["trend_phase"] == "insufficient_data"


def test_a_hashtag_is_saturated_by_the_block_list_or_by_its_share(
    hashtags: dict[str, Row],
) -> None:
    assert hashtags["everywhere"]["share"] > 0.4
    saturated = {name for name, row in hashtags.items() if row["is_saturated"]}
    assert saturated == {"fyp", "everywhere"}


def test_a_baseline_takes_the_first_mature_crawl_else_the_newest(
    creators: dict[str, Row],
) -> None:
    row = creators["steady"]
    assert (row["n_posts"], row["n_mature"]) == (2, 1)
    assert row["median_views"] == (1_000 + 400) / 2
    weighted = 10 + 2 * 5 + 3 * 10
    assert row["median_engagement"] == pytest.approx((weighted / 1_000 + weighted / 400) / 2)


def test_creators_with_the_same_growth_have_one_baseline_whenever_they_were_crawled(
    creators: dict[str, Row],
) -> None:
    early, late, once = (creators[name] for name in ("early", "late", "once"))
    assert early["median_views"] != pytest.approx(late["median_views"], rel=0.1)
    assert early["median_views_at_maturity"] == pytest.approx(1_000_000 * math.log(168))
    assert late["median_views_at_maturity"] == pytest.approx(early["median_views_at_maturity"])
    assert late["median_engagement_at_maturity"] == pytest.approx(
        early["median_engagement_at_maturity"]
    )
    assert once["median_views_at_maturity"] == pytest.approx(
        early["median_views_at_maturity"], rel=0.02
    )


@pytest.mark.parametrize("handle", ["too late", "too young", "unmeasured"])
def test_what_a_post_had_at_maturity_is_not_guessed(creators: dict[str, Row], handle: str) -> None:
    row = creators[handle]
    assert (row["n_at_maturity"], row["median_views_at_maturity"]) == (0, None)


def test_a_baseline_carries_the_newest_known_followers(creators: dict[str, Row]) -> None:
    row = creators["steady"]
    assert (row["followers"], row["last_crawled_at"]) == (800, ago(1))


def test_a_creator_without_a_usable_crawl_has_no_median(creators: dict[str, Row]) -> None:
    row = creators["unmeasured"]
    assert (row["n_posts"], row["n_mature"]) == (0, 0)
    assert (row["median_engagement"], row["median_views"]) == (None, None)
    assert row["is_simulated"] is True


def test_outcome_pairs_hold_each_scored_analysis_with_its_outcome(marts: Marts) -> None:
    pairs = marts["outcome_pairs"]
    assert set(pairs) == {CALIBRATED, SIMULATED}
    assert pairs[CALIBRATED] == {
        "analysis_id": CALIBRATED,
        "input_mode": "text",
        "horizon": "pre_publication",
        "model_version": None,
        "signals": "ml+rules",
        "raw_score": 60.0,
        "overall_score": 55.0,
        "calibration_version": "platt-1",
        "actual_score": 70.0,
        "age_hours": 168.0,
        "is_simulated": False,
        "created_at": ago(200),
    }
    assert pairs[SIMULATED]["is_simulated"] is True


def test_each_column_of_views_and_marts_is_described_in_the_database(
    marts: Marts, installation: Database
) -> None:
    with installation.connect() as connection:
        columns = connection.execute(
            "select attrelid::regclass || '.' || attname, col_description(attrelid, attnum)"
            " from pg_attribute join pg_class on pg_class.oid = attrelid"
            " where relnamespace in ('marts'::regnamespace, 'staging'::regnamespace)"
            " and relkind in ('r', 'v') and attnum > 0"
        ).fetchall()
    assert len(columns) > 80
    assert [name for name, description in columns if not description] == []


def test_building_again_gives_the_same_rows(
    marts: Marts, wide_marts: Marts, installation: Database, target: Path
) -> None:
    build(installation, target)
    assert without_build_time(read(installation)) == without_build_time(marts)


def test_made_up_phases_and_negative_counts_fail_their_checks(
    marts: Marts, wide_marts: Marts, installation: Database, target: Path
) -> None:
    with installation.engine.begin() as connection:
        connection.exec_driver_sql(
            "update marts.trending_sounds set trend_phase = 'peak', velocity_score = 101"
            " where sound_key = 'crawled once'"
        )
        connection.exec_driver_sql(
            "update marts.trending_hashtags set trend_phase = 'viral' where hashtag = 'everywhere'"
        )
        connection.exec_driver_sql("update app.video_snapshots set likes = -1 where views = 7000")
        connection.exec_driver_sql(
            "update app.scraped_videos set views = -1 where sound_id = 'peak'"
        )
    result = dbt(installation, target, "test")
    assert result.returncode == 1
    report = json.loads((target / "run_results.json").read_text())
    failed = {
        run["unique_id"].split(".")[2] for run in report["results"] if run["status"] == "fail"
    }
    assert failed == {
        "phase_needs_two_snapshots",
        "hashtag_phase_needs_two_snapshots",
        "hashtag_phase_is_known",
        "velocity_score_between_0_and_100",
        "snapshot_counts_not_negative",
        "video_counts_not_negative",
    }
