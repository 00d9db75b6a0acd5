"""Crash points: seams of the platform at which a process stops until the harness lets it go.

A folder is the switch. The harness writes an order into it (which point, at which passage); the
process that comes to the point takes the order, leaves its pid in its place and waits until that
is taken away. Without an order a seam costs one look into the folder.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from viral_platform.services.ingestion import datasets
from viral_platform.services.ingestion.pages import PageJudge
from viral_platform.services.ingestion.storing import Arrivals
from viral_platform.storage import inbox

# The points of a delivery's way, in its order.
RECEIVED, COMMITTED = "received", "inbox committed"
DECODED, STAGED, UPSERTED = "page decoded", "page staged", "page upserted"
CURSOR_MOVED = "cursor moved"
PAGE_COMMITTED, MARKED, MARK_COMMITTED = "page committed", "marked", "mark committed"
API_POINTS = (RECEIVED, COMMITTED)
PAGE_POINTS = (DECODED, STAGED, UPSERTED, CURSOR_MOVED, PAGE_COMMITTED)
MARK_POINTS = (MARKED, MARK_COMMITTED)

# Names the folder to processes that are not started by the harness itself.
FOLDER_VARIABLE = "VIRAL_TEST_SEAMS"

_ORDER, _REACHED = "order.json", "reached"
_LOOK_SECONDS = 0.003


def install(folder: Path) -> None:
    """Put the seams into this process; for a process that ends with the harness."""
    stop = functools.partial(_Stops(folder).passed)
    _around(inbox, "insert", stop, before=RECEIVED, after=COMMITTED)
    _around(PageJudge, "judged", stop, after=DECODED)
    _around(Arrivals, "stage", stop, after=STAGED)
    _around(inbox, "advance", stop, before=UPSERTED, after=CURSOR_MOVED)
    _around(datasets._Ingest, "_store", stop, after=PAGE_COMMITTED)
    _around(inbox, "finish", stop, after=MARKED)
    _around(datasets._Ingest, "_finish", stop, after=MARK_COMMITTED)


def _around(
    owner: Any,
    name: str,
    stop: Callable[[str], None],
    *,
    before: str | None = None,
    after: str,
) -> None:
    work = getattr(owner, name)

    @functools.wraps(work)
    def with_stops(*values: object, **named: object) -> object:
        if before is not None:
            stop(before)
        result = work(*values, **named)
        stop(after)
        return result

    setattr(owner, name, with_stops)


@dataclass
class _Stops:
    folder: Path
    _passages: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def passed(self, point: str) -> None:
        """Stop here if it is ordered, until the harness lets go."""
        order = self.folder / _ORDER
        try:
            wanted = json.loads(order.read_text())
        except FileNotFoundError:
            return
        if wanted["point"] != point:
            return
        with self._lock:
            self._passages[wanted["id"]] += 1
            if self._passages[wanted["id"]] < wanted["passage"]:
                return
        reached = self.folder / _REACHED
        partial = self.folder / f"{_REACHED}.{os.getpid()}"
        partial.write_text(str(os.getpid()))
        try:
            order.unlink()
        except FileNotFoundError:
            return  # another process was first
        partial.replace(reached)
        while reached.exists():
            time.sleep(_LOOK_SECONDS)


class Trap:
    """The harness's side of the folder; one order at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._orders = 0

    def order(self, point: str, passage: int = 1) -> None:
        """Let the process stop that passes the point for the so-manieth time, counted from 1."""
        self._orders += 1
        partial = self.folder / "order.partial"
        partial.write_text(
            json.dumps({"id": str(self._orders), "point": point, "passage": passage})
        )
        partial.replace(self.folder / _ORDER)

    def wait(self, is_over: Callable[[], bool], *, seconds: float = 60.0) -> int | None:
        """Return the pid of the process that stands at the point; None when it is over before."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended = is_over()
            if (self.folder / _REACHED).exists():
                return int((self.folder / _REACHED).read_text())
            if ended:
                break
            time.sleep(_LOOK_SECONDS)
        self.release()
        return None

    def release(self) -> None:
        """Let go whoever stands there, and take back the order."""
        (self.folder / _ORDER).unlink(missing_ok=True)
        (self.folder / _REACHED).unlink(missing_ok=True)
