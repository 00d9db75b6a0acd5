"""What the pipeline puts to a language model, and how it expects to be served.

The protocols are filled by `providers/`; one prediction engine serves whoever fills them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from viral_platform.engine.contracts import ContentPayload, Rule, RuleResult
from viral_platform.engine.replies import DeepSeekReasoning, GeminiAnalysis, RuleVerdict
from viral_platform.engine.spend import Meter

Value = TypeVar("Value", covariant=True)


@dataclass(frozen=True, slots=True)
class Answered(Generic[Value]):
    """A validated reply, the model that gave it and the version of the prompt that asked."""

    value: Value
    model: str
    prompt_version: str


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A checked video on disk: its MIME type, its size in bytes, its length in seconds."""

    path: Path
    mime_type: str
    size_bytes: int
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class Briefing:
    """What the reasoning model is told beside the content.

    `analysis` is None when the content analysis failed; nothing stands in its place.
    """

    payload: ContentPayload
    analysis: GeminiAnalysis | None
    rules: RuleResult | None
    trend_context: str
    creator_context: str


class ContentAnalyst(Protocol):
    """Judges the quality of a content. Gemini."""

    async def analyse(
        self, payload: ContentPayload, video: VideoFile | None, meter: Meter
    ) -> Answered[GeminiAnalysis]:
        """Return the five factors, and the video signals when a video is given.

        Raises
        ------
        ProviderError
        """
        ...

    async def reason(self, briefing: Briefing, meter: Meter) -> Answered[DeepSeekReasoning]:
        """Return the behavioral prediction in the place of the reasoning model.

        Raises
        ------
        ProviderError
        """
        ...


class BehaviorAnalyst(Protocol):
    """Predicts how viewers behave, and judges rules that no pattern can. DeepSeek."""

    async def reason(self, briefing: Briefing, meter: Meter) -> Answered[DeepSeekReasoning]:
        """Return the behavioral prediction.

        Raises
        ------
        ProviderError
        """
        ...

    async def judge(
        self, payload: ContentPayload, rules: Sequence[Rule], meter: Meter
    ) -> Answered[list[RuleVerdict]]:
        """Return a verdict on each of the rules that it could judge.

        Raises
        ------
        ProviderError
        """
        ...
