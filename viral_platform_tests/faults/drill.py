"""One drill: deliveries of some actor runs, killed on their way, against a serial oracle.

The harness is Apify (it sends a delivery until it is acknowledged, and again afterwards, in any
order) and the passing of time (a lease of a dead ingest has expired when the next one begins).
"""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import psycopg
from sqlalchemy import make_url

from viral_platform.cli import ports
from viral_platform.providers.apify_datasets import ApifyDatasets
from viral_platform.sandbox.stand_ins import StandIn
from viral_platform.sandbox.stand_ins.apify_runs import SimulatedRun
from viral_platform.sandbox.stand_ins.apify_webhooks import Dispatch
from viral_platform.services import inbox
from viral_platform.services.ingestion.datasets import ingest_delivery
from viral_platform.storage import schema
from viral_platform.storage.database import Database
from viral_platform.storage.inbox import Delivery
from viral_platform_tests.faults.programs import (
    SECRET,
    Nursery,
    Postgres,
    is_alive,
    kill,
    wait_until,
)
from viral_platform_tests.faults.seams import API_POINTS, PAGE_POINTS, Trap
from viral_platform_tests.services.ingestion.stored import stored_rows

FIRST_CRAWL = datetime(2026, 11, 1, 6, tzinfo=UTC)
# The clock of an ingest, in hours before ours.
CLOCKS = (0.0, 0.0, 24.0, -24.0)
API, INGEST, POSTGRES = "API", "ingest", "PostgreSQL"


@dataclass(frozen=True)
class Kill:
    """Who is killed, how, when which point is reached."""

    point: str
    victim: str
    how: signal.Signals


@dataclass(frozen=True)
class Stored:
    """What deliveries have left behind, row for row, and in sums over the deliveries."""

    rows: Counter[tuple[Any, ...]]
    counts: dict[str, int]

    @staticmethod
    def of(database: Database) -> Stored:
        tables = stored_rows(database)
        rows: Counter[tuple[Any, ...]] = Counter()
        for name in ("videos", "snapshots", "creators", "quarantine"):
            rows.update((name, *map(str, row)) for row in getattr(tables, name))
        with database.connect() as connection:
            costs = connection.execute("select request_id, cost_microdollars from app.cost_events")
            rows.update(("costs", *map(str, row)) for row in costs)
            reports = connection.execute(
                "select report from app.webhook_inbox where report is not null"
            ).fetchall()
        counted: Counter[str] = Counter()
        for (report,) in reports:
            changed = report["updated"] + report["unchanged"] + report["duplicates"]
            counted.update({name: report[name] for name in ("received", "new", "quarantined")})
            counted.update({"scraper_errors": report["scraper_errors"], "known": changed})
        return Stored(rows, dict(counted))


@dataclass(frozen=True)
class Verdict:
    """What is missing of the oracle's rows and deliveries, and what is there too often."""

    lost: int
    doubled: int
    examples: list[str]


