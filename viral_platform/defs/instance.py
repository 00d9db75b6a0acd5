"""Dagster's instance folder, and the environment that its processes start with.

The files hold no secret: what is secret comes from the environment. This module does not import
Dagster, so that `viral up` need not wait for it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import yaml

from viral_platform.settings import Settings
from viral_platform.storage.database import Database

LOCATION = "viral_platform"
DEFINITIONS_MODULE = "viral_platform.definitions"

_TEMPLATE = Path(__file__).with_name("dagster.yaml.template")


def write_dagster_home(settings: Settings) -> Path:
    """Write `dagster.yaml` into Dagster's home, which only its owner may enter; return the home."""
    home = settings.dagster_home
    _write(home / "dagster.yaml", _TEMPLATE.read_text(encoding="utf-8"))
    return home


def write_workspace(settings: Settings) -> Path:
    """Write and return the workspace file of a code server that runs apart."""
    server = {
        "host": "127.0.0.1",
        "port": settings.dagster_code_server_port,
        "location_name": LOCATION,
    }
    path = settings.dagster_home / "workspace.yaml"
    _write(path, yaml.safe_dump({"load_from": [{"grpc_server": server}]}, sort_keys=False))
    return path


def dagster_environment(settings: Settings, database: Database) -> dict[str, str]:
    """Return what Dagster's processes need in their environment beside what we have in ours.

    They work on this installation from whatever folder they are started in.
    """
    environment = {
        "DAGSTER_HOME": str(settings.dagster_home),
        "DAGSTER_DISABLE_TELEMETRY": "true",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "VIRAL_HOME": str(settings.home),
        **database.process_environment(),
    }
    if settings.viral_database_url is not None:
        environment["VIRAL_DATABASE_URL"] = settings.viral_database_url.get_secret_value()
    return environment


def _write(path: Path, content: str) -> None:
    """Put `content` at `path` in one step; a file that has it already is left alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    if path.is_file() and path.read_text(encoding="utf-8") == content:
        return
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
    Path(partial).replace(path)
