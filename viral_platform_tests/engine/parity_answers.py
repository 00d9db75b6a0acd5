"""What the engine answers to the inputs of the parity vectors, in the vectors' own terms."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from pydantic import BaseModel, ValidationError

from viral_platform.engine import aggregate, calibration, fuzzy, replies
from viral_platform.engine.contracts import (
    ContentPayload,
    CreatorFacts,
    MlResult,
    PredictionRequest,
    Rule,
    TrendingSound,
    TrendTable,
)
from viral_platform.engine.creator import PlatformBaseline, creator_lines
from viral_platform.engine.errors import CalibrationInputError, NotEnoughDataError, ProviderError
from viral_platform.engine.normalize import normalize
from viral_platform.engine.pipeline import _NO_RULES, _NO_TRENDS, _calibrated
from viral_platform.engine.prediction import Inputs
from viral_platform.engine.reasons import build_factors, build_suggestions
from viral_platform.engine.replies import DeepSeekReasoning, GeminiAnalysis
from viral_platform.engine.rules import match_pattern, score_rules
from viral_platform.engine.spend import RequestSpend
from viral_platform.engine.stages import MICRODOLLARS_PER_CENT, StageRecorder
from viral_platform.engine.tier_model import TierModel
from viral_platform.engine.trends import match_trends

from . import parity_breaker
from .parity_inputs import (
    costs,
    logit,
    mart,
    named,
    of_counts,
    pairs,
    phase,
    rnd,
    shown_bin,
    signals_of,
    through_old_platt,
    velocity,
)

NO_MODEL = MlResult(
    horizon="pre_publication",
    ml_score=None,
    tier_probabilities=None,
    interval=None,
    model_version=None,
)


def request_of(text: str | None, mode: str = "video_upload") -> PredictionRequest:
    return PredictionRequest.model_validate(
        {
            "input_mode": mode,
            "content_type": "video",
            "content_text": text,
            "tiktok_url": "https://www.tiktok.com/@a/video/1",
            "video_storage_path": "a.mp4",
        }
    )


def payload_of(text: str | None) -> ContentPayload:
    """Return the payload of a text alone: a duration that it names is left out."""
    return replace(normalize(request_of(text)), duration_seconds=None)


def answer_normalized(i: dict[str, Any]) -> dict[str, Any]:
    payload = normalize(PredictionRequest.model_construct(**i))
    return {
        "content_text": payload.content_text,
        "content_type": payload.content_type,
        "input_mode": payload.input_mode,
        "video_url": payload.video_url,
        "hashtags": [f"#{tag}" for tag in payload.hashtags],
        "duration_hint": payload.duration_seconds,
        "niche": payload.niche,
        "creator_handle": payload.creator_handle,
        "society_id": payload.society_id,
    }


def answer_validated(i: Any) -> dict[str, Any]:
    try:
        request = PredictionRequest.model_validate(i)
    except ValidationError as refused:
        paths = [".".join(map(str, error["loc"])) for error in refused.errors()]
        return {"accepted": False, "error_paths": paths}
    return {"accepted": True, "data": request.model_dump(exclude_unset=True)}


def answer_match(i: dict[str, Any]) -> dict[str, Any]:
    options = {"threshold": i["threshold"]} if "threshold" in i else {}
    match = fuzzy.best_match(i["target"], i["content"], **options)
    return {"score": match.score, "matched": match.matched}


def answer_rules(i: dict[str, Any]) -> dict[str, Any]:
    known = set(Rule.__dataclass_fields__)
    library = [Rule(**{key: row[key] for key in row.keys() & known}) for row in i["library"]]
    result = score_rules(payload_of(i["content"]), library)
    shown = {"rule_id", "score", "max_score", "tier"}
    return {
        "rule_score": result.rule_score,
        "matched_rules": [found.model_dump(include=shown) for found in result.matched_rules],
    }


def answer_judged(i: dict[str, Any]) -> dict[str, Any]:
    """Return the rules with the verdicts of a reply; one that cannot be read gives none."""
    known = set(Rule.__dataclass_fields__)
    library = [Rule(**{key: row[key] for key in row.keys() & known}) for row in i["library"]]
    try:
        verdicts = replies.parse_verdicts(i["semantic_reply"])
    except ProviderError:
        verdicts = []
    result = score_rules(payload_of(i["content"]), library, verdicts)
    shown = {"rule_id", "score", "max_score", "tier"}
    return {
        "rule_score": result.rule_score,
        "matched_rules": [found.model_dump(include=shown) for found in result.matched_rules],
    }


def answer_reply(read: Callable[[str], BaseModel]) -> Callable[[Any], dict[str, Any]]:
    """Return what reads a reply, as accepted data or as the reason of its refusal."""

    def answer(i: dict[str, Any]) -> dict[str, Any]:
        try:
            value = read(i["text"])
        except ProviderError as refused:
            reason = "not_json" if refused.reason == "empty" else refused.reason
            paths = list(refused.fields) if reason == "schema" else None
            return {"accepted": False, "reason": reason, "error_paths": paths}
        data = value.model_dump(exclude={"notes"}, exclude_none=True)
        return {"accepted": True, "data": data}

    return answer


def answer_creator(i: dict[str, Any]) -> list[dict[str, str]]:
    creator = CreatorFacts(
        followers=i["follower_count"],
        median_views=i["avg_views"],
        median_engagement=i["engagement_rate"],
    )
    averages = i["platform_averages"]
    lines = creator_lines(
        creator if i["found"] else None,
        i["niche"],
        PlatformBaseline(
            views=averages["avg_views"],
            engagement_rate=averages["avg_engagement_rate"],
            share_rate=averages["avg_share_rate"],
            comment_rate=averages["avg_comment_rate"],
        ),
    )
    return [{"field": field, "value": value} for field, value in lines]


def answer_trends(i: dict[str, Any]) -> dict[str, Any]:
    sounds = [
        TrendingSound(str(number), row["sound_name"] or "", velocity(row), phase(row))
        for number, row in enumerate(i["sounds"])
    ]
    result = match_trends(payload_of(i["content_text"]), TrendTable(sounds, mart(i["videos"])))
    shown = {"sound_name", "velocity_score", "trend_phase"}
    return {
        "trend_score": result.trend_score,
        "matched_trends": [found.model_dump(include=shown) for found in result.matched_sounds],
        "hashtag_relevance": result.hashtag_relevance,
    }


def answer_ece(i: dict[str, Any]) -> dict[str, Any]:
    predicted, actual = zip(*pairs(i), strict=True) if i["pairs"] else ((), ())
    count = i.get("num_bins", 10)
    try:
        ece = calibration.expected_calibration_error(predicted, actual, n_bins=count)
        found = calibration.reliability_bins(predicted, actual, n_bins=count)
    except CalibrationInputError:
        return {"ece": "rejected", "bins": "rejected"}
    shown = [
        shown_bin(one.low, one.high, one.count, one.mean_predicted, one.mean_observed)
        for one in found
    ]
    return {"ece": rnd(ece, 4), "bins": shown}


def served(raw: float | None, platt: Any) -> tuple[float | None, bool]:
    """Return a raw score through the calibration stage, and whether it was calibrated."""
    fit = calibration.PlattFit(-platt["a"], -platt["b"]) if isinstance(platt, dict) else None
    failures = {"calibration": "lookup failed"} if platt == "lookup_fails" else {}
    silent = SimpleNamespace(on_stage=lambda _: None, on_error=lambda *_: None)
    stages = StageRecorder(lambda: 0.0, silent, RequestSpend("r-1"), 90.0)
    found = None if fit is None else calibration.Calibration(fit, "rules", None)
    signals = aggregate.Signals(rules=raw)
    score = stages.run(
        "calibration",
        lambda: _calibrated(raw, signals, NO_MODEL, found, Inputs(failures=failures)),
        raw,
    )
    return score, stages.records[0].status == "ok"


def answer_fit(i: dict[str, Any]) -> list[float] | None:
    """Return the gradient at the fit by intercept and slope: 0 where the likelihood is highest."""
    predicted, actual = zip(*pairs(i), strict=True)
    try:
        fit = calibration.fit_platt(predicted, actual)
    except NotEnoughDataError:
        return None
    rest = fit.apply(predicted) - np.array(actual)
    return [round(float(np.mean(rest * x)), 7) for x in (1, [logit(p) for p in predicted])]


def answer_aggregate(i: dict[str, Any]) -> dict[str, Any]:
    signals = signals_of(i)
    raw = aggregate.raw_score(signals)
    level, name = aggregate.confidence(signals)
    analysis = None
    if "gemini" not in i["failed"]:
        analysis = GeminiAnalysis.model_validate(i["geminiResult"]["analysis"])
    said = (i["deepseekResult"] or {}).get("reasoning")
    reasoning = DeepSeekReasoning.model_validate(said) if said else None
    factors = build_factors(analysis, _NO_RULES, _NO_TRENDS, NO_MODEL)
    shares = aggregate.weights(signals.scores())
    suggestions = build_suggestions(reasoning, [], _NO_RULES, shares)
    spend = RequestSpend("r-1")
    meters = [spend.meter("gemini"), spend.meter("deepseek")]
    for meter, cost in zip(meters, costs(i), strict=False):
        meter.add(math.floor(Fraction(cost) * 10_000 + Fraction(1, 2)))
    payload = normalize(request_of(i["payload"]["content_text"], i["payload"]["input_mode"]))
    return {
        "overall_score": through_old_platt(raw, i["platt"]),
        "score_weights": aggregate.weights(signals.scores()),
        "confidence": level,
        "confidence_label": name,
        "warnings": [
            *([] if reasoning is None else reasoning.warnings),
            *(code_of(line) for line in aggregate.warnings(signals, None)),
        ],
        "behavioral_predictions": None
        if reasoning is None
        else reasoning.behavioral_predictions.model_dump(),
        "factors": [factor.model_dump(exclude={"evidence"}) for factor in factors],
        "suggestions": [
            one.model_dump(exclude={"max_effect"})
            for one in sorted(suggestions, key=lambda one: int(one.id.split("-")[1]))
        ],
        "gemini_score": None if analysis is None else aggregate.gemini_score(analysis),
        "behavioral_score": None if reasoning is None else aggregate.behavioral_score(reasoning),
        "deepseek_used": reasoning is not None,
        "cost_cents": sum(meter.microdollars for meter in meters) / MICRODOLLARS_PER_CENT,
        "is_calibrated": served(raw, i["platt"])[1],
        "rule_score": signals.scores().get("rules"),
        "trend_score": signals.scores().get("trends"),
        "input_mode": payload.input_mode,
    }


def code_of(line: str) -> str:
    missing = re.match(r"Missing signals: ([^;]*); their weight was redistributed", line)
    if missing:
        return f"@weights_redistributed:{missing[1].replace(' ', '')}"
    codes = {
        "there is no score": "@no_score",
        "Only language models answered": "@only_language_models",
        "No language model answered": "@both_language_models_failed",
        "Confidence is low": "@low_confidence",
    }
    return next((code for words, code in codes.items() if words in line), line)


def answer_tiers(i: dict[str, Any]) -> dict[str, Any]:
    """Return the score of the tier probabilities that the old classifier would give."""
    weights = i["weights"]
    features = [*i["features"], *[0] * 15][:15]
    logits = [
        bias + sum(w * x for w, x in zip(row, features, strict=True))
        for row, bias in zip(weights["weights"], weights["biases"], strict=True)
    ]
    shares = [math.exp(logit - max(logits)) for logit in logits]
    one = np.array([shares]) / sum(shares)
    model = SimpleNamespace(served={"settled": True}, version="v", probabilities=lambda _: one)
    return {"score": TierModel.predict(cast("TierModel", model), one, "settled").ml_score}


ANSWERS: dict[str, Callable[[Any], Any]] = {
    "normalize.normalizeInput": answer_normalized,
    "normalize.validateInput": answer_validated,
    "fuzzy.jaroWinklerSimilarity": lambda i: fuzzy.jaro_winkler(i["a"], i["b"]),
    "fuzzy.bestFuzzyMatch": answer_match,
    "rules.matchesPattern": lambda i: (
        match_pattern(i["pattern"], payload_of(i["content"])) is not None
    ),
    "rules.scoreContentAgainstRules": answer_rules,
    "rules.scoreContentAgainstRules_semantic": answer_judged,
    "trends.enrichWithTrends": answer_trends,
    "creator.formatCreatorContext": answer_creator,
    "deepseek.stripFences": lambda i: replies.strip_fences(i["text"]),
    "gemini.stripFences": lambda i: replies.strip_fences(i["text"]),
    "deepseek.circuitBreaker": lambda i: parity_breaker.replay(i["steps"]),
    "deepseek.parseDeepSeekResponse": answer_reply(replies.parse_reasoning),
    "gemini.parseGeminiResponse": answer_reply(
        lambda text: replies.parse_analysis(text, with_video=False)
    ),
    "gemini.parseGeminiVideoResponse": answer_reply(
        lambda text: replies.parse_analysis(text, with_video=True)
    ),
    "calibration.computeECE": answer_ece,
    "calibration.applyPlattScaling": lambda i: served(i["raw_score"], i["params"])[0],
    "calibration.fitPlattScaling": answer_fit,
    "aggregator.selectWeights": lambda i: aggregate.weights(named(i)),
    "aggregator.calculateConfidence": lambda i: dict(
        zip(("confidence", "confidence_label"), aggregate.confidence(of_counts(i)), strict=True)
    ),
    "aggregator.aggregateScores": answer_aggregate,
    "ml.predictWithML": answer_tiers,
}