@dataclass
class Drill:
    """Deliveries on their way, in a database of their own.

    Attributes
    ----------
    items, page_items : int
        How long the dataset of each run is, and a page of it. All runs see the same videos, each
        six hours and some views later than the one before.
    runs, ends : int
        How many runs there are, and how often each ends: a run that is resurrected ends again.
    kills : list of Kill
        Those that have struck.
    refused : int
        Deliveries that were answered, but not acknowledged.
    """

    server: Postgres
    nursery: Nursery
    trap: Trap
    stand_in: StandIn
    draw: random.Random
    items: int
    page_items: int
    runs: int = 2
    ends: int = 3
    kills: list[Kill] = field(default_factory=list)
    refused: int = 0

    def __post_init__(self) -> None:
        self.stand_in.reset()
        runs = [self._run(number) for number in range(self.runs)]
        self.dispatches = [
            self._dispatch(run, f"end-{number}") for run in runs for number in range(self.ends)
        ]
        # One event is recorded alone.
        self.dispatches.append(self._dispatch(runs[0], "resurrected", "ACTOR.RUN.RESURRECTED"))
        self.acknowledged: Counter[str] = Counter()
        self.database = self._fresh_database("drill")
        self.port = ports.free_port()
        self._api: int | None = None

    # --- the oracle

    def undisturbed(self) -> Stored:
        """Return what one serial pass over the deliveries stores."""
        database = self._fresh_database("oracle")
        for sent in self.dispatches:
            delivery = inbox.parse_apify_delivery(sent.headers, sent.body)
            inbox.receive(
                database,
                source=inbox.APIFY,
                delivery_id=delivery.delivery_id,
                event_type=delivery.event_type,
                body=delivery.body,
            )
        reader = ApifyDatasets(token="token", base_url=self.stand_in.base_url)
        while waiting := inbox.due(database, 1, datetime.now(UTC)):
            ingest_delivery(database, reader, waiting[0].id)
        reader.close()
        stored = Stored.of(database)
        database.close()
        return stored

    def judged(self, oracle: Stored) -> Verdict:
        """Compare what is stored with the oracle, and the inbox with what was acknowledged."""
        stored = Stored.of(self.database)
        missing, extra = oracle.rows - stored.rows, stored.rows - oracle.rows
        with self.database.connect() as connection:
            inboxed = connection.execute(
                "select delivery_id, processed_at is not null from app.webhook_inbox"
            ).fetchall()
        done = Counter(name for name, is_processed in inboxed if is_processed)
        lost = [name for name in self.acknowledged if not done[name]]
        counted = [
            f"{name}: {stored.counts.get(name)} instead of {number}"
            for name, number in oracle.counts.items()
            if stored.counts.get(name) != number
        ]
        examples = [str(row)[:200] for row in [*missing][:3] + [*extra][:3]] + lost + counted
        return Verdict(
            lost=missing.total() + len(lost) + len(counted),
            doubled=extra.total() + max(0, len(inboxed) - len(self.dispatches)),
            examples=examples,
        )

    # --- what happens

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep the API running."""
        self._ensure_api()
        try:
            yield
        finally:
            if self._api is not None:
                kill(self._api, signal.SIGKILL)
            self.database.close()

    def strike(self, wanted: Kill) -> bool:
        """Bring about one kill and restart what died; False when its point was not reached."""
        at_api = wanted.point in API_POINTS
        struck = self._strike_api(wanted) if at_api else self._strike_ingest(wanted)
        self.server.start()
        self._ensure_api()
        if struck:
            self.kills.append(wanted)
        return struck

    def send(self, sent: Dispatch) -> bool:
        """Send a delivery once; return whether it was acknowledged."""
        url = f"http://{ports.HOST}:{self.port}/v1/webhooks/apify"
        try:
            answer = httpx.post(
                url, headers=sent.headers, content=sent.body, timeout=30, trust_env=False
            )
        except httpx.HTTPError:
            return False
        if answer.status_code == 202:
            self.acknowledged[sent.headers["x-apify-webhook-dispatch-id"]] += 1
            return True
        self.refused += 1
        return False

    def send_all(self) -> None:
        """Send every delivery until it is acknowledged, and some once more, in any order."""
        again = self.draw.sample(self.dispatches, 2)
        waiting = self.draw.sample([*self.dispatches, *again], len(self.dispatches) + 2)
        while waiting:
            waiting = [sent for sent in waiting if not self.send(sent)]

    def ingest(self, *, at_once: int = 1) -> list[int]:
        """Begin the ingest of deliveries whose turn it is; return the processes."""
        return [self._begin(delivery) for delivery in self._due(at_once)]

    def ingest_once(self) -> None:
        """Ingest one delivery that waits, and wait for the end of the attempt."""
        for pid in self.ingest():
            wait_until(partial(_has_ended, pid), "an ingest has ended")

    def drain(self) -> None:
        """Ingest until no delivery waits."""
        while self.expire_leases():
            self.ingest_once()

    def expire_leases(self) -> int:
        """Let the time of all leases be over; return how many deliveries are not processed."""
        with self.database.connect() as connection:
            # Who holds a row works on it.
            connection.execute(
                """
                update app.webhook_inbox set lease_until = null
                where id in (
                    select id from app.webhook_inbox where processed_at is null
                    for update skip locked
                )
                """
            )
            row = connection.execute(
                "select count(*) from app.webhook_inbox where processed_at is null"
            ).fetchone()
        assert row is not None
        return int(row[0])

    # --- parts of them

    def _strike_api(self, wanted: Kill) -> bool:
        sent = self.draw.choice(self.dispatches)
        self.trap.order(wanted.point)
        with ThreadPoolExecutor(1) as sender:
            sending = sender.submit(self.send, sent)
            pid = self.trap.wait(sending.done)
            if pid is not None:
                self._kill(wanted, pid)
        return pid is not None

    def _strike_ingest(self, wanted: Kill) -> bool:
        self.trap.order(wanted.point, self.draw.randint(1, 2) if wanted.point in PAGE_POINTS else 1)
        # Now and then two deliveries are ingested at the same time.
        pids = self.ingest(at_once=self.draw.choice((1, 1, 1, 2)))
        pid = self.trap.wait(lambda: not any(map(is_alive, pids)))
        if pid is not None:
            self._kill(wanted, pid)
        for each in pids:
            # One that survived the death of the server has failed, or goes on.
            if each != pid:
                kill(each, signal.SIGKILL)
            wait_until(partial(_has_ended, each), "an ingest has ended")
        return pid is not None

    def _kill(self, wanted: Kill, pid: int) -> None:
        if wanted.victim == POSTGRES:
            self.server.kill(wanted.how, then=self.trap.release)
            return
        kill(pid, wanted.how)
        if wanted.how is signal.SIGKILL:
            wait_until(partial(_has_ended, pid), f"{wanted.victim} is dead")
        self.trap.release()
        wait_until(partial(_has_ended, pid), f"{wanted.victim} has ended")

    def _ensure_api(self) -> None:
        if self._api is None or not is_alive(self._api):
            self._api = self.nursery.api(self.database.url, self.server.home, self.port)

    def _due(self, limit: int) -> list[Delivery]:
        """Return deliveries whose turn it is, in an order of chance; leases have expired."""
        self.expire_leases()
        waiting = inbox.due(self.database, 10, datetime.now(UTC))
        return self.draw.sample(waiting, min(limit, len(waiting)))

    def _begin(self, delivery: Delivery) -> int:
        hours = self.draw.choice(CLOCKS)
        inbox.take(self.database, delivery.id, now=datetime.now(UTC))
        return self.nursery.ingest(
            self.database.url, self.stand_in.base_url, delivery.id, self.page_items, hours=hours
        )

    def _run(self, number: int) -> SimulatedRun:
        at = FIRST_CRAWL + timedelta(hours=6 * number)
        run = self.stand_in.dataset(self.items, seed=9, dirt=True, started_at=at)
        make = run.dataset.item
        run.dataset.item = lambda k: _grown(make(k), number)
        return run

    def _dispatch(self, run: SimulatedRun, name: str, event_type: str | None = None) -> Dispatch:
        sent = self.stand_in.apify.dispatch(run.id, event_type=event_type)
        headers = {
            **sent.headers,
            "x-webhook-secret": SECRET,
            "x-apify-webhook-dispatch-id": f"{run.id}-{name}",
        }
        return replace(sent, headers=headers)

    def _fresh_database(self, purpose: str) -> Database:
        name = f"{purpose}_{self.draw.getrandbits(48):x}"
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            connection.execute(f"create database {name}")
        database = Database(make_url(self.server.url).set(database=name))
        schema.migrate(database)
        return database


def _has_ended(pid: int) -> bool:
    return not is_alive(pid)


def _grown(item: dict[str, Any], crawls: int) -> dict[str, Any]:
    """Return the item as so many crawls later see it; what is no video stays as it is."""
    if not isinstance(item.get("playCount"), int):
        return item
    more = {"playCount": item["playCount"] + 100 * crawls, "diggCount": item["diggCount"] + crawls}
    return {**item, **more}
