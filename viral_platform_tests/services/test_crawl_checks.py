"""Verdicts on crawls as deliveries have left them in the inbox."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from viral_platform.providers.apify_datasets import ApifyDatasets
from viral_platform.sandbox.stand_ins import StandIn
from viral_platform.services import inbox
from viral_platform.services.crawl_checks import judge_dataset, judge_newest
from viral_platform.services.ingestion.datasets import DeliveryReport, ingest_delivery
from viral_platform.storage import scrapes
from viral_platform.storage.database import Database
from viral_platform.storage.scrapes import ScrapeOrder

from .test_competitors import item

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


class Crawler:
    """Starts, delivers and ingests crawls of items."""

    def __init__(self, database: Database, stand_in: StandIn) -> None:
        self.database = database
        self.stand_in = stand_in
        self.crawled = 0

    def crawl(
        self, items: list[dict[str, Any]], *, purpose: Any = None, age: timedelta = DAY / 24
    ) -> DeliveryReport:
        run = self.stand_in.apify._add(
            actor="actor",
            total=len(items),
            item=items.__getitem__,
            usd=0.0,
            started_at=NOW - age,
            ends_after=0.0,
        )
        self.crawled += 1
        if purpose is not None:
            order = ScrapeOrder(purpose, str(self.crawled), {})
            scrapes.claim(self.database, order, NOW)
            scrapes.record_started(
                self.database,
                order,
                run_id=run.id,
                started_at=NOW - age,
                request_id="r",
                reserved_since=NOW,
            )
        event = "ACTOR.RUN.SUCCEEDED"
        inbox.receive(
            self.database,
            source=inbox.APIFY,
            delivery_id=run.id,
            event_type=event,
            body={"eventType": event, "resource": {"id": run.id}},
        )
        (waiting,) = inbox.due(self.database, 10, datetime.now(UTC))
        apify = ApifyDatasets(token="token", base_url=self.stand_in.base_url, page_items=5)
        try:
            return ingest_delivery(self.database, apify, waiting.id)
        finally:
            apify.close()


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def crawler(database: Database, running: StandIn) -> Crawler:
    running.reset()
    return Crawler(database, running)


def items(count: int, **author: Any) -> list[dict[str, Any]]:
    return [item("cook", number, **author) for number in range(1, count + 1)]


def verdicts(crawler: Crawler, report: DeliveryReport) -> dict[str, bool]:
    judged = judge_dataset(crawler.database, report.dataset_id)
    return {verdict.name: verdict.passed for verdict in judged}


def test_a_crawl_is_held_against_those_before_it(crawler: Crawler) -> None:
    for _ in range(3):
        crawler.crawl(items(10), purpose="trending")
    assert verdicts(crawler, crawler.crawl(items(8), purpose="trending")) == {
        "quarantine_share": True,
        "schema_drift": True,
        "volume": True,
    }
    small = items(3, likers=4)
    for one in small:
        del one["playCount"]
    broken = crawler.crawl([*small, {**small[0], "id": "7.5e+18"}], purpose="trending")
    judged = {one.name: one for one in judge_dataset(crawler.database, broken.dataset_id)}
    assert [name for name, one in judged.items() if one.passed] == []
    assert judged["volume"].figures["items"] == 4
    assert judged["schema_drift"].figures["new_names"] == "authorMeta.likers"
    assert judged["schema_drift"].figures["vanished_names"] == "playCount"
    # The newest is judged by the schedule alike.
    newest = {one.name: one.passed for one in judge_newest(crawler.database, NOW)}
    assert newest == {
        "freshness": True,
        "quarantine_share": False,
        "schema_drift": False,
        "volume": False,
    }


def test_crawls_of_another_purpose_are_neither_measure_nor_measured(crawler: Crawler) -> None:
    for _ in range(3):
        crawler.crawl(items(10), purpose="trending")
    few = crawler.crawl(items(1, likers=4), purpose="profile")
    assert verdicts(crawler, few) == {"quarantine_share": True, "schema_drift": True}
    newest = {one.name: one for one in judge_newest(crawler.database, NOW)}
    assert newest["volume"].figures["items"] == 10
    # Runs that were started elsewhere are of a kind of their own.
    other = judge_dataset(crawler.database, crawler.crawl(items(1)).dataset_id)
    assert all(one.passed for one in other)


def test_the_names_of_all_pages_are_kept_with_the_delivery(crawler: Crawler) -> None:
    crawl = items(12)
    crawl[-1]["late"] = 1
    report = crawler.crawl(crawl)
    assert (report.fields_sampled, report.pages) == (12, 3)
    assert (report.fields["id"], report.fields["late"]) == (12, 1)
    assert report.fields["authorMeta.fans"] == 12


def test_an_old_crawl_is_not_fresh_and_a_simulated_one_is_not_judged(crawler: Crawler) -> None:
    assert [one.passed for one in judge_newest(crawler.database, NOW)] == [False]
    crawler.crawl(items(1), age=2 * DAY)
    fresh = judge_newest(crawler.database, NOW)[0]
    assert (fresh.name, fresh.passed) == ("freshness", False)
    with crawler.database.connect() as connection:
        connection.execute("update app.scraped_videos set is_simulated = true")
    fresh = judge_newest(crawler.database, NOW)[0]
    assert fresh.passed
    assert "SIMULATED" in fresh.description
