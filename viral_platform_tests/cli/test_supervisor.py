from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from viral_platform.cli import supervisor as supervision
from viral_platform.cli.supervisor import (
    Kept,
    Program,
    ProgramError,
    StopRequestedError,
    Supervisor,
    stop_signals,
)

SLEEP = "import time; print('up', flush=True); time.sleep(60)"


class Lines:
    """What the programs wrote, and where each stood in the order."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.written.append((name, line))

    def has(self, name: str, line: str) -> bool:
        return (name, line) in self.written


def program(name: str, source: str) -> Program:
    command = [sys.executable, "-u", "-c", textwrap.dedent(source)]
    return Program(name, command, os.environ)


def ignore(_programs: Sequence[Kept]) -> None:
    pass


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


def test_programs_are_stopped_in_the_reverse_order_of_their_start(
    lines: Lines, stop: threading.Event
) -> None:
    source = """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (print("ending"), sys.exit(0)))
        print("up")
        time.sleep(60)
    """
    with Supervisor(stop, lines, ignore) as supervisor:
        for name in ("first", "second", "third"):
            supervisor.start(program(name, source))
            supervisor.wait_for(lambda name=name: lines.has(name, "up"), what=name, seconds=10)
    ended = [name for name, line in lines.written if line == "ending"]
    assert ended == ["third", "second", "first"]


def test_a_program_that_ends_during_the_start_is_named_with_its_last_lines_and_ends_all(
    lines: Lines, stop: threading.Event
) -> None:
    pids: list[int] = []
    with Supervisor(stop, lines, lambda kept: pids.append(kept[-1].child.pid)) as supervisor:
        supervisor.start(program("steady", SLEEP))
        supervisor.start(program("broken", "print('the disk is full'); raise SystemExit(3)"))
        with pytest.raises(ProgramError, match=r"broken ended \(exit code 3\)") as raised:
            supervisor.wait_for(lambda: False, what="the web page", seconds=30)
    assert "the disk is full" in str(raised.value)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_program_that_is_killed_starts_again_beside_the_others(
    lines: Lines, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "RESTART_SECONDS", (0.1,))
    states: list[tuple[int, int, str | None]] = []

    def note(programs: Sequence[Kept]) -> None:
        victim = programs[-1]
        states.append((victim.child.pid, victim.restarts, victim.problem))
        if victim.restarts:
            stop.set()

    with Supervisor(stop, lines, note) as supervisor:
        supervisor.start(program("steady", SLEEP))
        steady = states[-1][0]
        supervisor.start(program("victim", SLEEP))
        os.kill(states[-1][0], signal.SIGKILL)
        supervisor.watch()
        assert psutil.pid_exists(steady)
        assert psutil.pid_exists(states[-1][0])
    assert [state[1:] for state in states[1:]] == [
        (0, None),
        (0, "killed by SIGKILL"),
        (1, "killed by SIGKILL"),
    ]
    assert any("killed by SIGKILL" in line for name, line in lines.written if name == "viral")
    assert not any(psutil.pid_exists(pid) for pid, *_ in states)


def test_a_program_that_ends_in_a_row_waits_longer_each_time_and_what_it_said_is_told(
    lines: Lines, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "RESTART_SECONDS", (0.0, 0.1, 0.2))
    waits: list[float] = []

    def note(programs: Sequence[Kept]) -> None:
        [kept] = programs
        if kept.restart_at is not None:
            waits.append(kept.restart_at - time.monotonic())
            assert kept.problem == "exit code 3: the disk is full"
        if len(waits) == 4:
            stop.set()

    with Supervisor(stop, lines, note) as supervisor:
        supervisor.start(program("broken", "print('the disk is full'); raise SystemExit(3)"))
        supervisor.watch()
    assert waits == pytest.approx([0.0, 0.1, 0.2, 0.2], abs=0.05)


def test_a_program_that_ran_for_a_while_starts_again_at_once(
    lines: Lines, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "RESTART_SECONDS", (0.0, 60.0))
    monkeypatch.setattr(supervision, "STEADY_SECONDS", 0.0)

    def note(programs: Sequence[Kept]) -> None:
        if programs[0].restarts == 3:
            stop.set()

    with Supervisor(stop, lines, note) as supervisor:
        supervisor.start(program("brief", "pass"))
        supervisor.watch()


def test_a_program_whose_file_is_gone_is_tried_again(
    lines: Lines, stop: threading.Event, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(supervision, "RESTART_SECONDS", (0.0,))
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    problems: list[str | None] = []

    def note(programs: Sequence[Kept]) -> None:
        problems.append(programs[0].problem)
        if programs[0].problem is not None:
            script.unlink(missing_ok=True)
        if len(problems) == 4:
            stop.set()

    with Supervisor(stop, lines, note) as supervisor:
        supervisor.start(Program("script", [str(script)], os.environ))
        supervisor.watch()
    assert problems[1] == "exit code 0"
    assert "cannot be started" in str(problems[-1])


def test_a_stop_does_not_wait_for_a_program_that_is_put_off(
    lines: Lines, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "RESTART_SECONDS", (60.0,))

    def note(programs: Sequence[Kept]) -> None:
        if programs[0].restart_at is not None:
            stop.set()

    with Supervisor(stop, lines, note) as supervisor:
        supervisor.start(program("broken", "exit(1)"))
        began = time.monotonic()
        supervisor.watch()
    assert time.monotonic() - began < 10


def test_a_program_that_ignores_sigterm_is_killed_after_the_bounded_wait(
    lines: Lines, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "STOP_SECONDS", 0.3)
    source = """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("up")
        time.sleep(60)
    """
    pids: list[int] = []
    with Supervisor(stop, lines, lambda kept: pids.append(kept[-1].child.pid)) as supervisor:
        supervisor.start(program("deaf", source))
        supervisor.wait_for(lambda: lines.has("deaf", "up"), what="deaf", seconds=10)
    assert not psutil.pid_exists(pids[0])
    assert any("killed" in line for _, line in lines.written)


def test_what_a_program_started_ends_with_it(lines: Lines, stop: threading.Event) -> None:
    source = """
        import subprocess, sys, time
        print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid)
        time.sleep(60)
    """
    with Supervisor(stop, lines, ignore) as supervisor:
        supervisor.start(program("parent", source))
        supervisor.wait_for(lambda: bool(lines.written), what="parent", seconds=10)
    grandchild = int(lines.written[0][1])
    # Whoever reaps orphans here may take a while, or leave the zombie.
    assert (
        not psutil.pid_exists(grandchild)
        or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE
    )


def test_what_a_program_started_is_told_to_end_at_once(lines: Lines, stop: threading.Event) -> None:
    """A code server waited for its runs, which nobody had told: 15 s, and they were killed."""
    source = """
        import signal, subprocess, sys
        signal.signal(signal.SIGTERM, lambda *_: None)
        run = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(7)); "
        child = subprocess.Popen([sys.executable, "-uc", run + "print('up'); time.sleep(60)"])
        print("run ended by itself with", child.wait())
    """
    with Supervisor(stop, lines, ignore) as supervisor:
        supervisor.start(program("server", source))
        supervisor.wait_for(lambda: lines.has("server", "up"), what="run", seconds=10)
    assert lines.has("server", "run ended by itself with 7")


def test_what_never_becomes_ready_is_named_after_the_bounded_wait(
    lines: Lines, stop: threading.Event
) -> None:
    with Supervisor(stop, lines, ignore) as supervisor:
        supervisor.start(program("steady", SLEEP))
        with pytest.raises(ProgramError, match="the web page is not ready after 0 s"):
            supervisor.wait_for(lambda: False, what="the web page", seconds=0.2)


def test_a_stop_during_the_start_breaks_the_wait_off(lines: Lines, stop: threading.Event) -> None:
    with Supervisor(stop, lines, ignore) as supervisor:
        supervisor.start(program("steady", SLEEP))
        threading.Timer(0.2, stop.set).start()
        with pytest.raises(StopRequestedError):
            supervisor.wait_for(lambda: False, what="the web page", seconds=30)
        with pytest.raises(StopRequestedError):
            supervisor.start(program("late", SLEEP))


def test_a_missing_executable_is_named(lines: Lines, stop: threading.Event) -> None:
    with (
        Supervisor(stop, lines, ignore) as supervisor,
        pytest.raises(ProgramError, match=r"ghost cannot be started: .*/no/such/program"),
    ):
        supervisor.start(Program("ghost", ["/no/such/program"], {}))


def test_a_program_run_to_its_end_fails_with_its_last_lines(
    lines: Lines, stop: threading.Event
) -> None:
    with Supervisor(stop, lines, ignore) as supervisor:
        supervisor.run(program("parse", "print('done')"), seconds=10)
        assert lines.has("parse", "done")
        with pytest.raises(ProgramError, match=r"parse ended \(exit code 2\)(.|\n)*no such model"):
            supervisor.run(program("parse", "print('no such model'); exit(2)"), seconds=10)


def test_bytes_that_are_no_text_are_shown_and_do_not_stop_the_lines(
    lines: Lines, stop: threading.Event
) -> None:
    source = r"import os; os.write(1, b'\xff\xfe\nnext\n')"
    with Supervisor(stop, lines, ignore) as supervisor:
        supervisor.run(program("odd", source), seconds=10)
    assert lines.written == [("odd", "\ufffd\ufffd"), ("odd", "next")]


def test_a_reader_of_the_lines_that_went_away_does_not_block_the_program(
    stop: threading.Event,
) -> None:
    def gone(_name: str, _line: str) -> None:
        raise BrokenPipeError

    # More than a pipe holds.
    source = "for _ in range(5000): print('x' * 100)"
    with Supervisor(stop, gone, ignore) as supervisor:
        supervisor.run(program("wordy", source), seconds=10)


def test_a_program_reacts_to_sigint_although_the_supervisor_inherited_it_as_ignored() -> None:
    """A code server that was begun with SIGINT ignored, by `viral up &`, ignored SIGTERM too."""
    source = """
        import os, sys
        from viral_platform.cli.supervisor import Program, Supervisor, stop_signals
        child = "import signal; print(signal.getsignal(signal.SIGINT).__name__)"
        with stop_signals() as stop, Supervisor(stop, print, lambda _: None) as supervisor:
            supervisor.run(Program("child", [sys.executable, "-c", child], os.environ), seconds=10)
    """
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(source)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        signal.signal(signal.SIGINT, former)
    assert ended.stdout.split() == ["child", "default_int_handler"], ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_for_the_stop_and_is_handled_as_before_afterwards(number: int) -> None:
    former = signal.getsignal(number)
    with stop_signals() as stop:
        os.kill(os.getpid(), number)
        assert stop.wait(5)
    assert signal.getsignal(number) == former


def test_the_closing_of_the_terminal_is_ignored_under_nohup() -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.wait(0.2)
    finally:
        signal.signal(signal.SIGHUP, former)
