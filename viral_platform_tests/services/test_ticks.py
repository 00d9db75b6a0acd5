from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.errors import InputError
from viral_platform.services.ticks import latest_tick, parse_tick

EVERY = st.sampled_from([timedelta(hours=hours) for hours in (1, 6, 12, 24)])
AFTER = st.integers(0, 23 * 60).map(lambda minutes: timedelta(minutes=minutes))


@given(st.datetimes(timezones=st.just(UTC)), EVERY, AFTER)
def test_the_last_tick_is_less_than_one_turn_ago_and_at_its_time_of_day(
    now: datetime, every: timedelta, after: timedelta
) -> None:
    if now - datetime.min.replace(tzinfo=UTC) < timedelta(days=2):
        return
    tick = latest_tick(now, every, after)
    assert timedelta() <= now - tick < every
    midnight = tick.replace(hour=0, minute=0, second=0, microsecond=0)
    assert (tick - midnight - after) % every == timedelta()


@pytest.mark.parametrize("text", ["yesterday", "2026-11-20T12:00:00"])
def test_a_tick_without_a_zone_or_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="ISO time with a zone"):
        parse_tick(text)


def test_a_tick_is_told_in_utc() -> None:
    assert parse_tick("2026-05-01T08:00:00+02:00") == datetime(2026, 5, 1, 6, tzinfo=UTC)
