"""JSON schemas of replies, with bounds, for models that can be held to one while they write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from viral_platform.engine.replies import (
    FACTOR_NAMES,
    VIDEO_SIGNALS,
    BehavioralPredictions,
    ComponentScores,
)

Schema = dict[str, Any]

CATEGORIES = ("hook", "content", "format", "timing", "audio")
LEVELS = ("high", "medium", "low")
MAX_SUGGESTIONS = 5

_TEXT: Schema = {"type": "string"}
_SCORE: Schema = {"type": "number", "minimum": 0, "maximum": 10}
_PERCENT: Schema = {"type": "number", "minimum": 0, "maximum": 100}


def analysis_schema(*, with_video: bool) -> Schema:
    """Return the schema of a content analysis; with a video its four signals are required."""
    factor = _object(
        {
            "name": _one_of(list(FACTOR_NAMES.values())),
            "score": _SCORE,
            "rationale": _TEXT,
            "improvement_tip": _TEXT,
            "evidence": _TEXT,
        },
        optional=("evidence",),
    )
    count = len(FACTOR_NAMES)
    properties: Schema = {
        "factors": {"type": "array", "minItems": count, "maxItems": count, "items": factor},
        "overall_impression": _TEXT,
        "content_summary": _TEXT,
    }
    if with_video:
        properties["video_signals"] = _object(dict.fromkeys(VIDEO_SIGNALS, _SCORE))
    return _object(properties)


def reasoning_schema() -> Schema:
    """Return the schema of a behavioral prediction."""
    predictions = {
        name: _PERCENT if name.endswith("_pct") else _TEXT
        for name in BehavioralPredictions.model_fields
    }
    suggestion = _object(
        {"text": _TEXT, "priority": _one_of(LEVELS), "category": _one_of(CATEGORIES)}
    )
    return _object(
        {
            "behavioral_predictions": _object(predictions),
            "component_scores": _object(dict.fromkeys(ComponentScores.model_fields, _SCORE)),
            "suggestions": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_SUGGESTIONS,
                "items": suggestion,
            },
            "warnings": {"type": "array", "items": _TEXT},
            "confidence": _one_of(LEVELS),
        }
    )


def _object(properties: Schema, optional: Sequence[str] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def _one_of(values: Sequence[str]) -> Schema:
    return {"type": "string", "enum": list(values)}
