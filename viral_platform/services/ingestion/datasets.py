"""Datasets of actor runs into the database, page by page, for a delivery of the inbox.

A page's rows and the cursor behind them are one transaction, so that an ingest that dies goes on
where it was. How often a delivery is tried is the sensor's and the inbox's.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from viral_platform.engine.errors import GateRefusedError, NotFoundError, ProviderError
from viral_platform.observability.logging import get_logger
from viral_platform.providers.apify_datasets import ApifyDatasets
from viral_platform.providers.apify_wire import PRICE_VERSION, ActorRun
from viral_platform.services.inbox import APIFY, LEASE_SECONDS, pause_seconds, run_id_of
from viral_platform.services.ingestion.field_names import MOST_NAMES
from viral_platform.services.ingestion.pages import JudgedPage, PageJudge
from viral_platform.services.ingestion.storing import COUNTS, Counts, arriving
from viral_platform.storage import competitors, copies, inbox, quarantine, videos
from viral_platform.storage.database import Database
from viral_platform.storage.inbox import Delivery
from viral_platform.storage.quarantine import ImportFile
from viral_platform.storage.videos import Totals

log = get_logger(__name__)

Clock = Callable[[], datetime]

SUCCEEDED = "SUCCEEDED"
# Why nothing, or no more, can be read. Such a delivery is not tried again.
RUN_NOT_FOUND, DATASET_EXPIRED, DATASET_EMPTIED = (
    "run_not_found",
    "dataset_expired",
    "dataset_emptied",
)
_UNKNOWN_STATUS = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport(Counts):
    """What became of the items that a delivery brought, over all its attempts.

    Several deliveries of one dataset share it: each counts the pages that it stored. A copy of a
    video in a later page of its crawl is `unchanged`, or `updated` when it has more views.
    `cost_microdollars` is what the whole run has cost, None when that was not told.
    """

    inbox_id: int
    run_id: str
    dataset_id: str | None
    run_status: str
    problem: str | None
    is_repeat: bool = False
    quarantined_by_reason: dict[str, int] = field(default_factory=dict)
    pages: int = 0
    bytes: int = 0
    seconds: float = 0.0
    cost_microdollars: int | None = None
    competitor_snapshots: int = 0
    fields_sampled: int = 0
    fields: dict[str, int] = field(default_factory=dict)

    @property
    def items_per_second(self) -> float:
        """Items by second of the attempts that stored pages."""
        return self.received / self.seconds if self.seconds else 0.0

    @property
    def is_complete(self) -> bool:
        """Whether the run succeeded and all its items were read."""
        return self.run_status == SUCCEEDED and self.problem is None


def ingest_delivery(
    database: Database,
    apify: ApifyDatasets,
    inbox_id: int,
    *,
    now: Clock = lambda: datetime.now(UTC),
) -> DeliveryReport:
    """Store the items of the run that a delivery is about, from where reading stopped on.

    A run that failed, was aborted or timed out brings what it has gathered. A delivery that is
    processed changes nothing. When the run or its dataset is gone, the delivery ends with that
    problem.

    Raises
    ------
    NotFoundError
        There is no such delivery of Apify.
    ProviderError
        Apify did not answer, or gave no page; the delivery is tried again later.
    GateRefusedError
        Real and simulated videos would be mixed, or another process reads the dataset.
    DatabaseUnavailableError
        The connection broke. Stored pages stay stored.
    """
    delivery = inbox.get(database, inbox_id)
    if delivery.source != APIFY:
        raise NotFoundError(f"Delivery {inbox_id} is of {delivery.source}, not of {APIFY}.")
    if delivery.processed_at is not None:
        return replace(report_of(delivery), is_repeat=True)
    try:
        report = _ingest(database, apify, delivery, now)
    except (ProviderError, GateRefusedError) as error:
        pause = timedelta(seconds=pause_seconds(delivery.attempt))
        inbox.postpone(database, inbox_id, problem=str(error), until=now() + pause)
        raise
    log.info(
        "delivery_ingested",
        delivery_id=delivery.delivery_id,
        dataset_id=report.dataset_id,
        run_status=report.run_status,
        problem=report.problem,
        pages=report.pages,
        seconds=report.seconds,
        **report.counts(),
    )
    return report


def report_of(delivery: Delivery) -> DeliveryReport:
    """Return what a delivery's row tells of it."""
    return DeliveryReport(
        inbox_id=delivery.id,
        run_id=run_id_of(delivery.body) or "",
        dataset_id=delivery.dataset_id,
        run_status=delivery.run_status or _UNKNOWN_STATUS,
        problem=delivery.problem,
        **(delivery.report or {}),
    )


def newest_report(database: Database) -> DeliveryReport | None:
    """Return the report of the delivery that was processed last, None without one."""
    delivery = inbox.newest_processed(database, source=APIFY)
    return None if delivery is None else report_of(delivery)


def stored_totals(database: Database) -> Totals:
    """Return how many videos and snapshots are stored."""
    with database.connect() as connection:
        return videos.totals(connection)


def _ingest(
    database: Database, apify: ApifyDatasets, delivery: Delivery, now: Clock
) -> DeliveryReport:
    run_id = run_id_of(delivery.body) or ""
    try:
        run = apify.run(run_id)
    except ProviderError as error:
        if error.reason != "not_found":
            raise
        with database.connect() as connection:
            inbox.finish(
                connection,
                delivery.id,
                run_status=_UNKNOWN_STATUS,
                problem=RUN_NOT_FOUND,
                report=delivery.report or {},
                now=now(),
            )
    else:
        with inbox.alone(database, run.dataset_id) as connection:
            _Ingest(connection, apify, delivery, run, now).to_the_end()
    return report_of(inbox.get(database, delivery.id))


