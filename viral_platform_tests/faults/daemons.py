"""Two daemons at once on one installation, whose runs are killed, and one of them itself."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg

from viral_platform.cli.programs import executable
from viral_platform.defs.instance import dagster_environment, write_dagster_home
from viral_platform.settings import PROJECT_ROOT, Settings
from viral_platform.storage.database import DAGSTER_DATABASE
from viral_platform_tests.faults.drill import Drill, Kill
from viral_platform_tests.faults.programs import is_alive, kill, wait_until
from viral_platform_tests.faults.seams import (
    DECODED,
    FOLDER_VARIABLE,
    MARKED,
    PAGE_COMMITTED,
    STAGED,
    UPSERTED,
)

RUN, DAEMON = "run of the daemon", "daemon"
AT_WORK = "at work"
LOCATION = "viral_platform_tests.faults.location"
KILLS = [
    Kill(point, RUN, how)
    for point in (DECODED, STAGED, UPSERTED, PAGE_COMMITTED, MARKED)
    for how in (signal.SIGKILL, signal.SIGTERM)
]
# A killed run is found dead at the next look, which an installation takes every half a minute.
_LOOK_SECONDS = 2
_LONGEST_SECONDS = 120.0


@contextmanager
def daemon(environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a daemon with a code server of its own."""
    with log.open("ab") as output:
        program = subprocess.Popen(
            [str(executable("dagster-daemon")), "run", "-m", LOCATION],
            env={**os.environ, **environment},
            cwd=PROJECT_ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield program
    finally:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()


def strike_all(drill: Drill, home: Path, log: Path) -> dict[str, int]:
    """Kill a run for each of `KILLS` and then a daemon twice; return the runs by their end."""
    environment = _environment(drill, home)
    with ExitStack() as daemons:
        programs = [daemons.enter_context(daemon(environment, log)) for _ in range(2)]
        for wanted in KILLS:
            _strike_run(drill, wanted)
        for how in (signal.SIGKILL, signal.SIGTERM):
            _send_one(drill)
            kill(programs[0].pid, how)
            programs[0].wait()
            drill.kills.append(Kill(AT_WORK, DAEMON, how))
            programs.append(daemons.enter_context(daemon(environment, log)))
            programs.pop(0)
        drill.send_all()
        wait_until(lambda: _all_done(drill), "all deliveries are processed", _LONGEST_SECONDS)
    with psycopg.connect(drill.server.url, dbname=DAGSTER_DATABASE) as connection:
        return dict(connection.execute("select status, count(*) from runs group by 1").fetchall())


def _environment(drill: Drill, home: Path) -> dict[str, str]:
    settings = Settings(viral_home=home, _env_file=None)
    written = write_dagster_home(settings) / "dagster.yaml"
    often = f"poll_interval_seconds: {_LOOK_SECONDS}"
    written.write_text(written.read_text().replace("poll_interval_seconds: 30", often))
    return {
        **dagster_environment(settings, drill.database),
        "VIRAL_DATABASE_URL": drill.database.url,
        "APIFY_TOKEN": "token",
        "APIFY_BASE_URL": drill.stand_in.base_url,
        FOLDER_VARIABLE: str(drill.trap.folder),
    }


def _strike_run(drill: Drill, wanted: Kill) -> None:
    """Let a delivery come, and kill the run that ingests it when it reaches the point."""
    drill.trap.order(wanted.point)
    _send_one(drill)
    pid = drill.trap.wait(lambda: _all_done(drill), seconds=_LONGEST_SECONDS)
    if pid is None:
        raise TimeoutError(f"No run came to {wanted.point!r}.")
    kill(pid, wanted.how)
    if wanted.how is signal.SIGKILL:
        wait_until(lambda: not is_alive(pid), "the run is dead")
    drill.trap.release()
    wait_until(lambda: not is_alive(pid), "the run has ended")
    drill.kills.append(wanted)


def _send_one(drill: Drill) -> None:
    """Send the first delivery that was not sent yet."""
    for sent in drill.dispatches:
        if not drill.acknowledged[sent.headers["x-apify-webhook-dispatch-id"]]:
            wait_until(lambda sent=sent: drill.send(sent), "a delivery is acknowledged")
            return


def _all_done(drill: Drill) -> bool:
    """Let the leases expire, and tell whether no delivery waits."""
    return drill.expire_leases() == 0
