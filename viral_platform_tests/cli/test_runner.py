"""What `run_job` says of a run that cannot be started, and of a database lost in one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import psycopg
import pytest
import sqlalchemy.exc

from viral_platform.cli import main, runner
from viral_platform.engine.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    OutsideServiceError,
    ViralPlatformError,
)
from viral_platform.settings import Settings
from viral_platform.storage import embedded
from viral_platform.storage.database import Database, open_database

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Running a job sets the process's environment."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def quiet_instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Dagster's storage in memory, where the test is not about it."""
    with dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setattr(runner, "open_instance", lambda *_: instance)
        yield instance


def use(monkeypatch: pytest.MonkeyPatch, step: dg.OpDefinition) -> None:
    """Let the only job be one of this one step."""

    @dg.job(name="tiny")
    def tiny() -> None:
        step()

    monkeypatch.setattr("viral_platform.definitions.defs", dg.Definitions(jobs=[tiny]))


def test_an_unknown_job_is_wrong_usage(database: Database, settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="retrain_ml") as caught:
        runner.run_job("no_such_job", settings, database)
    assert main.exit_code(caught.value) == 2


@pytest.mark.usefixtures("quiet_instance")
@pytest.mark.parametrize(
    ("config", "told"),
    [
        (None, 'Missing required config entry "ops"'),
        ({"ops": {"imported_exports": {"config": {"filez": []}}}}, 'config entry "filez"'),
        ({"opz": {}}, 'config entry "opz"'),
    ],
    ids=["missing", "wrong field", "wrong key"],
)
def test_a_run_config_that_does_not_fit_is_wrong_usage_in_a_few_words(
    database: Database, settings: Settings, config: dict[str, object] | None, told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        runner.run_job("import_exports", settings, database, config=config)
    message = str(caught.value)
    assert "--config FILE with ops:" in message
    assert len(message) < 900
    assert message.count("\n") == 1
    assert main.exit_code(caught.value) == 2


@pytest.mark.usefixtures("quiet_instance")
@pytest.mark.parametrize(
    "error",
    [
        DatabaseUnavailableError("it is gone"),
        psycopg.OperationalError("it is gone"),
        sqlalchemy.exc.OperationalError("select 1", {}, Exception("it is gone")),
    ],
    ids=lambda error: type(error).__module__,
)
def test_a_step_that_lost_the_database_is_an_outside_failure_in_one_sentence(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    @dg.op
    def lose() -> None:
        raise error

    use(monkeypatch, lose)
    report = runner.run_job("tiny", settings, database)
    with pytest.raises(OutsideServiceError, match="tiny: the database was lost") as caught:
        report.raise_for_problem()
    assert "it is gone" in str(caught.value)
    assert "select 1" not in str(caught.value)
    assert main.exit_code(caught.value) == 5


@pytest.mark.usefixtures("quiet_instance")
def test_another_failure_of_a_step_stays_our_own_fault(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.op
    def fail() -> None:
        raise RuntimeError("a fault")

    use(monkeypatch, fail)
    report = runner.run_job("tiny", settings, database)
    with pytest.raises(ViralPlatformError) as caught:
        report.raise_for_problem()
    assert main.exit_code(caught.value) == 1


@pytest.fixture
def home() -> Iterator[Path]:
    # A short path: the server's socket lies below it.
    home = Path(tempfile.mkdtemp(prefix="viral-run-"))
    yield home
    embedded.stop_server(home)
    shutil.rmtree(home, ignore_errors=True)


def test_a_server_killed_within_a_run_is_an_outside_failure_in_one_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster's own storage raised, and the command ended with pages of SQL and exit code 1."""
    settings = Settings(viral_home=home, _env_file=None)
    database = open_database(settings)

    @dg.op
    def kill() -> None:
        pid = int((home / "pg" / "postmaster.pid").read_text().split("\n", 1)[0])
        server = psutil.Process(pid)
        for process in (server, *server.children(recursive=True)):
            process.kill()

    use(monkeypatch, kill)
    with pytest.raises(OutsideServiceError, match="tiny: the database was lost") as caught:
        runner.run_job("tiny", settings, database)
    assert "\n" not in str(caught.value)
    assert main.exit_code(caught.value) == 5
