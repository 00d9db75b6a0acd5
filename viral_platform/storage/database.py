"""One installation's database: where it is, and connections to it.

`Database` is handed to services; nothing else builds a PostgreSQL URL. Queries do not belong
here, they are in one repository module per aggregate.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import psycopg
from psycopg import sql
from sqlalchemy import URL, Engine, ExceptionContext, create_engine, event, make_url

from viral_platform.engine.errors import ConfigurationError, DatabaseUnavailableError
from viral_platform.observability.scrubbing import scrub_text
from viral_platform.settings import Settings
from viral_platform.storage import embedded

APP_DATABASE = "viral"
DAGSTER_DATABASE = "viral_dagster"
CONNECT_TIMEOUT_SECONDS = 5
# At most so many of one process at once; others wait for their turn.
POOL_SIZE = 15

# No example with a password in it: the command line masks what looks like one.
_URL_FORM = (
    "VIRAL_DATABASE_URL must read postgresql://USER@HOST:PORT/DATABASE; a password follows USER "
    "after a colon"
)


class Database:
    """Connections to the application's database.

    Parameters
    ----------
    url : URL
        A PostgreSQL URL; its driver is ignored.
    """

    def __init__(self, url: URL) -> None:
        self._url = url.set(drivername="postgresql")

    @cached_property
    def engine(self) -> Engine:
        """The process's pool of connections, opened at the first use."""
        engine = create_engine(
            self._url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            # Without overflow: its connections are opened for one use each, which costs several
            # times what is done with them.
            pool_size=POOL_SIZE,
            max_overflow=0,
            # Errors otherwise print captions and handles into logs, Dagster's events and Sentry.
            hide_parameters=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
        )
        event.listen(engine, "handle_error", self._name_lost_connection)
        return engine

    @cached_property
    def statements(self) -> Engine:
        """The same pool for work of one statement, which is a transaction by itself."""
        return self.engine.execution_options(isolation_level="AUTOCOMMIT")

    def _name_lost_connection(self, context: ExceptionContext) -> None:
        """Raise our own error for a connection that was refused or lost."""
        error = context.original_exception
        unreachable = context.connection is None or context.is_disconnect
        # A failed ping is no error yet: the pool then opens a new connection.
        if unreachable and not context.is_pre_ping and isinstance(error, psycopg.OperationalError):
            raise DatabaseUnavailableError(_unreachable(self.safe_url, error)) from error

    def close(self) -> None:
        """Close the pool; the next use opens it again."""
        self.__dict__.pop("statements", None)
        pool = self.__dict__.pop("engine", None)
        if pool is not None:
            pool.dispose()

    @property
    def url(self) -> str:
        """The URL with its password, for drivers; never for logs."""
        return self._url.render_as_string(hide_password=False)

    @property
    def safe_url(self) -> str:
        """The URL with its password masked, be it in the authority part or in the query."""
        return scrub_text(self._url.render_as_string(hide_password=True))

    @property
    def dagster_url(self) -> str:
        """URL of Dagster's own database; psycopg 2, since its NOTIFY fails under psycopg 3."""
        return self._url.set(
            drivername="postgresql+psycopg2", database=DAGSTER_DATABASE
        ).render_as_string(hide_password=False)

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection]:
        """Yield a plain psycopg connection of one transaction, committed at the end.

        Raises
        ------
        DatabaseUnavailableError
            No connection within five seconds, or it broke; nothing of the transaction is stored.
        """
        try:
            connection = psycopg.connect(self.url, connect_timeout=CONNECT_TIMEOUT_SECONDS)
        except psycopg.OperationalError as error:
            raise DatabaseUnavailableError(_unreachable(self.safe_url, error)) from error
        try:
            with connection:
                yield connection
        except psycopg.OperationalError as error:
            if not connection.broken:
                raise
            raise DatabaseUnavailableError(
                f"The connection to {self.safe_url} broke; nothing of it was stored. Try again."
            ) from error

    def process_environment(self) -> dict[str, str]:
        """Return what Dagster's and dbt's configuration files read from the environment."""
        query = {key: str(value) for key, value in self._url.query.items()}
        environment = {
            "VIRAL_DAGSTER_DATABASE_URL": self.dagster_url,
            "VIRAL_PG_HOST": query.get("host") or self._url.host or "localhost",
            "VIRAL_PG_PORT": str(self._url.port or query.get("port") or 5432),
            "VIRAL_PG_USER": self._url.username or query.get("user") or "postgres",
            "VIRAL_PG_PASSWORD": self._url.password or query.get("password") or "",
            "VIRAL_PG_DATABASE": self._url.database or APP_DATABASE,
        }
        if "sslmode" in query:
            environment["PGSSLMODE"] = query["sslmode"]  # dbt's driver reads it itself
        return environment


def _unreachable(safe_url: str, error: psycopg.OperationalError) -> str:
    cause = _first_line(error)
    if "FATAL:" in cause:
        problem, remedy = "refuses the connection", "Correct VIRAL_DATABASE_URL or the server."
    else:
        problem, remedy = "does not answer", "Start it or correct VIRAL_DATABASE_URL."
    return f"PostgreSQL at {safe_url} {problem}: {cause}. {remedy}"


def _first_line(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return scrub_text(lines[0]).rstrip(". ")


def open_database(settings: Settings) -> Database:
    """Return the installation's database, started and with both databases present.

    Raises
    ------
    DatabaseUnavailableError
        The server does not answer, or refuses the connection.
    ConfigurationError
        `VIRAL_DATABASE_URL` is not a PostgreSQL URL, or VIRAL_HOME cannot be a folder.
    """
    if settings.viral_database_url is None:
        server = make_url(embedded.start_server(settings.home))
        url = server.set(database=APP_DATABASE)
        maintenance = server.set(database="postgres")
    else:
        url = _parse(settings.viral_database_url.get_secret_value())
        maintenance = url
    database = Database(url)
    _ensure_databases(Database(maintenance), database)
    return database


def _parse(text: str) -> URL:
    try:
        url = make_url(text)
    except Exception as error:
        raise ConfigurationError(f"{_URL_FORM}. What is set is not a URL.") from error
    if url.get_backend_name() not in {"postgresql", "postgres"} or not url.database:
        raise ConfigurationError(f"{_URL_FORM}.")
    return url


def _ensure_databases(maintenance: Database, database: Database) -> None:
    names = {database.process_environment()["VIRAL_PG_DATABASE"], DAGSTER_DATABASE}
    try:
        with psycopg.connect(
            maintenance.url, connect_timeout=CONNECT_TIMEOUT_SECONDS, autocommit=True
        ) as connection:
            rows = connection.execute(
                "select datname from pg_database where datname = any(%s)", [sorted(names)]
            ).fetchall()
            for name in sorted(names - {row[0] for row in rows}):
                _create(connection, name)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(_unreachable(maintenance.safe_url, error)) from error
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(
            f"VIRAL_DATABASE_URL cannot be used: {_first_line(error)}."
        ) from error


def _create(connection: psycopg.Connection, name: str) -> None:
    try:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
        return  # another process of the installation was first
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"The role of VIRAL_DATABASE_URL may not create database {name}. "
            f"Create it once: create database {name}."
        ) from error
