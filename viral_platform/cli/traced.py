"""One scrape by schedule, traced: from the tick to an answer over HTTP that used what it brought.

Everything is the code that serves an installation: the schedule, the client of Apify, the HTTP
API as a program of its own, the inbox, the sensor, the jobs. Apify is a local stand-in whose actor
brings posts of the simulated feed, and this process evaluates tick and sensor in the daemon's
place.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import httpx

from viral_platform.cli import ports
from viral_platform.cli.output import Installation
from viral_platform.cli.programs import executable
from viral_platform.cli.runner import RunReport, open_instance
from viral_platform.defs.resources import DatabaseResource
from viral_platform.engine.contracts import MatchedSound, PredictionAnswer
from viral_platform.engine.errors import NotFoundError, OutsideServiceError
from viral_platform.sandbox.stand_ins import StandIn
from viral_platform.services import inbox, trending_scrapes
from viral_platform.services.keys import create_key
from viral_platform.services.ticks import latest_tick
from viral_platform.storage import traces
from viral_platform.storage.inbox import Delivery
from viral_platform.storage.inbox import get as get_delivery
from viral_platform.storage.traces import TracedVideo

T = TypeVar("T")
# Executes what a tick or a sensor asks for, by the job's name.
RunJob = Callable[[str, dg.RunRequest], RunReport]

START_SECONDS = 60.0
DELIVERY_SECONDS = 30.0
ANSWER_SECONDS = 60.0
_POLL_SECONDS = 0.05
_STOP_SECONDS = 15.0


@dataclass(frozen=True)
class Trace:
    """The way of one video; each part names the row, run or item that holds it."""

    tick: str
    scrape_run_id: str
    dataset_item: dict[str, object]
    inbox_row: dict[str, object]
    ingest_run_id: str
    snapshots: list[dict[str, object]]
    trends_run_id: str
    mart_row: dict[str, object]
    prediction: dict[str, object]

    def as_dict(self) -> dict[str, object]:
        """Return the trace as plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the trace as a person reads it, a line for each stage."""
        item, row, mart, answer = (
            self.dataset_item,
            self.inbox_row,
            self.mart_row,
            self.prediction,
        )
        shots = [f"{shot['views']} views at {_minute(shot)}" for shot in self.snapshots]
        return [
            f"tick        scrape_trending of {self.tick}, run {self.scrape_run_id}",
            f"dataset     item {item['position']} of {item['dataset_id']} (actor run "
            f"{item['actor_run_id']}): video {item['video_id']}, {item['views']} views",
            f"inbox       row {row['id']}, {row['event_type']}, dispatch {row['delivery_id']}",
            f"ingest      ingest_dataset, run {self.ingest_run_id}",
            f"snapshots   {'; '.join(shots)}",
            f"mart        trending_sounds {mart['sound_key']} ({mart['sound_name']}): "
            f"{mart['video_count']} videos, velocity {mart['velocity_score']}, "
            f"{mart['trend_phase']}, calculate_trends run {self.trends_run_id}",
            f"prediction  {answer['id']} over HTTP: score {answer['overall_score']}, trends "
            f"{answer['trend_score']}; matched {answer['sound_key']} with velocity "
            f"{answer['velocity_score']}",
        ]


def trace_scrape(
    installation: Installation,
    items: Sequence[Mapping[str, Any]],
    *,
    crawled_at: datetime,
    run: RunJob,
) -> Trace:
    """Run one scheduled scrape to its end and return the way of one of its videos.

    Parameters
    ----------
    installation : Installation
        Whose database the feed was crawled into before.
    items : sequence of mapping
        What the actor run brings, as Apify items without a crawl time.
    crawled_at : datetime
        When the actor run begins, aware.
    run : callable
        See `RunJob`.

    Raises
    ------
    GateRefusedError
        The scrape of this tick was started before.
    OutsideServiceError
        The API does not start, or the webhook does not arrive.
    NotFoundError
        None of the videos has a sound with a name and a velocity, or the answer does not name it.
    """
    port = ports.free_port()
    log_path = installation.settings.home / "logs" / "demo-api.log"
    with StandIn() as stand_in:
        stand_in.apify.bring([dict(item) for item in items], started_at=crawled_at)
        with _environment(_sandboxed(stand_in.base_url, port)), _serving(port, log_path):
            scrape = _tick(installation, "scrape_trending")
            scrape_run = _succeeded(run("scrape_trending", scrape))
            inbox_id = _delivered(installation)
            ingest_run = _succeeded(run("ingest_dataset", _sensed(installation)))
            trends = _tick(installation, "calculate_trends")
            trends_run = _succeeded(run("calculate_trends", trends))
            ids = [str(item.get("id")) for item in items]
            video = traces.of_fastest_sound(installation.database, ids, crawled_at)
            answer = _asked(installation, port, video)
    delivery = get_delivery(installation.database, inbox_id)
    position = ids.index(video.platform_video_id)
    matched = _matched(answer, video)
    return Trace(
        tick=str(scrape.run_key),
        scrape_run_id=scrape_run.run_id,
        dataset_item={
            "position": position + 1,
            "dataset_id": delivery.dataset_id,
            "actor_run_id": inbox.run_id_of(delivery.body),
            "video_id": video.platform_video_id,
            "views": items[position].get("playCount"),
        },
        inbox_row=_row(delivery),
        ingest_run_id=ingest_run.run_id,
        snapshots=[asdict(shot) for shot in video.snapshots],
        trends_run_id=trends_run.run_id,
        mart_row={
            "sound_key": video.sound_key,
            "sound_name": video.sound_name,
            "video_count": video.video_count,
            "velocity_score": round(video.velocity_score, 1),
            "trend_phase": video.trend_phase,
            "window_end": video.window_end,
        },
        prediction={
            "id": answer.id,
            "overall_score": answer.overall_score,
            "trend_score": answer.trend_score,
            "cost_cents": answer.cost_cents,
            "sound_key": matched.sound_id,
            "velocity_score": None
            if matched.velocity_score is None
            else round(matched.velocity_score, 1),
        },
    )


def _succeeded(report: RunReport) -> RunReport:
    report.raise_for_problem()
    return report


def _matched(answer: PredictionAnswer, video: TracedVideo) -> MatchedSound:
    for sound in answer.matched_sounds:
        if sound.sound_id == video.sound_key:
            return sound
    raise NotFoundError(f"The answer {answer.id} does not name the sound {video.sound_key}.")


def _minute(shot: Mapping[str, object]) -> str:
    return f"{shot['crawled_at']:%Y-%m-%d %H:%M}"


def _row(delivery: Delivery) -> dict[str, object]:
    return {
        name: getattr(delivery, name)
        for name in ("id", "delivery_id", "event_type", "received_at", "processed_at")
    }


def _sandboxed(base_url: str, port: int) -> dict[str, str]:
    """Return the environment in which every provider is the stand-in."""
    return {
        **{f"{name}_BASE_URL": base_url for name in ("APIFY", "GEMINI", "DEEPSEEK")},
        **dict.fromkeys(("APIFY_TOKEN", "GEMINI_API_KEY", "DEEPSEEK_API_KEY"), "sandbox"),
        "APIFY_WEBHOOK_URL": f"http://{ports.HOST}:{port}/v1/webhooks/apify",
        "APIFY_WEBHOOK_SECRET": secrets.token_urlsafe(),
    }


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set the environment that settings are read from; as it was afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _serving(port: int, log_path: Path) -> Iterator[None]:
    """Run `viral serve` until the block ends; what it says goes to a file."""
    log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [str(executable("viral")), "serve", "--port", str(port)]
    with (
        log_path.open("ab") as log,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process,
    ):
        try:
            _until(
                lambda: process.poll() is not None or ports.answers(port) or None,
                START_SECONDS,
                f"The API does not start. See {log_path}.",
            )
            if process.poll() is not None:
                raise OutsideServiceError(f"The API ended at its start. See {log_path}.")
            yield
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _tick(installation: Installation, name: str) -> dg.RunRequest:
    """Evaluate the tick of a schedule, as the daemon does when its time has come."""
    from viral_platform.definitions import defs  # loads Dagster's definitions, 2 s

    with dg.build_schedule_context(
        instance=open_instance(installation.settings, installation.database),
        scheduled_execution_time=latest_tick(datetime.now(UTC), trending_scrapes.EVERY),
        resources={"database": DatabaseResource()},
    ) as context:
        data = defs.resolve_schedule_def(name).evaluate_tick(context)
    return _wanted(name, data.run_requests, data.skip_message)


def _sensed(installation: Installation) -> dg.RunRequest:
    """Evaluate the sensor of the inbox."""
    from viral_platform.definitions import defs  # loads Dagster's definitions, 2 s

    name = "apify_webhook_sensor"
    with dg.build_sensor_context(
        instance=open_instance(installation.settings, installation.database),
        resources={"database": DatabaseResource()},
    ) as context:
        data = defs.resolve_sensor_def(name).evaluate_tick(context)
    return _wanted(name, data.run_requests, data.skip_message)


def _wanted(
    name: str, requests: Sequence[dg.RunRequest] | None, skipped: str | None
) -> dg.RunRequest:
    if not requests:
        raise OutsideServiceError(f"{name} asks for no run: {skipped}")
    return requests[-1]


def _delivered(installation: Installation) -> int:
    """Wait for the webhook of the actor run and return its row in the inbox."""

    def newest() -> int | None:
        waiting = inbox.due(installation.database, 100, datetime.now(UTC))
        return waiting[-1].id if waiting else None

    return _until(newest, DELIVERY_SECONDS, "The actor run's webhook did not arrive.")


def _asked(installation: Installation, port: int, video: TracedVideo) -> PredictionAnswer:
    """Ask over HTTP about a post with the video's words and the name of its sound."""
    made = create_key(installation.database, name="demo", scopes=("predict",))
    answer = httpx.post(
        f"http://{ports.HOST}:{port}/v1/predictions",
        json={"content_text": f"{video.caption} {video.sound_name}".strip()},
        headers={"Authorization": f"Bearer {made.key}"},
        timeout=ANSWER_SECONDS,
        trust_env=False,
    )
    if not answer.is_success:
        raise OutsideServiceError(f"The API answered {answer.status_code}: {answer.text}")
    return PredictionAnswer.model_validate_json(answer.content)


def _until(look: Callable[[], T | None], seconds: float, problem: str) -> T:
    """Look again and again until there is something, and return it."""
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise OutsideServiceError(problem)
        time.sleep(_POLL_SECONDS)
    return found
