from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import sentry_sdk
import structlog
from pydantic import SecretStr
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from viral_platform.observability.logging import configure_logging, get_logger
from viral_platform.observability.scrubbing import MASK
from viral_platform.observability.sentry import configure_sentry
from viral_platform.settings import Settings

SECRET, CAPTION, HANDLE = "hunter2", "a calm river in autumn", "some.creator"


class Sink(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None:
            self.events.append(dict(event))


@pytest.fixture(autouse=True)
def _sentry_off_afterwards() -> Iterator[None]:
    with sentry_sdk.isolation_scope() as scope:
        # A forked scope keeps the breadcrumbs of the tests before.
        scope.clear()
        yield
    sentry_sdk.init()
    structlog.reset_defaults()


@pytest.fixture
def sink() -> Sink:
    sink = Sink()
    settings = Settings(
        sentry_dsn=SecretStr("http://key@localhost/1"),
        viral_environment="production",
        _env_file=None,
    )
    assert configure_sentry(settings, transport=sink)
    return sink


def analyse(content_text: str, creator_handle: str) -> None:
    secret = SECRET
    sentry_sdk.set_context("request", {"content_text": content_text, "length": 3})
    sentry_sdk.set_extra("creator_handle", creator_handle)
    sentry_sdk.set_extra("item", {"text": content_text, "id": 7})
    sentry_sdk.add_breadcrumb(message=f"GET /v2?token={secret}", data={"caption": content_text})
    raise RuntimeError(f"postgresql://viral:{secret}@db/viral does not answer")


def reported(sink: Sink) -> dict[str, Any]:
    try:
        analyse(CAPTION, HANDLE)
    except RuntimeError as error:
        sentry_sdk.capture_exception(error, tags={"stage": "creator"})
    sentry_sdk.flush()
    (event,) = sink.events
    return event


def test_without_a_dsn_reports_are_off(settings: Settings) -> None:
    sink = Sink()
    assert not configure_sentry(settings, transport=sink)
    sentry_sdk.capture_message("lost")
    assert sink.events == []
    assert sentry_sdk.get_client().transport is None


def test_an_exception_arrives_with_its_place_and_tags(sink: Sink) -> None:
    event = reported(sink)
    (value,) = event["exception"]["values"]
    assert value["type"] == "RuntimeError"
    assert value["stacktrace"]["frames"][-1]["function"] == "analyse"
    assert event["tags"]["stage"] == "creator"
    assert event["environment"] == "production"


@pytest.mark.parametrize("private", [SECRET, CAPTION, HANDLE])
def test_neither_secrets_nor_captions_nor_handles_arrive(sink: Sink, private: str) -> None:
    frames = reported(sink)
    # The lines around a frame are this file's own text.
    for value in frames["exception"]["values"]:
        for frame in value["stacktrace"]["frames"]:
            for source in ("pre_context", "context_line", "post_context"):
                frame.pop(source, None)
    assert private not in json.dumps(frames, default=str)


def test_what_is_masked_says_so(sink: Sink) -> None:
    event = reported(sink)
    assert event["contexts"]["request"] == {"content_text": MASK, "length": 3}
    assert event["exception"]["values"][0]["value"] == (
        f"postgresql://viral:{MASK}@db/viral does not answer"
    )


def test_local_variables_of_frames_are_not_sent(sink: Sink) -> None:
    frames = reported(sink)["exception"]["values"][0]["stacktrace"]["frames"]
    assert all("vars" not in frame for frame in frames)


def test_a_logged_error_is_a_breadcrumb_and_no_second_report(sink: Sink) -> None:
    """Each broken stage gave two events, the second one new each time by its timestamp."""
    configure_logging(Settings(viral_environment="production", _env_file=None), stream=StringIO())
    get_logger("x").error("stage_failed", stage="creator")
    breadcrumbs = reported(sink)["breadcrumbs"]["values"]
    assert any("stage_failed" in crumb.get("message", "") for crumb in breadcrumbs)
