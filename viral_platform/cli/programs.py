"""The programs of a running installation and how to tell that they are ready."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import httpx

from viral_platform.cli import ports
from viral_platform.cli.supervisor import Program, ProgramError
from viral_platform.defs.instance import DEFINITIONS_MODULE, LOCATION
from viral_platform.engine.errors import ConfigurationError
from viral_platform.settings import PROJECT_ROOT, Settings

DBT_PROJECT = PROJECT_ROOT / "dbt_project"
MANIFEST = DBT_PROJECT / "target" / "manifest.json"
CODE_SERVER, WEBSERVER, DAEMON, API = "code-server", "webserver", "daemon", "api"
NAMES = (CODE_SERVER, WEBSERVER, DAEMON, API)
_HTTP_SECONDS = 5.0

_STATE_QUERY = """{
  workspaceOrError {
    __typename
    ... on PythonError { message }
    ... on Workspace {
      locationEntries {
        loadStatus
        locationOrLoadError {
          __typename
          ... on PythonError { message causes { message } }
        }
      }
    }
  }
  instance { daemonHealth { allDaemonStatuses { required lastHeartbeatTime } } }
}"""


def executable(name: str) -> Path:
    """Return the program beside the interpreter: PATH may hold another environment's."""
    return Path(sys.executable).with_name(name)


def ui_url(settings: Settings) -> str:
    """Return where the operator's browser finds the Dagster UI."""
    return f"http://{ports.HOST}:{settings.dagster_webserver_port}"


def api_url(settings: Settings) -> str:
    """Return where the HTTP API is reached on this machine."""
    return f"http://{ports.HOST}:{settings.api_port}"


def ports_of(settings: Settings) -> dict[str, tuple[int, str]]:
    """Return each port that is listened on, with its setting, by the program that does."""
    return {
        CODE_SERVER: (settings.dagster_code_server_port, "DAGSTER_CODE_SERVER_PORT"),
        WEBSERVER: (settings.dagster_webserver_port, "DAGSTER_WEBSERVER_PORT"),
        API: (settings.api_port, "API_PORT"),
    }


def check_ports(settings: Settings) -> None:
    """Refuse ports that cannot be listened on, naming all of them.

    Raises
    ------
    ConfigurationError
        A port is taken, not allowed, or given twice.
    """
    wanted = ports_of(settings).values()
    problems = [
        f"{why}; change {setting} or stop that program"
        for port, setting in wanted
        if (why := ports.why_unusable(port))
    ]
    named: dict[int, list[str]] = {}
    for port, setting in wanted:
        named.setdefault(port, []).append(setting)
    problems += [
        f"{' and '.join(names)} are the same port; change one"
        for names in named.values()
        if len(names) > 1
    ]
    if problems:
        raise ConfigurationError(f"Cannot start: {'. '.join(problems)}.")


def manifest_is_current() -> bool:
    """Return whether dbt has parsed the project as it is now."""
    if not MANIFEST.is_file():
        return False
    parsed = MANIFEST.stat().st_mtime
    return all(path.stat().st_mtime <= parsed for path in _dbt_sources())


def _dbt_sources() -> Iterable[Path]:
    yield from DBT_PROJECT.glob("*.yml")
    for folder in ("models", "macros", "tests"):
        yield from (path for path in (DBT_PROJECT / folder).rglob("*") if path.is_file())


def dbt_parse(environment: dict[str, str]) -> Program:
    """Return the program that writes the manifest."""
    project = str(DBT_PROJECT)
    command = [
        *(str(executable("dbt")), "--quiet", "parse"),
        *("--project-dir", project, "--profiles-dir", project),
    ]
    return Program("dbt", command, _with_ours(environment))


def code_server(settings: Settings, environment: dict[str, str]) -> Program:
    """Return the server that loads the definitions and starts runs."""
    port = settings.dagster_code_server_port
    command = [
        *(str(executable("dagster")), "code-server", "start", "-h", ports.HOST, "-p", str(port)),
        *("-m", DEFINITIONS_MODULE, "--location-name", LOCATION),
    ]
    return Program(CODE_SERVER, command, _with_ours(environment), port)


def webserver(settings: Settings, environment: dict[str, str], workspace: Path) -> Program:
    """Return the server of the Dagster UI."""
    port = settings.dagster_webserver_port
    command = [
        *(str(executable("dagster-webserver")), "-h", ports.HOST, "-p", str(port)),
        *("-w", str(workspace)),
    ]
    return Program(WEBSERVER, command, _with_ours(environment), port)


def daemon(environment: dict[str, str], workspace: Path) -> Program:
    """Return the program behind schedules, sensors and the run queue."""
    # Sensors look every few seconds, and at the level info each look is two lines.
    command = [str(executable("dagster-daemon")), "run", "--log-level", "warning"]
    command += ["-w", str(workspace)]
    return Program(DAEMON, command, _with_ours(environment))


def api(settings: Settings, environment: dict[str, str]) -> Program:
    """Return the HTTP API."""
    port = settings.api_port
    command = [str(executable("viral")), "serve", "--host", ports.HOST, "--port", str(port)]
    return Program(API, command, _with_ours(environment), port)


def api_answers(settings: Settings) -> bool:
    """Return whether the HTTP API serves."""
    try:
        answer = httpx.get(f"{api_url(settings)}/healthz", timeout=_HTTP_SECONDS, trust_env=False)
    except httpx.TransportError:
        return False
    return answer.is_success


def _with_ours(environment: dict[str, str]) -> dict[str, str]:
    # Unbuffered, so that a line is shown when it is written and not 8 kB later.
    return {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}


class DagsterUi:
    """What the web server tells of itself, the definitions and the daemon."""

    def __init__(self, url: str) -> None:
        # A proxy of the environment has no business on this machine's own address.
        self._client = httpx.Client(base_url=url, timeout=_HTTP_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def answers(self) -> bool:
        """Return whether the web server serves."""
        try:
            return self._client.get("/server_info").is_success
        except httpx.TransportError:
            return False

    def definitions_loaded(self) -> bool:
        """Return whether the definitions are loaded.

        Raises
        ------
        ProgramError
            They cannot be: gives Dagster's message and what caused it.
        """
        data = self._query()
        workspace = data.get("workspaceOrError", {})
        entries = workspace.get("locationEntries", [])
        for item in [workspace, *(entry["locationOrLoadError"] or {} for entry in entries)]:
            if item.get("__typename") == "PythonError":
                causes = [cause["message"] for cause in item.get("causes", [])]
                told = "\n".join([item["message"], *causes]).strip()
                raise ProgramError(f"The definitions cannot be loaded: {told}")
        return bool(entries) and all(
            entry["loadStatus"] == "LOADED" and entry["locationOrLoadError"] for entry in entries
        )

    def daemon_beats_since(self, moment: float) -> bool:
        """Return whether each part of the daemon has reported after `moment` (Unix time)."""
        health = self._query().get("instance", {}).get("daemonHealth", {})
        parts = [part for part in health.get("allDaemonStatuses", []) if part["required"]]
        return bool(parts) and all((part["lastHeartbeatTime"] or 0) >= moment for part in parts)

    def _query(self) -> dict[str, Any]:
        """Return the state as far as the web server can tell it now."""
        try:
            answer = self._client.post("/graphql", json={"query": _STATE_QUERY})
            data = answer.json().get("data")
        except (httpx.TransportError, ValueError):
            return {}
        return data or {}
