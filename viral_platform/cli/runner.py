"""Run a job in this process on the installation's instance, and say what became of it."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path

import dagster as dg
from dagster import DagsterEvent, DagsterInstance

from viral_platform.defs.common import GATE_REFUSED, INPUT_UNUSABLE
from viral_platform.defs.instance import dagster_environment, write_dagster_home
from viral_platform.engine.errors import (
    GateRefusedError,
    InputError,
    NotFoundError,
    ViralPlatformError,
)
from viral_platform.settings import Settings
from viral_platform.storage.database import Database

StepListener = Callable[[str, bool, float], None]

_LOCK_NAMESPACE = 7_271
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
    on_step: StepListener = lambda _step, _ok, _seconds: None,
) -> RunReport:
    """Run a job to its end and return its report.

    Raises
    ------
    NotFoundError
        There is no such job.
    GateRefusedError
        The job runs already, in another process.
    """
    from viral_platform.definitions import defs  # loads Dagster's definitions, 2 s

    if name not in job_names():
        raise NotFoundError(f"No job {name}. There are: {', '.join(job_names())}.")
    instance = open_instance(settings, database)
    started = time.monotonic()
    with _alone(database, name), _dbt_speaks_to(settings.home / "logs" / "dbt.log"):
        result = (
            defs.resolve_job_def(name)
            .with_hooks(_listeners(on_step))
            .execute_in_process(
                run_config={**_QUIET, **(config or {})}, instance=instance, raise_on_error=False
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
        name = "" if error is None else (error.cls_name or "")
        text = f"step {event.step_key} failed" if error is None else error.message.strip()
        return text, GATE_REFUSED if name == "DagsterAssetCheckFailedError" else None
    return None, None
