"""`viral up`, `viral status` and `viral down`: the installation as a running whole."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from json import dumps

import typer
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from viral_platform.cli import ports, programs
from viral_platform.cli.claim import claimed, recorded_processes, supervisor_of
from viral_platform.cli.output import JsonFlag, emit, err, table
from viral_platform.cli.supervisor import (
    ProgramError,
    StopRequestedError,
    Supervisor,
    WriteLine,
    stop_signals,
    without_colours,
)
from viral_platform.defs.instance import (
    dagster_environment,
    write_dagster_home,
    write_workspace,
)
from viral_platform.engine.errors import ViralPlatformError
from viral_platform.observability.scrubbing import scrub_text
from viral_platform.settings import Settings, load_settings
from viral_platform.storage import embedded
from viral_platform.storage.database import Database, open_database
from viral_platform.storage.schema import current_revision, head_revision, migrate

PARSE_SECONDS = 120
READY_SECONDS = 120
# Four programs at their longest, then the database.
DOWN_SECONDS = 110
_COLOURS = {
    programs.CODE_SERVER: typer.colors.CYAN,
    programs.WEBSERVER: typer.colors.GREEN,
    programs.DAEMON: typer.colors.MAGENTA,
    programs.API: typer.colors.BLUE,
}
_NAME_WIDTH = max(map(len, _COLOURS))


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("up")(up_command)
    app.command("status")(status_command)
    app.command("down")(down_command)


def up_command() -> None:
    """Run database, HTTP API, code server, Dagster UI and daemon until Ctrl-C stops all.

    A program that ends by itself is started again; `viral status` says why it ended.
    """
    settings = load_settings()
    write_line = _line_writer(settings)
    with claimed(settings.home) as claim, stop_signals() as stop:
        programs.check_ports(settings)
        with (
            _stopped_at_the_end(settings, write_line),
            Supervisor(stop, write_line, claim.record) as supervisor,
        ):
            try:
                _start(settings, supervisor, write_line)
                supervisor.watch()
            except StopRequestedError:
                pass
            write_line("viral", "stopping")
    write_line("viral", "stopped")


def _start(settings: Settings, supervisor: Supervisor, write_line: WriteLine) -> None:
    began = time.monotonic()
    database = open_database(settings)
    revision = migrate(database)
    database.engine.dispose()
    write_line("viral", f"database is up, tables are at revision {revision}")
    write_dagster_home(settings)
    workspace = write_workspace(settings)
    environment = dagster_environment(settings, database)
    if not programs.manifest_is_current():
        supervisor.run(programs.dbt_parse(environment), seconds=PARSE_SECONDS)

    code_port = settings.dagster_code_server_port
    # The others report a load error when they come before it.
    supervisor.start(programs.code_server(settings, environment))
    supervisor.wait_for(
        lambda: ports.answers(code_port), what=programs.CODE_SERVER, seconds=READY_SECONDS
    )
    others_began = time.time()
    supervisor.start(programs.webserver(settings, environment, workspace))
    supervisor.start(programs.daemon(environment, workspace))
    supervisor.start(programs.api(settings, environment))
    with programs.DagsterUi(programs.ui_url(settings)) as ui:
        for what, ready in (
            (programs.WEBSERVER, ui.answers),
            ("the definitions", ui.definitions_loaded),
            (programs.DAEMON, lambda: ui.daemon_beats_since(others_began)),
            (programs.API, lambda: programs.api_answers(settings)),
        ):
            supervisor.wait_for(ready, what=what, seconds=READY_SECONDS)
    sys.stdout.write(
        f"Ready after {time.monotonic() - began:.1f} s: UI {programs.ui_url(settings)}, "
        f"API {programs.api_url(settings)} (Ctrl-C stops everything)\n"
    )
    sys.stdout.flush()


@contextmanager
def _stopped_at_the_end(settings: Settings, write_line: WriteLine) -> Iterator[None]:
    """Stop the embedded database at the end, whatever happens before."""
    try:
        yield
    finally:
        if _stop_database(settings):
            write_line("viral", "database is stopped")


def _stop_database(settings: Settings) -> bool:
    return settings.viral_database_url is None and embedded.stop_server(settings.home)


def _line_writer(settings: Settings) -> WriteLine:
    """Return what shows a program's line: behind its name, or in production as one JSON event.

    LOG_LEVEL does not hide them: the programs have chosen what to write, and their tracebacks
    are lines like all others.
    """
    show = _event if settings.viral_environment == "production" else _prefixed
    lock = threading.Lock()

    def write(name: str, line: str) -> None:
        shown = show(name, scrub_text(line))
        with lock:
            sys.stderr.write(f"{shown}\n")
            sys.stderr.flush()

    return write


def _event(name: str, line: str) -> str:
    event = {
        "timestamp": datetime.now(UTC).isoformat(),
        "event": "program_output",
        "program": name,
        "line": without_colours(line),
    }
    return dumps(event, ensure_ascii=False)


def _prefixed(name: str, line: str) -> str:
    prefix = f"{name:<{_NAME_WIDTH}} | "
    if sys.stderr.isatty():
        return typer.style(prefix, fg=_COLOURS.get(name)) + line
    return prefix + without_colours(line)


@dataclass(frozen=True)
class DatabaseState:
    """Where the database stands; `problem` says why it cannot be asked."""

    kind: str
    running: bool
    schema_revision: str | None = None
    schema_head: str = ""
    problem: str | None = None


def database_state(settings: Settings) -> DatabaseState:
    """Return the state of the database, which is not started for the question."""
    kind = "embedded" if settings.viral_database_url is None else "external"
    head = head_revision()
    if kind == "embedded" and not embedded.is_running(settings.home):
        return DatabaseState(kind, running=False, schema_head=head)
    database: Database | None = None
    try:
        database = open_database(settings)
        revision = current_revision(database)
    except (ViralPlatformError, SQLAlchemyError) as error:
        problem = scrub_text(str(error))
        return DatabaseState(kind, running=False, schema_head=head, problem=problem)
    finally:
        if database is not None:
            database.engine.dispose()
    return DatabaseState(kind, running=True, schema_revision=revision, schema_head=head)


def status_command(*, json: JsonFlag = False) -> None:
    """Tell what of this installation runs. Starts nothing; ends with exit code 0."""
    settings = load_settings()
    supervisor = supervisor_of(settings.home)
    state = database_state(settings)
    recorded = {record.name: record for record in recorded_processes(settings.home)}
    listened = programs.ports_of(settings)
    processes: list[dict[str, object]] = []
    for name in programs.NAMES:
        record = recorded.get(name)
        process = record.process() if record else None
        port = record.port if record else listened.get(name, (None, ""))[0]
        processes.append(
            {
                "name": name,
                "running": process is not None,
                "pid": process.pid if process else None,
                "port": port,
                # A port that answers without our process belongs to another program.
                "answers": ports.answers(port) if process and port else None,
                "restarts": record.restarts if record else 0,
                "problem": record.problem if record else None,
            }
        )
    result = {
        "home": settings.home,
        "running": supervisor is not None,
        "supervisor_pid": supervisor.pid if supervisor else None,
        "url": programs.ui_url(settings) if supervisor else None,
        "api_url": programs.api_url(settings) if supervisor else None,
        "database": vars(state),
        "processes": processes,
    }
    emit(result, as_json=json, human=lambda: _rendered(settings, state, processes, supervisor))


def _rendered(
    settings: Settings,
    state: DatabaseState,
    processes: list[dict[str, object]],
    supervisor: object | None,
) -> Group:
    if state.problem:
        database = f"Database ({state.kind}): {state.problem}"
    elif not state.running:
        database = f"Database ({state.kind}): not running"
    else:
        behind = "" if state.schema_revision == state.schema_head else "; run `viral migrate`"
        database = (
            f"Database ({state.kind}): running, tables at revision "
            f"{state.schema_revision or 'none'} of {state.schema_head}{behind}"
        )
    where = f"UI: {programs.ui_url(settings)}\nAPI: {programs.api_url(settings)}"
    rows = [
        {
            **row,
            **{key: str(row[key] or "-") for key in ("pid", "port")},
            "problem": escape(str(row["problem"] or "-")),
        }
        for row in processes
    ]
    shown: Table = table(
        f"Processes under {settings.home}",
        rows,
        ["name", "running", "pid", "port", "answers", "restarts", "problem"],
    )
    return Group(shown, database, where if supervisor else "Not running. Start: viral up")


def down_command(*, json: JsonFlag = False) -> None:
    """Stop what `viral up` runs for this installation, and the embedded database."""
    settings = load_settings()
    supervisor = supervisor_of(settings.home)
    if supervisor is not None:
        err.print(f"Stopping `viral up` (pid {supervisor.pid})", highlight=False)
        supervisor.terminate()
        deadline = time.monotonic() + DOWN_SECONDS
        while supervisor_of(settings.home) is not None:
            if time.monotonic() > deadline:
                raise ProgramError(
                    f"`viral up` (pid {supervisor.pid}) still runs after {DOWN_SECONDS} s. "
                    "Its own output says what it waits for."
                )
            time.sleep(0.1)
    stopped_database = False
    if settings.home.is_dir():
        with claimed(settings.home):
            stopped_database = _stop_database(settings)
    result = {"supervisor_stopped": supervisor is not None, "database_stopped": stopped_database}
    nothing = not any(result.values())
    emit(
        result,
        as_json=json,
        human=lambda: "Nothing was running." if nothing else "Everything is stopped.",
    )
