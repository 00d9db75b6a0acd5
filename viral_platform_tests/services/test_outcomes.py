from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Row, select

from viral_platform.engine.contracts import MeasuredSnapshot, PredictionRequest
from viral_platform.engine.errors import InputError, NotEnoughDataError, NotFoundError
from viral_platform.services import training
from viral_platform.services.outcomes import (
    OutcomeReport,
    OutcomesAdded,
    add_outcome,
    add_outcomes,
    judged_by,
)
from viral_platform.services.prediction import PredictionService
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database
from viral_platform.storage.tables import outcomes

POSTED = datetime(2026, 3, 1, tzinfo=UTC)
PREDICTED = POSTED + timedelta(hours=100)


class Installation(Protocol):
    database: Database
    artifacts: ArtifactStore
    version: str


def analysed(
    database: Database, artifacts: ArtifactStore, *, posted_at: datetime | None = POSTED
) -> UUID:
    answer = PredictionService(database, artifacts).predict(
        PredictionRequest(
            content_text="a calm river",
            posted_at=posted_at,
            snapshot=MeasuredSnapshot(age_hours=100, views=1000, likes=90, comments=5, shares=5),
        )
    )
    with database.connect() as connection:
        connection.execute(
            "update app.analysis_results set created_at = %s where id = %s", [PREDICTED, answer.id]
        )
    return UUID(answer.id)


def measured(analysis_id: UUID, *, hours: float = 200.0, likes: int = 100) -> OutcomeReport:
    return OutcomeReport(
        analysis_id=analysis_id,
        views=1000,
        likes=likes,
        comments=10,
        shares=10,
        measured_at=POSTED + timedelta(hours=hours),
    )


def stored(database: Database) -> Row[tuple[object, ...]]:
    with database.engine.connect() as connection:
        return connection.execute(select(outcomes)).one()


@pytest.fixture
def promoted(installation: Installation) -> Installation:
    training.promote(installation.database, installation.version)
    return installation


def test_the_actual_score_is_the_percentile_in_the_model_s_reference(
    promoted: Installation,
) -> None:
    database = promoted.database
    assert add_outcome(database, measured(analysed(database, promoted.artifacts)))
    row = stored(database)
    version, scale = judged_by(database, None)
    assert row.engagement == pytest.approx(0.15)
    assert row.actual_score == pytest.approx(float(scale.percentiles(0.15)))
    assert row.actual_tier == int(scale.tiers(0.15))
    assert row.model_version == version == promoted.version
    assert row.age_hours == 200


def test_an_analysis_is_judged_by_the_model_that_answered_it(promoted: Installation) -> None:
    database = promoted.database
    key = analysed(database, promoted.artifacts)
    with database.connect() as connection:
        connection.execute("update app.model_versions set status = 'retired'")
    assert add_outcome(database, measured(key))
    assert stored(database).model_version == promoted.version


def test_an_analysis_without_a_model_is_judged_by_the_champion(
    installation: Installation,
) -> None:
    key = analysed(installation.database, installation.artifacts)
    training.promote(installation.database, installation.version)
    assert add_outcome(installation.database, measured(key))
    assert stored(installation.database).model_version == installation.version


def test_without_any_model_an_outcome_cannot_be_judged(
    database: Database, artifacts: ArtifactStore
) -> None:
    key = analysed(database, artifacts)
    with pytest.raises(NotEnoughDataError, match="Promote one first"):
        add_outcome(database, measured(key))


def test_an_unknown_analysis_is_named(promoted: Installation) -> None:
    missing = uuid4()
    with pytest.raises(NotFoundError, match=str(missing)):
        add_outcome(promoted.database, measured(missing))


def test_a_post_that_is_too_young_is_refused(promoted: Installation) -> None:
    key = analysed(promoted.database, promoted.artifacts)
    with pytest.raises(InputError, match="measured 167 hours after posting"):
        add_outcome(promoted.database, measured(key, hours=167.4))


def test_a_post_is_mature_at_exactly_168_hours(promoted: Installation) -> None:
    key = analysed(promoted.database, promoted.artifacts)
    assert add_outcome(promoted.database, measured(key, hours=168))


def test_an_unknown_posting_time_has_to_be_given(promoted: Installation) -> None:
    key = analysed(promoted.database, promoted.artifacts, posted_at=None)
    with pytest.raises(InputError, match="no posting time"):
        add_outcome(promoted.database, measured(key))
    given = measured(key).model_copy(update={"posted_at": POSTED})
    assert add_outcome(promoted.database, given)


def test_an_outcome_that_was_known_before_the_prediction_is_refused(
    promoted: Installation,
) -> None:
    key = analysed(promoted.database, promoted.artifacts)
    long_ago = {"posted_at": POSTED - timedelta(days=30), "measured_at": PREDICTED}
    with pytest.raises(InputError, match="is not after the prediction of 2026-03-05"):
        add_outcome(promoted.database, measured(key).model_copy(update=long_ago))


def test_an_outcome_from_the_future_is_refused(promoted: Installation) -> None:
    key = analysed(promoted.database, promoted.artifacts)
    for ahead, fits in ((timedelta(hours=2), False), (timedelta(minutes=30), True)):
        report = measured(key).model_copy(update={"measured_at": datetime.now(UTC) + ahead})
        if fits:
            assert add_outcome(promoted.database, report)
        else:
            with pytest.raises(InputError, match="is in the future"):
                add_outcome(promoted.database, report)


def test_a_simulated_outcome_follows_the_simulator_s_clock(promoted: Installation) -> None:
    key = analysed(promoted.database, promoted.artifacts)
    with promoted.database.connect() as connection:
        connection.execute(
            "update app.analysis_results set is_simulated = true, created_at = %s",
            [POSTED + timedelta(days=90)],
        )
    assert add_outcome(promoted.database, measured(key))


def test_a_second_outcome_is_refused_and_the_first_one_stays(promoted: Installation) -> None:
    key = analysed(promoted.database, promoted.artifacts)
    assert add_outcome(promoted.database, measured(key, likes=100))
    assert not add_outcome(promoted.database, measured(key, likes=5))
    assert stored(promoted.database).likes == 100


def test_several_outcomes_are_counted(promoted: Installation) -> None:
    database = promoted.database
    keys = [analysed(database, promoted.artifacts) for _ in range(2)]
    reports = [measured(key) for key in (*keys, keys[0])]
    assert add_outcomes(database, reports) == OutcomesAdded(added=2, already_known=1)


@pytest.mark.parametrize(
    "wrong",
    [{"views": 0}, {"likes": -1}, {"likes": 2**63}, {"measured_at": datetime(2026, 3, 9)}],  # noqa: DTZ001
    ids=["no views", "negative", "beyond a column", "no zone"],
)
def test_a_report_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    report = measured(uuid4()).model_dump()
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OutcomeReport.model_validate({**report, **wrong})
