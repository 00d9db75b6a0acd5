"""Rejected items: list them, look at one, and try them again under the rules in force."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

import psycopg

from viral_platform.engine.errors import NotFoundError
from viral_platform.observability.logging import get_logger
from viral_platform.services.ingestion.pipeline import ItemParser
from viral_platform.storage import quarantine, videos
from viral_platform.storage.database import Database
from viral_platform.storage.quarantine import QuarantinedItem
from viral_platform.storage.videos import MergeCounts

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RetryReport:
    """What became of quarantined items: `retried = accepted + still_rejected`."""

    retried: int
    accepted: int
    still_rejected: int
    still_rejected_by_reason: dict[str, int]
    merged: MergeCounts


def list_items(database: Database, *, limit: int | None = None) -> list[QuarantinedItem]:
    """Return the items in quarantine, the oldest first."""
    with database.connect() as connection:
        return quarantine.unresolved(connection, limit=limit)


def get_item(database: Database, item_id: int) -> QuarantinedItem:
    """Return one item, also one that was accepted since.

    Raises
    ------
    NotFoundError
        There is no such item.
    """
    with database.connect() as connection:
        item = quarantine.get(connection, item_id)
    if item is None:
        raise NotFoundError(
            f"Quarantine holds no item {item_id}. `viral quarantine list` shows their numbers."
        )
    return item


def retry(database: Database) -> RetryReport:
    """Judge all items in quarantine again and store those that pass, in one transaction.

    An item keeps the crawl time of its first import.

    Raises
    ------
    GateRefusedError
        Real and simulated videos would be mixed.
    """
    now = datetime.now(UTC)
    accepted: list[int] = []
    reasons: Counter[str] = Counter()
    with database.connect() as connection:
        blocks: list[bytes] = []
        items = quarantine.unresolved(connection)
        for _, group in groupby(items, key=lambda item: (item.source, item.crawled_at)):
            alike = list(group)
            block, rejected = _judged_again(alike, now)
            blocks.append(block)
            reasons.update(rejected.values())
            accepted += [item.id for item in alike if item.id not in rejected]
        merged = _store(connection, blocks, accepted)
    report = RetryReport(
        retried=len(items),
        accepted=len(accepted),
        still_rejected=reasons.total(),
        still_rejected_by_reason=dict(reasons.most_common()),
        merged=merged,
    )
    log.info("quarantine_retried", retried=report.retried, accepted=report.accepted)
    return report


def _judged_again(items: Sequence[QuarantinedItem], now: datetime) -> tuple[bytes, dict[int, str]]:
    """Return the rows of the items that pass, and the reason by id of those that do not."""
    parser = ItemParser(items[0].source, default_crawled_at=items[0].crawled_at)
    raw = [item.item if isinstance(item.item, dict) else _text(item.item) for item in items]
    batch = parser.batch(raw, 0, now)
    rejected = {items[again.position].id: again.reason for again in batch.rejected}
    return videos.copy_block(batch.columns), rejected


def _text(item: object) -> bytes:
    """Return what was no JSON as it stood in its file."""
    return item.encode() if isinstance(item, str) else json.dumps(item).encode()


def _store(
    connection: psycopg.Connection, blocks: Sequence[bytes], accepted: Sequence[int]
) -> MergeCounts:
    videos.stage(connection, blocks)
    merged = videos.merge(connection, "The quarantine")
    quarantine.resolve(connection, accepted)
    return merged
