from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sentry_sdk
from pydantic import SecretStr
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import ProgrammingError

from viral_platform.engine.contracts import PredictionRequest
from viral_platform.engine.errors import ConfigurationError, DatabaseUnavailableError
from viral_platform.observability.scrubbing import scrub_text
from viral_platform.observability.sentry import configure_sentry
from viral_platform.services.prediction import PredictionService
from viral_platform.settings import Settings
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database, open_database


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


class Sink(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None:
            self.events.append(dict(event))


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    dsn = SecretStr("http://key@localhost/1")
    with sentry_sdk.isolation_scope():
        assert configure_sentry(Settings(sentry_dsn=dsn, _env_file=None), transport=sink)
        yield sink
    sentry_sdk.init()


def test_a_query_that_fails_tells_neither_caption_nor_handle_to_logs_and_sentry(
    database: Database, settings: Settings, sink: Sink
) -> None:
    caption, handle = "a calm river in autumn", "some.creator"
    request = PredictionRequest(content_text=caption, creator_handle=handle)
    service = PredictionService(database, ArtifactStore(settings.artifacts))
    with database.connect() as connection:
        connection.execute("alter table app.analysis_results rename to moved")
    assert not service.predict(request).stored
    sentry_sdk.flush()
    (event,) = sink.events
    # The lines around a frame are the files' own text, this test's among them.
    for value in event["exception"]["values"]:
        for frame in value["stacktrace"]["frames"] if value.get("stacktrace") else ():
            for source in ("pre_context", "context_line", "post_context"):
                frame.pop(source, None)
    told = json.dumps(event, default=str)
    assert "analysis_results" in told
    assert caption not in told
    assert handle not in told


def external(url: URL | str) -> Settings:
    shown = url if isinstance(url, str) else url.render_as_string(hide_password=False)
    return Settings(viral_database_url=SecretStr(shown), _env_file=None)


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"username": "nobody_here", "password": "hunter2"}, 'role "nobody_here" does not exist'),
        ({"username": "nobody_here"}, "refuses the connection"),
    ],
    ids=["cause", "not taken for silence"],
)
def test_a_server_that_refuses_is_quoted(
    server_url: str, changed: dict[str, str], cause: str
) -> None:
    """Each cause read "does not answer within 5 s", although the server answered at once."""
    with pytest.raises(DatabaseUnavailableError, match=cause) as caught:
        open_database(external(make_url(server_url).set(**changed)))  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


def test_an_unknown_database_is_named(server_url: str) -> None:
    gone = Database(make_url(server_url).set(database="gone_away"))
    with pytest.raises(DatabaseUnavailableError, match='database "gone_away" does not exist'):
        gone.engine.connect()


def test_a_wrong_sslmode_is_named(nowhere: Database) -> None:
    url = make_url(nowhere.url).update_query_dict({"sslmode": "bogus"})
    with pytest.raises(DatabaseUnavailableError, match='invalid sslmode value: "bogus"'):
        open_database(external(url))


def test_an_unknown_part_of_the_query_is_a_wrong_setting(nowhere: Database) -> None:
    url = make_url(nowhere.url).update_query_dict({"nonsense": "1"})
    with pytest.raises(ConfigurationError, match='invalid URI query parameter: "nonsense"'):
        open_database(external(url))


@pytest.mark.parametrize("wrong", ["mysql://u:p@h/d", "postgresql://host", "no url"])
def test_the_url_s_form_survives_the_command_line_s_scrubbing(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="postgresql://USER@HOST:PORT/DATABASE") as caught:
        open_database(external(wrong))
    assert scrub_text(str(caught.value)) == str(caught.value)


def test_the_short_scheme_is_accepted(database: Database) -> None:
    short = database.url.replace("postgresql://", "postgres://", 1)
    with open_database(external(short)).connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_other_processes_get_what_stands_in_the_query() -> None:
    url = "postgresql://db.example/viral?user=someone&password=hunter2&sslmode=require"
    database = Database(make_url(url))
    environment = database.process_environment()
    assert environment["VIRAL_PG_USER"] == "someone"
    assert environment["VIRAL_PG_PASSWORD"] == "hunter2"
    assert environment["PGSSLMODE"] == "require"
    assert "hunter2" not in database.safe_url


def test_the_operator_s_own_sslmode_stays_when_the_url_has_none(nowhere: Database) -> None:
    environment = nowhere.process_environment()
    assert "PGSSLMODE" not in environment
    assert (environment["VIRAL_PG_USER"], environment["VIRAL_PG_PASSWORD"]) == ("viral", "hunter2")
