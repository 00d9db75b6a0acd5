"""Group `calibration`: outcomes, the Platt fit, and the fit in force."""

from typing import cast, get_args

import dagster as dg
from pydantic import Field

from viral_platform.defs.checks import calibration_result
from viral_platform.defs.common import (
    DATABASE_RETRIES,
    MODELLING,
    nothing_made_with_reason,
    simulated_label,
)
from viral_platform.defs.plots import score_reliability
from viral_platform.defs.resources import DatabaseResource
from viral_platform.engine.calibration import ECE_BAR
from viral_platform.engine.contracts import HORIZONS, Horizon, InputMode
from viral_platform.services import calibration

outcomes = dg.AssetSpec(
    "outcomes",
    group_name="calibration",
    kinds={"postgres"},
    owners=MODELLING,
    deps=["analysis_results"],
    description="What became of posts: one measured outcome an analysis, at 168 hours of age or "
    "more, as a percentile of the model's training reference. Written by the service.",
)


class PlattConfig(dg.Config):
    """What the fit is for."""

    input_mode: str = Field("text", description="Input mode whose served scores are calibrated.")
    horizon: str = Field(
        "pre_publication", description="Horizon of those scores: pre_publication, early, settled."
    )


@dg.asset(
    group_name="calibration",
    kinds={"python", "postgres"},
    owners=MODELLING,
    deps=["outcome_pairs"],
    check_specs=[
        dg.AssetCheckSpec(
            "expected_calibration_error",
            asset="platt_parameters",
            blocking=True,
            description=f"ECE on pairs not used for the fit is at most {ECE_BAR}, and the loss "
            "is no worse than that of raw scores.",
        )
    ],
    code_version="1",
    retry_policy=DATABASE_RETRIES,
)
def platt_parameters(config: PlattConfig, database: DatabaseResource) -> dg.MaterializeResult:
    """Slope and intercept of Platt scaling, fitted on raw scores and outcomes of equal age.

    The earlier pairs fit, the later ones judge. A fit is stored as a candidate; it takes effect
    only after `expected_calibration_error` has passed. Fewer than 150 pairs materialise nothing.
    """
    with nothing_made_with_reason():
        fitted = calibration.fit_calibration(
            database.get(),
            cast("InputMode", _one_of(config.input_mode, get_args(InputMode), "input_mode")),
            cast("Horizon", _one_of(config.horizon, HORIZONS, "horizon")),
        )
    record, verdict = fitted.record, fitted.verdict
    return dg.MaterializeResult(
        metadata={
            "version": record.version,
            "input_mode": record.input_mode,
            "horizon": record.horizon,
            "signals": record.signals,
            "model_version": record.model_version or "none",
            "slope": record.slope,
            "intercept": record.intercept,
            "ece": verdict.ece,
            "ece_raw": verdict.ece_raw,
            "n_fit": verdict.n_fit,
            "n_judge": verdict.n_judge,
            "reliability_diagram": score_reliability(fitted.reliability_raw, fitted.reliability),
            **simulated_label(is_simulated=record.is_simulated),
        },
        data_version=dg.DataVersion(record.version),
        check_results=[calibration_result(verdict)],
    )


def _one_of(text: str, allowed: tuple[str, ...], name: str) -> str:
    if text not in allowed:
        raise dg.Failure(
            f"{name} is {text}; it must be one of {', '.join(allowed)}.", allow_retries=False
        )
    return text


@dg.asset(
    group_name="calibration",
    kinds={"python", "postgres"},
    owners=MODELLING,
    deps=[platt_parameters],
    code_version="1",
    retry_policy=DATABASE_RETRIES,
)
def calibration_in_force(database: DatabaseResource) -> dg.MaterializeResult:
    """The fit that served scores go through. Activated only with its stored verdict.

    The former fit is kept as retired. A refused activation materialises nothing.
    """
    with nothing_made_with_reason():
        record = calibration.activate_latest(database.get())
    return dg.MaterializeResult(
        metadata={
            "version": record.version,
            "input_mode": record.input_mode,
            "horizon": record.horizon,
            **simulated_label(is_simulated=record.is_simulated),
        },
        data_version=dg.DataVersion(record.version),
    )
