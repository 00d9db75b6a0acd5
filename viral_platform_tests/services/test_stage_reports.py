"""What reaches Sentry when a stage breaks: the real library, posting to a local sink."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sentry_sdk

from viral_platform.engine import pipeline
from viral_platform.engine.contracts import PredictionRequest
from viral_platform.observability.sentry import configure_sentry
from viral_platform.sandbox.stand_ins import Fault, StandIn
from viral_platform.services.prediction import PredictionService
from viral_platform.services.rules import sync_rule_library
from viral_platform.settings import Settings
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database

from ..envelopes import EnvelopeSink, envelope_sink
from .spoken import open_spoken

REQUEST = PredictionRequest(content_text="Is this the calmest river of all?")


@pytest.fixture
def sink() -> Iterator[EnvelopeSink]:
    with envelope_sink() as sink:
        configure_sentry(Settings(sentry_dsn=sink.dsn, _env_file=None))  # type: ignore[arg-type]
        yield sink
        sentry_sdk.get_client().close(timeout=2)
        sentry_sdk.init()


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def service(
    database: Database, artifacts: ArtifactStore, stand_in: StandIn
) -> Iterator[PredictionService]:
    sync_rule_library(database)
    with open_spoken(database, artifacts, stand_in.base_url) as service:
        yield service


def test_a_stage_that_breaks_is_reported_once_with_what_came_before(
    sink: EnvelopeSink, service: PredictionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(pipeline, "score_rules", broken)
    answer = service.predict(REQUEST, request_id="r-7")
    sentry_sdk.flush(timeout=5)
    assert answer.degraded
    assert answer.overall_score is not None
    (event,) = sink.events
    assert event["exception"]["values"][-1]["type"] == "ZeroDivisionError"
    assert event["tags"] == {"stage": "rules", "request_id": "r-7"}
    crumbs = [crumb for crumb in event["breadcrumbs"]["values"] if crumb["category"] == "stage"]
    assert "trends: absent" in [crumb["message"] for crumb in crumbs]
    assert "rule_judge: ok" in [crumb["message"] for crumb in crumbs]


def test_a_provider_that_fails_is_reported_once_however_often_it_was_tried(
    sink: EnvelopeSink, service: PredictionService, stand_in: StandIn
) -> None:
    stand_in.fail("gemini", Fault.SERVER_ERROR)
    service.predict(REQUEST, request_id="r-8")
    service.predict(REQUEST, request_id="r-9")
    sentry_sdk.flush(timeout=5)
    (event,) = sink.events
    assert event["tags"] == {"stage": "gemini", "request_id": "r-8"}
    assert event["exception"]["values"][-1]["type"] == "ProviderError"
    assert "calmest" not in str(event)


def test_breadcrumbs_are_of_the_own_request_alone(
    sink: EnvelopeSink, service: PredictionService, stand_in: StandIn
) -> None:
    service.predict(REQUEST)
    stand_in.fail("gemini", Fault.UNAUTHORIZED)
    service.predict(REQUEST)
    sentry_sdk.flush(timeout=5)
    (event,) = sink.events
    stages = [
        crumb["message"].split(":")[0]
        for crumb in event["breadcrumbs"]["values"]
        if crumb["category"] == "stage"
    ]
    assert len(stages) == len(set(stages))
