from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine import crawl_checks
from viral_platform.engine.crawl_checks import Crawl

NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)
NAMES = {"id": 50, "text": 49, "authorMeta.fans": 30, "isAd": 2}


def crawl(received: int = 1_000, **options: object) -> Crawl:
    given = {"quarantined": 0, "scraper_errors": 0, "sampled": 50, "fields": NAMES, **options}
    return Crawl(dataset_id="d", purpose="trending", received=received, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(("hours", "passed"), [(0, True), (24, True), (24.1, False), (900, False)])
def test_a_crawl_is_fresh_for_a_day(hours: float, *, passed: bool) -> None:
    at = NOW - timedelta(hours=hours)
    verdict = crawl_checks.freshness(at, NOW, is_simulated=False)
    assert verdict.passed is passed
    assert verdict.figures["age_hours"] == pytest.approx(hours, abs=0.01)
    assert crawl_checks.freshness(at, NOW, is_simulated=True).passed


def test_without_a_crawl_nothing_is_fresh() -> None:
    assert not crawl_checks.freshness(None, NOW, is_simulated=False).passed


def test_a_crawl_of_less_than_half_the_usual_size_fails() -> None:
    earlier = [crawl(received) for received in (900, 1_000, 5_000)]
    assert crawl_checks.volume(crawl(500), earlier).passed
    small = crawl_checks.volume(crawl(499), earlier)
    assert not small.passed
    assert (small.figures["median"], small.figures["n"]) == (1_000, 3)
    assert not crawl_checks.volume(crawl(0), earlier).passed


def test_too_few_crawls_judge_nothing_and_say_so() -> None:
    for verdict in (
        crawl_checks.volume(crawl(0), [crawl()] * 2),
        crawl_checks.schema_drift(crawl(fields={"other": 50}), [crawl()] * 2),
        crawl_checks.schema_drift(crawl(sampled=0, fields={}), [crawl()] * 3),
        crawl_checks.schema_drift(crawl(), [crawl(sampled=0, fields={})] * 3),
    ):
        assert verdict.passed
        assert verdict.description.startswith("Not judged: ")


@pytest.mark.parametrize(
    ("rejected", "received", "passed"), [(0, 0, True), (5, 100, True), (6, 100, False)]
)
def test_more_than_one_rejected_item_in_twenty_fails(
    rejected: int, received: int, *, passed: bool
) -> None:
    verdict = crawl_checks.quarantine_share(crawl(received, quarantined=rejected))
    assert verdict.passed is passed
    assert verdict.figures["n"] == received


def test_new_and_vanished_fields_are_named() -> None:
    renamed = {"id": 50, "text": 49, "authorMeta.followers": 30, "rare": 2}
    verdict = crawl_checks.schema_drift(crawl(fields=renamed), [crawl()] * 3)
    assert not verdict.passed
    # One of four in fifty items may be missing, or there, by chance.
    assert verdict.figures["new_names"] == "authorMeta.followers"
    assert verdict.figures["vanished_names"] == "authorMeta.fans"
    assert "new: authorMeta.followers; vanished: authorMeta.fans" in verdict.description


def test_a_field_that_one_earlier_crawl_had_is_not_new_and_one_that_some_lacked_not_vanished() -> (
    None
):
    earlier = [crawl(), crawl(fields={**NAMES, "extra": 1}), crawl(fields={"id": 50, "text": 50})]
    now = crawl(fields={"id": 50, "text": 40, "extra": 50})
    assert crawl_checks.schema_drift(now, earlier).passed


def test_many_names_are_shown_in_part() -> None:
    fields = {**NAMES, **{f"new{number:02}": 50 for number in range(14)}}
    verdict = crawl_checks.schema_drift(crawl(fields=fields), [crawl()] * 3)
    assert str(verdict.figures["new_names"]).endswith("new09 and 4 more")
    assert verdict.figures["new"] == 14


@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 50)), min_size=3))
def test_a_crawl_like_all_earlier_ones_never_drifts(fields: list[dict[str, int]]) -> None:
    earlier = [crawl(fields=one) for one in fields]
    union = {name: 50 for one in fields for name in one}
    assert crawl_checks.schema_drift(crawl(fields=union), earlier).passed
