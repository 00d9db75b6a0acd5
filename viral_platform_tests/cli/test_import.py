"""`viral import` and `viral quarantine` as a person or a script runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from viral_platform.cli import imports, main, quarantine
from viral_platform.cli.output import Installation
from viral_platform.engine.errors import ViralPlatformError
from viral_platform.settings import Settings
from viral_platform.storage.database import Database

VIRAL = Path(sys.executable).with_name("viral")
SCRAPED = ("--scraped-at", "2025-06-01T12:00:00Z")
TABLES = {
    "scraped_videos": "id, first_stored_at, updated_at",
    "video_snapshots": "video_id",
    "creator_profiles": "id",
    "import_files": "first_received_at, counts",
    "quarantined_items": "id, quarantined_at",
}


class Viral:
    """The command on this test's database, in this process."""

    def __call__(self, *arguments: str | Path, code: int = 0) -> str:
        result = CliRunner().invoke(main.app, [*map(str, arguments)])
        error = result.exception
        if isinstance(error, ViralPlatformError):
            assert main.exit_code(error) == code, error
            return str(error)
        assert result.exit_code == code, result.output
        return result.stdout

    def json(self, *arguments: str | Path) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def viral(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Viral]:
    for commands in (imports, quarantine):
        monkeypatch.setattr(commands, "open_installation", lambda: Installation(settings, database))
    # Log events, which main() would send to stderr, stay out of the output.
    with structlog.testing.capture_logs():
        yield Viral()


def _write(path: Path, *items: object) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


GOOD = {"id": "7374737911075310856", "text": "a caption", "playCount": 5}
BAD = {"id": "7374737911075310857", "text": "a caption", "playCount": "many"}


def test_import_prints_the_fixed_keys_and_quarantine_shows_what_was_rejected(
    viral: Viral, tmp_path: Path
) -> None:
    path = _write(tmp_path / "items.jsonl", GOOD, BAD, {"error": "gone"})
    report = viral.json("import", path, *SCRAPED)
    assert {key: report[key] for key in report if key not in {"seconds", "files"}} == {
        "received": 3,
        "new": 1,
        "updated": 0,
        "unchanged": 0,
        "duplicates": 0,
        "quarantined": 1,
        "scraper_errors": 1,
        "dated_by_receipt": 0,
        "videos_total": 1,
        "snapshots_total": 1,
    }
    assert report["files"][0]["quarantined_by_reason"] == {"not_a_count": 1}
    (item,) = viral.json("quarantine", "list")
    assert set(item) == {"id", "source", "position", "reason", "field", "message", "item"}
    assert (item["position"], item["reason"], item["field"]) == (2, "not_a_count", "views")
    assert item["item"] == BAD
    shown = viral.json("quarantine", "show", str(item["id"]))
    assert (shown["file_name"], shown["item"]) == ("items.jsonl", BAD)
    assert "no item 99" in viral("quarantine", "show", "99", code=3)


def test_import_speaks_to_people_too(viral: Viral, tmp_path: Path) -> None:
    path = _write(tmp_path / "items.jsonl", GOOD, BAD)
    assert "dry run" in viral("import", path, "--dry-run", *SCRAPED)
    assert "1 videos and 1 snapshots are stored" in viral("import", path, *SCRAPED)
    assert "Nothing changed" in viral("import", path)
    assert "not_a_count" in viral("quarantine", "list")


def test_a_file_dated_by_its_receipt_is_pointed_out(viral: Viral, tmp_path: Path) -> None:
    path = _write(tmp_path / "items.jsonl", GOOD, BAD)
    said = (
        "1 items carry no crawl time and were dated by the file's receipt. Were they scraped at "
        "another time? Import them into a fresh VIRAL_HOME with --scraped-at"
    )
    assert said in viral("import", path, "--dry-run")
    assert "receipt" not in viral("import", path, "--dry-run", *SCRAPED)
    assert said in viral("import", path)
    report = viral.json("import", path)
    assert report["dated_by_receipt"] == report["files"][0]["dated_by_receipt"] == 1


def test_another_crawl_time_for_a_file_imported_before_exits_with_3(
    viral: Viral, tmp_path: Path
) -> None:
    path = _write(tmp_path / "items.jsonl", GOOD)
    viral("import", path, *SCRAPED)
    message = viral("import", path, "--scraped-at", "2025-06-02T12:00:00Z", code=3)
    for part in ("items.jsonl", "2025-06-01T12:00:00+00:00", "2025-06-02T12:00:00+00:00"):
        assert part in message


