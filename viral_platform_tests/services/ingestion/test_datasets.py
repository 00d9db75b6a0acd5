"""Deliveries to rows: pages, cursors, statuses, what is gone, what it has cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from viral_platform.engine.errors import GateRefusedError, NotFoundError, ProviderError
from viral_platform.providers.apify_datasets import ApifyDatasets
from viral_platform.providers.calls import Waits
from viral_platform.sandbox.stand_ins import Fault, StandIn
from viral_platform.sandbox.stand_ins.apify_runs import SimulatedRun
from viral_platform.services import inbox
from viral_platform.services.ingestion import pages
from viral_platform.services.ingestion.datasets import ingest_delivery, newest_report
from viral_platform.services.ingestion.importer import ImportOptions, import_file
from viral_platform.services.ingestion.storing import Counts
from viral_platform.storage.database import Database
from viral_platform_tests.services.ingestion.conftest import (
    WriteItems,
    apidojo_item,
    clockworks_item,
)
from viral_platform_tests.services.ingestion.stored import stored_rows

STARTED_AT = datetime(2026, 11, 1, 6, tzinfo=UTC)
PAGE = 40


@pytest.fixture(scope="module")
def running_stand_in() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(running_stand_in: StandIn) -> StandIn:
    running_stand_in.reset()
    return running_stand_in


@pytest.fixture
def apify(stand_in: StandIn) -> Iterator[ApifyDatasets]:
    reader = ApifyDatasets(
        token="token",
        base_url=stand_in.base_url,
        waits=Waits(first=0.0, factor=1.0, jitter=0.0),
        page_items=PAGE,
    )
    yield reader
    reader.close()


def _receive(
    database: Database,
    run: SimulatedRun | str,
    *,
    event: str = "ACTOR.RUN.SUCCEEDED",
    name: str = "",
) -> int:
    """Store a delivery of a run; return its number."""
    run_id = run if isinstance(run, str) else run.id
    delivery_id = name or f"{event}/{run_id}"
    inbox.receive(
        database,
        source=inbox.APIFY,
        delivery_id=delivery_id,
        event_type=event,
        # The dataset that the body names is not the one that is read.
        body={"eventType": event, "resource": {"id": run_id, "defaultDatasetId": "another"}},
    )
    with database.connect() as connection:
        row = connection.execute(
            "select id from app.webhook_inbox where delivery_id = %s", [delivery_id]
        ).fetchone()
    assert row is not None
    return int(row[0])


def _counts(report: Counts) -> dict[str, int]:
    counts = report.counts()
    assert counts.pop("received") == sum(counts.values())
    return {name: count for name, count in counts.items() if count}


def _cursor(database: Database, inbox_id: int) -> tuple[int | None, bool, str | None]:
    with database.connect() as connection:
        row = connection.execute(
            "select next_offset, processed_at is not null, problem from app.webhook_inbox "
            "where id = %s",
            [inbox_id],
        ).fetchone()
    assert row is not None
    return row


def _costs(database: Database) -> list[int]:
    with database.connect() as connection:
        rows = connection.execute("select cost_microdollars from app.cost_events order by id")
        return [row[0] for row in rows]


def test_a_dataset_of_several_pages_becomes_rows_and_the_delivery_is_marked(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    run = stand_in.dataset(100, started_at=STARTED_AT, usd=0.3)
    inbox_id = _receive(database, run)
    report = ingest_delivery(database, apify, inbox_id)
    assert _counts(report) == {"new": 100}
    assert (report.pages, report.run_status, report.problem) == (3, "SUCCEEDED", None)
    assert (report.dataset_id, report.run_id) == (run.dataset_id, run.id)
    assert report.is_complete
    assert not report.is_repeat
    assert report.bytes > 100_000
    assert report.items_per_second > 0
    assert report.cost_microdollars == 300_000
    assert _costs(database) == [300_000]
    assert _cursor(database, inbox_id) == (100, True, None)
    assert newest_report(database) == report
    with database.connect() as connection:
        crawls = connection.execute("select distinct crawled_at from app.video_snapshots")
        assert crawls.fetchall() == [(STARTED_AT,)]


def test_pages_give_what_a_file_of_the_same_items_gives(
    database: Database,
    stand_in: StandIn,
    apify: ApifyDatasets,
    write_items: WriteItems,
    clone_database: Callable[..., object],
) -> None:
    """Copies of a video lie in different pages: the most views count, as in a file."""
    run = stand_in.dataset(400, seed=4, dirt=True, started_at=STARTED_AT)
    report = ingest_delivery(database, apify, _receive(database, run))
    path = write_items(*[run.dataset.item(k) for k in range(400)])
    with clone_database() as other:  # type: ignore[attr-defined]
        whole = import_file(other, path, ImportOptions(scraped_at=STARTED_AT))
        assert whole.duplicates > 5
        ours, theirs = stored_rows(database), stored_rows(other)
    assert ours.videos == theirs.videos
    assert ours.snapshots == theirs.snapshots
    assert ours.creators == theirs.creators
    assert ours.quarantine == theirs.quarantine
    assert report.received == whole.received == 400
    assert report.new == whole.new
    assert report.quarantined_by_reason == whole.quarantined_by_reason == {"inexact_id": 2}
    assert report.scraper_errors == whole.scraper_errors == 1


def test_a_delivery_that_is_processed_changes_nothing(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    run = stand_in.dataset(100, dirt=True, started_at=STARTED_AT)
    inbox_id = _receive(database, run)
    report = ingest_delivery(database, apify, inbox_id)
    before, asked = stored_rows(database), len(stand_in.calls("apify"))
    again = ingest_delivery(database, apify, inbox_id)
    assert again.is_repeat
    assert again.counts() == report.counts()
    assert stored_rows(database) == before
    assert len(stand_in.calls("apify")) == asked


def test_another_delivery_of_a_run_reads_on_behind_the_first(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    """A run that was resurrected ends twice; what it gathered then comes with its second end."""
    run = stand_in.dataset(70, status="FAILED", started_at=STARTED_AT, usd=0.1)
    failed = ingest_delivery(database, apify, _receive(database, run, event="ACTOR.RUN.FAILED"))
    assert (_counts(failed), failed.run_status) == ({"new": 70}, "FAILED")
    assert not failed.is_complete
    stand_in.apify.grow(run.id, 30)
    apify.page(run.dataset_id, 0)
    stand_in.apify.end(run.id, "SUCCEEDED")
    run.usd = 0.15
    whole = ingest_delivery(database, apify, _receive(database, run))
    assert (_counts(whole), whole.run_status) == ({"new": 30}, "SUCCEEDED")
    assert _costs(database) == [100_000, 50_000]
    repeated = ingest_delivery(database, apify, _receive(database, run, name="duplicate"))
    assert _counts(repeated) == {}
    assert repeated.is_complete
    assert len(_costs(database)) == 2


@pytest.mark.parametrize("status", ["FAILED", "ABORTED", "TIMED-OUT"])
def test_a_run_that_did_not_succeed_brings_what_it_gathered(
    database: Database, stand_in: StandIn, apify: ApifyDatasets, status: str
) -> None:
    run = stand_in.dataset(50, status=status, started_at=STARTED_AT)
    event = f"ACTOR.RUN.{status.replace('-', '_')}"
    report = ingest_delivery(database, apify, _receive(database, run, event=event))
    assert _counts(report) == {"new": 50}
    assert report.run_status == status
    assert not report.is_complete
    assert newest_report(database) == report


def test_items_that_appear_while_pages_are_read_are_read_too(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    run = stand_in.dataset(90, started_at=STARTED_AT)
    stand_in.apify.grow(run.id, 25, at_offset=80)
    stand_in.apify.grow(run.id, 5, at_offset=90)
    report = ingest_delivery(database, apify, _receive(database, run))
    assert _counts(report) == {"new": 120}


def test_an_ingest_that_failed_goes_on_where_it_was(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    run = stand_in.dataset(100, started_at=STARTED_AT)
    inbox_id = _receive(database, run)
    now = datetime(2026, 11, 2, tzinfo=UTC)
    inbox.take(database, inbox_id, now=now)
    make = run.dataset.item
    # Two pages are whole, the third never comes.
    run.dataset.item = _failing_from(make, 2 * PAGE, stand_in)
    with pytest.raises(ProviderError, match="unavailable"):
        ingest_delivery(database, apify, inbox_id, now=lambda: now)
    offset, is_processed, problem = _cursor(database, inbox_id)
    assert (offset, is_processed) == (2 * PAGE, False)
    assert problem is not None
    assert "unavailable" in problem
    # It rests, for longer than the lease that the last page renewed.
    assert inbox.due(database, 1, now + timedelta(seconds=inbox.LEASE_SECONDS - 1)) == []
    assert len(inbox.due(database, 1, now + timedelta(seconds=inbox.LEASE_SECONDS))) == 1
    run.dataset.item = make
    stand_in.heal()
    before = len(stand_in.calls("apify", "items"))
    report = ingest_delivery(database, apify, inbox_id)
    assert _counts(report) == {"new": 100}
    assert (report.pages, report.problem) == (3, None)
    asked = [call.query["offset"] for call in stand_in.calls("apify", "items")[before:]]
    assert asked == ["80", "100"]


def _failing_from(
    make: Callable[[int], dict[str, object]], offset: int, stand_in: StandIn
) -> Callable[[int], dict[str, object]]:
    """Return a maker of items that breaks the stand-in's pages once `offset` was reached."""

    def item(k: int) -> dict[str, object]:
        if k == offset - 1:
            stand_in.fail("apify", Fault.SERVER_ERROR, operation="items")
        return make(k)

    return item


