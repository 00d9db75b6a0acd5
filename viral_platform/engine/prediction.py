"""What a prediction draws on, and what comes out of it before it is stored.

How the one becomes the other is in `pipeline.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from viral_platform.engine.aggregate import Signals
from viral_platform.engine.calibration import Calibration
from viral_platform.engine.contracts import (
    Attribution,
    ConfidenceLabel,
    CreatorFacts,
    Factor,
    MlResult,
    PredictionRequest,
    Rule,
    RuleResult,
    SignalName,
    StageRecord,
    Suggestion,
    TrendResult,
    TrendTable,
)
from viral_platform.engine.creator import PlatformBaseline
from viral_platform.engine.replies import DeepSeekReasoning, GeminiAnalysis, RuleVerdict
from viral_platform.engine.spend import Meter
from viral_platform.engine.tasks import Answered, BehaviorAnalyst, ContentAnalyst, VideoFile
from viral_platform.engine.tier_model import TierModel


@dataclass(frozen=True)
class Deadlines:
    """Seconds that stages may take; `total` bounds them all.

    The reasoning model leaves `fallback` seconds of the total to the one that stands in for it.
    """

    total: float = 90.0
    post: float = 25.0
    analysis: float = 25.0
    video_analysis: float = 60.0
    creator: float = 2.0
    judge: float = 15.0
    reasoning: float = 45.0
    fallback: float = 15.0


@dataclass(frozen=True)
class Inputs:
    """What requests share. `None` is absent; `failures` says why a load broke.

    `calibrations` are by input mode and horizon; `stale` names what is of an earlier reading.
    """

    rules: list[Rule] | None = None
    trends: TrendTable | None = None
    model: TierModel | None = None
    calibrations: Mapping[tuple[str, str], Calibration] = field(default_factory=dict)
    baseline: PlatformBaseline = field(default_factory=PlatformBaseline)
    failures: Mapping[str, str] = field(default_factory=dict)
    stale: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sources:
    """Whom the stages ask; `None` is not configured.

    `post` completes a request by what is known of the post behind its URL, `creator` looks a
    handle up. `video` is a checked file to be seen by the content analyst.
    """

    analyst: ContentAnalyst | None = None
    behavior: BehaviorAnalyst | None = None
    post: Callable[[PredictionRequest, Meter], Awaitable[PredictionRequest]] | None = None
    creator: Callable[[str], Awaitable[CreatorFacts | None]] | None = None
    video: VideoFile | None = None


@dataclass(frozen=True)
class Prediction:
    """The outcome of all stages; the service adds id and time and stores it."""

    request: PredictionRequest
    signals: Signals
    raw_score: float | None
    overall_score: float | None
    score_weights: dict[SignalName, float]
    confidence: float
    confidence_label: ConfidenceLabel
    analysis: Answered[GeminiAnalysis] | None
    behavior: Answered[DeepSeekReasoning] | None
    judge: Answered[list[RuleVerdict]] | None
    rules: RuleResult
    trends: TrendResult
    ml: MlResult
    attributions: list[Attribution] | None
    feature_vector: dict[str, float | None]
    factors: list[Factor]
    suggestions: list[Suggestion]
    warnings: list[str]
    reasoning: str
    stages: list[StageRecord]
    stale: tuple[str, ...] = ()

    @property
    def degraded(self) -> bool:
        """Whether a stage broke, or rests on what could not be read anew."""
        return bool(self.stale) or any(stage.status == "failed" for stage in self.stages)

    @property
    def is_calibrated(self) -> bool:
        """Whether the overall score went through a calibration."""
        return any(stage.stage == "calibration" and stage.status == "ok" for stage in self.stages)
