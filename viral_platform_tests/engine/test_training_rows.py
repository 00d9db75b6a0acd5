from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.contracts import CreatorFacts, VideoFacts
from viral_platform.engine.features import FEATURE_NAMES
from viral_platform.engine.tier_model import TrainingRows
from viral_platform.engine.training_rows import (
    MATURITY_HOURS,
    CrawledCounts,
    RowFacts,
    VideoHistory,
    build_rows,
    row_facts,
    training_vector,
)

START = datetime(2026, 1, 5, 12, tzinfo=UTC)


def crawl(
    posted_at: datetime,
    age_hours: float,
    *,
    views: int | None = 1000,
    likes: int | None = 100,
    followers: int | None = 500,
) -> CrawledCounts:
    return CrawledCounts(
        crawled_at=posted_at + timedelta(hours=age_hours),
        views=views,
        likes=likes,
        comments=10,
        shares=10,
        saves=None,
        author_followers=followers,
    )


def video(
    video_id: str,
    *ages: float,
    author: str = "ann",
    posted_at: datetime = START,
    **counts: int | None,
) -> VideoHistory:
    return VideoHistory(
        video_id=video_id,
        author=author,
        video=VideoFacts("calm", (), posted_at=posted_at),
        crawls=tuple(crawl(posted_at, age, **counts) for age in ages),
    )


def horizons(*histories: VideoHistory) -> list[str]:
    return sorted(row.horizon for row in row_facts(histories))


@st.composite
def histories(draw: st.DrawFn) -> list[VideoHistory]:
    """Up to eight videos of two authors, some counts unknown, some crawls before posting."""
    found = []
    for number in range(draw(st.integers(1, 8))):
        posted_at = START + timedelta(hours=draw(st.integers(0, 600)))
        ages = draw(st.lists(st.integers(-20, 500), max_size=5, unique=True))
        crawls = tuple(
            crawl(
                posted_at,
                age,
                views=draw(st.none() | st.integers(0, 10**6)),
                likes=draw(st.none() | st.integers(0, 10**5)),
                followers=draw(st.none() | st.integers(0, 10**6)),
            )
            for age in sorted(ages)
        )
        author = draw(st.sampled_from(["ann", "bob"]))
        facts = VideoFacts("calm", (), posted_at=posted_at)
        found.append(VideoHistory(str(number), author, facts, crawls))
    return found


def input_at(row: RowFacts) -> datetime:
    """Return the instant up to which a row may know anything."""
    if row.snapshot is not None:
        return row.history.posted_at + timedelta(hours=row.snapshot.age_hours)
    usable = [c for c in row.history.crawls if c.views and c.crawled_at >= row.history.posted_at]
    return usable[0].crawled_at


@given(histories())
def test_the_label_is_mature_and_from_a_later_crawl_than_any_input(
    videos: list[VideoHistory],
) -> None:
    for row in row_facts(videos):
        assert row.label.crawled_at > input_at(row)
        assert row.label.snapshot.age_hours >= MATURITY_HOURS
        assert not math.isnan(row.label.engagement)


@given(histories())
def test_a_video_has_one_row_a_horizon_at_most(videos: list[VideoHistory]) -> None:
    keys = [(row.history.video_id, row.horizon) for row in row_facts(videos)]
    assert len(keys) == len(set(keys))


@given(histories())
def test_creator_facts_do_not_change_with_what_happens_after_the_input(
    videos: list[VideoHistory],
) -> None:
    for row in row_facts(videos):
        until, this = input_at(row), row.history
        past = [
            replace(other, crawls=tuple(c for c in other.crawls if c.crawled_at <= until))
            for other in videos
            if (other.posted_at, other.video_id) < (this.posted_at, this.video_id)
            and other.author == this.author
        ]
        again = {(r.history.video_id, r.horizon): r.creator for r in row_facts([*past, this])}
        assert again[this.video_id, row.horizon] == row.creator


@given(histories())
def test_the_order_of_the_videos_does_not_matter(videos: list[VideoHistory]) -> None:
    one, other = build_rows(videos), build_rows(videos[::-1])
    for name in TrainingRows.columns():
        assert np.array_equal(
            getattr(one, name),
            getattr(other, name),
            equal_nan=name not in {"horizon", "author", "video_id", "posted_at"},
        )


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ((), []),
        ((200,), []),
        ((10,), []),
        ((10, 100), []),
        ((100, 167.9), []),
        ((10, 168), ["early", "pre_publication"]),
        ((100, 200), ["pre_publication", "settled"]),
        ((200, 300), ["pre_publication", "settled"]),
        ((10, 100, 200), ["early", "pre_publication", "settled"]),
        ((10, 200), ["early", "pre_publication"]),
        ((-5, 200), []),
    ],
    ids=str,
)
def test_a_row_needs_a_crawl_of_its_horizon_and_a_later_mature_one(
    ages: tuple[float, ...], expected: list[str]
) -> None:
    assert horizons(video("1", *ages)) == expected


