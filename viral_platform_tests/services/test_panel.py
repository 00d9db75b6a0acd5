from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from viral_platform.engine.errors import NotEnoughDataError, UnreadableFileError
from viral_platform.engine.splits import split_by_time
from viral_platform.engine.tier_model import TrainingRows
from viral_platform.engine.training_rows import VideoHistory, build_rows
from viral_platform.services import training
from viral_platform.services.panel import (
    judge_champion,
    judge_procedure,
    other_zone_rows,
    read_panel,
)
from viral_platform.storage import models
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database

FIRST = "vn_viral_2025-05_first_crawl.csv.gz"
SECOND = "vn_viral_2025-06_second_crawl.csv.gz"
DERIVED = "vn_viral_2025_two_crawl_panel.csv.gz"

# The fields of a crawl that the tests fill, in the real files' shape.
HEADER = (
    "user_name,user_nfollower,vid_id,vid_caption,vid_postTime,vid_scrapeTime,vid_duration,"
    "vid_nview,vid_nlike,vid_ncomment,vid_nshare,vid_nsave,vid_hashtags,vid_url,music_id,"
    "music_title,music_nused,music_authorName,music_originality"
)
GROWTH_HEADER = (
    "vid_id,current_views,like_growth_per_hour,comment_growth_per_hour,share_growth_per_hour,"
    "time_diff_hours"
)
# Ids carry their posting time in the upper bits.
ID, OTHER_ID = "7506832682593094928", "7506900000000000000"

Histories = Callable[..., list[VideoHistory]]


class Installation(Protocol):
    database: Database
    artifacts: ArtifactStore
    version: str


def line(video_id: str, crawled: str, *, views: str = "1000", likes: str = "100") -> str:
    url = f"https://www.tiktok.com/@ann/video/{video_id}"
    return (
        f"ann,2000,{video_id},calm,2025-05-21 09:44:45,{crawled},00:31,{views},{likes},10,10,5,"
        f"hue,{url},7506832745952218000,a sound,3 videos,Ann,True"
    )


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return write(tmp_path / "first.csv", HEADER, line(ID, "2025-05-22 12:00:00"))


def test_two_crawls_give_an_input_and_a_later_label(first: Path, tmp_path: Path) -> None:
    second = write(
        tmp_path / "second.csv", HEADER, line(ID, "2025-06-06 12:00:00", views="2000", likes="50")
    )
    rows = read_panel(first, second)
    assert rows.horizon.tolist() == ["early", "pre_publication"]
    assert rows.engagement.tolist() == pytest.approx([100 / 2000] * 2)
    assert rows.input_engagement[0] == pytest.approx(150 / 1000)


def test_a_zone_that_was_assumed_is_read_the_other_way_too(first: Path, tmp_path: Path) -> None:
    second = write(tmp_path / "second.csv", HEADER, line(ID, "2025-06-06 12:00:00"))
    assumed = read_panel(first, second)
    other = other_zone_rows(first, second, assumed)
    assert other is not None
    assert (other.label_age_hours - assumed.label_age_hours).tolist() == [7.0, 7.0]


def test_a_zone_that_is_utc_has_no_other_reading(first: Path, tmp_path: Path) -> None:
    second = write(tmp_path / "second.csv", HEADER, line(ID, "2025-06-06 12:00:00"))
    assert other_zone_rows(first, second, read_panel(first, second, crawl_zone="UTC")) is None


def test_videos_without_a_common_one_are_no_panel(first: Path, tmp_path: Path) -> None:
    second = write(tmp_path / "second.csv", HEADER, line(OTHER_ID, "2025-06-06 12:00:00"))
    with pytest.raises(NotEnoughDataError, match=r"both first\.csv and second\.csv"):
        read_panel(first, second)


@pytest.mark.parametrize("crawled", ["2025-05-23 12:00:00", "2025-05-22 10:00:00"])
def test_a_second_crawl_that_is_not_later_and_mature_is_no_panel(
    first: Path, tmp_path: Path, crawled: str
) -> None:
    second = write(tmp_path / "second.csv", HEADER, line(ID, crawled))
    with pytest.raises(NotEnoughDataError, match="the earlier one first"):
        read_panel(first, second)


