"""What is killed: the API and ingests in processes of their own, and a PostgreSQL server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from viral_platform.cli import ports
from viral_platform.storage import embedded

SECRET = "a secret of the harness"

# Loads once what they need, and forks one for each line that it reads.
_NURSERY = """
import json, os, signal, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import make_url

from viral_platform.api import app
from viral_platform.cli.serve import serve
from viral_platform.providers.apify_datasets import ApifyDatasets
from viral_platform.providers.calls import Waits
from viral_platform.services.ingestion.datasets import ingest_delivery
from viral_platform.storage.database import Database
from viral_platform_tests.faults import seams

seams.install(Path(sys.argv[1]))
WAITS = Waits(first=0.05, factor=1.5, jitter=0.0)


def ingest(url, base_url, inbox_id, page_items, hours):
    ahead = timedelta(hours=hours)
    reader = ApifyDatasets(token="token", base_url=base_url, page_items=page_items, waits=WAITS)
    ingest_delivery(
        Database(make_url(url)), reader, inbox_id, now=lambda: datetime.now(UTC) + ahead
    )


signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    order = json.loads(line)
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        out = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ.update(order["environment"])
        try:
            if order["program"] == "api":
                serve(port=order["port"])
            else:
                ingest(**order["arguments"])
        except BaseException as error:
            os.write(2, f"{order['program']} ended: {error!r}\\n".encode())
        finally:
            os._exit(0)
    print(pid, flush=True)
"""


def is_alive(pid: int) -> bool:
    """Tell whether a process still runs."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(is_so: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait for something that must come about.

    Raises
    ------
    TimeoutError
        It has not.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.005)


def kill(pid: int, how: signal.Signals) -> None:
    """Send a signal to a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, how)


class Nursery:
    """Starts APIs and ingests, each in a process of its own that has the seams."""

    def __init__(self, seams: Path, log: Path) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-c", _NURSERY, str(seams), str(log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            text=True,
        )

    def api(self, url: str, home: Path, port: int) -> int:
        """Start an API, wait until it serves, return its pid."""
        environment = {
            "VIRAL_DATABASE_URL": url,
            "VIRAL_HOME": str(home),
            "APIFY_WEBHOOK_SECRET": SECRET,
        }
        pid = self._fork({"program": "api", "port": port, "environment": environment})

        def serves() -> bool:
            with suppress(httpx.HTTPError):
                return httpx.get(f"http://{ports.HOST}:{port}/healthz", timeout=5).is_success
            return False

        wait_until(lambda: serves() or not is_alive(pid), "the API serves")
        return pid

    def ingest(
        self, url: str, base_url: str, inbox_id: int, page_items: int, *, hours: float = 0.0
    ) -> int:
        """Start the ingest of a delivery, whose clock goes `hours` before ours."""
        arguments = {
            "url": url,
            "base_url": base_url,
            "inbox_id": inbox_id,
            "page_items": page_items,
            "hours": hours,
        }
        return self._fork({"program": "ingest", "arguments": arguments, "environment": {}})

    def close(self) -> None:
        """End the nursery; what it has started is ended by who started it."""
        self._parent.communicate(timeout=10)

    def _fork(self, order: dict[str, object]) -> int:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(order) + "\n")
        self._parent.stdin.flush()
        return int(self._parent.stdout.readline())


class Postgres:
    """An embedded server of its own, as an installation has it: with fsync."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.url = embedded.start_server(home)

    def start(self) -> None:
        """Start it, unless it runs."""
        self.url = embedded.start_server(self.home)

    def kill(self, how: signal.Signals, then: Callable[[], None]) -> None:
        """End it by a signal; `then` is done as soon as nobody can connect any more.

        After SIGTERM the server waits for its clients. A moment later it is told by SIGINT to
        break their connections, as the managers of services do.
        """
        pid = int((self.home / "pg" / "postmaster.pid").read_text().split("\n", 1)[0])
        kill(pid, how)
        if how is signal.SIGKILL:
            wait_until(lambda: not is_alive(pid), "PostgreSQL is dead")
            then()
            return
        then()
        with suppress(TimeoutError):
            wait_until(lambda: not is_alive(pid), "PostgreSQL has shut down", seconds=0.1)
        kill(pid, signal.SIGINT)
        wait_until(lambda: not is_alive(pid), "PostgreSQL has shut down")

    def stop(self) -> None:
        """Stop it in good order."""
        embedded.stop_server(self.home)


@contextmanager
def postgres(home: Path) -> Iterator[Postgres]:
    """Yield a server under a folder, and stop it at the end."""
    server = Postgres(home)
    try:
        yield server
    finally:
        server.start()
        server.stop()
