"""Where the replaced system read replies otherwise, and what is right there, from the text alone.

Predicates and values for the table of `test_parity.py`. No value is computed by the function that
it is held against.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

FACTORS = (
    "scroll stop power",
    "completion pull",
    "rewatch potential",
    "share trigger",
    "emotional charge",
)


def document(i: dict[str, Any]) -> Any:
    """Return the JSON value of a reply, None when it is none."""
    fenced = re.search(r"```(?:json)?([\s\S]*?)```", i["text"])
    try:
        return json.loads(fenced[1] if fenced else i["text"])
    except ValueError:
        return None


def factors(i: dict[str, Any]) -> list[Any]:
    found = document(i)
    given = found.get("factors") if isinstance(found, dict) else None
    return given if isinstance(given, list) else []


def meaning(factor: Any) -> str | None:
    """Return which of the five a factor is, None for another and for one without a name."""
    name = factor.get("name") if isinstance(factor, dict) else None
    bare = re.sub("[^a-z]+", " ", name.lower()).strip() if isinstance(name, str) else None
    return bare if bare in FACTORS else None


def is_number(value: Any) -> bool:
    return type(value) in {int, float} and math.isfinite(value)


def scores(i: dict[str, Any]) -> list[Any]:
    found = document(i)
    signals = found.get("video_signals") if isinstance(found, dict) else None
    seen = list(signals.values()) if isinstance(signals, dict) else []
    return [one.get("score") for one in factors(i) if isinstance(one, dict)] + seen


def is_fitted(i: dict[str, Any]) -> bool:
    """Tell whether a number is clamped, or a factor has another name, or stands there twice."""
    named = [
        one for one in factors(i) if isinstance(one, dict) and isinstance(one.get("name"), str)
    ]
    known = [meaning(one) for one in named]
    return (
        any(is_number(score) and not 0 <= score <= 10 for score in scores(i))
        or None in known
        or len(set(known)) < len(known)
    )


def fitted(i: dict[str, Any]) -> Any:
    """Return the reply with known factors once each and numbers inside 0..10."""
    found = document(i)
    kept: list[Any] = []
    for factor in found["factors"]:
        if isinstance(factor, dict) and isinstance(factor.get("name"), str):
            if meaning(factor) is None or meaning(factor) in map(meaning, kept):
                continue
            factor = factor | {"score": inside(factor.get("score"))}
        kept.append(factor)
    signals = found.get("video_signals")
    if isinstance(signals, dict):
        found = found | {"video_signals": {key: inside(value) for key, value in signals.items()}}
    return found | {"factors": kept}


def inside(score: Any) -> Any:
    return min(10, max(0, score)) if is_number(score) else score


def right_acceptance(i: dict[str, Any]) -> bool:
    """Tell whether the fitted reply is complete: five factors, with the texts that belong."""
    found = fitted(i)
    texts = ("name", "rationale", "improvement_tip")
    whole = len(found["factors"]) == 5 and all(
        isinstance(one, dict)
        and is_number(one.get("score"))
        and all(isinstance(one.get(text), str) for text in texts)
        for one in found["factors"]
    )
    said = all(
        isinstance(found.get(text), str) for text in ("overall_impression", "content_summary")
    )
    signals = found.get("video_signals")
    seen = signals is None or (len(signals) >= 4 and all(map(is_number, signals.values())))
    return whole and said and seen


def right_reply(i: dict[str, Any]) -> Any:
    if not right_acceptance(i):
        return None
    kept = ("factors", "overall_impression", "content_summary", "video_signals")
    found = {key: value for key, value in fitted(i).items() if key in kept}
    fields = ("name", "score", "rationale", "improvement_tip")
    known = [{key: one[key] for key in fields} for one in found["factors"]]
    return found | {"factors": known}


def right_reason(i: dict[str, Any]) -> str | None:
    return None if right_acceptance(i) else "schema"


def right_paths(i: dict[str, Any]) -> list[str] | None:
    return None if right_acceptance(i) else ["factors"]


def writes_more_often(i: dict[str, Any]) -> bool:
    return bool(i["posting_frequency"])


def without_frequency(i: dict[str, Any]) -> list[Any]:
    return [one for one in i["recorded"] if one["field"] != "posting_frequency"]
