"""Programs that run together: started in order, kept running, stopped in reverse order.

Each is a session of its own, so that Ctrl-C on the terminal reaches the supervisor alone and the
programs end in order. Which programs these are does not belong here.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import IO, Self

import psutil

from viral_platform.engine.errors import ViralPlatformError

STOP_SECONDS = 15.0
# How long a program that has ended waits for its next start: longer each time in a row.
RESTART_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
# A program that ran so long has recovered; its next end is the first in a row.
STEADY_SECONDS = 60.0
_POLL_SECONDS = 0.1
_LAST_LINES = 15
_LONGEST_LINE = 64 * 1024
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

WriteLine = Callable[[str, str], None]


class ProgramError(ViralPlatformError):
    """A program ended by itself, could not be started or did not become ready."""


class StopRequestedError(Exception):
    """A signal asked the supervisor to end while it was starting programs."""


@dataclass(frozen=True)
class Program:
    """What to start, under which name its lines are shown, and the port that it opens."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    port: int | None = None


def without_colours(line: str) -> str:
    r"""Return `line` without terminal colours.

    >>> without_colours("\x1b[32mready\x1b[0m")
    'ready'
    """
    return _COLOURS.sub("", line)


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C, SIGTERM or the closing of the terminal sets.

    As long as these signals are caught here, programs start with SIGINT at its default even when
    we inherited it as ignored (`viral up &` in a script). A Dagster code server that starts with
    SIGINT ignored ignores SIGTERM too.
    """
    stop = threading.Event()

    def request_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    caught = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        caught.append(signal.SIGHUP)
    former = {number: signal.signal(number, request_stop) for number in caught}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class Child:
    """A started program whose lines are copied until it and all that it started have ended."""

    def __init__(self, program: Program, write_line: WriteLine) -> None:
        self.program = program
        self._write_line = write_line
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        try:
            self._process = subprocess.Popen(
                program.command,
                env=dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ProgramError(f"{program.name} cannot be started: {error}.") from error
        assert self._process.stdout is not None  # noqa: S101  for the type checker
        self._copier = threading.Thread(
            target=self._copy_lines, args=(self._process.stdout,), daemon=True
        )
        self._copier.start()

    @property
    def pid(self) -> int:
        """Process id, which is the id of its session too."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative for a signal, None while it runs."""
        return self._process.poll()

    def cause(self) -> str:
        """Return how it ended, with the last line that it said when it ended by itself."""
        how = self._how()
        told = self._process.returncode >= 0 and self._last_lines
        return f"{how}: {self._last_lines[-1]}" if told else how

    def epitaph(self) -> str:
        """Return how it ended and what it said last."""
        how = self._how()
        said = "".join(f"\n    {line}" for line in self._last_lines)
        return f"{self.program.name} ended ({how})." + (f" Its last lines:{said}" if said else "")

    def _how(self) -> str:
        code = self._process.wait()
        self._copier.join(timeout=1)  # its last lines are still in the pipe
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"

    def stop(self) -> None:
        """End it and whatever it started: SIGTERM, a bounded wait, then SIGKILL.

        All get the signal at once: a Dagster code server waits a minute for its runs, which
        record that they were interrupted only when they are told.
        """
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=STOP_SECONDS)
        if self._process.poll() is None:
            self._write_line(self.program.name, f"does not end in {STOP_SECONDS:.0f} s: killed")
            self._process.kill()
            self._process.wait()
        end_session(self.pid)
        self._copier.join(timeout=1)

    def _copy_lines(self, stream: IO[bytes]) -> None:
        with stream:
            for raw in iter(lambda: stream.readline(_LONGEST_LINE), b""):
                line = raw.decode("utf-8", errors="replace").rstrip()
                self._last_lines.append(without_colours(line))
                # A reader of ours that went away must not block the program in a full pipe.
                with suppress(OSError, ValueError):
                    self._write_line(self.program.name, line)


