"""Simulated datasets, runs over time and ad-hoc webhooks of the stand-in for Apify."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from viral_platform.sandbox.stand_ins import Fault, StandIn
from viral_platform.services.inbox import parse_apify_delivery

Delivered = tuple[dict[str, str], dict[str, Any]]


@pytest.fixture
def apify(stand_in: StandIn) -> Iterator[httpx.Client]:
    headers = {"authorization": "Bearer token"}
    with httpx.Client(base_url=f"{stand_in.base_url}/v2", headers=headers, trust_env=False) as one:
        yield one


class Receiver:
    """A webhook's other end; answers with the statuses that are planned, then 202."""

    def __init__(self) -> None:
        self.delivered: list[Delivered] = []
        self.plan: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                headers = {name.lower(): text for name, text in self.headers.items()}
                receiver.delivered.append((headers, body))
                self.send_response(receiver.plan.pop(0) if receiver.plan else 202)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/webhooks/apify"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait_for(self, count: int) -> list[Delivered]:
        deadline = time.monotonic() + 10
        while len(self.delivered) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(self.delivered) == count
        return self.delivered


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


def _start(apify: httpx.Client, receiver: Receiver, **webhook: object) -> dict[str, Any]:
    webhooks = [
        {
            "eventTypes": ["ACTOR.RUN.CREATED", "ACTOR.RUN.SUCCEEDED", "ACTOR.RUN.FAILED"],
            "requestUrl": receiver.url,
            **webhook,
        }
    ]
    encoded = base64.b64encode(json.dumps(webhooks).encode()).decode()
    answer = apify.post(
        "/acts/some~actor/runs", json={"hashtags": ["bread"]}, params={"webhooks": encoded}
    )
    assert answer.status_code == 201, answer.text
    run: dict[str, Any] = answer.json()["data"]
    return run


def test_a_dataset_is_the_same_for_a_seed_and_made_where_it_is_read(
    stand_in: StandIn, apify: httpx.Client
) -> None:
    run, same = stand_in.dataset(1_000_000, seed=3), stand_in.dataset(1_000_000, seed=3)
    other = stand_in.dataset(1_000_000, seed=4)

    def page(dataset_id: str, **query: object) -> httpx.Response:
        return apify.get(f"/datasets/{dataset_id}/items", params={"limit": 3, **query})

    far = page(run.dataset_id, offset=999_998)
    assert far.headers["x-apify-pagination-total"] == "1000000"
    assert len(far.json()) == 2
    assert far.json() == page(same.dataset_id, offset=999_998).json()
    assert far.json() != page(other.dataset_id, offset=999_998).json()
    assert far.json()[::-1] == page(run.dataset_id, desc="true").json()[:2]
    assert all(item["simulated"] for item in far.json())


def test_clean_items_are_of_videos_of_their_own_and_dirt_brings_the_other_kinds(
    stand_in: StandIn,
) -> None:
    clean, dirty = stand_in.dataset(2_000), stand_in.dataset(2_000, dirt=True)
    ids = {clean.dataset.item(k)["id"] for k in range(2_000)}
    assert len(ids) == 2_000
    items = [dirty.dataset.item(k) for k in range(2_000)]
    assert sum("error" in item for item in items) == 8
    assert sum(item.get("id") == "7.5e+18" for item in items) >= 8
    assert len({item["id"] for item in items if "id" in item}) < 1_960


def test_items_appear_while_pages_are_read(stand_in: StandIn, apify: httpx.Client) -> None:
    run = stand_in.dataset(10)
    stand_in.apify.grow(run.id, 5, at_offset=8)

    def read(offset: int) -> tuple[int, int]:
        answer = apify.get(f"/datasets/{run.dataset_id}/items", params={"offset": offset})
        return len(answer.json()), int(answer.headers["x-apify-pagination-total"])

    assert [read(offset) for offset in (0, 8, 10)] == [(10, 10), (2, 10), (5, 15)]


def test_a_dataset_expires_or_is_emptied(stand_in: StandIn, apify: httpx.Client) -> None:
    run = stand_in.dataset(10)
    stand_in.apify.empty(run.id)
    answer = apify.get(f"/datasets/{run.dataset_id}/items")
    assert (answer.json(), answer.headers["x-apify-pagination-total"]) == ([], "0")
    stand_in.apify.expire(run.id)
    assert apify.get(f"/datasets/{run.dataset_id}/items").status_code == 404


def test_a_run_takes_its_time_and_ends_as_it_is_told(
    stand_in: StandIn, apify: httpx.Client
) -> None:
    def status(run_id: str) -> str:
        shown: str = apify.get(f"/actor-runs/{run_id}").json()["data"]["status"]
        return shown

    assert status(stand_in.dataset(1, status="ABORTED").id) == "ABORTED"
    slow = stand_in.dataset(1, ends_after=60.0)
    assert [status(slow.id) for _ in range(3)] == ["RUNNING"] * 3
    stand_in.apify.end(slow.id, "TIMED-OUT")
    assert status(slow.id) == "TIMED-OUT"


