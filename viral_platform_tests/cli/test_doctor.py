from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from viral_platform.cli import doctor, main, programs
from viral_platform.settings import Settings
from viral_platform.storage import models
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def installation(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A sound installation: this test's database, free ports, definitions that load."""
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{}")
    settings = Settings(
        viral_home=tmp_path,
        viral_database_url=SecretStr(database.url),
        dagster_webserver_port=free_port(),
        dagster_code_server_port=free_port(),
        _env_file=None,
    )
    monkeypatch.setattr(programs, "MANIFEST", manifest)
    monkeypatch.setattr(doctor, "_LOAD", "pass")
    monkeypatch.setattr(doctor, "load_settings", lambda: settings)
    return settings


def findings(settings: Settings) -> dict[str, doctor.Finding]:
    return {finding.check: finding for finding in doctor.examine(settings)}


def with_values(settings: Settings, **values: object) -> Settings:
    return settings.model_copy(update=values)


def test_a_sound_installation_has_no_problem_and_ends_with_exit_code_0(
    installation: Settings,
) -> None:
    result = CliRunner().invoke(main.app, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    listed = json.loads(result.stdout)
    assert {item["check"] for item in listed if item["state"] == "problem"} == set()
    assert all(set(item) == {"check", "state", "message", "fix"} for item in listed)


def test_a_problem_ends_with_exit_code_4_and_people_read_how_to_mend_it(
    installation: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(programs, "MANIFEST", tmp_path / "absent.json")
    result = CliRunner().invoke(main.app, ["doctor"])
    assert result.exit_code == 4
    assert "dbt parse --project-dir" in result.stdout


def test_tables_behind_the_code_are_mended_by_migrate(
    installation: Settings, database: Database
) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("update app.alembic_version set version_num = '0000'")
    found = findings(installation)
    assert found["schema"].state == "problem"
    assert "revision 0000" in found["schema"].message
    assert "viral migrate" in found["schema"].fix
    assert found["champion"].message == "not checked on such tables"


def test_a_database_that_does_not_answer_is_one_problem_without_its_password(
    installation: Settings,
) -> None:
    url = f"postgresql://viral:hunter2@127.0.0.1:{free_port()}/viral"
    found = findings(with_values(installation, viral_database_url=SecretStr(url)))
    assert [name for name, item in found.items() if item.state == "problem"] == ["database"]
    assert "does not answer" in found["database"].message
    assert "hunter2" not in str(found)


def test_a_taken_port_is_a_problem_that_names_its_setting(installation: Settings) -> None:
    with socket.create_server(("127.0.0.1", installation.dagster_webserver_port)):
        found = findings(installation)
    assert found["port_webserver"].state == "problem"
    assert "DAGSTER_WEBSERVER_PORT" in found["port_webserver"].fix
    assert found["port_code-server"].state == "ok"


def test_definitions_that_do_not_load_are_told_with_the_last_line_of_the_traceback(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_LOAD", "raise ImportError('no module named pandas')")
    found = findings(installation)["definitions"]
    assert (found.state, found.message) == ("problem", "ImportError: no module named pandas")
    assert "dagster definitions validate" in found.fix


def test_definitions_that_hang_are_given_up(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_LOAD", "import time; time.sleep(60)")
    monkeypatch.setattr(doctor, "LOAD_SECONDS", 0.2)
    found = findings(installation)["definitions"]
    assert found.state == "problem"
    assert "not loaded within" in found.message


@pytest.mark.slow
def test_the_real_definitions_load_by_the_command_of_the_check() -> None:
    subprocess.run(
        [sys.executable, "-c", doctor._LOAD], timeout=120, check=True, capture_output=True
    )


def test_a_champion_without_its_file_is_a_problem_and_one_with_it_is_not(
    installation: Settings, database: Database
) -> None:
    assert findings(installation)["champion"].state == "info"
    digest = ArtifactStore(installation.artifacts).save(b"model")
    promote(database, digest)
    assert findings(installation)["champion"].state == "ok"

    ArtifactStore(installation.artifacts).path(digest).unlink()
    found = findings(installation)["champion"]
    assert found.state == "problem"
    assert "v1" in found.message
    assert "viral run retrain_ml" in found.fix


def promote(database: Database, digest: str) -> None:
    models.save_training_set(
        database, sha256=digest, rows=1, videos=1, summary={}, is_simulated=True
    )
    models.save_model(
        database,
        version="v1",
        artifact_sha256=digest,
        data_sha256=digest,
        sidecar={},
        report={},
        is_simulated=True,
    )
    models.make_champion(database, "v1")


def test_a_home_too_long_for_a_socket_is_a_problem(tmp_path: Path) -> None:
    assert doctor._socket(Path("/srv/viral")).state == "ok"
    found = doctor._socket(tmp_path / ("deep" * 30))
    assert (found.state, found.fix) == ("problem", "Set VIRAL_HOME to a shorter path.")


def test_a_home_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    assert doctor._home(tmp_path / "new" / "home").state == "ok"
    (tmp_path / "file").touch()
    found = doctor._home(tmp_path / "file" / "home")
    assert found.state == "problem"
    assert "VIRAL_HOME" in found.fix


def test_folders_that_root_opens_are_told_as_information(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.embedded, "directories_to_open", lambda _: [tmp_path])
    found = doctor._opened_folders(tmp_path)
    assert (found.state, str(tmp_path) in found.message) == ("info", True)


def test_a_manifest_older_than_a_model_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    model = project / "models" / "marts" / "sounds.sql"
    model.parent.mkdir(parents=True)
    manifest = project / "target" / "manifest.json"
    manifest.parent.mkdir()
    model.touch()
    manifest.touch()
    monkeypatch.setattr(programs, "DBT_PROJECT", project)
    monkeypatch.setattr(programs, "MANIFEST", manifest)
    assert doctor._manifest().state == "ok"

    future = manifest.stat().st_mtime + 10

    os.utime(model, (future, future))
    found = doctor._manifest()
    assert found.state == "problem"
    assert "older than the project" in found.message