def end_session(session: int, *, patience: float = 5.0) -> None:
    """End the processes of a session whose leader we started: SIGTERM, a wait, SIGKILL."""
    members = list(_members(session))
    for process in members:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    deadline = time.monotonic() + patience
    while members and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        members = list(_members(session))
    for process in members:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _members(session: int) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                yield process


@dataclass
class Kept:
    """A program that is kept running: `child` is its process now, or the one that ended last.

    `problem` says how it ended the last time, `restart_at` when it starts again (monotonic time,
    None while it runs), `failures` how often in a row it ended.
    """

    program: Program
    child: Child
    started: float
    restarts: int = 0
    failures: int = 0
    problem: str | None = None
    restart_at: float | None = None


class Supervisor:
    """Starts programs, keeps them running, and stops all at the end of its `with` block.

    Parameters
    ----------
    stop : threading.Event
        Set when the supervisor shall end.
    write_line : callable
        Called with a program's name and each line that it writes, from several threads.
    on_change : callable
        Called with all programs after each start and each end.
    """

    def __init__(
        self,
        stop: threading.Event,
        write_line: WriteLine,
        on_change: Callable[[Sequence[Kept]], None],
    ) -> None:
        self._stop = stop
        self._write_line = write_line
        self._on_change = on_change
        self._kept: list[Kept] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._kept:
            self._kept.pop().child.stop()

    def start(self, program: Program) -> None:
        """Start a program that is meant to run until the end."""
        self.check()
        child = Child(program, self._write_line)
        self._kept.append(Kept(program, child, time.monotonic()))
        self._on_change(self._kept)

    def run(self, program: Program, *, seconds: float) -> None:
        """Run a program to its end.

        Raises
        ------
        ProgramError
            It fails, or does not end in time.
        """
        self.check()
        child = Child(program, self._write_line)
        try:
            self.wait_for(lambda: child.exit_code is not None, what=program.name, seconds=seconds)
        finally:
            child.stop()
        if child.exit_code != 0:
            raise ProgramError(child.epitaph())

    def wait_for(self, ready: Callable[[], bool], *, what: str, seconds: float) -> None:
        """Ask `ready` until it is true.

        Raises
        ------
        ProgramError
            A program ended, or `what` takes longer than `seconds`.
        StopRequestedError
            The supervisor shall end.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ProgramError(f"{what} is not ready after {seconds:.0f} s.")
            self._stop.wait(_POLL_SECONDS)

    def watch(self) -> None:
        """Start programs that end by themselves again; return when the supervisor shall end."""
        while not self._stop.wait(_POLL_SECONDS):
            for kept in self._kept:
                if kept.restart_at is None:
                    if kept.child.exit_code is not None:
                        self._put_off(kept, kept.child.cause(), kept.child.epitaph())
                elif time.monotonic() >= kept.restart_at:
                    self._restart(kept)

    def check(self) -> None:
        """Raise when the supervisor shall end or a program has ended."""
        if self._stop.is_set():
            raise StopRequestedError
        for kept in self._kept:
            if kept.child.exit_code is not None:
                raise ProgramError(kept.child.epitaph())

    def _put_off(self, kept: Kept, cause: str, told: str) -> None:
        kept.child.stop()  # what it started may still hold its port
        now = time.monotonic()
        if now - kept.started >= STEADY_SECONDS:
            kept.failures = 0
        delay = RESTART_SECONDS[min(kept.failures, len(RESTART_SECONDS) - 1)]
        kept.failures += 1
        kept.problem, kept.restart_at = cause, now + delay
        for line in f"{told}\nIt starts again in {delay:.0f} s.".splitlines():
            self._write_line("viral", line)
        self._on_change(self._kept)

    def _restart(self, kept: Kept) -> None:
        try:
            child = Child(kept.program, self._write_line)
        except ProgramError as error:
            self._put_off(kept, str(error), str(error))
            return
        kept.child, kept.started, kept.restart_at = child, time.monotonic(), None
        kept.restarts += 1
        self._write_line("viral", f"{kept.program.name} is started again")
        self._on_change(self._kept)
