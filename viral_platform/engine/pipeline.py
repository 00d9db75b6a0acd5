"""One prediction in waves of stages: what is known, what the language models say, the score.

Wave 1 asks at once for the content analysis, the creator, the rules and the trends; wave 2 puts
what they found to the reasoning model; then the tier model and the score. No stage is fatal: a
signal whose stage is absent, broke or was too slow is absent from the score, and the answer says
which. Loading what all requests share does not belong here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from viral_platform.engine.aggregate import (
    Signals,
    behavioral_score,
    confidence,
    gemini_score,
    raw_score,
    round_half_up,
    warnings,
    weights,
)
from viral_platform.engine.calibration import Calibration
from viral_platform.engine.contracts import (
    BehavioralSource,
    ContentPayload,
    CreatorFacts,
    MlResult,
    PredictionRequest,
    RuleResult,
    TrendResult,
    VideoFacts,
)
from viral_platform.engine.creator import creator_context
from viral_platform.engine.errors import ProviderError
from viral_platform.engine.features import feature_vector, horizon_of, named
from viral_platform.engine.normalize import normalize
from viral_platform.engine.prediction import Deadlines, Inputs, Prediction, Sources
from viral_platform.engine.reasons import build_factors, build_suggestions
from viral_platform.engine.remarks import doubts, shortcomings, told
from viral_platform.engine.replies import DeepSeekReasoning, GeminiAnalysis, RuleVerdict
from viral_platform.engine.rules import score_rules, semantic_rules
from viral_platform.engine.spend import Meter, RequestSpend
from viral_platform.engine.stages import Absent, Observer, StageRecorder
from viral_platform.engine.tasks import (
    Answered,
    Briefing,
)
from viral_platform.engine.tier_model import attributions
from viral_platform.engine.trends import match_trends

ENGINE_VERSION = "3.1.0"

_NO_RULES = RuleResult(rule_score=None, matched_rules=[], evaluated=0, not_evaluated=[])
_NO_TRENDS = TrendResult(
    trend_score=None,
    matched_sounds=[],
    matched_hashtags=[],
    saturated_hashtags=[],
    hashtag_relevance=None,
    trend_context="No trend data is available.",
)

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Heard:
    """What the waves brought."""

    payload: ContentPayload
    analysis: Answered[GeminiAnalysis] | None
    creator: CreatorFacts | None
    judge: Answered[list[RuleVerdict]] | None
    rules: RuleResult
    trends: TrendResult
    behavior: Answered[DeepSeekReasoning] | None = None
    behavioral_source: BehavioralSource = "deepseek"


async def predict(
    request: PredictionRequest,
    inputs: Inputs,
    sources: Sources,
    spend: RequestSpend,
    *,
    clock: Callable[[], float],
    observer: Observer,
    deadlines: Deadlines = Deadlines(),  # noqa: B008  frozen
) -> Prediction:
    """Return the prediction for one request; never raises for a failing stage."""
    stages = StageRecorder(clock, observer, spend, deadlines.total)
    if request.input_mode == "tiktok_url":
        request = await stages.wait(
            "post", lambda meter: _post(request, sources, meter), request, deadlines.post
        )
    heard = await _first_wave(normalize(request), inputs, sources, stages, deadlines)
    heard = await _second_wave(heard, inputs, sources, stages, deadlines)
    return _scored(request, heard, inputs, sources, stages)


def _present(value: Result | None, name: str, inputs: Inputs, missing: str) -> Result:
    if name in inputs.failures:
        raise RuntimeError(inputs.failures[name])
    if value is None:
        raise Absent(missing)
    return value


async def _post(request: PredictionRequest, sources: Sources, meter: Meter) -> PredictionRequest:
    if sources.post is None:
        raise ProviderError("apify", "not_configured", "APIFY_TOKEN is not set")
    return await sources.post(request, meter)


async def _first_wave(
    payload: ContentPayload,
    inputs: Inputs,
    sources: Sources,
    stages: StageRecorder,
    deadlines: Deadlines,
) -> _Heard:
    seconds = deadlines.analysis if sources.video is None else deadlines.video_analysis
    async with asyncio.TaskGroup() as wave:
        analysis = wave.create_task(
            stages.wait("gemini", lambda meter: _analysis(payload, sources, meter), None, seconds)
        )
        creator = wave.create_task(
            stages.wait("creator", lambda _: _creator(payload, sources), None, deadlines.creator)
        )
        rules = wave.create_task(_rules(payload, inputs, sources, stages, deadlines))
        trends = stages.run(
            "trends",
            lambda: match_trends(
                payload, _present(inputs.trends, "trends", inputs, "no trends were computed yet")
            ),
            _NO_TRENDS,
        )
    judge, scored = rules.result()
    return _Heard(
        payload=payload,
        analysis=analysis.result(),
        creator=creator.result(),
        judge=judge,
        rules=scored,
        trends=trends,
    )


async def _analysis(
    payload: ContentPayload, sources: Sources, meter: Meter
) -> Answered[GeminiAnalysis] | None:
    if sources.analyst is None:
        raise ProviderError("gemini", "not_configured", "GEMINI_API_KEY is not set")
    if sources.video is None and not payload.content_text.strip():
        raise Absent("there is neither text nor video to judge")
    return await sources.analyst.analyse(payload, sources.video, meter)


async def _creator(payload: ContentPayload, sources: Sources) -> CreatorFacts | None:
    handle = payload.creator_handle
    found = await sources.creator(handle) if sources.creator and handle else None
    if found is None:
        raise Absent("nothing is known of the creator")
    return found


async def _rules(
    payload: ContentPayload,
    inputs: Inputs,
    sources: Sources,
    stages: StageRecorder,
    deadlines: Deadlines,
) -> tuple[Answered[list[RuleVerdict]] | None, RuleResult]:
    """Return the judge's answer and the score of the rules, by its verdicts too."""

    async def judged(meter: Meter) -> Answered[list[RuleVerdict]] | None:
        asked = semantic_rules(payload, inputs.rules or [])
        if not asked:
            raise Absent("no rule asks for a judge")
        if sources.behavior is None:
            raise ProviderError("deepseek", "not_configured", "DEEPSEEK_API_KEY is not set")
        return await sources.behavior.judge(payload, asked, meter)

    judge = await stages.wait("rule_judge", judged, None, deadlines.judge)
    scored = stages.run(
        "rules",
        lambda: score_rules(
            payload,
            _present(inputs.rules, "rules", inputs, "the rule library is empty"),
            () if judge is None else judge.value,
        ),
        _NO_RULES,
    )
    return judge, scored


