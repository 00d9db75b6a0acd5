"""One embedded PostgreSQL per run, one migrated template, a clone of it for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

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


@pytest.fixture
def database(server_url: str) -> Iterator[Database]:
    """A migrated, empty database of this test alone."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name} template {_TEMPLATE}")
    clone = Database(make_url(server_url).set(database=name))
    yield clone
    clone.engine.dispose()
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


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
