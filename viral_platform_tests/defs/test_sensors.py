from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from viral_platform.definitions import build_definitions
from viral_platform.defs.resources import DatabaseResource
from viral_platform.defs.sensors import BATCH_TAG, prediction_batch_sensor
from viral_platform.engine.contracts import PredictionRequest
from viral_platform.services.batches import store_batch
from viral_platform.storage import batches
from viral_platform.storage.database import Database

REQUESTS = [PredictionRequest(content_text="Three knife skills #cooking")]


@pytest.fixture
def ticking(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """An instance beside an installation of the test's own."""
    monkeypatch.setenv("VIRAL_HOME", str(tmp_path))
    monkeypatch.setenv("VIRAL_DATABASE_URL", database.url)
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def tick(instance: dg.DagsterInstance) -> dg.SensorResult | list[dg.RunRequest]:
    context = dg.build_sensor_context(
        instance=instance,
        definitions=build_definitions(),
        resources={"database": DatabaseResource()},
    )
    with context:
        return prediction_batch_sensor.evaluate_tick(context).run_requests or []


def launched(instance: dg.DagsterInstance, batch_id: str, status: dg.DagsterRunStatus) -> str:
    run = instance.create_run_for_job(
        build_definitions().resolve_job_def("prediction_job"),
        run_config={"ops": {"predict": {"config": {"batch_id": batch_id}}}},
        tags={BATCH_TAG: batch_id},
        status=status,
    )
    return run.run_id


def test_a_queued_batch_is_launched_once_by_its_id(
    ticking: dg.DagsterInstance, database: Database
) -> None:
    batch_id = store_batch(database, REQUESTS, launch=True)
    store_batch(database, REQUESTS)
    [request] = tick(ticking)
    assert request.run_key == batch_id
    assert request.tags[BATCH_TAG] == batch_id
    job = build_definitions().resolve_job_def("prediction_job")
    dg.validate_run_config(job, request.run_config)
    assert "knife" not in str(request.run_config)

    launched(ticking, batch_id, dg.DagsterRunStatus.STARTED)
    assert tick(ticking) == []
    assert batches.get_batch(database, batch_id).state == "queued"


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
def test_a_batch_whose_run_was_killed_is_marked_as_failed(
    ticking: dg.DagsterInstance, database: Database, status: dg.DagsterRunStatus
) -> None:
    before, during = (store_batch(database, REQUESTS, launch=True) for _ in range(2))
    launched(ticking, before, status)
    run_id = launched(ticking, during, status)
    with database.connect() as connection:
        connection.execute(
            "update app.prediction_batches set state = 'running', run_id = %s where batch_id = %s",
            [run_id, during],
        )
    assert tick(ticking) == []
    for batch_id in (before, during):
        record = batches.get_batch(database, batch_id)
        assert (record.state, record.problem) == ("failed", "run_failed")


def test_a_batch_whose_run_is_not_known_any_more_has_failed(
    ticking: dg.DagsterInstance, database: Database
) -> None:
    batch_id = store_batch(database, REQUESTS, launch=True)
    with database.connect() as connection:
        connection.execute("update app.prediction_batches set state = 'running', run_id = 'gone'")
    tick(ticking)
    assert batches.get_batch(database, batch_id).state == "failed"


def test_the_sensor_is_on_and_looks_every_five_seconds() -> None:
    sensor = build_definitions().resolve_sensor_def("prediction_batch_sensor")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 5
