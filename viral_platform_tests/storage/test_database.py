from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import ProgrammingError

from viral_platform.engine.errors import DatabaseUnavailableError
from viral_platform.storage.database import Database


@pytest.fixture
def nowhere() -> Database:
    return Database(make_url("postgresql://viral:hunter2@127.0.0.1:1/viral"))


def test_a_query_to_a_server_that_is_gone_is_our_own_error(nowhere: Database) -> None:
    """The driver's error came through, so the command line took it for a fault of ours."""
    with pytest.raises(DatabaseUnavailableError, match="does not answer") as caught:
        nowhere.engine.connect()
    assert "hunter2" not in str(caught.value)


def test_a_plain_connection_to_a_server_that_is_gone_is_our_own_error(nowhere: Database) -> None:
    with pytest.raises(DatabaseUnavailableError, match="does not answer"), nowhere.connect():
        pytest.fail("there is no server")


def end(server_url: str, process: int) -> None:
    with psycopg.connect(server_url, autocommit=True) as other:
        other.execute("select pg_terminate_backend(%s)", [process])


def test_a_connection_lost_within_a_query_is_our_own_error(
    database: Database, server_url: str
) -> None:
    with database.engine.connect() as connection:
        end(server_url, connection.execute(text("select pg_backend_pid()")).scalar_one())
        with pytest.raises(DatabaseUnavailableError, match="does not answer"):
            connection.execute(text("select 1"))


def test_a_kept_connection_that_was_lost_is_opened_anew(
    database: Database, server_url: str
) -> None:
    with database.engine.connect() as connection:
        process = connection.execute(text("select pg_backend_pid()")).scalar_one()
    end(server_url, process)
    with database.engine.connect() as connection:
        assert connection.execute(text("select pg_backend_pid()")).scalar_one() != process


def test_a_wrong_query_stays_what_it_is(database: Database) -> None:
    with pytest.raises(ProgrammingError), database.engine.connect() as connection:
        connection.execute(text("select * from app.nowhere"))


def test_a_connection_that_breaks_in_use_is_a_service_failure_and_stores_nothing(
    database: Database,
) -> None:
    """psycopg's own error came through, which the command line took for a fault of ours."""

    def killed_in_mid_transaction() -> None:
        with database.connect() as connection:
            connection.execute("create table half_done (n integer)")
            connection.execute("select pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(DatabaseUnavailableError, match="nothing of it was stored"):
        killed_in_mid_transaction()
    with database.connect() as connection:
        found = connection.execute("select to_regclass('half_done')").fetchone()
    assert found == (None,)
