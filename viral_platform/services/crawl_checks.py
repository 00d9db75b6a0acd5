"""Verdicts on crawls, from what their deliveries have counted."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from viral_platform.engine import crawl_checks
from viral_platform.engine.crawl_checks import TRAILING, Crawl, CrawlVerdict
from viral_platform.storage import crawls
from viral_platform.storage.crawls import IngestedDataset
from viral_platform.storage.database import Database

# Their size is given by SCRAPER_HASHTAGS; others bring as many items as they were asked for.
OF_STEADY_SIZE = frozenset({"trending", "other"})
# Enough to find some of each purpose.
READ_DATASETS = 200


def judge_newest(database: Database, now: datetime) -> list[CrawlVerdict]:
    """Return verdicts on the age of the newest crawl, and on the last crawl of steady size."""
    newest = crawls.newest(database).newest_crawl
    fresh = crawl_checks.freshness(newest, now, is_simulated=crawls.is_simulated(database))
    read = _read(database)
    last = next((crawl for crawl in read if crawl.purpose in OF_STEADY_SIZE), None)
    return [fresh, *([] if last is None else _judged(last, read))]


def judge_dataset(database: Database, dataset_id: str | None) -> list[CrawlVerdict]:
    """Return verdicts on one crawl that was read; none when there is none."""
    read = _read(database)
    last = next((crawl for crawl in read if crawl.dataset_id == dataset_id), None)
    return [] if last is None else _judged(last, read)


def _judged(last: Crawl, read: list[Crawl]) -> list[CrawlVerdict]:
    """Judge a crawl against those of its purpose that were read before it."""
    before = read[read.index(last) + 1 :]
    earlier = [crawl for crawl in before if crawl.purpose == last.purpose][:TRAILING]
    verdicts = [crawl_checks.quarantine_share(last), crawl_checks.schema_drift(last, earlier)]
    if last.purpose in OF_STEADY_SIZE:
        verdicts.append(crawl_checks.volume(last, earlier))
    return verdicts


def _read(database: Database) -> list[Crawl]:
    return [_crawl(dataset) for dataset in crawls.ingested_datasets(database, READ_DATASETS)]


def _crawl(dataset: IngestedDataset) -> Crawl:
    """Add up the deliveries of a dataset: each counts the pages that it stored."""
    fields: Counter[str] = Counter()
    for report in dataset.reports:
        fields.update(report.get("fields", {}))

    def total(name: str) -> int:
        return sum(int(report.get(name, 0)) for report in dataset.reports)

    return Crawl(
        dataset_id=dataset.dataset_id,
        purpose=dataset.purpose,
        received=total("received"),
        quarantined=total("quarantined"),
        scraper_errors=total("scraper_errors"),
        sampled=total("fields_sampled"),
        fields=fields,
    )
