"""From a post that is mature to its outcome: what is scraped, and what is recorded, once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from viral_platform.engine.contracts import PredictionRequest
from viral_platform.engine.errors import GateRefusedError, NotFoundError, RefusedRequestError
from viral_platform.providers.apify_datasets import ApifyDatasets
from viral_platform.sandbox.stand_ins import StandIn
from viral_platform.services import inbox, scraping
from viral_platform.services.collected_outcomes import (
    Recorded,
    due_posts,
    is_due,
    outcomes_order,
    record_arrived,
)
from viral_platform.services.ingestion.datasets import ingest_delivery
from viral_platform.services.outcomes import OutcomeReport, add_outcome
from viral_platform.services.posts import name_post, post_of, post_of_request
from viral_platform.services.prediction import PredictionService
from viral_platform.settings import Settings
from viral_platform.storage import models
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database

from .ingestion.conftest import clockworks_item

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
URL = "https://www.tiktok.com/@cook/video/{}"


def post_id(age_hours: float, number: int = 1) -> str:
    """Return the id of a post that was made so long ago."""
    return str((int((NOW - age_hours * HOUR).timestamp()) << 32) + number)


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


@pytest.fixture
def champion(database: Database) -> None:
    """A promoted model that judges outcomes."""
    promoted(database)


def promoted(database: Database) -> None:
    """Store a promoted model that judges outcomes."""
    models.save_model(
        database,
        version="tier-test",
        artifact_sha256="0" * 64,
        data_sha256="1" * 64,
        sidecar={"scale": {"cuts": [0.02, 0.05, 0.1, 0.2], "reference": [0.01, 0.05, 0.1, 0.3]}},
        report={},
        is_simulated=False,
    )
    with database.connect() as connection:
        connection.execute("update app.model_versions set status = 'champion'")


def analysed(database: Database, *, hours_ago: float = 190.0, is_simulated: bool = False) -> UUID:
    """Store an answer; return its id."""
    key = uuid4()
    with database.connect() as connection:
        connection.execute(
            """
            insert into app.analysis_results (
                id, created_at, input_mode, content_text, confidence, is_calibrated, horizon,
                engine_version, is_degraded, is_simulated, latency_ms, cost_cents, request, answer
            )
            values (
                %s, %s, 'text', 'x', 0, false, 'pre_publication', '3', false, %s, 1, 0, '{}', '{}'
            )
            """,
            [key, NOW - hours_ago * HOUR, is_simulated],
        )
    return key


def predicted(database: Database, age_hours: float, number: int = 1, **options: Any) -> UUID:
    """Store an answer about a post of an age; return its id."""
    key = analysed(database, **options)
    name_post(database, key, URL.format(post_id(age_hours, number)))
    return key


def item(video_id: str, **fields: Any) -> dict[str, Any]:
    """Return what a crawl brings of a post: an engagement of 0.1."""
    counts = {"playCount": 1_000, "diggCount": 60, "commentCount": 5, "shareCount": 10}
    posted_at = int(video_id) >> 32
    told = {**clockworks_item(), **counts, "id": video_id, "webVideoUrl": URL.format(video_id)}
    for name in ("createTimeISO", "scrapedAt"):
        told.pop(name, None)
    return {**told, "createTime": posted_at, **fields}


def crawl(
    settings: Settings, database: Database, stand_in: StandIn, items: list[dict[str, Any]]
) -> None:
    """Start a scrape of what is due, which brings these items, and ingest it."""
    stand_in.apify.bring(items, started_at=NOW)
    order = outcomes_order(settings, database, NOW, NOW)
    ingest(settings, database, scraping.start_scrape(settings, database, order).actor_run_id)


def ingest(settings: Settings, database: Database, run_id: str) -> None:
    event = "ACTOR.RUN.SUCCEEDED"
    inbox.receive(
        database,
        source=inbox.APIFY,
        delivery_id=run_id,
        event_type=event,
        body={"eventType": event, "resource": {"id": run_id}},
    )
    newest = inbox.due(database, 10, datetime.now(UTC))[-1]
    apify = ApifyDatasets(token="token", base_url=settings.apify_base_url)
    try:
        ingest_delivery(database, apify, newest.id)
    finally:
        apify.close()


def outcomes(database: Database) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        return connection.execute(
            "select analysis_id, origin, views, actual_tier, round(age_hours::numeric) "
            "from app.outcomes order by measured_at, analysis_id"
        ).fetchall()


@pytest.mark.usefixtures("champion")
def test_a_due_post_is_scraped_and_its_outcome_recorded_once(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    key, video_id = predicted(database, 170), post_id(170)
    assert is_due(settings, database, NOW)
    crawl(settings, database, stand_in, [item(video_id)])
    (start,) = [call for call in stand_in.calls("apify") if call.operation == "start"]
    assert start.body == {"postURLs": [URL.format(video_id)]}
    assert start.query["maxItems"] == "1"
    assert record_arrived(database) == Recorded(outcomes=1, unjudged=0)
    assert outcomes(database) == [(key, "collected", 1_000, 4, 170)]
    assert record_arrived(database) == Recorded(outcomes=0, unjudged=0)
    assert not is_due(settings, database, NOW)
    with pytest.raises(GateRefusedError, match="outcome already"):
        name_post(database, key, URL.format(post_id(180)))


@pytest.mark.usefixtures("champion")
def test_a_reported_outcome_is_never_overwritten(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    key = predicted(database, 170)
    stand_in.apify.bring([item(post_id(170))], started_at=NOW)
    order = outcomes_order(settings, database, NOW, NOW)
    run_id = scraping.start_scrape(settings, database, order).actor_run_id
    report = OutcomeReport(
        analysis_id=key,
        views=77,
        likes=1,
        comments=1,
        shares=1,
        measured_at=NOW,
        posted_at=NOW - 170 * HOUR,
    )
    assert add_outcome(database, report)
    ingest(settings, database, run_id)
    assert record_arrived(database).outcomes == 0
    assert [row[1:3] for row in outcomes(database)] == [("reported", 77)]


def test_posts_are_due_from_maturity_on_and_while_they_can_be_compared(
    database: Database, settings: Settings
) -> None:
    ages = (10, 167, 169, 300, 335, 337)
    for number, age in enumerate(ages):
        predicted(database, age, number, hours_ago=400)
    due = due_posts(settings, database, NOW)
    assert due == [URL.format(post_id(age, ages.index(age))) for age in (335, 300, 169)]
    narrow = settings.model_copy(update={"scraper_max_items": 2})
    assert due_posts(narrow, database, NOW) == due[:2]


def test_a_post_of_several_predictions_is_scraped_once_and_a_simulated_one_never(
    database: Database, settings: Settings
) -> None:
    for _ in range(2):
        predicted(database, 170)
    predicted(database, 180, is_simulated=True)
    assert due_posts(settings, database, NOW) == [URL.format(post_id(170))]


def test_a_post_that_its_scrape_did_not_bring_is_asked_for_again_a_day_later(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    predicted(database, 170)
    crawl(settings, database, stand_in, [])
    assert due_posts(settings, database, NOW) == []
    with pytest.raises(NotFoundError, match="due"):
        outcomes_order(settings, database, NOW + HOUR, NOW + HOUR)
    assert len(due_posts(settings, database, NOW + 25 * HOUR)) == 1


@pytest.mark.usefixtures("champion")
@pytest.mark.parametrize(
    "fields", [{"shareCount": None}, {"playCount": 0}], ids=["a count unknown", "no views"]
)
def test_counts_that_judge_nothing_are_no_outcome(
    database: Database, stand_in: StandIn, settings: Settings, fields: dict[str, Any]
) -> None:
    predicted(database, 170)
    crawl(settings, database, stand_in, [item(post_id(170), **fields)])
    assert record_arrived(database) == Recorded(0, 0)
    assert len(due_posts(settings, database, NOW + 25 * HOUR)) == 1


@pytest.mark.usefixtures("champion")
def test_what_was_measured_before_the_prediction_proves_nothing(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    predicted(database, 170, hours_ago=1)
    stand_in.apify.bring([item(post_id(170))], started_at=NOW - 2 * HOUR)
    order = outcomes_order(settings, database, NOW, NOW)
    ingest(settings, database, scraping.start_scrape(settings, database, order).actor_run_id)
    assert record_arrived(database) == Recorded(0, 0)


def test_without_a_model_an_outcome_waits_until_there_is_one(
    database: Database,
    stand_in: StandIn,
    settings: Settings,
    request: pytest.FixtureRequest,
) -> None:
    predicted(database, 170)
    crawl(settings, database, stand_in, [item(post_id(170))])
    assert record_arrived(database) == Recorded(outcomes=0, unjudged=1)
    # It is not paid for again.
    assert due_posts(settings, database, NOW + 25 * HOUR) == []
    request.getfixturevalue("champion")
    assert record_arrived(database) == Recorded(outcomes=1, unjudged=0)


@pytest.mark.usefixtures("champion")
def test_one_outcome_that_is_refused_keeps_no_other_from_being_stored(
    database: Database, stand_in: StandIn, settings: Settings
) -> None:
    predicted(database, 169, 1)
    key = predicted(database, 170, 2)
    crawl(settings, database, stand_in, [item(post_id(169, 1)), item(post_id(170, 2))])
    # A crawl that claims to be of later than now, as a file with a wrong time may.
    with database.connect() as connection:
        connection.execute(
            "update app.video_snapshots set crawled_at = %s where video_id = "
            "(select id from app.scraped_videos where platform_video_id = %s)",
            [NOW + 30 * HOUR, post_id(169, 1)],
        )
    assert record_arrived(database) == Recorded(outcomes=1, unjudged=1)
    assert [row[0] for row in outcomes(database)] == [key]


def test_a_prediction_by_url_knows_its_post_from_the_start(
    database: Database, artifacts: ArtifactStore, settings: Settings
) -> None:
    url = URL.format(post_id(170))
    with PredictionService(database, artifacts) as service:
        service.predict(PredictionRequest(input_mode="tiktok_url", tiktok_url=f"{url}?lang=en"))
    assert due_posts(settings, database, NOW) == [url]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("https://vm.tiktok.com/ZMabcdefg/", "url_not_a_post"),
        ("https://example.org/@a/video/7301234567890123456", "url_host"),
        ("http://www.tiktok.com/@a/video/7301234567890123456", "url_not_https"),
        ("12345", "url_not_a_post"),
        ("9" * 19, "url_not_a_post"),
        (str(int((NOW + 3 * HOUR).timestamp()) << 32), "url_not_a_post"),
        ("a post", "url_not_https"),
    ],
    ids=["short link", "other host", "http", "id too old", "id too large", "id of later", "text"],
)
def test_what_names_no_post_is_refused_and_in_a_request_passed_over(text: str, code: str) -> None:
    with pytest.raises(RefusedRequestError) as caught:
        post_of(text, NOW)
    assert caught.value.code == code
    short = PredictionRequest(
        input_mode="tiktok_url", tiktok_url="https://vm.tiktok.com/ZMabcdefg/"
    )
    assert post_of_request(short, NOW) is None


def test_the_posting_time_is_read_off_the_id() -> None:
    assert post_of(post_id(170), NOW).posted_at == NOW - 170 * HOUR


def test_a_post_of_an_unknown_prediction_is_refused(database: Database) -> None:
    with pytest.raises(NotFoundError):
        name_post(database, uuid4(), URL.format(post_id(1)))
