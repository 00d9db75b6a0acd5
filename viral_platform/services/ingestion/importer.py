"""Files into the database: each file is one transaction, and a report of what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from viral_platform.engine.errors import GateRefusedError, InputError, UnreadableFileError
from viral_platform.observability.logging import get_logger
from viral_platform.services.ingestion.decoding import Setting, judged_batches, second_process
from viral_platform.services.ingestion.pipeline import Source, recognised_items
from viral_platform.services.ingestion.readers import Export, open_export, sha256_of
from viral_platform.services.ingestion.storing import COUNTS, Counts, arriving
from viral_platform.storage import quarantine, videos
from viral_platform.storage.database import Database
from viral_platform.storage.quarantine import ImportFile

log = get_logger(__name__)

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport(Counts):
    """What became of one file's items.

    `crawled_at` is the crawl time of items that carry none. `dated_by_receipt` of the accepted
    items have it from the file's first receipt, because nothing told it.
    """

    name: str
    sha256: str
    source: str
    bytes: int
    crawled_at: datetime
    dated_by_receipt: int
    quarantined_by_reason: dict[str, int]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport(Counts):
    """What became of several files' items, and what the tables hold afterwards."""

    dated_by_receipt: int
    videos_total: int
    snapshots_total: int
    seconds: float
    files: tuple[FileReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """How files are read.

    Crawl time of items that carry none: `scraped_at`, else `run_started_at`, else what the first
    import of the file was told, else its first receipt. `crawl_zone` is the zone of
    crawl times that name none; None leaves it to the source. A dry run counts and stores nothing.
    """

    source: Source = "auto"
    scraped_at: datetime | None = None
    run_started_at: datetime | None = None
    crawl_zone: str | None = None
    dry_run: bool = False


_DEFAULTS = ImportOptions()


def import_files(
    database: Database,
    paths: Sequence[Path],
    options: ImportOptions = _DEFAULTS,
    *,
    on_progress: Progress | None = None,
) -> ImportReport:
    """Import files in their order, each as one transaction.

    `on_progress` is called with the bytes read so far, of all files together.

    Raises
    ------
    UnreadableFileError
        A file cannot be read.
    InputError
        A file is told another crawl time than at its first import.
    GateRefusedError
        Real and simulated videos would be mixed.

    Nothing of the file is stored then; the files before it are, and the error says so.
    """
    started = time.perf_counter()
    reports: list[FileReport] = []
    done_bytes = 0
    for path in paths:
        try:
            report = import_file(
                database, path, options, on_progress=_after(done_bytes, on_progress)
            )
        except (InputError, GateRefusedError) as error:
            if not reports:
                raise
            raise _after_others(error, reports, dry_run=options.dry_run) from error
        reports.append(report)
        done_bytes += report.bytes
    with database.connect() as connection:
        totals = videos.totals(connection)
    return ImportReport(
        **{name: sum(getattr(report, name) for report in reports) for name in COUNTS},
        dated_by_receipt=sum(report.dated_by_receipt for report in reports),
        videos_total=totals.videos,
        snapshots_total=totals.snapshots,
        seconds=round(time.perf_counter() - started, 3),
        files=tuple(reports),
    )


def _after(done_bytes: int, on_progress: Progress | None) -> Progress | None:
    if on_progress is None:
        return None
    return lambda read_bytes: on_progress(done_bytes + read_bytes)


def _after_others(
    error: InputError | GateRefusedError, reports: Sequence[FileReport], *, dry_run: bool
) -> InputError | GateRefusedError:
    names = ", ".join(report.name for report in reports)
    done = "Read before it, not stored" if dry_run else "Imported before it"
    if isinstance(error, UnreadableFileError):
        return UnreadableFileError(
            error.path, error.position, error.problem, f"{error.fix} {done}: {names}."
        )
    kind = GateRefusedError if isinstance(error, GateRefusedError) else InputError
    return kind(f"{error} {done}: {names}.")


def import_file(
    database: Database,
    path: Path,
    options: ImportOptions = _DEFAULTS,
    *,
    on_progress: Progress | None = None,
) -> FileReport:
    """Import one file in one transaction; the same file again changes nothing.

    Raises
    ------
    UnreadableFileError
        The file cannot be read.
    InputError
        It is told another crawl time than at its first import, and has items that carry none.
    GateRefusedError
        Real and simulated videos would be mixed.

    Nothing of the file is stored then.
    """
    started = time.perf_counter()
    with database.connect() as connection, open_export(path) as export:
        report = _import(connection, export, options, on_progress, started)
        if options.dry_run:
            connection.rollback()
    log.info(
        "file_imported",
        file=report.name,
        source=report.source,
        dry_run=options.dry_run,
        seconds=report.seconds,
        dated_by_receipt=report.dated_by_receipt,
        **report.counts(),
    )
    return report


def _import(
    connection: psycopg.Connection,
    export: Export,
    options: ImportOptions,
    on_progress: Progress | None,
    started: float,
) -> FileReport:
    """Stage, merge and quarantine in the connection's transaction, which the caller ends."""
    now = datetime.now(UTC)
    with second_process(export) as second, arriving() as arrivals:
        source, items = recognised_items(export, options.source)
        told = options.scraped_at or options.run_started_at
        file = ImportFile(sha256_of(export.path), export.path.name, source, crawled_at=told or now)
        first = quarantine.remember_file(connection, file, received_at=now)
        if told is None:
            file = replace(file, crawled_at=first.crawled_at)
        setting = Setting(source, file.crawled_at, options.crawl_zone, now)
        judged = judged_batches(items, setting, second)
        arrivals.stage(connection, judged, on_batch=_told_of(on_progress, export))
        if arrivals.dated_by_default and file.crawled_at != first.crawled_at:
            raise _told_otherwise(export.path, file.crawled_at, first.crawled_at)
        counts = arrivals.store(connection, file, str(export.path))
    dated_by_receipt = told is None and first.dates_the_crawl
    quarantine.store_counts(connection, file.sha256, counts.counts())
    return FileReport(
        **counts.counts(),
        name=file.name,
        sha256=file.sha256,
        source=source,
        bytes=export.size,
        crawled_at=file.crawled_at,
        dated_by_receipt=arrivals.dated_by_default if dated_by_receipt else 0,
        quarantined_by_reason=dict(arrivals.reasons.most_common()),
        seconds=round(time.perf_counter() - started, 3),
    )


def _told_of(on_progress: Progress | None, export: Export) -> Callable[[], None] | None:
    if on_progress is None:
        return None
    return lambda: on_progress(export.bytes_read())


def _told_otherwise(path: Path, told: datetime, remembered: datetime) -> InputError:
    return InputError(
        f"{path} was imported before with the crawl time {_shown(remembered)}, and is now told "
        f"{_shown(told)}. A file is one crawl; nothing of it was stored. Import it without "
        "--scraped-at, or set VIRAL_HOME to another folder to date it anew."
    )


def _shown(time: datetime) -> str:
    return time.astimezone(UTC).isoformat()
