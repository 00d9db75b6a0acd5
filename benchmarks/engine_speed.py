"""Speed of one answer from all five signals, and of 50 at once.

Alone: the providers are stand-ins in this process with zero latency; from the answer's time that
is taken which their own handling took, as they recorded it. Bar: p50 below 15 ms. At once: 50
requests against stand-ins in a process of their own with 500 ms latency. Bar: 3 x the time of one.
Prints one JSON document with the time by stage.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import wait
from datetime import timedelta
from pathlib import Path

from installation import make_installation
from pydantic import SecretStr

from viral_platform.engine.contracts import PredictionAnswer, PredictionRequest
from viral_platform.observability.logging import configure_logging
from viral_platform.sandbox.feed import Feed
from viral_platform.sandbox.stand_ins import StandIn
from viral_platform.services.prediction import PredictionService, open_service
from viral_platform.settings import Settings
from viral_platform.storage import embedded
from viral_platform.storage.database import Database

ANSWERS = 120
WARM_UP = 20
AT_ONCE = 50
LATENCY = 0.5
P50_BAR_MS = 15.0
AT_ONCE_BAR = 3.0


def _settings(home: Path, base_url: str) -> Settings:
    key = SecretStr("sandbox")
    return Settings(
        viral_home=home,
        gemini_api_key=key,
        gemini_base_url=base_url,
        deepseek_api_key=key,
        deepseek_base_url=base_url,
        daily_budget_cents=100_000,
        _env_file=None,
    )


def _requests(feed: Feed) -> list[PredictionRequest]:
    start = feed.config.start_at
    posts = feed.posts_between(start + timedelta(days=20), start + timedelta(days=30))
    return [
        PredictionRequest(
            content_text=f"{post.caption} from our kitchen",
            creator_handle=post.handle,
            posted_at=post.posted_at,
            duration_seconds=post.duration_seconds,
        )
        for post in posts[: ANSWERS + WARM_UP]
    ]


def _alone(database: Database, home: Path, requests: list[PredictionRequest]) -> dict[str, object]:
    answers: list[PredictionAnswer] = []
    spent: list[float] = []
    with StandIn() as stand_in, open_service(_settings(home, stand_in.base_url), database) as one:
        for request in requests:
            started = time.perf_counter()
            answers.append(one.predict(request))
            spent.append((time.perf_counter() - started) * 1000)
    answers, spent = answers[WARM_UP:], spent[WARM_UP:]
    assert all(len(answer.score_weights) == 5 for answer in answers)
    assert all(answer.behavioral_source == "deepseek" for answer in answers)
    stages: dict[str, list[float]] = {}
    for answer in answers:
        for stage in answer.stages:
            stages.setdefault(stage.stage, []).append(stage.duration_ms)
    waves = [
        answer.latency_ms
        - max(_of(answer, "gemini"), _of(answer, "rule_judge"))
        - _of(answer, "deepseek")
        for answer in answers
    ]
    return {
        "answers": len(answers),
        "whole_answer_p50_ms": round(statistics.median(spent), 2),
        "without_the_providers_stages_p50_ms": round(statistics.median(waves), 2),
        "bar_ms": P50_BAR_MS,
        "stages_p50_ms": {name: round(statistics.median(ms), 3) for name, ms in stages.items()},
    }


def _of(answer: PredictionAnswer, stage: str) -> float:
    return next(record.duration_ms for record in answer.stages if record.stage == stage)


def _all(service: PredictionService, requests: list[PredictionRequest]) -> float:
    started = time.perf_counter()
    futures = [service.submit(request) for request in requests]
    wait(futures)
    assert all(future.result().behavioral_source == "deepseek" for future in futures)
    return time.perf_counter() - started


def _at_once(
    database: Database, home: Path, requests: list[PredictionRequest]
) -> dict[str, object]:
    scenario = home / "scenario.json"
    slow = [
        {"provider": name, "fault": "latency", "seconds": LATENCY}
        for name in ("gemini", "deepseek")
    ]
    scenario.write_text(json.dumps(slow))
    command = [sys.executable, "-m", "viral_platform.sandbox.stand_ins", "--port", "0"]
    with subprocess.Popen(
        [*command, "--scenario", str(scenario)], stdout=subprocess.PIPE, text=True
    ) as stand_in:
        try:
            assert stand_in.stdout is not None
            base_url = json.loads(stand_in.stdout.readline())["base_url"]
            with open_service(_settings(home, base_url), database) as service:
                _all(service, requests[:3])
                one = statistics.median(_all(service, [request]) for request in requests[:3])
                many = _all(service, requests[:AT_ONCE])
        finally:
            stand_in.terminate()
    return {
        "latency_s": LATENCY,
        "one_s": round(one, 3),
        "at_once": AT_ONCE,
        "at_once_s": round(many, 3),
        "ratio": round(many / one, 2),
        "bar": AT_ONCE_BAR,
        "met": many / one <= AT_ONCE_BAR,
    }


def main() -> None:
    """Make an installation, measure and print."""
    home = Path(tempfile.mkdtemp(prefix="viral-bench-"))
    configure_logging(Settings(viral_home=home, log_level="ERROR", _env_file=None))
    os.environ["VIRAL_HOME"] = str(home)
    database, _, feed = make_installation(home)
    try:
        requests = _requests(feed)
        result = {
            "benchmark": "engine_speed",
            "alone": _alone(database, home, requests),
            "at_once": _at_once(database, home, requests),
        }
        print(json.dumps(result, indent=2))
    finally:
        database.close()
        embedded.stop_server(home)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
