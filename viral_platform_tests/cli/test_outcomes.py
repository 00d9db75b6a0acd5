"""The instants that `viral outcome add` accepts, and the post that `viral outcome post` names."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from viral_platform.cli import main, outcomes
from viral_platform.cli.output import Installation
from viral_platform.engine.errors import InputError
from viral_platform.services.outcomes import OutcomeReport, OutcomesAdded
from viral_platform.settings import Settings
from viral_platform.storage.database import Database

from ..services.test_collected_outcomes import analysed, post_id

COUNTS = ["--views", "1000", "--likes", "90", "--comments", "4", "--shares", "3"]


@pytest.fixture
def reports(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> list[OutcomeReport]:
    """What the command hands to the service."""
    handed: list[OutcomeReport] = []

    def keep(_database: Database, given: list[OutcomeReport]) -> OutcomesAdded:
        handed.extend(given)
        return OutcomesAdded(len(given), 0)

    monkeypatch.setattr(outcomes, "open_installation", lambda: Installation(settings, database))
    monkeypatch.setattr(outcomes, "add_outcomes", keep)
    return handed


def add(*arguments: str) -> None:
    CliRunner().invoke(
        main.app, ["outcome", "add", str(uuid4()), *COUNTS, *arguments], catch_exceptions=False
    )


def test_times_without_a_zone_are_utc_as_in_viral_predict(reports: list[OutcomeReport]) -> None:
    add("--posted-at", "2026-01-01", "--measured-at", "2026-01-09T06:00")
    (report,) = reports
    assert report.posted_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert report.measured_at == datetime(2026, 1, 9, 6, tzinfo=UTC)


def test_without_a_time_it_was_measured_now(reports: list[OutcomeReport]) -> None:
    before = datetime.now(UTC)
    add()
    (report,) = reports
    assert before <= report.measured_at <= datetime.now(UTC)
    assert report.posted_at is None


@pytest.mark.parametrize("option", ["--posted-at", "--measured-at"])
def test_what_is_no_time_is_refused_by_the_option_s_name(
    reports: list[OutcomeReport], option: str
) -> None:
    with pytest.raises(InputError, match=f"{option} is yesterday"):
        add(option, "yesterday")
    assert reports == []


@pytest.mark.usefixtures("reports")
def test_a_post_is_named_for_a_prediction(database: Database) -> None:
    key = analysed(database)
    named = CliRunner().invoke(
        main.app,
        ["outcome", "post", str(key), post_id(100), "--json"],
        catch_exceptions=False,
    )
    assert json.loads(named.stdout)["video_id"] == post_id(100)
    with database.connect() as connection:
        rows = connection.execute("select analysis_id from app.predicted_posts").fetchall()
    assert rows == [(key,)]
