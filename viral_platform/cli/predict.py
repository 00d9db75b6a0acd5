"""`viral predict`: one answer, or many."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.panel import Panel

from viral_platform.cli.messages import parse, parse_instant, parse_json, read_json_lines
from viral_platform.cli.output import Installation, JsonFlag, emit, open_installation, table
from viral_platform.cli.run import show_step
from viral_platform.engine.contracts import PredictionAnswer, PredictionRequest
from viral_platform.engine.errors import InputError
from viral_platform.services.prediction import PredictionService, store_batch
from viral_platform.storage import analyses
from viral_platform.storage.artifacts import ArtifactStore


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("predict")(predict)


def predict(
    *,
    text: Annotated[str | None, typer.Option(help="Caption or script of the post.")] = None,
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
    batch: Annotated[
        Path | None, typer.Option(help="JSON Lines, one request of the API a line.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the batch's answers go.")] = None,
    json: JsonFlag = False,
) -> None:
    """How far a post is likely to go, why, and what to change."""
    if (text is None) == (batch is None):
        raise typer.BadParameter("Give either --text or --batch.")
    if (batch is None) != (out is None):
        raise typer.BadParameter("--batch and --out belong together.")
    installation = open_installation()
    if batch is not None and out is not None:
        answered = _predict_batch(installation, batch, out)
        emit(
            {"answered": answered, "out": str(out)},
            as_json=json,
            human=lambda: f"{answered} answers in {out}.",
        )
        return
    request = parse(
        PredictionRequest,
        {
            "content_text": text,
            "creator_handle": creator,
            "posted_at": None if posted_at is None else parse_instant(posted_at, "--posted-at"),
            "duration_seconds": duration,
            "snapshot": None if snapshot is None else parse_json(snapshot, "--snapshot"),
        },
        "The request",
    )
    service = PredictionService(
        installation.database, ArtifactStore(installation.settings.artifacts)
    )
    answer = service.predict(request)
    emit(answer.model_dump(mode="json"), as_json=json, human=lambda: explained(answer))


def _predict_batch(installation: Installation, batch: Path, out: Path) -> int:
    """Answer all requests of a file by one run; every line is checked before it starts."""
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
    answers = analyses.answers_of_batch(installation.database, batch_id)
    out.write_text(
        "".join(jsonlib.dumps(answer, ensure_ascii=False) + "\n" for answer in answers),
        encoding="utf-8",
    )
    return len(answers)


def explained(answer: PredictionAnswer) -> Group:
    """Return an answer as a person reads it: score, reasons, tips, and what is missing."""
    score = "no score" if answer.overall_score is None else f"{answer.overall_score:.0f} / 100"
    calibrated = "calibrated" if answer.is_calibrated else "not calibrated"
    simulated = " [bold red]SIMULATED DATA[/]" if answer.simulated else ""
    head = [
        f"[bold]{score}[/] ({calibrated}), confidence {answer.confidence_label}{simulated}",
        f"horizon {answer.horizon}, model {answer.model_version or 'none'}, id {answer.id}",
    ]
    if answer.interval is not None:
        head.append(
            f"the model's {answer.interval.level:.0%} interval of the percentile: "
            f"{answer.interval.low:.0f} to {answer.interval.high:.0f}"
        )
    weights = {str(name): weight for name, weight in answer.score_weights.items()}
    signals = [
        {"signal": name, "score": value, "weight": weights[name]}
        for name, value in (
            ("ml", answer.ml_score),
            ("rules", answer.rule_score),
            ("trends", answer.trend_score),
        )
    ]
    factors = [{"factor": f.name, "score": f.score, "because": f.rationale} for f in answer.factors]
    tips = [f"  {number}. {s.text}" for number, s in enumerate(answer.suggestions, start=1)]
    return Group(
        Panel("\n".join(head), title="Prediction"),
        table("Signals", signals, ["signal", "score", "weight"]),
        table("Why", factors, ["factor", "score", "because"]),
        "[bold]What to change[/]\n" + ("\n".join(tips) or "  nothing that the rules can name"),
        "[dim]" + "\n".join(answer.warnings) + "[/]",
    )
