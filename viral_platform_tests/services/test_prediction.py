from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, func, make_url, select

from viral_platform.engine.calibration import PlattFit
from viral_platform.engine.contracts import MeasuredSnapshot, PredictionAnswer, PredictionRequest
from viral_platform.engine.errors import DatabaseUnavailableError, RefusedRequestError
from viral_platform.services import training
from viral_platform.services.batches import store_batch
from viral_platform.services.prediction import PredictionService
from viral_platform.services.rules import sync_rule_library
from viral_platform.services.shared_inputs import RELOAD_SECONDS, RETRY_SECONDS
from viral_platform.storage import calibration
from viral_platform.storage.analyses import get_answer
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database
from viral_platform.storage.tables import analysis_results

SNAPSHOT = MeasuredSnapshot(age_hours=100, views=10_000, likes=900, comments=50, shares=50)
REQUEST = PredictionRequest(
    content_text="Is this the calmest river? Paper Boat #hue",
    creator_handle="@Some.Creator",
    posted_at=datetime(2026, 3, 1, tzinfo=UTC),
    snapshot=SNAPSHOT,
)
SPOKEN = {"gemini", "deepseek", "rule_judge"}
SIGNALS = {"creator", "rules", "trends", "ml", "calibration"} | SPOKEN

POST = "https://www.tiktok.com/@a/video/7301234567890123456"

_MARTS = """
create schema marts;
create table marts.trending_sounds (
    sound_key text, sound_name text, is_generic_name boolean, velocity_score float,
    views_per_hour float, total_views bigint, trend_phase text,
    window_start timestamptz, window_end timestamptz
);
create table marts.trending_hashtags (
    hashtag text, video_count int, total_views bigint, share float,
    window_start timestamptz, window_end timestamptz
);
create table marts.creator_baselines (
    handle text, followers bigint, median_engagement float, median_views float, n_posts int,
    n_mature int, n_at_maturity int, median_views_at_maturity float,
    median_engagement_at_maturity float, last_crawled_at timestamptz, is_simulated boolean
);
insert into marts.trending_sounds values
    ('1', 'Paper Boat', false, 80, 1000, 90000, 'rising', now(), now());
insert into marts.trending_hashtags values ('hue', 7, 10000, 0.2, now(), now());
insert into marts.creator_baselines values ('some.creator', 999, 0.1, 1000, 4);
"""


class Installation(Protocol):
    database: Database
    artifacts: ArtifactStore
    version: str


def statuses(answer: PredictionAnswer) -> dict[str, str]:
    return {stage.stage: stage.status for stage in answer.stages}


def execute(database: Database, statement: str) -> None:
    with database.connect() as connection:
        connection.execute(statement)


def put_in_force(
    database: Database,
    *,
    mode: str = "text",
    horizon: str = "settled",
    signals: str = "rules",
    model_version: str | None = None,
) -> PlattFit:
    fit = PlattFit(0.5, 0.3)
    record = calibration.save_fit(
        database,
        version=f"platt-{mode}-{horizon}",
        input_mode=mode,
        horizon=horizon,
        signals=signals,
        model_version=model_version,
        fit=fit,
        report={},
        is_simulated=False,
    )
    calibration.put_in_force(database, record)
    return fit


@pytest.fixture
def service(database: Database, artifacts: ArtifactStore) -> PredictionService:
    return PredictionService(database, artifacts)


@pytest.fixture
def promoted(installation: Installation) -> Installation:
    training.promote(installation.database, installation.version)
    return installation


@pytest.fixture
def with_model(promoted: Installation) -> PredictionService:
    return PredictionService(promoted.database, promoted.artifacts)


def test_an_empty_installation_answers_with_everything_absent(service: PredictionService) -> None:
    answer = service.predict(REQUEST)
    assert answer.overall_score is None
    assert statuses(answer) == dict.fromkeys(SIGNALS, "absent")
    assert not answer.degraded
    assert not answer.simulated
    assert answer.model_version is None
    assert answer.confidence_label == "LOW"


def test_an_answer_is_stored_under_its_id_as_it_was_given(
    database: Database, service: PredictionService
) -> None:
    answer = service.predict(REQUEST)
    stored = get_answer(database, UUID(answer.id))
    assert PredictionAnswer.model_validate(stored) == answer


