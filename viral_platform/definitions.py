"""The one Definitions object: assembly only."""

import dagster as dg
import structlog

from viral_platform.defs import (
    alerts,
    checks,
    crawl_checks,
    jobs,
    retention,
    schedules,
    scraping,
    sensors,
    webhooks,
)
from viral_platform.defs.assets import (
    accounts,
    calibration,
    costs,
    ingestion,
    model,
    rules,
    serving,
    sounds,
)
from viral_platform.defs.dbt import DbtResource, calibration_marts, cost_marts, trend_marts
from viral_platform.defs.resources import ArtifactsResource, DatabaseResource, PredictionResource
from viral_platform.observability.logging import configure_logging
from viral_platform.observability.sentry import configure_sentry
from viral_platform.settings import load_settings


def build_definitions() -> dg.Definitions:
    """Return everything that the operator sees."""
    return dg.Definitions(
        assets=[
            ingestion.imported_exports,
            ingestion.COMPETITOR_SNAPSHOTS,
            rules.rule_library,
            rules.rule_accuracy,
            sounds.sound_identities,
            trend_marts,
            model.training_data,
            model.tier_model,
            model.champion_model,
            serving.analysis_results,
            calibration.outcomes,
            calibration_marts,
            calibration.platt_parameters,
            calibration.calibration_in_force,
            costs.cost_events,
            cost_marts,
            accounts.subscriptions,
        ],
        asset_checks=[
            checks.enough_outcomes,
            checks.spend_within_budget,
            checks.snapshot_gaps,
            webhooks.actor_run_succeeded,
            crawl_checks.crawl_checks,
        ],
        jobs=[
            jobs.import_exports,
            jobs.load_rules,
            jobs.validate_rules,
            jobs.sync_whop,
            jobs.calculate_trends,
            jobs.retrain_ml,
            jobs.calibration_audit,
            jobs.aggregate_costs,
            serving.prediction_job,
            webhooks.ingest_dataset,
            scraping.scrape_trending,
            scraping.refresh_competitors,
            scraping.collect_outcomes,
            scraping.start_ordered_scrape,
            crawl_checks.check_crawls,
            retention.prune,
        ],
        schedules=schedules.SCHEDULES,
        sensors=[
            sensors.prediction_batch_sensor,
            webhooks.apify_webhook_sensor,
            scraping.scrape_order_sensor,
            *alerts.SENSORS,
        ],
        resources={
            "database": DatabaseResource(),
            "artifacts": ArtifactsResource(),
            "prediction": PredictionResource(),
            "dbt": DbtResource(),
            "apify": webhooks.ApifyDatasetsResource(),
        },
        # Six empty steps take 0.5 s in process and 10.5 s by the multiprocess default.
        executor=dg.in_process_executor,
    )


if not structlog.is_configured():
    # The command line has set both up when it loads this module; a Dagster process has not.
    configure_logging(load_settings())
    configure_sentry(load_settings())
defs = build_definitions()
