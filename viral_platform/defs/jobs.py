"""Jobs: what an operator or `viral run` starts, each a selection of assets."""

from __future__ import annotations

import dagster as dg

# Two runs with one value of this tag never run at once (run_queue in dagster.yaml).
EXCLUSIVE = "viral/exclusive"

import_exports = dg.define_asset_job(
    "import_exports",
    selection=dg.AssetSelection.assets(
        "scraped_videos", "video_snapshots", "quarantined_items", "creator_profiles"
    ),
    description="Import scraper exports from files: videos, snapshots, creators, quarantine.",
    tags={EXCLUSIVE: "import_exports"},
)
load_rules = dg.define_asset_job(
    "load_rules",
    selection=dg.AssetSelection.assets("rule_library"),
    description="Bring the packaged rule library into the database.",
    tags={EXCLUSIVE: "load_rules"},
)
validate_rules = dg.define_asset_job(
    "validate_rules",
    selection=dg.AssetSelection.assets("rule_accuracy"),
    description="Hold the rules to outcomes, and move their weights within bounds.",
    tags={EXCLUSIVE: "validate_rules"},
)
sync_whop = dg.define_asset_job(
    "sync_whop",
    selection=dg.AssetSelection.assets("subscriptions"),
    description="Read all memberships from Whop and store how they stand.",
    tags={EXCLUSIVE: "sync_whop"},
)
calculate_trends = dg.define_asset_job(
    "calculate_trends",
    selection=dg.AssetSelection.groups("trends")
    | dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("video_snapshots"), "snapshot_gaps")),
    description="Compute trending sounds, hashtags and creators' baselines from the newest crawls.",
    tags={EXCLUSIVE: "calculate_trends"},
)
retrain_ml = dg.define_asset_job(
    "retrain_ml",
    selection=dg.AssetSelection.assets("training_data", "tier_model", "champion_model"),
    description="Build the training set, fit and judge a candidate, promote it when its verdict "
    "allows.",
    tags={EXCLUSIVE: "retrain_ml"},
)
calibration_audit = dg.define_asset_job(
    "calibration_audit",
    selection=dg.AssetSelection.assets("outcome_pairs", "platt_parameters", "calibration_in_force"),
    description="Join outcomes to answers, fit Platt scaling, put it in force when its verdict "
    "allows.",
    tags={EXCLUSIVE: "calibration_audit"},
)
aggregate_costs = dg.define_asset_job(
    "aggregate_costs",
    selection=dg.AssetSelection.assets("daily_costs"),
    description="Add up what paid calls cost by UTC day, and hold it against the day's budget.",
    tags={EXCLUSIVE: "aggregate_costs"},
)