def test_the_input_of_a_horizon_is_the_first_crawl_in_it() -> None:
    rows = row_facts([video("1", 10, 20, 80, 100, 200)])
    ages = {row.horizon: row.snapshot.age_hours for row in rows if row.snapshot is not None}
    assert ages == {"early": 10, "settled": 80}


def test_a_row_before_publication_knows_no_counts() -> None:
    rows = build_rows([video("1", 10, 200)])
    before = rows.take(rows.horizon == "pre_publication")
    assert np.isnan(before.input_engagement).all()
    assert np.isnan(before.features[0, FEATURE_NAMES.index("log_views")])


def test_the_label_is_the_first_mature_crawl_after_the_input() -> None:
    rows = build_rows([video("1", 10, 170, 300, 500)])
    assert set(rows.label_age_hours[rows.horizon == "early"]) == {170}
    assert set(rows.label_age_hours[rows.horizon == "settled"]) == {300}


@pytest.mark.parametrize(
    "counts", [{"views": None}, {"views": 0}, {"likes": None}], ids=["views", "none seen", "likes"]
)
def test_a_crawl_without_engagement_is_no_label(counts: dict[str, int | None]) -> None:
    history = video("1", 10)
    unknown = crawl(START, 200, **counts)
    known = crawl(START, 300)
    rows = build_rows([replace(history, crawls=(*history.crawls, unknown, known))])
    assert set(rows.label_age_hours[rows.horizon == "early"]) == {300}


def test_an_input_with_an_unknown_count_still_gives_a_row() -> None:
    history = video("1", 10, likes=None)
    rows = build_rows([replace(history, crawls=(*history.crawls, crawl(START, 200)))])
    assert rows.horizon.tolist() == ["early", "pre_publication"]
    assert np.isnan(rows.input_engagement).all()


def test_a_creator_is_known_by_the_median_of_earlier_posts() -> None:
    earlier = [
        video(str(n), 200, posted_at=START - timedelta(days=30 + n), likes=likes, views=views)
        for n, (likes, views) in enumerate([(50, 1000), (150, 2000), (950, 1000)])
    ]
    (row, *_) = row_facts([*earlier, video("9", 10, 200, followers=7)])
    assert row.creator == CreatorFacts(
        followers=7, median_engagement=pytest.approx(0.1), median_views=1000, n_posts=3
    )


@pytest.mark.parametrize(
    "other",
    [
        video("2", 10, 200, posted_at=START + timedelta(hours=1)),
        video("0", 10, 200, posted_at=START - timedelta(hours=1), author="bob"),
        video("0", 100, 200, posted_at=START - timedelta(hours=1)),
        video("0", 1, 200, posted_at=START - timedelta(hours=1), likes=None),
    ],
    ids=["later post", "another author", "crawled later", "no engagement"],
)
def test_what_says_nothing_of_the_creator_before_the_input_is_left_out(
    other: VideoHistory,
) -> None:
    rows = row_facts([other, video("1", 10, 200)])
    assert {row.creator.n_posts for row in rows if row.history.video_id == "1"} == {0}


def test_an_earlier_post_counts_as_it_was_when_it_became_mature() -> None:
    posted_at = START - timedelta(days=30)
    earlier = VideoHistory(
        "0",
        "ann",
        VideoFacts("calm", (), posted_at=posted_at),
        tuple(crawl(posted_at, age, likes=likes) for age, likes in ((5, 1), (170, 50), (400, 900))),
    )
    (row, *_) = row_facts([earlier, video("1", 10, 200)])[-1:]
    assert row.creator.median_engagement == pytest.approx(0.1)


def test_a_posting_time_of_another_zone_is_stored_in_utc() -> None:
    """It was stored by its local clock, so the split by time depended on the server's zone."""
    east = video("1", 10, 200, posted_at=START.astimezone(timezone(timedelta(hours=7))))
    assert build_rows([east]).posted_at.tolist() == [START.replace(tzinfo=None)] * 2


def test_the_table_is_aligned_with_the_facts() -> None:
    videos = [video("1", 10, 200), video("2", 100, 300, author="bob", likes=5)]
    rows, facts = build_rows(videos), row_facts(videos)
    assert len(rows) == len(facts) == 4
    assert rows.videos == 2
    for number, row in enumerate(facts):
        assert np.array_equal(rows.features[number], training_vector(row), equal_nan=True)
        assert rows.engagement[number] == row.label.engagement
        assert (rows.video_id[number], rows.horizon[number], rows.author[number]) == (
            row.history.video_id,
            row.horizon,
            row.history.author,
        )


def test_no_video_gives_an_empty_table_of_the_right_width() -> None:
    rows = build_rows([])
    assert rows.features.shape == (0, len(FEATURE_NAMES))
    assert rows.videos == 0


def test_a_history_needs_a_posting_time() -> None:
    nowhere = VideoHistory("1", "ann", VideoFacts("calm", ()), ())
    with pytest.raises(ValueError, match="posting time"):
        build_rows([nowhere])
