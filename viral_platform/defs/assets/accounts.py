"""Group `accounts`: who has paid for what."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from viral_platform.defs.common import DATA, INPUT_UNUSABLE
from viral_platform.defs.resources import DatabaseResource
from viral_platform.engine.errors import ConfigurationError, ProviderError, ViralPlatformError
from viral_platform.engine.subscriptions import TIERS
from viral_platform.services import subscriptions as service
from viral_platform.services.subscriptions import SyncReport
from viral_platform.settings import load_settings

# Whop being overloaded for longer than the waits within one reading.
WHOP_RETRIES = dg.RetryPolicy(
    max_retries=2, delay=60, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)

SUBSCRIPTION_CHECKS = [
    dg.AssetCheckSpec(
        "all_memberships_read",
        asset="subscriptions",
        description="Every membership in the list was readable, and every stored one that gives "
        "access was in the list.",
    ),
    dg.AssetCheckSpec(
        "every_product_known",
        asset="subscriptions",
        description="Every membership that gives access is of a product that gives a tier.",
    ),
]


@contextmanager
def _refused_for_good() -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        raise _final(error, INPUT_UNUSABLE) from error
    except ProviderError as error:
        if error.is_retryable:
            raise
        raise _final(error, error.reason) from error


def _final(error: ViralPlatformError, kind: str) -> dg.Failure:
    return dg.Failure(
        f"Memberships were not all read: {error}", metadata={"kind": kind}, allow_retries=False
    )


@dg.asset(
    group_name="accounts",
    kinds={"python", "postgres"},
    owners=DATA,
    check_specs=SUBSCRIPTION_CHECKS,
    code_version="1",
    retry_policy=WHOP_RETRIES,
)
def subscriptions(database: DatabaseResource) -> dg.MaterializeResult:
    """Memberships at Whop as they stand; one row a membership, several an account.

    Webhooks tell of changes as they come; this reading of all of them mends what was missed. The
    later state holds, whoever told of it; an account has the highest tier that it has access to.
    """
    with _refused_for_good():
        settings = load_settings()
        whop = service.open_whop(settings)
        try:
            report = service.sync_memberships(database.get(), whop, service.products_of(settings))
        finally:
            whop.close()
    return dg.MaterializeResult(
        metadata=subscription_metadata(report), check_results=subscription_results(report)
    )


def subscription_metadata(report: SyncReport) -> dict[str, int]:
    """Return what the operator sees of a reading: counts, no names."""
    return {
        "pages": report.pages,
        "read": report.read,
        "new": report.new,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "older": report.older,
        "unreadable": len(report.unreadable),
        "without_account": report.without_account,
        **{f"accounts_{tier}": report.tiers.get(tier, 0) for tier in TIERS},
    }


def subscription_results(report: SyncReport) -> list[dg.AssetCheckResult]:
    """Return the results of every check on a reading."""
    lost, fields = report.not_read, sorted(set(report.unreadable))
    return [
        dg.AssetCheckResult(
            check_name="all_memberships_read",
            passed=not lost and not fields,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"{report.read} memberships were read; {len(report.unreadable)} were not "
            f"readable ({', '.join(fields) or 'none'}), {len(lost)} that give access were not in "
            f"the list ({', '.join(lost[:5]) or 'none'}).",
            metadata={
                "n": report.read,
                "unreadable": len(report.unreadable),
                "not_in_list": len(lost),
            },
        ),
        dg.AssetCheckResult(
            check_name="every_product_known",
            passed=not report.unknown_products,
            severity=dg.AssetCheckSeverity.ERROR,
            description="Products without a tier, which give nothing to those who paid: "
            f"{', '.join(report.unknown_products) or 'none'}.",
            metadata={"n": report.read, "unknown": len(report.unknown_products)},
        ),
    ]
