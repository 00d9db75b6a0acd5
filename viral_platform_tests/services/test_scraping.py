from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from structlog.testing import capture_logs

from viral_platform.engine.errors import (
    ConfigurationError,
    GateRefusedError,
    NotFoundError,
    ProviderError,
)
from viral_platform.providers.apify_actor import EVENT_TYPES, RunWebhook, UnclearStartError
from viral_platform.providers.calls import Waits
from viral_platform.sandbox.stand_ins import Fault, StandIn
from viral_platform.services import scraping
from viral_platform.services.scraping import ScrapeReport
from viral_platform.services.trending_scrapes import EVERY, hashtags_of, trending_order
from viral_platform.settings import Settings
from viral_platform.storage import scrapes
from viral_platform.storage.database import Database
from viral_platform.storage.inbox import alone, book_run
from viral_platform.storage.scrapes import ScrapeOrder, ScrapeStart
from viral_platform.storage.tables import cost_events

from ..deliveries import deliveries

TICK = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECRET = "hush-hush-0123"
TOKEN = "apify_api_do_not_show"
CEILING = 1_000_000
QUICK = Waits(first=0.01, factor=1.0, jitter=0.0)


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
    return settings_for(stand_in)


def settings_for(stand_in: StandIn, **more: Any) -> Settings:
    return Settings(
        _env_file=None,
        **{
            "apify_token": TOKEN,
            "apify_base_url": stand_in.base_url,
            "apify_webhook_url": f"{stand_in.base_url}/v2/taken",
            "apify_webhook_secret": SECRET,
            "scraper_hashtags": "#Cooking, dance,,cooking ",
            **more,
        },
    )


def start(settings: Settings, database: Database, tick: datetime = TICK) -> ScrapeReport:
    return scraping.start_scrape(settings, database, trending_order(settings, tick), waits=QUICK)


def starts(stand_in: StandIn) -> list[Any]:
    return [call for call in stand_in.calls("apify") if call.operation == "start"]


def costs(database: Database) -> list[tuple[str, str, str, int, bool]]:
    columns = cost_events.c
    query = select(
        columns.request_id,
        columns.provider,
        columns.operation,
        columns.cost_microdollars,
        columns.is_estimate,
    ).order_by(columns.id)
    with database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def stored(database: Database, tick: datetime = TICK) -> ScrapeStart | None:
    return scrapes.get(database, "trending", tick.isoformat())


def state(database: Database, tick: datetime = TICK) -> tuple[str, str | None]:
    found = stored(database, tick)
    assert found is not None
    return found.state, found.problem


