"""From the signals to the score, its confidence, its warnings and its reasons.

A signal that is absent is None and takes no part; its weight goes to the others. Running the
stages and calibrating the score do not belong here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from viral_platform.engine.contracts import (
    SIGNALS,
    ConfidenceLabel,
    Factor,
    MatchedRule,
    MlResult,
    RuleResult,
    SignalName,
    TrendResult,
)

# Shares of the score in hundredths, when every signal is there.
BASE_WEIGHTS: Mapping[SignalName, int] = {
    "behavioral": 35,
    "gemini": 25,
    "ml": 15,
    "rules": 15,
    "trends": 10,
}
# Weights are shown, so they have three decimals.
_WEIGHT_UNITS = 1000

HIGH_CONFIDENCE = 0.7
MEDIUM_CONFIDENCE = 0.4
CONFIDENCE_WITHOUT_LANGUAGE_MODELS = 0.2

_MANY_RULES = 3
_CLOSE_SCORES = 15
_DEEPSEEK_BONUS = {"high": 0.10, "medium": 0.05, "low": 0.0, None: 0.0}

HOOK_RULES = frozenset(
    {"question_hook", "curiosity_gap", "negative_bias", "bold_claim", "story_hook"}
)
CLARITY_RULES = frozenset({"caption_hook", "cta_clarity"})


@dataclass(frozen=True, slots=True)
class Signals:
    """The five signals, 0..100 each or None, and what the confidence rests on beside them.

    `has_video` is true when a video was analysed, not when one was merely named.
    """

    behavioral: float | None = None
    gemini: float | None = None
    ml: float | None = None
    rules: float | None = None
    trends: float | None = None
    matched_sounds: int = 0
    matched_rules: int = 0
    deepseek_confidence: Literal["low", "medium", "high"] | None = None
    has_video: bool = False

    @property
    def mix(self) -> str:
        """The signals that are there, joined by plus signs; empty without any."""
        return "+".join(self.scores())

    def scores(self) -> dict[SignalName, float]:
        """Return the signals that are there, in their fixed order."""
        every: dict[SignalName, float | None] = {
            "behavioral": self.behavioral,
            "gemini": self.gemini,
            "ml": self.ml,
            "rules": self.rules,
            "trends": self.trends,
        }
        return {name: score for name, score in every.items() if score is not None}


def round_half_up(x: float, digits: int = 0) -> float:
    """Round a half towards positive infinity, unlike Python's `round`.

    Examples
    --------
    >>> round_half_up(2.5), round_half_up(-0.5), round_half_up(0.125, 2)
    (3.0, 0.0, 0.13)
    """
    scale = 10.0**digits
    return math.floor(x * scale + 0.5) / scale


def weights(available: Collection[SignalName]) -> dict[SignalName, float]:
    """Return the weight of each signal: the base weights, shared among what is available.

    Each has three decimals and they sum to 1: what rounding leaves over goes to the largest
    remainders. All are 0 when nothing is available. Reference engine, aggregation.

    Examples
    --------
    >>> weights(["gemini", "ml", "rules", "trends"])["gemini"]
    0.384
    """
    total = sum(BASE_WEIGHTS[name] for name in SIGNALS if name in available)
    units: dict[SignalName, int] = dict.fromkeys(SIGNALS, 0)
    remainders: dict[SignalName, int] = {}
    for name in SIGNALS:
        if name in available:
            units[name], remainders[name] = divmod(_WEIGHT_UNITS * BASE_WEIGHTS[name], total)
    left_over = sum(remainders.values()) // total if total else 0
    for name in sorted(remainders, key=lambda name: -remainders[name])[:left_over]:
        units[name] += 1
    return {name: count / _WEIGHT_UNITS for name, count in units.items()}


def raw_score(signals: Signals) -> float | None:
    """Return the weighted score before calibration, None when no signal is there.

    A whole number of 0..100. Reference engine, aggregation.
    """
    scores = signals.scores()
    if not scores:
        return None
    share = weights(scores.keys())
    return min(100.0, max(0.0, round_half_up(sum(scores[name] * share[name] for name in scores))))


def confidence(signals: Signals) -> tuple[float, ConfidenceLabel]:
    """Return how far the score can be relied on, 0..1 with two decimals, and its label.

    It grows with a video seen, sounds and rules matched, the reasoning model's own confidence
    and the agreement of the two language models, which counts only when both answered. With
    neither it is 0.2, LOW. From 0.7 HIGH, from 0.4 MEDIUM. Reference engine, aggregation.
    """
    if signals.gemini is None and signals.behavioral is None:
        return CONFIDENCE_WITHOUT_LANGUAGE_MODELS, "LOW"
    value = 0.2
    value += 0.10 if signals.has_video else 0.0
    value += 0.10 if signals.matched_sounds >= 1 else 0.0
    value += 0.10 if signals.matched_rules >= _MANY_RULES else 0.0
    value += _DEEPSEEK_BONUS[signals.deepseek_confidence]
    value -= 0.05 if signals.rules is None else 0.0
    value -= 0.05 if signals.trends is None else 0.0
    value += _agreement(signals.gemini, signals.behavioral)
    value = min(1.0, max(0.0, round_half_up(value, 2)))
    label: ConfidenceLabel = "LOW"
    if value >= HIGH_CONFIDENCE:
        label = "HIGH"
    elif value >= MEDIUM_CONFIDENCE:
        label = "MEDIUM"
    return value, label


def _agreement(gemini: float | None, behavioral: float | None) -> float:
    if gemini is None or behavioral is None:
        return 0.0
    if (gemini >= 50) == (behavioral >= 50):
        return 0.4
    return 0.2 if abs(gemini - behavioral) <= _CLOSE_SCORES else 0.0


def warnings(signals: Signals, withheld: str | None) -> list[str]:
    """Return what a reader of the score should know: what is missing, what it rests on.

    Parameters
    ----------
    signals : Signals
        What the score was made of.
    withheld : str or None
        Why the tier model's score is withheld; None when it is not.
    """
    present = list(signals.scores())
    missing = [name for name in SIGNALS if name not in present]
    lines = []
    if missing and present:
        lines.append(
            f"Missing signals: {', '.join(missing)}; their weight was redistributed to "
            f"{', '.join(present)}."
        )
    if not present:
        lines.append(f"Missing signals: {', '.join(missing)}; there is no score.")
    if withheld is not None:
        lines.append(f"The tier model's score is withheld: {withheld}")
    if present and {"behavioral", "gemini"}.isdisjoint(present):
        lines.append(f"No language model answered; the score rests on {_listed(present)} only.")
    if confidence(signals)[0] < MEDIUM_CONFIDENCE:
        lines.append("Confidence is low: too few signals support the score.")
    return lines


def _listed(names: list[SignalName]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def build_factors(rules: RuleResult, trends: TrendResult, ml: MlResult) -> list[Factor]:
    """Return the reasons for a score that need no language model, each with its evidence.

    Hook, clarity, rule coverage, trend fit and the model's expectation, 0..10 each; those of
    an absent signal are left out.
    """
    candidates = (
        _hook_factor(rules),
        _clarity_factor(rules),
        _coverage_factor(rules),
        _trend_factor(trends),
        _model_factor(ml),
    )
    return [factor for factor in candidates if factor is not None]


def _judged(rules: RuleResult, ids: frozenset[str]) -> tuple[list[MatchedRule], int]:
    """Return those of the rules that hold, and how many of them were judged."""
    held = [found for found in rules.matched_rules if found.rule_id in ids]
    return held, len(held) + sum(rule_id in ids for rule_id in rules.unmatched_rules)


def _hook_factor(rules: RuleResult) -> Factor | None:
    held, judged = _judged(rules, HOOK_RULES)
    if not judged:
        return None
    best = max((10 * _share_of_maximum(found) for found in held), default=0.0)
    return Factor(
        id="hook",
        name="Hook",
        score=round_half_up(best, 1),
        rationale=_evidence(held) or f"None of the {judged} hooks looked for is in the text.",
        improvement_tip="Open with a question, a bold claim, a warning or the start of a story.",
    )


def _clarity_factor(rules: RuleResult) -> Factor | None:
    held, judged = _judged(rules, CLARITY_RULES)
    if not judged:
        return None
    return Factor(
        id="clarity",
        name="Clarity and call to action",
        score=round_half_up(10 * len(held) / judged, 1),
        rationale=_evidence(held) or "Neither a short first sentence nor a call to action.",
        improvement_tip="Say in one short first sentence what it is about; end with one request.",
    )


def _coverage_factor(rules: RuleResult) -> Factor | None:
    if rules.rule_score is None:
        return None
    return Factor(
        id="rule_coverage",
        name="Rule coverage",
        score=round_half_up(rules.rule_score / 10, 1),
        rationale=(
            f"{len(rules.matched_rules)} of {rules.evaluated} rules hold; "
            f"rule score {rules.rule_score:g} of 100."
        ),
        improvement_tip="Take up the strongest rule that does not hold yet; see the suggestions.",
    )


def _trend_factor(trends: TrendResult) -> Factor | None:
    if trends.trend_score is None:
        return None
    found = [f"{sound.sound_name} ({sound.trend_phase})" for sound in trends.matched_sounds]
    found += [f"#{tag}" for tag in trends.matched_hashtags]
    taken_up = f"Takes up {', '.join(found)}" if found else "Takes up no trending sound or hashtag"
    saturated = ", ".join(f"#{tag}" for tag in trends.saturated_hashtags)
    return Factor(
        id="trend_fit",
        name="Trend fit",
        score=round_half_up(trends.trend_score / 10, 1),
        rationale=f"{taken_up}; saturated: {saturated}." if saturated else f"{taken_up}.",
        improvement_tip="Use a sound that is emerging or rising and tags that fit the subject.",
    )


def _model_factor(ml: MlResult) -> Factor | None:
    if ml.ml_score is None:
        return None
    spread = ""
    if ml.interval is not None:
        low, high, level = ml.interval.low, ml.interval.high, ml.interval.level
        spread = f", between {low:.0f} and {high:.0f} in {level:.0%} of cases"
    return Factor(
        id="model_expectation",
        name="Model expectation",
        score=round_half_up(ml.ml_score / 10, 1),
        rationale=f"Posts with these facts reach about {ml.ml_score:.0f} of 100{spread}.",
        improvement_tip="Length, hashtags and posting time are the facts that you can change.",
    )


def _share_of_maximum(found: MatchedRule) -> float:
    """Return 0..1; a fault, whose score is below 0, and a maximum of 0 count as 0."""
    return max(0.0, found.score / found.max_score) if found.max_score > 0 else 0.0


def _evidence(held: list[MatchedRule]) -> str:
    return "; ".join(f"{found.rule_name}: {found.evidence}" for found in held)
