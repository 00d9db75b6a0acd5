from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner

from viral_platform.cli import main, trends
from viral_platform.cli.output import Installation
from viral_platform.services.trends import RankedTrends
from viral_platform.settings import PROJECT_ROOT, Settings
from viral_platform.storage import tables
from viral_platform.storage.database import Database

NEWEST_CRAWL = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def installation(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands work on this test's database."""
    monkeypatch.setattr(trends, "open_installation", lambda: Installation(settings, database))
    monkeypatch.setenv("COLUMNS", "200")


def build_marts(database: Database, target: Path) -> None:
    project = str(PROJECT_ROOT / "dbt_project")
    subprocess.run(
        [
            *(str(Path(sys.executable).with_name("dbt")), "--quiet", "run"),
            *("--select", "+trending_sounds", "+trending_hashtags"),
            *("--project-dir", project, "--profiles-dir", project),
            *("--target-path", str(target), "--log-path", str(target)),
        ],
        env={**os.environ, **database.process_environment()},
        timeout=120,
        check=True,
    )


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(main.app, ["trends", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def ranked(**values: object) -> RankedTrends:
    start = NEWEST_CRAWL - timedelta(hours=48)
    return RankedTrends([{"sound_key": "7", **values}], start, NEWEST_CRAWL)


def test_crawled_sounds_and_hashtags_are_printed_as_rows_of_the_marts(
    database: Database, tmp_path: Path
) -> None:
    with database.engine.begin() as connection:
        video_id = connection.execute(
            insert(tables.scraped_videos)
            .values(
                platform="tiktok",
                platform_video_id="1",
                caption="",
                posted_at=NEWEST_CRAWL - timedelta(days=2),
                hashtags=["đàlạt", "calm"],
                sound_id="7",
                sound_name="Paper Boat",
                source="clockworks",
                is_simulated=True,
                crawled_at=NEWEST_CRAWL,
            )
            .returning(tables.scraped_videos.c.id)
        ).scalar_one()
        connection.execute(
            insert(tables.video_snapshots),
            [
                {"video_id": video_id, "crawled_at": NEWEST_CRAWL - timedelta(hours=h), "views": v}
                for h, v in ((24, 1_000), (0, 1_240))
            ],
        )
    build_marts(database, tmp_path)

    [sound] = json.loads(invoke("sounds", "--json"))
    assert (sound["sound_name"], sound["views_per_hour"]) == ("Paper Boat", 10)
    assert (sound["trend_phase"], sound["is_simulated"]) == ("emerging", True)
    assert datetime.fromisoformat(sound["window_end"]) == NEWEST_CRAWL
    tags = json.loads(invoke("hashtags", "--limit", "1", "--json"))
    assert [tag["hashtag"] for tag in tags] == ["calm"]

    printed = invoke("sounds")
    assert "Crawls from 2026-03-08 12:00 to 2026-03-10 12:00 UTC" in printed
    assert "Paper Boat" in printed
    assert "đàlạt" in invoke("hashtags")


def test_a_name_in_square_brackets_is_printed_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        trends, "ranked_sounds", lambda *_, **__: ranked(sound_name="[bold]Loud[/bold] [/x]")
    )
    assert "[bold]Loud[/bold] [/x]" in invoke("sounds")


def test_an_unknown_velocity_is_printed_as_a_dash_and_not_as_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        trends, "ranked_sounds", lambda *_, **__: ranked(sound_name="Still", views_per_hour=None)
    )
    line = next(line for line in invoke("sounds").splitlines() if "Still" in line)
    assert "-" in line
    assert "0" not in line


def test_marts_without_a_row_say_so_to_people_and_are_an_empty_list_for_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trends, "ranked_hashtags", lambda *_: RankedTrends([], None, None))
    assert "viral import" in invoke("hashtags")
    assert json.loads(invoke("hashtags", "--json")) == []


@pytest.mark.parametrize("command", ["sounds", "hashtags"])
def test_trends_that_were_never_computed_end_with_exit_code_3_and_the_remedy(
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["viral", "trends", command, "--json"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    printed = capsys.readouterr()
    assert ended.value.code == 3
    assert printed.out == ""
    assert "viral run calculate_trends" in printed.err.replace("\n", " ")


def test_a_limit_below_one_is_wrong_usage() -> None:
    assert CliRunner().invoke(main.app, ["trends", "sounds", "--limit", "0"]).exit_code == 2
