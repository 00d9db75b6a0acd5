from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from viral_platform.engine.contracts import PredictionAnswer, PredictionRequest
from viral_platform.engine.errors import (
    DatabaseUnavailableError,
    GateRefusedError,
    NotFoundError,
)
from viral_platform.services.batches import results_as_json_lines, store_batch
from viral_platform.services.prediction import ANSWERS_AT_ONCE, PredictionService
from viral_platform.storage import batches
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database

TEXTS = [f"Knife skill number {number} #cooking" for number in range(20)]
REQUESTS = [PredictionRequest(content_text=text) for text in TEXTS]


@pytest.fixture
def service(database: Database, artifacts: ArtifactStore) -> Iterator[PredictionService]:
    with PredictionService(database, artifacts) as service:
        yield service


def texts_of(database: Database, answers: list[PredictionAnswer]) -> list[str]:
    with database.connect() as connection:
        rows = connection.execute("select id::text, content_text from app.analysis_results")
        texts = dict(rows.fetchall())
    return [texts[answer.id] for answer in answers]


def test_answers_come_back_in_the_order_of_their_requests(
    database: Database, service: PredictionService
) -> None:
    batch_id = store_batch(database, REQUESTS)
    assert texts_of(database, service.predict_batch(batch_id)) == TEXTS
    record = batches.get_batch(database, batch_id)
    assert (record.state, record.answered, record.problem) == ("done", 20, None)


def test_several_requests_are_answered_at_once_and_no_more_than_allowed(
    database: Database, service: PredictionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, full, counts = threading.Lock(), threading.Event(), [0]
    answer = PredictionService.predict

    def counted(self: PredictionService, *arguments: object, **named: object) -> PredictionAnswer:
        with lock:
            counts.append(counts[-1] + 1)
            if counts[-1] == ANSWERS_AT_ONCE:
                full.set()
        full.wait(10)
        given = answer(self, *arguments, **named)  # type: ignore[arg-type]
        with lock:
            counts.append(counts[-1] - 1)
        return given

    monkeypatch.setattr(PredictionService, "predict", counted)
    service.predict_batch(store_batch(database, REQUESTS))
    assert max(counts) == ANSWERS_AT_ONCE


def test_a_batch_that_broke_off_goes_on_where_it_stopped(
    database: Database, service: PredictionService
) -> None:
    """Answers are paid for: those that are there are not made again."""
    batch_id = store_batch(database, REQUESTS[:4])
    with database.connect() as connection:
        connection.execute(
            "alter table app.analysis_results add constraint no_third check (position <> 3)"
        )
    with pytest.raises(DatabaseUnavailableError, match=f"Answer 3 of batch {batch_id}"):
        service.predict_batch(batch_id)
    record = batches.get_batch(database, batch_id)
    assert (record.state, record.problem) == ("failed", "database_unavailable")
    before = results_as_json_lines(database, batch_id).splitlines()
    assert sum('"not_answered"' in line for line in before) == 4 - record.answered

    with database.connect() as connection:
        connection.execute("alter table app.analysis_results drop constraint no_third")
    made = service.predict_batch(batch_id)
    assert len(made) == 4 - record.answered
    after = results_as_json_lines(database, batch_id).splitlines()
    assert [line for line in before if '"not_answered"' not in line] == [
        line for line in after if line in before
    ]
    assert batches.get_batch(database, batch_id).state == "done"
    assert service.predict_batch(batch_id) == []


def test_a_batch_is_answered_by_one_process_at_a_time(
    database: Database, service: PredictionService
) -> None:
    batch_id = store_batch(database, REQUESTS[:1])
    with batches.answering(database, batch_id, "run-1") as batch:
        assert len(batch.requests) == 1
        with pytest.raises(GateRefusedError, match="is being answered by another process"):
            service.predict_batch(batch_id)
    assert len(service.predict_batch(batch_id)) == 1


def test_what_interrupts_a_batch_is_told(database: Database) -> None:
    batch_id = store_batch(database, REQUESTS[:1])
    for error, problem in [(RuntimeError, "internal_error"), (KeyboardInterrupt, "interrupted")]:
        with pytest.raises(error), batches.answering(database, batch_id, None):
            raise error
        assert batches.get_batch(database, batch_id).problem == problem


def test_a_batch_that_does_not_exist_is_named(
    database: Database, service: PredictionService
) -> None:
    with pytest.raises(NotFoundError, match="No batch batch-none"):
        service.predict_batch("batch-none")
    with pytest.raises(NotFoundError, match="No batch batch-none"):
        batches.get_batch(database, "batch-none")


def test_only_a_batch_that_shall_be_launched_waits_for_a_run(database: Database) -> None:
    store_batch(database, REQUESTS[:1])
    ordered = store_batch(database, REQUESTS[:1], launch=True)
    assert batches.open_batches(database, 10) == [batches.WaitingBatch(ordered, None)]
    batches.fail_open_batch(database, ordered, "run_failed")
    assert batches.open_batches(database, 10) == []


def test_a_batch_that_has_ended_is_not_marked_as_failed_afterwards(
    database: Database, service: PredictionService
) -> None:
    batch_id = store_batch(database, REQUESTS[:1])
    service.predict_batch(batch_id)
    batches.fail_open_batch(database, batch_id, "run_failed")
    assert batches.get_batch(database, batch_id).state == "done"
