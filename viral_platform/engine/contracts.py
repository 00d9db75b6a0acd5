"""The values that cross module borders: request, payload, facts, signals, answer.

Field names of requests and answers are the replaced system's own, so that its clients keep
working; an absent signal is `None`, never zero. What computes these values does not belong here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from viral_platform.engine.replies import BehavioralPredictions, VideoSignals
from viral_platform.engine.text import is_url, utf16_length

InputMode = Literal["text", "tiktok_url", "video_upload"]
ContentType = Literal["post", "reel", "story", "video", "thread"]
ConfidenceLabel = Literal["HIGH", "MEDIUM", "LOW"]
SignalName = Literal["behavioral", "gemini", "ml", "rules", "trends"]
Horizon = Literal["pre_publication", "early", "settled"]
TrendPhase = Literal["emerging", "rising", "peak", "declining", "insufficient_data"]
EvaluationTier = Literal["regex", "semantic"]
StageStatus = Literal["ok", "absent", "failed"]
BehavioralSource = Literal["deepseek", "gemini"]

SIGNALS: tuple[SignalName, ...] = ("behavioral", "gemini", "ml", "rules", "trends")
HORIZONS: tuple[Horizon, ...] = ("pre_publication", "early", "settled")
TIERS: tuple[int, ...] = (1, 2, 3, 4, 5)

Score100 = Annotated[float, Field(ge=0, le=100)]
Share = Annotated[float, Field(ge=0, le=1)]
# Up to what a bigint column holds.
Count = Annotated[int, Field(ge=0, lt=2**63)]
# Finite, and far beyond any real value, so that no arithmetic on a request can overflow.
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Hours = Annotated[float, Field(ge=0, le=1e9)]
# What was found of a rule: whether its pattern holds, a judge's verdict of 0..10, or None when it
# was not evaluated. The type tells the instrument.
RuleFinding = bool | Annotated[float, Field(ge=0, le=10)] | None


class StrictModel(BaseModel):
    """Base of all messages: unknown keys are an error, values do not change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MeasuredSnapshot(StrictModel):
    """Counts of a post at one crawl, with the age of the post then."""

    age_hours: Hours
    views: Annotated[Count, Field(ge=1)]
    likes: Count | None = None
    comments: Count | None = None
    shares: Count | None = None
    saves: Count | None = None


MAX_CONTENT_UNITS = 10_000

# Bounded, since an instant at the edge of the calendar has no UTC form.
PostingTime = Annotated[
    AwareDatetime,
    Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC)),
]


class PredictionRequest(StrictModel):
    """What a caller asks. `platform` is where it will be posted; rules are chosen by it."""

    input_mode: InputMode = "text"
    content_type: ContentType = "video"
    content_text: Annotated[
        str | None,
        Field(
            description="At most 10,000 UTF-16 units: an emoji outside the BMP counts two.",
            json_schema_extra={"maxLength": MAX_CONTENT_UNITS},
        ),
    ] = None
    tiktok_url: str | None = None
    video_storage_path: str | None = None
    platform: Literal["tiktok"] = "tiktok"
    niche: str | None = None
    creator_handle: str | None = None
    society_id: str | None = None
    posted_at: PostingTime | None = None
    duration_seconds: Seconds | None = None
    hashtags: Annotated[
        list[str] | None, Field(description="Tags of the post; unset: those in the caption.")
    ] = None
    sound_is_original: bool | None = None
    snapshot: MeasuredSnapshot | None = None
    explain: Annotated[
        bool, Field(description="Add what each feature adds to the tier model's score.")
    ] = False

    @model_validator(mode="after")
    def _is_answerable(self) -> PredictionRequest:
        """Report every fault of the content at once, each under its field."""
        faults: list[tuple[str, str]] = []
        if utf16_length(self.content_text or "") > MAX_CONTENT_UNITS:
            faults.append(("content_text", f"it is longer than {MAX_CONTENT_UNITS} UTF-16 units"))
        if self.tiktok_url is not None and not is_url(self.tiktok_url):
            faults.append(("tiktok_url", "it is no URL"))
        required = {
            "text": self.content_text,
            "tiktok_url": self.tiktok_url,
            "video_upload": self.video_storage_path,
        }
        if not required[self.input_mode]:
            faults.append(("", f"input_mode {self.input_mode} needs its own field; it is empty"))
        if faults:
            raise ValidationError.from_exception_data(
                type(self).__name__,
                [
                    InitErrorDetails(
                        type=PydanticCustomError("value_error", message),
                        loc=(path,) if path else (),
                        input=getattr(self, path, None) if path else None,
                    )
                    for path, message in faults
                ],
            )
        return self


