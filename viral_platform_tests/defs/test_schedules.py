"""When schedules ask for a run, and why they do not; each one's effect is in `test_ticks`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from viral_platform.definitions import build_definitions
from viral_platform.defs import schedules
from viral_platform.defs.jobs import EXCLUSIVE
from viral_platform.defs.resources import DatabaseResource
from viral_platform.sandbox.feed import Feed, FeedConfig, write_export
from viral_platform.sandbox.stand_ins import Fault, StandIn
from viral_platform.services import inbox
from viral_platform.services.competitors import watch
from viral_platform.services.freshness import TrendState, why_trends_stay
from viral_platform.services.ingestion.importer import ImportOptions, import_files
from viral_platform.storage.database import Database

from ..services.test_collected_outcomes import item, post_id, predicted, promoted

CRONS = {
    "calculate_trends": "0 * * * *",
    "scrape_trending": "0 */6 * * *",
    "validate_rules": "0 2 * * *",
    "refresh_competitors": "0 6 * * *",
    "collect_outcomes": "30 * * * *",
    "check_crawls": "0 3,9,15,21 * * *",
    "sync_whop": "0 */12 * * *",
    "retrain_ml": "0 3 * * 1",
    "calibration_audit": "0 4 1 * *",
    "aggregate_costs": "15 0 * * *",
    "prune": "30 1 * * *",
}
FEED = Feed(FeedConfig(n_posts=600, days=12))
TICK = datetime(2026, 11, 20, 12, tzinfo=UTC)
SCRAPER = {
    "APIFY_TOKEN": "apify_api_token",
    "APIFY_WEBHOOK_URL": "http://127.0.0.1:9/v1/webhooks/apify",
    "APIFY_WEBHOOK_SECRET": "hush-hush",
}


class Installation:
    """An installation whose daemon is the test."""

    def __init__(self, database: Database, instance: dg.DagsterInstance) -> None:
        self.database = database
        self.instance = instance
        self.defs = build_definitions()

    def tick(self, name: str) -> dg.RunRequest | str:
        """Evaluate one tick; return what it asks for, or why it does not."""
        schedule = self.defs.resolve_schedule_def(name)
        with dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=TICK,
            resources={"database": DatabaseResource()},
        ) as context:
            data = schedule.evaluate_tick(context)
        if data.skip_message is not None:
            return data.skip_message
        (request,) = data.run_requests or []
        return request

    def run(self, name: str, *, succeeds: bool = True) -> dg.ExecuteInProcessResult:
        """Evaluate a tick and execute the run that it asks for."""
        request = self.tick(name)
        assert isinstance(request, dg.RunRequest), request
        job = self.defs.resolve_job_def(name)
        result = job.execute_in_process(
            run_config=request.run_config,
            tags=request.tags,
            instance=self.instance,
            raise_on_error=False,
        )
        assert result.success is succeeds
        return result

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self.database.connect() as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def installation(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    monkeypatch.setenv("VIRAL_DATABASE_URL", database.url)
    monkeypatch.setenv("VIRAL_HOME", str(tmp_path / "home"))
    # Schedules open their instance by a reference, which one in memory has not.
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        yield Installation(database, instance)


def metadata_of(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Return what the operator sees of the one step of a run."""
    (output,) = result.filter_events(lambda event: event.event_type_value == "STEP_OUTPUT")
    return {name: entry.value for name, entry in output.step_output_data.metadata.items()}


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with StandIn() as stand_in:
        monkeypatch.setenv("APIFY_BASE_URL", stand_in.base_url)
        yield stand_in


@pytest.fixture
def scraper(monkeypatch: pytest.MonkeyPatch, stand_in: StandIn) -> StandIn:
    for name, value in SCRAPER.items():
        monkeypatch.setenv(name, value)
    return stand_in


def test_the_schedules_are_on_at_the_times_of_the_documents() -> None:
    definitions = build_definitions()
    found = {schedule.name: schedule for schedule in schedules.SCHEDULES}
    assert {name: one.cron_schedule for name, one in found.items()} == CRONS
    for name, schedule in found.items():
        assert schedule.job_name == name
        assert schedule.execution_timezone == "UTC"
        assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
        assert schedule.description
        assert schedule.tags == {EXCLUSIVE: name}
        assert definitions.resolve_job_def(name).tags[EXCLUSIVE] == name
        assert definitions.resolve_schedule_def(name) is not None


