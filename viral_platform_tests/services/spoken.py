"""A prediction service before the stand-ins of the providers, impatient so that tests are quick."""

from __future__ import annotations

from collections.abc import Callable

from viral_platform.engine.prediction import Deadlines
from viral_platform.providers.apify import ApifyClient
from viral_platform.providers.benchmarks import Benchmarks
from viral_platform.providers.breaker import CircuitBreaker
from viral_platform.providers.budget import Budget
from viral_platform.providers.calls import Patience, Waits
from viral_platform.providers.deepseek import DeepSeekClient
from viral_platform.providers.gemini import GeminiClient
from viral_platform.providers.pricing import Pricing
from viral_platform.services.prediction import PredictionService
from viral_platform.services.providers import Providers
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.costs import CostLedger
from viral_platform.storage.database import Database

WAITS = Waits(first=0.01, factor=1.0, jitter=0.0)
# Long enough for a busy machine, short enough to wait for when something hangs.
PATIENCE = Patience(attempt_seconds=1.0, total_seconds=1.2)

Open = Callable[..., PredictionService]


def open_spoken(
    database: Database,
    artifacts: ArtifactStore,
    base_url: str,
    *,
    day_cap: int = 10**9,
    request_cap: int | None = None,
    asked: tuple[str, ...] = ("gemini", "deepseek", "apify"),
) -> PredictionService:
    """Return a service that asks the named providers at `base_url`."""
    pricing = Pricing()
    budget = Budget(CostLedger(database), pricing, day_cap_microdollars=day_cap)
    providers = Providers(request_cap_microdollars=request_cap)
    breakers = {name: CircuitBreaker(name) for name in asked}
    providers.breakers.extend(breakers.values())
    if "gemini" in asked:
        gemini = GeminiClient(
            api_key="k",
            model="gemini-2.5-flash",
            base_url=base_url,
            breaker=breakers["gemini"],
            budget=budget,
            pricing=pricing,
            benchmarks=Benchmarks(),
            text_patience=PATIENCE,
            video_patience=PATIENCE,
            reason_patience=PATIENCE,
            poll_seconds=0.01,
            waits=WAITS,
        )
        providers.analyst = gemini
        providers.clients.append(gemini)
    if "deepseek" in asked:
        deepseek = DeepSeekClient(
            api_key="k",
            model="deepseek-flash",
            base_url=base_url,
            breaker=breakers["deepseek"],
            budget=budget,
            pricing=pricing,
            benchmarks=Benchmarks(),
            reason_patience=PATIENCE,
            judge_patience=PATIENCE,
            waits=WAITS,
        )
        providers.behavior = deepseek
        providers.clients.append(deepseek)
    if "apify" in asked:
        apify = ApifyClient(
            token="k",
            base_url=base_url,
            actor="clockworks~tiktok-scraper",
            breaker=breakers["apify"],
            budget=budget,
            attempt_seconds=1.0,
            poll_seconds=0.01,
            waits=WAITS,
        )
        providers.apify = apify
        providers.clients.append(apify)
    return PredictionService(database, artifacts, providers, deadlines=Deadlines(total=20))
