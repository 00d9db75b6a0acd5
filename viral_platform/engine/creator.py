"""What is known of a creator, in words for a prompt.

Creator facts are context for the language models and features for the tier model; how they are
measured does not belong here.
"""

from __future__ import annotations

from dataclasses import dataclass

from viral_platform.engine.aggregate import round_half_up
from viral_platform.engine.contracts import CreatorFacts

Line = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PlatformBaseline:
    """Medians over creators, or None where nothing was measured. Rates are of views, 0..1."""

    views: float | None = None
    engagement_rate: float | None = None
    share_rate: float | None = None
    comment_rate: float | None = None


def creator_lines(
    creator: CreatorFacts | None, niche: str | None, baseline: PlatformBaseline
) -> list[Line]:
    """Return the known facts as (field, value), in a fixed order.

    Counts have thousands separators and at most three decimals, rates are percentages with two.
    `creator` is None for an unknown one; then only the platform's medians are told. Reference
    engine, creator.

    Examples
    --------
    >>> creator_lines(None, "travel", PlatformBaseline(views=50_000))
    [('profile', 'not_found'), ('platform_avg_views', '50,000')]
    """
    lines: list[Line | None] = [("profile", "not_found" if creator is None else "found")]
    if creator is not None:
        lines += [
            _count("follower_count", creator.followers),
            _count("avg_views", creator.median_views),
            _rate("engagement_rate", creator.median_engagement),
            ("niche", niche) if niche else None,
        ]
    lines += [
        _count("platform_avg_views", baseline.views),
        _rate("platform_engagement", baseline.engagement_rate),
        _rate("platform_share_rate", baseline.share_rate),
        _rate("platform_comment_rate", baseline.comment_rate),
    ]
    return [line for line in lines if line is not None]


_SAID = {
    "profile": "profile",
    "follower_count": "followers",
    "avg_views": "median views of earlier posts",
    "engagement_rate": "median weighted engagement rate of earlier posts",
    "niche": "niche",
    "platform_avg_views": "platform: median views",
    "platform_engagement": "platform: median weighted engagement rate",
    "platform_share_rate": "platform: median share rate",
    "platform_comment_rate": "platform: median comment rate",
}


def creator_context(
    creator: CreatorFacts | None, niche: str | None, baseline: PlatformBaseline
) -> str:
    """Return the known facts as one text, for the prompt of a language model."""
    lines = creator_lines(creator, niche, baseline)
    return "; ".join(f"{_SAID[field]}: {value.replace('_', ' ')}" for field, value in lines)


def _count(field: str, value: float | None) -> Line | None:
    if value is None:
        return None
    return field, f"{round_half_up(value, 3):,.3f}".rstrip("0").rstrip(".")


def _rate(field: str, value: float | None) -> Line | None:
    return None if value is None else (field, f"{100 * value:.2f}%")
