from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError, ProgrammingError

from viral_platform.engine.calibration import Calibration, PlattFit
from viral_platform.engine.errors import NotFoundError
from viral_platform.storage import calibration
from viral_platform.storage.calibration import Outcome, OutcomePair, PlattRecord
from viral_platform.storage.database import Database
from viral_platform.storage.tables import analysis_results, outcomes, platt_parameters

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def fitted(
    database: Database, version: str, mode: str = "text", horizon: str = "settled"
) -> PlattRecord:
    return calibration.save_fit(
        database,
        version=version,
        input_mode=mode,
        horizon=horizon,
        signals="rules",
        model_version=None,
        fit=PlattFit(0.5, 0.25),
        report={"verdict": {"applied": True}},
        is_simulated=False,
    )


def analysis(
    database: Database,
    *,
    minutes: int = 0,
    mode: str = "text",
    horizon: str = "settled",
    raw: float | None = 50.0,
) -> UUID:
    key = uuid4()
    with database.engine.begin() as connection:
        connection.execute(
            insert(analysis_results).values(
                id=key,
                created_at=NOW + timedelta(minutes=minutes),
                input_mode=mode,
                content_text="",
                raw_score=raw,
                confidence=0.2,
                is_calibrated=False,
                horizon=horizon,
                engine_version="3.0.0",
                is_degraded=False,
                is_simulated=False,
                latency_ms=1.0,
                cost_cents=0,
                request={},
                answer={},
            )
        )
    return key


def outcome(key: UUID, *, score: float = 70.0, age_hours: float = 200.0) -> Outcome:
    return Outcome(
        analysis_id=key,
        views=1000,
        likes=100,
        comments=5,
        shares=5,
        saves=None,
        age_hours=age_hours,
        engagement=0.125,
        actual_score=score,
        actual_tier=3,
        model_version="tier-1",
        is_simulated=False,
        measured_at=NOW + timedelta(hours=age_hours),
        origin="reported",
    )


def raw_scores(pairs: Sequence[OutcomePair]) -> list[float]:
    return [pair.raw_score for pair in pairs]


def test_a_fit_comes_back_as_a_candidate(database: Database) -> None:
    record = fitted(database, "platt-1")
    assert record == calibration.get_fit(database, "platt-1")
    assert (record.status, record.activated_at) == ("candidate", None)
    assert record.calibration == Calibration(PlattFit(0.5, 0.25), "rules", None)


def test_the_same_fit_again_keeps_its_status_and_becomes_the_newest(database: Database) -> None:
    calibration.put_in_force(database, fitted(database, "platt-1"))
    fitted(database, "platt-2")
    fitted(database, "platt-1")
    assert [(fit.version, fit.status) for fit in calibration.list_fits(database)] == [
        ("platt-1", "in_force"),
        ("platt-2", "candidate"),
    ]


def test_a_fit_put_in_force_retires_the_former_one_of_its_mode_and_horizon_alone(
    database: Database,
) -> None:
    calibration.put_in_force(database, fitted(database, "platt-1"))
    calibration.put_in_force(database, fitted(database, "platt-url", mode="tiktok_url"))
    calibration.put_in_force(database, fitted(database, "platt-early", horizon="early"))
    calibration.put_in_force(database, fitted(database, "platt-2"))
    in_force = calibration.fits_in_force(database)
    assert {key: record.version for key, record in in_force.items()} == {
        ("text", "settled"): "platt-2",
        ("tiktok_url", "settled"): "platt-url",
        ("text", "early"): "platt-early",
    }
    assert calibration.get_fit(database, "platt-1").status == "retired"
    assert in_force["text", "settled"].activated_at is not None


def test_going_back_to_a_retired_fit_is_one_step(database: Database) -> None:
    first = fitted(database, "platt-1")
    calibration.put_in_force(database, first)
    calibration.put_in_force(database, fitted(database, "platt-2"))
    calibration.put_in_force(database, first)
    assert calibration.fits_in_force(database)["text", "settled"].version == "platt-1"


def test_the_database_itself_refuses_two_fits_in_force_for_a_mode(database: Database) -> None:
    fitted(database, "platt-1")
    fitted(database, "platt-2")
    with (
        pytest.raises(IntegrityError, match="ix_platt_parameters_one_in_force"),
        database.engine.begin() as connection,
    ):
        connection.execute(update(platt_parameters).values(status="in_force"))


def test_nothing_is_in_force_at_first(database: Database) -> None:
    assert calibration.fits_in_force(database) == {}
    assert calibration.list_fits(database) == []


def test_an_unknown_fit_is_named(database: Database) -> None:
    with pytest.raises(NotFoundError, match="No calibration platt-9"):
        calibration.get_fit(database, "platt-9")


def test_an_outcome_is_stored_once_and_the_first_one_stays(database: Database) -> None:
    key = analysis(database)
    assert calibration.save_outcome(database, outcome(key, score=70.0))
    assert not calibration.save_outcome(database, outcome(key, score=20.0))
    with database.engine.connect() as connection:
        row = connection.execute(select(outcomes)).one()
    assert (row.analysis_id, row.actual_score, row.saves) == (key, 70.0, None)


def test_an_outcome_needs_its_analysis(database: Database) -> None:
    with pytest.raises(IntegrityError, match="fk_outcomes"):
        calibration.save_outcome(database, outcome(uuid4()))


@pytest.mark.usefixtures("outcome_pairs")
def test_pairs_come_in_the_order_of_their_answers(database: Database) -> None:
    for minutes, raw in ((30, 3.0), (10, 1.0), (20, 2.0)):
        key = analysis(database, minutes=minutes, raw=raw)
        calibration.save_outcome(database, outcome(key))
    pairs = calibration.load_pairs(database, "text", "settled", max_age_hours=336)
    assert raw_scores(pairs) == [1.0, 2.0, 3.0]
    expected = OutcomePair(1.0, 70.0, is_simulated=False, signals="", model_version=None)
    assert pairs[0] == expected


@pytest.mark.usefixtures("outcome_pairs")
def test_pairs_are_of_one_mode_and_horizon_of_bounded_age_and_scored(database: Database) -> None:
    for mode, horizon, raw, age_hours in (
        ("text", "settled", 1.0, 336.0),
        ("text", "settled", 2.0, 336.1),
        ("tiktok_url", "settled", 3.0, 200.0),
        ("text", "early", 4.0, 200.0),
        ("text", "settled", None, 200.0),
    ):
        key = analysis(database, mode=mode, horizon=horizon, raw=raw)
        calibration.save_outcome(database, outcome(key, age_hours=age_hours))
    assert raw_scores(calibration.load_pairs(database, "text", "settled", max_age_hours=336)) == [
        1.0
    ]


def test_pairs_before_the_marts_were_built_are_an_error_and_not_empty(database: Database) -> None:
    with pytest.raises(ProgrammingError, match=r"marts\.outcome_pairs"):
        calibration.load_pairs(database, "text", "settled", max_age_hours=336)
