from __future__ import annotations

import io
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import structlog
import typer
from typer.testing import CliRunner

from viral_platform.cli import ports, programs, up
from viral_platform.cli.claim import claimed, recorded_processes, supervisor_of
from viral_platform.cli.programs import DagsterUi
from viral_platform.cli.supervisor import ProgramError
from viral_platform.engine.errors import ConfigurationError, GateRefusedError
from viral_platform.observability.logging import configure_logging
from viral_platform.settings import Settings
from viral_platform.storage import embedded

# `viral up` with a program that only sleeps in place of Dagster and the database.
STAND_IN = """
import os, sys
from viral_platform.cli import up
from viral_platform.cli.supervisor import Program

def start(settings, supervisor, write_line):
    # It writes nothing: it shall outlive a supervisor that is killed, and with it the pipe.
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    supervisor.start(Program("daemon", command, os.environ))
    print("Ready", flush=True)

up._start = start
up.up_command()
"""


def free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    numbers = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return numbers


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def events() -> Iterator[io.StringIO]:
    """Log events of this process, apart from what commands print, as the entry `viral` does."""
    stream, root = io.StringIO(), logging.getLogger()
    former = root.handlers[:], root.level
    configure_logging(Settings(viral_environment="production", _env_file=None), stream=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = former[0]
    root.setLevel(former[1])


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, events: io.StringIO) -> Iterator[Path]:
    """An installation with ports of its own, in a folder whose path fits a socket."""
    folder = Path(tempfile.mkdtemp(prefix="viral-up-"))
    webserver, code_server, api = free_ports(3)
    monkeypatch.setenv("VIRAL_HOME", str(folder / "home"))
    monkeypatch.setenv("DAGSTER_WEBSERVER_PORT", str(webserver))
    monkeypatch.setenv("DAGSTER_CODE_SERVER_PORT", str(code_server))
    monkeypatch.setenv("API_PORT", str(api))
    monkeypatch.setenv("COLUMNS", "200")
    yield folder / "home"
    embedded.stop_server(folder / "home")
    shutil.rmtree(folder, ignore_errors=True)


def command(*arguments: str) -> Any:
    app = typer.Typer()
    up.register(app)
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@contextmanager
def running(*source: str) -> Iterator[subprocess.Popen[str]]:
    """Start a supervisor and wait for its line; end it, should the test have failed."""
    with subprocess.Popen(
        source,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("Ready"):
                pytest.fail(process.communicate(timeout=60)[1])
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=60)


@contextmanager
def stand_in() -> Iterator[subprocess.Popen[str]]:
    with running(sys.executable, "-c", STAND_IN) as process:
        yield process


