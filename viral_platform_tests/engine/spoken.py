"""Replies of language models for tests: all scores alike, or as given."""

from __future__ import annotations

import json
from typing import Any

from viral_platform.engine.replies import (
    FACTOR_NAMES,
    DeepSeekReasoning,
    GeminiAnalysis,
    parse_analysis,
    parse_reasoning,
)


def analysis_document(score: float = 6.0, **changes: Any) -> dict[str, Any]:
    factor = {"score": score, "rationale": "because", "improvement_tip": "do more"}
    evidence = {"evidence": changes.pop("evidence")} if "evidence" in changes else {}
    return {
        "factors": [{"name": name, **factor, **evidence} for name in FACTOR_NAMES.values()],
        "overall_impression": "fine",
        "content_summary": "a river",
        **changes,
    }


def reasoning_document(score: float = 6.0, **changes: Any) -> dict[str, Any]:
    kinds = ("completion", "share", "comment", "save")
    return {
        "behavioral_predictions": {
            **{f"{kind}_pct": 10.0 for kind in kinds},
            **{f"{kind}_percentile": "top 25%" for kind in kinds},
        },
        "component_scores": dict.fromkeys(
            [
                "hook_effectiveness",
                "retention_strength",
                "shareability",
                "comment_provocation",
                "save_worthiness",
                "trend_alignment",
                "originality",
            ],
            score,
        ),
        "suggestions": [{"text": "ask a question", "priority": "high", "category": "hook"}],
        "warnings": [],
        "confidence": "medium",
        **changes,
    }


def analysis(score: float = 6.0, **changes: Any) -> GeminiAnalysis:
    text = json.dumps(analysis_document(score, **changes))
    return parse_analysis(text, with_video=False)


def reasoning(score: float = 6.0, **changes: Any) -> DeepSeekReasoning:
    return parse_reasoning(json.dumps(reasoning_document(score, **changes)))
