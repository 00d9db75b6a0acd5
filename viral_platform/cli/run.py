"""`viral run JOB`: a Dagster job in this process, with its steps and checks as they end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Group

from viral_platform.cli.output import JsonFlag, emit, err, open_installation, table
from viral_platform.engine.errors import InputError, UnreadableFileError


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("run")(run)


def run(
    job: Annotated[str, typer.Argument(help="Name of the job, e.g. retrain_ml.")],
    *,
    config: Annotated[Path | None, typer.Option(help="Run config as YAML.")] = None,
    json: JsonFlag = False,
) -> None:
    """Run a Dagster job here; exit 4 when a blocking check fails or a gate refuses."""
    from viral_platform.cli.runner import run_job  # Dagster costs 2 s; other commands need none

    installation = open_installation()
    report = run_job(
        job,
        installation.settings,
        installation.database,
        config=None if config is None else _config(config),
        on_step=show_step,
    )
    emit(
        report.as_dict(),
        as_json=json,
        human=lambda: Group(
            table(
                "Checks",
                [check.__dict__ for check in report.checks],
                ["asset", "check", "passed", "severity", "description"],
            ),
            f"{job} {'succeeded' if report.success else 'failed'} in {report.seconds:.1f} s "
            f"(run {report.run_id}).",
        ),
    )
    report.raise_for_problem()


def show_step(step: str, ok: bool, seconds: float) -> None:
    """Print one line for a step that ended."""
    mark = "[green]ok[/]" if ok else "[red]failed[/]"
    err.print(f"{mark} {step} ({seconds:.1f} s)")


def _config(path: Path) -> dict[str, object]:
    try:
        loaded = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise UnreadableFileError(path, "as a whole", "it cannot be read", "Check it.") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {error}") from None
    if not isinstance(loaded, dict):
        raise InputError(f"{path} must hold a mapping: ops: {{...}}.")
    return loaded
