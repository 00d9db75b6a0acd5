"""The mart `competitor_growth` over a few designed snapshots, built and tested by dbt itself."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from viral_platform.services.competitors import watch, watched
from viral_platform.settings import PROJECT_ROOT
from viral_platform.storage.database import Database

FIRST = datetime(2026, 11, 1, 6, tzinfo=UTC)
# Day, seconds after six, followers, hearts, videos.
CRAWLS = [
    (0, 20, 1_000, 5_000, 40),
    (1, 5, 1_010, 5_050, 40),
    (7, 5, 1_100, None, 42),
    (8, 4, 900, 6_000, 41),
]


@pytest.mark.slow
def test_each_crawl_is_held_against_the_one_before_and_the_one_a_week_before(
    database: Database, tmp_path: Path
) -> None:
    for handle in ("cook", "new"):
        watch(database, handle)
    with database.connect() as connection:
        for day, seconds, *figures in CRAWLS:
            connection.execute(
                """
                insert into app.competitor_snapshots (
                    handle, crawled_at, followers, hearts, video_count, videos_seen, views,
                    is_simulated
                )
                values ('cook', %s, %s, %s, %s, 4, 1000, false)
                """,
                [FIRST + timedelta(days=day, seconds=seconds), *figures],
            )
    project = str(PROJECT_ROOT / "dbt_project")
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")),
            *("--warn-error", "--no-use-colors", "build", "--select", "competitor_growth"),
            *("--project-dir", project, "--profiles-dir", project),
            *("--target-path", str(tmp_path), "--log-path", str(tmp_path)),
        ],
        env={**os.environ, **database.process_environment()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    with database.connect() as connection:
        rows = connection.execute(
            "select followers_gained, hearts_gained, videos_gained, followers_gained_week, "
            "videos_gained_week, views_per_video from marts.competitor_growth order by crawled_at"
        ).fetchall()
    assert rows == [
        (None, None, None, None, None, 250.0),
        (10, 50, 0, None, None, 250.0),
        (90, None, 2, 100, 2, 250.0),
        (-200, None, -1, -110, 1, 250.0),
    ]
    cook, new = watched(database)
    assert new.growth is None
    assert cook.growth is not None
    assert cook.growth.followers_growth_week == pytest.approx(-110 / 1_010)
    assert cook.growth.previous_crawled_at == FIRST + timedelta(days=7, seconds=5)
    assert cook.growth.week_crawled_at == FIRST + timedelta(days=1, seconds=5)
