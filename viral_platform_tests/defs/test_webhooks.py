"""From the inbox to the assets: the sensor's runs, the job's events, the check's verdict."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from viral_platform.definitions import build_definitions
from viral_platform.defs import webhooks
from viral_platform.defs.assets.ingestion import SPECS
from viral_platform.defs.jobs import EXCLUSIVE
from viral_platform.defs.resources import DatabaseResource
from viral_platform.sandbox.stand_ins import Fault, StandIn
from viral_platform.services import inbox
from viral_platform.services.competitors import competitors_order, watch
from viral_platform.services.ingestion.datasets import DeliveryReport
from viral_platform.services.scraping import start_scrape
from viral_platform.settings import load_settings
from viral_platform.storage.database import Database


@pytest.fixture(scope="module")
def running_stand_in() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(
    running_stand_in: StandIn, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> StandIn:
    """Apify of an installation; its token is set."""
    monkeypatch.setenv("VIRAL_DATABASE_URL", database.url)
    monkeypatch.setenv("VIRAL_HOME", str(tmp_path))
    monkeypatch.setenv("APIFY_TOKEN", "token")
    monkeypatch.setenv("APIFY_BASE_URL", running_stand_in.base_url)
    running_stand_in.reset()
    return running_stand_in


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as one:
        yield one


def _receive(database: Database, run_id: str, name: str) -> int:
    event = "ACTOR.RUN.SUCCEEDED"
    inbox.receive(
        database,
        source=inbox.APIFY,
        delivery_id=name,
        event_type=event,
        body={"eventType": event, "resource": {"id": run_id}},
    )
    with database.connect() as connection:
        row = connection.execute(
            "select id from app.webhook_inbox where delivery_id = %s", [name]
        ).fetchone()
    assert row is not None
    return int(row[0])


def _tick(
    database: Database, instance: dg.DagsterInstance
) -> tuple[list[dg.RunRequest], str | None]:
    resource = DatabaseResource()
    with dg.build_sensor_context(instance=instance, resources={"database": resource}) as context:
        data = webhooks.apify_webhook_sensor.evaluate_tick(context)
    return list(data.run_requests or []), data.skip_message


def _run(instance: dg.DagsterInstance, inbox_id: int) -> dg.ExecuteInProcessResult:
    return webhooks.ingest_dataset.execute_in_process(
        run_config={"ops": {"ingest": {"config": {"inbox_id": inbox_id}}}},
        resources={"database": DatabaseResource(), "apify": webhooks.ApifyDatasetsResource()},
        instance=instance,
        raise_on_error=False,
    )


def _checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def _expire_leases(database: Database) -> None:
    with database.connect() as connection:
        connection.execute(
            "update app.webhook_inbox set lease_until = lease_until - interval '1 day'"
        )


def test_each_delivery_that_waits_is_launched_once_with_its_attempt(
    database: Database, stand_in: StandIn, instance: dg.DagsterInstance
) -> None:
    one, two = _receive(database, "run1", "one"), _receive(database, "run2", "two")
    requests, _ = _tick(database, instance)
    assert [request.run_key for request in requests] == ["one:1", "two:1"]
    assert [request.run_config["ops"]["ingest"]["config"] for request in requests] == [
        {"inbox_id": one},
        {"inbox_id": two},
    ]
    assert [request.tags[EXCLUSIVE] for request in requests] == ["apify-run-run1", "apify-run-run2"]
    again, why = _tick(database, instance)
    assert again == []
    assert why is not None
    assert why.startswith("No delivery is due")


def test_a_run_that_died_is_launched_anew_when_its_lease_has_expired(
    database: Database, stand_in: StandIn, instance: dg.DagsterInstance
) -> None:
    _receive(database, "run1", "one")
    _tick(database, instance)
    _expire_leases(database)
    requests, _ = _tick(database, instance)
    assert [request.run_key for request in requests] == ["one:2"]


def test_a_run_that_waits_in_the_queue_is_not_launched_again(
    database: Database, stand_in: StandIn, instance: dg.DagsterInstance
) -> None:
    inbox_id = _receive(database, "run1", "one")
    _tick(database, instance)
    _expire_leases(database)
    run = instance.create_run_for_job(
        webhooks.ingest_dataset,
        run_config={"ops": {"ingest": {"config": {"inbox_id": inbox_id}}}},
        tags={webhooks.DELIVERY_TAG: str(inbox_id)},
    )
    requests, why = _tick(database, instance)
    assert requests == []
    assert why == "No delivery is due; 1 wait for the end of their run."
    instance.report_run_canceled(run)
    requests, _ = _tick(database, instance)
    assert [request.run_key for request in requests] == ["one:2"]


def test_without_a_token_deliveries_wait_and_the_sensor_says_for_what(
    database: Database,
    stand_in: StandIn,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("APIFY_TOKEN")
    assert _tick(database, instance)[1] == "No delivery is due; 0 wait for the end of their run."
    inbox_id = _receive(database, "run1", "one")
    requests, why = _tick(database, instance)
    assert requests == []
    assert why == "APIFY_TOKEN is not set; 1 deliveries wait for it."
    assert len(inbox.due(database, 10, datetime.now(UTC))) == 1
    failed = _run(instance, inbox_id)
    assert not failed.success


def test_an_ingest_materialises_four_assets_with_counters_and_evaluates_its_check(
    database: Database, stand_in: StandIn, instance: dg.DagsterInstance
) -> None:
    run = stand_in.dataset(600, dirt=True)
    result = _run(instance, _receive(database, run.id, "one"))
    assert result.success
    events = [
        event.step_materialization_data.materialization
        for event in result.all_node_events
        if event.is_step_materialization
    ]
    assert {event.asset_key for event in events} == {spec.key for spec in SPECS}
    metadata = {name: entry.value for name, entry in events[0].metadata.items()}
    assert (
        metadata["received"]
        == 600
        == sum(
            metadata[name]
            for name in (
                "new",
                "updated",
                "unchanged",
                "duplicates",
                "quarantined",
                "scraper_errors",
            )
        )
    )
    assert metadata["scraper_errors"] == 2
    assert metadata["quarantined_by_reason"] == {"inexact_id": 4}
    assert (metadata["pages"], metadata["run_status"]) == (1, "SUCCEEDED")
    assert metadata["cost_microdollars"] == 250_000
    assert metadata["items_per_second"] > 0
    assert metadata["dagster/row_count"] == metadata["new"]
    check = _checks(result)["actor_run_succeeded"]
    assert check.passed
    # Its crawl is judged too, as far as one crawl can be.
    verdicts = {name: one.passed for name, one in _checks(result).items()}
    assert verdicts.keys() == {
        "actor_run_succeeded",
        "quarantine_share",
        "schema_drift",
        "volume",
    }
    assert all(verdicts.values())


def test_an_ingest_of_watched_creators_materialises_their_snapshots(
    database: Database,
    stand_in: StandIn,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("APIFY_WEBHOOK_URL", "http://127.0.0.1:9/v1/webhooks/apify")
    monkeypatch.setenv("APIFY_WEBHOOK_SECRET", "hush-hush")
    for handle in ("cook", "dancer"):
        watch(database, handle)
    settings = load_settings()
    order = competitors_order(settings, database, datetime.now(UTC))
    run_id = start_scrape(settings, database, order).actor_run_id
    result = _run(instance, _receive(database, run_id, "one"))
    made = {
        event.asset_key.to_user_string(): event.step_materialization_data.materialization
        for event in result.all_node_events
        if event.is_step_materialization
    }
    assert made["competitor_snapshots"].metadata["rows"].value == 2
    with database.connect() as connection:
        rows = connection.execute(
            "select handle, videos_seen, is_simulated from app.competitor_snapshots order by 1"
        ).fetchall()
    assert rows == [("cook", 5, True), ("dancer", 5, True)]


def test_a_repeated_run_of_a_delivery_reports_nothing_new(
    database: Database, stand_in: StandIn, instance: dg.DagsterInstance
) -> None:
    inbox_id = _receive(database, stand_in.dataset(5).id, "one")
    _run(instance, inbox_id)
    again = _run(instance, inbox_id)
    assert again.success
    assert not any(event.is_step_materialization for event in again.all_node_events)


@pytest.mark.parametrize("status", ["FAILED", "ABORTED", "TIMED-OUT"])
def test_a_run_that_did_not_succeed_fails_the_check_though_its_items_are_in(
    database: Database, stand_in: StandIn, instance: dg.DagsterInstance, status: str
) -> None:
    run = stand_in.dataset(5, status=status)
    result = _run(instance, _receive(database, run.id, "one"))
    assert result.success
    check = _checks(result)["actor_run_succeeded"]
    assert not check.passed
    assert check.description is not None
    assert status in check.description
    assert check.metadata["n"].value == 5
    alone = webhooks.actor_run_succeeded(database=_opened(database))
    assert isinstance(alone, dg.AssetCheckResult)
    assert not alone.passed


def _opened(database: Database) -> DatabaseResource:
    resource = DatabaseResource()
    resource._database = database
    return resource


def test_the_check_passes_while_there_is_no_delivery_and_fails_for_what_is_gone(
    database: Database, stand_in: StandIn, instance: dg.DagsterInstance
) -> None:
    before = webhooks.actor_run_succeeded(database=_opened(database))
    assert isinstance(before, dg.AssetCheckResult)
    assert before.passed
    assert before.description == "No actor run was delivered yet."
    result = _run(instance, _receive(database, "nosuchrun", "one"))
    check = _checks(result)["actor_run_succeeded"]
    assert not check.passed
    assert check.metadata["problem"].value == "run_not_found"


def test_an_attempt_that_fails_fails_its_run_and_leaves_the_delivery(
    database: Database,
    stand_in: StandIn,
    instance: dg.DagsterInstance,
) -> None:
    inbox_id = _receive(database, stand_in.dataset(5).id, "one")
    stand_in.fail("apify", Fault.UNAUTHORIZED)
    assert not _run(instance, inbox_id).success
    (waiting,) = inbox.due(database, 1, datetime.now(UTC) + timedelta(hours=1))
    assert waiting.problem == "apify: unauthorized: HTTP 401 user-or-token-not-found"


def test_a_delivery_that_is_not_there_fails_the_run_without_a_retry(
    database: Database, stand_in: StandIn, instance: dg.DagsterInstance
) -> None:
    result = _run(instance, 12_345)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    data = failed.step_failure_data.user_failure_data
    assert data is not None
    assert "no delivery 12345" in str(data.description)
    assert data.metadata["kind"].value == "input_unusable"


def test_metadata_of_a_cost_that_is_not_told_names_none() -> None:
    report = DeliveryReport(
        inbox_id=1, run_id="a", dataset_id=None, run_status="RUNNING", problem=None
    )
    metadata = webhooks.delivery_metadata(report)
    assert "cost_microdollars" not in metadata
    assert (metadata["dataset_id"], metadata["problem"]) == ("unknown", "none")


def test_the_sensor_is_on_and_its_job_is_one_of_ours() -> None:
    defs = build_definitions()
    sensor = defs.resolve_sensor_def("apify_webhook_sensor")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 5
    job = defs.resolve_job_def("ingest_dataset")
    dg.validate_run_config(job, {"ops": {"ingest": {"config": {"inbox_id": 1}}}})
    with pytest.raises(dg.DagsterInvalidConfigError, match="inbox_id"):
        dg.validate_run_config(job, {})
