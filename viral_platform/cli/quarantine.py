"""`viral quarantine`: rejected items and why, and another try at them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from viral_platform.cli.output import JsonFlag, emit, open_installation, table
from viral_platform.services import quarantine
from viral_platform.storage.quarantine import QuarantinedItem

_COLUMNS = ("id", "source", "file", "position", "reason", "field", "message")


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(no_args_is_help=True, help="Rejected items: list, show, retry.")
    group.command("list")(list_command)
    group.command("show")(show_command)
    group.command("retry")(retry_command)
    app.add_typer(group, name="quarantine")


def _listed(item: QuarantinedItem) -> dict[str, object]:
    """Return an item under the fixed keys."""
    return {
        "id": item.id,
        "source": item.source,
        "position": item.position,
        "reason": item.reason,
        "field": item.field,
        "message": item.message,
        "item": item.item,
    }


def list_command(
    *,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Show at most so many, the oldest first.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """List the items that were rejected and not accepted since."""
    items = quarantine.list_items(open_installation().database, limit=limit)
    rows = [{**_listed(item), "file": item.file_name} for item in items]
    emit(
        [_listed(item) for item in items],
        as_json=json,
        human=lambda: table("Quarantine", rows, _COLUMNS) if rows else "The quarantine is empty.",
    )


def show_command(
    item_id: Annotated[int, typer.Argument(metavar="ID", help="Number of the item in the list.")],
    *,
    json: JsonFlag = False,
) -> None:
    """Show one rejected item, with the raw item."""
    item = quarantine.get_item(open_installation().database, item_id)
    emit(
        asdict(item),
        as_json=json,
        human=lambda: table(
            f"Quarantined item {item_id}",
            [{"key": key, "value": value} for key, value in asdict(item).items()],
            ("key", "value"),
        ),
    )


def retry_command(*, json: JsonFlag = False) -> None:
    """Judge the items again under the rules in force and store those that pass."""
    report = quarantine.retry(open_installation().database)
    emit(
        asdict(report),
        as_json=json,
        human=lambda: (
            f"{report.retried:,} retried: {report.accepted:,} accepted, "
            f"{report.still_rejected:,} still rejected."
        ),
    )
