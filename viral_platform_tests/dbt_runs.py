"""dbt for tests: its executable on a test's database, and the statements that it would send."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg

from viral_platform.settings import PROJECT_ROOT
from viral_platform.storage.database import Database


def dbt(
    database: Database, target: Path, *arguments: str, variables: Mapping[str, object] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run dbt with its warnings as errors; what it makes is under `target`."""
    project = str(PROJECT_ROOT / "dbt_project")
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")),
            *("--warn-error", "--no-use-colors", *arguments),
            *("--project-dir", project, "--profiles-dir", project),
            *("--target-path", str(target), "--log-path", str(target)),
            *("--vars", json.dumps(dict(variables or {}))),
        ],
        env={**os.environ, **database.process_environment()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def compiled_models(database: Database, target: Path, models: Sequence[str]) -> dict[str, str]:
    """Build models with all before them; return `schema.name` and compiled query, in order."""
    result = dbt(database, target, "run", "--select", *(f"+{model}" for model in models))
    assert result.returncode == 0, result.stdout
    nodes = json.loads((target / "manifest.json").read_text())["nodes"]
    found = (nodes[f"model.viral_platform.{model}"] for model in models)
    return {f"{node['schema']}.{node['name']}": node["compiled_code"] for node in found}


def rebuild(connection: psycopg.Connection, compiled: Mapping[str, str]) -> None:
    """Build the models anew by their compiled queries, which takes no time beside a run of dbt."""
    for name, query in compiled.items():
        connection.execute(f"drop table {name}".encode())
        connection.execute(f"create table {name} as {query}".encode())
