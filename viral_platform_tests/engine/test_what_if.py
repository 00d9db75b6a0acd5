from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.contracts import HORIZONS, CreatorFacts, VideoFacts
from viral_platform.engine.errors import InputError
from viral_platform.engine.features import feature_vector, horizon_of
from viral_platform.engine.tier_model import TierModel, attributions
from viral_platform.engine.what_if import Change, changed, parse_change, what_if

FACTS = VideoFacts(
    caption="one two three",
    hashtags=("a", "b", "c"),
    duration_seconds=20.0,
    posted_at=datetime(2026, 3, 1, 22, 30, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("hashtags=-2", Change("hashtags", -2, is_relative=True)),
        (" duration = 30 ", Change("duration", 30, is_relative=False)),
        ("hour=+1.5", Change("hour", 1.5, is_relative=True)),
        ("words=0", Change("words", 0, is_relative=False)),
    ],
)
def test_a_change_is_read(text: str, change: Change) -> None:
    assert parse_change(text) == change


@pytest.mark.parametrize("text", ["", "views=1", "hashtags", "hashtags=", "hour=1e9", "hour=x"])
def test_what_is_no_change_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(InputError, match="hashtags=-2"):
        parse_change(text)


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ("hashtags=-2", "hashtags", ("a",)),
        ("hashtags=+1", "hashtags", ("a", "b", "c", "another0")),
        ("hashtags=-9", "hashtags", ()),
        ("words=2", "caption", "one two"),
        ("words=+1", "caption", "one two three word"),
        ("duration=-30", "duration_seconds", 0),
        ("duration=12.5", "duration_seconds", 12.5),
        ("hour=18", "posted_at", datetime(2026, 3, 1, 18, tzinfo=UTC)),
        ("hour=+3", "posted_at", datetime(2026, 3, 2, 1, 30, tzinfo=UTC)),
    ],
)
def test_a_change_moves_one_fact(change: str, field: str, value: object) -> None:
    moved = changed(FACTS, parse_change(change))
    assert getattr(moved, field) == value
    assert replace(moved, **{field: getattr(FACTS, field)}) == FACTS


@pytest.mark.parametrize(
    ("facts", "change", "problem"),
    [
        (replace(FACTS, duration_seconds=None), "duration=+3", "length of the video is unknown"),
        (replace(FACTS, posted_at=None), "hour=3", "posting time is unknown"),
        (FACTS, "hour=24", "is no hour"),
    ],
)
def test_a_change_of_something_unknown_is_refused(
    facts: VideoFacts, change: str, problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        changed(facts, parse_change(change))


def test_the_answer_is_the_served_model_s_own_with_its_interval(model: TierModel) -> None:
    served = replace(model, version="tier-1", served=dict.fromkeys(HORIZONS, True))
    creator = CreatorFacts(followers=1000, n_posts=3)
    found = what_if(served, FACTS, creator, None, [parse_change("hashtags=-2")])
    horizon = horizon_of(None)
    assert found.before == served.predict(feature_vector(FACTS, creator, None), horizon)
    fewer = changed(FACTS, parse_change("hashtags=-2"))
    assert found.after == served.predict(feature_vector(fewer, creator, None), horizon)
    assert found.before.ml_score is not None
    assert found.after.ml_score is not None
    assert found.difference == pytest.approx(found.after.ml_score - found.before.ml_score)
    assert found.before.interval is not None
    inside = found.before.interval.low <= found.after.ml_score <= found.before.interval.high
    assert found.is_within_uncertainty is inside
    assert found.changes == "hashtags=-2"


def test_a_withheld_model_gives_no_difference(model: TierModel) -> None:
    found = what_if(replace(model, served={}), FACTS, CreatorFacts(), None, [])
    assert found.difference is None
    assert found.is_within_uncertainty is None


@given(st.integers(0, 20), st.floats(1, 120))
def test_attributions_name_every_feature_once_the_strongest_first(
    model: TierModel, tags: int, seconds: float
) -> None:
    facts = replace(FACTS, hashtags=tuple(map(str, range(tags))), duration_seconds=seconds)
    found = attributions(model, feature_vector(facts, CreatorFacts(), None))
    assert sorted(one.feature for one in found) == sorted(model.feature_names)
    sizes = [abs(one.points) for one in found]
    assert sizes == sorted(sizes, reverse=True)


def test_an_attribution_points_where_the_score_goes_when_the_fact_is_forgotten(
    model: TierModel,
) -> None:
    """To first order: the strongest feature's share has the sign of what losing it takes away."""
    served = replace(model, served=dict.fromkeys(HORIZONS, True))
    creator = CreatorFacts(followers=500, median_engagement=0.2, median_views=900.0, n_posts=9)
    vector = feature_vector(FACTS, creator, None)
    (strongest, *_) = attributions(served, vector)
    without = vector.copy()
    without[served.feature_names.index(strongest.feature)] = float("nan")
    scores = [served.predict(row, "pre_publication").ml_score or 0 for row in (vector, without)]
    assert strongest.points * (scores[0] - scores[1]) > 0