@dataclass(frozen=True, slots=True)
class ContentPayload:
    """The normalised request. `hashtags` are lower case, without '#', unique, in order.

    `content_text` is empty also when it is unknown; `is_text_known` tells.
    """

    content_text: str
    content_type: ContentType
    input_mode: InputMode
    platform: str
    video_url: str | None
    hashtags: tuple[str, ...]
    duration_seconds: float | None
    niche: str | None
    creator_handle: str | None
    society_id: str | None
    posted_at: datetime | None
    sound_is_original: bool | None = None
    is_text_known: bool = True


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What is known of a post before it is published. `caption` is None when it is unknown."""

    caption: str | None
    hashtags: tuple[str, ...]
    duration_seconds: float | None = None
    posted_at: datetime | None = None
    sound_is_original: bool | None = None


@dataclass(frozen=True, slots=True)
class CreatorFacts:
    """What is known of a creator; `None` is unknown.

    `median_engagement` is the median weighted engagement rate of the creator's earlier posts
    (`n_posts` of them), `median_views` that of their views.
    """

    followers: int | None = None
    median_engagement: float | None = None
    median_views: float | None = None
    n_posts: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the rule library."""

    id: str
    name: str
    category: str
    evaluation_tier: EvaluationTier
    pattern: str | None
    score_modifier: float | None
    platform: str | None = None
    weight: float = 1.0
    max_score: float = 10.0
    improvement_tip: str = ""
    evaluation_prompt: str | None = None


@dataclass(frozen=True, slots=True)
class TrendingSound:
    """One row of the mart `trending_sounds`. `velocity_score` 0..100, None without velocity."""

    sound_id: str
    sound_name: str
    velocity_score: float | None
    trend_phase: TrendPhase


@dataclass(frozen=True, slots=True)
class TrendingHashtag:
    """One row of the mart `trending_hashtags`. `share` of the window's videos, 0..1."""

    hashtag: str
    video_count: int
    total_views: int
    share: float


@dataclass(frozen=True, slots=True)
class TrendTable:
    """The trend marts as the engine reads them, with the window that they speak of."""

    sounds: Sequence[TrendingSound]
    hashtags: Mapping[str, TrendingHashtag]
    window_start: datetime | None = None
    window_end: datetime | None = None


class MatchedRule(StrictModel):
    """A rule that was evaluated and held; `score` 0..`max_score`, `evidence` the words behind."""

    rule_id: str
    rule_name: str
    score: float
    max_score: float
    tier: EvaluationTier
    evidence: str


class RuleResult(StrictModel):
    """Outcome of the rules. `rule_score` is None when no rule could be evaluated.

    Each rule that applies to the platform is in one of `matched_rules`, `unmatched_rules` (ids
    of rules that were evaluated and did not hold) and `not_evaluated` (ids). `semantic_scores`
    holds what a judge gave, 0..`max_score` by id, for rules that hold and others. `findings` are
    all of it by id, as it is stored.
    """

    rule_score: Score100 | None
    matched_rules: list[MatchedRule]
    evaluated: int
    not_evaluated: list[str]
    unmatched_rules: list[str] = Field(default_factory=list)
    semantic_scores: dict[str, float] = Field(default_factory=dict)
    findings: dict[str, RuleFinding] = Field(default_factory=dict)


