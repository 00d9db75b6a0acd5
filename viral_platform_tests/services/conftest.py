"""Simulated crawls in a database, and a clone of one installation that has trained on them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url

from viral_platform.engine.training_rows import VideoHistory
from viral_platform.services import training
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database

Clone = Callable[..., AbstractContextManager[Database]]
Histories = Callable[..., list[VideoHistory]]
Store = Callable[..., None]

_VIDEO = """
copy app.scraped_videos (
    platform, platform_video_id, author_handle, caption, posted_at, hashtags, duration_seconds,
    sound_is_original, source, is_simulated, crawled_at
) from stdin
"""
_SNAPSHOT = """
copy app.video_snapshots (
    video_id, crawled_at, views, likes, comments, shares, saves, author_followers
) from stdin
"""


@dataclass(frozen=True)
class Installation:
    """A database and its artifacts; `version` is the candidate that was trained in it."""

    database: Database
    artifacts: ArtifactStore
    version: str


def _store(database: Database, videos: list[VideoHistory], *, is_simulated: bool = False) -> None:
    with database.connect() as connection, connection.cursor() as cursor:
        with cursor.copy(_VIDEO) as copy:
            for video in videos:
                facts = video.video
                copy.write_row(
                    (
                        *("tiktok", video.video_id, video.author, facts.caption),
                        *(facts.posted_at, list(facts.hashtags), facts.duration_seconds),
                        *(facts.sound_is_original, "simulated", is_simulated),
                        video.crawls[-1].crawled_at,
                    )
                )
        cursor.execute("select platform_video_id, id from app.scraped_videos")
        keys = dict(cursor.fetchall())
        with cursor.copy(_SNAPSHOT) as copy:
            for video in videos:
                for crawl in video.crawls:
                    copy.write_row(
                        (
                            *(keys[video.video_id], crawl.crawled_at, crawl.views, crawl.likes),
                            *(crawl.comments, crawl.shares, crawl.saves, crawl.author_followers),
                        )
                    )


@pytest.fixture(scope="session")
def store_histories() -> Store:
    """Write histories into a database, as a crawl of each would have."""
    return _store


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture(scope="session")
def _trained(
    clone_database: Clone, simulate_histories: Histories, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path, str]]:
    folder = tmp_path_factory.mktemp("trained")
    with clone_database() as database:
        _store(database, simulate_histories())
        store = ArtifactStore(folder)
        training.build_training_set(database, store)
        version = training.train_candidate(database, store).record.version
        database.close()
        yield make_url(database.url).database, folder, version


@pytest.fixture
def installation(
    _trained: tuple[str, Path, str], clone_database: Clone, tmp_path: Path
) -> Iterator[Installation]:
    """An installation of its own with crawls, a training set and a candidate that may serve."""
    name, folder, version = _trained
    shutil.copytree(folder, tmp_path / "artifacts")
    with clone_database(name) as database:
        yield Installation(database, ArtifactStore(tmp_path / "artifacts"), version)
