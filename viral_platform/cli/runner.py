"""Run a job in this process on the installation's instance, and say what became of it."""

from __future__ import annotations

import os
import textwrap
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path

import dagster as dg
import psycopg
import sqlalchemy.exc
from dagster import DagsterEvent, DagsterInstance
from dagster_postgres.utils import DagsterPostgresException
from dagster_shared.error import SerializableErrorInfo

from viral_platform.defs.common import GATE_REFUSED, INPUT_UNUSABLE
from viral_platform.defs.instance import dagster_environment, write_dagster_home
from viral_platform.engine.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    GateRefusedError,
    InputError,
    OutsideServiceError,
    ViralPlatformError,
)
from viral_platform.observability.scrubbing import scrub_text
from viral_platform.settings import Settings
from viral_platform.storage.database import Database

StepListener = Callable[[str, bool, float], None]

OUTSIDE_SERVICE = "outside_service"

_LOCK_NAMESPACE = 7_271
_ERRORS_TOLD = 2
_LONGEST_TOLD = 300
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class CheckOutcome:
    """One evaluated asset check."""

    asset: str
    check: str
    passed: bool
    severity: str
    description: str


@dataclass(frozen=True)
class RunReport:
    """What became of a run. `problem` is None when it succeeded."""

    run_id: str
    job: str
    success: bool
    seconds: float
    checks: list[CheckOutcome]
    problem: str | None
    problem_kind: str | None

    def as_dict(self) -> dict[str, object]:
        """Return the report as plain values."""
        return asdict(self)

    def raise_for_problem(self) -> None:
        """Raise the error that tells the command line's exit code; nothing on success."""
        if self.success:
            return
        message = f"{self.job}: {self.problem}"
        if self.problem_kind == GATE_REFUSED:
            raise GateRefusedError(message)
        if self.problem_kind == INPUT_UNUSABLE:
            raise InputError(message)
        if self.problem_kind == OUTSIDE_SERVICE:
            raise OutsideServiceError(message)
        raise ViralPlatformError(message)


def open_instance(settings: Settings, database: Database) -> DagsterInstance:
    """Return Dagster's instance of this installation; the process's environment is set for it."""
    write_dagster_home(settings)
    os.environ.update(dagster_environment(settings, database))
    instance = DagsterInstance.get()
    # Keeps a connection; without it each statement opens one, at five times the cost.
    instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=3600, max_overflow=5)
    return instance


