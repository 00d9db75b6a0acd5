"""The stand-in for Apify over plain HTTP, and its items before the importer."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from viral_platform.sandbox.stand_ins import Fault, StandIn
from viral_platform.services.ingestion.pipeline import ItemParser

POST = "https://www.tiktok.com/@bread.maker/video/7301234567890123456"


@pytest.fixture
def apify(stand_in: StandIn) -> Iterator[httpx.Client]:
    headers = {"authorization": "Bearer token"}
    with httpx.Client(base_url=f"{stand_in.base_url}/v2", headers=headers, trust_env=False) as one:
        yield one


RUN_FIELDS = {
    *("id", "actId", "userId", "startedAt", "status", "meta", "stats", "options", "buildId"),
    *("defaultKeyValueStoreId", "defaultDatasetId", "defaultRequestQueueId", "buildNumber"),
}


@pytest.mark.parametrize("kind", ["acts", "actors"])
def test_apify_runs_an_actor_on_a_post(apify: httpx.Client, kind: str) -> None:
    body = gzip.compress(json.dumps({"postURLs": [POST], "resultsPerPage": 1}).encode())
    started = apify.post(
        f"/{kind}/clockworks~tiktok-scraper/runs",
        content=body,
        headers={"content-type": "application/json", "content-encoding": "gzip"},
    )
    assert started.status_code == 201
    run = started.json()["data"]
    assert run.keys() >= RUN_FIELDS
    statuses = [apify.get(f"/actor-runs/{run['id']}").json()["data"]["status"] for _ in range(2)]
    assert [run["status"], *statuses] == ["READY", "RUNNING", "SUCCEEDED"]
    over = apify.get(f"/actor-runs/{run['id']}", params={"waitForFinish": 999_999}).json()["data"]
    assert over["status"] == "SUCCEEDED"
    assert over["usageTotalUsd"] == pytest.approx(0.005)
    items = apify.get(f"/datasets/{run['defaultDatasetId']}/items")
    (item,) = items.json()
    assert item["simulated"] is True
    assert item["id"] == "7301234567890123456"
    assert item["authorMeta"]["name"] == "bread.maker"
    assert item["createTime"] == 7301234567890123456 >> 32
    again = run_of(apify, {"postURLs": [POST]})
    assert items_of(apify, again) == [item]


def run_of(apify: httpx.Client, body: dict[str, Any], **query: Any) -> dict[str, Any]:
    answer = apify.post("/acts/some~actor/runs", json=body, params={"waitForFinish": 1, **query})
    run: dict[str, Any] = answer.json()["data"]
    return run


def items_of(apify: httpx.Client, run: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = apify.get(
        f"/datasets/{run['defaultDatasetId']}/items", params=query
    ).json()
    return items


def test_apify_items_are_read_by_the_importer(apify: httpx.Client) -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    body = {
        "postURLs": [POST, "https://m.tiktok.com/v/7301234567890123457.html"],
        "hashtags": ["bread"],
        "profiles": ["someone"],
        "resultsPerPage": 2,
    }
    run = run_of(apify, body)
    items = items_of(apify, run)
    assert len(items) == 6
    assert "bread" in {tag["name"] for tag in items[2]["hashtags"]}
    assert items[4]["authorMeta"]["name"] == "someone"
    batch = ItemParser("clockworks", default_crawled_at=now).batch(
        [json.dumps(item).encode() for item in items], 1, now
    )
    assert batch.rejected == []
    assert len(batch.columns["platform_video_id"]) == 6
    assert all(batch.columns["is_simulated"])


def test_apify_pages_carry_the_five_headers(apify: httpx.Client) -> None:
    run = run_of(apify, {"hashtags": ["bread"]}, maxItems=4)
    path = f"/datasets/{run['defaultDatasetId']}/items"
    page = apify.get(path, params={"offset": 1, "limit": 2, "desc": "true", "clean": "true"})
    everything = apify.get(path)
    assert page.json() == everything.json()[::-1][1:3]
    shown = {name: text for name, text in page.headers.items() if "pagination" in name}
    assert shown == {
        "x-apify-pagination-total": "4",
        "x-apify-pagination-offset": "1",
        "x-apify-pagination-limit": "2",
        "x-apify-pagination-count": "2",
        "x-apify-pagination-desc": "true",
    }
    assert everything.headers["x-apify-pagination-limit"] == "999999999999"
    assert apify.get(path, params={"offset": 9}).json() == []
    lines = apify.get(path, params={"format": "jsonl"}).text.splitlines()
    assert [json.loads(line) for line in lines] == everything.json()


def test_apify_charges_no_more_than_the_cap(apify: httpx.Client) -> None:
    run = run_of(apify, {"hashtags": ["bread"]}, maxTotalChargeUsd=0.002)
    assert run["usageTotalUsd"] == 0.002


def test_apify_has_error_items_for_addresses_without_a_post(apify: httpx.Client) -> None:
    (item,) = items_of(apify, run_of(apify, {"postURLs": ["https://www.tiktok.com/about"]}))
    assert item["error"] == "This post does not exist."
    assert item["url"] == item["input"] == "https://www.tiktok.com/about"


def test_apify_errors(apify: httpx.Client, stand_in: StandIn) -> None:
    def kind(answer: httpx.Response) -> tuple[int, str]:
        return answer.status_code, answer.json()["error"]["type"]

    path = "/v2/actor-runs/none"
    assert kind(apify.get("/actor-runs/none")) == (404, "record-not-found")
    assert kind(apify.get("/datasets/none/items")) == (404, "record-not-found")
    assert kind(apify.post("/acts/a/runs", json=[])) == (400, "invalid-input")
    assert kind(apify.post("/acts/a/runs", json={"postURLs": "x"})) == (400, "invalid-input")
    assert kind(httpx.get(stand_in.base_url + path)) == (401, "token-not-provided")
    assert kind(httpx.get(f"{stand_in.base_url}{path}?token=invalid")) == (
        401,
        "user-or-token-not-found",
    )
    assert kind(httpx.get(f"{stand_in.base_url}{path}?token=good")) == (404, "record-not-found")
    for fault, expected in (
        (Fault.RATE_LIMITED, (429, "rate-limit-exceeded")),
        (Fault.OUT_OF_CREDIT, (402, "actor-memory-limit-exceeded")),
        (Fault.SERVER_ERROR, (503, "internal-server-error")),
        (Fault.UNAUTHORIZED, (401, "user-or-token-not-found")),
    ):
        stand_in.fail("apify", fault, times=1)
        assert kind(apify.get("/actor-runs/none")) == expected
