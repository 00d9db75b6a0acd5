from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from viral_platform.storage.database import Database

_COST = """
insert into app.cost_events (
    occurred_at, provider, model, operation, tokens, cost_microdollars, price_version
) values (%s, %s, %s, 'analysis', '{}', %s, 'test')
"""
_SOUNDS = """
create schema marts;
create table marts.trending_sounds (
    sound_key text, sound_id text, sound_name text, sound_author text, is_original boolean,
    is_generic_name boolean, video_count int, videos_with_velocity int, snapshots int,
    total_views bigint, views_gained bigint, hours_observed float, views_per_hour float,
    growth_per_day float, acceleration float, velocity_score float, trend_phase text,
    first_posted_at timestamptz, last_posted_at timestamptz, new_videos int,
    window_start timestamptz, window_end timestamptz, is_simulated boolean,
    computed_at timestamptz, note_to_ourselves text
);
"""
_SOUND = """
insert into marts.trending_sounds (
    sound_key, sound_name, is_generic_name, video_count, videos_with_velocity, snapshots,
    views_per_hour, trend_phase, new_videos, is_simulated, window_start, window_end,
    note_to_ourselves
) values (%s, %s, false, 1, 1, 2, %s, 'rising', 1, true, now() - interval '2 days', now(), 'x')
"""


def test_costs_are_summed_by_day_and_model(own_api: Any, database: Database) -> None:
    now = datetime.now(UTC)
    with database.connect() as connection:
        for days, provider, model, cost in [
            (0, "gemini", "flash", 40),
            (0, "gemini", "flash", 27),
            (0, "another", "flash", 1),
            (0, "apify", "actor", 20_000),
            (1, "deepseek", "deepseek-flash", 12_345),
            (400, "gemini", "flash", 9),
        ]:
            connection.execute(_COST, [now - timedelta(days=days), provider, model, cost])
    client = own_api.client("admin")
    today, yesterday = (str((now - timedelta(days=days)).date()) for days in (0, 1))
    rows = [
        {"date": today, "model": "actor", "total_cost_cents": 2.0},
        {"date": today, "model": "flash", "total_cost_cents": 0.0068},
        {"date": yesterday, "model": "deepseek-flash", "total_cost_cents": 1.2345},
    ]
    assert client.get("/v1/admin/costs").json() == rows
    assert client.get("/v1/admin/costs?days=1").json() == rows[:2]
    assert client.get("/v1/admin/costs?days=365").json() == rows


@pytest.mark.parametrize(
    "days", ["0", "366", "30x", "%2B5", "1.0", "-1", "", "%205", "1_0", "٣", "99999999999"]
)
def test_days_that_are_no_whole_number_within_a_year_are_refused(api: Any, days: str) -> None:
    response = api.client("admin").get(f"/v1/admin/costs?days={days}")
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert [error["path"] for error in response.json()["errors"]] == ["days"]


def test_sounds_come_by_their_speed_with_their_window(own_api: Any, database: Database) -> None:
    client = own_api.client("read")
    response = client.get("/v1/trends/sounds")
    assert (response.status_code, response.json()["code"]) == (404, "trends_not_computed")

    with database.connect() as connection:
        connection.execute(_SOUNDS)
    empty = {"window_start": None, "window_end": None, "data": []}
    assert client.get("/v1/trends/sounds").json() == empty

    with database.connect() as connection:
        for key, name, speed in [("1", "Slow", 5.0), ("2", "Fast", 50.0), ("3", "Still", None)]:
            connection.execute(_SOUND, [key, name, speed])
    page = client.get("/v1/trends/sounds").json()
    assert [sound["sound_name"] for sound in page["data"]] == ["Fast", "Slow", "Still"]
    assert page["window_start"] < page["window_end"]
    assert page["data"][0]["is_simulated"]
    assert "note_to_ourselves" not in page["data"][0]
    assert len(client.get("/v1/trends/sounds?limit=2").json()["data"]) == 2


