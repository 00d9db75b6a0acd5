"""Calibration of served scores: fit on outcomes of equal age, judge on others, put in force.

`activate` is the one way into force: assets and command line call it, and it refuses without the
verdict that is stored with the fit.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from viral_platform.engine.calibration import (
    CalibrationVerdict,
    ReliabilityBin,
    fit_platt,
    judge,
    reliability_bins,
    split_pairs,
)
from viral_platform.engine.contracts import Horizon, InputMode
from viral_platform.engine.errors import GateRefusedError, NotFoundError
from viral_platform.engine.training_rows import MATURITY_HOURS
from viral_platform.observability.logging import get_logger
from viral_platform.storage import calibration
from viral_platform.storage.calibration import OutcomePair, PlattRecord
from viral_platform.storage.database import Database

log = get_logger(__name__)

# Outcomes later than this are another quantity: counts of old posts have moved on.
MAX_OUTCOME_AGE_HOURS = 2 * MATURITY_HOURS


@dataclass(frozen=True)
class Fitted:
    """A stored fit, its verdict, and the reliability of raw and fitted scores on judged pairs."""

    record: PlattRecord
    verdict: CalibrationVerdict
    reliability_raw: list[ReliabilityBin]
    reliability: list[ReliabilityBin]


def _pairs(database: Database, input_mode: InputMode, horizon: Horizon) -> list[OutcomePair]:
    """Return the pairs of the mix of signals and model that most pairs have."""
    pairs = calibration.load_pairs(
        database, input_mode, horizon, max_age_hours=MAX_OUTCOME_AGE_HOURS
    )
    mixes = Counter((pair.signals, pair.model_version) for pair in pairs)
    most = [mix for mix, _ in mixes.most_common(1)]
    return [pair for pair in pairs if (pair.signals, pair.model_version) in most]


def count_pairs(database: Database, input_mode: InputMode, horizon: Horizon) -> int:
    """Return how many outcome pairs of equal age, and of one mix of signals, there are."""
    return len(_pairs(database, input_mode, horizon))


def fit_calibration(database: Database, input_mode: InputMode, horizon: Horizon) -> Fitted:
    """Fit on the earlier pairs of a mode and horizon, judge on the later ones, store the candidate.

    Neither horizons nor mixes of signals nor models are pooled: their scores err in different
    ways. Of several mixes the one with the most pairs is fitted.

    Raises
    ------
    NotEnoughDataError
        Fewer than 50 pairs to fit and 100 others to judge; nothing is stored.
    """
    pairs = _pairs(database, input_mode, horizon)
    n_fit = split_pairs(len(pairs))
    scores = np.array([pair.raw_score for pair in pairs]) / 100
    actual = np.array([pair.actual_score for pair in pairs]) / 100
    fit = fit_platt(scores[:n_fit], actual[:n_fit])
    verdict = judge(fit, scores[n_fit:], actual[n_fit:], n_fit=n_fit)
    reliability_raw = reliability_bins(scores[n_fit:], actual[n_fit:])
    reliability = reliability_bins(fit.apply(scores[n_fit:]), actual[n_fit:])
    report: dict[str, Any] = {
        "verdict": verdict.as_dict(),
        "reliability_raw": [asdict(item) for item in reliability_raw],
        "reliability": [asdict(item) for item in reliability],
    }
    digest = hashlib.sha256(
        f"{input_mode}:{horizon}:{pairs[0].signals}:{pairs[0].model_version}:{fit.slope!r}:{fit.intercept!r}:{len(pairs)}".encode()
    ).hexdigest()
    record = calibration.save_fit(
        database,
        version=f"platt-{digest[:10]}",
        input_mode=input_mode,
        horizon=horizon,
        signals=pairs[0].signals,
        model_version=pairs[0].model_version,
        fit=fit,
        report=report,
        is_simulated=any(pair.is_simulated for pair in pairs),
    )
    log.info("calibration_fitted", version=record.version, ece=round(verdict.ece, 4))
    return Fitted(record, verdict, reliability_raw, reliability)


def activate(database: Database, version: str) -> PlattRecord:
    """Put a fit in force for its input mode and horizon.

    Raises
    ------
    GateRefusedError
        Its stored verdict forbids it; what is in force stays.
    NotFoundError
        There is no such version.
    """
    record = calibration.get_fit(database, version)
    verdict = record.report["verdict"]
    if not verdict["applied"]:
        raise GateRefusedError(
            f"Calibration {version} is not applied: {verdict['reason']}. What is in force stays."
        )
    calibration.put_in_force(database, record)
    log.info("calibration_activated", version=version)
    return calibration.get_fit(database, version)


def activate_latest(database: Database) -> PlattRecord:
    """Put the newest fit in force.

    Raises
    ------
    GateRefusedError
        As `activate`.
    NotFoundError
        Nothing was ever fitted.
    """
    fits = calibration.list_fits(database)
    if not fits:
        raise NotFoundError("No calibration was fitted yet. Fit one: viral run calibration_audit.")
    return activate(database, fits[0].version)


def overview(database: Database) -> list[dict[str, Any]]:
    """Return every fit with its parameters, verdict and reliability, the newest first."""
    return [
        {
            "version": record.version,
            "input_mode": record.input_mode,
            "horizon": record.horizon,
            "signals": record.signals,
            "model_version": record.model_version,
            "status": record.status,
            "slope": record.slope,
            "intercept": record.intercept,
            "fitted_at": record.fitted_at,
            "is_simulated": record.is_simulated,
            **record.report,
        }
        for record in calibration.list_fits(database)
    ]
