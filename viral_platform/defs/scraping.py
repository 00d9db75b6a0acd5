"""The job `scrape_trending`: one actor run that brings the posts of the watched hashtags."""

from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from viral_platform.defs.common import GATE_REFUSED, INPUT_UNUSABLE
from viral_platform.defs.jobs import EXCLUSIVE
from viral_platform.defs.resources import DatabaseResource
from viral_platform.engine.errors import (
    ConfigurationError,
    GateRefusedError,
    InputError,
    ProviderError,
    ViralPlatformError,
)
from viral_platform.providers.apify_actor import UnclearStartError
from viral_platform.services import scraping
from viral_platform.services.scraping import ScrapeReport
from viral_platform.settings import load_settings

# Apify being overloaded. What may have been started is refused by its tick, not started again.
START_RETRIES = dg.RetryPolicy(
    max_retries=2, delay=60, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)


class ScrapeConfig(dg.Config):
    """Which scrape to start."""

    tick: str | None = Field(
        None,
        description="Time for which it was due, ISO with zone: the key under which it is started "
        "once. None: the last due one.",
    )


def scrape_metadata(report: ScrapeReport) -> dict[str, dg.MetadataValue | int | float | str]:
    """Return what the operator sees of a start; the webhook's run shows what came of it."""
    return {
        "tick": report.tick.isoformat(),
        "actor": report.actor,
        "actor_run_id": report.actor_run_id,
        "started_at": report.started_at.isoformat(),
        "hashtags": dg.MetadataValue.json(list(report.hashtags)),
        "n_hashtags": len(report.hashtags),
        "results_per_page": report.results_per_page,
        "max_items": report.max_items,
        "max_cents": report.max_cents,
        "earlier_scrapes_settled": report.settled,
    }


@dg.op(retry_policy=START_RETRIES)
def start_scrape(
    context: dg.OpExecutionContext, config: ScrapeConfig, database: DatabaseResource
) -> None:
    """Start the actor for one tick, within caps on items and spend; do not wait for its end.

    A tick is started at most once. Whether a run was started after a connection that broke is not
    known; such a tick is left alone.
    """
    try:
        now = datetime.now(UTC)
        tick = scraping.parse_tick(config.tick) if config.tick else scraping.latest_tick(now)
        report = scraping.start_scrape(load_settings(), database.get(), tick=tick)
    except (GateRefusedError, UnclearStartError) as error:
        raise _final(error, GATE_REFUSED) from error
    except (ConfigurationError, InputError) as error:
        raise _final(error, INPUT_UNUSABLE) from error
    except ProviderError as error:
        if error.is_retryable:
            raise
        raise _final(error, error.reason) from error
    context.add_output_metadata(scrape_metadata(report))


def _final(error: ViralPlatformError, kind: str) -> dg.Failure:
    return dg.Failure(
        f"Nothing was started by this run: {error}", metadata={"kind": kind}, allow_retries=False
    )


@dg.job(
    description="Start one scrape of the hashtags in SCRAPER_HASHTAGS at Apify.",
    tags={EXCLUSIVE: "scrape_trending"},
)
def scrape_trending() -> None:
    """Start one scrape."""
    start_scrape()
