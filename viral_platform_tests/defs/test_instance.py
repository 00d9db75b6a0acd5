from __future__ import annotations

import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest
import yaml
from pydantic import SecretStr
from sqlalchemy import make_url

from viral_platform.defs.instance import (
    DEFINITIONS_MODULE,
    LOCATION,
    dagster_environment,
    write_dagster_home,
    write_workspace,
)
from viral_platform.defs.jobs import EXCLUSIVE
from viral_platform.settings import PROJECT_ROOT, Settings
from viral_platform.storage.database import DAGSTER_DATABASE, Database


@pytest.fixture
def instance(
    settings: Settings, server_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """The installation's instance on PostgreSQL, in a database of this test alone."""
    name = f"{DAGSTER_DATABASE}_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    url = make_url(database.dagster_url).set(database=name).render_as_string(hide_password=False)
    write_dagster_home(settings)
    for key, value in dagster_environment(settings, database).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("VIRAL_DAGSTER_DATABASE_URL", url)
    with dg.DagsterInstance.get() as instance:
        yield instance
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


def test_dagster_takes_every_key_of_the_instance_file_and_stores_in_postgresql(
    instance: dg.DagsterInstance,
) -> None:
    assert instance.telemetry_enabled is False
    assert instance.nux_enabled is False
    assert "Postgres" in type(instance.run_storage).__name__
    assert instance.get_runs() == []
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_max_runtime_seconds == 2 * 60 * 60
    assert instance.code_server_process_startup_timeout == 120


def test_runs_of_one_job_never_overlap_and_four_run_at_once(instance: dg.DagsterInstance) -> None:
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.max_concurrent_runs == 4
    assert queue.tag_concurrency_limits == [
        {"key": EXCLUSIVE, "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    ]


def test_the_instance_file_holds_no_url_and_no_password(settings: Settings) -> None:
    text = (write_dagster_home(settings) / "dagster.yaml").read_text()
    assert "://" not in text
    assert yaml.safe_load(text)["storage"] == {
        "postgres": {"postgres_url": {"env": "VIRAL_DAGSTER_DATABASE_URL"}}
    }


def test_only_its_owner_may_enter_dagsters_home(settings: Settings) -> None:
    settings.dagster_home.mkdir(parents=True, mode=0o755)
    home = write_dagster_home(settings)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "dagster.yaml").stat().st_mode) == 0o600


def test_a_file_that_is_right_is_left_alone_and_an_edited_one_is_written_again(
    settings: Settings,
) -> None:
    file = write_dagster_home(settings) / "dagster.yaml"
    right, written_at = file.read_text(), file.stat().st_mtime_ns
    write_dagster_home(settings)
    assert file.stat().st_mtime_ns == written_at

    file.write_text("telemetry: {enabled: true}\n")
    write_dagster_home(settings)
    assert file.read_text() == right
    assert [path.name for path in file.parent.iterdir()] == ["dagster.yaml"]


def test_the_workspace_names_the_code_server_on_its_port(tmp_path: Path) -> None:
    settings = Settings(viral_home=tmp_path, dagster_code_server_port=4999, _env_file=None)
    assert yaml.safe_load(write_workspace(settings).read_text()) == {
        "load_from": [
            {"grpc_server": {"host": "127.0.0.1", "port": 4999, "location_name": LOCATION}}
        ]
    }


def test_the_workspace_for_use_by_hand_loads_the_same_definitions() -> None:
    workspace = yaml.safe_load((PROJECT_ROOT / "workspace.yaml").read_text())
    assert workspace == {
        "load_from": [
            {"python_module": {"module_name": DEFINITIONS_MODULE, "location_name": LOCATION}}
        ]
    }


def test_dagsters_processes_find_the_installation_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = "postgresql://viral:hunter2@db.example/viral"
    settings = Settings(viral_home=Path("here"), viral_database_url=SecretStr(url), _env_file=None)
    environment = dagster_environment(settings, Database(make_url(url)))
    assert environment["VIRAL_HOME"] == str(tmp_path / "here")
    assert environment["DAGSTER_HOME"] == str(tmp_path / "here" / "dagster")
    assert environment["VIRAL_DATABASE_URL"] == url
    assert environment["VIRAL_PG_PASSWORD"] == "hunter2"
    assert environment["DAGSTER_DISABLE_TELEMETRY"] == "true"
    assert environment["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "false"


def test_the_embedded_database_is_not_passed_on_as_an_external_one(
    settings: Settings, database: Database
) -> None:
    assert "VIRAL_DATABASE_URL" not in dagster_environment(settings, database)


def test_the_instance_module_does_not_wait_for_dagster() -> None:
    """`viral up` and `viral status` would start half a second later."""
    source = "import sys, viral_platform.defs.instance; print('dagster' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.strip() == "False"
