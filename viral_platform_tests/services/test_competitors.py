"""Watched creators: who is scraped, and what a crawl leaves of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from viral_platform.engine.errors import NotFoundError, RefusedRequestError
from viral_platform.providers.apify_datasets import ApifyDatasets
from viral_platform.sandbox.stand_ins import StandIn
from viral_platform.services import inbox, scraping
from viral_platform.services.competitors import competitors_order, unwatch, watch, watched
from viral_platform.services.ingestion.datasets import DeliveryReport, ingest_delivery
from viral_platform.settings import Settings
from viral_platform.storage import competitors
from viral_platform.storage.database import Database

from .ingestion.conftest import clockworks_item

TICK = datetime(2026, 11, 20, 6, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(running: StandIn) -> StandIn:
    running.reset()
    return running


@pytest.fixture
def settings(stand_in: StandIn) -> Settings:
    return Settings(
        _env_file=None,
        apify_token="token",
        apify_base_url=stand_in.base_url,
        apify_webhook_url=f"{stand_in.base_url}/v2/taken",
        apify_webhook_secret="hush-hush",
    )


def item(handle: str, number: int, **author: Any) -> dict[str, Any]:
    """Return a post of a creator."""
    base = clockworks_item()
    video_id = str((1_790_000_000 << 32) + number)
    told = {"name": handle, "fans": 1_000, "heart": 9_000, "video": 40, **author}
    told = {name: value for name, value in told.items() if value is not None}
    counts = {"playCount": 100 * number, "diggCount": 10, "commentCount": 2, "shareCount": 1}
    address = f"https://www.tiktok.com/@{handle}/video/{video_id}"
    return {**base, **counts, "id": video_id, "webVideoUrl": address, "authorMeta": told}


def start(
    settings: Settings,
    database: Database,
    stand_in: StandIn,
    items: list[dict[str, Any]],
    at: datetime = TICK,
) -> str:
    """Start the scrape of a tick that brings these items; return its run."""
    stand_in.apify.bring(items, started_at=at)
    order = competitors_order(settings, database, at)
    return scraping.start_scrape(settings, database, order).actor_run_id


def ingest(
    settings: Settings, database: Database, run_id: str, name: str = "SUCCEEDED"
) -> DeliveryReport:
    event = f"ACTOR.RUN.{name}"
    inbox.receive(
        database,
        source=inbox.APIFY,
        delivery_id=f"{name} {run_id}",
        event_type=event,
        body={"eventType": event, "resource": {"id": run_id}},
    )
    newest = inbox.due(database, 10, datetime.now(UTC))[-1]
    apify = ApifyDatasets(token="token", base_url=settings.apify_base_url, page_items=2)
    try:
        return ingest_delivery(database, apify, newest.id)
    finally:
        apify.close()


def snapshots(database: Database) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        return connection.execute(
            "select handle, crawled_at, followers, hearts, video_count, videos_seen, views, likes "
            "from app.competitor_snapshots order by crawled_at, handle"
        ).fetchall()


def test_watching_takes_any_form_of_a_handle_once(database: Database) -> None:
    for text in ("@Some.Cook", "some.cook", "https://www.tiktok.com/@some.cook"):
        assert watch(database, text) == "some.cook"
    (one,) = watched(database)
    assert (one.competitor.handle, one.competitor.crawled_at, one.growth) == (
        "some.cook",
        None,
        None,
    )
    with pytest.raises(RefusedRequestError, match="not_a_handle"):
        watch(database, "no handle")


def test_a_crawl_leaves_one_snapshot_of_each_competitor_that_it_was_started_for(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    watch(database, "cook")
    watch(database, "dancer")
    items = [item("cook", number) for number in (1, 2, 3)] + [item("Dancer", 4), item("guest", 5)]
    run_id = start(settings, database, stand_in, items)
    report = ingest(settings, database, run_id)
    assert report.competitor_snapshots == 2
    assert snapshots(database) == [
        ("cook", TICK, 1_000, 9_000, 40, 3, 600, 30),
        ("dancer", TICK, 1_000, 9_000, 40, 1, 400, 10),
    ]
    # Another delivery of the run changes nothing.
    assert ingest(settings, database, run_id, "ABORTED").competitor_snapshots == 0
    assert len(snapshots(database)) == 2


def test_a_later_crawl_adds_a_snapshot_and_a_late_one_knows_only_its_own_followers(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    watch(database, "cook")
    late = start(settings, database, stand_in, [item("cook", 1)], TICK)
    newer = start(settings, database, stand_in, [item("cook", 1, fans=1_500)], TICK + DAY)
    ingest(settings, database, newer)
    ingest(settings, database, late)
    assert snapshots(database) == [
        ("cook", TICK, 1_000, None, None, 1, 100, 10),
        ("cook", TICK + DAY, 1_500, 9_000, 40, 1, 100, 10),
    ]


def test_a_delivery_that_brings_more_of_the_crawl_completes_the_snapshot(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    watch(database, "cook")
    items = [item("cook", number) for number in (1, 2, 3, 4)]
    run_id = start(settings, database, stand_in, items)
    dataset = stand_in.apify._runs[run_id].dataset
    dataset.total = 2
    ingest(settings, database, run_id, "TIMED_OUT")
    assert snapshots(database)[0][5:7] == (2, 300)
    dataset.total = 4
    ingest(settings, database, run_id)
    ((_, _, _, _, _, seen, views, _),) = snapshots(database)
    assert (seen, views) == (4, 1_000)


def test_crawls_for_something_else_leave_no_snapshot(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    watch(database, "cook")
    stand_in.apify.bring([item("cook", 1)], started_at=TICK)
    order = scraping.ScrapeOrder("profile", "cook 1", {"profiles": ["cook"], "resultsPerPage": 1})
    run_id = scraping.start_scrape(settings, database, order).actor_run_id
    assert ingest(settings, database, run_id).competitor_snapshots == 0
    assert snapshots(database) == []


def test_what_a_crawl_does_not_tell_is_unknown(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    watch(database, "cook")
    bare = item("cook", 1, fans=None, heart=None, video=None)
    del bare["shareCount"]
    ingest(settings, database, start(settings, database, stand_in, [bare]))
    assert snapshots(database) == [("cook", TICK, None, None, None, 1, 100, 10)]
    (one,) = watched(database)
    assert one.competitor.shares is None


def test_a_scrape_asks_for_the_longest_unseen_first_and_for_as_many_as_fit(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    for handle in ("cook", "dancer", "new"):
        watch(database, handle)
    for handle, at in (("cook", TICK), ("dancer", TICK - DAY)):
        with database.connect() as connection:
            connection.execute(
                "insert into app.competitor_snapshots (handle, crawled_at, videos_seen, "
                "is_simulated) values (%s, %s, 1, false)",
                [handle, at],
            )
    order = competitors_order(settings, database, TICK + DAY)
    assert order.input == {"profiles": ["new", "dancer", "cook"], "resultsPerPage": 30}
    narrow = settings.model_copy(update={"scraper_max_items": 65})
    assert competitors_order(narrow, database, TICK).input["profiles"] == ["new", "dancer"]


def test_who_is_not_watched_is_not_scraped_and_keeps_the_snapshots(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    watch(database, "cook")
    ingest(settings, database, start(settings, database, stand_in, [item("cook", 1)]))
    assert unwatch(database, "@Cook") == "cook"
    assert len(snapshots(database)) == 1
    assert competitors.watched(database) == []
    for text in ("cook", "nul\x00"):
        with pytest.raises(NotFoundError, match="not watched"):
            unwatch(database, text)
    with pytest.raises(NotFoundError, match="No competitor is watched"):
        competitors_order(settings, database, TICK)