def test_an_answer_of_a_batch_carries_its_id(
    database: Database, service: PredictionService
) -> None:
    service.predict(REQUEST, batch_id="batch-1")
    with database.engine.connect() as connection:
        assert connection.execute(select(analysis_results.c.batch_id)).scalar_one() == "batch-1"


def test_with_rules_alone_the_score_is_theirs(
    database: Database, service: PredictionService
) -> None:
    sync_rule_library(database)
    answer = service.predict(REQUEST)
    assert answer.rule_score is not None
    assert answer.overall_score == pytest.approx(answer.rule_score, abs=0.51)
    assert answer.score_weights == {"behavioral": 0, "gemini": 0, "ml": 0, "rules": 1, "trends": 0}
    assert "question_hook" in {rule.rule_id for rule in answer.matched_rules}
    assert answer.suggestions
    assert {name for name, status in statuses(answer).items() if status == "ok"} == {"rules"}


def test_marts_that_were_never_built_are_absent_and_no_failure(
    database: Database, service: PredictionService
) -> None:
    sync_rule_library(database)
    answer = service.predict(REQUEST)
    (trends,) = [stage for stage in answer.stages if stage.stage == "trends"]
    assert (trends.status, trends.reason) == ("absent", "no trends were computed yet")
    assert not answer.degraded


def test_trends_and_the_creator_are_read_from_the_marts(
    database: Database, service: PredictionService
) -> None:
    execute(database, _MARTS)
    answer = service.predict(REQUEST)
    assert [sound.sound_name for sound in answer.matched_sounds] == ["Paper Boat"]
    assert answer.trend_score is not None
    assert answer.feature_vector["log_followers"] == pytest.approx(3)
    assert answer.feature_vector["creator_posts"] == 4
    assert statuses(answer)["creator"] == "ok"


def test_a_creator_that_no_crawl_has_seen_is_absent(
    database: Database, service: PredictionService
) -> None:
    execute(database, _MARTS)
    answer = service.predict(REQUEST.model_copy(update={"creator_handle": "nobody"}))
    assert statuses(answer)["creator"] == "absent"
    assert answer.feature_vector["log_followers"] is None


def test_a_mart_that_cannot_be_read_degrades_the_answer_and_is_named(
    database: Database, service: PredictionService
) -> None:
    execute(database, _MARTS)
    execute(database, "alter table marts.trending_sounds drop column velocity_score")
    answer = service.predict(REQUEST)
    assert statuses(answer) == {
        **dict.fromkeys(SIGNALS, "absent"),
        "trends": "failed",
        "creator": "ok",
    }
    assert answer.degraded


