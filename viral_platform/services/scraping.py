"""Scrapes: one actor run for an order, started at most once, within caps on items and spend.

What is scraped, and when, is the work of the purposes' modules (`trending_scrapes`, `profiles`);
what an actor run brings that of `services.ingestion.datasets`, begun by its webhook.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from viral_platform.engine.errors import (
    ConfigurationError,
    GateRefusedError,
    NotFoundError,
    ProviderError,
)
from viral_platform.engine.spend import RequestSpend
from viral_platform.observability.logging import get_logger
from viral_platform.providers.apify_actor import (
    ActorStarter,
    RunCaps,
    RunWebhook,
    UnclearStartError,
)
from viral_platform.providers.apify_datasets import ApifyDatasets
from viral_platform.providers.apify_wire import PRICE_VERSION, PROVIDER, ActorRun
from viral_platform.providers.breaker import CircuitBreaker
from viral_platform.providers.budget import Budget
from viral_platform.providers.calls import Waits
from viral_platform.providers.pricing import Pricing
from viral_platform.settings import Settings
from viral_platform.storage import scrapes
from viral_platform.storage.costs import CostLedger
from viral_platform.storage.database import Database
from viral_platform.storage.scrapes import ScrapeOrder, ScrapeStart

log = get_logger(__name__)

# Well below the time between two ticks, so that two scrapes of a schedule never run at once.
RUN_SECONDS = 2 * 3_600
# A start that is not recorded after so long was interrupted.
ABANDONED_AFTER = timedelta(minutes=10)
SETTLED_AT_ONCE = 20
# Above what the actor's items cost, so that a short scrape does not set aside what a long one may.
CENTS_PER_ITEM = 1.0

_CENTS_PER_DOLLAR = 100
_MICRODOLLARS_PER_CENT = 10_000
_GONE = "not_found"
_NEEDED = ("apify_token", "apify_webhook_url", "apify_webhook_secret")


@dataclass(frozen=True, slots=True)
class ScrapeReport:
    """A scrape that was started; `settled` earlier ones got their cost in place of its ceiling."""

    order: ScrapeOrder
    actor_run_id: str
    started_at: datetime
    actor: str
    max_items: int
    max_cents: float
    settled: int


def missing_settings(settings: Settings) -> list[str]:
    """Return the names of the settings without which no scrape can be started."""
    return [name.upper() for name in _NEEDED if getattr(settings, name) is None]


def most_items(actor_input: Mapping[str, Any]) -> int:
    """Return how many items an actor's input asks for at most.

    Examples
    --------
    >>> most_items({"profiles": ["a", "b"], "resultsPerPage": 30})
    60
    """
    per_search = int(actor_input.get("resultsPerPage", 1))
    searches = sum(len(actor_input.get(name, ())) for name in ("hashtags", "profiles"))
    return searches * per_search + len(actor_input.get("postURLs", ()))


def caps(settings: Settings, order: ScrapeOrder) -> tuple[int, float]:
    """Return how many items a scrape may bring and what it may charge, US cents."""
    max_items = min(settings.scraper_max_items, most_items(order.input))
    return max_items, min(settings.scraper_max_cents, (1 + max_items) * CENTS_PER_ITEM)


def start_scrape(
    settings: Settings,
    database: Database,
    order: ScrapeOrder,
    *,
    waits: Waits = Waits(),  # noqa: B008  frozen
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ScrapeReport:
    """Start a scrape; its data come by webhook. An order is started at most once.

    Before it, earlier scrapes that have ended get what they cost in place of their ceilings.

    Raises
    ------
    ConfigurationError
        A setting is missing, or cannot be sent.
    GateRefusedError
        It was started before, or this is not known.
    ProviderError
        Nothing was started, and it may be tried again; `UnclearStartError` when a run may
        be under way, and it may not.
    DatabaseUnavailableError
        Before the start: nothing was started. After it: the order stays claimed.
    """
    missing = missing_settings(settings)
    if missing:
        raise ConfigurationError(
            f"No scrape can be started without {', '.join(missing)}. Set what is missing."
        )
    settled = settle_runs(settings, database, waits=waits)
    scrapes.abandon(database, before=now() - ABANDONED_AFTER)
    requested_at = now()
    if not scrapes.claim(database, order, requested_at):
        raise GateRefusedError(_why_not(scrapes.get(database, order.purpose, order.key), order))
    request_id = f"scrape-{order.purpose}-{order.key}"
    max_items, max_cents = caps(settings, order)
    run_caps = RunCaps(
        max_items=max_items, max_charge_usd=max_cents / _CENTS_PER_DOLLAR, seconds=RUN_SECONDS
    )
    try:
        run = asyncio.run(_start(settings, database, order, run_caps, request_id, waits, now))
    except UnclearStartError as error:
        scrapes.record_failed(database, order, state="unclear", problem=str(error))
        raise
    except (ProviderError, ConfigurationError) as error:
        scrapes.record_failed(database, order, state="refused", problem=str(error))
        raise
    started_at = run.started_at or requested_at
    scrapes.record_started(
        database,
        order,
        run_id=run.id,
        started_at=started_at,
        request_id=request_id,
        reserved_since=requested_at,
    )
    log.info("scrape_started", purpose=order.purpose, actor_run_id=run.id, max_items=max_items)
    return ScrapeReport(
        order=order,
        actor_run_id=run.id,
        started_at=started_at,
        actor=settings.apify_actor,
        max_items=max_items,
        max_cents=max_cents,
        settled=settled,
    )


def start_ordered(
    settings: Settings,
    database: Database,
    purpose: str,
    key: str,
    *,
    waits: Waits = Waits(),  # noqa: B008  frozen
) -> ScrapeReport:
    """Start a scrape that was ordered before.

    Raises
    ------
    NotFoundError
        There is no such order.
    ConfigurationError, GateRefusedError, ProviderError, DatabaseUnavailableError
        As `start_scrape`.
    """
    order = scrapes.get(database, purpose, key)
    if order is None:
        raise NotFoundError(f"No {purpose} scrape {key} was ordered. See app.scrape_starts.")
    return start_scrape(settings, database, order, waits=waits)


def settle_runs(
    settings: Settings,
    database: Database,
    *,
    waits: Waits = Waits(),  # noqa: B008  frozen
) -> int:
    """Ask how earlier scrapes ended and book what they cost; return how many were settled.

    What cannot be asked now stays booked with its ceiling, and is asked the next time.
    """
    open_starts = scrapes.unsettled(database, SETTLED_AT_ONCE)
    if not open_starts or settings.apify_token is None:
        return 0
    apify = ApifyDatasets(
        token=settings.apify_token.get_secret_value(),
        base_url=settings.apify_base_url,
        waits=waits,
    )
    try:
        return sum(_settle(database, apify, start) for start in open_starts)
    except ProviderError as error:
        log.warning("scrapes_not_settled", problem=str(error))
        return 0
    finally:
        apify.close()


def _settle(database: Database, apify: ApifyDatasets, start: ScrapeStart) -> bool:
    try:
        run = apify.run(str(start.actor_run_id))
    except ProviderError as error:
        if error.reason != _GONE:
            raise
        return scrapes.record_ended(database, start, run_status=_GONE)
    if run.is_under_way:
        return False
    return scrapes.record_ended(
        database,
        start,
        run_status=run.status,
        dataset_id=run.dataset_id,
        microdollars=run.microdollars,
        price_version=PRICE_VERSION,
    )


async def _start(
    settings: Settings,
    database: Database,
    order: ScrapeOrder,
    run_caps: RunCaps,
    request_id: str,
    waits: Waits,
    now: Callable[[], datetime],
) -> ActorRun:
    """Start the actor run; settings that it needs are set."""
    budget = Budget(
        CostLedger(database),
        Pricing(),
        day_cap_microdollars=round(settings.daily_budget_cents * _MICRODOLLARS_PER_CENT),
        now=now,
    )
    starter = ActorStarter(
        token=_secret(settings, "apify_token"),
        base_url=settings.apify_base_url,
        actor=settings.apify_actor,
        breaker=CircuitBreaker(PROVIDER),
        budget=budget,
        waits=waits,
        now=now,
    )
    try:
        return await starter.start_actor(
            order.input,
            webhook=RunWebhook(
                str(settings.apify_webhook_url), _secret(settings, "apify_webhook_secret")
            ),
            caps=run_caps,
            meter=RequestSpend(request_id).meter("scrape"),
        )
    finally:
        await starter.aclose()


def _secret(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    return "" if value is None else str(value.get_secret_value())


def _why_not(start: ScrapeStart | None, order: ScrapeOrder) -> str:
    scrape = f"The {order.purpose} scrape {order.key}"
    if start is not None and start.state == "started":
        return f"{scrape} was started: actor run {start.actor_run_id}. Nothing is to do."
    if start is not None and start.state == "unclear":
        return (
            f"{scrape} may have been started ({start.problem}) and is not started again. Look at "
            "the actor's runs at Apify; a later scrape starts anew."
        )
    return f"{scrape} is being started by another process. Wait for its end."
