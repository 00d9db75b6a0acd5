"""What the inputs of the parity vectors mean in the engine's terms.

Shared by what the engine answers and by what is right, so that both judge the same thing.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from typing import Any

from viral_platform.engine import aggregate
from viral_platform.engine.contracts import (
    SIGNALS,
    TrendingHashtag,
)


def of_counts(i: dict[str, Any]) -> aggregate.Signals:
    there = i["availability"]
    return aggregate.Signals(
        behavioral=i["behavioral_score"] if there["behavioral"] else None,
        gemini=i["gemini_score"] if there["gemini"] else None,
        rules=50.0 if there["rules"] else None,
        trends=50.0 if there["trends"] else None,
        matched_sounds=i["matched_trends"],
        matched_rules=i["matched_rules"],
        deepseek_confidence=i["deepseek_confidence"],
        has_video=i["has_video"],
    )


def signals_of(i: dict[str, Any]) -> aggregate.Signals:
    """Return the signals of a pipeline result: what failed is absent."""
    broken, reasoning = i["failed"], (i["deepseekResult"] or {}).get("reasoning")
    factors = [factor["score"] for factor in i["geminiResult"]["analysis"]["factors"]]
    components = list(reasoning["component_scores"].values()) if reasoning else []
    return aggregate.Signals(
        behavioral=rnd(10 * sum(components) / len(components)) if components else None,
        gemini=None if "gemini" in broken else rnd(10 * sum(factors) / len(factors)),
        ml=None if i["ml_weights"] is None else i["ml_score"],
        rules=None if "rules" in broken else i["ruleResult"]["rule_score"],
        trends=None if "trends" in broken else i["trendEnrichment"]["trend_score"],
        matched_sounds=len(i["trendEnrichment"]["matched_trends"]),
        matched_rules=len(i["ruleResult"]["matched_rules"]),
        deepseek_confidence=reasoning["confidence"] if reasoning else None,
        has_video=i["payload"]["input_mode"] != "text",
    )


def rnd(x: float, digits: int = 0) -> float:
    return math.floor(x * 10**digits + 0.5) / 10**digits


def velocity(row: dict[str, Any]) -> float | None:
    return None if row["velocity_score"] is None else float(row["velocity_score"])


def phase(row: dict[str, Any]) -> Any:
    """A phase that is not known rests on too little data."""
    known = {"emerging", "rising", "peak", "declining"}
    return row["trend_phase"] if row["trend_phase"] in known else "insufficient_data"


def stored_tag(tag: str) -> str:
    return unicodedata.normalize("NFC", tag.lower().lstrip("#"))


def mart(videos: list[dict[str, Any]]) -> dict[str, TrendingHashtag]:
    """Count the hashtags of the newest 200 videos, each once a video, without '#'."""
    newest = sorted(videos, key=lambda row: row["created_at"], reverse=True)[:200]
    count: Counter[str] = Counter()
    views: Counter[str] = Counter()
    for row in newest:
        for tag in set(map(stored_tag, row["hashtags"] or [])):
            count[tag] += 1
            views[tag] += row["views"] or 0
    return {tag: TrendingHashtag(tag, n, views[tag], n / len(newest)) for tag, n in count.items()}


def pairs(i: dict[str, Any]) -> list[tuple[float, float]]:
    return [(pair["predicted"], pair["actual"]) for pair in i["pairs"]]


def shown_bin(low: float, high: float, count: int, *means: float | None) -> dict[str, Any]:
    predicted, actual = (rnd(mean or 0, 4) for mean in means)
    return {
        "binStart": rnd(low, 3),
        "binEnd": rnd(high, 3),
        "avgPredicted": predicted,
        "avgActual": actual,
        "count": count,
        "gap": rnd(abs(predicted - actual), 4),
    }


def logit(x: float) -> float:
    inner = min(0.995, max(0.005, x))
    return math.log(inner / (1 - inner))


def named(i: dict[str, bool]) -> list[str]:
    return [name for name in SIGNALS if i[name]]


def through_old_platt(raw: float | None, platt: Any) -> float | None:
    """Serve a raw score by the recorded parameters, whose own meaning is held elsewhere."""
    if raw is None or not isinstance(platt, dict):
        return raw
    return rnd(100 / (1 + math.exp(platt["a"] * raw / 100 + platt["b"])), 2)


def label(confidence: float) -> str:
    return "HIGH" if confidence >= 0.7 else "MEDIUM" if confidence >= 0.4 else "LOW"


def unknown(i: dict[str, Any]) -> None:
    return None


def never(i: dict[str, Any]) -> bool:
    return False


def costs(i: dict[str, Any]) -> list[float]:
    calls = [i["geminiResult"], *([i["deepseekResult"]] if i["deepseekResult"] else [])]
    return [call["cost_cents"] for call in calls]
