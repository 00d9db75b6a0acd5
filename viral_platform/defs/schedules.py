"""Schedules: when a job starts by itself, in UTC. What a job does is not here.

A tick that was missed is made up for once, by Dagster's daemon or by hand. A schedule whose
settings are not complete, or whose job would change nothing, skips its tick and says why.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypedDict

import dagster as dg

from viral_platform.defs import jobs
from viral_platform.defs.jobs import EXCLUSIVE
from viral_platform.defs.resources import DatabaseResource
from viral_platform.services import collected_outcomes, competitors, subscriptions
from viral_platform.services.freshness import trend_state, why_trends_stay
from viral_platform.services.rule_accuracy import why_rules_stay
from viral_platform.services.scraping import missing_settings
from viral_platform.settings import load_settings
from viral_platform.storage import crawls


class _Settled(TypedDict):
    name: str
    job_name: str
    cron_schedule: str
    execution_timezone: str
    default_status: dg.DefaultScheduleStatus
    description: str
    tags: dict[str, str]


def _settled(job_name: str, cron: str, description: str) -> _Settled:
    """Return what all schedules have in common: the job's name, UTC, on by default."""
    return {
        "name": job_name,
        "job_name": job_name,
        "cron_schedule": cron,
        "execution_timezone": "UTC",
        "default_status": dg.DefaultScheduleStatus.RUNNING,
        "description": description,
        "tags": {EXCLUSIVE: job_name},
    }


def _schedule(job_name: str, cron: str, description: str) -> dg.ScheduleDefinition:
    """Return a schedule that starts its job at every tick, by the job's name."""
    return dg.ScheduleDefinition(**_settled(job_name, cron, description))


retrain_ml = _schedule(
    "retrain_ml",
    "0 3 * * 1",
    "Mondays: a new candidate from all crawls. It is promoted when its verdict allows; otherwise "
    "the champion stays.",
)
calibration_audit = _schedule(
    "calibration_audit",
    "0 4 1 * *",
    "On the first of the month: outcomes against served scores, and a new Platt fit. It is put in "
    "force when its verdict allows.",
)
aggregate_costs = _schedule(
    "aggregate_costs",
    "15 0 * * *",
    "After the end of the UTC day: what paid calls cost, held against the day's budget.",
)
prune = _schedule(
    "prune",
    "30 1 * * *",
    "Daily: rows that have outlived the RETENTION_DAYS settings are deleted.",
)


def _last_trends_at(instance: dg.DagsterInstance) -> datetime | None:
    """Return when the last successful run of `calculate_trends` began."""
    records = instance.get_run_records(
        dg.RunsFilter(job_name=jobs.calculate_trends.name, statuses=[dg.DagsterRunStatus.SUCCESS]),
        limit=1,
    )
    began = records[0].start_time if records else None
    return None if began is None else datetime.fromtimestamp(began, UTC)


@dg.schedule(
    **_settled(
        "calculate_trends",
        "0 * * * *",
        "Hourly: trends and creators' baselines from the newest crawls. Skips when no "
        "crawl came since the last run.",
    )
)
def calculate_trends(
    context: dg.ScheduleEvaluationContext, database: DatabaseResource
) -> dg.RunRequest | dg.SkipReason:
    """Start when there is something new to compute from."""
    reason = why_trends_stay(trend_state(database.get()), _last_trends_at(context.instance))
    return dg.RunRequest() if reason is None else dg.SkipReason(reason)


def _scrape(context: dg.ScheduleEvaluationContext, op: str) -> dg.RunRequest | dg.SkipReason:
    """Return the run whose op starts the scrape of the tick's time."""
    missing = missing_settings(load_settings())
    if missing:
        return dg.SkipReason(f"Not set: {', '.join(missing)}. Nothing is scraped without.")
    tick = context.scheduled_execution_time.astimezone(UTC).isoformat()
    return dg.RunRequest(run_key=tick, run_config={"ops": {op: {"config": {"tick": tick}}}})


