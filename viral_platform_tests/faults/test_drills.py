"""Deliveries survive the death of whoever works on them: the short form of `make faults`."""

from __future__ import annotations

import random
import signal
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from viral_platform.sandbox.stand_ins import StandIn
from viral_platform_tests.faults.drill import API, INGEST, POSTGRES, Drill, Kill, Stored
from viral_platform_tests.faults.programs import Nursery, postgres
from viral_platform_tests.faults.seams import (
    COMMITTED,
    CURSOR_MOVED,
    DECODED,
    MARK_COMMITTED,
    MARKED,
    PAGE_COMMITTED,
    RECEIVED,
    STAGED,
    UPSERTED,
    Trap,
)
from viral_platform_tests.faults.surroundings import disturb_network

KILLED, TERMINATED = signal.SIGKILL, signal.SIGTERM
EARLY = [
    Kill(RECEIVED, API, KILLED),
    Kill(COMMITTED, API, KILLED),
    Kill(DECODED, INGEST, KILLED),
    Kill(STAGED, INGEST, TERMINATED),
    Kill(COMMITTED, POSTGRES, KILLED),
    Kill(RECEIVED, API, TERMINATED),
    Kill(UPSERTED, INGEST, KILLED),
    Kill(CURSOR_MOVED, INGEST, KILLED),
    Kill(PAGE_COMMITTED, INGEST, KILLED),
    Kill(UPSERTED, POSTGRES, TERMINATED),
]
LATE = [
    Kill(MARKED, INGEST, KILLED),
    Kill(MARKED, INGEST, TERMINATED),
    Kill(MARK_COMMITTED, INGEST, KILLED),
    Kill(MARK_COMMITTED, POSTGRES, KILLED),
]


@pytest.fixture(scope="module")
def new_drill() -> Iterator[Callable[[], Drill]]:
    """Maker of drills on one server."""
    # Below a folder that the server's user may enter, which pytest's own is not.
    with tempfile.TemporaryDirectory(prefix="viral-test-") as name:
        folder = Path(name)
        with postgres(folder / "home") as server, StandIn() as stand_in:
            nursery = Nursery(folder, folder / "log")
            yield partial(
                Drill,
                *(server, nursery, Trap(folder), stand_in, random.Random(1)),
                items=310,
                page_items=10,
            )
            nursery.close()


@pytest.fixture
def drill(new_drill: Callable[[], Drill]) -> Iterator[Drill]:
    drill = new_drill()
    with drill.running():
        yield drill


@pytest.fixture
def oracle(drill: Drill) -> Stored:
    """What a serial pass stores."""
    return drill.undisturbed()


@pytest.mark.slow
def test_every_acknowledged_delivery_is_applied_once_whoever_is_killed(
    drill: Drill, oracle: Stored
) -> None:
    drill.send(drill.dispatches[0])
    missed = [wanted for wanted in EARLY if not drill.strike(wanted)]
    drill.send_all()
    missed += [wanted for wanted in LATE if not drill.strike(wanted)]
    drill.send_all()
    drill.drain()
    verdict = drill.judged(oracle)
    assert not missed
    assert (verdict.lost, verdict.doubled) == (0, 0), verdict.examples


@pytest.mark.slow
def test_a_network_that_fails_delays_deliveries_and_loses_none(
    drill: Drill, oracle: Stored
) -> None:
    disturb_network(drill)
    verdict = drill.judged(oracle)
    assert (verdict.lost, verdict.doubled) == (0, 0), verdict.examples


@pytest.mark.slow
def test_what_is_lost_or_doubled_is_seen(drill: Drill, oracle: Stored) -> None:
    drill.send_all()
    drill.drain()
    assert drill.judged(oracle).lost == 0
    with drill.database.connect() as connection:
        connection.execute(
            """
            delete from app.video_snapshots
            where video_id = (select max(video_id) from app.video_snapshots)
                and crawled_at = (select min(crawled_at) from app.video_snapshots)
            """
        )
        connection.execute(
            """
            update app.scraped_videos set views = views + 1
            where id = (select min(id) from app.scraped_videos)
            """
        )
    verdict = drill.judged(oracle)
    assert (verdict.lost, verdict.doubled) == (2, 1)
