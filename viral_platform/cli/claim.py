"""Which supervisor works on an installation, and which processes it has started.

`VIRAL_HOME/up.pid` is locked while the supervisor lives and names it; `up.json` lists its
processes, so that they can be ended even when it was killed.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import psutil

from viral_platform.cli.supervisor import STOP_SECONDS, Kept, end_session
from viral_platform.engine.errors import GateRefusedError
from viral_platform.observability.logging import get_logger
from viral_platform.observability.scrubbing import scrub_text

log = get_logger(__name__)

# The kernel's boot time, by which start times are told, moves when the clock is set.
_SAME_START_SECONDS = 10.0
# `viral status` holds the lock for a moment when it asks whether a supervisor does.
_CLAIM_SECONDS = 1.0


@dataclass(frozen=True)
class ProcessRecord:
    """A process by its pid and start time, since pids are used again.

    `restarts` counts how often it was started again, `problem` says how it ended the last time.
    """

    name: str
    pid: int
    started: float
    port: int | None = None
    restarts: int = 0
    problem: str | None = None

    def process(self) -> psutil.Process | None:
        """Return the process, None when it is gone."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SAME_START_SECONDS
            alive = same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None


class Claim:
    """The right to start processes for an installation, held by one supervisor at a time."""

    def __init__(self, home: Path) -> None:
        self._file = home / "up.json"

    def record(self, programs: Sequence[Kept]) -> None:
        """Write down which processes run, and how those ended that do not."""
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps([asdict(_record(kept)) for kept in programs]))
        partial.replace(self._file)


@contextmanager
def claimed(home: Path) -> Iterator[Claim]:
    """Hold the claim on an installation; processes that a killed supervisor left are ended first.

    Raises
    ------
    GateRefusedError
        Another supervisor holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with _pid_file(home).open("a+") as file:
        if not _lock(file):
            holder = supervisor_of(home)
            named = f" (pid {holder.pid})" if holder else ""
            raise GateRefusedError(
                f"`viral up` already runs for {home}{named}. See `viral status`; stop it by "
                "`viral down`."
            )
        _end_left_behind(home)
        file.truncate(0)
        json.dump(asdict(_own_record()), file)
        file.flush()
        try:
            yield Claim(home)
        finally:
            (home / "up.json").unlink(missing_ok=True)
            file.truncate(0)


def supervisor_of(home: Path) -> psutil.Process | None:
    """Return the process that holds the claim, None when none does."""
    try:
        with _pid_file(home).open() as file:
            if _try_lock(file, fcntl.LOCK_SH):
                return None
            return ProcessRecord(**json.load(file)).process()
    except (FileNotFoundError, ValueError):
        return None  # never started, or just about to write its pid


def recorded_processes(home: Path) -> list[ProcessRecord]:
    """Return the processes that the supervisor has started, whether they live or not."""
    try:
        return [ProcessRecord(**item) for item in json.loads((home / "up.json").read_text())]
    except FileNotFoundError:
        return []


def _end_left_behind(home: Path) -> None:
    for record in reversed(recorded_processes(home)):
        process = record.process()
        if process is None:
            continue
        log.warning("process_left_behind_is_ended", name=record.name, pid=record.pid)
        with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            process.terminate()
            process.wait(timeout=STOP_SECONDS)
        with suppress(psutil.NoSuchProcess):
            process.kill()
        end_session(record.pid)


def _pid_file(home: Path) -> Path:
    return home / "up.pid"


def _lock(file: IO[str]) -> bool:
    deadline = time.monotonic() + _CLAIM_SECONDS
    while not _try_lock(file, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _try_lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _record(kept: Kept) -> ProcessRecord:
    try:
        started = psutil.Process(kept.child.pid).create_time()
    except psutil.NoSuchProcess:
        started = 0.0  # no process began then, so none is taken for it
    return ProcessRecord(
        name=kept.program.name,
        pid=kept.child.pid,
        started=started,
        port=kept.program.port,
        restarts=kept.restarts,
        problem=None if kept.problem is None else scrub_text(kept.problem),
    )


def _own_record() -> ProcessRecord:
    process = psutil.Process()
    return ProcessRecord("supervisor", process.pid, process.create_time())
