"""`viral doctor`: what is wrong with this installation and how to mend it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from viral_platform.cli import ports, programs
from viral_platform.cli.claim import supervisor_of
from viral_platform.cli.output import JsonFlag, emit
from viral_platform.defs.instance import DEFINITIONS_MODULE, dagster_environment
from viral_platform.engine.errors import ViralPlatformError
from viral_platform.observability.scrubbing import scrub_text
from viral_platform.settings import Settings, load_settings
from viral_platform.storage import embedded
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database, open_database
from viral_platform.storage.models import champion
from viral_platform.storage.schema import current_revision, head_revision

OLDEST_PYTHON = (3, 11)
# From 94 characters on, the server puts its socket into a folder that everyone may write.
LONGEST_SOCKET_FOLDER = 90
LOAD_SECONDS = 90
_STYLES = {"ok": "green", "info": "cyan", "problem": "bold red"}
_LOAD = f"import dagster, {DEFINITIONS_MODULE} as m; dagster.Definitions.validate_loadable(m.defs)"


@dataclass(frozen=True)
class Finding:
    """One check; `info` is worth knowing and no fault. `fix` is empty when there is none to do."""

    check: str
    state: Literal["ok", "info", "problem"]
    message: str
    fix: str = ""


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("doctor")(doctor_command)


def doctor_command(*, json: JsonFlag = False) -> None:
    """List what is wrong with this installation and how to mend it; exit 4 when something is."""
    findings = list(examine(load_settings()))
    emit([asdict(finding) for finding in findings], as_json=json, human=lambda: _rendered(findings))
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(4)


def _rendered(findings: list[Finding]) -> Text:
    # Lines and not a table: paths and messages are longer than a column is wide.
    text = Text(overflow="fold")
    for finding in findings:
        text.append(f"{finding.state:<8}", style=_STYLES[finding.state])
        text.append(f"{finding.check}: {finding.message}\n")
        if finding.fix:
            text.append(f"        {finding.fix}\n", style="dim")
    text.rstrip()
    return text


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield each finding; the database is started for it, as for any command."""
    yield _python()
    yield _settings_file(settings)
    yield _home(settings.home)
    if settings.viral_database_url is None:
        yield _socket(settings.home)
        yield _opened_folders(settings.home)
    database, finding = _database(settings)
    yield finding
    yield from _contents(settings, database)
    yield _dbt()
    yield _manifest()
    yield _definitions(settings, database)
    yield from _ports(settings)
    yield _sentry(settings)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return Finding("python", "problem", version, f"Install it with Python {oldest} or newer.")
    return Finding("python", "ok", version)


def _settings_file(settings: Settings) -> Finding:
    file = Path(str(settings.model_config.get("env_file"))).absolute()
    where = f"environment and {file}" if file.is_file() else f"environment; there is no {file}"
    return Finding("settings", "ok", f"read from {where}")


