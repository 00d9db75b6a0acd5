"""A server in a process of its own, and load on it by keep-alive connections on loopback.

The server is the application as `viral serve` runs it, with the routes of the baseline added. Its
own log tells how long each request took on its side.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import uvicorn

from viral_platform.api.app import Api, create_app
from viral_platform.cli import ports
from viral_platform.observability.logging import configure_logging
from viral_platform.settings import Settings, load_settings
from viral_platform.storage import embedded
from viral_platform.storage.database import open_database

CONNECTIONS = 16
_START_SECONDS = 60.0

# Makes the nth request; the path may differ.
Maker = Callable[[int], bytes]


@dataclass
class Server:
    """A running server; `log` is what it has written, one JSON document a line."""

    port: int
    log: Path
    _read: int = field(default=0)

    def durations(self, route: str) -> list[float]:
        """Return the milliseconds of the requests of a route since the last look, as logged."""
        with self.log.open("rb") as lines:
            lines.seek(self._read)
            written = lines.read()
        self._read += len(written)
        events = [json.loads(line) for line in written.splitlines() if line.startswith(b"{")]
        return [
            event["duration_ms"]
            for event in events
            if event["event"] == "request" and event["route"] == route
        ]


@contextmanager
def served(script: str, home: Path, environment: dict[str, str]) -> Iterator[Server]:
    """Yield the server that a script starts when it is called with `--serve PORT`."""
    port = ports.free_port()
    log = home / "log.jsonl"
    given = {"VIRAL_HOME": str(home), "VIRAL_ENVIRONMENT": "production", **environment}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, script, "--serve", str(port)],
            env={**os.environ, **given},
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"The server did not start: {log.read_text()[-2_000:]}")
            time.sleep(0.05)
        yield Server(port, log)
    finally:
        process.terminate()
        process.wait(timeout=30)


def serve(port: int, add_routes: Callable[[Api], None]) -> None:
    """Serve the application of this environment with some routes more, until it is stopped."""
    settings = load_settings()
    configure_logging(settings)
    app = create_app(settings, open_database(settings))
    add_routes(app)
    uvicorn.run(app, host=ports.HOST, port=port, ws="none", log_config=None, access_log=False)


def main(
    description: str | None,
    add_routes: Callable[[Api], None],
    measure: Callable[[Path], dict[str, object]],
) -> None:
    """Measure on an installation of its own and print the figures; `--serve` is the server."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, add_routes)
        return
    configure_logging(Settings(log_level="ERROR", viral_environment="production"))
    home = Path(tempfile.mkdtemp(prefix="viral-bench-"))
    try:
        sys.stdout.write(json.dumps(measure(home), indent=2) + "\n")
    finally:
        embedded.stop_server(home)
        shutil.rmtree(home, ignore_errors=True)


def request(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """Return a POST as it goes over the wire."""
    fields = {"Host": ports.HOST, "Content-Length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def saturated(server: Server, make: Maker, *, seconds: float, status: int) -> float:
    """Return the requests a second that all connections together have answered.

    Raises
    ------
    SystemExit
        An answer has another status.
    """
    return asyncio.run(_saturated(server.port, make, seconds, status))


def paced(server: Server, make: Maker, *, rate: float, seconds: float, status: int) -> list[float]:
    """Return the milliseconds from each request's planned moment to its answer.

    Raises
    ------
    SystemExit
        An answer has another status.
    """
    return asyncio.run(_paced(server.port, make, rate, seconds, status))


def percentiles(milliseconds: list[float]) -> dict[str, float]:
    """Return p50 and p99."""
    return {
        name: round(float(np.quantile(milliseconds, level)), 2)
        for name, level in (("p50_ms", 0.5), ("p99_ms", 0.99))
    }


async def _saturated(port: int, make: Maker, seconds: float, status: int) -> float:
    numbers = iter(range(10**9))
    ends = time.perf_counter() + seconds

    async def one() -> int:
        reader, writer = await asyncio.open_connection(ports.HOST, port)
        answered = 0
        while time.perf_counter() < ends:
            await _ask(reader, writer, make(next(numbers)), status)
            answered += 1
        writer.close()
        return answered

    started = time.perf_counter()
    answered = sum(await asyncio.gather(*(one() for _ in range(CONNECTIONS))))
    return answered / (time.perf_counter() - started)


async def _paced(port: int, make: Maker, rate: float, seconds: float, status: int) -> list[float]:
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection(ports.HOST, port))

    async def one(number: int, planned: float) -> float:
        reader, writer = await free.get()
        await _ask(reader, writer, make(number), status)
        free.put_nowait((reader, writer))
        return (time.perf_counter() - planned) * 1000

    asked = []
    began = time.perf_counter()
    for number in range(round(rate * seconds)):
        planned = began + number / rate
        await asyncio.sleep(max(0.0, planned - time.perf_counter()))
        asked.append(asyncio.create_task(one(number, planned)))
    spent = await asyncio.gather(*asked)
    while not free.empty():
        free.get_nowait()[1].close()
    return list(spent)


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes, status: int
) -> None:
    writer.write(sent)
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    body = await reader.readexactly(length)
    if int(head.split(b" ", 2)[1]) != status:
        raise SystemExit(f"{head!r}\n{body!r}")


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://{ports.HOST}:{port}/readyz", trust_env=False).status_code < 600
    except httpx.TransportError:
        return False
