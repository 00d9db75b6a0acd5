from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

Ask = Callable[..., dict[str, Any]]

COUNTS = {"views": 1000, "likes": 60, "comments": 5, "shares": 10}


def days_ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def report(client: httpx.Client, analysis_id: object, **fields: object) -> httpx.Response:
    return client.post("/v1/outcomes", json={"analysis_id": analysis_id, **COUNTS, **fields})


def test_an_outcome_is_judged_and_held_against_the_prediction(
    own_api: Any, champion: str, ask: Ask
) -> None:
    client = own_api.client("predict", "read")
    answer = ask(client, posted_at=days_ago(8))
    response = report(client, answer["id"])
    outcome = response.json()
    assert response.status_code == 201
    assert outcome["engagement"] == pytest.approx(0.1)
    assert (outcome["actual_tier"], outcome["model_version"]) == (4, champion)
    assert outcome["predicted_score"] == answer["overall_score"]
    assert outcome["saves"] is None

    again = report(client, answer["id"], views=5000)
    assert (again.status_code, again.json()["code"]) == (409, "outcome_exists")


@pytest.mark.parametrize(
    ("posted", "fields", "code"),
    [
        (None, {}, "posting_time_unknown"),
        (5, {}, "measured_too_early"),
        (8, {"measured_at": days_ago(0.5)}, "measured_before_prediction"),
        (8, {"measured_at": days_ago(-1)}, "measured_in_the_future"),
    ],
)
def test_counts_that_prove_nothing_are_refused_with_a_code(
    own_api: Any,
    champion: str,
    ask: Ask,
    posted: float | None,
    fields: dict[str, Any],
    code: str,
) -> None:
    client = own_api.client("predict")
    answer = ask(client, posted_at=None if posted is None else days_ago(posted))
    response = report(client, answer["id"], **fields)
    assert (response.status_code, response.json()["code"]) == (422, code)
    assert response.json()["fix"]


def test_a_prediction_that_is_unknown_or_of_another_key_is_not_found(api: Any, ask: Ask) -> None:
    mine, theirs = api.client("predict"), api.client("predict")
    for analysis_id in (str(uuid4()), ask(theirs)["id"]):
        response = report(mine, analysis_id)
        assert (response.status_code, response.json()["code"]) == (404, "prediction_not_found")


def test_without_a_model_nothing_judges_an_outcome(api: Any, ask: Ask) -> None:
    client = api.client("predict", "ingest")
    answer = ask(client, posted_at=days_ago(8))
    response = report(client, answer["id"])
    assert (response.status_code, response.json()["code"]) == (409, "no_reference_model")


def test_the_scope_ingest_is_enough_and_read_is_not(api: Any) -> None:
    assert report(api.client("ingest"), str(uuid4())).status_code == 404
    assert report(api.client("read"), str(uuid4())).status_code == 403


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"analysis_id": "zzz"}, "analysis_id"),
        ({"views": 0}, "views"),
        ({"likes": -1}, "likes"),
        ({"shares": 2**63}, "shares"),
        ({"actual_score": 70}, "actual_score"),
        ({"measured_at": "yesterday"}, "measured_at"),
        ({"comments": None}, "comments"),
    ],
)
def test_a_field_that_does_not_validate_is_named(
    api: Any, fields: dict[str, Any], path: str
) -> None:
    document = {"analysis_id": str(uuid4()), **COUNTS, **fields}
    response = api.client("predict").post("/v1/outcomes", json=document)
    assert response.status_code == 422
    assert [error["path"] for error in response.json()["errors"]] == [path]
    assert "zzz" not in response.text
    assert "`z`" not in response.text
