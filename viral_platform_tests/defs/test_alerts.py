"""What an operator is told: the real Sentry library, posting to a local sink."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sentry_sdk
from sqlalchemy import make_url
from structlog.testing import capture_logs

from viral_platform.defs import alerts
from viral_platform.defs.alerts import Tick, Watch, failures_begun
from viral_platform.defs.common import nothing_made_with_reason
from viral_platform.engine.errors import NotEnoughDataError
from viral_platform.observability.alerts import Cause
from viral_platform.observability.sentry import configure_sentry
from viral_platform.settings import Settings
from viral_platform.storage.database import Database

from ..envelopes import EnvelopeSink, envelope_sink

# A code location with faults in it, for a daemon of its own.
PLANTED = r"""
import dagster as dg

from viral_platform.defs import alerts
from viral_platform.observability.sentry import configure_sentry
from viral_platform.settings import load_settings

configure_sentry(load_settings())


@dg.asset
def planted_asset() -> None:
    raise ZeroDivisionError("a fault of ours\nwith what was given: hunter2")


planted_job = dg.define_asset_job("planted_job", selection=[planted_asset])


@dg.sensor(
    job=planted_job, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING
)
def launching_sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest()


@dg.sensor(minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def planted_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    raise LookupError("a sensor of ours")


defs = dg.Definitions(
    assets=[planted_asset],
    jobs=[planted_job],
    sensors=[launching_sensor, planted_sensor, *alerts.SENSORS],
    executor=dg.in_process_executor,
)
"""


@dg.asset
def broken_asset() -> None:
    """Breaks."""
    password = "hunter2"
    raise ZeroDivisionError(f"postgresql://viral:{password}@db/x fails\nDETAIL: key (handle)=(ana)")


@dg.asset
def starved_asset() -> None:
    """Has too little data."""
    with nothing_made_with_reason():
        raise NotEnoughDataError("Videos", found=3, needed=50, fix="Import more.")


@dg.asset(check_specs=[dg.AssetCheckSpec("gate", asset="gated_asset", blocking=True)])
def gated_asset() -> dg.MaterializeResult:
    """Is stopped by its gate."""
    return dg.MaterializeResult(
        check_results=[
            dg.AssetCheckResult(
                check_name="gate",
                passed=False,
                description="Accuracy 0.41 on 200 rows; the bar is 0.6.",
                metadata={"accuracy": 0.41, "bar": 0.6, "n": 200, "note": "text"},
            )
        ]
    )


@dg.asset_check(asset="broken_asset")
def advice() -> dg.AssetCheckResult:
    """Only warns."""
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN)


@dg.asset_check(asset="broken_asset")
def holds() -> dg.AssetCheckResult:
    """Passes."""
    return dg.AssetCheckResult(passed=True)


@pytest.fixture
def sink() -> Iterator[EnvelopeSink]:
    with envelope_sink() as sink:
        configure_sentry(Settings(sentry_dsn=sink.dsn, _env_file=None))  # type: ignore[arg-type]
        yield sink
        sentry_sdk.get_client().close(timeout=2)
        sentry_sdk.init()


class Watching:
    """A sensor on an instance, tick after tick."""

    def __init__(self, instance: dg.DagsterInstance, sensor: dg.SensorDefinition) -> None:
        self.instance = instance
        self.sensor = sensor
        self.cursor: str | None = None

    def tick(self) -> None:
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            definitions=dg.Definitions(sensors=[self.sensor]),
        ) as context:
            self.sensor.evaluate_tick(context)
            self.cursor = context.cursor

    def run(self, *parts: Any) -> str:
        result = dg.materialize(list(parts), instance=self.instance, raise_on_error=False)
        return result.run_id


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def runs(instance: dg.DagsterInstance) -> Watching:
    watching = Watching(instance, alerts.run_failure_sensor)
    watching.tick()
    return watching


@pytest.fixture
def checks(instance: dg.DagsterInstance) -> Watching:
    watching = Watching(instance, alerts.failed_check_sensor)
    watching.tick()
    return watching


def test_a_failed_run_is_told_once_with_what_it_is_found_by(
    sink: EnvelopeSink, runs: Watching
) -> None:
    run_id = runs.run(broken_asset)
    for _ in range(3):
        runs.tick()
    (event,) = sink.events
    assert event["level"] == "error"
    assert event["tags"] == {
        "alert": "run_failed",
        "job": "__ephemeral_asset_job__",
        "run_id": run_id,
        "step": "broken_asset",
        "asset": "broken_asset",
        "error_kind": "ZeroDivisionError",
    }
    (value,) = event["exception"]["values"]
    assert value["type"] == "ZeroDivisionError"
    assert value["stacktrace"]["frames"][-1]["function"] == "broken_asset"
    assert event["contexts"]["alert"]["runbook"] == "docs/runbook.md"


def test_neither_a_password_nor_what_a_message_quotes_is_sent(
    sink: EnvelopeSink, runs: Watching
) -> None:
    runs.run(broken_asset)
    runs.tick()
    assert sink.events[0]["exception"]["values"][0]["value"].endswith("@db/x fails")
    assert "hunter2" not in str(sink.events)
    assert "ana" not in str(sink.events[0]["exception"]["values"][0]["value"])


def test_a_run_that_was_refused_for_too_little_data_is_advice(
    sink: EnvelopeSink, runs: Watching
) -> None:
    runs.run(starved_asset)
    runs.tick()
    (event,) = sink.events
    assert event["level"] == "warning"
    assert event["tags"]["error_kind"] == "NotEnoughDataError"
    assert event["exception"]["values"][0]["value"] == ("Videos: found 3, needed 50. Import more.")


def test_a_run_that_its_gate_stopped_names_the_check(sink: EnvelopeSink, runs: Watching) -> None:
    runs.run(gated_asset)
    runs.tick()
    (event,) = sink.events
    assert event["tags"]["check"] == "gate"
    assert event["tags"]["asset"] == "gated_asset"


def test_what_failed_before_the_first_tick_is_history(
    sink: EnvelopeSink, instance: dg.DagsterInstance
) -> None:
    for sensor in (alerts.run_failure_sensor, alerts.failed_check_sensor):
        watching = Watching(instance, sensor)
        watching.run(gated_asset)
        watching.tick()
        watching.tick()
    assert sink.events == []


def test_many_failures_are_told_a_few_a_tick_and_all_in_the_end(
    sink: EnvelopeSink, runs: Watching
) -> None:
    ids = [runs.run(broken_asset) for _ in range(7)]
    runs.tick()
    assert 0 < len(sink.events) <= 5
    for _ in range(7):
        runs.tick()
    assert [event["tags"]["run_id"] for event in sink.events] == ids


def test_a_failed_check_is_told_once_with_its_figures(sink: EnvelopeSink, checks: Watching) -> None:
    run_id = checks.run(gated_asset)
    for _ in range(3):
        checks.tick()
    (event,) = sink.events
    assert event["level"] == "error"
    assert event["tags"] == {
        "alert": "check_failed",
        "asset": "gated_asset",
        "check": "gate",
        "run_id": run_id,
    }
    assert event["message"] == (
        "Check gate of gated_asset failed: Accuracy 0.41 on 200 rows; the bar is 0.6."
    )
    told = event["contexts"]["alert"]
    assert (told["accuracy"], told["bar"], told["n"]) == (0.41, 0.6, 200)


def test_a_check_that_only_warns_is_advice_and_one_that_passes_is_nothing(
    sink: EnvelopeSink, checks: Watching
) -> None:
    checks.run(broken_asset, advice, holds)
    dg.materialize(
        [broken_asset, advice, holds],
        selection=dg.AssetSelection.checks(advice, holds),
        instance=checks.instance,
    )
    checks.tick()
    checks.tick()
    assert [(event["level"], event["tags"]["check"]) for event in sink.events] == [
        ("warning", "advice")
    ]


def test_a_check_reported_without_a_run_is_told_too(sink: EnvelopeSink, checks: Watching) -> None:
    checks.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("analysis_results"), check_name="share", passed=False, metadata={}
        )
    )
    checks.tick()
    (event,) = sink.events
    assert event["tags"]["asset"] == "analysis_results"


def test_without_a_dsn_one_line_of_the_log_says_it(runs: Watching, checks: Watching) -> None:
    run_id = runs.run(gated_asset)
    with capture_logs() as logs:
        runs.tick()
        checks.tick()
        checks.tick()
    assert [(line["event"], line["log_level"], line["run_id"]) for line in logs] == [
        ("run_failed", "error", run_id),
        ("check_failed", "error", run_id),
    ]
    assert logs[1]["figures"] == {"accuracy": 0.41, "bar": 0.6, "n": 200}


def cause(kind: str) -> Cause:
    return Cause(kind, f"{kind}: why")


@pytest.mark.parametrize(
    ("known", "kinds", "told", "kind"),
    [
        (None, [None, None], [], None),
        (None, ["KeyError", "KeyError"], [1.0], "KeyError"),
        ("KeyError", ["KeyError"], [], "KeyError"),
        ("KeyError", [None, "KeyError"], [2.0], "KeyError"),
        ("KeyError", ["OSError"], [1.0], "OSError"),
        ("KeyError", [], [], "KeyError"),
    ],
    ids=["works", "begins", "goes on", "begins again", "fails in another way", "no tick"],
)
def test_a_streak_of_failed_ticks_is_told_at_its_begin(
    known: str | None, kinds: Sequence[str | None], told: Sequence[float], kind: str | None
) -> None:
    ticks = [
        Tick(float(at), None if one is None else cause(one)) for at, one in enumerate(kinds, 1)
    ]
    after, begun = failures_begun(Watch(0.0, known), ticks)
    assert [tick.at for tick in begun] == list(told)
    assert after == Watch(float(len(kinds)), kind)
    assert failures_begun(after, ticks[-1:])[1] == []


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.2)


@pytest.mark.slow
def test_faults_planted_in_an_op_and_in_a_sensor_arrive_from_a_daemon(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "run_queue: {dequeue_interval_seconds: 1}\n"
        "storage: {postgres: {postgres_url: {env: STORAGE_URL}}}\n"
    )
    location = tmp_path / "planted.py"
    location.write_text(PLANTED)
    storage = make_url(database.url).set(drivername="postgresql+psycopg2")
    with envelope_sink() as sink:

        def named(alert: str) -> list[dict[str, Any]]:
            return [event for event in sink.events if event["tags"]["alert"] == alert]

        daemon = subprocess.Popen(
            [Path(sys.executable).with_name("dagster-daemon"), "run", "-f", location],
            env={
                "PATH": "",
                "HOME": str(tmp_path),
                "DAGSTER_HOME": str(tmp_path),
                "DAGSTER_DISABLE_TELEMETRY": "true",
                "SENTRY_DSN": sink.dsn,
                "STORAGE_URL": storage.render_as_string(hide_password=False),
            },
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            start_new_session=True,
        )
        try:
            wait_for(lambda: bool(named("tick_failed") and len(named("run_failed")) > 1), 90)
        finally:
            daemon.send_signal(signal.SIGINT)
            daemon.wait(timeout=30)
            # Its code server may outlive it, waiting for a call that nobody makes any more.
            with suppress(ProcessLookupError):
                os.killpg(daemon.pid, signal.SIGKILL)
    ticks, runs = named("tick_failed"), named("run_failed")
    # The sensor fails at each of its ticks, which is one thing to tell.
    assert len(ticks) == 1, [(t["tags"], t["exception"]) for t in ticks]
    (tick,) = ticks
    assert tick["tags"]["sensor"] == "planted_sensor"
    assert tick["exception"]["values"][0]["type"] == "LookupError"
    ids = [event["tags"]["run_id"] for event in runs]
    assert len(ids) > 1
    assert len(set(ids)) == len(ids)
    assert {event["tags"]["asset"] for event in runs} == {"planted_asset"}
    assert {event["tags"]["job"] for event in runs} == {"planted_job"}
    assert {event["tags"]["error_kind"] for event in runs} == {"ZeroDivisionError"}
    assert "hunter2" not in str([event["exception"]["values"][0]["value"] for event in runs])