def _home(home: Path) -> Finding:
    nearest = next(folder for folder in (home, *home.parents) if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return Finding(
            "home",
            "problem",
            f"{nearest} is no folder that we may write",
            "Give its owner's rights to this user, or set VIRAL_HOME to another folder.",
        )
    return Finding("home", "ok", str(home) if nearest == home else f"{home} will be made")


def _socket(home: Path) -> Finding:
    length = len(str(home / "pg"))
    if length > LONGEST_SOCKET_FOLDER:
        return Finding(
            "socket_path",
            "problem",
            f"{home / 'pg'} has {length} characters; a socket's folder may have "
            f"{LONGEST_SOCKET_FOLDER}",
            "Set VIRAL_HOME to a shorter path.",
        )
    return Finding("socket_path", "ok", f"{length} of {LONGEST_SOCKET_FOLDER} characters")


def _opened_folders(home: Path) -> Finding:
    folders = embedded.directories_to_open(home / "pg")
    if not folders:
        return Finding("folders", "ok", "no folder has to be opened to other users")
    named = ", ".join(map(str, folders))
    return Finding(
        "folders",
        "info",
        f"started as root, the database opens to all users: {named}",
        "Run as another user, or set VIRAL_DATABASE_URL.",
    )


def _database(settings: Settings) -> tuple[Database | None, Finding]:
    try:
        database = open_database(settings)
    except ViralPlatformError as error:
        message = scrub_text(str(error))
        return None, Finding("database", "problem", message, "Do what the message says.")
    return database, Finding("database", "ok", f"{database.safe_url} answers")


def _contents(settings: Settings, database: Database | None) -> Iterator[Finding]:
    if database is None:
        yield Finding("schema", "info", "not checked without the database")
        yield Finding("champion", "info", "not checked without the database")
        return
    try:
        schema = _schema(database)
        yield schema
        if schema.state == "ok":
            yield _champion(settings, database)
        else:
            yield Finding("champion", "info", "not checked on such tables")
    finally:
        database.engine.dispose()


def _schema(database: Database) -> Finding:
    head = head_revision()
    try:
        revision = current_revision(database)
    except SQLAlchemyError as error:
        return Finding("schema", "problem", scrub_text(str(error)), "Run `viral migrate`.")
    if revision != head:
        message = f"tables are at revision {revision or 'none'}, this code expects {head}"
        return Finding("schema", "problem", message, "Run `viral migrate`.")
    return Finding("schema", "ok", f"tables are at revision {head}")


def _champion(settings: Settings, database: Database) -> Finding:
    model = champion(database)
    if model is None:
        fix = "Train one: viral run retrain_ml."
        return Finding("champion", "info", "no model was promoted yet", fix)
    try:
        ArtifactStore(settings.artifacts).load(model.artifact_sha256)
    except (ViralPlatformError, OSError) as error:
        fix = "Put the artifacts folder back from a backup, or train anew: viral run retrain_ml."
        return Finding("champion", "problem", f"version {model.version}: {error}", fix)
    return Finding("champion", "ok", f"version {model.version} is readable")


def _dbt() -> Finding:
    path = programs.executable("dbt")
    if not os.access(path, os.X_OK):
        fix = "Install the project into this environment again: pip install -e ."
        return Finding("dbt", "problem", f"{path} is missing", fix)
    return Finding("dbt", "ok", str(path))


def _manifest() -> Finding:
    if programs.manifest_is_current():
        return Finding("dbt_manifest", "ok", str(programs.MANIFEST))
    state = "older than the project" if programs.MANIFEST.exists() else "missing"
    project = programs.DBT_PROJECT
    return Finding(
        "dbt_manifest",
        "problem",
        f"{programs.MANIFEST} is {state}",
        f"Run `viral up`, or: dbt parse --project-dir {project} --profiles-dir {project}",
    )


def _definitions(settings: Settings, database: Database | None) -> Finding:
    """Load them in a process of their own: they take seconds and may fail in any way."""
    if not programs.MANIFEST.exists():
        return Finding("definitions", "info", "not checked without the manifest of dbt")
    ours = {} if database is None else dagster_environment(settings, database)
    try:
        loaded = subprocess.run(
            [sys.executable, "-c", _LOAD],
            env={**os.environ, **ours},
            capture_output=True,
            text=True,
            timeout=LOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        message = f"not loaded within {LOAD_SECONDS} s"
        return Finding("definitions", "problem", message, f"Try: python -m {DEFINITIONS_MODULE}")
    if loaded.returncode != 0:
        last = (loaded.stderr.strip().splitlines() or ["no message"])[-1]
        fix = f"See the whole message: dagster definitions validate -m {DEFINITIONS_MODULE}"
        return Finding("definitions", "problem", scrub_text(last), fix)
    return Finding("definitions", "ok", f"{DEFINITIONS_MODULE} loads")


def _ports(settings: Settings) -> Iterator[Finding]:
    running = supervisor_of(settings.home) is not None
    for name, (port, setting) in programs.ports_of(settings).items():
        check = f"port_{name}"
        if running and ports.answers(port):
            yield Finding(check, "ok", f"{port} is served by `viral up`")
        elif why := ports.why_unusable(port):
            yield Finding(check, "problem", why, f"Change {setting} or stop that program.")
        else:
            yield Finding(check, "ok", f"{port} is free")


def _sentry(settings: Settings) -> Finding:
    if settings.sentry_dsn is None:
        message = "errors are written to the log alone"
        return Finding("sentry", "info", message, "Set SENTRY_DSN to have them reported.")
    return Finding("sentry", "ok", "errors are reported")