@dg.schedule(
    **_settled(
        "scrape_trending",
        "0 */6 * * *",
        "Every six hours: one scrape of the watched hashtags at Apify. Skips while "
        "APIFY_TOKEN, APIFY_WEBHOOK_URL or APIFY_WEBHOOK_SECRET is not set.",
    )
)
def scrape_trending(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Start the scrape of the tick's time, which is the key under which it is started once."""
    return _scrape(context, "start_scrape")


@dg.schedule(
    **_settled(
        "refresh_competitors",
        "0 6 * * *",
        "Daily: one scrape of the watched competitors' profiles at Apify. Skips while "
        "nobody is watched, or a setting of scrape_trending is not set.",
    )
)
def refresh_competitors(
    context: dg.ScheduleEvaluationContext, database: DatabaseResource
) -> dg.RunRequest | dg.SkipReason:
    """Start the scrape of the tick's time, once."""
    if not competitors.watched(database.get()):
        return dg.SkipReason("No competitor is watched. Add one: viral competitors add HANDLE.")
    return _scrape(context, "start_competitors")


@dg.schedule(
    **_settled(
        "collect_outcomes",
        "30 * * * *",
        "Hourly: one scrape of the posts of predictions that are old enough for their "
        "outcome. Skips while none is due, or a setting of scrape_trending is not set.",
    )
)
def collect_outcomes(
    context: dg.ScheduleEvaluationContext, database: DatabaseResource
) -> dg.RunRequest | dg.SkipReason:
    """Start when a post is due, or a crawl has brought one."""
    if not collected_outcomes.is_due(load_settings(), database.get(), datetime.now(UTC)):
        return dg.SkipReason("No post of a prediction is due for its outcome.")
    return _scrape(context, "collect")


@dg.schedule(
    **_settled(
        "check_crawls",
        "0 3,9,15,21 * * *",
        "Three hours after each scrape: freshness, volume, quarantine and field names of "
        "crawls. Skips before the first crawl, and while a setting of scrape_trending is not set.",
    )
)
def check_crawls(database: DatabaseResource) -> dg.RunRequest | dg.SkipReason:
    """Start when crawls are expected and there was one."""
    missing = missing_settings(load_settings())
    if missing:
        return dg.SkipReason(f"Not set: {', '.join(missing)}. No crawl is expected without.")
    if crawls.newest(database.get()).newest_crawl is None:
        return dg.SkipReason("Nothing was crawled yet.")
    return dg.RunRequest()


@dg.schedule(
    **_settled(
        "validate_rules",
        "0 2 * * *",
        "Daily: the rules are held to outcomes, and their weights move within bounds. "
        "Skips when no outcome came since the last run.",
    )
)
def validate_rules(database: DatabaseResource) -> dg.RunRequest | dg.SkipReason:
    """Start when there is an outcome that was not counted yet."""
    reason = why_rules_stay(database.get())
    return dg.RunRequest() if reason is None else dg.SkipReason(reason)


@dg.schedule(
    **_settled(
        "sync_whop",
        "0 */12 * * *",
        "Every twelve hours: how all memberships stand at Whop. Skips while WHOP_API_KEY, "
        "WHOP_COMPANY_ID, WHOP_PRODUCT_ID_STARTER or WHOP_PRODUCT_ID_PRO is not set.",
    )
)
def sync_whop() -> dg.RunRequest | dg.SkipReason:
    """Start when Whop can be read."""
    missing = subscriptions.missing_settings(load_settings())
    if missing:
        return dg.SkipReason(f"Not set: {', '.join(missing)}. No membership is read without.")
    return dg.RunRequest()


SCHEDULES = [
    calculate_trends,
    scrape_trending,
    sync_whop,
    validate_rules,
    refresh_competitors,
    collect_outcomes,
    check_crawls,
    retrain_ml,
    calibration_audit,
    aggregate_costs,
    prune,
]
