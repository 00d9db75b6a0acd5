"""`viral rules`: the rules that score content, and what outcomes say of them."""

from __future__ import annotations

import typer

from viral_platform.cli.output import JsonFlag, emit, open_installation, table
from viral_platform.services.rule_accuracy import rule_rows

group = typer.Typer(help="Rules that score content.", no_args_is_help=True)

_COLUMNS = (
    "id", "tier", "weight", "lift", "lift_low", "lift_high", "accuracy", "n_fired", "n_not_fired",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(group, name="rules")


@group.callback()
def _group() -> None:
    """Rules that score content."""


@group.command("list")
def list_command(*, json: JsonFlag = False) -> None:
    """List the rules with their weights, lifts (points of percentile) and numbers of posts."""
    rows = rule_rows(open_installation().database)

    def human() -> object:
        if not rows:
            return "There are no rules yet. Bring them in: viral run load_rules."
        is_simulated = any(row["is_simulated"] for row in rows)
        return table(f"Rules{' (SIMULATED outcomes)' if is_simulated else ''}", rows, _COLUMNS)

    emit(rows, as_json=json, human=human)
