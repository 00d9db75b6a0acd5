"""Group `trends`: which sounds the crawled names are."""

import dagster as dg

from viral_platform.defs.common import DATA, DATABASE_RETRIES
from viral_platform.defs.resources import DatabaseResource
from viral_platform.services.sounds import identify_sounds


@dg.asset(
    group_name="trends",
    kinds={"python", "postgres"},
    owners=DATA,
    code_version="1",
    deps=["scraped_videos"],
    retry_policy=DATABASE_RETRIES,
)
def sound_identities(database: DatabaseResource) -> dg.MaterializeResult:
    """Names of sounds as crawls write them; one row a name, with the sound that it is.

    The platform's id decides; a name without one is compared with those of the same author.
    Only new names are compared.
    """
    found = identify_sounds(database.get())
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": found.totals.names,
            "new_names": found.new,
            "sounds": found.totals.sounds,
            "names_without_id": found.totals.without_id,
            "names_that_are_a_sound_with_id": found.totals.found_by_name,
        }
    )
