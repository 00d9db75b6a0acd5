from __future__ import annotations

import json
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from viral_platform.cli import keys
from viral_platform.engine.errors import InputError, NotFoundError
from viral_platform.storage.database import Database


@pytest.fixture(autouse=True)
def installation(database: Database, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRAL_HOME", str(tmp_path))
    monkeypatch.setenv("VIRAL_DATABASE_URL", database.url)


def run(*arguments: str) -> str:
    app = typer.Typer()
    keys.register(app)
    result = CliRunner().invoke(app, ["keys", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_key_is_printed_once_and_listed_without_itself() -> None:
    made = json.loads(
        run("create", "--name", "app", "--scopes", "read, predict", "--tier", "pro", "--json")
    )
    assert set(made) == {"key", "prefix", "scopes"}
    assert made["scopes"] == ["predict", "read"]
    [listed] = json.loads(run("list", "--json"))
    assert (listed["prefix"], listed["name"], listed["tier"]) == (made["prefix"], "app", "pro")
    assert listed["scopes"] == ["predict", "read"]
    assert listed["revoked_at"] is None
    assert made["key"] not in run("list") + run("list", "--json")


def test_a_person_gets_the_key_on_a_line_of_its_own() -> None:
    first, *_ = run("create", "--name", "[bold]x", "--scopes", "read").splitlines()
    assert first.startswith("vp_")
    assert len(first) == 46
    assert "[bold]x" in run("list")


def test_a_key_is_revoked_by_its_first_characters() -> None:
    made = json.loads(run("create", "--name", "app", "--scopes", "read", "--json"))
    assert json.loads(run("revoke", made["prefix"], "--json")) == {"revoked": made["prefix"]}
    [listed] = json.loads(run("list", "--json"))
    assert listed["revoked_at"] is not None
    with pytest.raises(NotFoundError, match="No key begins with"):
        run("revoke", "vp_other")


def test_an_unknown_scope_makes_no_key() -> None:
    with pytest.raises(InputError, match="Unknown scopes: write"):
        run("create", "--name", "app", "--scopes", "read,write")
    assert json.loads(run("list", "--json")) == []


def test_a_key_belongs_to_an_account_that_is_listed_with_it() -> None:
    run("create", "--name", "app", "--scopes", "read", "--account", " acme ")
    [listed] = json.loads(run("list", "--json"))
    assert listed["account"] == "acme"
    with pytest.raises(InputError, match="An account has 1 to 200 characters"):
        run("create", "--name", "app", "--scopes", "read", "--account", " ")
