"""Where the replaced system miscounted, and what is right there, from the inputs alone.

Predicates and values for the table of `test_parity.py`. No value is computed by the function
that it is held against.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from viral_platform.engine import aggregate
from viral_platform.engine.contracts import SIGNALS

from .parity_inputs import (
    costs,
    label,
    logit,
    named,
    of_counts,
    pairs,
    rnd,
    shown_bin,
    signals_of,
    through_old_platt,
)


def is_refused(i: dict[str, Any]) -> bool:
    values = [value for pair in pairs(i) for value in pair]
    return not values or any(value is None or not 0 <= value <= 1 for value in values)


def bins_of(i: dict[str, Any], number: Callable[[float, int], int]) -> list[list[Any]]:
    count = i.get("num_bins", 10)
    inside: list[list[Any]] = [[] for _ in range(count)]
    for pair in pairs(i):
        inside[min(number(pair[0], count), count - 1)].append(pair)
    return inside


def by_border(x: float, count: int) -> int:
    return math.floor(Fraction(str(x)) * count)


def by_division(x: float, count: int) -> int:
    return math.floor(x / (1 / count))


def right_bins(i: dict[str, Any]) -> Any:
    if is_refused(i):
        return "rejected"
    bins = bins_of(i, by_border)
    return [
        shown_bin(
            number / len(bins),
            (number + 1) / len(bins),
            len(inside),
            *[sum(pair[side] for pair in inside) / max(len(inside), 1) for side in (0, 1)],
        )
        for number, inside in enumerate(bins)
    ]


def bins_differ(i: dict[str, Any]) -> bool:
    return is_refused(i) or bins_of(i, by_border) != bins_of(i, by_division)


def right_ece(i: dict[str, Any]) -> Any:
    if is_refused(i):
        return "rejected"
    gaps = (abs(sum(p - y for p, y in inside)) for inside in bins_of(i, by_border))
    return rnd(sum(gaps) / len(i["pairs"]), 4)


def ece_differs(i: dict[str, Any]) -> bool:
    """Tell whether rounding the means and gaps of the bins first moves the sum."""
    if bins_differ(i):
        return True
    steps = (one["count"] / len(i["pairs"]) * one["gap"] for one in right_bins(i))
    return rnd(sum(steps), 4) != right_ece(i)


def has_parameters(i: dict[str, Any]) -> bool:
    return i["params"] is not None


def is_fitted(i: dict[str, Any]) -> bool:
    return len(i["pairs"]) >= 50


def no_gradient(i: dict[str, Any]) -> list[float]:
    return [0, 0]


def on_logit(i: dict[str, Any]) -> float:
    z = i["params"]["a"] * logit(i["raw_score"] / 100) + i["params"]["b"]
    return rnd(100 / (1 + math.exp(min(z, 700))), 2)


BASE = {"behavioral": 35, "gemini": 25, "ml": 15, "rules": 15, "trends": 10}


SPOKEN = {"behavioral", "gemini"}


def speaks_too_loud(i: dict[str, bool]) -> bool:
    """Tell whether the two language models' shares together once passed 60 of 100."""
    available = named(i)
    loud = sum(BASE[name] for name in available if name in SPOKEN)
    return 100 * loud > 60 * sum(BASE[name] for name in available)


def weighs_differently(i: dict[str, bool]) -> bool:
    return speaks_too_loud(i) or rounds_past_one(i)


def rounds_past_one(i: dict[str, bool]) -> bool:
    total = sum(BASE[name] for name in named(i))
    return sum(rnd(1000 * BASE[name] / total) for name in named(i)) not in {0, 1000}


def right_weights(i: dict[str, bool]) -> dict[str, float]:
    """Share thousandths by the largest remainder, 600 at most to the language models."""
    available = named(i)
    groups = [(available, 1000)]
    if speaks_too_loud(i):
        others = [name for name in available if name not in SPOKEN]
        groups = [([name for name in available if name in SPOKEN], 600), (others, 400)]
    units = dict.fromkeys(BASE, 0)
    for names, thousandths in groups:
        total = sum(BASE[name] for name in names)
        exact = {name: Fraction(thousandths * BASE[name], total) for name in names}
        units |= {name: math.floor(share) for name, share in exact.items()}
        left = thousandths - sum(units[name] for name in names) if exact else 0
        for name in sorted(exact, key=lambda name: units[name] - exact[name])[:left]:
            units[name] += 1
    return {name: share / 1000 for name, share in units.items()}


def lacks_a_model(i: dict[str, Any]) -> bool:
    return not (i["availability"]["behavioral"] and i["availability"]["gemini"])


def right_confidence(i: dict[str, Any]) -> float:
    return confidence_of(of_counts(i))