@pytest.mark.parametrize("unset", SCRAPER)
def test_a_scrape_without_its_settings_is_skipped_and_names_them(
    installation: Installation, scraper: StandIn, monkeypatch: pytest.MonkeyPatch, unset: str
) -> None:
    monkeypatch.delenv(unset)
    reason = installation.tick("scrape_trending")
    assert reason == f"Not set: {unset}. Nothing is scraped without."
    assert scraper.calls("apify") == []


def test_a_scrape_tick_starts_the_actor_once_and_books_it(
    installation: Installation, scraper: StandIn
) -> None:
    request = installation.tick("scrape_trending")
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == TICK.isoformat()
    result = installation.run("scrape_trending")
    told = metadata_of(result)
    assert (told["key"], told["max_cents"]) == (TICK.isoformat(), 100.0)
    (start,) = [call for call in scraper.calls("apify") if call.operation == "start"]
    assert len(start.body["hashtags"]) == 14
    ((purpose, key, state, run_id),) = installation.rows(
        "select purpose, key, state, actor_run_id from app.scrape_starts"
    )
    assert (purpose, key, state) == ("trending", TICK.isoformat(), "started")
    assert installation.rows(
        "select request_id, provider, cost_microdollars, is_estimate from app.cost_events"
    ) == [(run_id, "apify", 1_000_000, True)]
    assert told["actor_run_id"] == run_id

    again = installation.run("scrape_trending", succeeds=False)
    (failure,) = again.filter_events(lambda event: event.is_step_failure)
    assert failure.step_failure_data.user_failure_data.metadata["kind"].value == "gate_refused"
    assert len([call for call in scraper.calls("apify") if call.operation == "start"]) == 1