class MatchedSound(StrictModel):
    """A trending sound named by the content. `similarity` 0..1 is the quality of the match."""

    sound_id: str
    sound_name: str
    velocity_score: float | None
    trend_phase: TrendPhase
    similarity: Share


class TrendResult(StrictModel):
    """Outcome of trend matching. `trend_score` is None when no trend data exists."""

    trend_score: Score100 | None
    matched_sounds: list[MatchedSound]
    matched_hashtags: list[str]
    saturated_hashtags: list[str]
    hashtag_relevance: Share | None
    trend_context: str


class ScoreInterval(StrictModel):
    """A central interval of the percentile by the tier model alone; `level` is its coverage."""

    low: Score100
    high: Score100
    level: Share


class MlResult(StrictModel):
    """Outcome of the tier model.

    `ml_score` is None when the horizon is withheld; `withheld_reason` then says why.
    `tier_probabilities` stay None for pre_publication: there only a score is shown.
    """

    horizon: Horizon
    ml_score: Score100 | None
    tier_probabilities: dict[int, float] | None
    interval: ScoreInterval | None
    model_version: str | None
    withheld_reason: str | None = None


class Factor(StrictModel):
    """One reason for the score, 0..10; `evidence` is the words or the number behind it."""

    id: str
    name: str
    score: Annotated[float, Field(ge=0, le=10)]
    max_score: Literal[10] = 10
    rationale: str
    evidence: str
    improvement_tip: str


class Suggestion(StrictModel):
    """One thing to change.

    `max_effect` is what it can add to the uncalibrated score at most, in points, when all else
    stays: an upper bound from the weights, not a forecast.
    """

    id: str
    text: str
    priority: Literal["high", "medium", "low"]
    category: str
    max_effect: Annotated[float, Field(ge=0, le=100)]


class Attribution(StrictModel):
    """What one feature adds to the tier model's score, in points, to first order."""

    feature: str
    value: float | None
    points: float


class StageRecord(StrictModel):
    """What one stage did: `absent` means that it had nothing to judge, `failed` that it broke."""

    stage: str
    status: StageStatus
    duration_ms: Annotated[float, Field(ge=0)]
    cost_cents: Annotated[float, Field(ge=0)] = 0.0
    reason: str | None = None


class PredictionAnswer(StrictModel):
    """The answer of `POST /v1/predictions`, `viral predict` and the op `predict`."""

    id: str
    created_at: AwareDatetime
    overall_score: Score100 | None
    raw_score: Score100 | None
    confidence: Share
    confidence_label: ConfidenceLabel
    is_calibrated: bool
    behavioral_score: Score100 | None = None
    gemini_score: Score100 | None = None
    ml_score: Score100 | None = None
    rule_score: Score100 | None = None
    trend_score: Score100 | None = None
    score_weights: dict[SignalName, float]
    horizon: Horizon
    tier_probabilities: dict[int, float] | None
    interval: ScoreInterval | None
    feature_vector: dict[str, float | None]
    factors: list[Factor]
    suggestions: list[Suggestion]
    warnings: list[str]
    matched_rules: list[MatchedRule]
    rule_findings: dict[str, RuleFinding] = Field(default_factory=dict)
    matched_sounds: list[MatchedSound]
    reasoning: str
    stages: list[StageRecord]
    degraded: bool
    stored: bool = True
    simulated: bool
    model_version: str | None
    calibration_version: str | None
    prompt_version: str | None = None
    behavioral_predictions: BehavioralPredictions | None = None
    behavioral_source: BehavioralSource | None = None
    video_signals: VideoSignals | None = None
    gemini_model: str | None = None
    deepseek_model: str | None = None
    attributions: list[Attribution] | None = None
    engine_version: str
    input_mode: InputMode
    has_video: bool = False
    latency_ms: Annotated[float, Field(ge=0)]
    cost_cents: Annotated[float, Field(ge=0)] = 0.0