class _Ingest:
    """One attempt on a dataset, under its lock."""

    def __init__(
        self,
        connection: psycopg.Connection,
        apify: ApifyDatasets,
        delivery: Delivery,
        run: ActorRun,
        now: Clock,
    ) -> None:
        self._connection = connection
        self._apify = apify
        self._delivery = delivery
        self._run = run
        self._now = now
        self._name = f"Apify dataset {run.dataset_id}"
        self._started = time.perf_counter()
        self._tally = _Tally()

    def to_the_end(self) -> None:
        """Store all pages behind the cursor and mark the delivery, unless it is marked."""
        started_at = self._run.started_at or self._delivery.received_at
        # Runs that are found again have the crawl time of their first receipt.
        dataset = ImportFile(_key(self._run.dataset_id), self._name, "apify", started_at)
        first = quarantine.remember_file(self._connection, dataset, received_at=self._now())
        dataset = replace(dataset, crawled_at=first.crawled_at)
        progress = inbox.begin(self._connection, self._delivery.id, self._run.dataset_id)
        self._connection.commit()
        if progress is None:
            return
        self._tally = _Tally.of(progress.report)
        problem = None
        try:
            with closing(self._pages(progress.next_offset, dataset.crawled_at)) as pages:
                for page in pages:
                    if page.was_emptied:
                        problem = DATASET_EMPTIED
                    else:
                        self._store(page, dataset)
        except ProviderError as error:
            if error.reason != "not_found":
                raise
            problem = DATASET_EXPIRED
        self._finish(dataset, problem)

    def _pages(self, offset: int, crawled_at: datetime) -> Generator[JudgedPage, None, None]:
        """Yield judged pages up to the end; the next one is read while one is stored."""
        with closing(PageJudge(crawled_at)) as judge, ThreadPoolExecutor(1) as reader:

            def read(offset: int) -> JudgedPage:
                return judge.judged(self._apify.page(self._run.dataset_id, offset), self._now())

            waiting = reader.submit(read, offset)
            while not (page := waiting.result()).is_end:
                waiting = reader.submit(read, page.read.next_offset)
                yield page
        if page.was_emptied:
            yield page

    def _store(self, page: JudgedPage, dataset: ImportFile) -> None:
        """Store a page and move the cursor behind it."""
        with arriving() as arrivals:
            arrivals.stage(self._connection, [page.batch])
            file = replace(dataset, source=page.source)
            counts = arrivals.store(self._connection, file, self._name)
            if counts.unchanged:
                raised = copies.raise_counts(self._connection)
                counts = replace(
                    counts, updated=counts.updated + raised, unchanged=counts.unchanged - raised
                )
            self._tally.add(page, counts, arrivals.reasons)
        self._tally.seconds += self._lap()
        inbox.advance(
            self._connection,
            self._delivery.id,
            page.read.next_offset,
            asdict(self._tally),
            lease_until=self._now() + timedelta(seconds=LEASE_SECONDS),
        )
        self._connection.commit()
        log.debug(
            "dataset_page_stored",
            dataset_id=self._run.dataset_id,
            next_offset=page.read.next_offset,
            total=page.read.total,
        )

    def _finish(self, dataset: ImportFile, problem: str | None) -> None:
        run = self._at_last()
        self._tally.seconds += self._lap()
        self._tally.cost_microdollars = run.microdollars
        if run.microdollars is not None:
            inbox.book_run(
                self._connection,
                run.id,
                actor=run.actor_id or "unknown",
                microdollars=run.microdollars,
                started_at=dataset.crawled_at,
                price_version=PRICE_VERSION,
            )
        self._tally.competitor_snapshots = competitors.snapshot(
            self._connection, run.id, dataset.crawled_at
        )
        counts = {name: getattr(self._tally, name) for name in COUNTS}
        quarantine.store_counts(self._connection, dataset.sha256, counts)
        inbox.finish(
            self._connection,
            self._delivery.id,
            run_status=run.status,
            problem=problem,
            report=asdict(self._tally),
            now=self._now(),
        )
        self._connection.commit()

    def _at_last(self) -> ActorRun:
        """Return the run once more: what it has cost may grow when it has ended."""
        try:
            return self._apify.run(self._run.id)
        except ProviderError as error:
            log.warning("run_cost_not_confirmed", run_id=self._run.id, problem=str(error))
            return self._run

    def _lap(self) -> float:
        """Return the seconds since the last lap."""
        before, self._started = self._started, time.perf_counter()
        return round(self._started - before, 3)


@dataclass(slots=True, kw_only=True)
class _Tally:
    """What a delivery has counted so far, as it is kept beside the cursor."""

    received: int = 0
    new: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicates: int = 0
    quarantined: int = 0
    scraper_errors: int = 0
    quarantined_by_reason: dict[str, int] = field(default_factory=dict)
    pages: int = 0
    bytes: int = 0
    seconds: float = 0.0
    cost_microdollars: int | None = None
    competitor_snapshots: int = 0
    fields_sampled: int = 0
    fields: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def of(report: dict[str, Any] | None) -> _Tally:
        return _Tally(**(report or {}))

    def add(self, page: JudgedPage, counts: Counts, reasons: Counter[str]) -> None:
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(counts, name))
        added = Counter(self.quarantined_by_reason) + reasons
        self.quarantined_by_reason = dict(added.most_common())
        self.fields_sampled += page.fields.sampled
        names = Counter(self.fields) + page.fields.counts
        self.fields = dict(names.most_common(MOST_NAMES))
        self.pages += 1
        self.bytes += page.read.body_bytes


def _key(dataset_id: str) -> str:
    """Return the key of a dataset among imported files, which are known by a SHA-256."""
    return hashlib.sha256(f"apify/datasets/{dataset_id}".encode()).hexdigest()
