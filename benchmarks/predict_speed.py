"""Speed of one prediction: the service's answer, its stages, and the model beside a bare call.

Baseline: `Booster.inplace_predict` on the ready row, measured in the same run. Bars: p50 of the
answer below 5 ms, the model's own part at most 1.5 x the bare call. Prints one JSON document.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
from installation import make_installation

from viral_platform.engine.contracts import CreatorFacts, PredictionRequest, VideoFacts
from viral_platform.engine.features import feature_vector
from viral_platform.observability.logging import configure_logging
from viral_platform.services import training
from viral_platform.services.prediction import PredictionService
from viral_platform.settings import Settings
from viral_platform.storage import embedded, models
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database

ANSWERS = 400
WARM_UP = 40
P50_BAR_MS = 5.0
MODEL_RATIO_BAR = 1.5


def _percentile(values: list[float], level: float) -> float:
    return round(float(np.quantile(values, level)), 4)


def _model_beside_bare_ms(
    database: Database, artifacts: ArtifactStore
) -> tuple[list[float], list[float]]:
    """Return the spent times of the model's answer and of the bare call, in turn on one row."""
    champion = models.champion(database)
    assert champion is not None
    model = training.load_model(champion, artifacts)
    vector = feature_vector(VideoFacts("a caption", ()), CreatorFacts(), None)
    row = vector.reshape(1, -1)
    answered, bare = [], []
    for _ in range(ANSWERS):
        started = time.perf_counter()
        model.booster.inplace_predict(row, validate_features=False)
        between = time.perf_counter()
        model.predict(vector, "pre_publication")
        bare.append((between - started) * 1000)
        answered.append((time.perf_counter() - between) * 1000)
    return answered, bare


def main() -> None:
    """Measure on an installation of its own and print the figures."""
    configure_logging(Settings(log_level="WARNING", viral_environment="production"))
    home = Path(tempfile.mkdtemp(prefix="viral-bench-"))
    try:
        database, artifacts, feed = make_installation(home)
        service = PredictionService(database, artifacts)
        start = feed.config.start_at
        posts = feed.posts_between(start + timedelta(days=20), start + timedelta(days=30))
        requests = [
            PredictionRequest(
                content_text=f"{post.caption} from our kitchen",
                creator_handle=post.handle,
                posted_at=post.posted_at,
                duration_seconds=post.duration_seconds,
            )
            for post in posts[: ANSWERS + WARM_UP]
        ]
        answers = []
        spent = []
        for request in requests:
            started = time.perf_counter()
            answers.append(service.predict(request))
            spent.append((time.perf_counter() - started) * 1000)
        answers, spent = answers[WARM_UP:], spent[WARM_UP:]
        model_ms, bare_ms = _model_beside_bare_ms(database, artifacts)
        stages: dict[str, list[float]] = {}
        for answer in answers:
            for stage in answer.stages:
                stages.setdefault(stage.stage, []).append(stage.duration_ms)
        ratio = statistics.median(model_ms) / statistics.median(bare_ms)
        result = {
            "answers": len(answers),
            "answer_p50_ms": _percentile(spent, 0.5),
            "answer_p95_ms": _percentile(spent, 0.95),
            "stage_p50_ms": {name: _percentile(values, 0.5) for name, values in stages.items()},
            "model_predict_p50_ms": _percentile(model_ms, 0.5),
            "bare_inplace_predict_p50_ms": _percentile(bare_ms, 0.5),
            "model_over_bare": round(ratio, 3),
            "bars": {
                "answer_p50_ms": P50_BAR_MS,
                "model_over_bare": MODEL_RATIO_BAR,
                "met": statistics.median(spent) < P50_BAR_MS and ratio <= MODEL_RATIO_BAR,
            },
        }
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    finally:
        embedded.stop_server(home)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
