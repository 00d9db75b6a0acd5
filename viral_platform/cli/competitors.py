"""`viral competitors`: creators whose profiles are scraped daily."""

from __future__ import annotations

from typing import Annotated

import typer

from viral_platform.cli.output import JsonFlag, emit, open_installation, table
from viral_platform.services.competitors import unwatch, watch, watched

group = typer.Typer(help="Creators that are watched.", no_args_is_help=True)

_Handle = Annotated[str, typer.Argument(help="Handle, with or without '@', or profile address.")]
_COLUMNS = (
    "handle",
    "crawled_at",
    "followers",
    "followers_gained",
    "followers_gained_week",
    "videos_gained_week",
    "views_per_video",
    "is_simulated",
)


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(group, name="competitors")


@group.command("add")
def add(handle: _Handle, *, json: JsonFlag = False) -> None:
    """Watch a creator from the next `refresh_competitors` on."""
    stored = watch(open_installation().database, handle)
    emit({"watched": stored}, as_json=json, human=lambda: f"{stored} is watched.")


@group.command("list")
def list_command(*, json: JsonFlag = False) -> None:
    """List watched creators with their newest snapshot and what they gained up to it."""
    rows = [one.as_dict() for one in watched(open_installation().database)]
    emit(rows, as_json=json, human=lambda: table("Competitors", rows, _COLUMNS))


@group.command("remove")
def remove(handle: _Handle, *, json: JsonFlag = False) -> None:
    """Watch a creator no more; what was measured stays."""
    gone = unwatch(open_installation().database, handle)
    emit({"removed": gone}, as_json=json, human=lambda: f"{gone} is not watched any more.")
