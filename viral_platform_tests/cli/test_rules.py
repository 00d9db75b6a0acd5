from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from viral_platform.cli import rules
from viral_platform.services.rule_accuracy import validate_rules
from viral_platform.services.rules import sync_rule_library
from viral_platform.storage.database import Database

from ..services.test_rule_accuracy import RULE, add_groups


@pytest.fixture(autouse=True)
def installation(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRAL_HOME", str(tmp_path))
    monkeypatch.setenv("VIRAL_DATABASE_URL", database.url)


def run(*arguments: str) -> str:
    app = typer.Typer()
    rules.register(app)
    result = CliRunner().invoke(app, ["rules", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_rules_are_listed_with_what_was_learned_of_them(database: Database) -> None:
    assert "viral run load_rules" in run("list")
    sync_rule_library(database)
    add_groups(database, 30, lift=30.0)
    validate_rules(database)
    listed = {row["id"]: row for row in json.loads(run("list", "--json"))}
    assert len(listed) == 25
    learned = listed[RULE]
    assert (learned["lift"], learned["accuracy"]) == (30.0, 1.0)
    assert (learned["n_fired"], learned["n_not_fired"]) == (30, 30)
    assert learned["weight"] == pytest.approx(1.1)
    assert listed["loop_structure"]["lift"] is None
    assert RULE in run("list")
    assert "SIMULATED" not in run("list")
