"""What language models may answer, and the reading of their text into it.

Each reader accepts one JSON object, in a code fence or not, and refuses everything else with the
paths at fault. How a model is asked, and by whom, does not belong here.
"""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from viral_platform.engine.errors import ProviderError
from viral_platform.engine.text import BLANKS

FACTOR_NAMES: dict[str, str] = {
    "scroll_stop_power": "Scroll-Stop Power",
    "completion_pull": "Completion Pull",
    "rewatch_potential": "Rewatch Potential",
    "share_trigger": "Share Trigger",
    "emotional_charge": "Emotional Charge",
}
VIDEO_SIGNALS = (
    "visual_production_quality",
    "hook_visual_impact",
    "pacing_score",
    "transition_quality",
)

_FENCED = re.compile(r"```(?:json)?\s*([\s\S]*?)```")
_MAX_DETAIL_PATHS = 5

Score10 = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class ReplyModel(BaseModel):
    """Base of replies: unknown keys are dropped, types are not converted."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class GeminiFactor(ReplyModel):
    """One of the five qualities, 0..10. `evidence` quotes the content, when the model did."""

    name: str
    score: Score10
    rationale: str
    improvement_tip: str
    evidence: str | None = None


class VideoSignals(ReplyModel):
    """What only a seen video can tell, 0..10 each."""

    visual_production_quality: Score10
    hook_visual_impact: Score10
    pacing_score: Score10
    transition_quality: Score10


class GeminiAnalysis(ReplyModel):
    """Quality of a content: five factors, and four signals when a video was seen.

    `notes` says what was changed to make the reply fit: numbers clamped, factors dropped.
    """

    factors: Annotated[list[GeminiFactor], Field(min_length=5, max_length=5)]
    overall_impression: str
    content_summary: str
    video_signals: VideoSignals | None = None
    notes: list[str] = Field(default_factory=list)


class _SeenAnalysis(GeminiAnalysis):
    """The analysis of a video, whose signals are required."""

    video_signals: VideoSignals


class BehavioralPredictions(ReplyModel):
    """Expected shares of viewers in percent, and where that stands among posts."""

    completion_pct: Percent
    completion_percentile: str
    share_pct: Percent
    share_percentile: str
    comment_pct: Percent
    comment_percentile: str
    save_pct: Percent
    save_percentile: str


class ComponentScores(ReplyModel):
    """The seven components of the behavioral score, 0..10 each."""

    hook_effectiveness: Score10
    retention_strength: Score10
    shareability: Score10
    comment_provocation: Score10
    save_worthiness: Score10
    trend_alignment: Score10
    originality: Score10

    def values(self) -> list[float]:
        """Return the scores in the order of the fields."""
        return [float(getattr(self, name)) for name in type(self).model_fields]


class ReasonedSuggestion(ReplyModel):
    """One change that the reasoning model proposes."""

    text: str
    priority: Literal["high", "medium", "low"]
    category: str


class DeepSeekReasoning(ReplyModel):
    """How viewers are expected to behave, and what to change."""

    behavioral_predictions: BehavioralPredictions
    component_scores: ComponentScores
    suggestions: Annotated[list[ReasonedSuggestion], Field(min_length=1)]
    warnings: list[str] = Field(default_factory=list)
    confidence: Literal["high", "medium", "low"]


class RuleVerdict(ReplyModel):
    """What the judge says of one rule, 0..10."""

    rule_name: str
    score: Score10
    rationale: str


class _Verdicts(ReplyModel):
    evaluations: list[RuleVerdict]


Reply = TypeVar("Reply", bound=BaseModel)


def strip_fences(text: str) -> str:
    """Return the content of the first code fence, or the text itself, without outer blanks.

    Examples
    --------
    >>> strip_fences('Sure: ```json {"a": 1} ```')
    '{"a": 1}'
    """
    fenced = _FENCED.search(text)
    return (fenced[1] if fenced else text).strip(BLANKS)


def parse_analysis(text: str, *, with_video: bool, provider: str = "gemini") -> GeminiAnalysis:
    """Read the reply to a content analysis.

    Factors are known by name, case and punctuation aside; a sixth one is dropped and a number
    outside 0..10 clamped, both with a note. A missing or renamed factor refuses the reply.

    Raises
    ------
    ProviderError
        `empty`, `not_json` or `schema`.
    """
    document = _loaded(text, provider)
    notes: list[str] = []
    if isinstance(document, dict):
        document = {key: value for key, value in document.items() if key != "notes"}
        if isinstance(document.get("factors"), list):
            document["factors"] = _known_factors(document["factors"], notes)
        if isinstance(document.get("video_signals"), dict):
            document["video_signals"] = {
                key: _clamped(value, key, notes) for key, value in document["video_signals"].items()
            }
    model = _SeenAnalysis if with_video else GeminiAnalysis
    analysis = _validated(model, document, provider)
    return analysis.model_copy(update={"notes": notes})


def parse_reasoning(text: str, *, provider: str = "deepseek") -> DeepSeekReasoning:
    """Read the reply to a briefing; a number out of its range refuses it.

    Raises
    ------
    ProviderError
        `empty`, `not_json` or `schema`.
    """
    return _validated(DeepSeekReasoning, _loaded(text, provider), provider)


def parse_verdicts(text: str, *, provider: str = "deepseek") -> list[RuleVerdict]:
    """Read the reply of the rule judge; one bad entry refuses it.

    Raises
    ------
    ProviderError
        `empty`, `not_json` or `schema`.
    """
    return _validated(_Verdicts, _loaded(text, provider), provider).evaluations


def factor_id(name: str) -> str | None:
    """Return the id of the factor that a name means, None for an unknown one.

    Examples
    --------
    >>> factor_id(" scroll stop power"), factor_id("Charm")
    ('scroll_stop_power', None)
    """
    bare = re.sub(r"[^a-z]+", "_", name.lower()).strip("_")
    return bare if bare in FACTOR_NAMES else None


def _loaded(text: str, provider: str) -> Any:  # noqa: ANN401  any JSON value
    bare = strip_fences(text)
    if not bare:
        raise ProviderError(provider, "empty", "the reply is blank")
    try:
        return json.loads(bare, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        pass  # outside the handler, since the exception quotes the reply
    raise ProviderError(provider, "not_json", "the reply is no JSON")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _validated(model: type[Reply], document: object, provider: str) -> Reply:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
    # Outside the handler, since the exception quotes the reply.
    paths = tuple(dict.fromkeys(".".join(map(str, item["loc"])) for item in faults))
    shown = ", ".join(path or "the whole" for path in paths[:_MAX_DETAIL_PATHS])
    raise ProviderError(provider, "schema", f"the reply does not fit at {shown}", fields=paths)


def _known_factors(factors: list[Any], notes: list[str]) -> list[Any]:
    """Keep the first of each known factor, clamp its score, leave broken entries as they are."""
    kept: list[Any] = []
    seen: set[str] = set()
    for factor in factors:
        name = factor.get("name") if isinstance(factor, dict) else None
        if not isinstance(name, str):
            kept.append(factor)
            continue
        known = factor_id(name)
        if known is None or known in seen:
            notes.append("A factor that was not asked for was dropped.")
            continue
        seen.add(known)
        score = _clamped(factor.get("score"), FACTOR_NAMES[known], notes)
        kept.append({**factor, "name": FACTOR_NAMES[known], "score": score})
    return kept


def _clamped(value: object, what: str, notes: list[str]) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return value
    inside = min(10.0, max(0.0, float(value)))
    if inside != value:
        notes.append(f"{what} was outside 0 to 10 and was clamped.")
        return inside
    return value
