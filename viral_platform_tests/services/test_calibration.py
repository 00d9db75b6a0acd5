from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import insert

from viral_platform.engine.calibration import PlattFit
from viral_platform.engine.errors import GateRefusedError, NotEnoughDataError, NotFoundError
from viral_platform.services import calibration
from viral_platform.storage import calibration as rows
from viral_platform.storage.database import Database
from viral_platform.storage.tables import analysis_results, outcomes

pytestmark = pytest.mark.usefixtures("outcome_pairs")

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TOO_SURE = PlattFit(0.4, 0.5)


def add_pairs(
    database: Database,
    raw: np.ndarray,
    actual: np.ndarray,
    *,
    mode: str = "text",
    horizon: str = "settled",
    is_simulated: bool = False,
    age_hours: float = 200.0,
    signals: tuple[str, ...] = ("ml", "rules"),
    model_version: str | None = "tier-1",
) -> None:
    """Add answered analyses with their outcomes, one a minute."""
    keys = [uuid4() for _ in raw]
    analysis = {
        "input_mode": mode,
        "content_text": "",
        "confidence": 0.2,
        "is_calibrated": False,
        "horizon": horizon,
        "engine_version": "3.0.0",
        "is_degraded": False,
        "is_simulated": is_simulated,
        "latency_ms": 1.0,
        "cost_cents": 0,
        "request": {},
        "answer": {"score_weights": dict.fromkeys(signals, 0.5)},
        "model_version": model_version,
    }
    outcome = {
        "views": 1000,
        "likes": 100,
        "comments": 5,
        "shares": 5,
        "age_hours": age_hours,
        "engagement": 0.1,
        "actual_tier": 3,
        "model_version": "tier-1",
        "is_simulated": is_simulated,
        "measured_at": NOW,
    }
    with database.engine.begin() as connection:
        connection.execute(
            insert(analysis_results),
            [
                {
                    **analysis,
                    "id": key,
                    "raw_score": float(score),
                    "created_at": NOW + timedelta(minutes=minute),
                }
                for minute, (key, score) in enumerate(zip(keys, raw, strict=True))
            ],
        )
        connection.execute(
            insert(outcomes),
            [
                {**outcome, "analysis_id": key, "actual_score": float(score)}
                for key, score in zip(keys, actual, strict=True)
            ],
        )


