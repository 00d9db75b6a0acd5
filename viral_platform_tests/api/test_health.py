from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from viral_platform.sandbox.stand_ins import Fault, StandIn
from viral_platform.settings import Settings
from viral_platform.storage import embedded
from viral_platform.storage.database import Database, open_database
from viral_platform.storage.schema import downgrade, head_revision, migrate


@pytest.fixture
def nowhere() -> Database:
    return Database(make_url("postgresql://viral:hunter2@127.0.0.1:1/viral"))


def test_an_installation_with_a_champion_is_ready(own_api: Any, champion: str) -> None:
    response = own_api.with_token(None).get("/readyz")
    found = response.json()
    assert (response.status_code, found["status"], found["reasons"]) == (200, "ready", [])
    assert found["champion"] == champion
    assert found["schema_revision"] == found["schema_head"] == head_revision()
    assert {state["status"] for state in found["providers"].values()} == {"not_configured"}


def test_without_a_champion_it_is_ready_and_names_what_is_missing(api: Any) -> None:
    response = api.with_token(None).get("/readyz")
    found = response.json()
    assert (response.status_code, found["status"]) == (200, "degraded")
    assert found["degraded"] == ["champion"]


def test_tables_that_are_behind_are_not_ready(own_api: Any, database: Database) -> None:
    downgrade(database, "0003")
    response = own_api.with_token(None).get("/readyz")
    assert (response.status_code, response.json()["status"]) == (503, "unavailable")
    assert "migrations" in response.json()["reasons"][0]


def test_without_a_database_it_lives_and_is_not_ready(
    serve: Any, settings: Settings, nowhere: Database
) -> None:
    with serve(settings, nowhere) as running:
        client = running.with_token(None)
        assert client.get("/healthz").json() == {"status": "ok"}
        response = client.get("/readyz")
        assert response.status_code == 503
        assert response.json()["database"] == "unavailable"
        assert "127.0.0.1" not in response.text
        asked = running.with_token("vp_" + "A" * 43).get("/v1/predictions")
        assert (asked.status_code, asked.json()["code"]) == (503, "database_unavailable")
        assert asked.headers["retry-after"] == "5"
        assert "hunter2" not in asked.text


@pytest.mark.slow
def test_a_database_that_stops_and_starts_again_is_noticed(serve: Any) -> None:
    home = Path(tempfile.mkdtemp(prefix="viral-api-"))
    try:
        settings = Settings(viral_home=home, _env_file=None)
        database = open_database(settings)
        migrate(database)
        with serve(settings, database) as running:
            client = running.client("read")
            assert client.get("/v1/predictions").status_code == 200
            embedded.stop_server(home)
            assert client.get("/readyz").status_code == 503
            assert client.get("/v1/predictions").status_code == 503
            assert client.get("/healthz").status_code == 200
            embedded.start_server(home)
            assert client.get("/readyz").status_code == 200
            assert client.get("/v1/predictions").status_code == 200
    finally:
        embedded.stop_server(home)
        shutil.rmtree(home, ignore_errors=True)


def test_an_open_breaker_degrades_and_is_named(
    serve: Any, tmp_path: Path, database: Database, ask: Any
) -> None:
    with StandIn() as stand_in:
        settings = Settings(
            viral_home=tmp_path,
            gemini_api_key="test",
            gemini_base_url=stand_in.base_url,
            _env_file=None,
        )
        with serve(settings, database) as running:
            client = running.client()
            before = client.get("/readyz").json()
            assert before["providers"]["gemini"]["status"] == "closed"
            stand_in.fail("gemini", Fault.RATE_LIMITED, times=None, retry_after=0.01)
            ask(client)  # tried three times
            found = client.get("/readyz").json()
            assert found["providers"]["gemini"]["consecutive_failures"] >= 3
            assert found["providers"]["deepseek"]["status"] == "not_configured"
            assert {"champion", "gemini"} <= set(found["degraded"])
