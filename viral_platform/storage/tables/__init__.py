"""The tables of schema `app`: the one place where they are written down.

Alembic migrations build them; schema `marts` belongs to dbt and is not here. Times are UTC
instants (`_at`), counts are bigint, `null` means unknown and never zero.
"""

from viral_platform.storage.tables.accounts import memberships
from viral_platform.storage.tables.base import SCHEMA, metadata
from viral_platform.storage.tables.content import (
    creator_profiles,
    import_files,
    quarantined_items,
    scraped_videos,
    sound_identities,
    video_snapshots,
)
from viral_platform.storage.tables.creators import (
    competitor_snapshots,
    competitors,
    key_profiles,
)
from viral_platform.storage.tables.deliveries import (
    scrape_starts,
    webhook_inbox,
)
from viral_platform.storage.tables.learning import (
    model_versions,
    platt_parameters,
    rule_accuracy,
    rule_library,
    training_sets,
)
from viral_platform.storage.tables.serving import (
    analysis_results,
    api_keys,
    cost_events,
    outcomes,
    predicted_posts,
    prediction_batches,
    prediction_requests,
)

__all__ = [
    "SCHEMA",
    "analysis_results",
    "api_keys",
    "competitor_snapshots",
    "competitors",
    "cost_events",
    "creator_profiles",
    "import_files",
    "key_profiles",
    "memberships",
    "metadata",
    "model_versions",
    "outcomes",
    "platt_parameters",
    "predicted_posts",
    "prediction_batches",
    "prediction_requests",
    "quarantined_items",
    "rule_accuracy",
    "rule_library",
    "scrape_starts",
    "scraped_videos",
    "sound_identities",
    "training_sets",
    "video_snapshots",
    "webhook_inbox",
]
