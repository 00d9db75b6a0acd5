"""Scrapes that start by schedule: one actor run a tick, within caps on items and spend.

What an actor run brings is the work of `services.ingestion.datasets`, begun by its webhook.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from viral_platform.engine.errors import (
    ConfigurationError,
    GateRefusedError,
    InputError,
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
from viral_platform.storage.scrapes import ScrapeStart

log = get_logger(__name__)

TICK_HOURS = 6
RESULTS_PER_PAGE = 100
# Well below the time between two ticks, so that two scrapes never run at once.
RUN_SECONDS = 2 * 3_600
# A start that is not recorded after so long was interrupted.
ABANDONED_AFTER = timedelta(minutes=10)
SETTLED_AT_ONCE = 20

_CENTS_PER_DOLLAR = 100
_MICRODOLLARS_PER_CENT = 10_000
_GONE = "not_found"
_NEEDED = ("apify_token", "apify_webhook_url", "apify_webhook_secret")


@dataclass(frozen=True, slots=True)
class ScrapeReport:
    """A scrape that was started; `settled` earlier ones got their cost in place of its ceiling."""

    tick: datetime
    actor_run_id: str
    started_at: datetime
    actor: str
    hashtags: tuple[str, ...]
    results_per_page: int
    max_items: int
    max_cents: float
    settled: int


def hashtags_of(text: str) -> tuple[str, ...]:
    """Return the hashtags of `SCRAPER_HASHTAGS`, each once, as the actor takes them.

    Examples
    --------
    >>> hashtags_of(" #FYP, cooking,,fyp ")
    ('fyp', 'cooking')
    """
    bare = (part.strip().lstrip("#").strip().lower() for part in text.split(","))
    return tuple(dict.fromkeys(tag for tag in bare if tag))


def missing_settings(settings: Settings) -> list[str]:
    """Return the names of the settings without which no scrape can be started."""
    return [name.upper() for name in _NEEDED if getattr(settings, name) is None]


def latest_tick(now: datetime) -> datetime:
    """Return the last time at which a scrape was due: midnight UTC and every six hours.

    Examples
    --------
    >>> latest_tick(datetime(2026, 5, 1, 17, 59, tzinfo=UTC)).hour
    12
    """
    at = now.astimezone(UTC)
    hour = at.hour - at.hour % TICK_HOURS
    return at.replace(hour=hour, minute=0, second=0, microsecond=0)


def parse_tick(text: str) -> datetime:
    """Return the time of a tick.

    Raises
    ------
    InputError
        It is no ISO time with a zone.
    """
    try:
        tick = datetime.fromisoformat(text)
    except ValueError:
        tick = None
    if tick is None or tick.tzinfo is None:
        raise InputError(f"tick {text!r} is no ISO time with a zone, as 2026-05-01T06:00:00+00:00.")
    return tick.astimezone(UTC)


def start_scrape(
    settings: Settings,
    database: Database,
    *,
    tick: datetime,
    waits: Waits = Waits(),  # noqa: B008  frozen
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ScrapeReport:
    """Start the scrape of a tick; its data come by webhook. A tick is started at most once.

    Before it, earlier scrapes that have ended get what they cost in place of their ceilings.

    Raises
    ------
    ConfigurationError
        A setting is missing, or cannot be sent.
    GateRefusedError
        The tick was started before, or this is not known.
    ProviderError
        Nothing was started, and the tick may be tried again; `UnclearStartError` when a run may
        be under way, and it may not.
    DatabaseUnavailableError
        Before the start: nothing was started. After it: the tick stays claimed.
    """
    missing = missing_settings(settings)
    if missing:
        raise ConfigurationError(
            f"No scrape can be started without {', '.join(missing)}. Set what is missing."
        )
    hashtags = hashtags_of(settings.scraper_hashtags)
    if not hashtags:
        raise ConfigurationError("SCRAPER_HASHTAGS names no hashtag. Name one, or unset it.")
    settled = settle_runs(settings, database, waits=waits)
    scrapes.abandon(database, before=now() - ABANDONED_AFTER)
    requested_at = now()
    if not scrapes.claim(database, tick, requested_at):
        raise GateRefusedError(_why_not(scrapes.get(database, tick), tick))
    request_id = f"scrape-{tick:%Y%m%dT%H%MZ}"
    try:
        run = asyncio.run(_start(settings, database, hashtags, request_id, waits, now))
    except UnclearStartError as error:
        _fail(database, tick, error, is_unclear=True)
        raise
    except (ProviderError, ConfigurationError) as error:
        _fail(database, tick, error, is_unclear=False)
        raise
    started_at = run.started_at or requested_at
    scrapes.record_started(
        database,
        tick,
        run_id=run.id,
        started_at=started_at,
        request_id=request_id,
        reserved_since=requested_at,
    )
    log.info("scrape_started", tick=tick.isoformat(), actor_run_id=run.id, hashtags=len(hashtags))
    return ScrapeReport(
        tick=tick,
        actor_run_id=run.id,
        started_at=started_at,
        actor=settings.apify_actor,
        hashtags=hashtags,
        results_per_page=RESULTS_PER_PAGE,
        max_items=settings.scraper_max_items,
        max_cents=settings.scraper_max_cents,
        settled=settled,
    )


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
    hashtags: tuple[str, ...],
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
            {"hashtags": list(hashtags), "resultsPerPage": RESULTS_PER_PAGE},
            webhook=RunWebhook(
                str(settings.apify_webhook_url), _secret(settings, "apify_webhook_secret")
            ),
            caps=RunCaps(
                max_items=settings.scraper_max_items,
                max_charge_usd=settings.scraper_max_cents / _CENTS_PER_DOLLAR,
                seconds=RUN_SECONDS,
            ),
            meter=RequestSpend(request_id).meter("scrape"),
        )
    finally:
        await starter.aclose()


def _secret(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    return "" if value is None else str(value.get_secret_value())


def _fail(database: Database, tick: datetime, error: Exception, *, is_unclear: bool) -> None:
    scrapes.record_failed(
        database, tick, state="unclear" if is_unclear else "refused", problem=str(error)
    )


def _why_not(start: ScrapeStart | None, tick: datetime) -> str:
    scrape = f"The scrape of {tick.isoformat()}"
    if start is not None and start.state == "started":
        return f"{scrape} was started: actor run {start.actor_run_id}. Wait for the next tick."
    if start is not None and start.state == "unclear":
        return (
            f"{scrape} may have been started ({start.problem}) and is not started again. Look at "
            "the actor's runs at Apify; the next tick starts anew."
        )
    return f"{scrape} is being started by another process. Wait for its end."
