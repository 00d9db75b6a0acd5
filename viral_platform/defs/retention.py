"""The job `prune`: rows that have outlived their retention."""

import dagster as dg
from pydantic import Field

from viral_platform.defs.common import DATABASE_RETRIES
from viral_platform.defs.jobs import EXCLUSIVE
from viral_platform.defs.resources import DatabaseResource
from viral_platform.services import retention
from viral_platform.services.retention import Pruned
from viral_platform.settings import load_settings


class PruneConfig(dg.Config):
    """Whether to delete."""

    dry_run: bool = Field(default=False, description="Only count what would go.")


def prune_metadata(pruned: list[Pruned], *, dry_run: bool) -> dict[str, dg.MetadataValue | int]:
    """Return the rows by table, and the sum."""
    return {
        "is_dry_run": dg.MetadataValue.bool(dry_run),
        "rows": sum(one.rows for one in pruned),
        **{f"rows_{one.table}": one.rows for one in pruned},
        "retention_days": dg.MetadataValue.json({one.table: one.days for one in pruned}),
    }


@dg.op(retry_policy=DATABASE_RETRIES)
def delete_outlived(
    context: dg.OpExecutionContext, config: PruneConfig, database: DatabaseResource
) -> None:
    """Delete rows older than the RETENTION_DAYS settings, in batches that are transactions.

    Videos, their snapshots, and answers with an outcome are never deleted.
    """
    pruned = retention.prune(load_settings(), database.get(), dry_run=config.dry_run)
    context.add_output_metadata(prune_metadata(pruned, dry_run=config.dry_run))


@dg.job(description="Delete rows that have outlived their retention.", tags={EXCLUSIVE: "prune"})
def prune() -> None:
    """Delete what has outlived its retention."""
    delete_outlived()
