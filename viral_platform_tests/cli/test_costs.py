from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from viral_platform.cli import costs, main
from viral_platform.cli.output import Installation
from viral_platform.providers.budget import Reservation, Settlement
from viral_platform.settings import Settings
from viral_platform.storage.costs import CostLedger
from viral_platform.storage.database import Database


@pytest.fixture(autouse=True)
def installation(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command works on this test's database."""
    monkeypatch.setattr(costs, "open_installation", lambda: Installation(settings, database))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def spent(database: Database) -> datetime:
    """Two calls now, of which one is an estimate, and one a week ago."""
    ledger = CostLedger(database)
    now = datetime.now(UTC)
    for at, cost in ((now, 27), (now, None), (now - timedelta(days=7), 8_881)):
        event_id = ledger.reserve(
            Reservation("r", "deepseek", "deepseek-flash", "reason", 1_500, at),
            day_cap_microdollars=100_000,
        )
        assert event_id is not None
        if cost is not None:
            ledger.settle(event_id, Settlement(cost, "v"))
    return now


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(main.app, ["costs", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_machines_get_one_row_a_day_and_model_without_rounding(spent: datetime) -> None:
    row = {"provider": "deepseek", "model": "deepseek-flash"}
    newest = {
        "date": spent.date().isoformat(),
        **row,
        "calls": 2,
        "estimates": 1,
        "total_cost_cents": 0.1527,
    }
    oldest = {
        "date": (spent.date() - timedelta(days=7)).isoformat(),
        **row,
        "calls": 1,
        "estimates": 0,
        "total_cost_cents": 0.8881,
    }
    assert json.loads(invoke("--json")) == [newest]
    assert json.loads(invoke("--days", "8", "--json")) == [newest, oldest]


def test_people_get_a_table_with_a_total(spent: datetime) -> None:
    printed = invoke("--days", "8")
    assert "Spend in the last 8 UTC days" in printed
    (total,) = [line for line in printed.splitlines() if "total" in line]
    assert "1.0408" in total
    assert " 3 " in total


def test_no_spend_is_said_and_is_an_empty_list_for_machines() -> None:
    assert "No call to a provider was paid in the last 7 UTC days." in invoke()
    assert "No call to a provider was paid on this UTC day." in invoke("--days", "1")
    assert json.loads(invoke("--json")) == []


@pytest.mark.parametrize("days", ["0", "366", "-1", "30x", "1.5", ""])
def test_days_are_a_whole_number_from_1_to_365(days: str) -> None:
    """The replaced report took "30x" for 30."""
    assert CliRunner().invoke(main.app, ["costs", "--days", days]).exit_code == 2