def test_mixing_real_and_simulated_exits_with_4_also_on_a_retry(
    viral: Viral, database: Database, tmp_path: Path
) -> None:
    real, simulated = GOOD, {**GOOD, "id": BAD["id"], "simulated": True}
    viral("import", _write(tmp_path / "real.jsonl", real, BAD), *SCRAPED)
    path = _write(tmp_path / "simulated.jsonl", simulated)
    assert "simulated.jsonl holds simulated" in viral("import", path, *SCRAPED, code=4)
    with database.connect() as connection:
        connection.execute("update app.quarantined_items set item = %s", [json.dumps(simulated)])
    assert "The quarantine holds simulated" in viral("quarantine", "retry", code=4)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cut.jsonl", b'{"id": "1"}\n{"id": ', "item 2"),
        ("empty.json", b"", "the file is empty"),
        ("text.json", b"not json", "item 1"),
    ],
)
def test_an_unreadable_file_exits_with_3_and_says_where(
    viral: Viral, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    message = viral("import", tmp_path / name, code=3)
    assert name in message
    assert said in message


@pytest.mark.parametrize(
    "arguments",
    [["--source", "other"], ["--scraped-at", "yesterday"], ["--scraped-at", "2999-01-01"]],
)
def test_wrong_usage_exits_with_2(viral: Viral, tmp_path: Path, arguments: list[str]) -> None:
    viral("import", _write(tmp_path / "items.jsonl", GOOD), *arguments, code=2)


def test_help_says_which_zone_is_assumed(viral: Viral) -> None:
    assert "Asia/Ho_Chi_Minh" in viral("import", "--help")


def test_retry_stores_what_the_rules_accept_now(
    viral: Viral, database: Database, tmp_path: Path
) -> None:
    viral("import", _write(tmp_path / "items.jsonl", GOOD, BAD, BAD), *SCRAPED)
    with database.connect() as connection:
        connection.execute(
            "update app.quarantined_items set item = %s where position = 2",
            [json.dumps({**BAD, "playCount": 7})],
        )
    report = viral.json("quarantine", "retry")
    assert (report["retried"], report["accepted"], report["still_rejected"]) == (2, 1, 1)
    assert [item["position"] for item in viral.json("quarantine", "list")] == [3]
    with database.connect() as connection:
        rows = connection.execute(
            "select v.views, s.crawled_at from app.scraped_videos v "
            "join app.video_snapshots s on s.video_id = v.id where v.platform_video_id = %s",
            [BAD["id"]],
        ).fetchall()
    assert [(views, at.isoformat()) for views, at in rows] == [(7, "2025-06-01T12:00:00+00:00")]


def _rows(database: Database) -> dict[str, list[Any]]:
    """Return all rows of an import, without what counts receipts and attempts."""
    with database.connect() as connection:
        return {
            table: sorted(
                json.dumps(row, sort_keys=True)
                for (row,) in connection.execute(
                    f"select to_jsonb(t) - %s::text[] from app.{table} t",
                    [left_out.split(", ")],
                )
            )
            for table, left_out in TABLES.items()
        }


@pytest.mark.parametrize("step", ["copy staged_videos", "insert into app.scraped_videos"])
def test_an_import_killed_in_mid_file_leaves_nothing_and_the_next_one_is_complete(
    viral: Viral, database: Database, tmp_path: Path, step: str
) -> None:
    path = _write(
        tmp_path / "many.jsonl",
        *(
            {
                "id": str((1717064979 << 32) + number % 25_000),
                "text": f"caption {number}",
                "playCount": "many" if number % 1_000 == 7 else number,
                "authorMeta": {"name": f"author{number % 900}", "fans": number},
            }
            for number in range(30_000)
        ),
    )
    import_arguments = [VIRAL, "import", str(path), *SCRAPED, "--json"]
    environment = {**os.environ, "VIRAL_DATABASE_URL": database.url, "VIRAL_HOME": str(tmp_path)}
    process = subprocess.Popen(
        import_arguments, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _wait_until(database, step, present=True)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=30) == -signal.SIGKILL
    _wait_until(database, step, present=False)
    assert all(not rows for rows in _rows(database).values())

    report = viral.json("import", path, *SCRAPED)
    assert (report["new"], report["quarantined"]) == (25_000 - 30 + 5, 30)
    recovered = _rows(database)
    with database.connect() as connection:
        connection.execute(
            "truncate app.scraped_videos, app.creator_profiles, app.import_files, "
            "app.quarantined_items cascade"
        )
    viral("import", path, *SCRAPED)
    assert _rows(database) == recovered


def _wait_until(database: Database, step: str, *, present: bool) -> None:
    """Wait until a backend of this database works on a step, or none does any more."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with database.connect() as connection:
            (found,) = connection.execute(
                "select count(*) from pg_stat_activity where datname = current_database() "
                "and pid <> pg_backend_pid() and state = 'active' and position(%s in query) > 0",
                [step],
            ).fetchone() or (0,)
        if bool(found) == present:
            return
        time.sleep(0.002)
    raise AssertionError(f"{step!r} was {'never' if present else 'still'} active after 30 s")
