from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.contracts import (
    CreatorFacts,
    Horizon,
    MeasuredSnapshot,
    PredictionRequest,
    VideoFacts,
)
from viral_platform.engine.features import (
    FEATURE_NAMES,
    MEASURED_FEATURES,
    engagement_of,
    feature_vector,
    horizon_of,
    named,
)
from viral_platform.engine.normalize import normalize
from viral_platform.engine.pipeline import video_facts

POSTED = datetime(2026, 3, 2, 18, 30, tzinfo=UTC)
VIDEO = VideoFacts(
    caption="Is this calm?\nYes #fyp #hue",
    hashtags=("fyp", "hue"),
    duration_seconds=15.0,
    posted_at=POSTED,
    sound_is_original=True,
)
CREATOR = CreatorFacts(followers=999, median_engagement=0.1, median_views=1000.0, n_posts=4)
SNAPSHOT = MeasuredSnapshot(age_hours=99.0, views=1000, likes=100, comments=10, shares=10, saves=1)
COUNT = st.none() | st.integers(0, 2**63 - 1)
SNAPSHOTS = st.builds(
    MeasuredSnapshot,
    age_hours=st.floats(0, 1e9),
    views=st.integers(1, 2**63 - 1),
    likes=COUNT,
    comments=COUNT,
    shares=COUNT,
    saves=COUNT,
)
CREATORS = st.builds(
    CreatorFacts,
    followers=COUNT,
    median_engagement=st.none() | st.floats(0, 100),
    median_views=st.none() | st.floats(0, 1e18),
    n_posts=st.integers(0, 1000),
)
# Unix seconds of the years 2000 to 2199.
INSTANTS = st.integers(946_684_800, 7_258_118_399).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)
REQUESTS = st.builds(
    PredictionRequest,
    content_text=st.text(min_size=1, max_size=40),
    duration_seconds=st.none() | st.floats(0, 1e9),
    posted_at=st.none() | INSTANTS,
    sound_is_original=st.none() | st.booleans(),
    snapshot=st.none() | SNAPSHOTS,
)


def values(
    video: VideoFacts = VIDEO,
    creator: CreatorFacts = CREATOR,
    snapshot: MeasuredSnapshot | None = SNAPSHOT,
) -> dict[str, float | None]:
    return named(feature_vector(video, creator, snapshot))


def test_every_feature_has_its_value_under_its_name() -> None:
    assert values() == pytest.approx(
        {
            "caption_characters": 27,
            "caption_words": 6,
            "has_question": 1,
            "hashtag_count": 2,
            "generic_hashtag_count": 1,
            "duration_seconds": 15,
            "posted_hour_sin": math.sin(18.5 / 24 * 2 * math.pi),
            "posted_hour_cos": math.cos(18.5 / 24 * 2 * math.pi),
            "posted_weekday": 0,
            "sound_is_original": 1,
            "log_followers": 3,
            "creator_log_median_engagement": -1,
            "creator_log_median_views": 3,
            "creator_posts": 4,
            "log_age_hours": 2,
            "log_views": 3,
            "log_views_per_hour": math.log10(1000 / 99),
            "log_views_per_follower": 0,
            "log_like_share": -1,
            "log_comment_share": -2,
            "log_share_share": -2,
            "log_save_share": -3,
            "log_engagement": math.log10(0.15),
        },
        abs=1e-3,
    )


def test_what_is_unknown_before_publication_is_absent_and_not_zero() -> None:
    found = values(VideoFacts(caption="", hashtags=()), CreatorFacts(), None)
    assert {name for name, value in found.items() if value is None} == {
        "duration_seconds",
        "posted_hour_sin",
        "posted_hour_cos",
        "posted_weekday",
        "sound_is_original",
        "log_followers",
        "creator_log_median_engagement",
        "creator_log_median_views",
        *MEASURED_FEATURES,
    }


