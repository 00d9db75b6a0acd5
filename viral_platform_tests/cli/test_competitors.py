from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from viral_platform.cli import competitors, main
from viral_platform.cli.output import Installation
from viral_platform.engine.errors import NotFoundError
from viral_platform.settings import Settings
from viral_platform.storage.database import Database


@pytest.fixture(autouse=True)
def installation(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command works on this test's database."""
    monkeypatch.setattr(competitors, "open_installation", lambda: Installation(settings, database))
    monkeypatch.setenv("COLUMNS", "200")


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(main.app, ["competitors", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_creator_is_added_listed_and_removed() -> None:
    assert invoke("add", "@Some.Cook") == "some.cook is watched.\n"
    assert json.loads(invoke("add", "some.cook", "--json")) == {"watched": "some.cook"}
    (row,) = json.loads(invoke("list", "--json"))
    assert (row["handle"], row["followers"], row["followers_gained_week"]) == (
        "some.cook",
        None,
        None,
    )
    assert "some.cook" in invoke("list")
    invoke("remove", "some.cook")
    assert json.loads(invoke("list", "--json")) == []


def test_removing_who_is_not_watched_says_so() -> None:
    with pytest.raises(NotFoundError, match="not watched"):
        invoke("remove", "nobody")
