"""`viral prune`: delete what has outlived its retention."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from viral_platform.cli.output import JsonFlag, emit, open_installation, table
from viral_platform.services import retention

_COLUMNS = ("table", "days", "before", "rows")
_DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Tell what would go, and delete nothing.")
]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("prune")(prune_command)


def prune_command(*, dry_run: _DryRunOption = False, json: JsonFlag = False) -> None:
    """Delete old answers, cost events, webhook deliveries and rejected items, by retention."""
    installation = open_installation()
    pruned = retention.prune(installation.settings, installation.database, dry_run=dry_run)
    rows = [asdict(one) for one in pruned]
    title = "Rows that would go" if dry_run else "Rows deleted"
    emit(
        {"dry_run": dry_run, "rows": sum(one.rows for one in pruned), "tables": rows},
        as_json=json,
        human=lambda: table(title, rows, _COLUMNS),
    )