@pytest.mark.parametrize(
    ("count", "features"),
    [
        ("likes", {"log_like_share", "log_engagement"}),
        ("comments", {"log_comment_share", "log_engagement"}),
        ("shares", {"log_share_share", "log_engagement"}),
        ("saves", {"log_save_share"}),
    ],
)
def test_an_unknown_count_leaves_its_own_features_unknown(count: str, features: set[str]) -> None:
    found = values(snapshot=SNAPSHOT.model_copy(update={count: None}))
    assert {name for name, value in found.items() if value is None} == features


def test_a_count_of_zero_is_known() -> None:
    found = values(snapshot=SNAPSHOT.model_copy(update={"likes": 0}))
    assert found["log_like_share"] == pytest.approx(-6)


def test_views_per_follower_need_followers() -> None:
    assert values(creator=CreatorFacts())["log_views_per_follower"] is None


def test_an_age_below_an_hour_does_not_inflate_the_views_per_hour() -> None:
    found = values(snapshot=SNAPSHOT.model_copy(update={"age_hours": 0.0}))
    assert found["log_views_per_hour"] == pytest.approx(3)


def test_posting_hour_and_weekday_are_those_of_utc() -> None:
    east = POSTED.astimezone(timezone(timedelta(hours=7)))
    assert east.weekday() != POSTED.weekday()
    there = VideoFacts(VIDEO.caption, VIDEO.hashtags, 15.0, east, sound_is_original=True)
    assert values(there) == values()


@pytest.mark.parametrize(
    ("age_hours", "horizon"),
    [
        (None, "pre_publication"),
        (0.0, "early"),
        (71.99, "early"),
        (72.0, "settled"),
        (900.0, "settled"),
    ],
)
def test_the_horizon_follows_from_the_age_of_the_snapshot(
    age_hours: float | None, horizon: Horizon
) -> None:
    snapshot = None
    if age_hours is not None:
        snapshot = MeasuredSnapshot(age_hours=age_hours, views=1)
    assert horizon_of(snapshot) == horizon


def test_the_engagement_of_a_snapshot_weighs_comments_and_shares() -> None:
    assert engagement_of(SNAPSHOT) == pytest.approx(0.15)


def test_a_request_gets_the_vector_that_a_training_row_of_the_same_facts_has() -> None:
    request = PredictionRequest(
        content_text=VIDEO.caption,
        duration_seconds=15,
        posted_at=POSTED,
        sound_is_original=True,
        snapshot=SNAPSHOT,
    )
    served = feature_vector(video_facts(normalize(request)), CREATOR, request.snapshot)
    assert np.array_equal(served, feature_vector(VIDEO, CREATOR, SNAPSHOT))


@given(REQUESTS, CREATORS)
def test_every_valid_request_has_a_vector_without_infinities(
    request: PredictionRequest, creator: CreatorFacts
) -> None:
    vector = feature_vector(video_facts(normalize(request)), creator, request.snapshot)
    assert vector.shape == (len(FEATURE_NAMES),)
    assert vector.dtype == np.float32
    assert not np.isinf(vector).any()


@pytest.mark.parametrize(
    "field",
    [
        {"duration_seconds": math.inf},
        {"posted_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))},
        {"posted_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))},
        {"snapshot": {"age_hours": math.inf, "views": 1}},
        {"snapshot": {"age_hours": 1, "views": 2**63}},
        {"snapshot": {"age_hours": 1, "views": 1, "likes": 10**400}},
        {"snapshot": {"age_hours": 1, "views": 0}},
    ],
    ids=["duration", "last instant", "first instant", "age", "views", "likes", "no views"],
)
def test_a_request_that_no_vector_can_hold_is_refused(field: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        PredictionRequest.model_validate({"content_text": "calm", **field})


def test_what_stands_in_an_unknown_caption_is_unknown() -> None:
    unknown = feature_vector(VideoFacts(caption=None, hashtags=()), CreatorFacts(), None)
    empty = feature_vector(VideoFacts(caption="", hashtags=()), CreatorFacts(), None)
    written = [name for name in FEATURE_NAMES if name.startswith(("caption", "has_", "hashtag"))]
    written.append("generic_hashtag_count")
    for name in written:
        position = FEATURE_NAMES.index(name)
        assert np.isnan(unknown[position])
        assert empty[position] == 0
