"""Group `rules`: the library of rules that score content."""

import dagster as dg

from viral_platform.defs.common import DATA, DATABASE_RETRIES
from viral_platform.defs.resources import DatabaseResource
from viral_platform.services.rules import sync_rule_library


@dg.asset(
    group_name="rules",
    kinds={"python", "postgres"},
    owners=DATA,
    code_version="1",
    retry_policy=DATABASE_RETRIES,
)
def rule_library(database: DatabaseResource) -> dg.MaterializeResult:
    """Rules that score a caption; one row a rule, upserted by id from the packaged library.

    Weight, accuracy and sample count are learned from outcomes and never overwritten here. A
    rule that left the package is retired, not deleted.
    """
    active = sync_rule_library(database.get())
    return dg.MaterializeResult(metadata={"dagster/row_count": active})
