"""Measured figures that the prompts name, so that language models judge against real posts.

The packaged ones come from 7,321 videos. An operator's file, in the form of the replaced system,
puts its own in their place, figure by figure.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from viral_platform.observability.logging import get_logger

log = get_logger(__name__)

MAX_DIFFERENTIATORS = 10
MAX_DESCRIPTION_CHARACTERS = 200
MAX_SECONDS = 24 * 3600.0

Figure = TypeVar("Figure")

_warned: set[Path] = set()
_warned_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles of a rate over posts; shares of views, 0..1, in rising order."""

    p50: float
    p75: float
    p90: float


@dataclass(frozen=True, slots=True)
class Differentiator:
    """How a quantity of viral posts differs from that of average ones, in percent."""

    factor: str
    difference_pct: float
    description: str


@dataclass(frozen=True, slots=True)
class Benchmarks:
    """Figures for the prompts. Reference engine, the baseline file.

    Rates are per view, 0..1. `weighted_engagement_p90` is that of (likes + 2 comments + 3 shares)
    / views. `sweet_spot_seconds` is the best span of lengths. `differentiators` come with the
    largest difference first; none is the outcome itself or a ratio built from it.
    """

    share_rate: Percentiles = Percentiles(0.002797, 0.007432, 0.018297)
    comment_rate: Percentiles = Percentiles(0.00079, 0.003095, 0.015161)
    save_rate: Percentiles = Percentiles(0.006301, 0.014346, 0.026867)
    viral_share_threshold: float = 0.018297
    weighted_engagement_p90: float = 0.239726
    sweet_spot_seconds: tuple[float, float] = (50.0, 55.0)
    differentiators: tuple[Differentiator, ...] = (
        Differentiator("comment_rate", 1254.93, "comments per view"),
        Differentiator("share_rate", 1163.21, "shares per view"),
        Differentiator("like_rate", 574.38, "likes per view"),
        Differentiator("save_rate", 216.93, "saves per view"),
        Differentiator("caption_length", -32.66, "length of the caption"),
        Differentiator("duration_seconds", -24.47, "length of the video"),
    )


PACKAGED = Benchmarks()


def load_benchmarks(path: Path | None) -> Benchmarks:
    """Return the figures of a file, those that it lacks from the packaged ones.

    Never raises: a figure that is missing, of another type or out of range falls back to the
    packaged one, all of them when the file cannot be read. The missing ones are named in one
    warning for each path and process.

    Parameters
    ----------
    path : Path, optional
        JSON file in the form of the replaced system; None is the packaged figures.
    """
    if path is None:
        return PACKAGED
    document = _read(path)
    missing: list[str] = []
    benchmarks = Benchmarks(
        share_rate=_percentiles(document, "share_rate", PACKAGED.share_rate, missing),
        comment_rate=_percentiles(document, "comment_rate", PACKAGED.comment_rate, missing),
        save_rate=_percentiles(document, "save_rate", PACKAGED.save_rate, missing),
        viral_share_threshold=_figure(
            document,
            "primary_kpis.share_rate.viral_threshold",
            _rate,
            missing,
            PACKAGED.viral_share_threshold,
        ),
        weighted_engagement_p90=_figure(
            document,
            "primary_kpis.weighted_engagement_score.percentiles.p90",
            _ratio,
            missing,
            PACKAGED.weighted_engagement_p90,
        ),
        sweet_spot_seconds=_figure(
            document,
            "duration_analysis.sweet_spot_by_weighted_score.optimal_range_seconds",
            _span,
            missing,
            PACKAGED.sweet_spot_seconds,
        ),
        differentiators=_figure(
            document,
            "viral_vs_average.differentiators",
            _differentiators,
            missing,
            PACKAGED.differentiators,
        ),
    )
    if missing:
        _warn(path, missing)
    return benchmarks


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _warn(path: Path, missing: list[str]) -> None:
    with _warned_lock:
        is_new = path not in _warned
        _warned.add(path)
    if is_new:
        log.warning("benchmarks_incomplete", path=str(path), packaged_instead=missing)


def _percentiles(
    document: object, kpi: str, packaged: Percentiles, missing: list[str]
) -> Percentiles:
    path = f"primary_kpis.{kpi}.percentiles"
    found = Percentiles(
        *(
            _figure(document, f"{path}.{name}", _rate, missing, getattr(packaged, name))
            for name in ("p50", "p75", "p90")
        )
    )
    if found.p50 <= found.p75 <= found.p90:
        return found
    # Each figure alone is possible, together they are no percentiles.
    missing.append(path)
    return packaged


def _figure(
    document: object,
    path: str,
    read: Callable[[object], Figure | None],
    missing: list[str],
    packaged: Figure,
) -> Figure:
    value = document
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    found = read(value)
    if found is None:
        missing.append(path)
        return packaged
    return found


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _rate(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and 0 <= number <= 1 else None


def _ratio(value: object) -> float | None:
    """Read a weighted engagement rate: comments count twice and shares three times."""
    number = _number(value)
    return number if number is not None and 0 < number <= 6 else None


def _span(value: object) -> tuple[float, float] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    low, high = (_number(item) for item in value)
    if low is None or high is None or not 0 <= low <= high <= MAX_SECONDS:
        return None
    return low, high


def _differentiators(value: object) -> tuple[Differentiator, ...] | None:
    if not isinstance(value, list):
        return None
    found = [item for item in map(_differentiator, value) if item is not None]
    found.sort(key=lambda item: -abs(item.difference_pct))
    return tuple(found[:MAX_DIFFERENTIATORS]) or None


def _differentiator(value: Any) -> Differentiator | None:  # noqa: ANN401  any JSON value
    if not isinstance(value, dict):
        return None
    factor, description = value.get("factor"), value.get("description", "")
    difference = _number(value.get("difference_pct"))
    if not isinstance(factor, str) or not isinstance(description, str) or difference is None:
        return None
    # "Viral posts have a higher score" tells a model nothing, nor does a ratio of its parts.
    if not factor.strip() or factor.startswith("weighted_") or factor.endswith("_ratio"):
        return None
    return Differentiator(
        factor[:MAX_DESCRIPTION_CHARACTERS],
        difference,
        description[:MAX_DESCRIPTION_CHARACTERS],
    )
