"""`viral migrate`: what concerns the installation as a whole."""

from __future__ import annotations

import typer

from viral_platform.cli.output import JsonFlag, emit
from viral_platform.settings import load_settings
from viral_platform.storage.database import open_database
from viral_platform.storage.schema import migrate


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("migrate")(migrate_command)


def migrate_command(*, json: JsonFlag = False) -> None:
    """Start the database if needed and bring its tables up to date."""
    revision = migrate(open_database(load_settings()))
    emit({"revision": revision}, as_json=json, human=lambda: f"Tables are at revision {revision}.")
