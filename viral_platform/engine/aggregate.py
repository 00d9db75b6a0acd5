"""From the signals to the score, its confidence and its warnings.

A signal that is absent is None and takes no part; its weight goes to the others. What language
models say never weighs more than when every signal is there. Running the stages, the reasons for
a score and its calibration do not belong here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from viral_platform.engine.contracts import (
    SIGNALS,
    BehavioralSource,
    ConfidenceLabel,
    SignalName,
)
from viral_platform.engine.replies import DeepSeekReasoning, GeminiAnalysis

# Shares of the score in hundredths, when every signal is there.
BASE_WEIGHTS: Mapping[SignalName, int] = {
    "behavioral": 35,
    "gemini": 25,
    "ml": 15,
    "rules": 15,
    "trends": 10,
}
LANGUAGE_MODELS: tuple[SignalName, ...] = ("behavioral", "gemini")
# What they weigh together when every signal is there is the most that they ever weigh: a caption
# that talks them into something moves the score by no more than this.
LANGUAGE_MODELS_SHARE = sum(BASE_WEIGHTS[name] for name in LANGUAGE_MODELS)
# Where nothing but language models answered, the rest of the weight stays with the middle.
NEUTRAL_SCORE = 50.0
# Weights are shown, so they have three decimals.
_WEIGHT_UNITS = 1000

HIGH_CONFIDENCE = 0.7
MEDIUM_CONFIDENCE = 0.4
CONFIDENCE_WITHOUT_LANGUAGE_MODELS = 0.2

_MANY_RULES = 3
_CLOSE_SCORES = 15
_DEEPSEEK_BONUS = {"high": 0.10, "medium": 0.05, "low": 0.0, None: 0.0}


@dataclass(frozen=True, slots=True)
class Signals:
    """The five signals, 0..100 each or None, and what the confidence rests on beside them.

    `has_video` is true when a video was analysed, not when one was merely named.
    `behavioral_source` is the provider behind the behavioral score.
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
    behavioral_source: BehavioralSource = "deepseek"

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


def behavioral_score(reasoning: DeepSeekReasoning) -> float:
    """Return the mean of the seven components as a whole number of 0..100."""
    return _hundredfold_mean(reasoning.component_scores.values())


def gemini_score(analysis: GeminiAnalysis) -> float:
    """Return the mean of the five factors as a whole number of 0..100."""
    return _hundredfold_mean([factor.score for factor in analysis.factors])


def _hundredfold_mean(scores: list[float]) -> float:
    return round_half_up(10 * sum(scores) / len(scores))


def weights(available: Collection[SignalName]) -> dict[SignalName, float]:
    """Return the weight of each signal: the base weights, shared among what is available.

    The two language models together get 0.6 at most; what is above goes to the other signals,
    and to nobody when there are none. Each weight has three decimals; they sum to 1, or to 0.6
    with language models alone, or to 0 with nothing: what rounding leaves over goes to the
    largest remainders. Reference engine, aggregation.

    Examples
    --------
    >>> weights(["gemini", "ml", "rules", "trends"])["gemini"]
    0.384
    >>> weights(["behavioral", "gemini", "rules"])["rules"]
    0.4
    """
    spoken = [name for name in SIGNALS if name in available and name in LANGUAGE_MODELS]
    others = [name for name in SIGNALS if name in available and name not in LANGUAGE_MODELS]
    total = sum(BASE_WEIGHTS[name] for name in spoken + others)
    cap = LANGUAGE_MODELS_SHARE * _WEIGHT_UNITS // 100
    if 100 * sum(BASE_WEIGHTS[name] for name in spoken) > LANGUAGE_MODELS_SHARE * total:
        units = _shared(spoken, cap) | _shared(others, _WEIGHT_UNITS - cap)
    else:
        units = _shared(spoken + others, _WEIGHT_UNITS)
    return {name: units.get(name, 0) / _WEIGHT_UNITS for name in SIGNALS}


def _shared(names: Sequence[SignalName], units: int) -> dict[SignalName, int]:
    """Share whole units by base weight; the largest remainders take what is left over."""
    total = sum(BASE_WEIGHTS[name] for name in names)
    parts = {name: divmod(units * BASE_WEIGHTS[name], total) for name in names}
    shares = {name: whole for name, (whole, _) in parts.items()}
    left_over = units - sum(shares.values())
    for name in sorted(parts, key=lambda name: -parts[name][1])[:left_over]:
        shares[name] += 1
    return shares


def raw_score(signals: Signals) -> float | None:
    """Return the weighted score before calibration, None when no signal is there.

    A whole number of 0..100. Weight that no signal may take stays with the neutral 50.
    Reference engine, aggregation.
    """
    scores = signals.scores()
    if not scores:
        return None
    share = weights(scores.keys())
    weighted = sum(scores[name] * share[name] for name in scores)
    if set(scores) <= set(LANGUAGE_MODELS):
        weighted += NEUTRAL_SCORE * (1 - LANGUAGE_MODELS_SHARE / 100)
    return min(100.0, max(0.0, round_half_up(weighted)))


def confidence(signals: Signals) -> tuple[float, ConfidenceLabel]:
    """Return how far the score can be relied on, 0..1 with two decimals, and its label.

    It grows with a video seen, sounds and rules matched, the reasoning model's own confidence
    and the agreement of the two language models, which counts only when both answered, each for
    itself. With neither it is 0.2, LOW. From 0.7 HIGH, from 0.4 MEDIUM. Reference engine,
    aggregation.
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
    if signals.behavioral_source == "deepseek":
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
    if present and set(LANGUAGE_MODELS).isdisjoint(present):
        lines.append(f"No language model answered; the score rests on {_listed(present)} only.")
    if present and set(present) <= set(LANGUAGE_MODELS):
        lines.append(
            f"Only language models answered; they weigh {LANGUAGE_MODELS_SHARE}%, the rest of the "
            f"score stays at the neutral {NEUTRAL_SCORE:g}."
        )
    if signals.behavioral is not None and signals.behavioral_source == "gemini":
        lines.append("The behavioral score is Gemini's, in the place of the reasoning model.")
    if confidence(signals)[0] < MEDIUM_CONFIDENCE:
        lines.append("Confidence is low: too few signals support the score.")
    return lines


def _listed(names: list[SignalName]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