async def _second_wave(
    heard: _Heard,
    inputs: Inputs,
    sources: Sources,
    stages: StageRecorder,
    deadlines: Deadlines,
) -> _Heard:
    """Ask the reasoning model, and the content analyst in its place when it has no answer."""
    briefing = Briefing(
        payload=heard.payload,
        analysis=None if heard.analysis is None else heard.analysis.value,
        rules=None if heard.rules.rule_score is None else heard.rules,
        trend_context=heard.trends.trend_context,
        creator_context=creator_context(heard.creator, heard.payload.niche, inputs.baseline),
    )

    async def reasoned(meter: Meter) -> Answered[DeepSeekReasoning] | None:
        _something_to_judge(briefing)
        if sources.behavior is None:
            raise ProviderError("deepseek", "not_configured", "DEEPSEEK_API_KEY is not set")
        return await sources.behavior.reason(briefing, meter)

    async def stood_in(meter: Meter) -> Answered[DeepSeekReasoning] | None:
        _something_to_judge(briefing)
        if sources.analyst is None:
            raise ProviderError("gemini", "not_configured", "GEMINI_API_KEY is not set")
        return await sources.analyst.reason(briefing, meter)

    spare = deadlines.fallback if sources.analyst is not None else 0.0
    seconds = min(deadlines.reasoning, max(0.0, stages.remaining() - spare))
    behavior = await stages.wait("deepseek", reasoned, None, seconds)
    if behavior is not None or sources.analyst is None:
        return replace(heard, behavior=behavior)
    behavior = await stages.wait("deepseek_fallback", stood_in, None, deadlines.fallback)
    return replace(heard, behavior=behavior, behavioral_source="gemini")


def _something_to_judge(briefing: Briefing) -> None:
    if briefing.analysis is None and not briefing.payload.content_text.strip():
        raise Absent("there is neither text nor an analysis of the video to judge")


