"""`viral demo`: the whole platform on a simulated feed, from crawls to answered predictions.

Everything runs as an operator would run it, by Dagster jobs on files; only the feed and the
outcomes come from the simulator, and all that is made of them is labelled simulated.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated

import dagster as dg
import typer
from pydantic import SecretStr
from rich.progress import Progress

from viral_platform.cli.models import rendered
from viral_platform.cli.output import (
    Installation,
    JsonFlag,
    emit,
    err,
    open_installation,
    out,
    table,
)
from viral_platform.cli.predict import explained
from viral_platform.cli.run import show_step
from viral_platform.cli.runner import RunReport, open_instance, run_job
from viral_platform.cli.traced import Trace, trace_scrape
from viral_platform.defs.assets.serving import answers_event, outcomes_event
from viral_platform.engine.contracts import (
    MeasuredSnapshot,
    PredictionAnswer,
    PredictionRequest,
)
from viral_platform.engine.errors import GateRefusedError
from viral_platform.sandbox.feed import Feed, FeedConfig, write_export
from viral_platform.sandbox.items import SimulatedPost
from viral_platform.sandbox.stand_ins import StandIn
from viral_platform.services import outcomes, training
from viral_platform.services.calibration import overview
from viral_platform.services.content import MIN_TEXT_CHARACTERS
from viral_platform.services.outcomes import OutcomeReport
from viral_platform.services.prediction import PredictionService, open_service
from viral_platform.services.trends import ranked_sounds
from viral_platform.settings import Settings
from viral_platform.storage import histories, models
from viral_platform.storage.artifacts import ArtifactStore

FEED = FeedConfig(seed=7, n_posts=9_000, days=36)
# Days after the feed's start. Posts up to day 20 are mature when the model is trained on day 27;
# those of day 27 and 28 are predicted before they are posted, and measured from day 35 on.
TRAINING_CRAWLS = (4, 7, 10, 13, 16, 19, 22, 25, 26, 27)
PREDICTED = (27.0, 28.5)
LATER_CRAWLS = (34, 35, 36)
MAX_AGE_DAYS = 21.0
# The scrape that is traced comes six hours after the last crawl, as the schedule has it.
SCRAPED, SCRAPED_AGE_DAYS = 36.25, 4.0


@dataclass
class _Story:
    """What the demo has done so far."""

    feed: Feed
    installation: Installation
    runs: list[RunReport] = field(default_factory=list)

    def day(self, number: float) -> datetime:
        """Return the instant so many days after the feed's start."""
        return FEED.start_at + timedelta(days=number)

    def tell(self, event: dg.AssetMaterialization) -> None:
        """Show the operator what the service wrote outside a run."""
        instance = open_instance(self.installation.settings, self.installation.database)
        instance.report_runless_asset_event(event)

    def job(
        self,
        name: str,
        config: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> RunReport:
        """Run a job and keep its report; a failure is told and the story goes on."""
        report = run_job(
            name,
            self.installation.settings,
            self.installation.database,
            config=config,
            tags=tags,
            on_step=show_step,
        )
        self.runs.append(report)
        if not report.success:
            err.print(f"[yellow]{name}: {report.problem}[/]")
        return report


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("demo")(demo)


def demo(
    *,
    sandbox: Annotated[
        bool,
        typer.Option(
            "--sandbox",
            help="Answer the last three with all five signals, by local stand-ins of the "
            "language models.",
        ),
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Run the whole platform on a simulated feed and say what was built."""
    started = time.monotonic()
    installation = open_installation()
    if histories.holds_real(installation.database):
        raise GateRefusedError(
            f"{installation.settings.home} holds real videos; simulated ones are not mixed with "
            "them. Set VIRAL_HOME to another folder."
        )
    story = _Story(Feed(FEED), installation)
    _say("1. The rule library, and a first series of crawls of a simulated feed")
    story.job("load_rules")
    for number in TRAINING_CRAWLS:
        _crawl(story, number)
    _say("2. Trends from the snapshots, the training set, the judged model")
    story.job("calculate_trends")
    story.job("retrain_ml")
    _say("3. Predictions of posts that are not published yet")
    posts = _worded(story, story.day(PREDICTED[0]), story.day(PREDICTED[1]))
    with _unspoken(installation) as service:
        ids = _predict(story, service, posts)
    _say("4. A week later: further crawls, outcomes, calibration")
    for number in LATER_CRAWLS:
        _crawl(story, number)
    story.job("calculate_trends")
    if models.champion(installation.database) is not None:
        _report_outcomes(story, posts, ids)
        story.job("calibration_audit")
    _say("5. Three predictions, explained")
    answers = _explain(story, sandbox=sandbox)
    trace = _traced(story) if sandbox else None
    if sandbox:
        story.job("aggregate_costs")
    summary = _summary(story, time.monotonic() - started)
    if json:
        summary["trace"] = None if trace is None else trace.as_dict()
        summary["answers"] = [answer.model_dump(mode="json") for answer in answers]
        emit(summary, as_json=True, human=str)
        return
    for answer in answers:
        out.print(explained(answer))
    if trace is not None:
        out.rule("One video from the scrape to an answer")
        for line in trace.lines():
            out.print(line, highlight=False)
    _print_summary(story, summary)


def _text_of(post: SimulatedPost) -> str:
    return post.caption or "#" + " #".join(post.hashtags)


def _worded(story: _Story, start: datetime, end: datetime) -> list[SimulatedPost]:
    """Return the posts of a time whose text is long enough to be asked about: 99 in 100."""
    posts = story.feed.posts_between(start, end)
    return [post for post in posts if len(_text_of(post).strip()) >= MIN_TEXT_CHARACTERS]


def _unspoken(installation: Installation) -> PredictionService:
    """Return a service that asks no provider, whatever keys are set: a demo spends nothing."""
    return PredictionService(installation.database, ArtifactStore(installation.settings.artifacts))


def _explain(story: _Story, *, sandbox: bool) -> list[PredictionAnswer]:
    """Answer the three examples; in the sandbox with language models and what they cost."""
    requests = _examples(story)
    if not sandbox:
        with _unspoken(story.installation) as service:
            return [service.predict(request) for request in requests]
    settings = story.installation.settings
    with (
        StandIn() as stand_in,
        open_service(
            _sandboxed(settings, stand_in.base_url), story.installation.database
        ) as service,
    ):
        return [service.predict(request) for request in requests]


def _traced(story: _Story) -> Trace | None:
    """Run one scrape by schedule on the same feed; None when this tick's was started before."""
    _say("6. One scrape by schedule: tick, actor, webhook, inbox, sensor, ingest, trends, answer")
    at = story.day(SCRAPED)
    try:
        return trace_scrape(
            story.installation,
            list(story.feed.crawl(at, max_age_days=SCRAPED_AGE_DAYS, dirt=False)),
            crawled_at=at,
            run=lambda name, request: story.job(name, request.run_config, request.tags),
        )
    except GateRefusedError:
        return None  # the job has told it


def _sandboxed(settings: Settings, base_url: str) -> Settings:
    """Return the settings with every provider at the stand-in; no real key leaves the process."""
    key = SecretStr("sandbox")
    return settings.model_copy(
        update={
            "gemini_api_key": key,
            "gemini_base_url": base_url,
            "deepseek_api_key": key,
            "deepseek_base_url": base_url,
            "apify_token": key,
            "apify_base_url": base_url,
        }
    )


def _say(text: str) -> None:
    err.print(f"\n[bold]{text}[/]")


def _crawl(story: _Story, day: float) -> None:
    """Write one crawl of the feed as an export and import it by the job."""
    at = story.day(day)
    folder = story.installation.settings.home / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"crawl-day-{day:02d}.jsonl.gz"
    write_export(story.feed.crawl(at, max_age_days=MAX_AGE_DAYS), path)
    config = {"files": [str(path)], "source": "clockworks", "scraped_at": at.isoformat()}
    story.job("import_exports", {"ops": {"imported_exports": {"config": config}}})


def _predict(
    story: _Story, service: PredictionService, posts: Sequence[SimulatedPost]
) -> list[str]:
    ids = []
    answers = []
    with Progress(console=err, disable=not sys.stderr.isatty()) as progress:
        for post in progress.track(posts, description="predicting"):
            request = PredictionRequest(
                content_text=_text_of(post),
                creator_handle=post.handle,
                posted_at=post.posted_at,
                duration_seconds=post.duration_seconds,
                hashtags=list(post.hashtags),
                sound_is_original=post.sound_is_original,
            )
            answer = service.predict(request, batch_id="demo")
            ids.append(answer.id)
            answers.append(answer)
    story.tell(answers_event(answers))
    return ids


def _report_outcomes(story: _Story, posts: Sequence[SimulatedPost], ids: Sequence[str]) -> None:
    measured_at = story.day(LATER_CRAWLS[-1])
    reports = []
    for post, analysis_id in zip(posts, ids, strict=True):
        counts = story.feed.truth(post.id, measured_at)
        if counts.views:
            reports.append(
                OutcomeReport.model_validate(
                    {
                        "analysis_id": analysis_id,
                        "views": counts.views,
                        "likes": counts.likes,
                        "comments": counts.comments,
                        "shares": counts.shares,
                        "saves": counts.saves,
                        "measured_at": measured_at,
                    }
                )
            )
    added = outcomes.add_outcomes(story.installation.database, reports)
    story.tell(outcomes_event(added.added, is_simulated=True))
    err.print(f"{added.added} outcomes measured")


def _examples(story: _Story) -> list[PredictionRequest]:
    """Return three requests: before posting, after one day, after five days."""
    now = story.day(LATER_CRAWLS[-1])
    young = _worded(story, now - timedelta(hours=30), now - timedelta(hours=24))[0]
    older = _worded(story, now - timedelta(hours=130), now - timedelta(hours=120))[0]
    requests = [
        PredictionRequest(
            content_text="Stop doing this in the kitchen! The secret nobody tells you: rest the "
            "dough for one night. Save this and follow for more #baking #bread",
            creator_handle=young.handle,
            posted_at=now + timedelta(hours=4),
            duration_seconds=24,
        )
    ]
    for post in (young, older):
        counts = story.feed.truth(post.id, now)
        requests.append(
            PredictionRequest(
                content_text=_text_of(post),
                creator_handle=post.handle,
                posted_at=post.posted_at,
                duration_seconds=post.duration_seconds,
                snapshot=MeasuredSnapshot(
                    age_hours=(now - post.posted_at) / timedelta(hours=1),
                    views=max(counts.views, 1),
                    likes=counts.likes,
                    comments=counts.comments,
                    shares=counts.shares,
                    saves=counts.saves,
                ),
            )
        )
    return requests


def _summary(story: _Story, seconds: float) -> dict[str, object]:
    database = story.installation.database
    checks = [check for run in story.runs for check in run.checks]
    champion = models.champion(database)
    trends = ranked_sounds(database, 5)
    return {
        "data": "SIMULATED",
        "home": str(story.installation.settings.home),
        "seconds": round(seconds, 1),
        "runs": len(story.runs),
        "runs_failed": [run.job for run in story.runs if not run.success],
        "checks_passed": sum(check.passed for check in checks),
        "checks_failed": [
            f"{check.asset}:{check.check}: {check.description}"
            for check in checks
            if not check.passed
        ],
        "champion": None if champion is None else champion.version,
        "calibrations": [
            {key: fit[key] for key in ("version", "status", "verdict")}
            for fit in overview(database)
        ],
        "rising_sounds": trends.rows,
    }


def _print_summary(story: _Story, summary: dict[str, object]) -> None:
    database = story.installation.database
    out.rule("What was built, all of it from SIMULATED data")
    for record in models.list_models(database)[:1]:
        out.print(f"[bold]Model {record.version}[/] ({record.status})")
        out.print(*rendered(training.report_of(record)), sep="\n")
    sounds = ranked_sounds(database, 5).rows
    out.print(
        table(
            "Fastest sounds",
            sounds,
            ["sound_name", "trend_phase", "velocity_score", "video_count", "window_end"],
        )
    )
    for line in _told_checks(summary):
        out.print(line, highlight=False)
    port = story.installation.settings.dagster_webserver_port
    out.print(
        f"\nDone in {summary['seconds']} s. Next:\n"
        f"  viral up              then http://127.0.0.1:{port}/asset-groups\n"
        f"                        and http://127.0.0.1:{port}/assets/tier_model?view=checks\n"
        '  viral predict --text "Wait for it ... #fyp"\n'
        "  viral model show      viral calibration show      viral trends sounds\n"
        "  viral import FILE     with an export of your own, in another VIRAL_HOME"
    )


def _told_checks(summary: dict[str, object]) -> list[str]:
    failed = summary["checks_failed"]
    lines = [f"  [yellow]{line}[/]" for line in failed] if isinstance(failed, list) else []
    outcome = f"{len(lines)} not:" if lines else "none failed."
    return [f"{summary['runs']} runs, {summary['checks_passed']} checks passed, {outcome}", *lines]
