from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.errors import NotEnoughDataError
from viral_platform.engine.evaluation import EvaluationReport
from viral_platform.engine.features import FEATURE_NAMES
from viral_platform.engine.splits import judge_by_authors, judge_by_time, split_by_time
from viral_platform.engine.tier_model import TierModel, TrainingRows
from viral_platform.engine.training_rows import VideoHistory, build_rows

Histories = Callable[..., list[VideoHistory]]

# (author, day of posting, horizons seen) of each video.
VIDEOS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 90), st.integers(1, 3)), min_size=1, max_size=60
)


def rows_of(videos: list[tuple[int, int, int]]) -> TrainingRows:
    repeat = [seen for _, _, seen in videos]
    n = sum(repeat)
    day = np.repeat([day for _, day, _ in videos], repeat)
    horizons = ("pre_publication", "early", "settled")
    return TrainingRows(
        features=np.zeros((n, len(FEATURE_NAMES)), dtype=np.float32),
        engagement=np.linspace(0, 1, n),
        input_engagement=np.full(n, np.nan),
        creator_engagement=np.full(n, np.nan),
        horizon=np.array([name for seen in repeat for name in horizons[:seen]]),
        author=np.repeat([f"a{author}" for author, _, _ in videos], repeat),
        video_id=np.repeat([f"v{number}" for number in range(len(videos))], repeat),
        posted_at=np.datetime64("2026-01-01T00:00:00.000000") + day.astype("timedelta64[D]"),
        label_age_hours=np.full(n, 200.0),
    )


@given(VIDEOS)
def test_the_test_part_is_later_and_shares_neither_video_nor_author(
    videos: list[tuple[int, int, int]],
) -> None:
    train, test = split_by_time(rows_of(videos))
    assert not set(train.video_id) & set(test.video_id)
    assert not set(train.author) & set(test.author)
    if len(train) and len(test):
        assert train.posted_at.max() < test.posted_at.min()


@given(VIDEOS)
def test_all_rows_of_a_video_lie_on_one_side(videos: list[tuple[int, int, int]]) -> None:
    rows = rows_of(videos)
    for part in split_by_time(rows):
        for video_id in np.unique(part.video_id):
            assert (part.video_id == video_id).sum() == (rows.video_id == video_id).sum()


@given(VIDEOS)
def test_no_earlier_row_is_judged_and_no_later_one_is_trained_on(
    videos: list[tuple[int, int, int]],
) -> None:
    rows = rows_of(videos)
    train, test = split_by_time(rows)
    _, first = np.unique(rows.video_id, return_index=True)
    border = np.sort(rows.posted_at[first])[int(len(first) * 0.75)]
    assert (test.posted_at >= border).all()
    assert (train.posted_at < border).all()


def test_one_in_three_of_the_authors_who_post_in_both_parts_is_judged() -> None:
    """With all of them judged, a feed that follows creators lost two thirds of its training."""
    train, test = split_by_time(rows_of([(a, day, 1) for a in range(300) for day in (1, 2, 3, 9)]))
    assert train.videos == 3 * (300 - test.videos)
    assert 60 <= test.videos <= 140


def test_an_author_is_on_the_same_side_in_a_later_training_set() -> None:
    videos = [(author, day, 1) for author in range(50) for day in (1, 2, 3, 9)]
    _, test = split_by_time(rows_of(videos))
    _, again = split_by_time(rows_of([*videos, *((author, 10, 1) for author in range(50))]))
    assert set(again.author) == set(test.author)


def test_without_a_judged_author_there_is_no_verdict(rows: TrainingRows) -> None:
    one_author = replace(rows, author=np.full(len(rows), "a creator"))
    with pytest.raises(NotEnoughDataError, match="Rows of the test part"):
        judge_by_time(one_author)


def test_lasting_engagement_is_promotable_with_persistence_beside_it(
    judged_by_time: tuple[TierModel, EvaluationReport],
) -> None:
    _, report = judged_by_time
    settled = report.horizons["settled"]
    assert settled.accuracy.value > 0.6
    assert settled.baselines.persistence_accuracy is not None
    assert settled.baselines.persistence_n == settled.n
    assert report.promotable
    assert report.reasons == []


def test_the_report_counts_both_parts(
    rows: TrainingRows, judged_by_time: tuple[TierModel, EvaluationReport]
) -> None:
    _, report = judged_by_time
    train, test = split_by_time(rows)
    assert (report.train_rows, report.train_videos) == (len(train), train.videos)
    assert (report.test_rows, report.test_videos) == (len(test), test.videos)
    assert report.split == "time"


def test_noise_is_not_promotable(simulate_histories: Histories) -> None:
    noise = build_rows(simulate_histories(lasting=False, ages=(100.0, 200.0)))
    _, report = judge_by_time(noise)
    assert not report.promotable
    assert any("accuracy" in reason for reason in report.reasons)
    assert not report.horizons["settled"].verdict.served


def test_the_cuts_are_those_of_the_training_part_alone(
    rows: TrainingRows, judged_by_time: tuple[TierModel, EvaluationReport]
) -> None:
    _, test = split_by_time(rows)
    later = np.isin(rows.video_id, test.video_id)
    changed = replace(rows, engagement=np.where(later, 50 * rows.engagement, rows.engagement))
    model, _ = judge_by_time(changed)
    assert model.scale == judged_by_time[0].scale
    assert model.to_bytes() == judged_by_time[0].to_bytes()


def test_folds_by_author_judge_every_row_once(rows: TrainingRows) -> None:
    report = judge_by_authors(rows)
    assert report.test_rows == len(rows)
    assert report.train_rows is None
    assert report.split == "authors"
    assert report.horizons["settled"].accuracy.value > 0.6


def test_too_few_authors_for_the_folds_are_named(rows: TrainingRows) -> None:
    """The library's own ValueError came through, which the command line calls a fault of ours."""
    few = rows.take(np.isin(rows.author, ["author1", "author2", "author3", "author4"]))
    with pytest.raises(NotEnoughDataError, match="found 4, needed 5"):
        judge_by_authors(few)


def test_a_training_part_too_small_to_fit_is_named(rows: TrainingRows) -> None:
    few = rows.take(np.isin(rows.video_id, np.unique(rows.video_id)[:100]))
    with pytest.raises(NotEnoughDataError, match="needed 300"):
        judge_by_time(few)
