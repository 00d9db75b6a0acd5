"""Jobs that start an actor run at Apify, and the sensor that launches those that were ordered."""

from collections.abc import Callable, Iterator
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
from viral_platform.services import collected_outcomes, competitors, scraping, trending_scrapes
from viral_platform.services.collected_outcomes import Recorded
from viral_platform.services.scraping import ScrapeReport
from viral_platform.services.ticks import latest_tick, parse_tick
from viral_platform.settings import load_settings
from viral_platform.storage import scrapes
from viral_platform.storage.scrapes import ScrapeOrder

# Apify being overloaded. What may have been started is refused by its tick, not started again.
START_RETRIES = dg.RetryPolicy(
    max_retries=2, delay=60, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
# The tag of a run by which its order is found.
ORDER_TAG = "viral/scrape_order"
ORDERS_AT_ONCE = 20
# Runs that were killed before they took their order up.
ATTEMPTS = 3


class ScrapeConfig(dg.Config):
    """Which scrape to start."""

    tick: str | None = Field(
        None,
        description="Time for which it was due, ISO with zone: the key under which it is started "
        "once. None: the last due one.",
    )


class OrderConfig(dg.Config):
    """Which ordered scrape to start: the key of a row of app.scrape_starts."""

    purpose: str = Field(description="What it is for, as profile.")
    key: str = Field(description="Its key in that purpose.")


def scrape_metadata(report: ScrapeReport) -> dict[str, dg.MetadataValue | int | float | str]:
    """Return what the operator sees of a start; the webhook's run shows what came of it."""
    searched = {
        f"n_{name.lower()}": len(values)
        for name, values in report.order.input.items()
        if isinstance(values, list)
    }
    return {
        "purpose": report.order.purpose,
        "key": report.order.key,
        "actor": report.actor,
        "actor_run_id": report.actor_run_id,
        "started_at": report.started_at.isoformat(),
        **searched,
        "max_items": report.max_items,
        "max_cents": report.max_cents,
        "earlier_scrapes_settled": report.settled,
    }


def started(context: dg.OpExecutionContext, start: Callable[[], ScrapeReport], **more: int) -> None:
    """Start a scrape and tell of it; a failure says whether trying again may help."""
    try:
        report = start()
    except (GateRefusedError, UnclearStartError) as error:
        raise _final(error, GATE_REFUSED) from error
    except (ConfigurationError, InputError) as error:
        raise _final(error, INPUT_UNUSABLE) from error
    except ProviderError as error:
        if error.is_retryable:
            raise
        raise _final(error, error.reason) from error
    context.add_output_metadata({**scrape_metadata(report), **more})


def _final(error: ViralPlatformError, kind: str) -> dg.Failure:
    return dg.Failure(
        f"Nothing was started by this run: {error}", metadata={"kind": kind}, allow_retries=False
    )


@dg.op(retry_policy=START_RETRIES)
def start_scrape(
    context: dg.OpExecutionContext, config: ScrapeConfig, database: DatabaseResource
) -> None:
    """Start the actor for one tick, within caps on items and spend; do not wait for its end.

    A tick is started at most once. Whether a run was started after a connection that broke is not
    known; such a tick is left alone.
    """
    settings = load_settings()

    def order() -> ScrapeOrder:
        now = datetime.now(UTC)
        due = latest_tick(now, trending_scrapes.EVERY)
        return trending_scrapes.trending_order(
            settings, parse_tick(config.tick) if config.tick else due
        )

    started(context, lambda: scraping.start_scrape(settings, database.get(), order()))


@dg.job(
    description="Start one scrape of the hashtags in SCRAPER_HASHTAGS at Apify.",
    tags={EXCLUSIVE: "scrape_trending"},
)
def scrape_trending() -> None:
    """Start one scrape."""
    start_scrape()


@dg.op(retry_policy=START_RETRIES)
def start_competitors(
    context: dg.OpExecutionContext, config: ScrapeConfig, database: DatabaseResource
) -> None:
    """Start one scrape of the watched profiles for one tick, the longest unseen first."""
    settings = load_settings()

    def order() -> ScrapeOrder:
        due = latest_tick(datetime.now(UTC), competitors.EVERY, competitors.AFTER)
        tick = parse_tick(config.tick) if config.tick else due
        return competitors.competitors_order(settings, database.get(), tick)

    started(context, lambda: scraping.start_scrape(settings, database.get(), order()))


@dg.job(
    description="Start one scrape of the watched competitors' profiles at Apify.",
    tags={EXCLUSIVE: "refresh_competitors"},
)
def refresh_competitors() -> None:
    """Start one scrape."""
    start_competitors()


def outcomes_metadata(recorded: Recorded) -> dict[str, int]:
    """Return what the operator sees of outcomes that crawls have brought."""
    return {"collected": recorded.outcomes, "not_judged": recorded.unjudged}


def outcomes_made(recorded: Recorded) -> dg.AssetMaterialization:
    """Return the event of outcomes that crawls have brought."""
    return dg.AssetMaterialization("outcomes", metadata=outcomes_metadata(recorded))


@dg.op(retry_policy=START_RETRIES)
def collect(
    context: dg.OpExecutionContext, config: ScrapeConfig, database: DatabaseResource
) -> None:
    """Record the outcomes that crawls have brought, and start one scrape of all due posts."""
    settings, now = load_settings(), datetime.now(UTC)
    recorded = collected_outcomes.record_arrived(database.get())
    if recorded.outcomes:
        context.log_event(outcomes_made(recorded))
    told = outcomes_metadata(recorded)
    if not collected_outcomes.due_posts(settings, database.get(), now):
        context.add_output_metadata(told)
        return
    due = latest_tick(now, collected_outcomes.EVERY, collected_outcomes.AFTER)
    tick = parse_tick(config.tick) if config.tick else due
    order = collected_outcomes.outcomes_order(settings, database.get(), tick, now)
    started(context, lambda: scraping.start_scrape(settings, database.get(), order), **told)


@dg.job(
    description="Crawl the posts of predictions at their outcome's age, and record the outcomes "
    "that crawls have brought.",
    tags={EXCLUSIVE: "collect_outcomes"},
)
def collect_outcomes() -> None:
    """Collect outcomes."""
    collect()


@dg.op(retry_policy=START_RETRIES)
def start_ordered(
    context: dg.OpExecutionContext, config: OrderConfig, database: DatabaseResource
) -> None:
    """Start the actor for one queued row of app.scrape_starts; at most once."""
    started(
        context,
        lambda: scraping.start_ordered(load_settings(), database.get(), config.purpose, config.key),
    )


@dg.job(
    description="Start one scrape that was ordered, as by PUT /v1/profile.",
    tags={EXCLUSIVE: "start_ordered_scrape"},
)
def start_ordered_scrape() -> None:
    """Start one ordered scrape."""
    start_ordered()


@dg.sensor(
    # By its name: binding the job itself takes a parameter that still warns as beta.
    job_name=start_ordered_scrape.name,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches start_ordered_scrape for each scrape that was ordered. Orders wait while "
    "APIFY_TOKEN, APIFY_WEBHOOK_URL or APIFY_WEBHOOK_SECRET is not set.",
)
def scrape_order_sensor(
    context: dg.SensorEvaluationContext, database: DatabaseResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Launch a run for each queued scrape."""
    waiting = scrapes.queued(database.get(), ORDERS_AT_ONCE)
    missing = scraping.missing_settings(load_settings())
    if waiting and missing:
        yield dg.SkipReason(f"Not set: {', '.join(missing)}. {len(waiting)} scrapes wait for it.")
        return
    launched = 0
    for order in waiting:
        name = f"{order.purpose} {order.key}"
        runs = context.instance.get_runs(dg.RunsFilter(tags={ORDER_TAG: name}), limit=ATTEMPTS)
        if any(not run.is_finished for run in runs):
            continue
        if len(runs) >= ATTEMPTS:
            problem = f"{len(runs)} runs ended without taking it up"
            scrapes.record_failed(database.get(), order, state="refused", problem=problem)
            continue
        launched += 1
        yield dg.RunRequest(
            run_key=f"{name}:{len(runs) + 1}",
            run_config={"ops": {"start_ordered": {"config": order.named}}},
            tags={ORDER_TAG: name},
        )
    if not launched:
        yield dg.SkipReason(f"No scrape is to be launched; {len(waiting)} wait for their run.")
