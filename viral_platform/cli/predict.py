"""`viral predict`: one answer, or many."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel

from viral_platform.cli.messages import parse, parse_instant, parse_json, read_json_lines
from viral_platform.cli.output import Installation, JsonFlag, emit, open_installation, table
from viral_platform.cli.run import show_step
from viral_platform.engine.contracts import (
    InputMode,
    PredictionAnswer,
    PredictionRequest,
    SignalName,
)
from viral_platform.engine.errors import InputError
from viral_platform.engine.what_if import WhatIf, parse_change
from viral_platform.services.batches import results_as_json_lines, store_batch
from viral_platform.services.prediction import open_service
from viral_platform.storage.batches import get_batch

_SHOWN_ATTRIBUTIONS = 8


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("predict")(predict)


def predict(
    *,
    text: Annotated[str | None, typer.Option(help="Caption or script of the post.")] = None,
    url: Annotated[str | None, typer.Option(help="Address of a TikTok post.")] = None,
    video: Annotated[Path | None, typer.Option(help="A video file: .mp4, .mov or .webm.")] = None,
    creator: Annotated[str | None, typer.Option(help="Handle of the creator.")] = None,
    posted_at: Annotated[
        str | None, typer.Option(help="When it is or will be posted, ISO; UTC without a zone.")
    ] = None,
    duration: Annotated[float | None, typer.Option(help="Length of the video, seconds.")] = None,
    snapshot: Annotated[
        str | None,
        typer.Option(
            help='Counts measured so far: {"age_hours": 80, "views": 9000, "likes": 700, ...}.'
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option(help="Add what each feature adds to the tier model's score.")
    ] = False,
    what_if: Annotated[
        list[str] | None,
        typer.Option(
            help="What the tier model says with a change: hashtags=-2, duration=30, hour=+3, "
            "words=-10. May be given several times."
        ),
    ] = None,
    batch: Annotated[
        Path | None, typer.Option(help="JSON Lines, one request of the API a line.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the batch's answers go.")] = None,
    json: JsonFlag = False,
) -> None:
    """How far a post is likely to go, why, and what to change."""
    content = {
        key: value
        for key, value in (
            ("content_text", text),
            ("tiktok_url", url),
            ("video_storage_path", None if video is None else str(video)),
        )
        if value is not None
    }
    if bool(content) == (batch is not None) or (url is not None and video is not None):
        raise typer.BadParameter("Give --text, --url or --video, or else --batch.")
    if (batch is None) != (out is None):
        raise typer.BadParameter("--batch and --out belong together.")
    installation = open_installation()
    if batch is not None and out is not None:
        answered, refused = _predict_batch(installation, batch, out)
        emit(
            {"answered": answered, "refused": refused, "out": str(out)},
            as_json=json,
            human=lambda: f"{answered} answers in {out}, {refused} requests refused.",
        )
        return
    changes = [parse_change(change) for change in what_if or []]
    request = parse(
        PredictionRequest,
        {
            "input_mode": _mode(content),
            **content,
            "explain": explain,
            "creator_handle": creator,
            "posted_at": None if posted_at is None else parse_instant(posted_at, "--posted-at"),
            "duration_seconds": duration,
            "snapshot": None if snapshot is None else parse_json(snapshot, "--snapshot"),
        },
        "The request",
    )
    with open_service(installation.settings, installation.database) as service:
        if changes:
            found = service.what_if(request, changes)
            emit(found.model_dump(mode="json"), as_json=json, human=lambda: compared(found))
            return
        answer = service.predict(request)
    emit(answer.model_dump(mode="json"), as_json=json, human=lambda: explained(answer))


def _mode(content: dict[str, str]) -> InputMode:
    if "video_storage_path" in content:
        return "video_upload"
    return "tiktok_url" if "tiktok_url" in content else "text"


def _predict_batch(installation: Installation, batch: Path, out: Path) -> tuple[int, int]:
    """Answer all requests of a file by one run; return how many were answered and refused.

    Every line is checked before the run starts; line n of `out` belongs to request n.
    """
    from viral_platform.cli.runner import run_job  # Dagster costs 2 s; one answer needs none

    requests = list(read_json_lines(PredictionRequest, batch))
    if not requests:
        raise InputError(f"{batch} holds no request. Give one JSON object a line.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"{out} cannot be written: its folder does not exist.")
    batch_id = store_batch(installation.database, requests)
    run_job(
        "prediction_job",
        installation.settings,
        installation.database,
        config={"ops": {"predict": {"config": {"batch_id": batch_id}}}},
        on_step=show_step,
    ).raise_for_problem()
    out.write_text(results_as_json_lines(installation.database, batch_id), encoding="utf-8")
    record = get_batch(installation.database, batch_id)
    return record.answered, record.refused


def explained(answer: PredictionAnswer) -> Group:
    """Return an answer as a person reads it: score, reasons, tips, and what is missing."""
    signals = [
        {"signal": name, "score": value, "weight": answer.score_weights[name]}
        for name, value in scores_of(answer).items()
    ]
    factors = [
        {"factor": f.name, "score": f.score, "because": f.rationale, "evidence": f.evidence}
        for f in answer.factors
    ]
    tips = [
        {"change": s.text, "priority": s.priority, "at most": f"+{s.max_effect:g}"}
        for s in answer.suggestions
    ]
    stages = [
        {
            "stage": s.stage,
            "status": s.status,
            "ms": round(s.duration_ms, 1),
            "cents": s.cost_cents or None,
            "reason": s.reason,
        }
        for s in answer.stages
    ]
    attributions = [
        {"feature": one.feature, "value": one.value, "points": one.points}
        for one in (answer.attributions or [])[:_SHOWN_ATTRIBUTIONS]
    ]
    parts: list[RenderableType] = [
        Panel("\n".join(_head(answer)), title="Prediction"),
        table("Signals", signals, ["signal", "score", "weight"]),
        table("Why", factors, ["factor", "score", "because", "evidence"]),
        table("What to change", tips, ["change", "priority", "at most"])
        if tips
        else "[bold]What to change[/]\n  nothing that the rules can name",
        table("Stages", stages, ["stage", "status", "ms", "cents", "reason"]),
    ]
    if attributions:
        parts.append(table("What moves the model", attributions, ["feature", "value", "points"]))
    lines = escape("\n".join(answer.warnings))
    return Group(*parts, f"[dim]{lines}[/]")


def scores_of(answer: PredictionAnswer) -> dict[SignalName, float | None]:
    """Return the five signals of an answer in their fixed order."""
    return {
        "behavioral": answer.behavioral_score,
        "gemini": answer.gemini_score,
        "ml": answer.ml_score,
        "rules": answer.rule_score,
        "trends": answer.trend_score,
    }


def _head(answer: PredictionAnswer) -> list[str]:
    score = "no score" if answer.overall_score is None else f"{answer.overall_score:.0f} / 100"
    calibrated = "calibrated" if answer.is_calibrated else "not calibrated"
    simulated = " [bold red]SIMULATED DATA[/]" if answer.simulated else ""
    degraded = " [yellow]degraded[/]" if answer.degraded else ""
    head = [
        f"[bold]{score}[/] ({calibrated}), confidence {answer.confidence_label}"
        f"{simulated}{degraded}",
        f"horizon {answer.horizon}, model {answer.model_version or 'none'}, id {answer.id}",
        f"cost {answer.cost_cents:.4f} US cents, {answer.latency_ms:.0f} ms",
    ]
    if answer.interval is not None:
        head.append(
            f"the model's {answer.interval.level:.0%} interval of the percentile: "
            f"{answer.interval.low:.0f} to {answer.interval.high:.0f}"
        )
    return head


def compared(found: WhatIf) -> Group:
    """Return what the model says before and after a change, with its own doubt."""
    rows = [
        {
            "post": name,
            "model score": result.ml_score,
            "from": None if result.interval is None else result.interval.low,
            "to": None if result.interval is None else result.interval.high,
        }
        for name, result in (("as it is", found.before), (f"with {found.changes}", found.after))
    ]
    if found.difference is None:
        verdict = found.before.withheld_reason or "The model gives no score here."
    elif found.is_within_uncertainty:
        verdict = f"{found.difference:+g} points: less than the model can tell apart."
    else:
        verdict = f"{found.difference:+g} points: outside the interval of the post as it is."
    version = found.before.model_version
    return Group(
        table(f"Tier model {version}", rows, ["post", "model score", "from", "to"]), verdict
    )