def test_a_derived_panel_adds_its_growth_to_the_first_crawl(first: Path, tmp_path: Path) -> None:
    growth = f"{float(ID)},2000.0,0.5,-1.0,0.1,200.0"
    rows = read_panel(first, write(tmp_path / "derived.csv", GROWTH_HEADER, growth))
    # 100 likes + 200 h x 0.5; comments do not fall below 0; 10 shares + 200 h x 0.1.
    assert rows.engagement[0] == pytest.approx((200 + 2 * 0 + 3 * 30) / 2000)


def test_an_id_that_fits_two_videos_after_rounding_is_passed_over(tmp_path: Path) -> None:
    near = str(int(ID) + 1)
    assert float(near) == float(ID)
    crawls = [line(video_id, "2025-05-22 12:00:00") for video_id in (ID, near)]
    first = write(tmp_path / "first.csv", HEADER, *crawls)
    growth = f"{float(ID)},2000.0,0.5,0.0,0.1,200.0"
    with pytest.raises(NotEnoughDataError, match="found 0"):
        read_panel(first, write(tmp_path / "derived.csv", GROWTH_HEADER, growth))


@pytest.mark.parametrize("growth", ["x", ""], ids=["not a number", "blank"])
def test_a_derived_panel_with_a_broken_figure_is_named(
    first: Path, tmp_path: Path, growth: str
) -> None:
    """The conversion's own ValueError came through, which reads as a fault of ours."""
    broken = f"{float(ID)},2000.0,0.5,0.0,0.1,{growth}"
    with pytest.raises(UnreadableFileError, match="line 2"):
        read_panel(first, write(tmp_path / "derived.csv", GROWTH_HEADER, broken))


def test_a_second_file_that_is_missing_is_named(first: Path, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match=r"gone\.csv"):
        read_panel(first, tmp_path / "gone.csv")


def test_the_champion_is_judged_on_authors_that_it_was_not_trained_on(
    installation: Installation,
) -> None:
    training.promote(installation.database, installation.version)
    record = models.get_model(installation.database, installation.version)
    rows = training.load_training_rows(record.data_sha256, installation.artifacts)
    (report,) = judge_champion(installation.database, installation.artifacts, rows)
    train, _ = split_by_time(rows)
    unseen = rows.take(~np.isin(rows.author, train.author))
    assert report.split == "panel"
    assert report.test_videos == unseen.videos
    assert report.horizons["settled"].accuracy.value > 0.6


def test_a_panel_of_the_champion_s_own_videos_judges_nothing(installation: Installation) -> None:
    training.promote(installation.database, installation.version)
    record = models.get_model(installation.database, installation.version)
    rows = training.load_training_rows(record.data_sha256, installation.artifacts)
    train, _ = split_by_time(rows)
    with pytest.raises(NotEnoughDataError, match="--refit"):
        judge_champion(installation.database, installation.artifacts, train)


def test_without_a_champion_there_is_nothing_to_judge(
    installation: Installation, simulate_histories: Histories
) -> None:
    rows = build_rows(simulate_histories(authors=2))
    with pytest.raises(NotEnoughDataError, match="Champion models"):
        judge_champion(installation.database, installation.artifacts, rows)


@pytest.fixture(scope="module")
def real(shared_data: Path) -> TrainingRows:
    """Two crawls of real videos, weeks apart."""
    return read_panel(shared_data / FIRST, shared_data / SECOND)


def test_real_crawls_join_on_their_videos(real: TrainingRows) -> None:
    assert real.videos > 2000
    assert (real.horizon == "settled").sum() > 1500
    assert (real.label_age_hours >= 168).all()
    assert not np.isnan(real.engagement).any()


def test_on_real_crawls_the_procedure_reaches_the_bar_with_persistence_beside_it(
    real: TrainingRows,
) -> None:
    for report in judge_procedure(real):
        settled = report.horizons["settled"]
        assert settled.accuracy.value > 0.6
        assert settled.baselines.persistence_accuracy is not None
        assert settled.accuracy_over_persistence is not None
        assert settled.accuracy_over_persistence.high >= 0
        assert report.promotable


def test_the_real_derived_panel_joins_almost_wholly(shared_data: Path) -> None:
    rows = read_panel(shared_data / FIRST, shared_data / DERIVED)
    assert rows.videos > 7_800
