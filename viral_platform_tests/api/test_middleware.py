from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sentry_sdk
import structlog
from sentry_sdk.transport import Transport

from viral_platform.observability.logging import configure_logging
from viral_platform.observability.sentry import configure_sentry
from viral_platform.settings import Settings
from viral_platform.storage import analyses


@pytest.fixture
def events() -> Iterator[io.StringIO]:
    """Log events of this process as production writes them."""
    stream, root = io.StringIO(), logging.getLogger()
    former = root.handlers[:], root.level
    configure_logging(Settings(viral_environment="production", _env_file=None), stream=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = former[0]
    root.setLevel(former[1])


class Mailbox(Transport):
    """Keeps reports in place of sending them."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.events += [event for item in envelope if (event := item.get_event())]


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    settings = Settings(sentry_dsn="https://key@sentry.invalid/1", _env_file=None)
    configure_sentry(settings, transport=box)
    yield box
    sentry_sdk.init()


def lines(events: io.StringIO, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in events.getvalue().splitlines()]
    return [line for line in found if line["event"] == event]


def test_a_request_id_is_taken_over_and_bound_to_every_line_of_the_log(
    api: Any, events: io.StringIO, ask: Any
) -> None:
    client = api.client("predict")
    response = client.post(
        "/v1/predictions",
        json={"content_text": "a text long enough"},
        headers={"X-Request-ID": "order-7.a_b"},
    )
    assert response.headers["x-request-id"] == "order-7.a_b"
    assert {line["request_id"] for line in lines(events, "stage")} == {"order-7.a_b"}
    [line] = lines(events, "request")
    key = client.headers["authorization"].removeprefix("Bearer ")
    assert (line["method"], line["route"], line["status"]) == ("POST", "/v1/predictions", 200)
    assert (line["request_id"], line["key"]) == ("order-7.a_b", key[:11])
    assert line["duration_ms"] > 0
    assert key not in events.getvalue()
    assert "a text long enough" not in events.getvalue()


@pytest.mark.parametrize("given", ["", "with blank", "x" * 65, "a/b", 'a"b'])
def test_another_request_id_is_replaced(api: Any, given: str) -> None:
    response = api.with_token(None).get("/nowhere", headers={"X-Request-ID": given})
    made = response.headers["x-request-id"]
    assert len(made) == 32
    assert response.json()["request_id"] == made


def test_a_path_is_logged_by_its_route(api: Any, events: io.StringIO) -> None:
    client = api.client("read")
    client.get("/v1/predictions/private-thing")
    client.get("/private-thing")
    assert [line["route"] for line in lines(events, "request")] == [
        "/v1/predictions/{prediction_id}",
        "unknown",
    ]
    assert "private-thing" not in events.getvalue()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "route_not_found"),
        ("GET", "/v1/predictions/", 404, "route_not_found"),
        ("GET", "/docs", 404, "route_not_found"),
        ("DELETE", "/v1/predictions", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("PUT", "/v1/outcomes", 405, "method_not_allowed"),
    ],
)
def test_what_is_no_route_is_a_problem(
    api: Any, method: str, path: str, status: int, code: str
) -> None:
    response = api.with_token(None).request(method, path)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == f"urn:viral-platform:problem:{code}"
    assert ("allow" in response.headers) == (status == 405)


def test_what_nobody_expected_is_reported_once_and_told_to_nobody(
    api: Any, events: io.StringIO, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the inner secret")

    monkeypatch.setattr(analyses, "list_answers", broken)
    response = api.client("read").get("/v1/predictions")
    problem = response.json()
    assert (response.status_code, problem["code"]) == (500, "internal_error")
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    [report] = mailbox.events
    assert report["tags"]["request_id"] == problem["request_id"]
    [line] = lines(events, "unexpected_error")
    assert line["request_id"] == problem["request_id"]
    assert lines(events, "request")[0]["status"] == 500


def test_a_model_without_a_price_is_a_problem_of_the_installation(
    serve: Any, database: Any, tmp_path: Any, events: io.StringIO, mailbox: Mailbox
) -> None:
    settings = Settings(
        viral_home=tmp_path, gemini_api_key="test", gemini_model="unheard-of", _env_file=None
    )
    with serve(settings, database) as running:
        response = running.client().post(
            "/v1/predictions", json={"content_text": "a text long enough"}
        )
    assert (response.status_code, response.json()["code"]) == (503, "misconfigured")
    assert "unheard-of" not in response.text
    assert len(mailbox.events) == 1
    assert "unheard-of" in lines(events, "misconfigured")[0]["error"]


def test_a_caller_who_goes_away_while_sending_is_no_error_of_ours(
    api: Any, events: io.StringIO, mailbox: Mailbox
) -> None:
    def cut() -> Iterator[bytes]:
        yield b'{"content_text": '
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.client("predict").post(
            "/v1/predictions", content=cut(), headers={"Content-Type": "application/json"}
        )
    api.with_token(None).get("/healthz")
    assert mailbox.events == []
    assert lines(events, "unexpected_error") == []


def test_answers_are_not_kept_by_anyone_between(api: Any) -> None:
    response: httpx.Response = api.client("read").get("/v1/predictions")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
