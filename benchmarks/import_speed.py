"""Speed and memory of the import, beside the database's own part of the same work.

The real export is repeated under new ids and handles up to 200,000 items. Baseline: the rows of
the same file, prepared as COPY text, staged and merged in one transaction, in the same run.
Rounds alternate; the ratio is that of the medians. Peak memory is that of a process of its own and
the second process that it starts.
Prints one JSON document. `--large` adds 1,000,000 items, `--gzip` compresses the file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg
import structlog
from sqlalchemy import make_url

from viral_platform.services.ingestion import ImportOptions, import_file
from viral_platform.services.ingestion.pipeline import ItemParser, batches
from viral_platform.services.ingestion.readers import open_export
from viral_platform.settings import PROJECT_ROOT
from viral_platform.storage import embedded, schema, videos
from viral_platform.storage.database import Database

SOURCE = PROJECT_ROOT.parent / "shared" / "data" / "apify_tiktok_vn_hotels_full.jsonl.gz"
ITEMS, LARGE = 200_000, 1_000_000
ROUNDS = 3
RATIO_BAR = 0.6
PEAK_BAR_MB = 400
CRAWLED_AT = datetime(2025, 6, 1, tzinfo=UTC)


def write_export(path: Path, n_items: int) -> None:
    """Repeat the real items, each round with ids and handles of its own."""
    with gzip.open(SOURCE) as file:
        items = [json.loads(line) for line in file]
    with gzip.open(path, "wb", compresslevel=6) if path.suffix == ".gz" else path.open("wb") as out:
        for number in range(n_items):
            copy, index = divmod(number, len(items))
            item = dict(items[index])
            low = zlib.crc32(f"{item['id']} {copy}".encode())
            item["id"] = str(int(item["id"]) >> 32 << 32 | low)
            item["authorMeta"] = {
                **item["authorMeta"],
                "name": f"{item['authorMeta']['name']}.{copy}",
            }
            out.write(json.dumps(item, ensure_ascii=False).encode() + b"\n")


def prepared_blocks(path: Path) -> list[bytes]:
    """Return the file's rows as COPY text."""
    parser = ItemParser("clockworks", default_crawled_at=CRAWLED_AT)
    with open_export(path) as export:
        return [
            videos.copy_block(batch.columns)
            for batch in batches(export.items(), parser, datetime.now(UTC))
        ]


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


def seconds(work: Callable[[Database], object], server_url: str) -> float:
    """Return how long the work takes on a database of its own."""
    database = fresh_database(server_url)
    started = time.perf_counter()
    work(database)
    return time.perf_counter() - started


def peak_mb(path: Path, server_url: str) -> float:
    """Return the peak memory of a process that imports the file."""
    arguments = [sys.executable, __file__, "--child", str(path), fresh_database(server_url).url]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    return round(float(done.stdout), 1)


def child(path: Path, url: str) -> None:
    """Import a file and print the peak memory of this process and its second one, in MB."""
    peaks: dict[int, float] = {}

    def look(_: int) -> None:
        for process in (psutil.Process(), *psutil.Process().children()):
            peaks[process.pid] = max(peaks.get(process.pid, 0.0), _resident_mb(process))

    options = ImportOptions(scraped_at=CRAWLED_AT)
    import_file(Database(make_url(url)), path, options, on_progress=look)
    look(0)
    sys.stdout.write(f"{sum(peaks.values())}\n")


def _resident_mb(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / 2**20
    except psutil.NoSuchProcess:
        return 0.0


def measure(home: Path, *, large: bool, suffix: str) -> dict[str, object]:
    """Measure on a server under `home`."""
    path = home / f"items{suffix}"
    write_export(path, ITEMS)
    url = embedded.start_server(home)
    blocks = prepared_blocks(path)

    def stage_and_merge(database: Database) -> None:
        with database.connect() as connection:
            videos.stage(connection, blocks)
            videos.merge(connection, "The benchmark")

    def whole_import(database: Database) -> None:
        import_file(database, path, ImportOptions(scraped_at=CRAWLED_AT))

    rounds = [(seconds(stage_and_merge, url), seconds(whole_import, url)) for _ in range(ROUNDS)]
    database_seconds, import_seconds = (
        statistics.median(side) for side in zip(*rounds, strict=True)
    )
    peaks = {str(ITEMS): peak_mb(path, url)}
    if large:
        path.unlink()
        write_export(path, LARGE)
        peaks[str(LARGE)] = peak_mb(path, url)
    ratio = database_seconds / import_seconds
    return {
        "file": path.name,
        "items": ITEMS,
        "items_per_second": round(ITEMS / import_seconds),
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
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--child", nargs=2, metavar=("FILE", "URL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if arguments.child:
        child(Path(arguments.child[0]), arguments.child[1])
        return
    if not SOURCE.exists():
        sys.stdout.write(json.dumps({"skipped": f"{SOURCE.name} is not beside this checkout"}))
        return
    home = Path(tempfile.mkdtemp(prefix="viral-bench-"))
    try:
        suffix = ".jsonl.gz" if arguments.gzip else ".jsonl"
        result = measure(home, large=arguments.large, suffix=suffix)
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    finally:
        embedded.stop_server(home)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