def test_competitors_are_skipped_while_nobody_is_watched_or_a_setting_is_missing(
    installation: Installation, scraper: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = installation.tick("refresh_competitors")
    assert reason == "No competitor is watched. Add one: viral competitors add HANDLE."
    watch(installation.database, "cook")
    monkeypatch.delenv("APIFY_WEBHOOK_URL")
    reason = installation.tick("refresh_competitors")
    assert reason == "Not set: APIFY_WEBHOOK_URL. Nothing is scraped without."


def test_a_daily_tick_starts_one_scrape_of_all_competitors(
    installation: Installation, scraper: StandIn
) -> None:
    for handle in ("cook", "dancer"):
        watch(installation.database, handle)
    told = metadata_of(installation.run("refresh_competitors"))
    assert (told["purpose"], told["n_profiles"], told["max_items"]) == ("competitors", 2, 60)
    (start,) = [call for call in scraper.calls("apify") if call.operation == "start"]
    assert start.body == {"profiles": ["cook", "dancer"], "resultsPerPage": 30}
    installation.run("refresh_competitors", succeeds=False)
    assert installation.rows("select purpose, key, state from app.scrape_starts") == [
        ("competitors", TICK.isoformat(), "started")
    ]


def test_crawls_are_judged_by_a_tick_once_they_are_expected_and_there_was_one(
    installation: Installation,
    scraper: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    assert installation.tick("check_crawls") == "Nothing was crawled yet."
    run = scraper.dataset(5, started_at=datetime.now(UTC) - timedelta(hours=30))
    ingest(installation, run.id)
    with installation.database.connect() as connection:
        connection.execute("update app.scraped_videos set is_simulated = false")
    result = installation.run("check_crawls")
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert {name for name, check in checks.items() if not check.passed} == {"freshness"}
    assert checks.keys() == {"freshness", "volume", "quarantine_share", "schema_drift"}
    assert checks["freshness"].severity is dg.AssetCheckSeverity.ERROR
    assert checks["volume"].metadata["items"].value == 5
    monkeypatch.delenv("APIFY_TOKEN")
    reason = installation.tick("check_crawls")
    assert reason == "Not set: APIFY_TOKEN. No crawl is expected without."


def test_checks_on_imported_files_alone_say_what_is_not_judged(
    installation: Installation, scraper: StandIn, tmp_path: Path
) -> None:
    crawl(installation.database, tmp_path, 9)
    result = installation.run("check_crawls")
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert all(check.passed for check in checks.values())
    assert checks["volume"].metadata["n"].value == 0
    assert "SIMULATED" in str(checks["freshness"].description)


def ingest(installation: Installation, run_id: str) -> dg.ExecuteInProcessResult:
    """Receive the delivery of a run's end and ingest it."""
    inbox_id = receive(installation.database, run_id)
    return installation.defs.resolve_job_def("ingest_dataset").execute_in_process(
        run_config={"ops": {"ingest": {"config": {"inbox_id": inbox_id}}}},
        instance=installation.instance,
    )


def test_outcomes_are_collected_by_the_hour_and_an_ingest_records_what_it_brings(
    installation: Installation, scraper: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = installation.database
    assert installation.tick("collect_outcomes") == (
        "No post of a prediction is due for its outcome."
    )
    key = predicted(database, 170)
    with monkeypatch.context() as without:
        without.delenv("APIFY_TOKEN")
        reason = installation.tick("collect_outcomes")
    assert reason == "Not set: APIFY_TOKEN. Nothing is scraped without."
    promoted(database)
    scraper.apify.bring([item(post_id(170))], started_at=datetime.now(UTC))
    told = metadata_of(installation.run("collect_outcomes"))
    assert (told["purpose"], told["n_posturls"]) == ("outcomes", 1)

    (run_id,) = (row[0] for row in installation.rows("select actor_run_id from app.scrape_starts"))
    ingested = ingest(installation, run_id)
    made = {event.asset_key.to_user_string() for event in materializations(ingested)}
    assert "outcomes" in made
    assert installation.rows("select analysis_id, origin from app.outcomes") == [(key, "collected")]
    assert isinstance(installation.tick("collect_outcomes"), str)


def materializations(result: dg.ExecuteInProcessResult) -> list[dg.AssetMaterialization]:
    return [
        event.step_materialization_data.materialization
        for event in result.all_node_events
        if event.is_step_materialization
    ]


def receive(database: Database, run_id: str) -> int:
    """Store the delivery of a run's end; return its number."""
    event = "ACTOR.RUN.SUCCEEDED"
    inbox.receive(
        database,
        source=inbox.APIFY,
        delivery_id=run_id,
        event_type=event,
        body={"eventType": event, "resource": {"id": run_id}},
    )
    return inbox.due(database, 10, datetime.now(UTC))[-1].id


def test_a_refused_scrape_fails_its_run_without_another_try(
    installation: Installation, scraper: StandIn
) -> None:
    scraper.fail("apify", Fault.UNAUTHORIZED)
    result = installation.run("scrape_trending", succeeds=False)
    (failure,) = result.filter_events(lambda event: event.is_step_failure)
    assert "unauthorized" in failure.step_failure_data.user_failure_data.description
    assert result.filter_events(lambda event: event.is_step_up_for_retry) == []
    assert installation.rows("select state from app.scrape_starts") == [("refused",)]


def crawl(database: Database, folder: Path, day: int) -> None:
    """Import what the simulated feed shows on a day."""
    at = FEED.config.start_at + timedelta(days=day)
    path = folder / f"day-{day}.jsonl.gz"
    write_export(FEED.crawl(at), path)
    import_files(database, [path], ImportOptions(scraped_at=at))


NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER, BEFORE = NOON + timedelta(minutes=1), NOON - timedelta(minutes=1)


@pytest.mark.parametrize(
    ("state", "last_run_at", "stays"),
    [
        (TrendState(None, None, None), NOON, True),
        (TrendState(NOON, BEFORE, None), None, False),
        (TrendState(NOON, BEFORE, NOON), NOON, True),
        (TrendState(NOON, BEFORE, NOON), None, False),
        (TrendState(LATER, BEFORE, NOON), NOON, False),
        (TrendState(NOON, LATER, NOON), NOON, False),
    ],
    ids=[
        "nothing crawled",
        "never computed",
        "nothing new",
        "last run not known",
        "newer crawl",
        "more of the same crawl",
    ],
)
def test_trends_stay_only_when_nothing_can_change_them(
    state: TrendState, last_run_at: datetime | None, *, stays: bool
) -> None:
    assert (why_trends_stay(state, last_run_at) is not None) is stays