def test_a_promoted_model_answers_with_score_tiers_and_interval(
    promoted: Installation, with_model: PredictionService
) -> None:
    answer = with_model.predict(REQUEST)
    assert answer.ml_score is not None
    assert answer.tier_probabilities is not None
    assert sum(answer.tier_probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert answer.interval is not None
    assert (answer.model_version, answer.horizon) == (promoted.version, "settled")
    assert statuses(answer)["ml"] == "ok"


def test_before_publication_there_are_no_tiers(with_model: PredictionService) -> None:
    answer = with_model.predict(PredictionRequest(content_text="a calm river"))
    assert answer.horizon == "pre_publication"
    assert answer.tier_probabilities is None


def test_a_candidate_does_not_answer(installation: Installation) -> None:
    service = PredictionService(installation.database, installation.artifacts)
    assert service.predict(REQUEST).model_version is None


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_model_file_that_is_broken_degrades_the_answer_and_the_others_go_on(
    promoted: Installation, with_model: PredictionService, damage: str
) -> None:
    sync_rule_library(promoted.database)
    for path in list(promoted.artifacts.path("00").parent.parent.rglob("*")):
        if path.is_file():
            path.unlink()
            if damage == "changed":
                path.write_bytes(b"rubbish")
    answer = with_model.predict(REQUEST)
    assert answer.degraded
    assert statuses(answer)["ml"] == "failed"
    assert answer.ml_score is None
    assert answer.overall_score is not None
    assert get_answer(promoted.database, UUID(answer.id))["degraded"]


def test_a_calibration_in_force_is_applied_and_named(
    database: Database, service: PredictionService
) -> None:
    sync_rule_library(database)
    fit = put_in_force(database)
    answer = service.predict(REQUEST)
    assert answer.raw_score is not None
    assert answer.overall_score == pytest.approx(
        100 * fit.apply([answer.raw_score / 100])[0], abs=0.005
    )
    assert answer.is_calibrated
    assert answer.calibration_version == "platt-text-settled"


@pytest.mark.parametrize(
    ("mode", "horizon"), [("tiktok_url", "settled"), ("text", "early")], ids=["mode", "horizon"]
)
def test_a_calibration_of_another_mode_or_horizon_is_not_applied(
    database: Database, service: PredictionService, mode: str, horizon: str
) -> None:
    sync_rule_library(database)
    put_in_force(database, mode=mode, horizon=horizon)
    answer = service.predict(REQUEST)
    assert answer.overall_score == answer.raw_score
    assert not answer.is_calibrated
    assert answer.calibration_version is None


def test_a_calibration_that_cannot_be_read_degrades_the_answer_and_is_named(
    database: Database, service: PredictionService
) -> None:
    """Nothing told of it: an uncalibrated score looked like a whole one."""
    sync_rule_library(database)
    execute(database, "drop table app.platt_parameters")
    answer = service.predict(REQUEST)
    assert statuses(answer)["calibration"] == "failed"
    assert answer.degraded
    assert answer.overall_score == answer.raw_score


def test_an_answer_from_simulated_data_says_so(
    promoted: Installation, with_model: PredictionService
) -> None:
    assert not with_model.predict(REQUEST).simulated
    execute(promoted.database, "update app.scraped_videos set is_simulated = true")
    with_model.refresh()
    assert with_model.predict(REQUEST).simulated


def test_a_refresh_picks_up_a_new_champion(installation: Installation) -> None:
    service = PredictionService(installation.database, installation.artifacts)
    assert service.predict(REQUEST).model_version is None
    training.promote(installation.database, installation.version)
    service.refresh()
    assert service.predict(REQUEST).model_version == installation.version


def test_a_new_champion_is_seen_without_a_refresh_after_a_short_while(
    installation: Installation,
) -> None:
    now = [0.0]
    service = PredictionService(installation.database, installation.artifacts, clock=lambda: now[0])
    service.predict(REQUEST)
    training.promote(installation.database, installation.version)
    now[0] = RELOAD_SECONDS
    assert service.predict(REQUEST).model_version is None
    now[0] = RELOAD_SECONDS + 0.1
    assert service.predict(REQUEST).model_version == installation.version


@pytest.mark.parametrize(
    "field",
    [
        {"content_text": "a calm\x00river"},
        {"creator_handle": "some\x00creator"},
        {"niche": "\x00"},
        {"society_id": "a\x00"},
        {"hashtags": ["hue\x00", "\x00"]},
        {"input_mode": "tiktok_url", "tiktok_url": f"{POST}\x00"},
    ],
    ids=["caption", "handle", "niche", "society", "hashtags", "address"],
)
def test_a_nul_in_a_text_does_not_break_the_answer(
    service: PredictionService, field: dict[str, object]
) -> None:
    """Only captions were cleaned: PostgreSQL refused the answer to any other field with a NUL."""
    request = PredictionRequest.model_validate({"content_text": "a calm river", **field})
    assert not service.predict(request).degraded


def test_answers_to_many_callers_at_once_are_all_stored(
    database: Database, service: PredictionService
) -> None:
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(service.predict, [REQUEST] * 24))
    with database.engine.connect() as connection:
        stored = connection.execute(select(func.count()).select_from(analysis_results))
        assert stored.scalar_one() == len({answer.id for answer in answers}) == 24


def test_without_a_database_the_answer_still_comes_and_says_what_it_lacks(tmp_path: Path) -> None:
    nowhere = Database(make_url("postgresql://viral@127.0.0.1:1/viral"))
    with PredictionService(nowhere, ArtifactStore(tmp_path)) as service:
        answer = service.predict(REQUEST)
    assert answer.degraded
    assert not answer.stored
    assert any("could not be stored" in line for line in answer.warnings)
    failed = {name for name, status in statuses(answer).items() if status == "failed"}
    assert failed == {"rules", "trends", "creator", "ml", "calibration", "store"}
    with pytest.raises(DatabaseUnavailableError):
        service.predict_batch("batch-1")


