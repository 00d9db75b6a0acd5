"""Deletion of rows that have served, a batch of one table in one transaction.

`video_snapshots`, `scraped_videos` and `creator_profiles` are not here: velocities, growth and the
labels of every later training set come from them, and an old crawl cannot be crawled again. At
scale they are partitioned by month and detached, not deleted row by row. `outcomes`, and the
answers that they judge, are what calibration is fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from viral_platform.storage.database import Database


@dataclass(frozen=True, slots=True)
class Prunable:
    """A table that grows and may be cut: `outlived` selects rows by `:before`.

    `oldest_first` is an order that an index gives, so that each batch is found at once.
    """

    table: str
    outlived: str
    oldest_first: str


ANSWERS = Prunable(
    "analysis_results",
    """
    created_at < :before
    and not exists (select from app.outcomes as known where known.analysis_id = pruned.id)
    """,
    "created_at, id",
)
BATCH_REQUESTS = Prunable(
    "prediction_requests",
    """
    requested_at < :before
    and not exists (
        select from app.prediction_batches as kept
        where
            kept.batch_id = pruned.batch_id
            and (kept.finished_at is null or kept.finished_at >= :before)
    )
    """,
    "batch_id, position",
)
BATCHES = Prunable("prediction_batches", "finished_at < :before", "batch_id")
COST_EVENTS = Prunable("cost_events", "occurred_at < :before", "occurred_at")
SCRAPES = Prunable("scrape_starts", "requested_at < :before", "requested_at")
# The newest stays: the check on the last actor run reads it.
INBOX = Prunable(
    "webhook_inbox",
    """
    processed_at < :before
    and id < (
        select max(newest.id) from app.webhook_inbox as newest where newest.source = pruned.source
    )
    """,
    "id",
)
QUARANTINE = Prunable("quarantined_items", "quarantined_at < :before", "id")


def count(database: Database, what: Prunable, before: datetime) -> int:
    """Return how many rows would go."""
    query = text(
        f"select count(*) from app.{what.table} as pruned where {what.outlived}"  # noqa: S608
    )
    with database.engine.connect() as connection:
        return int(connection.execute(query, {"before": before}).scalar_one())


def delete_batch(database: Database, what: Prunable, before: datetime, limit: int) -> int:
    """Delete up to `limit` rows in one transaction, the oldest first; return how many.

    Rows that others hold are left for a later batch. Rows are locked, then judged again: an
    outcome that was stored in between keeps its answer.
    """
    lock = text(
        f"""
        select ctid::text from app.{what.table} as pruned where {what.outlived}
        order by {what.oldest_first} limit :limit
        for update of pruned skip locked
        """  # noqa: S608  our own tables
    )
    delete = text(
        f"""
        delete from app.{what.table} as pruned
        where ctid = any(cast(:rows as tid[])) and {what.outlived}
        """  # noqa: S608
    )
    with database.engine.begin() as connection:
        found = connection.execute(lock, {"before": before, "limit": limit})
        rows: list[str] = list(found.scalars())
        if not rows:
            return 0
        return connection.execute(delete, {"rows": rows, "before": before}).rowcount
