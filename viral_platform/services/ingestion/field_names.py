"""Names of fields among a page's items, so that a change of the scraper can be told by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

SAMPLED_A_PAGE = 50
# Objects keyed by data would otherwise fill the row of a delivery.
MOST_NAMES = 400
LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class FieldSample:
    """How many of `sampled` items have a field; one level down, as `authorMeta.fans`."""

    sampled: int = 0
    counts: Counter[str] = field(default_factory=Counter)


def sample_fields(items: Sequence[bytes]) -> FieldSample:
    """Return the names in some items of a page, spread over it; errors of the scraper are none.

    Examples
    --------
    >>> sample_fields([b'{"id": "1", "authorMeta": {"fans": 2}}']).counts["authorMeta.fans"]
    1
    """
    counts: Counter[str] = Counter()
    sampled = 0
    for raw in items[:: max(1, len(items) // SAMPLED_A_PAGE)][:SAMPLED_A_PAGE]:
        try:
            item = msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            continue
        if isinstance(item, dict) and not ("error" in item and "id" not in item):
            sampled += 1
            counts.update({name for name in _names(item) if len(name) <= LONGEST_NAME})
    return FieldSample(sampled, Counter(dict(counts.most_common(MOST_NAMES))))


def _names(item: dict[str, object]) -> Iterator[str]:
    for name, value in item.items():
        yield name
        if isinstance(value, dict):
            yield from (f"{name}.{inner}" for inner in value)