def test_a_scrape_is_started_with_its_hashtags_caps_and_webhook(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    report = start(settings, database)
    (call,) = starts(stand_in)
    assert call.path == "/v2/acts/clockworks~tiktok-scraper/runs"
    assert call.body == {"hashtags": ["cooking", "dance"], "resultsPerPage": 100}
    assert call.query["maxItems"] == "200"
    assert float(call.query["maxTotalChargeUsd"]) == 1.0
    assert int(call.query["timeout"]) < EVERY.total_seconds()
    assert call.key == TOKEN
    (webhook,) = json.loads(base64.b64decode(call.query["webhooks"]))
    assert webhook["eventTypes"] == list(EVENT_TYPES)
    assert {kind.rpartition(".")[2] for kind in EVENT_TYPES} == {
        "SUCCEEDED",
        "FAILED",
        "ABORTED",
        "TIMED_OUT",
    }
    assert webhook["requestUrl"] == settings.apify_webhook_url
    assert json.loads(webhook["headersTemplate"]) == {"X-Webhook-Secret": SECRET}
    assert SECRET not in webhook["payloadTemplate"]

    row = stored(database)
    assert row is not None
    assert (row.state, row.actor_run_id) == ("started", report.actor_run_id)
    assert row.input == call.body
    assert row.started_at == report.started_at
    assert row.run_status is None
    # Until its end is known, the run counts with the most that it may charge.
    assert costs(database) == [(report.actor_run_id, "apify", "scrape", CEILING, True)]


def test_the_webhook_brings_the_secret_in_a_header_and_never_in_the_body(
    database: Database, stand_in: StandIn
) -> None:
    with deliveries() as (url, taken):
        report = start(settings_for(stand_in, apify_webhook_url=url), database)
        delivery = taken.get(timeout=5)
    assert delivery.headers["x-webhook-secret"] == SECRET
    assert delivery.body["resource"]["id"] == report.actor_run_id
    assert delivery.body["eventType"] == "ACTOR.RUN.SUCCEEDED"
    assert SECRET not in json.dumps(delivery.body)


def test_a_tick_is_not_started_twice(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    report = start(settings, database)
    with pytest.raises(GateRefusedError, match=report.actor_run_id):
        start(settings, database)
    assert len(starts(stand_in)) == 1
    start(settings, database, TICK + timedelta(hours=6))
    assert len(starts(stand_in)) == 2


def test_of_many_who_start_one_tick_at_once_one_starts_it(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    refused: list[GateRefusedError] = []

    def try_it() -> None:
        try:
            start(settings, database)
        except GateRefusedError as error:
            refused.append(error)

    threads = [Thread(target=try_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(refused) == 5
    assert len(starts(stand_in)) == 1
    assert len(costs(database)) == 1


@pytest.mark.parametrize(
    ("fault", "options", "reason"),
    [
        (Fault.RESET, {}, "unreachable"),
        (Fault.SERVER_ERROR, {"status": 500}, "unavailable"),
        (Fault.SERVER_ERROR, {"status": 502}, "unavailable"),
        (Fault.GARBAGE, {}, "not_json"),
        (Fault.SCHEMA_DRIFT, {}, "schema"),
    ],
    ids=["broken connection", "500", "502", "no JSON", "another shape"],
)
def test_an_unclear_outcome_leaves_the_tick_alone_and_its_ceiling_booked(
    database: Database,
    stand_in: StandIn,
    settings: Settings,
    fault: Fault,
    options: dict[str, Any],
    reason: str,
) -> None:
    stand_in.fail("apify", fault, times=1, **options)
    with pytest.raises(UnclearStartError) as caught:
        start(settings, database)
    assert caught.value.reason == reason
    assert state(database)[0] == "unclear"
    assert [row[3:] for row in costs(database)] == [(CEILING, True)]
    with pytest.raises(GateRefusedError, match="may have been started"):
        start(settings, database)
    assert len(starts(stand_in)) == 1
    start(settings, database, TICK + timedelta(hours=6))
    assert state(database, TICK + timedelta(hours=6))[0] == "started"


@pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.SERVER_ERROR], ids=["429", "503"])
def test_what_was_clearly_refused_for_the_moment_is_tried_again(
    database: Database, stand_in: StandIn, settings: Settings, fault: Fault
) -> None:
    options = {"retry_after": 0.01} if fault is Fault.RATE_LIMITED else {}
    stand_in.fail("apify", fault, times=2, operation="start", **options)
    start(settings, database)
    assert len(starts(stand_in)) == 3
    assert [row[3:] for row in costs(database)] == [(0, False), (0, False), (CEILING, True)]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(Fault.UNAUTHORIZED, "unauthorized"), (Fault.OUT_OF_CREDIT, "out_of_credit")],
)
def test_a_refused_tick_costs_nothing_and_may_be_started_later(
    database: Database, stand_in: StandIn, settings: Settings, fault: Fault, reason: str
) -> None:
    stand_in.fail("apify", fault, times=1)
    with pytest.raises(ProviderError, match=reason):
        start(settings, database)
    assert len(starts(stand_in)) == 1
    assert state(database)[0] == "refused"
    assert [row[3:] for row in costs(database)] == [(0, False)]
    report = start(settings, database)
    assert state(database) == ("started", None)
    assert costs(database)[-1] == (report.actor_run_id, "apify", "scrape", CEILING, True)


def test_nothing_is_started_above_the_budget_of_the_day(
    database: Database, stand_in: StandIn
) -> None:
    with pytest.raises(ProviderError, match="budget_day"):
        start(settings_for(stand_in, daily_budget_cents=99), database)
    assert starts(stand_in) == []
    assert costs(database) == []
    assert state(database)[0] == "refused"


@pytest.mark.parametrize(
    ("unset", "named"),
    [
        ({"apify_token": None}, "APIFY_TOKEN"),
        ({"apify_webhook_url": None}, "APIFY_WEBHOOK_URL"),
        ({"apify_webhook_secret": None}, "APIFY_WEBHOOK_SECRET"),
        ({"scraper_hashtags": " , #"}, "SCRAPER_HASHTAGS"),
    ],
)
def test_a_missing_setting_is_named_before_anything_is_stored(
    database: Database, stand_in: StandIn, unset: dict[str, None], named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named):
        start(settings_for(stand_in, **unset), database)
    assert stored(database) is None


def test_a_secret_that_apify_would_fill_in_is_refused(
    database: Database, stand_in: StandIn
) -> None:
    with pytest.raises(ConfigurationError, match="APIFY_WEBHOOK_SECRET"):
        start(settings_for(stand_in, apify_webhook_secret="{{resource}}"), database)
    assert starts(stand_in) == []
    assert state(database)[0] == "refused"


def test_a_start_that_was_interrupted_is_unclear_and_never_taken_up(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    scrapes.claim(database, trending_order(settings, TICK), datetime.now(UTC) - timedelta(hours=1))
    with pytest.raises(GateRefusedError, match="interrupted"):
        start(settings, database)
    assert state(database) == ("unclear", "interrupted")
    assert starts(stand_in) == []


def test_a_start_that_is_under_way_elsewhere_is_waited_for(
    database: Database, settings: Settings
) -> None:
    scrapes.claim(database, trending_order(settings, TICK), datetime.now(UTC))
    with pytest.raises(GateRefusedError, match="another process"):
        start(settings, database)


def run_cost(database: Database, stand_in: StandIn, report: ScrapeReport, usd: float) -> None:
    """Book a run's cost as its delivery does."""
    with database.connect() as connection:
        book_run(
            connection,
            report.actor_run_id,
            actor="actor",
            microdollars=round(usd * 1_000_000),
            started_at=report.started_at,
            price_version="apify-run",
        )


def test_a_run_that_ended_is_settled_with_what_it_cost_before_the_next_start(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    first = start(settings, database)
    second = start(settings, database, TICK + timedelta(hours=6))
    assert second.settled == 1
    # One start and ten items at the stand-in's prices.
    assert costs(database) == [
        (first.actor_run_id, "apify", "scrape", 41_000, False),
        (second.actor_run_id, "apify", "scrape", CEILING, True),
    ]
    ended = stored(database)
    assert ended is not None
    assert ended.run_status == "SUCCEEDED"


@pytest.mark.parametrize("ingested_first", [True, False])
def test_a_run_is_counted_once_whether_it_is_settled_or_ingested_first(
    database: Database, stand_in: StandIn, settings: Settings, *, ingested_first: bool
) -> None:
    report = start(settings, database)
    if ingested_first:
        run_cost(database, stand_in, report, 0.041)
    assert scraping.settle_runs(settings, database, waits=QUICK) == 1
    run_cost(database, stand_in, report, 0.041)
    assert sum(row[3] for row in costs(database)) == 41_000


def test_what_a_run_cost_above_its_cap_is_counted_too(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    report = start(settings, database)
    run_cost(database, stand_in, report, 1.5)
    assert sum(row[3] for row in costs(database)) == 1_500_000


def test_a_run_that_goes_on_keeps_its_ceiling(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    start(settings, database)
    stand_in.fail("apify", Fault.RUN_STATUS, times=1, status="RUNNING")
    assert scraping.settle_runs(settings, database, waits=QUICK) == 0
    assert [row[3:] for row in costs(database)] == [(CEILING, True)]
    assert scraping.settle_runs(settings, database, waits=QUICK) == 1


def test_a_run_that_apify_knows_no_more_is_closed_with_its_ceiling(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    start(settings, database)
    stand_in.reset()
    assert scraping.settle_runs(settings, database, waits=QUICK) == 1
    assert scraping.settle_runs(settings, database, waits=QUICK) == 0
    assert [row[3:] for row in costs(database)] == [(CEILING, True)]


def test_a_provider_that_cannot_tell_the_cost_does_not_keep_the_next_from_starting(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    start(settings, database)
    stand_in.fail("apify", Fault.SERVER_ERROR, operation="run")
    assert start(settings, database, TICK + timedelta(hours=6)).settled == 0


def test_neither_token_nor_secret_is_logged(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    stand_in.fail("apify", Fault.RESET, times=1)
    with capture_logs() as logs, pytest.raises(UnclearStartError) as caught:
        start(settings, database)
    shown = json.dumps(logs, default=str) + str(caught.value) + repr(RunWebhook("u", SECRET))
    encoded = RunWebhook(str(settings.apify_webhook_url), SECRET).encoded()
    assert not any(private in shown for private in (TOKEN, SECRET, encoded))


def test_a_run_whose_dataset_is_being_ingested_is_settled_later(
    database: Database, settings: Settings
) -> None:
    report = start(settings, database)
    with alone(database, report.actor_run_id.replace("run0", "data")):
        assert scraping.settle_runs(settings, database, waits=QUICK) == 0
    assert scraping.settle_runs(settings, database, waits=QUICK) == 1


@given(
    st.lists(
        st.text(alphabet=st.characters(exclude_characters=",#", codec="utf-8"), max_size=8),
        max_size=8,
    )
)
def test_hashtags_are_bare_lower_case_and_each_once(parts: list[str]) -> None:
    tags = hashtags_of(",".join(f" #{part} " for part in parts))
    assert len(set(tags)) == len(tags)
    assert all(tag and tag == tag.strip().lower() and "#" not in tag for tag in tags)
    assert hashtags_of(",".join(tags)) == tags


def test_the_default_hashtags_are_those_of_the_replaced_system() -> None:
    tags = hashtags_of(Settings(_env_file=None).scraper_hashtags)
    assert len(tags) == 14
    assert tags[:3] == ("trending", "viral", "fyp")


def test_caps_follow_what_is_asked_for(settings: Settings) -> None:
    def caps(actor_input: dict[str, Any]) -> tuple[int, float]:
        return scraping.caps(settings, ScrapeOrder("profile", "k", actor_input))

    assert caps({"profiles": ["a"], "resultsPerPage": 1}) == (1, 2.0)
    assert caps({"postURLs": ["u", "v"]}) == (2, 3.0)
    assert caps({"hashtags": ["a"] * 50, "resultsPerPage": 100}) == (2_000, 100.0)


def order(database: Database, key: str = "cook 1") -> ScrapeOrder:
    ordered = ScrapeOrder("profile", key, {"profiles": ["cook"], "resultsPerPage": 1})
    with database.engine.begin() as connection:
        scrapes.enqueue(connection, ordered, datetime.now(UTC))
    return ordered


def test_an_order_waits_and_is_started_once_with_its_own_input_and_caps(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    order(database)
    (waiting,) = scrapes.queued(database, 5)
    assert (waiting.state, waiting.actor_run_id) == ("queued", None)
    report = scraping.start_ordered(settings, database, "profile", "cook 1", waits=QUICK)
    (call,) = starts(stand_in)
    assert call.body == {"profiles": ["cook"], "resultsPerPage": 1}
    assert (call.query["maxItems"], float(call.query["maxTotalChargeUsd"])) == ("1", 0.02)
    assert costs(database) == [(report.actor_run_id, "apify", "scrape", 20_000, True)]
    assert scrapes.queued(database, 5) == []
    with pytest.raises(GateRefusedError, match=report.actor_run_id):
        scraping.start_ordered(settings, database, "profile", "cook 1", waits=QUICK)
    # It does not keep a tick from being started, nor is it ordered anew under its key.
    start(settings, database)
    order(database)
    assert scrapes.queued(database, 5) == []


def test_an_order_of_nobody_is_named(database: Database, settings: Settings) -> None:
    with pytest.raises(NotFoundError, match="No profile scrape cook 1"):
        scraping.start_ordered(settings, database, "profile", "cook 1")


def test_an_order_waits_on_while_a_setting_is_missing(
    database: Database, stand_in: StandIn
) -> None:
    order(database)
    with pytest.raises(ConfigurationError, match="APIFY_TOKEN"):
        scraping.start_ordered(
            settings_for(stand_in, apify_token=None), database, "profile", "cook 1"
        )
    assert len(scrapes.queued(database, 5)) == 1
