"""Whether a content takes up what is rising: sounds by name, hashtags by use.

The velocity and phase of a sound and the counts of a hashtag come from the marts; how they are
computed does not belong here. Without data there is no score, never a score of zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from viral_platform.engine import fuzzy
from viral_platform.engine.aggregate import round_half_up
from viral_platform.engine.contracts import (
    ContentPayload,
    MatchedSound,
    TrendingHashtag,
    TrendingSound,
    TrendPhase,
    TrendResult,
    TrendTable,
)
from viral_platform.engine.name_index import NameIndex

MAX_SOUNDS = 50

# A sound that rises early is worth more than one that everybody has. A phase that rests on too
# little data is named as a match and moves no score.
PHASE_MULTIPLIERS: Mapping[TrendPhase, float] = {
    "emerging": 1.5,
    "rising": 1.2,
    "peak": 1.0,
    "declining": 0.5,
    "insufficient_data": 0.0,
}

# Tags on so many videos that they tell the audience nothing.
SATURATED_TAGS = frozenset({"fyp", "foryou", "foryoupage", "viral", "trending", "xyzbca"})
SATURATED_FROM_SHARE = 0.4

_FULL_RELEVANCE = 3.0
_POINTS_OF_RELEVANCE = 30
_SATURATED_FACTOR = 0.3


def match_trends(payload: ContentPayload, table: TrendTable | None) -> TrendResult:
    """Match a content with the trend marts.

    Each named sound adds its velocity (0..100) times the multiplier of its phase; one without
    a velocity is listed and adds nothing. A hashtag weighs the log10 of its views times its
    share of the videos; those in use add up to 30 points by relevance, which is full at a
    summed weight of 3. A saturated one adds 0.3 of its weight as points and no relevance.
    Reference engine, trends.

    Parameters
    ----------
    payload : ContentPayload
        The content; its hashtags are in the form in which the mart stores them.
    table : TrendTable or None
        The marts; None when they could not be read. The 50 fastest sounds count.

    Returns
    -------
    TrendResult
        `trend_score` is a whole number of 0..100: 0 when the content takes up nothing, None
        when there is nothing to hold against it (no table, no hashtag and no sound with a
        velocity in it) or nothing to judge (no text). `hashtag_relevance` is None without
        a hashtag mart.
    """
    if table is None:
        return _nothing_known("No trend data is available.")
    if not payload.content_text.strip():
        return _nothing_known("The content has no text to match with trends.")
    sounds = _named_sounds(payload.content_text, table.sounds)
    points = sum(_velocity(sound) * PHASE_MULTIPLIERS[sound.trend_phase] for sound in sounds)
    known = [table.hashtags[tag] for tag in payload.hashtags if tag in table.hashtags]
    in_use = [entry for entry in known if not _is_saturated(entry)]
    points += sum(
        round_half_up(_SATURATED_FACTOR * _weight(entry)) for entry in known if _is_saturated(entry)
    )
    relevance = min(1.0, sum(map(_weight, in_use)) / _FULL_RELEVANCE)
    points += round_half_up(_POINTS_OF_RELEVANCE * relevance)
    can_score = bool(table.hashtags) or any(
        sound.velocity_score is not None for sound in table.sounds
    )
    saturated = {entry.hashtag for entry in known if _is_saturated(entry)} | SATURATED_TAGS
    return TrendResult(
        trend_score=min(100.0, round_half_up(points)) if can_score else None,
        matched_sounds=sounds,
        matched_hashtags=[entry.hashtag for entry in in_use],
        saturated_hashtags=[tag for tag in payload.hashtags if tag in saturated],
        hashtag_relevance=relevance if table.hashtags else None,
        trend_context=_context(sounds, payload.hashtags),
    )


def _nothing_known(context: str) -> TrendResult:
    return TrendResult(
        trend_score=None,
        matched_sounds=[],
        matched_hashtags=[],
        saturated_hashtags=[],
        hashtag_relevance=None,
        trend_context=context,
    )


def _named_sounds(text: str, sounds: Sequence[TrendingSound]) -> list[MatchedSound]:
    fastest = sorted(sounds, key=_slowness)[:MAX_SOUNDS]
    matches = _index(tuple(sound.sound_name for sound in fastest)).find(fuzzy.prepare(text))
    return [
        MatchedSound(
            sound_id=sound.sound_id,
            sound_name=sound.sound_name,
            velocity_score=sound.velocity_score,
            trend_phase=sound.trend_phase,
            similarity=match.score,
        )
        for sound, match in ((fastest[position], match) for position, match in matches.items())
    ]


# The same few tables meet every caption for as long as they are kept.
_index = lru_cache(maxsize=4)(NameIndex)


def _slowness(sound: TrendingSound) -> float:
    return math.inf if sound.velocity_score is None else -sound.velocity_score


def _velocity(sound: MatchedSound) -> float:
    return min(100.0, max(0.0, sound.velocity_score or 0.0))


def _is_saturated(entry: TrendingHashtag) -> bool:
    return entry.hashtag in SATURATED_TAGS or entry.share > SATURATED_FROM_SHARE


def _weight(entry: TrendingHashtag) -> float:
    return math.log10(max(entry.total_views, 1)) * entry.share


def _context(sounds: Sequence[MatchedSound], hashtags: Sequence[str]) -> str:
    """Say in words what was found, for the prompt of a language model."""
    sentences = []
    if sounds:
        described = "; ".join(
            f"{sound.sound_name} ({sound.trend_phase}, {_velocity_in_words(sound)})"
            for sound in sounds
        )
        sentences.append(f"Trending sounds named ({len(sounds)}): {described}.")
    else:
        sentences.append("No trending sound is named.")
    if hashtags:
        tags = ", ".join(f"#{tag}" for tag in hashtags)
        sentences.append(f"Hashtags ({len(hashtags)}): {tags}.")
    else:
        sentences.append("No hashtag is used.")
    return " ".join(sentences)


def _velocity_in_words(sound: MatchedSound) -> str:
    if sound.velocity_score is None:
        return "velocity unknown"
    return f"velocity {sound.velocity_score:g}"