def pairs(n: int, fit: PlattFit = TOO_SURE, *, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return raw scores and outcomes scattered around what `fit` makes of them."""
    draw = np.random.default_rng(seed)
    raw = np.round(draw.uniform(5, 95, n))
    actual = 100 * fit.apply(raw / 100) + draw.normal(0, 8, n)
    return raw, np.clip(actual, 0, 100)


def turning(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs whose later part says the opposite of the earlier one."""
    raw, _ = pairs(n)
    early = np.arange(n) < 0.4 * n
    return raw, np.where(early, raw, 100 - raw)


def test_a_fit_that_helps_is_stored_as_a_candidate(database: Database) -> None:
    add_pairs(database, *pairs(200))
    fitted = calibration.fit_calibration(database, "text", "settled")
    assert fitted.verdict.applied
    assert (fitted.verdict.n_fit, fitted.verdict.n_judge) == (80, 120)
    assert fitted.record.status == "candidate"
    assert fitted.record.calibration.fit.slope == pytest.approx(TOO_SURE.slope, abs=0.1)
    assert fitted.record.report["verdict"] == fitted.verdict.as_dict()
    assert sum(bin_.count for bin_ in fitted.reliability) == 120
    assert rows.fits_in_force(database) == {}


def test_the_earlier_pairs_fit_and_the_later_ones_judge(database: Database) -> None:
    add_pairs(database, *turning(200))
    fitted = calibration.fit_calibration(database, "text", "settled")
    assert fitted.record.calibration.fit.slope == pytest.approx(1, abs=0.1)
    assert not fitted.verdict.applied


def test_the_same_pairs_give_the_same_version(database: Database) -> None:
    add_pairs(database, *pairs(150))
    first = calibration.fit_calibration(database, "text", "settled")
    second = calibration.fit_calibration(database, "text", "settled")
    assert first.record.version == second.record.version
    assert len(rows.list_fits(database)) == 1


def test_too_few_pairs_store_nothing(database: Database) -> None:
    add_pairs(database, *pairs(149))
    with pytest.raises(NotEnoughDataError, match="found 149, needed 150"):
        calibration.fit_calibration(database, "text", "settled")
    assert rows.list_fits(database) == []


def test_pairs_of_other_modes_horizons_and_ages_do_not_count(database: Database) -> None:
    add_pairs(database, *pairs(3))
    add_pairs(database, *pairs(5), mode="tiktok_url")
    add_pairs(database, *pairs(7), horizon="early")
    late = calibration.MAX_OUTCOME_AGE_HOURS + 1
    add_pairs(database, *pairs(9), age_hours=late)
    assert calibration.count_pairs(database, "text", "settled") == 3


def test_one_simulated_pair_marks_the_fit(database: Database) -> None:
    raw, actual = pairs(151)
    add_pairs(database, raw[:150], actual[:150])
    assert not calibration.fit_calibration(database, "text", "settled").record.is_simulated
    add_pairs(database, raw[150:], actual[150:], is_simulated=True)
    assert calibration.fit_calibration(database, "text", "settled").record.is_simulated


def test_a_fit_with_a_good_verdict_is_put_in_force_and_retires_the_former(
    database: Database,
) -> None:
    add_pairs(database, *pairs(150))
    first = calibration.fit_calibration(database, "text", "settled").record.version
    calibration.activate(database, first)
    add_pairs(database, *pairs(50, seed=3))
    second = calibration.fit_calibration(database, "text", "settled").record.version
    assert calibration.activate_latest(database).version == second
    assert rows.fits_in_force(database)["text", "settled"].version == second
    assert rows.get_fit(database, first).status == "retired"


def test_a_verdict_against_a_fit_refuses_it_and_what_is_in_force_stays(database: Database) -> None:
    add_pairs(database, *pairs(150))
    good = calibration.fit_calibration(database, "text", "settled").record.version
    calibration.activate(database, good)
    with database.engine.begin() as connection:
        connection.execute(outcomes.delete())
        connection.execute(analysis_results.delete())
    add_pairs(database, *turning(200))
    calibration.fit_calibration(database, "text", "settled")
    with pytest.raises(GateRefusedError, match=r"held-out pairs\. What is in force stays"):
        calibration.activate_latest(database)
    assert rows.fits_in_force(database)["text", "settled"].version == good


def test_an_unknown_fit_cannot_be_put_in_force(database: Database) -> None:
    with pytest.raises(NotFoundError, match="No calibration platt-9"):
        calibration.activate(database, "platt-9")


def test_before_any_fit_the_way_to_one_is_named(database: Database) -> None:
    with pytest.raises(NotFoundError, match="viral run calibration_audit"):
        calibration.activate_latest(database)


def test_the_overview_shows_every_fit_with_its_verdict(database: Database) -> None:
    add_pairs(database, *pairs(150))
    fitted = calibration.fit_calibration(database, "text", "settled")
    (shown,) = calibration.overview(database)
    assert (shown["version"], shown["input_mode"], shown["horizon"]) == (
        fitted.record.version,
        "text",
        "settled",
    )
    assert shown["verdict"]["applied"]
    assert len(shown["reliability"]) == 10


def test_pairs_of_other_signals_or_another_model_are_not_pooled(database: Database) -> None:
    """One fit was made of answers of several mixes and laid over any of them."""
    add_pairs(database, *pairs(160))
    add_pairs(database, *pairs(40), signals=("ml",))
    add_pairs(database, *pairs(40), model_version="tier-2")
    assert calibration.count_pairs(database, "text", "settled") == 160
    record = calibration.fit_calibration(database, "text", "settled").record
    assert (record.signals, record.model_version) == ("ml+rules", "tier-1")
