"""Whole answers by the official client libraries, from stand-ins, a real database, a real model."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, func, select

from viral_platform.engine.contracts import PredictionAnswer, PredictionRequest, StageRecord
from viral_platform.observability.logging import configure_logging
from viral_platform.sandbox.stand_ins import Fault, StandIn
from viral_platform.services import training
from viral_platform.services.prediction import PredictionService
from viral_platform.services.rules import sync_rule_library
from viral_platform.settings import Settings
from viral_platform.storage.database import Database
from viral_platform.storage.tables import cost_events

from ..clips import mp4
from .spoken import open_spoken
from .test_prediction import _MARTS, POST, Installation, execute

REQUEST = PredictionRequest(
    content_text="Is this the calmest river? Paper Boat, share it with a friend #hue",
    creator_handle="some.creator",
)
URL = PredictionRequest(input_mode="tiktok_url", tiktok_url=POST)
SPOKEN = ("gemini", "rule_judge", "deepseek")


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(running: StandIn) -> StandIn:
    running.reset()
    return running


@pytest.fixture
def ready(installation: Installation) -> Installation:
    """An installation with rules, trends, a creator and a served model."""
    training.promote(installation.database, installation.version)
    sync_rule_library(installation.database)
    execute(installation.database, _MARTS)
    return installation


@pytest.fixture
def service(ready: Installation, stand_in: StandIn) -> Iterator[PredictionService]:
    with open_spoken(ready.database, ready.artifacts, stand_in.base_url) as service:
        yield service


def stage(answer: PredictionAnswer, name: str) -> StageRecord:
    return next(record for record in answer.stages if record.stage == name)


def booked(database: Database, request_id: str) -> int:
    query = select(func.sum(cost_events.c.cost_microdollars)).where(
        cost_events.c.request_id == request_id
    )
    with database.engine.connect() as connection:
        return int(connection.execute(query).scalar_one() or 0)


def test_an_answer_has_all_five_signals_with_reasons_and_costs(
    ready: Installation, service: PredictionService
) -> None:
    answer = service.predict(REQUEST)
    assert not answer.degraded
    scores = (
        answer.behavioral_score,
        answer.gemini_score,
        answer.ml_score,
        answer.rule_score,
        answer.trend_score,
    )
    assert None not in scores
    assert sum(answer.score_weights.values()) == pytest.approx(1)
    assert answer.score_weights["behavioral"] == 0.35
    assert len([factor for factor in answer.factors if factor.id.startswith("factor-")]) == 5
    assert all(factor.evidence for factor in answer.factors)
    effects = [suggestion.max_effect for suggestion in answer.suggestions]
    assert effects == sorted(effects, reverse=True)
    assert {rule.tier for rule in answer.matched_rules} >= {"regex"}
    assert {type(finding) for finding in answer.rule_findings.values()} >= {bool, float}
    assert (answer.gemini_model, answer.deepseek_model) == ("gemini-2.5-flash", "deepseek-flash")
    assert answer.behavioral_source == "deepseek"
    assert answer.behavioral_predictions is not None
    assert answer.prompt_version is not None
    assert len(answer.prompt_version.split()) == 3
    assert answer.cost_cents > 0
    assert answer.cost_cents == pytest.approx(sum(one.cost_cents for one in answer.stages))
    assert booked(ready.database, answer.id) == round(answer.cost_cents * 10_000)


def test_one_answer_reads_nothing_twice(ready: Installation, service: PredictionService) -> None:
    """Beside the ledger, which every paid call asks and settles."""
    service.predict(REQUEST)
    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(" ".join(str(arguments[2]).split()))

    event.listen(ready.database.engine, "before_cursor_execute", note)
    service.predict(REQUEST)
    event.remove(ready.database.engine, "before_cursor_execute", note)
    ledger = [one for one in statements if "cost_events" in one or "advisory" in one]
    others = [one for one in statements if one not in ledger]
    assert sorted(one.split()[0].lower() for one in others) == ["insert", "select"]
    assert len([one for one in ledger if one.lower().startswith("update")]) == len(SPOKEN)


def test_explained_answers_say_what_moves_the_model(service: PredictionService) -> None:
    answer = service.predict(REQUEST.model_copy(update={"explain": True}))
    assert answer.attributions is not None
    assert {one.feature for one in answer.attributions} == set(answer.feature_vector)
    assert service.predict(REQUEST).attributions is None


def test_the_post_behind_a_url_is_read_and_judged(
    ready: Installation, service: PredictionService, stand_in: StandIn
) -> None:
    answer = service.predict(URL)
    assert stage(answer, "post").status == "ok"
    assert stage(answer, "post").cost_cents > 0
    assert answer.horizon in {"early", "settled"}
    assert answer.gemini_score is not None
    assert answer.simulated
    assert booked(ready.database, answer.id) == round(answer.cost_cents * 10_000)
    (start,) = stand_in.calls("apify", "start")
    assert start.body["postURLs"] == [POST]


def test_a_video_is_seen_and_its_copy_deleted(
    service: PredictionService, stand_in: StandIn, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(mp4(12))
    answer = service.predict(
        PredictionRequest(input_mode="video_upload", video_storage_path=str(clip))
    )
    assert answer.has_video
    assert answer.video_signals is not None
    assert answer.feature_vector["duration_seconds"] == 12
    assert answer.behavioral_score is not None
    assert len(stand_in.calls("gemini", "upload_start")) == 1
    assert not stand_in.files


def test_a_request_s_cap_stops_what_does_not_fit_and_says_so(
    ready: Installation, stand_in: StandIn
) -> None:
    with open_spoken(ready.database, ready.artifacts, stand_in.base_url, request_cap=1) as service:
        answer = service.predict(REQUEST)
    assert {stage(answer, name).reason for name in SPOKEN} == {"budget_request"}
    assert answer.cost_cents == 0
    assert stand_in.calls() == []
    assert answer.overall_score is not None
    assert answer.degraded


def test_the_day_s_cap_stops_all_calls(ready: Installation, stand_in: StandIn) -> None:
    with open_spoken(ready.database, ready.artifacts, stand_in.base_url, day_cap=1) as service:
        answer = service.predict(REQUEST)
    assert {stage(answer, name).reason for name in SPOKEN} == {"budget_day"}
    assert stand_in.calls() == []
    assert booked(ready.database, answer.id) == 0


def test_an_open_breaker_keeps_later_requests_from_waiting(
    service: PredictionService, stand_in: StandIn
) -> None:
    stand_in.fail("gemini", Fault.SERVER_ERROR)
    assert stage(service.predict(REQUEST), "gemini").reason == "unavailable"
    asked = len(stand_in.calls("gemini"))
    assert asked == 3
    answer = service.predict(REQUEST)
    assert stage(answer, "gemini").reason == "circuit_open"
    assert len(stand_in.calls("gemini")) == asked
    assert answer.behavioral_score is not None


@pytest.fixture
def log_lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure_logging(Settings(viral_environment="production", _env_file=None), stream=stream)
    yield stream
    configure_logging(Settings(log_level="WARNING", _env_file=None))


def test_one_request_s_log_lines_carry_its_id_and_add_up(
    ready: Installation,
    service: PredictionService,
    stand_in: StandIn,
    log_lines: io.StringIO,
) -> None:
    stand_in.fail("gemini", Fault.GARBAGE, times=1)
    answer = service.predict(REQUEST, request_id="r-42")
    lines = [json.loads(line) for line in log_lines.getvalue().splitlines()]
    assert {line["request_id"] for line in lines} == {"r-42"}
    stages = [line for line in lines if line["event"] == "stage"]
    assert [line["stage"] for line in stages] == [one.stage for one in answer.stages]
    for line, record in zip(stages, answer.stages, strict=True):
        assert line["duration_ms"] == pytest.approx(record.duration_ms, abs=0.001)
        assert line["cost_cents"] == record.cost_cents
    (complete,) = [line for line in lines if line["event"] == "pipeline complete"]
    total = sum(line["cost_cents"] for line in stages)
    assert complete["cost_cents"] == answer.cost_cents == pytest.approx(total)
    assert booked(ready.database, "r-42") == round(total * 10_000)
    loggers = {line["logger"] for line in lines}
    assert "viral_platform.providers.calls" in loggers
    assert not any("calmest" in line for line in log_lines.getvalue().splitlines())


LANGUAGE_FAULTS: list[tuple[Fault, dict[str, object]]] = [
    (Fault.RATE_LIMITED, {"retry_after": 0.01}),
    (Fault.SERVER_ERROR, {}),
    (Fault.RESET, {}),
    (Fault.HANG, {}),
    (Fault.KEEP_ALIVE, {"seconds": 5}),
    (Fault.UNAUTHORIZED, {}),
    (Fault.OUT_OF_CREDIT, {}),
    (Fault.NOT_FOUND, {}),
    (Fault.GARBAGE, {}),
    (Fault.TRUNCATED_JSON, {}),
    (Fault.SCHEMA_DRIFT, {}),
    (Fault.OUT_OF_RANGE, {}),
    (Fault.MISSING_FACTOR, {}),
    (Fault.FENCED, {}),
    (Fault.REFUSAL, {}),
    (Fault.BLOCKED, {}),
    (Fault.EMPTY, {}),
    (Fault.NO_USAGE, {}),
]
POST_FAULTS: list[tuple[Fault, dict[str, object]]] = [
    (Fault.RATE_LIMITED, {"retry_after": 0.01}),
    (Fault.SERVER_ERROR, {}),
    (Fault.RESET, {}),
    (Fault.HANG, {}),
    (Fault.UNAUTHORIZED, {}),
    (Fault.OUT_OF_CREDIT, {}),
    (Fault.NOT_FOUND, {}),
    (Fault.GARBAGE, {}),
    (Fault.SCHEMA_DRIFT, {}),
    (Fault.EMPTY, {}),
    (Fault.RUN_STATUS, {"status": "FAILED"}),
    (Fault.ERROR_ITEM, {}),
]
CASES = [
    *((("gemini",), *one) for one in LANGUAGE_FAULTS),
    *((("deepseek",), *one) for one in LANGUAGE_FAULTS),
    *((("gemini", "deepseek"), *one) for one in LANGUAGE_FAULTS),
    *((("apify",), *one) for one in POST_FAULTS),
]


@pytest.mark.parametrize(
    ("providers", "fault", "options"),
    [pytest.param(*case, id=f"{'+'.join(case[0])}-{case[1]}") for case in CASES],
)
def test_whatever_fails_the_answer_comes_and_says_what_it_lacks(
    ready: Installation,
    stand_in: StandIn,
    providers: tuple[str, ...],
    fault: Fault,
    options: dict[str, object],
) -> None:
    for provider in providers:
        stand_in.fail(provider, fault, **options)  # type: ignore[arg-type]
    with open_spoken(ready.database, ready.artifacts, stand_in.base_url) as service:
        answer = service.predict(URL if providers == ("apify",) else REQUEST)
    write_row(providers, fault, answer)
    # Of a post that could not be read nothing is known, so nothing is said.
    assert (answer.overall_score is None) == (providers == ("apify",))
    assert answer.stored
    failed = [one for one in answer.stages if one.status == "failed"]
    assert answer.degraded == bool(failed)
    assert all(one.reason and one.reason != "internal_error" for one in failed)
    signals = {
        "behavioral": answer.behavioral_score,
        "gemini": answer.gemini_score,
        "ml": answer.ml_score,
        "rules": answer.rule_score,
        "trends": answer.trend_score,
    }
    missing = [name for name, score in signals.items() if score is None]
    for name, weight in answer.score_weights.items():
        assert (weight == 0) == (name in missing)
    assert booked(ready.database, answer.id) == round(answer.cost_cents * 10_000)
    if len(missing) == 5:
        assert any("there is no score" in line for line in answer.warnings)
        return
    if missing:
        assert any(f"Missing signals: {', '.join(missing)}" in line for line in answer.warnings)
    if {"behavioral", "gemini"} <= set(missing):
        assert answer.confidence_label == "LOW"
        assert any("No language model answered" in line for line in answer.warnings)
    if stage(answer, "deepseek").status == "failed" and answer.behavioral_score is not None:
        assert answer.behavioral_source == "gemini"


def write_row(providers: tuple[str, ...], fault: Fault, answer: PredictionAnswer) -> None:
    """Add one row to the Markdown table that `FAULT_TABLE` names, when it names one."""
    path = os.environ.get("FAULT_TABLE")
    if path is None:
        return
    scores = [
        "-" if score is None else f"{score:.0f}"
        for score in (
            answer.behavioral_score,
            answer.gemini_score,
            answer.ml_score,
            answer.rule_score,
            answer.trend_score,
        )
    ]
    if answer.behavioral_source == "gemini":
        scores[0] += " (gemini)"
    failed = [f"{s.stage}: {s.reason}" for s in answer.stages if s.status == "failed"]
    said = [line for line in answer.warnings if line.startswith(("Missing", "No language"))]
    cells = [
        " + ".join(providers),
        str(fault),
        *scores,
        "-" if answer.overall_score is None else f"{answer.overall_score:.0f}",
        f"{answer.confidence:.2f} {answer.confidence_label}",
        "; ".join(failed) or "-",
        " ".join(said) or "-",
    ]
    with Path(path).open("a", encoding="utf-8") as table:
        table.write(f"| {' | '.join(cells)} |\n")
