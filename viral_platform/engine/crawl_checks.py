"""What must hold of crawls: the bars, and verdicts on what was measured of them.

Crawls are compared with earlier ones of the same purpose, since a scrape of profiles has other
fields and another size than one of hashtags. Where crawls are read from does not belong here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

FRESH_HOURS = 24.0
# Of the median of earlier crawls: hashtags differ from day to day, a broken scraper by more.
VOLUME_SHARE = 0.5
QUARANTINE_SHARE = 0.05
TRAILING = 8
MIN_EARLIER = 3
# A name in fewer items than this is an oddity of some posts and no change of the scraper.
NEW_FROM_SHARE = 0.05
# A name that was in at least so many items of each earlier crawl, and is in none, has vanished.
KEPT_FROM_SHARE = 0.5
SHOWN_NAMES = 10


@dataclass(frozen=True, slots=True)
class Crawl:
    """What is known of one dataset. `fields` counts the names among `sampled` items."""

    dataset_id: str
    purpose: str
    received: int
    quarantined: int
    scraper_errors: int
    sampled: int
    fields: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CrawlVerdict:
    """Whether something holds, in a sentence, with its figures."""

    name: str
    passed: bool
    description: str
    figures: dict[str, float | str] = field(default_factory=dict)


def freshness(newest_crawl: datetime | None, now: datetime, *, is_simulated: bool) -> CrawlVerdict:
    """Judge the age of the newest crawl. A simulated feed has a clock of its own and passes.

    Examples
    --------
    >>> freshness(None, datetime(2026, 5, 1), is_simulated=False).passed
    False
    """
    if newest_crawl is None:
        return CrawlVerdict(
            "freshness", passed=False, description="Nothing was crawled yet.", figures={"n": 0}
        )
    hours = (now - newest_crawl) / timedelta(hours=1)
    at = f"{newest_crawl:%Y-%m-%d %H:%M} UTC"
    figures: dict[str, float | str] = {"age_hours": round(hours, 2), "bar": FRESH_HOURS, "n": 1}
    if is_simulated:
        said = f"The newest crawl, of a SIMULATED feed, is of {at} on the feed's own clock."
        return CrawlVerdict("freshness", passed=True, description=said, figures=figures)
    said = f"The newest crawl is of {at}, {hours:.1f} hours ago; the bar is {FRESH_HOURS:g}."
    return CrawlVerdict("freshness", hours <= FRESH_HOURS, said, figures)


def volume(last: Crawl, earlier: Sequence[Crawl]) -> CrawlVerdict:
    """Judge how many items a crawl brought against the median of earlier ones."""
    figures: dict[str, float | str] = {"items": last.received, "n": len(earlier)}
    if len(earlier) < MIN_EARLIER:
        return _not_judged("volume", last, earlier, figures)
    usual = float(median(crawl.received for crawl in earlier))
    share = last.received / usual if usual else 1.0
    return CrawlVerdict(
        "volume",
        share >= VOLUME_SHARE,
        f"{last.received} items, {share:.2f} of the median {usual:g} of {len(earlier)} earlier "
        f"{last.purpose} crawls; the bar is {VOLUME_SHARE}.",
        {**figures, "median": usual, "share": round(share, 4), "bar": VOLUME_SHARE},
    )


def quarantine_share(last: Crawl) -> CrawlVerdict:
    """Judge which share of a crawl's items was rejected."""
    share = last.quarantined / last.received if last.received else 0.0
    return CrawlVerdict(
        "quarantine_share",
        share <= QUARANTINE_SHARE,
        f"{last.quarantined} of {last.received} items were rejected, a share of {share:.3f}; the "
        f"bar is {QUARANTINE_SHARE}.",
        {
            "share": round(share, 4),
            "bar": QUARANTINE_SHARE,
            "quarantined": last.quarantined,
            "scraper_errors": last.scraper_errors,
            "n": last.received,
        },
    )


def schema_drift(last: Crawl, earlier: Sequence[Crawl]) -> CrawlVerdict:
    """Judge whether the items' field names are those of earlier crawls."""
    known = [crawl for crawl in earlier if crawl.sampled]
    figures: dict[str, float | str] = {"items_sampled": last.sampled, "n": len(known)}
    if len(known) < MIN_EARLIER or not last.sampled:
        return _not_judged("schema_drift", last, known, figures)
    seen = {name for crawl in known for name in crawl.fields}
    new = sorted(
        name
        for name, count in last.fields.items()
        if name not in seen and count >= NEW_FROM_SHARE * last.sampled
    )
    vanished = sorted(
        name
        for name in seen - last.fields.keys()
        if all(crawl.fields.get(name, 0) >= KEPT_FROM_SHARE * crawl.sampled for crawl in known)
    )
    return CrawlVerdict(
        "schema_drift",
        not new and not vanished,
        f"Against {len(known)} earlier {last.purpose} crawls, new: {_named(new)}; vanished: "
        f"{_named(vanished)}.",
        {
            **figures,
            "new": len(new),
            "vanished": len(vanished),
            "new_names": _named(new),
            "vanished_names": _named(vanished),
        },
    )


def _not_judged(
    name: str, last: Crawl, earlier: Sequence[Crawl], figures: dict[str, float | str]
) -> CrawlVerdict:
    said = (
        f"Not judged: {len(earlier)} earlier {last.purpose} crawls, {MIN_EARLIER} are needed; this "
        f"one brought {last.received} items."
    )
    return CrawlVerdict(
        name, passed=True, description=said, figures={**figures, "needed": MIN_EARLIER}
    )


def _named(names: Sequence[str]) -> str:
    more = "" if len(names) <= SHOWN_NAMES else f" and {len(names) - SHOWN_NAMES} more"
    return (", ".join(names[:SHOWN_NAMES]) or "none") + more
