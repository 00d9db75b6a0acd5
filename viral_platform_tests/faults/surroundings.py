"""What fails around the platform: the network to Apify, and the disk of PostgreSQL."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from viral_platform.providers.reading import ATTEMPTS
from viral_platform.sandbox.stand_ins import Fault
from viral_platform_tests.faults.drill import Drill

# Each with how many answers it spoils: within the tries of one request, or for several ingests.
_WITHIN, _FOR_LONG = ATTEMPTS - 1, 3 * ATTEMPTS
NETWORK: list[tuple[str, Fault, int, dict[str, Any]]] = [
    ("connection reset", Fault.RESET, _WITHIN, {}),
    ("page cut off", Fault.TRUNCATED_JSON, _WITHIN, {}),
    ("page of garbage", Fault.GARBAGE, _FOR_LONG, {}),
    ("429 with Retry-After", Fault.RATE_LIMITED, _WITHIN, {"retry_after": 0.2}),
    ("503 for long", Fault.SERVER_ERROR, _FOR_LONG, {}),
]
TMPFS_MB, BALLAST_LEAVES_MB = 400, 3


def disturb_network(drill: Drill) -> None:
    """Ingest all deliveries while the network fails in each way, at runs and at pages."""
    drill.send_all()
    for _, fault, times, options in NETWORK:
        for operation in ("run", "items"):
            if fault is Fault.TRUNCATED_JSON and operation == "run":
                continue
            drill.stand_in.fail("apify", fault, operation=operation, times=times, **options)
            drill.ingest_once()
    drill.stand_in.heal()
    drill.drain()


def why_no_tmpfs() -> str | None:
    """Return why no small file system can be made here, None when it can."""
    return None if os.geteuid() == 0 else "only root may mount a small file system"


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Yield a folder on a file system of its own that is soon full."""
    folder.mkdir()
    size = f"size={TMPFS_MB}m,mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill_disk(drill: Drill, disk: Path) -> int:
    """Let the disk be full while deliveries come and are ingested; return how many were refused.

    Then there is room again, and all goes on.
    """
    drill.send(drill.dispatches[0])
    ballast = disk / "ballast"
    free = os.statvfs(disk)
    size = free.f_bavail * free.f_frsize - BALLAST_LEAVES_MB * 2**20
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    drill.ingest_once()
    for sent in drill.dispatches:
        drill.send(sent)
    refused = drill.refused
    ballast.unlink()
    drill.server.start()
    drill.send_all()
    drill.drain()
    return refused
