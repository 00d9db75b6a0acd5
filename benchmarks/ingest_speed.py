"""Speed and memory of an ingest over HTTP, beside the database's own part of the same work.

A dataset of 100,000 simulated items, served in pages by the stand-in for Apify in a process of its
own, goes from its row in the webhook inbox to videos and snapshots. Baseline: the rows of the same
items, prepared as COPY text, staged and merged in one transaction, in the same run. Rounds
alternate; the ratio is that of the medians. Peak memory is that of a process of its own and
the second process that it starts.
Prints one JSON document. `--large` adds 1,000,000 items.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import structlog
from sqlalchemy import make_url

from viral_platform.providers.apify_datasets import ApifyDatasets
from viral_platform.sandbox.stand_ins import Received, StandIn
from viral_platform.sandbox.stand_ins.exchange import Answer
from viral_platform.services import inbox
from viral_platform.services.ingestion.datasets import ingest_delivery
from viral_platform.services.ingestion.pipeline import ItemParser
from viral_platform.storage import embedded, schema, videos
from viral_platform.storage.database import Database

ITEMS, LARGE = 100_000, 1_000_000
ROUNDS = 3
RATIO_BAR = 0.4
PEAK_BAR_MB = 512
CRAWLED_AT = datetime(2026, 11, 1, tzinfo=UTC)


@contextmanager
def stand_in(n_items: int) -> Iterator[dict[str, str]]:
    """Yield address, run and dataset of a stand-in in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(n_items)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.communicate()


def serve(n_items: int) -> None:
    """Serve a dataset until stdin ends."""
    with StandIn() as serving:
        run = serving.dataset(n_items, dirt=True, started_at=CRAWLED_AT)
        make, answer = run.dataset.item, serving.apify.answer
        answers: dict[str, Answer] = {}

        def remembered(request: Received, parts: dict[str, str]) -> Answer:
            """Render each page once: another machine does it in service."""
            key = f"{request.path} {request.query}"
            if key not in answers:
                answers[key] = answer(request, parts)
            return answers[key]

        serving.apify.answer = remembered
        # As real ones: whether those of the other kind are stored, an index then answers at once.
        run.dataset.item = lambda k: {**make(k), "simulated": False}
        served = {"base_url": serving.base_url, "run_id": run.id, "dataset_id": run.dataset_id}
        sys.stdout.write(json.dumps(served) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


def open_reader(served: dict[str, str]) -> ApifyDatasets:
    """Return a reader of the stand-in, which takes any token."""
    return ApifyDatasets(token="benchmark", base_url=served["base_url"])  # noqa: S106


def fresh_database(server_url: str) -> Database:
    """Return a migrated, empty database of its own."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    database = Database(make_url(server_url).set(database=name))
    schema.migrate(database)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute("checkpoint")
    return database


def prepared_blocks(served: dict[str, str]) -> list[bytes]:
    """Return the rows of the dataset as COPY text."""
    parser = ItemParser("clockworks", default_crawled_at=CRAWLED_AT)
    reader = open_reader(served)
    blocks, offset = [], 0
    while (page := reader.page(served["dataset_id"], offset)).items:
        batch = parser.batch(list(page.items), offset + 1, datetime.now(UTC))
        blocks.append(videos.copy_block(batch.columns))
        offset = page.next_offset
    reader.close()
    return blocks


def ingest(database: Database, served: dict[str, str]) -> None:
    """Receive a delivery and ingest it."""
    run_id = served["run_id"]
    event = "ACTOR.RUN.SUCCEEDED"
    body = {"eventType": event, "resource": {"id": run_id}}
    inbox.receive(database, source=inbox.APIFY, delivery_id="one", event_type=event, body=body)
    (delivery,) = inbox.due(database, 1, datetime.now(UTC))
    reader = open_reader(served)
    report = ingest_delivery(database, reader, delivery.id)
    reader.close()
    assert report.is_complete
    assert report.received > 0


def seconds(work: Callable[[Database], object], server_url: str) -> float:
    """Return how long the work takes on a database of its own."""
    database = fresh_database(server_url)
    started = time.perf_counter()
    work(database)
    taken = time.perf_counter() - started
    database.close()
    return taken


def peak_mb(served: dict[str, str], server_url: str) -> float:
    """Return the peak memory of a process that ingests the dataset."""
    database = fresh_database(server_url)
    arguments = [sys.executable, __file__, "--child", json.dumps(served), database.url]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    return round(float(done.stdout), 1)


def child(served: dict[str, str], url: str) -> None:
    """Ingest and print the peak memory of this process and its second one, in MB."""
    ingest(Database(make_url(url)), served)
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    sys.stdout.write(f"{sum(resource.getrusage(one).ru_maxrss for one in both) / 1024}\n")


def measure(home: Path, *, large: bool) -> dict[str, object]:
    """Measure on a server under `home`."""
    url = embedded.start_server(home)
    with stand_in(ITEMS) as served:
        blocks = prepared_blocks(served)

        def stage_and_merge(database: Database) -> None:
            with database.connect() as connection:
                videos.stage(connection, blocks)
                videos.merge(connection, "The benchmark")

        def whole_ingest(database: Database) -> None:
            ingest(database, served)

        rounds = [
            (seconds(stage_and_merge, url), seconds(whole_ingest, url)) for _ in range(ROUNDS)
        ]
        peaks = {str(ITEMS): peak_mb(served, url)}
    if large:
        with stand_in(LARGE) as served:
            peaks[str(LARGE)] = peak_mb(served, url)
    database_seconds, ingest_seconds = (
        statistics.median(side) for side in zip(*rounds, strict=True)
    )
    ratio = database_seconds / ingest_seconds
    return {
        "items": ITEMS,
        "items_per_second": round(ITEMS / ingest_seconds),
        "database_alone_items_per_second": round(ITEMS / database_seconds),
        "ratio": round(ratio, 3),
        "rounds": [[round(side, 2) for side in one] for one in rounds],
        "peak_mb": peaks,
        "bars": {
            "ratio": RATIO_BAR,
            "peak_mb": PEAK_BAR_MB,
            "met": ratio >= RATIO_BAR and max(peaks.values()) < PEAK_BAR_MB,
        },
    }


def main() -> None:
    """Measure on an installation of its own and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--child", nargs=2, metavar=("SERVED", "URL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if arguments.serve:
        serve(arguments.serve)
        return
    if arguments.child:
        child(json.loads(arguments.child[0]), arguments.child[1])
        return
    home = Path(tempfile.mkdtemp(prefix="viral-bench-"))
    try:
        sys.stdout.write(json.dumps(measure(home, large=arguments.large), indent=2) + "\n")
    finally:
        embedded.stop_server(home)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
