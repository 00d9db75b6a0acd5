"""Each schedule's tick, run once against the stand-ins, and its effect on the tables.

A schedule whose effect is three lines has a row in `TICKS`; others have a test, here or in a module
of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from viral_platform.defs import schedules
from viral_platform.sandbox.stand_ins import StandIn
from viral_platform.services.competitors import watch
from viral_platform.storage.database import Database

from ..services import test_competitors
from ..services.conftest import _store
from ..services.test_calibration import add_pairs, pairs
from ..services.test_collected_outcomes import item, post_id, predicted, promoted
from . import test_schedules
from .test_schedules import Installation, crawl, ingest

installation = test_schedules.installation
stand_in = test_schedules.stand_in
scraper = test_schedules.scraper

NOW = datetime.now(UTC)
# Schedules with a test of their own, by the module that holds it.
OWN_TESTS = {
    "calculate_trends": "test_ticks",
    "sync_whop": "test_whop_ticks",
    "validate_rules": "test_rule_ticks",
}
Prepare = Callable[["Stage"], None]
Effect = Callable[["Stage"], object]


@dataclass
class Stage:
    """What the rows of the table have to work with."""

    installation: Installation
    scraper: StandIn
    request: pytest.FixtureRequest

    @property
    def database(self) -> Database:
        return self.installation.database

    def execute(self, statement: str, *rows: list[object]) -> None:
        with self.database.connect() as connection, connection.cursor() as cursor:
            cursor.executemany(statement, rows or [[]])


@dataclass(frozen=True)
class Ticked:
    """A schedule, what there is before its tick, and what is there after its run."""

    schedule: str
    before: Prepare
    after: Effect
    expected: object


def rows(query: str) -> Effect:
    """Return what reads the rows of a query after the run."""
    return lambda stage: stage.installation.rows(query)


def after_ingest(query: str) -> Effect:
    """Return what ingests the actor run that was started, then reads the rows of a query."""

    def effect(stage: Stage) -> object:
        ((run_id,),) = stage.installation.rows("select actor_run_id from app.scrape_starts")
        assert ingest(stage.installation, run_id).success
        return stage.installation.rows(query)

    return effect


def bring(*items: dict[str, object]) -> Prepare:
    """Return what lets the next actor run bring these items."""
    return lambda stage: stage.scraper.apify.bring(list(items), started_at=NOW)


def watched_cook(stage: Stage) -> None:
    watch(stage.database, "cook")
    bring(*(test_competitors.item("cook", number) for number in (1, 2)))(stage)


def mature_post(stage: Stage) -> None:
    promoted(stage.database)
    predicted(stage.database, 170)
    bring(item(post_id(170)))(stage)


def stale_crawl(stage: Stage) -> None:
    run = stage.scraper.dataset(5, started_at=NOW - timedelta(hours=30))
    assert ingest(stage.installation, run.id).success
    stage.execute("update app.scraped_videos set is_simulated = false")


def failed_checks(stage: Stage) -> list[str]:
    """Return the checks on scraped_videos whose newest evaluation failed."""
    names = ("freshness", "volume", "quarantine_share", "schema_drift")
    failed = []
    for name in names:
        key = dg.AssetCheckKey(dg.AssetKey("scraped_videos"), name)
        storage = stage.installation.instance.event_log_storage
        (newest,) = storage.get_asset_check_execution_history(key, limit=1)
        if newest.status.value == "FAILED":
            failed.append(name)
    return failed


def cost_events(*ages: timedelta) -> Prepare:
    """Return what stores a paid call of 7 micro-dollars for each age."""
    return lambda stage: stage.execute(
        """
        insert into app.cost_events (
            occurred_at, provider, model, operation, tokens, cost_microdollars, price_version
        )
        values (%s, 'gemini', 'm', 'o', '{}', 7, 'v')
        """,
        *([NOW - age] for age in ages),
    )


def histories(stage: Stage) -> None:
    _store(stage.database, stage.request.getfixturevalue("simulate_histories")())


def outcomes(stage: Stage) -> None:
    add_pairs(stage.database, *pairs(400), horizon="pre_publication")


DAY = timedelta(days=1)
TICKS = [
    Ticked(
        "scrape_trending",
        bring(test_competitors.item("cook", 1), test_competitors.item("dancer", 2)),
        after_ingest(
            "select s.state, v.author_handle, v.views from app.scraped_videos v, "
            "app.scrape_starts s where s.purpose = 'trending' order by 2"
        ),
        [("started", "cook", 100), ("started", "dancer", 200)],
    ),
    Ticked(
        "refresh_competitors",
        watched_cook,
        after_ingest("select handle, followers, videos_seen, views from app.competitor_snapshots"),
        [("cook", 1_000, 2, 300)],
    ),
    Ticked(
        "collect_outcomes",
        mature_post,
        after_ingest("select origin, views, actual_tier from app.outcomes"),
        [("collected", 1_000, 4)],
    ),
    Ticked("check_crawls", stale_crawl, failed_checks, ["freshness"]),
    Ticked(
        "prune",
        cost_events(401 * DAY, DAY),
        rows("select count(*) from app.cost_events"),
        [(1,)],
    ),
    Ticked(
        "aggregate_costs",
        cost_events(2 * DAY, 2 * DAY, DAY),
        rows("select calls, total_microdollars from marts.daily_costs order by day"),
        [(2, 14), (1, 7)],
    ),
    Ticked(
        "retrain_ml",
        histories,
        rows("select status, (select count(*) from app.training_sets) from app.model_versions"),
        [("champion", 1)],
    ),
    Ticked(
        "calibration_audit",
        outcomes,
        rows("select status, horizon from app.platt_parameters"),
        [("in_force", "pre_publication")],
    ),
]


def test_every_schedule_has_its_effect_tested() -> None:
    found = {schedule.name for schedule in schedules.SCHEDULES}
    assert found - OWN_TESTS.keys() == {one.schedule for one in TICKS}


# dagster-dbt asks for the op of its context by a name that Dagster has renamed since.
@pytest.mark.filterwarnings("ignore:AssetExecutionContext.op is deprecated:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize("ticked", TICKS, ids=lambda one: one.schedule)
def test_each_tick_leaves_its_effect_in_the_tables(
    installation: Installation,
    scraper: StandIn,
    request: pytest.FixtureRequest,
    ticked: Ticked,
) -> None:
    stage = Stage(installation, scraper, request)
    ticked.before(stage)
    installation.run(ticked.schedule)
    assert ticked.after(stage) == ticked.expected


# dagster-dbt asks for the op of its context by a name that Dagster has renamed since.
@pytest.mark.filterwarnings("ignore:AssetExecutionContext.op is deprecated:DeprecationWarning")
@pytest.mark.slow
def test_an_hourly_tick_computes_trends_only_after_a_crawl(
    installation: Installation, tmp_path: Path
) -> None:
    assert installation.tick("calculate_trends") == "Nothing was crawled yet."
    crawl(installation.database, tmp_path, 9)
    installation.run("calculate_trends")
    ((window_end, sounds),) = installation.rows(
        "select max(window_end), count(*) from marts.trending_sounds"
    )
    assert sounds > 0

    reason = installation.tick("calculate_trends")
    assert isinstance(reason, str)
    assert reason.startswith("No crawl is newer than the window of the trends, which ends at ")
    assert f"{window_end:%Y-%m-%d %H:%M}" in reason
    # An earlier crawl that comes late changes what was gained in the window.
    crawl(installation.database, tmp_path, 8)
    assert isinstance(installation.tick("calculate_trends"), dg.RunRequest)
    crawl(installation.database, tmp_path, 10)
    assert isinstance(installation.tick("calculate_trends"), dg.RunRequest)