def test_pages_of_garbage_leave_the_delivery_to_another_attempt(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    run = stand_in.dataset(10)
    inbox_id = _receive(database, run)
    stand_in.fail("apify", Fault.GARBAGE, operation="items")
    with pytest.raises(ProviderError, match="not_json"):
        ingest_delivery(database, apify, inbox_id)
    offset, is_processed, problem = _cursor(database, inbox_id)
    assert (offset, is_processed) == (0, False)
    assert problem == "apify: not_json: the page is no JSON"


def test_an_item_that_is_no_json_costs_only_itself(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    run = stand_in.dataset(20)
    make = run.dataset.item
    odd = {3: {"playCount": float("nan")}, 7: {"id": ""}}
    run.dataset.item = lambda k: {**make(k), **odd.get(k, {}), "webVideoUrl": None}
    report = ingest_delivery(database, apify, _receive(database, run))
    assert _counts(report) == {"new": 18, "quarantined": 2}
    assert report.quarantined_by_reason == {"invalid_json": 1, "missing": 1}
    with database.connect() as connection:
        rows = connection.execute(
            "select position, reason, file_name from app.quarantined_items order by position"
        ).fetchall()
    assert rows == [
        (4, "invalid_json", f"Apify dataset {run.dataset_id}"),
        (8, "missing", f"Apify dataset {run.dataset_id}"),
    ]


def test_a_dataset_that_is_gone_ends_the_delivery_with_what_was_stored(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    run = stand_in.dataset(10)
    stand_in.apify.expire(run.id)
    inbox_id = _receive(database, run)
    report = ingest_delivery(database, apify, inbox_id)
    assert (_counts(report), report.problem) == ({}, "dataset_expired")
    assert not report.is_complete
    assert _cursor(database, inbox_id) == (0, True, "dataset_expired")


def test_a_dataset_that_was_emptied_after_it_had_items_is_named(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    run = stand_in.dataset(10, status="FAILED")
    ingest_delivery(database, apify, _receive(database, run, event="ACTOR.RUN.FAILED"))
    stand_in.apify.empty(run.id)
    stand_in.apify.end(run.id)
    report = ingest_delivery(database, apify, _receive(database, run))
    assert (_counts(report), report.problem) == ({}, "dataset_emptied")
    with database.connect() as connection:
        assert connection.execute("select count(*) from app.scraped_videos").fetchone() == (10,)


def test_a_run_without_items_is_whole(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    report = ingest_delivery(database, apify, _receive(database, stand_in.dataset(0)))
    assert _counts(report) == {}
    assert report.is_complete
    assert report.items_per_second == 0.0


def test_a_run_that_apify_does_not_know_ends_the_delivery(
    database: Database, apify: ApifyDatasets
) -> None:
    inbox_id = _receive(database, "nosuchrun")
    report = ingest_delivery(database, apify, inbox_id)
    assert (report.problem, report.dataset_id) == ("run_not_found", None)
    assert ingest_delivery(database, apify, inbox_id).is_repeat


def test_a_run_that_is_under_way_again_brings_what_there_is(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    run = stand_in.dataset(10, ends_after=60.0)
    report = ingest_delivery(database, apify, _receive(database, run))
    assert (_counts(report), report.run_status) == ({"new": 10}, "RUNNING")
    assert report.cost_microdollars is None
    assert not report.is_complete


def test_what_a_run_cost_is_read_at_the_end(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    """It may still grow when the webhook comes. A look that fails leaves what was told before."""
    run = stand_in.dataset(10)
    make = run.dataset.item

    def item(k: int) -> dict[str, object]:
        run.usd = 0.4
        return make(k)

    run.dataset.item = item
    assert ingest_delivery(database, apify, _receive(database, run)).cost_microdollars == 400_000
    other = stand_in.dataset(10, seed=2, usd=0.2)
    made = other.dataset.item

    def last(k: int) -> dict[str, object]:
        stand_in.fail("apify", Fault.SERVER_ERROR, operation="run", times=4)
        return made(k)

    other.dataset.item = lambda k: last(k) if k == 9 else made(k)
    assert ingest_delivery(database, apify, _receive(database, other)).cost_microdollars == 200_000


def test_apify_that_does_not_answer_leaves_the_delivery_due_later(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    inbox_id = _receive(database, stand_in.dataset(10))
    stand_in.fail("apify", Fault.UNAUTHORIZED)
    now = datetime.now(UTC)
    with pytest.raises(ProviderError, match="unauthorized"):
        ingest_delivery(database, apify, inbox_id, now=lambda: now)
    assert inbox.due(database, 1, now) == []
    (waiting,) = inbox.due(database, 1, now + timedelta(seconds=60))
    assert waiting.problem is not None
    assert "unauthorized" in waiting.problem


def test_simulated_items_are_kept_out_of_an_installation_with_real_ones(
    database: Database, stand_in: StandIn, apify: ApifyDatasets, write_items: WriteItems
) -> None:
    import_file(database, write_items(clockworks_item()), ImportOptions(scraped_at=STARTED_AT))
    inbox_id = _receive(database, stand_in.dataset(10))
    with pytest.raises(GateRefusedError, match="Apify dataset data"):
        ingest_delivery(database, apify, inbox_id)
    _, is_processed, problem = _cursor(database, inbox_id)
    assert not is_processed
    assert problem is not None
    assert "never mixed" in problem


def test_each_page_is_read_by_the_shape_of_its_items_and_foreign_ones_are_rejected(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    run = stand_in.dataset(3 * PAGE, started_at=STARTED_AT)

    def item(k: int) -> dict[str, object]:
        if k < PAGE:
            return clockworks_item(id=str(7374737911075310856 + k))
        if k < 2 * PAGE:
            return apidojo_item(id=str(7482653507375746334 + k))
        return {"price": k}

    run.dataset.item = item
    report = ingest_delivery(database, apify, _receive(database, run))
    assert _counts(report) == {"new": 2 * PAGE, "quarantined": PAGE}
    with database.connect() as connection:
        sources = connection.execute(
            "select source, count(*) from app.scraped_videos group by 1 order by 1"
        ).fetchall()
    assert sources == [("apidojo", PAGE), ("clockworks", PAGE)]


def test_two_ingests_of_one_dataset_take_turns(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    run = stand_in.dataset(200, dirt=True, started_at=STARTED_AT)
    ids = [_receive(database, run, name=name) for name in ("first", "second", "third")]
    stand_in.latency = 0.005
    with ThreadPoolExecutor(4) as workers:
        reports = list(
            workers.map(lambda one: ingest_delivery(database, apify, one), [*ids, ids[0]])
        )
    assert sum(report.received for report in reports if not report.is_repeat) in {200, 400}
    with database.connect() as connection:
        (total,) = connection.execute(
            "select sum((report ->> 'received')::int) from app.webhook_inbox"
        ).fetchone() or (None,)
    assert total == 200
    assert _costs(database) == [250_000]


def test_a_later_crawl_updates_and_an_earlier_one_that_comes_late_does_not_lower(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    late = stand_in.dataset(60, started_at=STARTED_AT + timedelta(days=1))
    early = stand_in.dataset(60, started_at=STARTED_AT)
    make = early.dataset.item
    early.dataset.item = lambda k: {**make(k), "playCount": 1}
    assert _counts(ingest_delivery(database, apify, _receive(database, late))) == {"new": 60}
    assert _counts(ingest_delivery(database, apify, _receive(database, early))) == {"updated": 60}
    with database.connect() as connection:
        low = connection.execute("select count(*) from app.scraped_videos where views <= 1")
        assert low.fetchone() == (0,)
        snapshots = connection.execute("select count(*) from app.video_snapshots")
        assert snapshots.fetchone() == (120,)


def test_a_delivery_of_another_sender_is_refused(database: Database, apify: ApifyDatasets) -> None:
    inbox.receive(database, source="whop", delivery_id="a", event_type="payment", body={})
    with database.connect() as connection:
        row = connection.execute("select id from app.webhook_inbox").fetchone()
    assert row is not None
    with pytest.raises(NotFoundError, match="whop"):
        ingest_delivery(database, apify, row[0])
    with pytest.raises(NotFoundError, match="no delivery"):
        ingest_delivery(database, apify, row[0] + 1)


def test_a_stored_page_renews_the_lease(
    database: Database, stand_in: StandIn, apify: ApifyDatasets
) -> None:
    run = stand_in.dataset(2 * PAGE)
    inbox_id = _receive(database, run)
    start = datetime(2026, 11, 2, tzinfo=UTC)
    inbox.take(database, inbox_id, 1.0, now=start)
    make, reached, may_go = run.dataset.item, threading.Event(), threading.Event()

    def item(k: int) -> dict[str, object]:
        if k == PAGE:
            reached.set()
            may_go.wait(10)
        return make(k)

    run.dataset.item = item
    with ThreadPoolExecutor(1) as worker:
        done = worker.submit(ingest_delivery, database, apify, inbox_id, now=lambda: start)
        assert reached.wait(10)
        deadline = time.monotonic() + 10
        while _cursor(database, inbox_id)[0] != PAGE and time.monotonic() < deadline:
            time.sleep(0.01)
        assert inbox.due(database, 1, start + timedelta(seconds=60)) == []
        may_go.set()
        assert done.result().is_complete


def test_a_second_process_judges_the_pages_of_a_long_dataset_and_comes_to_the_same(
    stand_in: StandIn, apify: ApifyDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LONG_DATASET_ITEMS", 100)
    monkeypatch.setattr(pages.os, "cpu_count", lambda: 2)
    run = stand_in.dataset(300, dirt=True, started_at=STARTED_AT)
    read = [apify.page(run.dataset_id, offset) for offset in (120, 160)]
    now = datetime.now(UTC)
    judge, here = pages.PageJudge(STARTED_AT), pages.PageJudge(STARTED_AT)
    monkeypatch.setattr(pages, "Judge", _Unused)
    with closing(judge):
        # The first page starts it; until it is there, pages are judged here.
        with pytest.raises(AssertionError, match="judged here"):
            judge.judged(read[0], now)
        assert judge._second is not None
        deadline = time.monotonic() + 20
        while not judge._second.is_free() and time.monotonic() < deadline:
            time.sleep(0.02)
        there = [judge.judged(page, now) for page in read]
        with pytest.raises(AssertionError, match="judged here"):
            judge.judged(replace(read[0], items=[b'{"postPage": "x"}']), now)
    monkeypatch.undo()
    assert there == [here.judged(page, now) for page in read]
    assert there[0].batch.rejected
    judge.close()


class _Unused:
    def __init__(self, setting: object) -> None:
        pass

    def judged(self, request: object) -> None:
        raise AssertionError("judged here")
