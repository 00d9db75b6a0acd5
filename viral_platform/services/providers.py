"""The providers of one process: clients, breakers and budget, made of settings.

One set serves all requests of a process, since breakers and connections are shared.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from viral_platform.engine.prediction import Deadlines
from viral_platform.engine.tasks import BehaviorAnalyst, ContentAnalyst
from viral_platform.providers.benchmarks import load_benchmarks
from viral_platform.providers.breaker import CircuitBreaker
from viral_platform.providers.budget import Budget
from viral_platform.providers.calls import Patience
from viral_platform.providers.pricing import Pricing
from viral_platform.settings import Settings
from viral_platform.storage.costs import CostLedger
from viral_platform.storage.database import Database

if TYPE_CHECKING:
    from viral_platform.providers.apify import ApifyClient
    from viral_platform.providers.deepseek import DeepSeekClient
    from viral_platform.providers.gemini import GeminiClient

_MICRODOLLARS_PER_CENT = 10_000
# By so much earlier than its stage a client gives up.
_MARGIN_SECONDS = 0.5


@dataclass
class Providers:
    """Whom the stages of a prediction may ask; None is not configured."""

    analyst: ContentAnalyst | None = None
    behavior: BehaviorAnalyst | None = None
    apify: ApifyClient | None = None
    request_cap_microdollars: int | None = None
    deadline_seconds: float = 90.0
    breakers: list[CircuitBreaker] = field(default_factory=list)
    clients: list[GeminiClient | DeepSeekClient | ApifyClient] = field(default_factory=list)

    async def close(self) -> None:
        """Close the connections of all clients."""
        await asyncio.gather(*(client.aclose() for client in self.clients))


class _Patiences(NamedTuple):
    reasoning: Patience
    fallback: Patience


def _patience(deadline_seconds: float) -> _Patiences:
    """Return how long the reasoning may take, so that clients give up before their stages do.

    A call that its stage cuts off counts as nobody's fault; one that its client gives up on is
    the provider's, and opens its breaker.
    """
    spare = Deadlines.analysis + Deadlines.fallback
    reasoning = max(_MARGIN_SECONDS, min(Deadlines.reasoning, deadline_seconds - spare))
    fallback = Deadlines.fallback - _MARGIN_SECONDS
    return _Patiences(
        Patience(reasoning, reasoning - _MARGIN_SECONDS), Patience(fallback, fallback)
    )


def open_providers(settings: Settings, database: Database) -> Providers:
    """Return the providers whose keys are set.

    Raises
    ------
    ConfigurationError
        A configured model has no price.
    """
    pricing = Pricing()
    budget = Budget(
        CostLedger(database),
        pricing,
        day_cap_microdollars=round(settings.daily_budget_cents * _MICRODOLLARS_PER_CENT),
    )
    waits = _patience(settings.prediction_deadline_seconds)
    providers = Providers(
        request_cap_microdollars=round(settings.request_budget_cents * _MICRODOLLARS_PER_CENT),
        deadline_seconds=settings.prediction_deadline_seconds,
    )
    benchmarks = load_benchmarks(settings.calibration_baseline_file)
    # The clients' libraries take 0.7 s to import, which an answer without keys does not need.
    if settings.gemini_api_key is not None:
        from viral_platform.providers.gemini import GeminiClient

        breaker = CircuitBreaker("gemini")
        gemini = GeminiClient(
            api_key=settings.gemini_api_key.get_secret_value(),
            model=settings.gemini_model,
            base_url=settings.gemini_base_url,
            breaker=breaker,
            budget=budget,
            pricing=pricing,
            benchmarks=benchmarks,
            reason_patience=waits.fallback,
        )
        providers.analyst = gemini
        providers.breakers.append(breaker)
        providers.clients.append(gemini)
    if settings.deepseek_api_key is not None:
        from viral_platform.providers.deepseek import DeepSeekClient

        breaker = CircuitBreaker("deepseek")
        deepseek = DeepSeekClient(
            api_key=settings.deepseek_api_key.get_secret_value(),
            model=settings.deepseek_model,
            base_url=settings.deepseek_base_url,
            breaker=breaker,
            budget=budget,
            pricing=pricing,
            benchmarks=benchmarks,
            reason_patience=waits.reasoning,
        )
        providers.behavior = deepseek
        providers.breakers.append(breaker)
        providers.clients.append(deepseek)
    if settings.apify_token is not None:
        from viral_platform.providers.apify import ApifyClient

        breaker = CircuitBreaker("apify")
        apify = ApifyClient(
            token=settings.apify_token.get_secret_value(),
            base_url=settings.apify_base_url,
            actor=settings.apify_actor,
            breaker=breaker,
            budget=budget,
            attempt_seconds=Deadlines.post - _MARGIN_SECONDS,
        )
        providers.apify = apify
        providers.breakers.append(breaker)
        providers.clients.append(apify)
    return providers
