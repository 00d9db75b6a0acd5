"""How commands speak: results to stdout, progress and errors to stderr.

`--json` prints one JSON document for machines; without it a person gets tables and colours.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from viral_platform.settings import Settings, load_settings
from viral_platform.storage.database import Database, open_database
from viral_platform.storage.schema import migrate

# A pipe has no width of its own; rich's 80 columns would cut names and figures.
_PIPE_WIDTH = 160

out = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
err = Console(stderr=True, width=None if sys.stderr.isatty() else _PIPE_WIDTH)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID | Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def emit(result: object, *, as_json: bool, human: Callable[[], object]) -> None:
    """Print `result` as JSON, or what `human()` returns (a rich renderable or text)."""
    if as_json:
        sys.stdout.write(json.dumps(result, default=_plain, ensure_ascii=False, indent=2) + "\n")
    else:
        out.print(human())


def table(title: str, rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> Table:
    """Return a rich table of the named columns; `None` shows as a dash."""
    rendered = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        rendered.add_column(column)
    for row in rows:
        rendered.add_row(*(_cell(row.get(column)) for column in columns))
    return rendered


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"
        case int():
            return f"{value:,}"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M")
    return str(value)


@dataclass(frozen=True)
class Installation:
    """Settings and the migrated database of the installation that a command works on."""

    settings: Settings
    database: Database


def open_installation() -> Installation:
    """Return the installation, its database started and migrated."""
    settings = load_settings()
    database = open_database(settings)
    migrate(database)
    return Installation(settings, database)
