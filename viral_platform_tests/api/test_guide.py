"""The example of the guide, run as it is printed there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from viral_platform.services.keys import create_key
from viral_platform.services.prediction import PredictionService
from viral_platform.storage import batches
from viral_platform.storage.artifacts import ArtifactStore

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "api_example.py"


@pytest.fixture
def launcher(own_api: Any, tmp_path: Path) -> Iterator[None]:
    """Answers queued batches, as the sensor's runs do."""
    stop = threading.Event()

    def answer() -> None:
        with PredictionService(own_api.database, ArtifactStore(tmp_path)) as service:
            while not stop.wait(0.1):
                for batch in batches.open_batches(own_api.database, 10):
                    service.predict_batch(batch.batch_id)

    thread = threading.Thread(target=answer)
    thread.start()
    yield
    stop.set()
    thread.join()


def run(base_url: str, key: str) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLE, base_url],
        env={"PATH": os.environ["PATH"], "VIRAL_API_KEY": key, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("launcher", "champion")
def test_the_example_predicts_reads_back_runs_a_job_and_reports(own_api: Any) -> None:
    key = create_key(own_api.database, name="example", scopes=["predict", "read", "admin"]).key
    told = run(own_api.base_url, key)
    assert "read back: the same" in told
    assert "job: done, 3 of 3 answered" in told
    assert "listed: 4" in told
    assert "outcome: " in told
    assert "off by" in told
    assert "trends: trends_not_computed" in told


@pytest.mark.usefixtures("launcher")
def test_the_example_tells_what_a_new_installation_lacks(own_api: Any) -> None:
    key = create_key(own_api.database, name="example", scopes=["predict", "read", "admin"]).key
    assert "outcome: no_reference_model" in run(own_api.base_url, key)
