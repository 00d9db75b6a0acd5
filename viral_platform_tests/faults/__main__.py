"""Every kill at every crash point, against a serial oracle: `make faults`.

Rounds of drills kill the API, ingests and PostgreSQL; a drill through Dagster kills the runs that
its daemons launch, and a daemon; others break the network and fill the disk. Prints a table, and
ends with 1 when a delivery was lost or applied twice, or a kill was left out.
"""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from viral_platform.sandbox.stand_ins import StandIn
from viral_platform_tests.faults import daemons, surroundings
from viral_platform_tests.faults.drill import API, INGEST, POSTGRES, Drill, Kill, Verdict
from viral_platform_tests.faults.programs import Nursery, postgres
from viral_platform_tests.faults.seams import API_POINTS, MARK_POINTS, MARKED, PAGE_POINTS, Trap

ROUNDS = 6
SIGNALS = (signal.SIGKILL, signal.SIGTERM)


def round_of_kills(draw: random.Random) -> list[Kill]:
    """Return each point, victim and signal once: in any order, but for the last points."""

    def kills(points: tuple[str, ...], victim: str) -> list[Kill]:
        both = (victim, POSTGRES)
        return [Kill(point, one, how) for point in points for one in both for how in SIGNALS]

    early = kills(API_POINTS, API) + kills(PAGE_POINTS, INGEST)
    # Behind the mark a delivery is done: of these there are as many as deliveries.
    late = kills(MARK_POINTS, INGEST)
    draw.shuffle(early)
    draw.shuffle(late)
    return early + sorted(late, key=lambda one: one.point != MARKED)


class Harness:
    """Drills one after another, and what came of them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.draw = random.Random(seed)
        self.kills: Counter[Kill] = Counter()
        self.left_out: list[Kill] = []
        self.verdicts: dict[str, Verdict] = {}

    @contextmanager
    def drill(self, name: str, home: Path, **sizes: int) -> Iterator[Drill]:
        """Yield a drill on a server under a folder; judge it at the end."""
        seams = self.folder / f"seams {name}"
        seams.mkdir()
        with postgres(home) as server, StandIn() as stand_in:
            nursery = Nursery(seams, self.folder / "log")
            drill = Drill(server, nursery, Trap(seams), stand_in, self.draw, **sizes)
            oracle = drill.undisturbed()
            started = time.monotonic()
            with drill.running():
                yield drill
                self.verdicts[name] = drill.judged(oracle)
            nursery.close()
        self.kills.update(drill.kills)
        told = self.verdicts[name]
        _say(
            f"{name:<26} {len(drill.kills):>4} kills {time.monotonic() - started:>6.0f} s   "
            f"lost {told.lost}, doubled {told.doubled}"
        )
        for example in told.examples:
            _say(f"    {example}")

    def rounds(self, count: int) -> None:
        """Kill everything everywhere, so many times."""
        for number in range(1, count + 1):
            with self.drill(f"round {number}", self.folder / "home", items=310, page_items=5) as it:
                it.send(it.dispatches[0])
                it.send(it.dispatches[-2])
                for wanted in round_of_kills(self.draw):
                    if wanted.point in MARK_POINTS:
                        it.send_all()
                    if not it.strike(wanted):
                        self.left_out.append(wanted)
                it.send_all()
                it.drain()

    def dagster(self) -> None:
        """Kill the runs of two daemons, and one of these."""
        home = self.folder / "home"
        sizes = {"items": 1_200, "page_items": 1_000, "runs": 6, "ends": 2}
        with self.drill("runs of two daemons", home, **sizes) as it:
            runs = daemons.strike_all(it, self.folder / "dagster", self.folder / "daemon log")
        _say(f"    runs: {runs}")

    def network(self) -> None:
        """Break the network to Apify."""
        with self.drill("network", self.folder / "home", items=310, page_items=50, runs=5) as it:
            surroundings.disturb_network(it)

    def disk(self) -> None:
        """Fill the disk of PostgreSQL."""
        if why := surroundings.why_no_tmpfs():
            _say(f"{'full disk':<26} skipped: {why}")
            return
        with (
            surroundings.small_disk(self.folder / "disk") as disk,
            self.drill("full disk", disk / "home", items=3_100, page_items=100) as it,
        ):
            refused = surroundings.fill_disk(it, disk)
        _say(f"    deliveries refused while it was full: {refused}")

    def table(self) -> str:
        """Return the kills by point, victim and signal."""
        lines = [f"{'point':<18} {'victim':<18} {'SIGKILL':>8} {'SIGTERM':>8}"]
        for point, victim in dict.fromkeys((kill.point, kill.victim) for kill in self.kills):
            counts = [self.kills[Kill(point, victim, how)] for how in SIGNALS]
            lines.append(f"{point:<18} {victim:<18} {counts[0]:>8} {counts[1]:>8}")
        lost = sum(told.lost for told in self.verdicts.values())
        doubled = sum(told.doubled for told in self.verdicts.values())
        lines.append(f"{self.kills.total()} kills, {len(self.left_out)} left out, {lost} lost, ")
        lines[-1] += f"{doubled} doubled"
        return "\n".join(lines)

    def held(self) -> bool:
        """Tell whether every kill was made and nothing was lost or doubled."""
        clean = all(not told.lost and not told.doubled for told in self.verdicts.values())
        return clean and not self.left_out


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run all drills; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of 36 kills each")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    folder = Path(tempfile.mkdtemp(prefix="viral-faults-"))
    harness = Harness(folder, arguments.seed)
    harness.network()
    harness.disk()
    harness.dagster()
    harness.rounds(arguments.rounds)
    _say(harness.table())
    if not harness.held():
        _say(f"logs: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
