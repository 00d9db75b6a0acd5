"""Orders of scrapes: the sensor's runs, and what the job leaves in the tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from viral_platform.definitions import build_definitions
from viral_platform.defs import scraping
from viral_platform.defs.resources import DatabaseResource
from viral_platform.sandbox.stand_ins import StandIn
from viral_platform.storage import scrapes
from viral_platform.storage.database import Database
from viral_platform.storage.scrapes import ScrapeOrder

NAME = "profile cook 2026-11-20T12:00:00+00:00"


@pytest.fixture
def instance(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """The instance of an installation that can scrape, with one order."""
    monkeypatch.setenv("VIRAL_HOME", str(tmp_path))
    monkeypatch.setenv("VIRAL_DATABASE_URL", database.url)
    monkeypatch.setenv("APIFY_TOKEN", "token")
    monkeypatch.setenv("APIFY_WEBHOOK_URL", "http://127.0.0.1:9/v1/webhooks/apify")
    monkeypatch.setenv("APIFY_WEBHOOK_SECRET", "hush-hush")
    actor_input = {"profiles": ["cook"], "resultsPerPage": 1}
    order = ScrapeOrder("profile", NAME.removeprefix("profile "), actor_input)
    with database.engine.begin() as connection:
        scrapes.enqueue(connection, order, datetime.now(UTC))
    with StandIn() as stand_in, dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setenv("APIFY_BASE_URL", stand_in.base_url)
        yield instance


def tick(instance: dg.DagsterInstance) -> tuple[list[dg.RunRequest], str | None]:
    resource = DatabaseResource()
    with dg.build_sensor_context(instance=instance, resources={"database": resource}) as context:
        data = scraping.scrape_order_sensor.evaluate_tick(context)
    return list(data.run_requests or []), data.skip_message


def recorded(
    instance: dg.DagsterInstance,
    request: dg.RunRequest,
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED,
) -> dg.DagsterRun:
    """Return the run that the daemon makes of a request."""
    return instance.create_run_for_job(
        scraping.start_ordered_scrape,
        run_config=request.run_config,
        tags=request.tags,
        status=status,
    )


def state(database: Database) -> tuple[str, str | None]:
    found = scrapes.get(database, "profile", NAME.removeprefix("profile "))
    assert found is not None
    return found.state, found.problem


def test_an_order_becomes_a_run_that_starts_it(
    database: Database, instance: dg.DagsterInstance
) -> None:
    ((request), why) = tick(instance)
    assert why is None
    assert [one.run_key for one in request] == [f"{NAME}:1"]
    result = scraping.start_ordered_scrape.execute_in_process(
        run_config=request[0].run_config,
        resources={"database": DatabaseResource()},
        instance=instance,
    )
    assert result.success
    assert state(database) == ("started", None)
    (output,) = result.filter_events(lambda event: event.event_type_value == "STEP_OUTPUT")
    told = {name: entry.value for name, entry in output.step_output_data.metadata.items()}
    assert (told["purpose"], told["n_profiles"], told["max_items"]) == ("profile", 1, 1)
    assert tick(instance) == ([], "No scrape is to be launched; 0 wait for their run.")


def test_an_order_is_not_launched_twice_while_its_run_is_under_way(
    instance: dg.DagsterInstance,
) -> None:
    ((request,), _) = tick(instance)
    run = recorded(instance, request)
    assert tick(instance) == ([], "No scrape is to be launched; 1 wait for their run.")
    instance.report_run_canceled(run)
    assert [one.run_key for one in tick(instance)[0]] == [f"{NAME}:2"]


def test_an_order_whose_runs_all_died_is_given_up(
    database: Database, instance: dg.DagsterInstance
) -> None:
    for _ in range(scraping.ATTEMPTS):
        ((request,), _) = tick(instance)
        recorded(instance, request, dg.DagsterRunStatus.FAILURE)
    assert tick(instance)[0] == []
    assert state(database) == ("refused", "3 runs ended without taking it up")


def test_orders_wait_for_settings_that_are_missing(
    database: Database, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("APIFY_TOKEN")
    monkeypatch.delenv("APIFY_WEBHOOK_URL")
    why = "Not set: APIFY_TOKEN, APIFY_WEBHOOK_URL. 1 scrapes wait for it."
    assert tick(instance) == ([], why)
    assert state(database) == ("queued", None)


def test_the_sensor_is_on_and_its_runs_validate() -> None:
    defs = build_definitions()
    sensor = defs.resolve_sensor_def("scrape_order_sensor")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    job = defs.resolve_job_def("start_ordered_scrape")
    config = {"purpose": "profile", "key": "cook"}
    dg.validate_run_config(job, {"ops": {"start_ordered": {"config": config}}})
