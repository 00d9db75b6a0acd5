"""`viral outcome`: what became of a post."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from viral_platform.cli.messages import parse, parse_instant, read_json_lines
from viral_platform.cli.output import JsonFlag, emit, open_installation
from viral_platform.services.outcomes import OutcomeReport, OutcomesAdded, add_outcomes
from viral_platform.services.posts import name_post

group = typer.Typer(help="What became of a post.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(group, name="outcome")


@group.command("add")
def add(
    analysis_id: Annotated[str, typer.Argument(help="Id in the answer of viral predict.")],
    *,
    views: Annotated[int, typer.Option(min=1)],
    likes: Annotated[int, typer.Option(min=0)],
    comments: Annotated[int, typer.Option(min=0)],
    shares: Annotated[int, typer.Option(min=0)],
    saves: Annotated[int | None, typer.Option(min=0)] = None,
    measured_at: Annotated[
        str | None, typer.Option(help="ISO time, UTC without a zone; unset: now.")
    ] = None,
    posted_at: Annotated[
        str | None,
        typer.Option(help="ISO time, UTC without a zone; needed when the request had none."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Store the counts of a post that was predicted, at 168 hours of age or more."""
    report = parse(
        OutcomeReport,
        {
            "analysis_id": analysis_id,
            "views": views,
            "likes": likes,
            "comments": comments,
            "shares": shares,
            "saves": saves,
            "measured_at": datetime.now(UTC)
            if measured_at is None
            else parse_instant(measured_at, "--measured-at"),
            "posted_at": None if posted_at is None else parse_instant(posted_at, "--posted-at"),
        },
        "The outcome",
    )
    _emit(add_outcomes(open_installation().database, [report]), as_json=json)


@group.command("post")
def post(
    analysis_id: Annotated[UUID, typer.Argument(help="Id in the answer of viral predict.")],
    post: Annotated[str, typer.Argument(help="Address of the post, or its id.")],
    *,
    json: JsonFlag = False,
) -> None:
    """Tell which post a prediction was about; its outcome is collected at 168 hours of age."""
    named = name_post(open_installation().database, analysis_id, post)
    emit(
        {"analysis_id": analysis_id, "video_id": named.platform_video_id, "url": named.url},
        as_json=json,
        human=lambda: f"{analysis_id} was about {named.url}.",
    )


@group.command("import")
def import_outcomes(
    file: Annotated[Path, typer.Argument(help="JSON Lines with the fields of viral outcome add.")],
    *,
    json: JsonFlag = False,
) -> None:
    """Store the outcomes of a file; every line is checked before the first is stored."""
    reports = list(read_json_lines(OutcomeReport, file))
    _emit(add_outcomes(open_installation().database, reports), as_json=json)


def _emit(result: OutcomesAdded, *, as_json: bool) -> None:
    emit(
        {"added": result.added, "already_known": result.already_known},
        as_json=as_json,
        human=lambda: f"{result.added} outcomes added, {result.already_known} known already.",
    )
