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
