"""`viral keys`: who may call the HTTP API."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from viral_platform.cli.output import JsonFlag, emit, open_installation, table
from viral_platform.engine.subscriptions import TIERS
from viral_platform.services.keys import SCOPES, create_key
from viral_platform.storage import keys

group = typer.Typer(help="Keys of the HTTP API.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(group, name="keys")


@group.command("create")
def create(
    *,
    name: Annotated[str, typer.Option(help="Whose key it is, or what it is for.")],
    scopes: Annotated[str, typer.Option(help=f"Of {','.join(SCOPES)}, with commas.")],
    tier: Annotated[str, typer.Option(help=f"One of {', '.join(TIERS)}.")] = "free",
    account: Annotated[
        str | None, typer.Option(help="Whose memberships give its tier, in the place of --tier.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Make a key and print it, this once: only its SHA-256 is stored."""
    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    made = create_key(
        open_installation().database, name=name, scopes=wanted, tier=tier, account=account
    )
    emit(
        asdict(made),
        as_json=json,
        human=lambda: (
            f"{made.key}\nScopes: {', '.join(made.scopes)}. Keep it: it is not shown again."
        ),
    )


@group.command("list")
def list_command(*, json: JsonFlag = False) -> None:
    """List the keys by their first characters, the newest first."""
    rows = [
        {**asdict(record), "scopes": list(record.scopes)}
        for record in keys.list_keys(open_installation().database)
    ]
    columns = ["prefix", "name", "scopes", "tier", "account", "created_at", "revoked_at"]
    emit(
        [{column: row[column] for column in columns} for row in rows],
        as_json=json,
        human=lambda: table(
            "Keys",
            [
                {**row, "name": escape(str(row["name"])), "scopes": ",".join(row["scopes"])}
                for row in rows
            ],
            columns,
        ),
    )


@group.command("revoke")
def revoke(
    prefix: Annotated[str, typer.Argument(help="First characters of the key, as listed.")],
    *,
    json: JsonFlag = False,
) -> None:
    """Put a key out of force; running servers refuse it within 30 seconds."""
    keys.revoke_key(open_installation().database, prefix)
    emit({"revoked": prefix}, as_json=json, human=lambda: f"{escape(prefix)} is revoked.")
