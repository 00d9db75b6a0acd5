from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.contracts import (
    ContentPayload,
    TrendingHashtag,
    TrendingSound,
    TrendPhase,
    TrendTable,
)
from viral_platform.engine.normalize import extract_hashtags
from viral_platform.engine.trends import MAX_SOUNDS, PHASE_MULTIPLIERS, match_trends


def payload(text: str) -> ContentPayload:
    return ContentPayload(
        content_text=text,
        content_type="video",
        input_mode="text",
        platform="tiktok",
        video_url=None,
        hashtags=extract_hashtags(text),
        duration_seconds=None,
        niche=None,
        creator_handle=None,
        society_id=None,
        posted_at=None,
    )


def sound(
    name: str = "Paper Boat", velocity: float | None = 40.0, phase: TrendPhase = "peak"
) -> TrendingSound:
    return TrendingSound(
        sound_id=f"id of {name}", sound_name=name, velocity_score=velocity, trend_phase=phase
    )


def tag(name: str, *, views: int = 10_000, share: float = 0.1) -> TrendingHashtag:
    return TrendingHashtag(hashtag=name, video_count=10, total_views=views, share=share)


def table(*rows: TrendingSound | TrendingHashtag, **changes: Any) -> TrendTable:
    plain = TrendTable(
        sounds=[row for row in rows if isinstance(row, TrendingSound)],
        hashtags={row.hashtag: row for row in rows if isinstance(row, TrendingHashtag)},
    )
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("phase", "score"),
    [
        ("emerging", 60),
        ("rising", 48),
        ("peak", 40),
        ("declining", 20),
        ("insufficient_data", 0),
    ],
)
def test_a_named_sound_counts_its_velocity_by_phase(phase: TrendPhase, score: float) -> None:
    result = match_trends(payload("dancing to Paper Boat"), table(sound(phase=phase)))
    assert result.trend_score == score
    (found,) = result.matched_sounds
    assert (found.sound_id, found.sound_name) == ("id of Paper Boat", "Paper Boat")
    assert (found.velocity_score, found.trend_phase, found.similarity) == (40, phase, 1)


def test_every_phase_has_a_multiplier() -> None:
    assert set(PHASE_MULTIPLIERS) == set(get_args(TrendPhase))


@pytest.mark.parametrize(("velocity", "score"), [(900.0, 50), (-40.0, 0)])
def test_a_velocity_out_of_range_is_bounded(velocity: float, score: float) -> None:
    """One match of an unbounded velocity once saturated the score."""
    result = match_trends(payload("Paper Boat"), table(sound(velocity=velocity, phase="declining")))
    assert result.trend_score == score


def test_several_sounds_add_up_to_a_hundred_at_most() -> None:
    sounds = [sound(name, 90) for name in ("Paper Boat", "Salt Wind")]
    result = match_trends(payload("Paper Boat and Salt Wind"), table(*sounds))
    assert result.trend_score == 100
    assert len(result.matched_sounds) == 2


def test_a_sound_without_velocity_is_a_match_that_adds_nothing() -> None:
    unknown = sound("Salt Wind", None, "insufficient_data")
    result = match_trends(payload("Salt Wind"), table(sound(), unknown))
    assert result.trend_score == 0
    assert [found.velocity_score for found in result.matched_sounds] == [None]


def test_the_quality_of_a_match_is_kept() -> None:
    (found,) = match_trends(
        payload("an old quater walk"), table(sound("Old Quarter"))
    ).matched_sounds
    assert 0.9 < found.similarity < 1


def test_a_sound_is_not_found_inside_other_words() -> None:
    result = match_trends(payload("starting my day, calling dad"), table(sound("Stars")))
    assert (result.trend_score, result.matched_sounds) == (0, [])


def test_only_the_fastest_sounds_count_and_those_without_velocity_come_last() -> None:
    slow, unknown = sound("Paper Boat", 1), sound("Salt Wind", None)
    fast = [sound(f"Quiet Neon {n}", 50 + n) for n in range(MAX_SOUNDS - 1)]
    text = payload("Paper Boat, Salt Wind")
    assert [
        s.sound_name for s in match_trends(text, table(unknown, slow, *fast)).matched_sounds
    ] == ["Paper Boat"]
    crowded = table(unknown, slow, *fast, sound("One More", 60))
    assert match_trends(text, crowded).matched_sounds == []


def test_hashtags_in_use_give_relevance_and_up_to_thirty_points() -> None:
    # log10 of 10,000 views is 4; twice 4 x 0.15 of 3 is 0.4 of full relevance.
    trends = table(tag("dalat", share=0.15), tag("halong", share=0.15))
    result = match_trends(payload("#DaLat #halong #other"), trends)
    assert result.hashtag_relevance == pytest.approx(0.4)
    assert result.trend_score == 12
    assert result.matched_hashtags == ["dalat", "halong"]
    assert result.saturated_hashtags == []