def answered_by_a_run(api_url: str, viral: str) -> None:
    """Order a batch over HTTP and wait until the sensor's run has answered it."""
    created = subprocess.run(
        [viral, "keys", "create", "--name", "t", "--scopes", "predict,read", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    headers = {"Authorization": f"Bearer {json.loads(created.stdout)['key']}"}
    with httpx.Client(base_url=api_url, headers=headers, timeout=30, trust_env=False) as client:
        requests = [{"content_text": f"Knife skill number {n} #cooking"} for n in range(3)]
        taken = client.post("/v1/prediction-jobs", json={"requests": requests})
        assert taken.status_code == 202, taken.text
        path = taken.headers["location"]
        deadline = time.monotonic() + 90
        while (job := client.get(path).json())["status"] in {"queued", "running"}:
            assert time.monotonic() < deadline, job
            time.sleep(0.5)
        assert (job["status"], job["answered"]) == ("done", 3), job
        assert len(client.get(f"{path}/results").text.splitlines()) == 3
        assert len(client.get("/v1/predictions").json()["data"]) == 3


@pytest.mark.slow
def test_up_serves_the_definitions_refuses_a_second_one_and_leaves_nothing_behind(
    home: Path,
) -> None:
    viral = str(Path(sys.executable).with_name("viral"))
    with running(viral, "up") as process:
        state = command("status")
        assert (state["running"], state["supervisor_pid"]) == (True, process.pid)
        assert state["database"]["schema_revision"] == state["database"]["schema_head"]
        children = {row["name"]: row for row in state["processes"]}
        assert all(row["running"] for row in children.values())
        assert children["webserver"]["answers"]
        assert children["code-server"]["answers"]
        info = httpx.get(f"{state['url']}/server_info", timeout=5, trust_env=False)
        assert "dagster_webserver_version" in info.json()
        answered_by_a_run(state["api_url"], viral)
        everything = [process.pid, *(p.pid for p in psutil.Process(process.pid).children(True))]
        assert len(everything) >= 5  # the code server works in a process of its own

        second = subprocess.run(
            [viral, "up"], capture_output=True, text=True, timeout=60, check=False
        )
        assert second.returncode == 4
        assert "already runs" in second.stderr
        assert str(process.pid) in second.stderr

        # As a container's or service's manager does.
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert all(gone(pid) for pid in everything)
    assert not any(ports.answers(row["port"]) for row in children.values() if row["port"])
    assert not embedded.is_running(home)
    assert "code-server | " in errors
    assert "\x1b" not in errors  # no terminal, no colours


def test_down_ends_the_supervisor_and_its_programs_and_may_be_repeated(home: Path) -> None:
    with stand_in() as process:
        [child] = recorded_processes(home)
        # The supervisor is our child here: someone has to take note of its end.
        threading.Thread(target=process.wait, daemon=True).start()
        assert command("down") == {"supervisor_stopped": True, "database_stopped": False}
        assert process.wait(timeout=10) == 0
    assert gone(child.pid)
    assert command("down") == {"supervisor_stopped": False, "database_stopped": False}


def test_down_stops_an_embedded_database_without_a_supervisor(home: Path) -> None:
    embedded.start_server(home)
    assert command("down") == {"supervisor_stopped": False, "database_stopped": True}
    assert not embedded.is_running(home)


def test_ctrl_c_ends_everything_with_exit_code_0(home: Path) -> None:
    with stand_in() as process:
        [child] = recorded_processes(home)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    assert gone(child.pid)
    assert supervisor_of(home) is None


def test_a_program_that_dies_is_started_again_and_status_tells_why(home: Path) -> None:
    with stand_in() as process:
        [child] = recorded_processes(home)
        os.kill(child.pid, signal.SIGKILL)
        seen: list[tuple[bool, int, str | None]] = []
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not (seen and seen[-1][1]):
            row = next(r for r in command("status")["processes"] if r["name"] == "daemon")
            seen.append((row["running"], row["restarts"], row["problem"]))
            time.sleep(0.05)
        assert (False, 0, "killed by SIGKILL") in seen
        assert seen[-1] == (True, 1, "killed by SIGKILL")
        [again] = recorded_processes(home)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "daemon ended (killed by SIGKILL)." in errors
    assert "It starts again in 1 s." in errors
    assert "daemon is started again" in errors
    assert gone(child.pid)
    assert gone(again.pid)
    assert supervisor_of(home) is None


def test_what_a_killed_supervisor_left_is_shown_by_status_and_ended_by_down(
    home: Path, events: io.StringIO
) -> None:
    with stand_in() as process:
        [child] = recorded_processes(home)
        process.kill()
        process.wait(timeout=10)
        state = command("status")
        assert state["running"] is False
        assert [row["pid"] for row in state["processes"] if row["running"]] == [child.pid]
        command("down")
    assert gone(child.pid)
    assert recorded_processes(home) == []
    assert "process_left_behind_is_ended" in events.getvalue()


def test_a_pid_that_belongs_to_another_process_now_is_left_alone(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        home.mkdir()
        record = {"name": "daemon", "pid": other.pid, "started": time.time() - 3600, "port": None}
        (home / "up.json").write_text(json.dumps([record]))
        command("down")
        assert other.poll() is None
        other.kill()


def test_only_one_supervisor_holds_an_installation(home: Path) -> None:
    with (
        claimed(home),
        pytest.raises(GateRefusedError, match=rf"already runs for .*\(pid {os.getpid()}\)"),
        claimed(home),
    ):
        pass
    with claimed(home):
        assert supervisor_of(home) == psutil.Process()


def test_status_of_an_installation_that_never_ran_starts_and_makes_nothing(home: Path) -> None:
    state = command("status")
    assert (state["running"], state["url"], state["database"]["running"]) == (False, None, False)
    assert [row["name"] for row in state["processes"]] == [
        "code-server",
        "webserver",
        "daemon",
        "api",
    ]
    assert not any(row["running"] for row in state["processes"])
    assert not home.exists()


def test_status_tells_why_an_external_database_cannot_be_asked(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"postgresql://viral:hunter2@127.0.0.1:{free_ports(1)[0]}/viral"
    monkeypatch.setenv("VIRAL_DATABASE_URL", url)
    database = command("status")["database"]
    assert (database["kind"], database["running"]) == ("external", False)
    assert "does not answer" in database["problem"]
    assert "hunter2" not in database["problem"]


def test_a_taken_port_is_refused_with_its_setting_and_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        settings = Settings(
            viral_home=tmp_path,
            dagster_webserver_port=port,
            dagster_code_server_port=free_ports(1)[0],
            api_port=free_ports(1)[0],
            _env_file=None,
        )
        expected = rf"port {port} is in use by .*pid {os.getpid()}.*DAGSTER_WEBSERVER_PORT"
        with pytest.raises(ConfigurationError, match=expected):
            programs.check_ports(settings)


def test_one_port_for_two_servers_is_refused(tmp_path: Path) -> None:
    [port] = free_ports(1)
    settings = Settings(
        viral_home=tmp_path,
        dagster_webserver_port=port,
        dagster_code_server_port=port,
        api_port=free_ports(1)[0],
        _env_file=None,
    )
    two = "DAGSTER_CODE_SERVER_PORT and DAGSTER_WEBSERVER_PORT are the same port"
    with pytest.raises(ConfigurationError, match=two):
        programs.check_ports(settings)


def test_lines_of_programs_stand_behind_their_name_without_secrets(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    up._line_writer(settings)("daemon", "\x1b[32mtoken=abc123 postgresql://u:pw@h/d\x1b[0m")
    assert capsys.readouterr().err == (
        "daemon      | token=[scrubbed] postgresql://u:[scrubbed]@h/d\n"
    )


def test_lines_of_programs_are_events_in_production_whatever_the_log_level(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """They went through the log, and at LOG_LEVEL=WARNING nobody saw a program's traceback."""
    values = {"viral_environment": "production", "log_level": "ERROR"}
    up._line_writer(settings.model_copy(update=values))("daemon", "\x1b[32mtoken=abc\x1b[0m")
    event = json.loads(capsys.readouterr().err)
    assert (event["event"], event["program"]) == ("program_output", "daemon")
    assert event["line"] == "token=[scrubbed]"


@pytest.mark.slow
def test_the_manifest_is_written_by_the_parse_of_dbt(tmp_path: Path) -> None:
    program = programs.dbt_parse({"DBT_TARGET_PATH": str(tmp_path), "DBT_LOG_PATH": str(tmp_path)})
    subprocess.run(program.command, env=program.environment, timeout=120, check=True)
    assert (tmp_path / "manifest.json").is_file()


@contextmanager
def answering(data: dict[str, Any]) -> Iterator[DagsterUi]:
    """Serve `data` as the web server's answer to every GraphQL query."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its own name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with DagsterUi(f"http://127.0.0.1:{server.server_port}") as ui:
                yield ui
        finally:
            server.shutdown()
            thread.join()


def workspace(status: str, location: dict[str, Any] | None) -> dict[str, Any]:
    entry = {"loadStatus": status, "locationOrLoadError": location}
    return {"workspaceOrError": {"__typename": "Workspace", "locationEntries": [entry]}}


@pytest.mark.parametrize(
    ("data", "loaded"),
    [
        (workspace("LOADED", {"__typename": "RepositoryLocation"}), True),
        (workspace("LOADING", None), False),
        (workspace("LOADED", None), False),
        ({"workspaceOrError": {"__typename": "Workspace", "locationEntries": []}}, False),
    ],
    ids=["loaded", "loading", "no location yet", "no entry yet"],
)
def test_definitions_count_as_loaded_when_their_location_is(
    data: dict[str, Any], loaded: bool
) -> None:
    with answering(data) as ui:
        assert ui.definitions_loaded() is loaded


def test_definitions_that_fail_to_load_are_an_error_with_its_cause() -> None:
    error = {
        "__typename": "PythonError",
        "message": "Error occurred during the loading of Dagster definitions",
        "causes": [{"message": "SyntaxError: invalid syntax"}],
    }
    with (
        answering(workspace("LOADED", error)) as ui,
        pytest.raises(ProgramError, match=r"cannot be loaded: Error(.|\n)*invalid syntax"),
    ):
        ui.definitions_loaded()


def test_heartbeats_of_an_earlier_daemon_do_not_count() -> None:
    beats = [
        {"required": True, "lastHeartbeatTime": 1000.0},
        {"required": True, "lastHeartbeatTime": 900.0},
        {"required": False, "lastHeartbeatTime": None},
    ]
    with answering({"instance": {"daemonHealth": {"allDaemonStatuses": beats}}}) as ui:
        assert ui.daemon_beats_since(900)
        assert not ui.daemon_beats_since(950)


def test_a_web_server_that_does_not_listen_yet_is_not_ready() -> None:
    with DagsterUi(f"http://127.0.0.1:{free_ports(1)[0]}") as ui:
        assert not ui.answers()
        assert not ui.definitions_loaded()
        assert not ui.daemon_beats_since(0)


def test_an_open_but_silent_port_answers_and_a_free_one_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert ports.answers(listener.getsockname()[1])
    assert not ports.answers(free_ports(1)[0])


def test_a_program_is_recorded_by_name_and_port_for_those_who_come_later(home: Path) -> None:
    with stand_in():
        [record] = recorded_processes(home)
        assert (record.name, record.port) == ("daemon", None)
        assert record.process() is not None
