"""Checks on crawls, and the job that evaluates them."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from viral_platform.defs.common import DATABASE_RETRIES
from viral_platform.defs.jobs import EXCLUSIVE
from viral_platform.defs.resources import DatabaseResource
from viral_platform.engine.crawl_checks import (
    FRESH_HOURS,
    MIN_EARLIER,
    QUARANTINE_SHARE,
    VOLUME_SHARE,
    CrawlVerdict,
)
from viral_platform.services.crawl_checks import judge_newest

_ASSET = "scraped_videos"
_SEVERITY = {
    "freshness": dg.AssetCheckSeverity.ERROR,
    "volume": dg.AssetCheckSeverity.WARN,
    "quarantine_share": dg.AssetCheckSeverity.WARN,
    "schema_drift": dg.AssetCheckSeverity.WARN,
}
_SPECS = [
    dg.AssetCheckSpec(
        "freshness",
        asset=_ASSET,
        description=f"The newest crawl is at most {FRESH_HOURS:g} hours old; a simulated feed's "
        "clock is not judged.",
    ),
    dg.AssetCheckSpec(
        "volume",
        asset=_ASSET,
        description=f"A crawl of the hashtags brings at least {VOLUME_SHARE} of the median of "
        f"earlier ones; judged from {MIN_EARLIER} on.",
    ),
    dg.AssetCheckSpec(
        "quarantine_share",
        asset=_ASSET,
        description=f"At most a share of {QUARANTINE_SHARE} of a crawl's items is rejected.",
    ),
    dg.AssetCheckSpec(
        "schema_drift",
        asset=_ASSET,
        description="The scraper's items have the field names of earlier crawls: none that is in "
        "all of them vanished, none is new.",
    ),
]


def check_result(verdict: CrawlVerdict) -> dg.AssetCheckResult:
    """Return a verdict as the operator sees it."""
    return dg.AssetCheckResult(
        check_name=verdict.name,
        asset_key=_ASSET,
        passed=verdict.passed,
        severity=_SEVERITY[verdict.name],
        description=verdict.description,
        metadata=dict(verdict.figures),
    )


def check_evaluation(result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """Return a result as the event that an op logs."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(_ASSET),
        check_name=str(result.check_name),
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata,
    )


@dg.multi_asset_check(
    name="crawl_checks", specs=_SPECS, can_subset=True, retry_policy=DATABASE_RETRIES
)
def crawl_checks(
    context: dg.AssetCheckExecutionContext, database: DatabaseResource
) -> Iterator[dg.AssetCheckResult]:
    """Judge the newest crawl, and the last one of the hashtags against those before it."""
    verdicts = {one.name: one for one in judge_newest(database.get(), datetime.now(UTC))}
    for key in sorted(context.selected_asset_check_keys, key=lambda one: one.name):
        verdict = verdicts.get(key.name)
        if verdict is None:
            said = "Not judged: no actor run was delivered within RETENTION_DAYS_WEBHOOK_INBOX."
            verdict = CrawlVerdict(key.name, passed=True, description=said, figures={"n": 0})
        yield check_result(verdict)


check_crawls = dg.define_asset_job(
    "check_crawls",
    selection=dg.AssetSelection.checks(crawl_checks),
    description="Judge crawls: how old the newest is, how many items the last one brought, how "
    "many were rejected, and whether their fields changed.",
    tags={EXCLUSIVE: "check_crawls"},
)