def test_relevance_is_full_at_one() -> None:
    trends = table(*(tag(name, views=10**9, share=0.4) for name in "abc"))
    result = match_trends(payload("#a #b #c"), trends)
    assert (result.hashtag_relevance, result.trend_score) == (1, 30)


def test_a_tag_is_matched_in_any_script() -> None:
    """Tags were once cut at the first letter outside ASCII and looked up so."""
    trends = table(tag("đàlạt", share=0.3), tag("日本", share=0.3))
    assert match_trends(payload("#ĐàLạt #日本"), trends).matched_hashtags == ["đàlạt", "日本"]


@pytest.mark.parametrize(
    ("entry", "score"),
    [
        pytest.param(tag("common", views=10**9, share=0.5), 1, id="on-too-many-videos"),
        pytest.param(tag("fyp", views=10**9, share=0.3), 1, id="on-the-list"),
        pytest.param(tag("viral", share=0.1), 0, id="on-the-list-and-rare"),
    ],
)
def test_a_saturated_tag_gives_hardly_a_point_and_no_relevance(
    entry: TrendingHashtag, score: float
) -> None:
    result = match_trends(payload(f"#{entry.hashtag}"), table(entry))
    assert (result.trend_score, result.hashtag_relevance) == (score, 0)
    assert (result.matched_hashtags, result.saturated_hashtags) == ([], [entry.hashtag])


def test_a_tag_on_the_list_is_named_as_saturated_without_a_row_for_it() -> None:
    result = match_trends(payload("#fyp"), table(tag("other")))
    assert (result.saturated_hashtags, result.trend_score) == (["fyp"], 0)


def test_a_share_of_exactly_forty_percent_is_not_saturated() -> None:
    assert match_trends(payload("#a"), table(tag("a", share=0.4))).matched_hashtags == ["a"]


def test_a_table_without_a_match_is_a_score_of_zero() -> None:
    """Content that takes up nothing once counted as if trends were missing."""
    result = match_trends(payload("nothing of it"), table(sound(), tag("dalat")))
    assert (result.trend_score, result.hashtag_relevance) == (0, 0)
    assert (result.matched_sounds, result.matched_hashtags) == ([], [])


@pytest.mark.parametrize(
    ("text", "trends"),
    [
        pytest.param("#fyp Paper Boat", None, id="no-table"),
        pytest.param("#fyp Paper Boat", table(), id="empty-table"),
        pytest.param("Paper Boat", table(sound(velocity=None)), id="no-velocity-anywhere"),
        pytest.param("", table(sound(), tag("a")), id="no-text"),
        pytest.param(" \n", table(sound(), tag("a")), id="blank-text"),
    ],
)
def test_what_cannot_be_judged_has_no_score(text: str, trends: TrendTable | None) -> None:
    result = match_trends(payload(text), trends)
    assert (result.trend_score, result.hashtag_relevance) == (None, None)
    assert result.trend_context


def test_hashtags_alone_are_enough_for_a_score_and_sounds_alone_leave_relevance_open() -> None:
    assert match_trends(payload("#a"), table(tag("a", share=0.4))).trend_score == 16
    only_sounds = match_trends(payload("Paper Boat #a"), table(sound()))
    assert (only_sounds.trend_score, only_sounds.hashtag_relevance) == (40, None)


def test_the_context_names_sounds_with_their_state_and_the_hashtags() -> None:
    trends = table(sound(), sound("Salt Wind", None, "insufficient_data"))
    result = match_trends(payload("Paper Boat, Salt Wind #a #b"), trends)
    assert result.trend_context == (
        "Trending sounds named (2): Paper Boat (peak, velocity 40); "
        "Salt Wind (insufficient_data, velocity unknown). Hashtags (2): #a, #b."
    )


def test_the_context_says_that_nothing_was_found() -> None:
    context = match_trends(payload("plain"), table(sound())).trend_context
    assert context == "No trending sound is named. No hashtag is used."


@given(
    st.lists(st.sampled_from(["Paper Boat", "Salt Wind", "Old Quarter", "#a", "#fyp", "#b"])),
    st.lists(st.none() | st.floats(-1e6, 1e6), min_size=3, max_size=3),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.integers(0, 10**12),
)
def test_a_score_lies_between_zero_and_a_hundred_whatever_the_table_holds(
    parts: list[str], velocities: list[float | None], shares: list[float], views: int
) -> None:
    names = ("Paper Boat", "Salt Wind", "Old Quarter")
    trends = table(
        *(sound(name, velocity) for name, velocity in zip(names, velocities, strict=True)),
        *(tag(name, views=views, share=s) for name, s in zip("ab", shares, strict=False)),
        tag("fyp", views=views, share=shares[2]),
    )
    result = match_trends(payload(" and ".join(["x", *parts])), trends)
    assert result.trend_score is not None
    assert 0 <= result.trend_score <= 100
    assert result.trend_score == int(result.trend_score)
    assert match_trends(payload(" and ".join(["x", *parts]).upper()), trends).trend_score == (
        result.trend_score
    )
