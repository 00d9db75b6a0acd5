from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from viral_platform.defs.assets.costs import cost_metadata
from viral_platform.defs.checks import spend_within_budget
from viral_platform.defs.dbt import DbtResource, cost_marts
from viral_platform.defs.resources import DatabaseResource
from viral_platform.providers.budget import Reservation, Settlement
from viral_platform.storage.costs import CostLedger, DailyTotal
from viral_platform.storage.database import Database

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def installation(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    monkeypatch.setenv("VIRAL_DATABASE_URL", database.url)
    monkeypatch.setenv("VIRAL_HOME", str(tmp_path / "home"))
    return database


def spend(database: Database, *costs: tuple[datetime, int | None]) -> None:
    ledger = CostLedger(database)
    for at, cost in costs:
        call = Reservation("r", "deepseek", "deepseek-flash", "reason", 20_000, at)
        event_id = ledger.reserve(call, day_cap_microdollars=10**9)
        assert event_id is not None
        if cost is not None:
            ledger.settle(event_id, Settlement(cost, "v", {"input_tokens": 100}))


@dg.asset
def daily_costs(database: DatabaseResource) -> None:
    """The mart, from the same totals as dbt makes it of."""
    with database.get().connect() as connection:
        connection.execute("create schema marts")
        connection.execute(
            """
            create table marts.daily_costs as
            select
                (occurred_at at time zone 'UTC')::date as day, provider, model, count(*) as calls,
                count(*) filter (where is_estimate) as estimates,
                sum(cost_microdollars)::bigint as total_microdollars
            from app.cost_events group by 1, 2, 3
            """
        )


def aggregate(mart: dg.AssetsDefinition = daily_costs) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [mart, spend_within_budget],
            resources={"dbt": DbtResource(), "database": DatabaseResource()},
            instance=instance,
        )


def budget_check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    return next(
        check
        for check in result.get_asset_check_evaluations()
        if check.check_name == "spend_within_budget"
    )


# dagster-dbt asks for the op of its context by a name that Dagster has renamed since.
@pytest.mark.filterwarnings("ignore:AssetExecutionContext.op is deprecated:DeprecationWarning")
def test_the_newest_day_is_held_against_the_budget_and_drawn(
    installation: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(installation, (NOON, 15_000), (NOON, None), (NOON - timedelta(days=2), 900_000))
    monkeypatch.setenv("DAILY_BUDGET_CENTS", "3.5")
    result = aggregate(cost_marts)
    (materialization,) = result.asset_materializations_for_node("cost_marts")
    metadata = {name: entry.value for name, entry in materialization.metadata.items()}
    assert (metadata["n"], metadata["estimates"]) == (3, 1)
    assert metadata["period"] == "2026-11-18 to 2026-11-20 (UTC days)"
    assert (metadata["spent_cents_newest_day"], metadata["spent_cents"]) == (3.5, 93.5)
    assert metadata["spend_by_day"].startswith("![spend by day](data:image/png;base64,")
    assert "unique_id" in metadata  # what dbt itself says is kept
    check = budget_check(result)
    assert check.passed
    assert check.metadata["spent_cents"].value == 3.5
    assert check.metadata["bar"].value == 3.5
    assert check.metadata["n"].value == 2
    assert check.metadata["day"].value == "2026-11-20"


def test_a_day_above_the_budget_fails_the_check_as_an_error(
    installation: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(installation, (NOON, 15_000), (NOON, 20_001))
    monkeypatch.setenv("DAILY_BUDGET_CENTS", "3.5")
    check = budget_check(aggregate())
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.ERROR
    assert not check.blocking
    assert check.description == (
        "2026-11-20: 3.5001 US cents; the bar is 3.5. Calls: 2, of which estimated: 0."
    )


def test_no_spend_at_all_is_within_the_budget_and_says_so(installation: Database) -> None:
    check = budget_check(aggregate())
    assert check.passed
    assert check.metadata["n"].value == 0
    assert cost_metadata([]) == {"n": 0, "why": "No call to a provider was paid yet."}


def test_a_long_chart_stays_small() -> None:
    first = date(2026, 1, 1)
    totals = [
        DailyTotal(first + timedelta(days=number), provider, "m", 9, 0, 1_234_567)
        for number in range(29, -1, -1)
        for provider in ("apify", "deepseek", "gemini")
    ]
    picture = cost_metadata(totals)["spend_by_day"]
    assert isinstance(picture, dg.MarkdownMetadataValue)
    assert len(str(picture.value)) < 50_000
