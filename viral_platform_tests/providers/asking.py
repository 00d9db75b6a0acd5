"""Both language-model clients before a stand-in, with what they spend; and questions to put."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from viral_platform.engine.contracts import ContentPayload, Rule, RuleResult
from viral_platform.engine.replies import GeminiAnalysis, GeminiFactor
from viral_platform.engine.spend import Meter, RequestSpend
from viral_platform.engine.tasks import Answered, Briefing, VideoFile
from viral_platform.providers.benchmarks import Benchmarks
from viral_platform.providers.breaker import CircuitBreaker
from viral_platform.providers.budget import Budget, Ledger, Reservation, Settlement
from viral_platform.providers.calls import Patience, Waits
from viral_platform.providers.deepseek import DeepSeekClient
from viral_platform.providers.gemini import GeminiClient
from viral_platform.providers.pricing import Pricing

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PRICING = Pricing()
GEMINI_MODEL, DEEPSEEK_MODEL = "gemini-2.5-flash", "deepseek-flash"
CAPTION = "Is this the calmest river in Huế? Share it with a friend #hue"

PAYLOAD = ContentPayload(
    content_text=CAPTION,
    content_type="video",
    input_mode="text",
    platform="tiktok",
    video_url=None,
    hashtags=("hue",),
    duration_seconds=15.0,
    niche="travel",
    creator_handle="some.creator",
    society_id="a society",
    posted_at=None,
)
RULES = [
    Rule(
        "loop", "Loop Structure", "retention", "semantic", None, 12,
        evaluation_prompt="Does the end lead back to the start?",
    ),
    Rule(
        "arc", "Emotional Arc", "retention", "semantic", None, 12,
        evaluation_prompt="Is there tension that is resolved?",
    ),
]  # fmt: skip
ANALYSIS = GeminiAnalysis(
    factors=[
        GeminiFactor(name=name, score=7.3, rationale="it asks", improvement_tip="ask sooner")
        for name in ("a", "b", "c", "d", "e")
    ],
    overall_impression="calm",
    content_summary="a river",
)
BRIEFING = Briefing(
    payload=PAYLOAD,
    analysis=ANALYSIS,
    rules=RuleResult(rule_score=None, matched_rules=[], evaluated=0, not_evaluated=[]),
    trend_context="Paper Boat is rising.",
    creator_context="followers: 1,000",
)


@dataclass
class MemoryLedger:
    """The rows that the database would hold; those without a settlement are estimates."""

    rows: list[int] = field(default_factory=list)
    settlements: dict[int, Settlement] = field(default_factory=dict)
    reservations: list[Reservation] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reserve(self, reservation: Reservation, *, day_cap_microdollars: int) -> int | None:
        with self.lock:
            if sum(self.rows) + reservation.ceiling_microdollars > day_cap_microdollars:
                return None
            self.reservations.append(reservation)
            self.rows.append(reservation.ceiling_microdollars)
            return len(self.rows) - 1

    def settle(self, event_id: int, settlement: Settlement) -> None:
        with self.lock:
            self.settlements[event_id] = settlement
            self.rows[event_id] = settlement.microdollars

    @property
    def kinds(self) -> list[str]:
        """What became of each call: "estimate", "free" or "used"."""
        return [
            "estimate"
            if row not in self.settlements
            else "used"
            if self.settlements[row].tokens
            else "free"
            for row in range(len(self.rows))
        ]


@dataclass
class Desk:
    """Clients of one process. Each `run` has its own event loop and closes them at its end."""

    base_url: str
    patience: Patience = Patience(attempt_seconds=5.0, total_seconds=10.0, attempts=1)  # noqa: RUF009
    upload_seconds: float = 5.0
    waits: Waits = Waits(first=0.0, jitter=0.0)  # noqa: RUF009
    gemini_model: str = GEMINI_MODEL
    deepseek_model: str = DEEPSEEK_MODEL
    key: str = "a-key"
    day_cap: int = 10**9
    request_cap: int | None = None
    ledger: Ledger = field(default_factory=MemoryLedger)
    now: Callable[[], datetime] = lambda: NOON
    breaker: CircuitBreaker = field(default_factory=lambda: CircuitBreaker("either"))

    def __post_init__(self) -> None:
        self.spend = RequestSpend("request-1", self.request_cap)
        self.meter: Meter = self.spend.meter("a stage")

    def shared(self) -> dict[str, Any]:
        return {
            "api_key": self.key,
            "base_url": self.base_url,
            "breaker": self.breaker,
            "budget": Budget(self.ledger, PRICING, day_cap_microdollars=self.day_cap, now=self.now),
            "pricing": PRICING,
            "benchmarks": Benchmarks(),
            "waits": self.waits,
            "now": self.now,
        }

    @cached_property
    def gemini(self) -> GeminiClient:
        return GeminiClient(
            model=self.gemini_model,
            text_patience=self.patience,
            video_patience=self.patience,
            reason_patience=self.patience,
            upload_seconds=self.upload_seconds,
            poll_seconds=0.01,
            **self.shared(),
        )

    @cached_property
    def deepseek(self) -> DeepSeekClient:
        return DeepSeekClient(
            model=self.deepseek_model,
            reason_patience=self.patience,
            judge_patience=self.patience,
            **self.shared(),
        )

    def run(self, ask: Callable[[Desk], Awaitable[Any]]) -> Any:
        async def asked() -> Any:
            try:
                return await ask(self)
            finally:
                for name in ("gemini", "deepseek"):
                    if name in self.__dict__:
                        await self.__dict__.pop(name).aclose()

        return asyncio.run(asked())

    def ask(self, method: Method) -> Answered[Any]:
        return self.run(method.ask)


@dataclass(frozen=True)
class Method:
    """One thing that a client can be asked."""

    name: str
    provider: str
    operation: str
    ask: Callable[[Desk], Awaitable[Answered[Any]]]

    def __str__(self) -> str:
        return self.name


def gemini_text(desk: Desk) -> Awaitable[Answered[Any]]:
    return desk.gemini.analyse(PAYLOAD, None, desk.meter)


def gemini_reason(desk: Desk) -> Awaitable[Answered[Any]]:
    return desk.gemini.reason(BRIEFING, desk.meter)


def deepseek_reason(desk: Desk) -> Awaitable[Answered[Any]]:
    return desk.deepseek.reason(BRIEFING, desk.meter)


def deepseek_judge(desk: Desk) -> Awaitable[Answered[Any]]:
    return desk.deepseek.judge(PAYLOAD, RULES, desk.meter)


GEMINI_TEXT = Method("gemini text", "gemini", "generate", gemini_text)
GEMINI_REASON = Method("gemini reason", "gemini", "generate", gemini_reason)
DEEPSEEK_REASON = Method("deepseek reason", "deepseek", "chat", deepseek_reason)
DEEPSEEK_JUDGE = Method("deepseek judge", "deepseek", "chat", deepseek_judge)


def gemini_video(path: Path, *, seconds: float = 1.0) -> Method:
    video = VideoFile(path, "video/mp4", path.stat().st_size, seconds)
    return Method(
        "gemini video",
        "gemini",
        "generate",
        lambda desk: desk.gemini.analyse(PAYLOAD, video, desk.meter),
    )
