from __future__ import annotations

import json

from viral_platform.services.ingestion.field_names import MOST_NAMES, SAMPLED_A_PAGE, sample_fields


def raw(item: object) -> bytes:
    return json.dumps(item).encode()


def test_names_are_counted_one_level_down_and_lists_are_not_entered() -> None:
    sample = sample_fields(
        [
            raw({"id": "1", "authorMeta": {"fans": 1, "deep": {"er": 1}}, "tags": [{"name": "a"}]}),
            raw({"id": "2", "authorMeta": {}}),
        ]
    )
    assert sample.sampled == 2
    assert sample.counts == {
        "id": 2,
        "authorMeta": 2,
        "authorMeta.fans": 1,
        "authorMeta.deep": 1,
        "tags": 1,
    }


def test_what_is_no_item_counts_for_nothing() -> None:
    broken = [b"{", b"[]", b"7", raw({"error": "not found", "url": "u"}), b"[" * 100_000]
    assert sample_fields(broken).sampled == 0
    assert sample_fields([]).sampled == 0
    assert sample_fields([raw({"error": None, "id": "1"})]).counts["id"] == 1


def test_a_long_page_is_sampled_over_its_length_and_names_are_bounded() -> None:
    page = [raw({"id": number, "late" if number > 900 else "early": 1}) for number in range(1_000)]
    sample = sample_fields(page)
    assert sample.sampled == SAMPLED_A_PAGE
    assert {"early", "late"} <= sample.counts.keys()
    keyed_by_data = raw({"id": 1, **{f"key{number}": 1 for number in range(1_000)}, "x" * 81: 1})
    counts = sample_fields([keyed_by_data]).counts
    assert len(counts) == MOST_NAMES
    assert max(map(len, counts)) <= 80