def job_names() -> list[str]:
    """Return the names of all jobs that can be run."""
    from viral_platform.definitions import defs  # loads Dagster's definitions, 2 s

    return sorted(job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__"))


def run_job(
    name: str,
    settings: Settings,
    database: Database,
    *,
    config: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    on_step: StepListener = lambda _step, _ok, _seconds: None,
) -> RunReport:
    """Run a job to its end and return its report.

    Raises
    ------
    ConfigurationError
        There is no such job, or the run config does not fit it.
    GateRefusedError
        The job runs already, in another process.
    OutsideServiceError
        The database was lost, so that not even the run's end could be stored.
    """
    from viral_platform.definitions import defs  # loads Dagster's definitions, 2 s

    if name not in job_names():
        raise ConfigurationError(f"No job {name}. There are: {', '.join(job_names())}.")
    started = time.monotonic()
    with (
        _failures_named(name),
        _alone(database, name),
        _dbt_speaks_to(settings.home / "logs" / "dbt.log"),
    ):
        result = (
            defs.resolve_job_def(name)
            .with_hooks(_listeners(on_step))
            .execute_in_process(
                run_config={**_QUIET, **(config or {})},
                tags=None if tags is None else dict(tags),
                instance=open_instance(settings, database),
                raise_on_error=False,
            )
        )
    problem, kind = _problem(result.all_events)
    return RunReport(
        run_id=result.run_id,
        job=name,
        success=result.success,
        seconds=time.monotonic() - started,
        checks=[
            CheckOutcome(
                asset=evaluation.asset_key.to_user_string(),
                check=evaluation.check_name,
                passed=evaluation.passed,
                severity=evaluation.severity.value,
                description=evaluation.description or "",
            )
            for evaluation in result.get_asset_check_evaluations()
        ],
        problem=problem,
        problem_kind=kind,
    )


_DATABASE_LOST = (
    DatabaseUnavailableError,
    DagsterPostgresException,
    psycopg.OperationalError,
    sqlalchemy.exc.OperationalError,
)


@contextmanager
def _failures_named(name: str) -> Iterator[None]:
    """Raise our own errors for a run config that does not fit and for a database that is lost."""
    try:
        yield
    except dg.DagsterInvalidConfigError as error:
        told = [_short(problem.message) for problem in error.errors[:_ERRORS_TOLD]]
        raise ConfigurationError(
            f"{name}: the run config does not fit. {' '.join(told)}\n"
            f"Give it as viral run {name} --config FILE with ops: {{ASSET: {{config: ...}}}}."
        ) from error
    except _DATABASE_LOST as error:
        cause = getattr(error, "orig", None) or error.__cause__ or error
        raise OutsideServiceError(f"{name}: {_lost(str(cause))}") from error


def _lost(cause: str) -> str:
    first = next(iter(cause.strip().splitlines()), "no reason given")
    return (
        f"the database was lost during the run ({_short(scrub_text(first))}). "
        "Run the job again once PostgreSQL answers."
    )


def _short(text: str) -> str:
    return textwrap.shorten(text, _LONGEST_TOLD, placeholder=" ...")


@contextmanager
def _alone(database: Database, name: str) -> Iterator[None]:
    """Hold the job's advisory lock: a run in process passes the run queue's limits by."""
    key = zlib.crc32(name.encode()) & 0x7FFFFFFF
    with database.connect() as connection:
        row = connection.execute(
            "select pg_try_advisory_lock(%s, %s)", [_LOCK_NAMESPACE, key]
        ).fetchone()
        if row is None or not row[0]:
            raise GateRefusedError(f"{name} runs already. Wait for it, or look at the Dagster UI.")
        yield


@contextmanager
def _dbt_speaks_to(path: Path) -> Iterator[None]:
    """Send what dbt prints to a file: standard output belongs to the command's result."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log_file, redirect_stdout(log_file):
        yield


def _listeners(on_step: StepListener) -> set[dg.HookDefinition]:
    last = [time.monotonic()]

    def tell(context: dg.HookContext, *, ok: bool) -> None:
        now = time.monotonic()
        on_step(context.step_key, ok, now - last[0])
        last[0] = now

    @dg.success_hook(name="tell_success")
    def on_success(context: dg.HookContext) -> None:
        tell(context, ok=True)

    @dg.failure_hook(name="tell_failure")
    def on_failure(context: dg.HookContext) -> None:
        tell(context, ok=False)

    return {on_success, on_failure}


def _problem(events: Sequence[DagsterEvent]) -> tuple[str | None, str | None]:
    """Return the sentence and kind of the first step failure, Nones without one."""
    for event in events:
        if not event.is_step_failure:
            continue
        data = event.step_failure_data
        error = data.error
        if data.user_failure_data is not None:
            kind = data.user_failure_data.metadata.get("kind")
            text = data.user_failure_data.description or "failed"
            return text, None if kind is None else str(kind.value)
        if error is None:
            return f"step {event.step_key} failed", None
        lost = _database_lost(error)
        if lost is not None:
            return _lost(lost.message.partition(": ")[2]), OUTSIDE_SERVICE
        refused = error.cls_name == "DagsterAssetCheckFailedError"
        return error.message.strip(), GATE_REFUSED if refused else None
    return None, None


def _database_lost(error: SerializableErrorInfo) -> SerializableErrorInfo | None:
    """Return the link of the error's chain that says that the database is lost, or None."""
    link: SerializableErrorInfo | None = error
    while link is not None:
        # Dagster keeps of an error what can be stored: its class by name.
        if link.cls_name in {kind.__name__ for kind in _DATABASE_LOST}:
            return link
        link = link.cause or link.context
    return None
