"""Migrations of schema `app`: up, down, and where the database stands."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from viral_platform.storage.database import Database
from viral_platform.storage.tables import SCHEMA

_MIGRATIONS = Path(__file__).parent / "migrations"
# One number for all migrations of all installations on a server.
_ADVISORY_LOCK = 7_271_001


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _run(database: Database, direction: str, revision: str) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        connection.execute(text(f"create schema if not exists {SCHEMA}"))
        getattr(command, direction)(_config(connection), revision)


def migrate(database: Database, revision: str = "head") -> str:
    """Bring schema `app` up to `revision`; return the revision in force."""
    _run(database, "upgrade", revision)
    return current_revision(database) or "base"


def downgrade(database: Database, revision: str) -> None:
    """Take schema `app` back to `revision`; what later tables hold is lost."""
    _run(database, "downgrade", revision)


def current_revision(database: Database) -> str | None:
    """Return the revision of the database, None when it was never migrated."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
        return context.get_current_revision()


def head_revision() -> str:
    """Return the revision that this code expects."""
    return str(ScriptDirectory(str(_MIGRATIONS)).get_current_head())