def _signals(heard: _Heard, ml: MlResult, *, has_video: bool) -> Signals:
    reasoning = None if heard.behavior is None else heard.behavior.value
    return Signals(
        behavioral=None if reasoning is None else behavioral_score(reasoning),
        gemini=None if heard.analysis is None else gemini_score(heard.analysis.value),
        ml=ml.ml_score,
        rules=heard.rules.rule_score,
        trends=heard.trends.trend_score,
        matched_sounds=len(heard.trends.matched_sounds),
        matched_rules=len(heard.rules.matched_rules),
        deepseek_confidence=None if reasoning is None else reasoning.confidence,
        has_video=has_video,
        behavioral_source=heard.behavioral_source,
    )


def _scored(
    request: PredictionRequest,
    heard: _Heard,
    inputs: Inputs,
    sources: Sources,
    stages: StageRecorder,
) -> Prediction:
    horizon = horizon_of(request.snapshot)
    facts = video_facts(heard.payload)
    vector = feature_vector(facts, heard.creator or CreatorFacts(), request.snapshot)

    def modelled() -> MlResult:
        model = _present(inputs.model, "model", inputs, "no model was promoted yet")
        known = (facts.caption, facts.duration_seconds, facts.posted_at, heard.creator)
        if request.snapshot is None and all(fact is None for fact in known):
            raise Absent("nothing is known of the post")
        return model.predict(vector, horizon)

    ml = stages.run(
        "ml",
        modelled,
        MlResult(
            horizon=horizon,
            ml_score=None,
            tier_probabilities=None,
            interval=None,
            model_version=None,
        ),
    )
    seen = sources.video is not None and heard.analysis is not None
    signals = _signals(heard, ml, has_video=seen)
    raw = raw_score(signals)
    calibration = inputs.calibrations.get((request.input_mode, horizon))
    overall = stages.run(
        "calibration", lambda: _calibrated(raw, signals, ml, calibration, inputs), raw
    )
    level, label = confidence(signals)
    used = weights(list(signals.scores()))
    reasoning = None if heard.behavior is None else heard.behavior.value
    analysis = None if heard.analysis is None else heard.analysis.value
    explained = None
    if request.explain and inputs.model is not None and ml.ml_score is not None:
        explained = attributions(inputs.model, vector)
    return Prediction(
        request=request,
        signals=signals,
        raw_score=raw,
        overall_score=overall,
        score_weights=used,
        confidence=level,
        confidence_label=label,
        analysis=heard.analysis,
        behavior=heard.behavior,
        judge=heard.judge,
        rules=heard.rules,
        trends=heard.trends,
        ml=ml,
        attributions=explained,
        feature_vector=named(vector),
        factors=build_factors(analysis, heard.rules, heard.trends, ml),
        suggestions=build_suggestions(reasoning, inputs.rules or [], heard.rules, used),
        warnings=[
            *([] if reasoning is None else reasoning.warnings),
            *([] if analysis is None else analysis.notes),
            *warnings(signals, ml.withheld_reason),
            *shortcomings(stages, inputs),
            *doubts(overall, stages, ml),
        ],
        reasoning=told(signals, used, heard.trends, ml),
        stages=stages.records,
        stale=inputs.stale,
    )


def video_facts(payload: ContentPayload) -> VideoFacts:
    """Return what the feature builder takes of a normalised request."""
    return VideoFacts(
        caption=payload.content_text if payload.is_text_known else None,
        hashtags=payload.hashtags,
        duration_seconds=payload.duration_seconds,
        posted_at=payload.posted_at,
        sound_is_original=payload.sound_is_original,
    )


def _calibrated(
    raw: float | None,
    signals: Signals,
    ml: MlResult,
    calibration: Calibration | None,
    inputs: Inputs,
) -> float | None:
    found = _present(calibration, "calibration", inputs, "no calibration is in force")
    if raw is None:
        raise Absent("there is no score to calibrate")
    if found.signals != signals.mix:
        raise Absent(f"it was fitted on scores of {found.signals}, this one is of {signals.mix}")
    if found.model_version != ml.model_version:
        raise Absent("it was fitted on scores of another model")
    return round_half_up(100 * float(found.fit.apply([raw / 100])[0]), 2)
