"""The command tree, each command's module imported when it is called.

Dagster, xgboost and scikit-learn take two seconds to import; `viral status` needs none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click.core import Command, Context

# Name of the command to the module of this package that registers it.
MODULES = {
    "up": "up",
    "status": "up",
    "down": "up",
    "doctor": "doctor",
    "migrate": "installation",
    "demo": "demo",
    "run": "run",
    "import": "imports",
    "quarantine": "quarantine",
    "predict": "predict",
    "outcome": "outcomes",
    "model": "models",
    "calibration": "calibration",
    "trends": "trends",
    "competitors": "competitors",
    "rules": "rules",
    "costs": "costs",
    "prune": "prune",
    "keys": "keys",
    "serve": "serve",
    "openapi": "openapi",
}


class CommandTree(TyperGroup):
    """Finds a command by its name and imports its module then."""

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands."""
        return list(MODULES)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Return a command, None when there is none of that name."""
        if cmd_name not in MODULES:
            return None
        part = typer.Typer()
        # With a callback a single command stays a subcommand.
        part.callback()(lambda: None)
        import_module(f"viral_platform.cli.{MODULES[cmd_name]}").register(part)
        group = typer.main.get_group(part)
        return group.get_command(ctx, cmd_name)
