"""What is kept for how long: each table that grows and may be cut, with its setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from viral_platform.observability.logging import get_logger
from viral_platform.settings import Settings
from viral_platform.storage import retention
from viral_platform.storage.database import Database
from viral_platform.storage.retention import Prunable

log = get_logger(__name__)

# 0.03 s a batch on two cores; a long transaction would keep vacuum from the rows of others.
BATCH_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class Pruned:
    """What became of one table: `rows` older than `days` days went, or would go in a dry run."""

    table: str
    days: int
    before: datetime
    rows: int
    batches: int


def _policy(settings: Settings) -> Iterator[tuple[Prunable, int]]:
    """Yield tables in the order in which they are cut, with their days."""
    yield retention.ANSWERS, settings.retention_days_answers
    yield retention.BATCH_REQUESTS, settings.retention_days_answers
    yield retention.BATCHES, settings.retention_days_answers
    yield retention.COST_EVENTS, settings.retention_days_cost_events
    yield retention.SCRAPES, settings.retention_days_cost_events
    yield retention.INBOX, settings.retention_days_webhook_inbox
    yield retention.QUARANTINE, settings.retention_days_quarantine


def prune(
    settings: Settings,
    database: Database,
    *,
    dry_run: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    batch_rows: int = BATCH_ROWS,
) -> list[Pruned]:
    """Delete what has outlived its time, in batches, and return what went by table.

    Each batch is a transaction: whatever interrupts it, what was deleted stays deleted and the
    rest goes the next time. A dry run only counts.

    Parameters
    ----------
    dry_run : bool, default False
        Count, and change nothing.
    batch_rows : int, default 5000
        Rows of one transaction, at least 1.
    """
    present = now()
    done = []
    for what, days in _policy(settings):
        before = present - timedelta(days=days)
        if dry_run:
            rows, batches = retention.count(database, what, before), 0
        else:
            rows, batches = _delete(database, what, before, batch_rows)
        done.append(Pruned(what.table, days, before, rows, batches))
        log.info("table_pruned", table=what.table, rows=rows, days=days, is_dry_run=dry_run)
    return done


def _delete(
    database: Database, what: Prunable, before: datetime, batch_rows: int
) -> tuple[int, int]:
    rows = batches = 0
    while deleted := retention.delete_batch(database, what, before, batch_rows):
        rows += deleted
        batches += 1
    return rows, batches
