"""Ingests that are killed: whatever the moment, every item is stored once in the end.

Each plan kills a process at a point that is made certain by what holds it there: the stand-in's
answer, or a lock in PostgreSQL. Then deliveries come again, in another order and twice, and what
is stored is compared with an ingest that nothing disturbed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from viral_platform.providers.apify_datasets import ApifyDatasets
from viral_platform.sandbox.stand_ins import Fault, StandIn
from viral_platform.sandbox.stand_ins.apify_runs import SimulatedRun
from viral_platform.services import inbox
from viral_platform.services.ingestion.datasets import DeliveryReport, ingest_delivery
from viral_platform.storage.database import Database
from viral_platform_tests.services.ingestion.stored import StoredRows, stored_rows

STARTED_AT = datetime(2026, 11, 1, 6, tzinfo=UTC)
# Pages begin at 0, 100, 200 and 300.
ITEMS, PAGE, LAST = 310, 100, 3
MERGE_LOCK = 7_271_002
# By it the connections of the process are told from the test's.
APPLICATION = "ingest_to_be_killed"

# Loads once what an ingest needs, and forks one for each line that it reads.
_NURSERY = """
import os, sys
from sqlalchemy import make_url
from viral_platform.providers.apify_datasets import ApifyDatasets
from viral_platform.services.ingestion.datasets import ingest_delivery
from viral_platform.storage.database import Database

for line in sys.stdin:
    url, base_url, inbox_id, page_items = line.split()
    pid = os.fork()
    if not pid:
        reader = ApifyDatasets(token="token", base_url=base_url, page_items=int(page_items))
        try:
            ingest_delivery(Database(make_url(url)), reader, int(inbox_id))
        finally:
            os._exit(0)
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("ended", flush=True)
"""

Clone = Callable[..., AbstractContextManager[Database]]
Row = tuple[Any, ...]


class Nursery:
    """Starts ingests in processes of their own and kills them."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-c", _NURSERY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _line(self) -> str:
        assert self._parent.stdout is not None
        # What an ingest logs goes to stdout, too.
        while (line := self._parent.stdout.readline()) and not line.strip().isalnum():
            pass
        return line.strip()

    @contextmanager
    def killed_at_the_end(self, *arguments: object) -> Iterator[None]:
        assert self._parent.stdin is not None
        self._parent.stdin.write(" ".join(map(str, arguments)) + "\n")
        self._parent.stdin.flush()
        pid = int(self._line())
        try:
            yield
        finally:
            # Fails when the process ended before it could be killed.
            os.kill(pid, signal.SIGKILL)
            assert self._line() == "ended"

    def close(self) -> None:
        self._parent.communicate(timeout=10)


@dataclass
class Scene:
    """A database, a stand-in and one run with several deliveries."""

    database: Database
    stand_in: StandIn
    run: SimulatedRun

    def receive(self, name: str) -> int:
        event = "ACTOR.RUN.SUCCEEDED"
        inbox.receive(
            self.database,
            source=inbox.APIFY,
            delivery_id=name,
            event_type=event,
            body={"eventType": event, "resource": {"id": self.run.id}},
        )
        return int(self.one("select id from app.webhook_inbox where delivery_id = %s", name)[0])

    def one(self, query: str, *values: object) -> Row:
        with self.database.connect() as connection:
            row = connection.execute(query, values).fetchone()
        assert row is not None
        return row

    def stored_up_to(self) -> int:
        return int(self.one("select coalesce(max(next_offset), 0) from app.webhook_inbox")[0])

    def waits(self, lock: str) -> bool:
        """Tell whether the process waits for the turn of its merge, or for a row."""
        query = """
            select count(*) from pg_stat_activity join pg_locks using (pid)
            where application_name = %s and not granted
                and case when locktype = 'advisory' then objid::text else 'row' end = %s
        """
        return bool(self.one(query, APPLICATION, lock)[0])

    def ingest(self, inbox_id: int) -> DeliveryReport:
        reader = ApifyDatasets(token="token", base_url=self.stand_in.base_url, page_items=PAGE)
        try:
            return ingest_delivery(self.database, reader, inbox_id)
        finally:
            reader.close()

    @contextmanager
    def before_item(self, k: int, act: Callable[[], object]) -> Iterator[None]:
        """Do something when the stand-in makes item k, before its page goes out."""
        make = self.run.dataset.item

        def item(number: int) -> dict[str, Any]:
            if number == k:
                act()
            return make(number)

        self.run.dataset.item = item
        try:
            yield
        finally:
            self.run.dataset.item = make
            self.stand_in.heal()

    @contextmanager
    def lock_on_page(self, page: int, statement: str) -> Iterator[None]:
        """Take a lock in PostgreSQL once all pages before this one are stored."""
        with psycopg.connect(self.database.url) as connection:

            def take() -> None:
                _until(lambda: self.stored_up_to() == page * PAGE)
                connection.execute(statement)

            with self.before_item(page * PAGE, take):
                yield
            connection.rollback()


def _until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "the point was never reached"
        time.sleep(0.01)


Reached = Callable[[], None]
Point = Callable[[Scene, int], AbstractContextManager[Reached]]


