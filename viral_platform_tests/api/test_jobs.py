from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from viral_platform.services.prediction import PredictionService
from viral_platform.storage import batches
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database

REQUESTS = [{"content_text": f"Knife skill number {number} #cooking"} for number in range(12)]


@pytest.fixture
def service(own_api: Any, tmp_path: Any) -> Iterator[PredictionService]:
    """Answers batches, in place of the run that the sensor would launch."""
    with PredictionService(own_api.database, ArtifactStore(tmp_path)) as service:
        yield service


def order(client: httpx.Client, requests: list[Any]) -> httpx.Response:
    return client.post("/v1/prediction-jobs", json={"requests": requests})


def test_a_job_is_taken_answered_and_fetched_in_the_order_of_its_requests(
    own_api: Any, service: PredictionService
) -> None:
    client = own_api.client("predict", "read")
    taken = order(client, REQUESTS)
    job = taken.json()
    assert (taken.status_code, job["status"], job["total"]) == (202, "queued", 12)
    assert taken.headers["location"] == f"/v1/prediction-jobs/{job['batch_id']}"
    early = client.get(f"{taken.headers['location']}/results")
    assert (early.status_code, early.json()["code"]) == (409, "job_not_finished")
    assert early.headers["retry-after"] == "5"

    service.predict_batch(job["batch_id"], run_id="run-1")
    done = client.get(taken.headers["location"]).json()
    assert (done["status"], done["answered"], done["refused"]) == ("done", 12, 0)
    assert done["finished_at"] > done["requested_at"]
    results = client.get(f"{taken.headers['location']}/results")
    assert results.headers["content-type"] == "application/x-ndjson"
    answers = [json.loads(line) for line in results.text.splitlines()]
    with own_api.database.connect() as connection:
        texts = dict(connection.execute("select id::text, content_text from app.analysis_results"))
    assert [texts[answer["id"]] for answer in answers] == [r["content_text"] for r in REQUESTS]
    # The answers belong to the key that ordered them.
    assert len(client.get("/v1/predictions").json()["data"]) == 12
    assert own_api.client("read").get("/v1/predictions").json()["data"] == []


def test_every_request_is_checked_before_one_is_taken(own_api: Any, database: Database) -> None:
    response = order(
        own_api.client("predict"),
        [
            REQUESTS[0],
            {"content_text": "too short"},
            {"input_mode": "tiktok_url", "tiktok_url": "https://x.y/z"},
        ],
    )
    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "invalid_request")
    assert [(error["path"], error["code"]) for error in problem["errors"]] == [
        ("requests.1", "text_too_short"),
        ("requests.2", "url_host"),
    ]
    assert batches.open_batches(database, 10) == []


@pytest.mark.parametrize(
    ("requests", "path"),
    [
        ([REQUESTS[0], {"text": "?"}], "requests.1.text"),
        ([REQUESTS[0], 7], "requests.1"),
        ([], "requests"),
        ([{}] * 1001, "requests"),
    ],
    ids=["unknown-field", "number", "none", "too-many"],
)
def test_a_fault_is_named_by_the_place_of_its_request(
    api: Any, requests: list[Any], path: str
) -> None:
    response = order(api.client("predict"), requests)
    assert response.status_code == 422
    assert path in [error["path"] for error in response.json()["errors"]]
    assert len(response.json()["errors"]) <= 100


def test_a_request_refused_while_it_is_answered_leaves_the_others_their_answers(
    own_api: Any, service: PredictionService, database: Database
) -> None:
    """A short link that leads nowhere is found out only then."""
    client = own_api.client("predict", "read")
    path = order(client, REQUESTS[:3]).headers["location"]
    with database.connect() as connection:
        connection.execute(
            "update app.prediction_requests set request = request || "
            """'{"content_text": "too short"}' where position = 2"""
        )
    service.predict_batch(path.rpartition("/")[2])
    job = client.get(path).json()
    assert (job["status"], job["answered"], job["refused"]) == ("done", 2, 1)
    lines = [json.loads(line) for line in client.get(f"{path}/results").text.splitlines()]
    assert [("id" in line) for line in lines] == [True, False, True]
    assert lines[1]["position"] == 2
    assert lines[1]["problem"]["code"] == "text_too_short"


def test_a_job_that_failed_tells_so_and_gives_the_answers_that_there_are(
    own_api: Any, database: Database
) -> None:
    client = own_api.client("predict", "read")
    path = order(client, REQUESTS[:2]).headers["location"]
    batches.fail_open_batch(database, path.rpartition("/")[2], "run_failed")
    job = client.get(path).json()
    assert (job["status"], job["problem"]) == ("failed", "run_failed")
    lines = [json.loads(line) for line in client.get(f"{path}/results").text.splitlines()]
    assert [line["problem"]["code"] for line in lines] == ["not_answered", "not_answered"]


@pytest.mark.parametrize("suffix", ["", "/results"])
def test_a_job_of_another_key_is_not_found(api: Any, suffix: str) -> None:
    path = order(api.client("predict"), REQUESTS[:1]).headers["location"]
    response = api.client("read").get(path + suffix)
    assert (response.status_code, response.json()["code"]) == (404, "job_not_found")
    assert api.client("admin").get(path).status_code == 200