def right_label(i: dict[str, Any]) -> str:
    return label(right_confidence(i))


def right_trust(i: dict[str, Any]) -> float:
    return confidence_of(signals_of(i))


def right_trust_label(i: dict[str, Any]) -> str:
    return label(right_trust(i))


def confidence_of(signals: aggregate.Signals) -> float:
    """Count in hundredths; models agree only where both answered."""
    g, b = signals.gemini, signals.behavioral
    if g is None and b is None:
        return 0.2
    points = 20 + 10 * signals.has_video + 10 * (signals.matched_sounds >= 1)
    points += 10 * (signals.matched_rules >= 3)
    points += {"high": 10, "medium": 5}.get(signals.deepseek_confidence or "", 0)
    points -= 5 * (signals.rules is None) + 5 * (signals.trends is None)
    if g is not None and b is not None:
        points += 40 if (g >= 50) == (b >= 50) else 20 if abs(g - b) <= 15 else 0
    return min(100, max(0, points)) / 100


def has_no_signal(i: dict[str, Any]) -> bool:
    return not signals_of(i).scores()


def lost_rules(i: dict[str, Any]) -> bool:
    return "rules" in i["failed"]


def lost_trends(i: dict[str, Any]) -> bool:
    return "trends" in i["failed"]


def once_available(i: dict[str, Any]) -> set[str]:
    """Return what counted as a signal: what was found, not what was judged."""
    factors = i["geminiResult"]["analysis"]["factors"]
    there = {
        "behavioral": i["deepseekResult"] is not None,
        "gemini": any(factor["score"] > 0 for factor in factors),
        "ml": i["ml_weights"] is not None,
        "rules": bool(i["ruleResult"]["matched_rules"]) and "rules" not in i["failed"],
        "trends": bool(i["trendEnrichment"]["matched_trends"]) and "trends" not in i["failed"],
    }
    return {name for name, is_there in there.items() if is_there}


def weighs_otherwise(i: dict[str, Any]) -> bool:
    return counts_otherwise(i) or weighs_differently(present(i))


def counts_otherwise(i: dict[str, Any]) -> bool:
    return set(signals_of(i).scores()) != once_available(i)


def present(i: dict[str, Any]) -> dict[str, bool]:
    return {name: name in signals_of(i).scores() for name in SIGNALS}


def right_shares(i: dict[str, Any]) -> dict[str, float]:
    return right_weights(present(i))


def trusts_otherwise(i: dict[str, Any]) -> bool:
    """Tell whether one model alone once agreed with the zero of the other."""
    there = present(i)
    return counts_otherwise(i) or there["behavioral"] != there["gemini"]


def warns_otherwise(i: dict[str, Any]) -> bool:
    return trusts_otherwise(i) or has_no_signal(i) or only_spoken(i)


def only_spoken(i: dict[str, Any]) -> bool:
    there = set(signals_of(i).scores())
    return bool(there) and there <= SPOKEN


def said_by_the_model(i: dict[str, Any]) -> list[str]:
    reasoning = (i["deepseekResult"] or {}).get("reasoning")
    return list(reasoning["warnings"]) if reasoning else []


def lost_gemini(i: dict[str, Any]) -> bool:
    return "gemini" in i["failed"]


def lost_deepseek(i: dict[str, Any]) -> bool:
    return i["deepseekResult"] is None


def nothing(i: dict[str, Any]) -> list[Any]:
    return []


def rounds_calls_apart(i: dict[str, Any]) -> bool:
    return rnd(sum(costs(i)), 4) != right_cost(i)


def right_cost(i: dict[str, Any]) -> float:
    """Add whole micro-dollars, of which a cent has ten thousand."""
    return sum(math.floor(Fraction(cost) * 10_000 + Fraction(1, 2)) for cost in costs(i)) / 10_000


def right_warnings(i: dict[str, Any]) -> list[str]:
    there = signals_of(i).scores().keys()
    missing = ",".join(name for name in SIGNALS if name not in there)
    lines = said_by_the_model(i)
    if missing:
        lines.append(f"@weights_redistributed:{missing}" if there else "@no_score")
    if only_spoken(i):
        lines.append("@only_language_models")
    if there and not {"behavioral", "gemini"} & there:
        lines.append("@both_language_models_failed")
    low = right_trust(i) < 0.4
    return [*lines, "@low_confidence"] if low else lines


def right_overall(i: dict[str, Any]) -> float | None:
    scores = signals_of(i).scores()
    share = right_shares(i)
    middle = 0.4 * 50 if only_spoken(i) else 0
    raw = rnd(sum(scores[name] * share[name] for name in scores) + middle)
    return through_old_platt(raw, i["platt"]) if scores else None