@contextmanager
def requested(scene: Scene, page: int) -> Iterator[Reached]:
    """All pages before are stored, and the answer with this one never comes."""

    def hang() -> None:
        scene.stand_in.fail("apify", Fault.HANG, operation="items")

    def is_asked() -> bool:
        asked = scene.stand_in.calls("apify", "items")
        is_last = bool(asked) and asked[-1].query["offset"] == str(page * PAGE)
        return is_last and scene.stored_up_to() == page * PAGE

    if page == 0:
        hang()
    with scene.before_item(page * PAGE - 1, hang):
        yield lambda: _until(is_asked)


@contextmanager
def staged(scene: Scene, page: int) -> Iterator[Reached]:
    """The page is decoded and staged, and its merge waits for its turn."""
    with scene.lock_on_page(page, f"select pg_advisory_xact_lock({MERGE_LOCK})"):
        yield lambda: _until(lambda: scene.waits(str(MERGE_LOCK)))


@contextmanager
def merged(scene: Scene, page: int) -> Iterator[Reached]:
    """The page is merged; the cursor cannot move, so nothing of it is committed."""
    with scene.lock_on_page(page, "select 1 from app.webhook_inbox for update"):
        yield lambda: _until(lambda: scene.waits("row"))


@contextmanager
def before_the_mark(scene: Scene, page: int) -> Iterator[Reached]:
    """All pages are stored, and the last look at the run never comes."""
    looks = len(scene.stand_in.calls("apify", "run"))

    def hang() -> None:
        scene.stand_in.fail("apify", Fault.HANG, operation="run")

    with scene.before_item(ITEMS - 1, hang):
        yield lambda: _until(lambda: len(scene.stand_in.calls("apify", "run")) == looks + 2)
        assert scene.stored_up_to() == ITEMS


@contextmanager
def in_the_mark(scene: Scene, page: int) -> Iterator[Reached]:
    """The cost is booked and the mark waits for its row: neither is committed."""
    with psycopg.connect(scene.database.url) as connection:

        def reached() -> None:
            _until(lambda: scene.stored_up_to() == ITEMS)
            connection.execute("select 1 from app.webhook_inbox for update")
            _until(lambda: scene.waits("row"))

        def wait() -> None:
            scene.stand_in.fail("apify", Fault.LATENCY, operation="run", seconds=1.0)

        with scene.before_item(ITEMS - 1, wait):
            yield reached
        connection.rollback()


@pytest.fixture(scope="module")
def running_stand_in() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


def _scene(database: Database, stand_in: StandIn) -> Scene:
    stand_in.reset()
    run = stand_in.dataset(ITEMS, seed=9, dirt=True, started_at=STARTED_AT)
    return Scene(database, stand_in, run)


@pytest.fixture(scope="module")
def undisturbed(
    clone_database: Clone, running_stand_in: StandIn
) -> tuple[StoredRows, dict[str, int]]:
    """What one ingest stores that nothing disturbs, and what it counts."""
    with clone_database() as database:
        scene = _scene(database, running_stand_in)
        report = scene.ingest(scene.receive("only"))
        assert report.received == ITEMS
        assert min(report.quarantined, report.scraper_errors, report.unchanged) > 0
        return stored_rows(database), report.counts()


@pytest.mark.parametrize(
    ("kills", "order"),
    [
        pytest.param([(requested, 0)], ["first", "first", "second"], id="first page requested"),
        pytest.param([(requested, 2)], ["second", "first"], id="between pages"),
        pytest.param([(staged, 0)], ["first", "second", "second"], id="first page staged"),
        pytest.param([(staged, 2)], ["second", "first", "first"], id="later page staged"),
        pytest.param([(merged, 0)], ["second", "second", "first"], id="first page merged"),
        pytest.param([(merged, LAST)], ["first", "second"], id="last page merged"),
        pytest.param([(before_the_mark, LAST)], ["second", "first"], id="before the mark"),
        pytest.param([(in_the_mark, LAST)], ["second", "first", "second"], id="in the mark"),
        pytest.param(
            [(merged, 1), (requested, 2), (staged, 2), (before_the_mark, LAST)],
            ["second", "first", "second"],
            id="four times",
        ),
    ],
)
def test_an_ingest_that_is_killed_stores_every_item_once(
    database: Database,
    running_stand_in: StandIn,
    nursery: Nursery,
    undisturbed: tuple[StoredRows, dict[str, int]],
    kills: list[tuple[Point, int]],
    order: list[str],
) -> None:
    scene = _scene(database, running_stand_in)
    ids = {name: scene.receive(name) for name in ("first", "second")}
    joint = "&" if "?" in database.url else "?"
    url = f"{database.url}{joint}application_name={APPLICATION}"
    for point, page in kills:
        ingest = nursery.killed_at_the_end(url, scene.stand_in.base_url, ids["first"], PAGE)
        with point(scene, page) as reached, ingest:
            reached()

    reports = [scene.ingest(ids[name]) for name in order]

    rows, counts = undisturbed
    assert stored_rows(database) == rows
    counted: Counter[str] = Counter()
    for report in reports:
        counted.update({} if report.is_repeat else report.counts())
    assert {name: counted[name] for name in counts} == counts
    costs = scene.one("select count(*), sum(cost_microdollars) from app.cost_events")
    assert costs == (1, 250_000)
    assert inbox.due(database, 10, datetime.now(UTC) + timedelta(days=1)) == []
