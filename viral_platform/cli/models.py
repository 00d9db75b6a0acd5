"""`viral model`: versions, their figures, and the fitting procedure judged on two crawls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.table import Table

from viral_platform.cli.output import JsonFlag, emit, open_installation, table
from viral_platform.engine.contracts import TIERS
from viral_platform.engine.evaluation import EvaluationReport, HorizonReport, Interval
from viral_platform.services import panel, training
from viral_platform.storage import models
from viral_platform.storage.artifacts import ArtifactStore

group = typer.Typer(help="Tier models: versions and evaluation.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(group, name="model")


def _line(record: models.ModelRecord) -> dict[str, object]:
    settled = record.report["horizons"].get("settled")
    return {
        "version": record.version,
        "status": record.status,
        "trained_at": record.trained_at,
        "settled_accuracy": None if settled is None else settled["accuracy"]["value"],
        "settled_n": None if settled is None else settled["n"],
        "promotable": record.report["promotable"],
        "simulated": record.is_simulated,
    }


@group.command("list")
def list_versions(*, json: JsonFlag = False) -> None:
    """Every version, the newest first."""
    lines = [_line(record) for record in models.list_models(open_installation().database)]
    emit(
        lines,
        as_json=json,
        human=lambda: table("Models", lines, list(lines[0])) if lines else "No model yet.",
    )


@group.command("show")
def show(
    version: Annotated[
        str | None, typer.Argument(help="Unset: the champion, else the newest.")
    ] = None,
    *,
    json: JsonFlag = False,
) -> None:
    """One version: metrics by horizon with baselines, and its verdict."""
    database = open_installation().database
    record = (
        models.get_model(database, version)
        if version
        else models.champion(database) or models.latest_candidate(database)
    )
    report = training.report_of(record)
    emit(
        {**_line(record), "data_sha256": record.data_sha256, "report": record.report},
        as_json=json,
        human=lambda: Group(
            f"[bold]{record.version}[/] ({record.status})"
            + (" [bold red]trained on SIMULATED data[/]" if record.is_simulated else ""),
            *rendered(report),
        ),
    )


@group.command("evaluate")
def evaluate(
    *,
    panel_files: Annotated[
        tuple[Path, Path],
        typer.Option("--panel", help="Two crawls of the same videos: FIRST SECOND."),
    ],
    refit: Annotated[
        bool,
        typer.Option("--refit", help="Judge the fitting procedure itself, by authors and by time."),
    ] = False,
    crawl_zone: Annotated[
        str | None, typer.Option(help="Zone of crawl times that state none, e.g. UTC.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Judge the champion on two crawls of the same videos, or refit and judge on them alone."""
    rows = panel.read_panel(*panel_files, crawl_zone=crawl_zone)
    other = None if crawl_zone else panel.other_zone_rows(*panel_files, rows)
    if refit:
        judge = panel.judge_procedure
    else:
        installation = open_installation()
        artifacts = ArtifactStore(installation.settings.artifacts)
        judge = partial(panel.judge_champion, installation.database, artifacts)
    reports = judge(rows)
    other_reports = [] if other is None else judge(other)
    emit(
        {
            "first": panel_files[0].name,
            "second": panel_files[1].name,
            "crawl_zone": crawl_zone or "as the column map says",
            "videos": rows.videos,
            "reports": [report.model_dump(mode="json") for report in reports],
            "other_zone": {
                "crawl_zone": panel.OTHER_ZONE,
                "reports": [report.model_dump(mode="json") for report in other_reports],
            }
            if other_reports
            else None,
        },
        as_json=json,
        human=lambda: Group(
            *(line for report in reports for line in rendered(report)),
            *_zone_effect(reports, other_reports),
        ),
    )


def _zone_effect(
    reports: Sequence[EvaluationReport], other_reports: Sequence[EvaluationReport]
) -> list[Table]:
    """Return what another reading of crawl times that state no zone does to the figures."""
    lines = [
        {
            "split": report.split,
            "horizon": horizon,
            "as assumed": f"{_span(figures.accuracy)}, n={figures.n:,}",
            f"as {panel.OTHER_ZONE}": f"{_span(moved.accuracy)}, n={moved.n:,}",
            "persistence": _span(figures.baselines.persistence_accuracy),
            f"persistence as {panel.OTHER_ZONE}": _span(moved.baselines.persistence_accuracy),
            "recalls": _by_tier(figures.recall),
            f"recalls as {panel.OTHER_ZONE}": _by_tier(moved.recall),
        }
        for report, other in zip(reports, other_reports, strict=False)
        for horizon, figures in report.horizons.items()
        if (moved := other.horizons.get(horizon)) is not None
    ]
    title = "Accuracy when crawl times, whose zone is not stated, are read in another zone"
    return [table(title, lines, list(lines[0]))] if lines else []


def rendered(report: EvaluationReport) -> list[Any]:
    """Return an evaluation as a person reads it: figures with n, intervals and baselines."""
    low, median, high = report.label_age_hours
    head = (
        f"split {report.split}: {report.test_rows} test rows of {report.test_videos} videos; "
        f"label age {low:.0f} / {median:.0f} / {high:.0f} h (p5, median, p95); "
        + ("promotable" if report.promotable else "not promotable: " + "; ".join(report.reasons))
    )
    by_figure = [_figures(horizon) for horizon in report.horizons.values()]
    if not by_figure:
        return [head]
    lines = [
        {
            "figure": name,
            **{h: column[name] for h, column in zip(report.horizons, by_figure, strict=True)},
        }
        for name in by_figure[0]
    ]
    return [head, table("By horizon", lines, ["figure", *report.horizons])]


def _figures(report: HorizonReport) -> dict[str, object]:
    base = report.baselines
    return {
        "n (authors)": f"{report.n:,} ({report.n_authors:,})",
        "accuracy, 95%": _span(report.accuracy),
        "baseline: prior": f"{base.prior_accuracy:.3f}",
        "baseline: persistence": _span(base.persistence_accuracy),
        "model - persistence": _span(report.accuracy_over_persistence),
        "baseline: creator median": None
        if base.creator_median_accuracy is None
        else f"{_span(base.creator_median_accuracy)}, n={base.creator_median_n:,}",
        "model - creator median, there": _span(report.accuracy_over_creator_median),
        "recall, tiers 1 to 5": _by_tier(report.recall),
        "precision, tiers 1 to 5": _by_tier(report.precision),
        "RPS (prior)": f"{report.rps.value:.4f} ({base.prior_rps:.4f})",
        "RPS gain, 95%": _span(report.rps_gain),
        "quadratic kappa": report.quadratic_kappa,
        f"{report.interval_level:.0%} interval covers": f"{report.interval_coverage:.3f}",
        "served": "yes" if report.verdict.served else "no: " + "; ".join(report.verdict.reasons),
    }


def _by_tier(figures: Mapping[int, float]) -> str:
    return " ".join(f"{figures[tier]:.2f}" for tier in TIERS)


def _span(figure: Interval | None) -> str | None:
    if figure is None:
        return None
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