def test_the_sounds_of_a_niche_come_alone(own_api: Any, database: Database) -> None:
    client = own_api.client("read")
    with database.connect() as connection:
        connection.execute(_SOUNDS)
        connection.execute(_SOUND, ["1", "Everywhere", 5.0])
        connection.execute(
            "create table marts.trending_niche_sounds as"
            " select 'cooking' as niche, * from marts.trending_sounds"
        )
        connection.execute("update marts.trending_niche_sounds set sound_name = 'In kitchens'")
    for niche in ("cooking", "%23Cooking"):
        page = client.get(f"/v1/trends/sounds?niche={niche}").json()
        assert [sound["sound_name"] for sound in page["data"]] == ["In kitchens"]
    assert client.get("/v1/trends/sounds?niche=chess").json()["data"] == []
    assert client.get("/v1/trends/sounds?niche=%00").status_code == 422


_HASHTAGS = """
create schema marts;
create table marts.trending_hashtags (
    hashtag text, video_count int, videos_with_velocity int, snapshots int, share float,
    is_saturated boolean, total_views bigint, views_gained bigint, hours_observed float,
    views_per_hour float, growth_per_day float, acceleration float, trend_phase text,
    window_start timestamptz, window_end timestamptz, is_simulated boolean,
    computed_at timestamptz
);
"""
_HASHTAG = """
insert into marts.trending_hashtags (
    hashtag, video_count, videos_with_velocity, snapshots, share, is_saturated, views_per_hour,
    trend_phase, is_simulated, window_start, window_end
) values (%s, 1, 1, 2, 0.1, %s, %s, 'rising', true, now() - interval '2 days', now())
"""
_BASELINES = """
create schema marts;
create table marts.creator_baselines (
    handle text, n_posts bigint, n_mature bigint, median_engagement float, median_views float,
    n_at_maturity bigint, median_views_at_maturity float, median_engagement_at_maturity float,
    followers bigint, last_crawled_at timestamptz, is_simulated boolean, computed_at timestamptz
);
insert into marts.creator_baselines values
    ('some.cook', 5, 3, 0.12, 4000.5, 2, 3500, 0.125, 900, '2026-03-10 12:00+00', false, now());
"""
_PROFILE = """
insert into app.creator_profiles (platform, handle, followers, is_simulated, crawled_at)
values ('tiktok', %s, %s, %s, '2026-03-11 12:00+00')
"""


def test_hashtags_come_by_their_speed_and_saturated_ones_last(
    own_api: Any, database: Database
) -> None:
    client = own_api.client("read")
    response = client.get("/v1/trends/hashtags")
    assert (response.status_code, response.json()["code"]) == (404, "trends_not_computed")

    with database.connect() as connection:
        connection.execute(_HASHTAGS)
        for row in [("slow", False, 5.0), ("fyp", True, 500.0), ("đàlạt", False, 50.0)]:
            connection.execute(_HASHTAG, row)
    page = client.get("/v1/trends/hashtags?limit=3").json()
    assert [row["hashtag"] for row in page["data"]] == ["đàlạt", "slow", "fyp"]
    assert page["window_start"] < page["window_end"]
    assert page["data"][2]["is_saturated"]


def test_a_creator_has_a_baseline_and_the_newest_followers(
    own_api: Any, database: Database
) -> None:
    client = own_api.client("read")
    response = client.get("/v1/creators/some.cook")
    assert (response.status_code, response.json()["code"]) == (404, "trends_not_computed")

    with database.connect() as connection:
        connection.execute(_BASELINES)
        connection.execute(_PROFILE, ["some.cook", 1_000, False])
        connection.execute(_PROFILE, ["only.profile", None, True])
    assert client.get("/v1/creators/@Some.Cook").json() == {
        "handle": "some.cook",
        "followers": 1_000,
        "n_posts": 5,
        "n_mature": 3,
        "median_engagement": 0.12,
        "median_views": 4000.5,
        "n_at_maturity": 2,
        "median_views_at_maturity": 3500.0,
        "median_engagement_at_maturity": 0.125,
        "last_crawled_at": "2026-03-11T12:00:00Z",
        "is_simulated": False,
    }
    alone = client.get("/v1/creators/only.profile").json()
    assert (alone["n_posts"], alone["median_views"], alone["is_simulated"]) == (0, None, True)
    response = client.get("/v1/creators/never.seen")
    assert (response.status_code, response.json()["code"]) == (404, "creator_not_found")


@pytest.mark.parametrize("handle", ["%00", "a%0Ab", "x" * 101])
def test_a_handle_that_can_be_none_is_refused(api: Any, handle: str) -> None:
    response = api.client("read").get(f"/v1/creators/{handle}")
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
