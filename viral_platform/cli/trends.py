"""`viral trends`: which sounds and hashtags rise, by the crawls of the newest window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from viral_platform.cli.output import JsonFlag, emit, open_installation, table
from viral_platform.services.trends import RankedTrends, ranked_hashtags, ranked_sounds
from viral_platform.storage.database import Database

trends = typer.Typer(help="Sounds and hashtags that rise.", no_args_is_help=True)

_LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Print at most so many rows.")]
_NicheOption = Annotated[
    str | None, typer.Option("--niche", help="Count the videos with this scraped hashtag alone.")
]

_MEASURES = (
    "trend_phase",
    "views_per_hour",
    "growth_per_day",
    "video_count",
    "total_views",
    "is_simulated",
)


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(trends, name="trends")


@trends.command("sounds")
def sounds_command(
    *, niche: _NicheOption = None, limit: _LimitOption = 20, json: JsonFlag = False
) -> None:
    """Print the sounds that gain views fastest; those without a velocity come last."""
    _print(partial(ranked_sounds, niche=niche), limit, "sound_name", "velocity_score", as_json=json)


@trends.command("hashtags")
def hashtags_command(*, limit: _LimitOption = 20, json: JsonFlag = False) -> None:
    """Print the hashtags that gain views fastest; saturated ones come last."""
    _print(ranked_hashtags, limit, "hashtag", "share", as_json=json)


def _print(
    ranked: Callable[[Database, int], RankedTrends],
    limit: int,
    *own_columns: str,
    as_json: bool,
) -> None:
    found = ranked(open_installation().database, limit)
    emit(found.rows, as_json=as_json, human=lambda: _rendered(found, [*own_columns, *_MEASURES]))


def _rendered(found: RankedTrends, columns: Sequence[str]) -> Table | str:
    if found.window_start is None or found.window_end is None:
        return (
            "No crawled video has one yet. Run `viral import`, then `viral run calculate_trends`."
        )
    title = (
        f"Crawls from {found.window_start:%Y-%m-%d %H:%M} to {found.window_end:%Y-%m-%d %H:%M} UTC"
    )
    # Names are what strangers wrote; square brackets in them are no colours.
    rows = [
        {key: escape(value) if isinstance(value, str) else value for key, value in row.items()}
        for row in found.rows
    ]
    return table(title, rows, columns)
