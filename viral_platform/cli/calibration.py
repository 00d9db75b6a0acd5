"""`viral calibration`: reliability and parameters of the fits."""

from __future__ import annotations

import typer
from rich.console import Group

from viral_platform.cli.output import JsonFlag, emit, open_installation, table
from viral_platform.services.calibration import overview

group = typer.Typer(help="Calibration of served scores.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(group, name="calibration")


@group.callback()
def _group() -> None:
    """Calibration of served scores."""


@group.command("show")
def show(*, json: JsonFlag = False) -> None:
    """Every fit with its verdict, and the reliability table of the newest."""
    fits = overview(open_installation().database)
    rows = [
        {
            "version": fit["version"],
            "of": f"{fit['input_mode']}, {fit['horizon']}",
            "status": fit["status"],
            "slope": fit["slope"],
            "intercept": fit["intercept"],
            "ece_raw": fit["verdict"]["ece_raw"],
            "ece": fit["verdict"]["ece"],
            "n_judge": fit["verdict"]["n_judge"],
            "simulated": fit["is_simulated"],
            "verdict": fit["verdict"]["reason"],
        }
        for fit in fits
    ]

    def human() -> object:
        if not fits:
            return "Nothing was fitted yet. Scores are served raw."
        return Group(
            table("Calibration fits", rows, list(rows[0])),
            table(
                f"Reliability of {fits[0]['version']} on its held-out pairs",
                fits[0]["reliability"],
                ["low", "high", "count", "mean_predicted", "mean_observed"],
            ),
        )

    emit(fits, as_json=json, human=human)