def test_when_the_database_goes_away_what_was_read_before_still_serves(
    promoted: Installation,
) -> None:
    sync_rule_library(promoted.database)
    now = [0.0]
    service = PredictionService(promoted.database, promoted.artifacts, clock=lambda: now[0])
    before = service.predict(REQUEST)
    execute(promoted.database, "alter table app.rule_library rename to no_rules")
    execute(promoted.database, "alter table app.model_versions rename to no_models")
    now[0] = RELOAD_SECONDS + 1
    answer = service.predict(REQUEST)
    assert answer.raw_score == before.raw_score
    assert answer.degraded
    assert any("Not read anew: rules, model" in line for line in answer.warnings)
    execute(promoted.database, "alter table app.no_rules rename to rule_library")
    execute(promoted.database, "alter table app.no_models rename to model_versions")
    now[0] += RETRY_SECONDS + 0.1
    assert not service.predict(REQUEST).degraded


def test_a_batch_stops_at_an_answer_that_could_not_be_stored(
    database: Database, service: PredictionService
) -> None:
    batch_id = store_batch(database, [REQUEST])
    execute(database, "alter table app.analysis_results rename column answer to reply")
    with pytest.raises(DatabaseUnavailableError, match=f"Answer 1 of batch {batch_id}"):
        service.predict_batch(batch_id)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("too short", "text_too_short", id="9-characters"),
        pytest.param(f"{' ' * 20}too short\n", "text_too_short", id="blanks-do-not-count"),
        pytest.param("a" * 91 + "bcdefghi", "text_repeats", id="91-of-99"),
        pytest.param("😀" * 20, "text_repeats", id="emoji"),
    ],
)
def test_a_text_that_says_nothing_is_refused_with_its_code(
    database: Database, service: PredictionService, text: str, code: str
) -> None:
    with pytest.raises(RefusedRequestError) as refused:
        service.predict(PredictionRequest(content_text=text))
    assert refused.value.code == code
    with database.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(analysis_results)).scalar() == 0


@pytest.mark.parametrize("text", ["ten chars!", "a" * 90 + "bcdefghijk", "日本の川はとても静か"])
def test_a_text_at_the_border_is_answered(service: PredictionService, text: str) -> None:
    assert service.predict(PredictionRequest(content_text=text)).stored


def test_a_request_reads_the_creator_once_and_nothing_else_anew(
    promoted: Installation, with_model: PredictionService
) -> None:
    """What all requests share is read once in a while; one request reads nothing twice."""
    sync_rule_library(promoted.database)
    execute(promoted.database, _MARTS)
    with_model.predict(REQUEST)
    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]).split()[0].lower())

    event.listen(promoted.database.engine, "before_cursor_execute", note)
    with_model.predict(REQUEST)
    event.remove(promoted.database.engine, "before_cursor_execute", note)
    assert statements == ["select", "insert"]


def test_a_service_can_be_closed_twice_and_not_be_used_at_all(
    database: Database, artifacts: ArtifactStore
) -> None:
    service = PredictionService(database, artifacts)
    service.close()
    service.close()


@pytest.fixture(scope="module")
def ruled(
    clone_database: Callable[..., AbstractContextManager[Database]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PredictionService]:
    """A service with rules, for many requests."""
    with clone_database() as database:
        sync_rule_library(database)
        yield PredictionService(database, ArtifactStore(tmp_path_factory.mktemp("none")))


COUNT = st.none() | st.integers(0, 2**63 - 1)
START = datetime(2000, 1, 1, tzinfo=UTC)


@settings(max_examples=60, deadline=None)
@given(
    asked=st.builds(
        PredictionRequest,
        content_text=st.text(max_size=60).map(lambda text: f"a calm river {text}"),
        creator_handle=st.none() | st.text(max_size=20),
        niche=st.none() | st.text(max_size=20),
        hashtags=st.none() | st.lists(st.text(max_size=10), max_size=4),
        duration_seconds=st.none() | st.floats(0, 1e9),
        posted_at=st.none() | st.integers(0, 73_000).map(lambda d: START + timedelta(days=d)),
        snapshot=st.none()
        | st.builds(
            MeasuredSnapshot,
            age_hours=st.floats(0, 1e9),
            views=st.integers(1, 2**63 - 1),
            likes=COUNT,
            comments=COUNT,
            shares=COUNT,
            saves=COUNT,
        ),
    )
)
def test_every_valid_request_is_answered_whole(
    ruled: PredictionService, asked: PredictionRequest
) -> None:
    answer = ruled.predict(asked)
    assert not answer.degraded
    assert answer.overall_score is not None
