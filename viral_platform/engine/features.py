"""The one feature builder: training, evaluation and serving call `feature_vector`.

Unknown is NaN in all three. Trend state is no feature: the marts hold its present, not its past,
so a training row could not be given what a request would. Account totals are none either: only
their latest state is kept, which may be later than the label, and likes include the post's own.
"""

from __future__ import annotations

import math
from datetime import UTC

import numpy as np
from numpy.typing import NDArray

from viral_platform.engine.contracts import CreatorFacts, Horizon, MeasuredSnapshot, VideoFacts
from viral_platform.engine.tiers import weighted_engagement
from viral_platform.engine.trends import SATURATED_TAGS

EARLY_BELOW_HOURS = 72.0
FEATURES_VERSION = "1"

PUBLISHED_FEATURES: tuple[str, ...] = (
    "caption_characters",
    "caption_words",
    "has_question",
    "hashtag_count",
    "generic_hashtag_count",
    "duration_seconds",
    "posted_hour_sin",
    "posted_hour_cos",
    "posted_weekday",
    "sound_is_original",
    "log_followers",
    "creator_log_median_engagement",
    "creator_log_median_views",
    "creator_posts",
)
MEASURED_FEATURES: tuple[str, ...] = (
    "log_age_hours",
    "log_views",
    "log_views_per_hour",
    "log_views_per_follower",
    "log_like_share",
    "log_comment_share",
    "log_share_share",
    "log_save_share",
    "log_engagement",
)
FEATURE_NAMES: tuple[str, ...] = PUBLISHED_FEATURES + MEASURED_FEATURES

# Added before a logarithm, so that zero stays finite; far below the smallest real rate.
_TINY = 1e-6


def horizon_of(snapshot: MeasuredSnapshot | None) -> Horizon:
    """Return the horizon that a request or row belongs to."""
    if snapshot is None:
        return "pre_publication"
    return "early" if snapshot.age_hours < EARLY_BELOW_HOURS else "settled"


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _log(value: float | None) -> float:
    return math.nan if value is None or math.isnan(value) else math.log10(value + _TINY)


def _log_count(value: int | None) -> float:
    return math.nan if value is None else math.log10(value + 1)


def engagement_of(snapshot: MeasuredSnapshot) -> float:
    """Return the weighted engagement rate of a snapshot, NaN when a count is unknown."""
    counts = (_number(snapshot.likes), _number(snapshot.comments), _number(snapshot.shares))
    return float(weighted_engagement(*counts, float(snapshot.views)))


def _published(video: VideoFacts, creator: CreatorFacts) -> list[float]:
    hour = weekday = math.nan
    if video.posted_at is not None:
        posted = video.posted_at.astimezone(UTC)
        hour = (posted.hour + posted.minute / 60) / 24 * 2 * math.pi
        weekday = float(posted.weekday())
    return [
        *_written(video),
        _number(video.duration_seconds),
        math.sin(hour),
        math.cos(hour),
        weekday,
        _number(video.sound_is_original),
        _log_count(creator.followers),
        _log(creator.median_engagement),
        _log(creator.median_views),
        float(creator.n_posts),
    ]


def _written(video: VideoFacts) -> list[float]:
    if video.caption is None:
        return [math.nan] * 5
    return [
        float(len(video.caption)),
        float(len(video.caption.split())),
        float("?" in video.caption),
        float(len(video.hashtags)),
        float(sum(tag in SATURATED_TAGS for tag in video.hashtags)),
    ]


def _measured(snapshot: MeasuredSnapshot, creator: CreatorFacts) -> list[float]:
    views = float(snapshot.views)
    followers = creator.followers
    return [
        math.log10(snapshot.age_hours + 1),
        math.log10(views),
        math.log10(views / max(snapshot.age_hours, 1.0)),
        math.nan if followers is None else math.log10(views / (followers + 1)),
        _log(_number(snapshot.likes) / views),
        _log(_number(snapshot.comments) / views),
        _log(_number(snapshot.shares) / views),
        _log(_number(snapshot.saves) / views),
        _log(engagement_of(snapshot)),
    ]


def feature_vector(
    video: VideoFacts, creator: CreatorFacts, snapshot: MeasuredSnapshot | None
) -> NDArray[np.float32]:
    """Return the features of one post, in the order of `FEATURE_NAMES`.

    Parameters
    ----------
    video, creator
        What is known before publication; `None` inside is unknown.
    snapshot
        Counts measured at some age, `None` before publication.

    Returns
    -------
    ndarray of float32, shape (k,)
        NaN where unknown. Logarithms are base 10.
    """
    measured = [math.nan] * len(MEASURED_FEATURES)
    if snapshot is not None:
        measured = _measured(snapshot, creator)
    return np.array(_published(video, creator) + measured, dtype=np.float32)


def named(vector: NDArray[np.float32]) -> dict[str, float | None]:
    """Return a vector as a mapping for answers; NaN becomes `None`."""
    return {
        name: None if math.isnan(value) else float(value)
        for name, value in zip(FEATURE_NAMES, vector.tolist(), strict=True)
    }
