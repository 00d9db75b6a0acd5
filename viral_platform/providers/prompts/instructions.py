"""The instruction files, filled in with benchmarks and named by what is in them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal

from viral_platform.engine.errors import FailureReason
from viral_platform.providers.benchmarks import Benchmarks, Percentiles
from viral_platform.providers.prompts.data import clean_text

PromptName = Literal["analysis_v1", "analysis_video_v1", "reasoning_v1", "rules_v1"]

_FILE_NAME = re.compile(r"(?P<name>[a-z_]+)_v(?P<number>\d+)")
_UNUSABLE = (
    "Your previous reply could not be used. Reply with the JSON object alone, whole and in exactly "
    "the shape that is asked for."
)
_CUT = (
    "Your previous reply was cut off because it was too long. Reply with the JSON object alone, "
    "with shorter texts."
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """Instructions for a model. `version` changes with every letter of their file."""

    version: str
    text: str


def load_prompt(name: PromptName, benchmarks: Benchmarks) -> Prompt:
    """Return the instructions of a file, with the benchmarks in their places.

    Examples
    --------
    >>> load_prompt("rules_v1", Benchmarks()).version[:9]
    'rules-v1-'
    """
    content = Path(__file__).with_name(f"{name}.md").read_bytes()
    match = _FILE_NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name}: a prompt is called name_vN")
    digest = hashlib.sha256(content).hexdigest()[:8]
    version = f"{match['name'].replace('_', '-')}-v{match['number']}-{digest}"
    text = Template(content.decode()).substitute(_figures(benchmarks))
    return Prompt(version, text.strip())


def remark_on(reason: FailureReason | None) -> str:
    """Return what a model is told first after a reply that could not be used, else ""."""
    if reason == "truncated":
        return _CUT
    return _UNUSABLE if reason in {"not_json", "schema", "empty"} else ""


def _figures(benchmarks: Benchmarks) -> dict[str, str]:
    low, high = benchmarks.sweet_spot_seconds
    return {
        "viral_share_pct": _percent(benchmarks.viral_share_threshold),
        "weighted_engagement_p90": f"{benchmarks.weighted_engagement_p90:.2f}",
        "sweet_spot_low": f"{low:g}",
        "sweet_spot_high": f"{high:g}",
        "differentiators_3": _differentiators(benchmarks, 3),
        "differentiators_5": _differentiators(benchmarks, 5),
        **_percentiles("share", benchmarks.share_rate),
        **_percentiles("comment", benchmarks.comment_rate),
        **_percentiles("save", benchmarks.save_rate),
    }


def _percentiles(kind: str, rate: Percentiles) -> dict[str, str]:
    return {f"{kind}_{name}": _percent(getattr(rate, name)) for name in ("p50", "p75", "p90")}


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _differentiators(benchmarks: Benchmarks, count: int) -> str:
    ranked = sorted(benchmarks.differentiators, key=lambda one: -abs(one.difference_pct))
    return "\n".join(
        f"- {_in_line(one.factor)}: {one.difference_pct:+.0f}% ({_in_line(one.description)})"
        for one in ranked[:count]
    )


def _in_line(text: str) -> str:
    return " ".join(clean_text(text).split())
