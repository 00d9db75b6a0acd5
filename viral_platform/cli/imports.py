"""`viral import`: scraper exports into the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from viral_platform.cli.output import JsonFlag, emit, err, open_installation, table
from viral_platform.services.ingestion import ImportOptions, ImportReport, Source, import_files
from viral_platform.services.ingestion.importer import Progress as OnProgress


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("import")(import_command)


def _time(text: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is no ISO 8601 time such as 2025-05-29T08:00:00Z."
        ) from error
    aware = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    if aware > datetime.now(UTC):
        raise typer.BadParameter(f"{text} has not come yet; a crawl lies in the past.")
    return aware


def import_command(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Exports: .json, .jsonl or .csv, or .gz of these.",
            show_default=False,
        ),
    ],
    *,
    source: Annotated[
        Source, typer.Option(help="Shape of the items; auto recognises it by their keys.")
    ] = "auto",
    scraped_at: Annotated[
        datetime | None,
        typer.Option(
            parser=_time,
            metavar="ISO",
            help="Crawl time of items that carry none (UTC unless it says otherwise). "
            "Default: the first receipt of the file. The first import of a file settles it.",
            show_default=False,
        ),
    ] = None,
    crawl_zone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE",
            help="Zone of crawl times that name none. Default: UTC; for vn_viral, which does not "
            "state it, Asia/Ho_Chi_Minh (its crawls then rest from 06 to 10 h).",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Count, and store nothing.")] = False,
    json: JsonFlag = False,
) -> None:
    """Import scraper exports: videos, snapshots and creators; what is rejected to quarantine.

    Each file is one transaction. Importing a file again changes nothing; told another crawl time,
    it is refused. Real and simulated videos are never mixed.
    """
    database = open_installation().database
    options = ImportOptions(
        source=source, scraped_at=scraped_at, crawl_zone=crawl_zone, dry_run=dry_run
    )
    with _progress(files, shown=err.is_terminal and not json) as on_progress:
        report = import_files(database, files, options, on_progress=on_progress)
    emit(asdict(report), as_json=json, human=lambda: _tables(report, dry_run=dry_run))


@contextmanager
def _progress(files: list[Path], *, shown: bool) -> Iterator[OnProgress | None]:
    """Show a bar of the bytes read of all files together."""
    if not shown:
        yield None
        return
    columns = (TextColumn("Importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    total = sum(file.stat().st_size for file in files if file.is_file())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("import", total=total)
        yield lambda read_bytes: bar.update(task, completed=read_bytes)


def _tables(report: ImportReport, *, dry_run: bool) -> Group:
    title = "Would be imported (dry run)" if dry_run else "Imported"
    totals = [{"items": name, "number": number} for name, number in report.counts().items()]
    shown: list[Table | str] = [table(title, totals, ("items", "number"))]
    if len(report.files) > 1:
        rows = [
            {"file": file.name, "source": file.source, **file.counts()} for file in report.files
        ]
        shown.append(table("By file", rows, ("file", "source", "received", "new", "updated")))
    reasons = [
        {"file": file.name, "reason": reason, "items": number}
        for file in report.files
        for reason, number in file.quarantined_by_reason.items()
    ]
    if reasons:
        shown.append(table("Quarantined", reasons, ("file", "reason", "items")))
        shown.append("See them: viral quarantine list")
    if report.dated_by_receipt:
        shown.append(
            f"{report.dated_by_receipt:,} items carry no crawl time and were dated by the file's "
            "receipt. Were they scraped at another time? Import them into a fresh VIRAL_HOME with "
            "--scraped-at 2026-01-31T12:00:00+00:00; --dry-run tells beforehand."
        )
    if report.unchanged and not report.new + report.updated:
        shown.append("Nothing changed: all of it was imported before.")
    shown.append(
        f"{report.videos_total:,} videos and {report.snapshots_total:,} snapshots are stored; "
        f"took {report.seconds:.1f} s."
    )
    return Group(*shown)
