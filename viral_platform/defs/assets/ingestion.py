"""Group `ingestion`: what scrapers delivered. One transaction a file makes all four assets."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import cast, get_args

import dagster as dg
from pydantic import Field

from viral_platform.defs.common import DATA, GATE_REFUSED, INPUT_UNUSABLE
from viral_platform.defs.resources import DatabaseResource
from viral_platform.engine.errors import GateRefusedError, InputError
from viral_platform.services.ingestion import Source
from viral_platform.services.ingestion.importer import ImportOptions, ImportReport, import_files

_GROUP = "ingestion"
_KINDS = {"python", "postgres"}


class ImportConfig(dg.Config):
    """Which files to import, and what is known of them."""

    files: list[str] = Field(description="Paths of exports: .json, .jsonl, .csv, each also .gz.")
    source: str = Field("auto", description="Shape of the items; auto recognises it.")
    scraped_at: str | None = Field(
        None, description="Crawl time, ISO with zone, of items that carry none."
    )


def _spec(name: str, description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        group_name=_GROUP,
        kinds=_KINDS,
        owners=DATA,
        description=description,
        code_version="1",
    )


SPECS = [
    _spec(
        "scraped_videos",
        "Latest state of each video, one row a platform and video id. Counts move only with a "
        "newer crawl; what is unknown is null, never zero.",
    ),
    _spec(
        "video_snapshots",
        "Counts of a video at one crawl, append-only, unique on video and crawl time. Velocity, "
        "growth and labels come from here.",
    ),
    _spec(
        "quarantined_items",
        "Items that failed validation, with field, reason and the raw item; kept until a retry "
        "accepts them, or for RETENTION_DAYS_QUARANTINE.",
    ),
    _spec(
        "creator_profiles",
        "Latest state of each creator seen in a crawl, one row a handle.",
    ),
]

# Written with the last page of a crawl that was started for watched competitors.
COMPETITOR_SNAPSHOTS = dg.AssetSpec(
    "competitor_snapshots",
    group_name=_GROUP,
    kinds=_KINDS,
    owners=DATA,
    deps=["creator_profiles", "video_snapshots"],
    description="A watched creator at one crawl: followers, hearts and videos as the profile tells "
    "them, and sums over the videos that the crawl brought. Unique on handle and crawl time; how "
    "it grew is `competitor_growth`.",
)


def import_metadata(report: ImportReport) -> dict[str, dg.MetadataValue | int | float]:
    """Return the counters of an import; they add up to what was received."""
    reasons: dict[str, int] = {}
    for file in report.files:
        for reason, count in file.quarantined_by_reason.items():
            reasons[reason] = reasons.get(reason, 0) + count
    return {
        **report.counts(),
        "dated_by_receipt": report.dated_by_receipt,
        "items_per_second": report.received / max(report.seconds, 1e-9),
        "files": len(report.files),
        "quarantined_by_reason": dg.MetadataValue.json(reasons),
    }


@dg.multi_asset(specs=SPECS, can_subset=False, name="imported_exports")
def imported_exports(
    config: ImportConfig, database: DatabaseResource
) -> Iterator[dg.MaterializeResult]:
    """Import scraper exports; a file is one transaction."""
    try:
        report = import_files(
            database.get(),
            [Path(name) for name in config.files],
            ImportOptions(
                source=_source(config.source),
                scraped_at=None if config.scraped_at is None else _instant(config.scraped_at),
            ),
        )
    except (InputError, GateRefusedError) as error:
        kind = GATE_REFUSED if isinstance(error, GateRefusedError) else INPUT_UNUSABLE
        raise dg.Failure(str(error), metadata={"kind": kind}, allow_retries=False) from error
    metadata = import_metadata(report)
    rows = {"scraped_videos": report.videos_total, "video_snapshots": report.snapshots_total}
    for spec in SPECS:
        name = spec.key.to_user_string()
        counted = {"dagster/row_count": rows[name]} if name in rows else {}
        yield dg.MaterializeResult(asset_key=spec.key, metadata={**metadata, **counted})


def _source(text: str) -> Source:
    if text not in get_args(Source):
        raise InputError(f"source is {text}; it must be one of {', '.join(get_args(Source))}.")
    return cast("Source", text)


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"scraped_at is {text}; it must read 2026-01-31T12:00:00+00:00.") from None
    if instant.tzinfo is None:
        raise InputError(f"scraped_at is {text}, without a zone. Write 2026-01-31T12:00:00+00:00.")
    return instant