def test_a_run_tells_its_webhooks_of_its_start_and_its_end(
    stand_in: StandIn, apify: httpx.Client, receiver: Receiver
) -> None:
    run = _start(apify, receiver, headersTemplate='{"X-Webhook-Secret": "hidden", "Host": "x"}')
    assert run["status"] == "READY"
    created, ended = receiver.wait_for(2)
    assert created[1]["eventType"] == "ACTOR.RUN.CREATED"
    headers, body = ended
    assert headers["x-webhook-secret"] == "hidden"
    assert headers["x-apify-webhook"] == "yo"
    assert body.keys() == {"userId", "createdAt", "eventType", "eventData", "resource"}
    assert body["resource"]["status"] == "SUCCEEDED"
    read = parse_apify_delivery(headers, json.dumps(body).encode())
    assert (read.event_type, read.run_id) == ("ACTOR.RUN.SUCCEEDED", run["id"])
    assert read.delivery_id == headers["x-apify-webhook-dispatch-id"]
    assert read.delivery_id != created[0]["x-apify-webhook-dispatch-id"]


def test_a_template_of_its_own_is_filled_in(apify: httpx.Client, receiver: Receiver) -> None:
    """The replaced system's webhook had the secret and its hashtags in the body."""
    template = (
        '{"resource": {{resource}}, "eventType": {{eventType}}, "secret": "s", '
        '"status": {{ resource.status }}, "none": {{resource.id.deeper}}}'
    )
    run = _start(apify, receiver, payloadTemplate=template, eventTypes=["ACTOR.RUN.SUCCEEDED"])
    ((_, body),) = receiver.wait_for(1)
    assert (body["secret"], body["status"], body["none"]) == ("s", "SUCCEEDED", None)
    assert body["resource"]["id"] == run["id"]


@pytest.mark.parametrize(
    "webhooks",
    [
        "not base64!",
        base64.b64encode(b"{}").decode(),
        base64.b64encode(b'[{"eventTypes": []}]').decode(),
        base64.b64encode(
            b'[{"eventTypes": [], "requestUrl": "http://x", "payloadTemplate": "{{nothing}}"}]'
        ).decode(),
    ],
)
def test_webhooks_that_are_none_are_refused(apify: httpx.Client, webhooks: str) -> None:
    answer = apify.post("/acts/a/runs", json={}, params={"webhooks": webhooks})
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid-request")


def test_a_delivery_that_is_not_taken_comes_again_under_its_id(
    stand_in: StandIn, apify: httpx.Client, receiver: Receiver
) -> None:
    stand_in.apify.retry_seconds = 0.01
    receiver.plan = [503, 500]
    _start(apify, receiver, eventTypes=["ACTOR.RUN.SUCCEEDED"])
    delivered = receiver.wait_for(3)
    assert len({headers["x-apify-webhook-dispatch-id"] for headers, _ in delivered}) == 1


def test_duplicates_and_other_events_are_sent_on_demand(
    stand_in: StandIn, apify: httpx.Client, receiver: Receiver
) -> None:
    run = stand_in.dataset(1, status="TIMED-OUT")
    assert stand_in.deliver(run.id) == []
    assert stand_in.deliver(run.id, times=2, to=receiver.url) == [202, 202]
    stand_in.deliver(run.id, to=receiver.url, event_type="ACTOR.RUN.RESURRECTED")
    events = [body["eventType"] for _, body in receiver.delivered]
    assert events == ["ACTOR.RUN.TIMED_OUT"] * 2 + ["ACTOR.RUN.RESURRECTED"]
    ids = [headers["x-apify-webhook-dispatch-id"] for headers, _ in receiver.delivered]
    assert ids[0] == ids[1] != ids[2]
    started = _start(apify, receiver, eventTypes=["ACTOR.RUN.SUCCEEDED"])
    receiver.wait_for(4)
    assert stand_in.deliver(started["id"], times=2) == [202, 202]
    ids = [headers["x-apify-webhook-dispatch-id"] for headers, _ in receiver.delivered[3:]]
    assert len(set(ids)) == 1


def test_a_run_that_takes_its_time_tells_its_end_then(
    stand_in: StandIn, apify: httpx.Client, receiver: Receiver
) -> None:
    stand_in.apify.run_seconds = 0.15
    run = _start(apify, receiver)
    receiver.wait_for(1)
    assert apify.get(f"/actor-runs/{run['id']}").json()["data"]["status"] == "RUNNING"
    receiver.wait_for(2)
    assert apify.get(f"/actor-runs/{run['id']}").json()["data"]["status"] == "SUCCEEDED"
    forgotten = _start(apify, receiver)
    receiver.wait_for(3)
    stand_in.reset()
    time.sleep(0.25)
    assert len(receiver.delivered) == 3, forgotten


def test_a_page_can_be_cut_off(stand_in: StandIn, apify: httpx.Client) -> None:
    run = stand_in.dataset(3)
    stand_in.fail("apify", Fault.TRUNCATED_JSON, times=1)
    assert apify.get(f"/actor-runs/{run.id}").is_success
    cut = apify.get(f"/datasets/{run.dataset_id}/items")
    assert cut.headers["x-apify-pagination-count"] == "3"
    with pytest.raises(json.JSONDecodeError):
        cut.json()
    assert len(apify.get(f"/datasets/{run.dataset_id}/items").json()) == 3
