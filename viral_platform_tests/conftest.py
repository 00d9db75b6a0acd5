"""One embedded PostgreSQL per run, one migrated template, a clone of it for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg
import pytest
from sqlalchemy import make_url

from viral_platform.engine.contracts import VideoFacts
from viral_platform.engine.training_rows import CrawledCounts, VideoHistory
from viral_platform.settings import Settings
from viral_platform.storage import embedded, schema
from viral_platform.storage.database import Database

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_HOME_VARIABLE = "VIRAL_TEST_HOME"
_TEMPLATE = "template_viral"


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ[_HOME_VARIABLE] = tempfile.mkdtemp(prefix="viral-test-")
    # Tests see the settings that they name, not the developer's own.
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):
        return
    home = Path(os.environ[_HOME_VARIABLE])
    embedded.stop_server(home)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def server_url() -> str:
    """URL of the run's server: fsync off, template database migrated."""
    url = embedded.start_server(Path(os.environ[_HOME_VARIABLE]))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(1)")
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"alter system set {setting} = off")
        connection.execute("select pg_reload_conf()")
        found = connection.execute(
            "select 1 from pg_database where datname = %s", [_TEMPLATE]
        ).fetchone()
        if found is None:
            connection.execute(f"create database {_TEMPLATE}")
            template = Database(make_url(url).set(database=_TEMPLATE))
            schema.migrate(template)
            template.engine.dispose()
    return url


@contextmanager
def cloned(server_url: str, template: str) -> Iterator[Database]:
    """A copy of the database `template`, dropped at the end; nobody may be connected to it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name} template {template}")
    clone = Database(make_url(server_url).set(database=name))
    yield clone
    clone.close()
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def database(server_url: str) -> Iterator[Database]:
    """A migrated, empty database of this test alone."""
    with cloned(server_url, _TEMPLATE) as clone:
        yield clone


@pytest.fixture(scope="session")
def clone_database(server_url: str) -> Callable[..., AbstractContextManager[Database]]:
    """Return a function that copies a database: the empty template, or one that is named."""
    return lambda template=_TEMPLATE: cloned(server_url, template)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an installation of its own, all else at its default."""
    return Settings(viral_home=tmp_path / "home", _env_file=None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data sets are not beside this checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def simulate_histories() -> Callable[..., list[VideoHistory]]:
    """Maker of videos whose engagement belongs to their author and lasts, or is pure noise."""
    return _simulate_histories


def _simulate_histories(
    *,
    authors: int = 240,
    posts: int = 3,
    ages: tuple[float, ...] = (30.0, 100.0, 200.0),
    lasting: bool = True,
    seed: int = 1,
) -> list[VideoHistory]:
    """Return `posts` videos of each author, an author's own close together in time."""
    draw = np.random.default_rng(seed)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    videos = []
    for author in range(authors):
        level = draw.normal(-2.5, 0.7)
        followers = int(10 ** draw.uniform(3, 6))
        for post in range(posts):
            rate = np.exp(level + draw.normal(0, 0.3))
            views = 10 ** draw.uniform(4, 6)
            posted_at = start + timedelta(hours=6 * author + post)
            crawls = []
            for age in ages:
                shown = rate * np.exp(draw.normal(0, 0.05))
                if not lasting:
                    shown = np.exp(draw.normal(-2.5, 0.7))
                seen = int(views * np.log10(age + 10))
                crawls.append(
                    CrawledCounts(
                        crawled_at=posted_at + timedelta(hours=age),
                        views=seen,
                        likes=int(0.7 * shown * seen),
                        comments=int(0.06 * shown * seen),
                        shares=int(0.06 * shown * seen),
                        saves=int(0.05 * shown * seen),
                        author_followers=followers,
                    )
                )
            words = " ".join(draw.choice(["calm", "noisy", "city", "river", "what?"], 8))
            facts = VideoFacts(
                caption=words,
                hashtags=("travel", "fyp")[: post % 3],
                duration_seconds=float(draw.integers(5, 90)),
                posted_at=posted_at,
                sound_is_original=bool(draw.integers(2)),
            )
            videos.append(
                VideoHistory(f"{author:04}{post}", f"author{author}", facts, tuple(crawls))
            )
    return videos


@pytest.fixture
def outcome_pairs(database: Database) -> None:
    """The mart `outcome_pairs` as a plain view, with the columns that dbt gives it."""
    with database.connect() as connection:
        connection.execute("create schema marts")
        connection.execute(
            """
            create view marts.outcome_pairs as
            select
                outcomes.analysis_id, analyses.input_mode, analyses.horizon, analyses.model_version,
                coalesce(
                    (
                        select string_agg(weights.key, '+' order by weights.key)
                        from jsonb_each_text(analyses.answer -> 'score_weights') as weights
                        where weights.value::double precision > 0
                    ),
                    ''
                ) as signals,
                analyses.raw_score,
                analyses.overall_score, analyses.calibration_version, outcomes.actual_score,
                outcomes.age_hours, outcomes.is_simulated or analyses.is_simulated as is_simulated,
                analyses.created_at
            from app.outcomes
            join app.analysis_results as analyses on outcomes.analysis_id = analyses.id
            where analyses.raw_score is not null
            """
        )
