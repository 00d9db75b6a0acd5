"""Calibration of served scores: reliability, ECE, Platt scaling, and the verdict on a fit.

Scores and outcomes are shares in [0, 1] here (score / 100). Where pairs come from and where a
fit is stored does not belong here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from viral_platform.engine.errors import CalibrationInputError, NotEnoughDataError
from viral_platform.engine.tiers import FloatArray

ECE_BAR = 0.15
MIN_FIT_PAIRS = 50
# At 50 pairs a perfectly calibrated forecaster fails the bar in 38 % of draws, at 100 in 4 %.
MIN_JUDGE_PAIRS = 100
FIT_SHARE = 0.4
# Scores of 0 and 100 have no finite logit.
_EDGE = 0.005
_TOLERANCE = 1e-8
_MAX_STEPS = 100
_RIDGE = 1e-9
_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bin of the reliability diagram; means are None when it is empty."""

    low: float
    high: float
    count: int
    mean_predicted: float | None
    mean_observed: float | None


@dataclass(frozen=True, slots=True)
class PlattFit:
    """p = sigmoid(slope x logit(score) + intercept). Identity is slope 1, intercept 0."""

    slope: float
    intercept: float

    def apply(self, scores: ArrayLike) -> FloatArray:
        """Return calibrated shares of raw shares in [0, 1]."""
        return np.asarray(expit(self.slope * _logits(scores) + self.intercept), dtype=float)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fit and what it holds for: one mix of signals ("ml+rules+trends") of one model.

    A fit that lifts scores which rules and trends pull down would lift a score of the model alone
    far beyond it.
    """

    fit: PlattFit
    signals: str
    model_version: str | None


IDENTITY = PlattFit(slope=1.0, intercept=0.0)


@dataclass(frozen=True, slots=True)
class CalibrationVerdict:
    """Whether a fit may take effect, and the figures that decide it.

    ECE figures are on the `n_judge` pairs that the fit has not seen; `ece_low` and `ece_high`
    bound the fitted ECE by a 95 % bootstrap interval.
    """

    applied: bool
    reason: str
    n_fit: int
    n_judge: int
    ece_raw: float
    ece: float
    ece_low: float
    ece_high: float
    loss_raw: float
    loss: float

    def as_dict(self) -> dict[str, object]:
        """Return the figures as plain values."""
        return asdict(self)


def _checked(predicted: ArrayLike, observed: ArrayLike) -> tuple[FloatArray, FloatArray]:
    p, y = np.asarray(predicted, dtype=float), np.asarray(observed, dtype=float)
    if p.shape != y.shape or p.ndim != 1 or p.size == 0:
        raise CalibrationInputError(
            f"Predictions and outcomes must be lists of one length, got {p.shape} and {y.shape}."
        )
    for name, values in (("prediction", p), ("outcome", y)):
        bad = np.flatnonzero(~((values >= 0) & (values <= 1)))
        if bad.size:
            raise CalibrationInputError(
                f"The {name} of row {bad[0]} is {values[bad[0]]}; it must be a share from 0 to 1."
            )
    return p, y


def _bin_numbers(p: FloatArray, n_bins: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return each prediction's bin: borders belong to the upper bin, 1.0 to the last."""
    borders = np.arange(1, n_bins) / n_bins
    return np.searchsorted(borders, p, side="right").astype(np.int64)


def reliability_bins(
    predicted: ArrayLike, observed: ArrayLike, *, n_bins: int = 10
) -> list[ReliabilityBin]:
    """Return the equal-width bins of the reliability diagram over [0, 1]."""
    p, y = _checked(predicted, observed)
    numbers = _bin_numbers(p, n_bins)
    bins = []
    for number in range(n_bins):
        inside = numbers == number
        count = int(inside.sum())
        bins.append(
            ReliabilityBin(
                low=number / n_bins,
                high=(number + 1) / n_bins,
                count=count,
                mean_predicted=float(p[inside].mean()) if count else None,
                mean_observed=float(y[inside].mean()) if count else None,
            )
        )
    return bins


def expected_calibration_error(
    predicted: ArrayLike, observed: ArrayLike, *, n_bins: int = 10
) -> float:
    """Return the expected calibration error (ECE) of predicted shares.

    Bins are of equal width over [0, 1]; 1.0 falls into the last one. Each bin adds its share of
    rows times |mean prediction - mean outcome|.

    Parameters
    ----------
    predicted : array-like of float, shape (n,)
        Score / 100 as served, in [0, 1].
    observed : array-like of float, shape (n,)
        Outcome in [0, 1], judged at the same age for every row.
    n_bins : int, default 10
        At least 1.

    Returns
    -------
    float
        In [0, 1]; 0 is perfect. Biased upwards for small n: show it with n and an interval.

    Raises
    ------
    CalibrationInputError
        Empty or unequal lengths, a NaN, or a value out of range; names the first row.

    References
    ----------
    Naeini, Cooper, Hauskrecht (2015), "Obtaining Well Calibrated Probabilities Using Bayesian
    Binning", AAAI.

    Examples
    --------
    >>> round(expected_calibration_error([0.1, 0.1, 0.9, 0.9], [0, 0, 1, 1]), 3)
    0.1
    """
    p, y = _checked(predicted, observed)
    numbers = _bin_numbers(p, n_bins)
    gaps = np.bincount(numbers, weights=p - y, minlength=n_bins)
    return float(np.abs(gaps).sum() / p.size)


def _logits(scores: ArrayLike) -> FloatArray:
    return np.asarray(logit(np.clip(np.asarray(scores, dtype=float), _EDGE, 1 - _EDGE)))


def log_loss(fit: PlattFit, scores: ArrayLike, observed: ArrayLike) -> float:
    """Return the mean negative log likelihood of outcomes in [0, 1] under a fit."""
    p, y = _checked(scores, observed)
    z = fit.slope * _logits(p) + fit.intercept
    return float(np.mean(np.logaddexp(0.0, z) - y * z))


def fit_platt(scores: ArrayLike, observed: ArrayLike) -> PlattFit:
    """Return the slope and intercept that minimise the negative log likelihood.

    Newton's method with step halving on two parameters; targets may be soft. The logit of the
    score is the input, so that identity is among the candidates.

    Raises
    ------
    NotEnoughDataError
        Fewer than 50 pairs.
    CalibrationInputError
        As `expected_calibration_error`.

    References
    ----------
    Platt (1999), "Probabilistic Outputs for Support Vector Machines"; Lin, Lin, Weng (2007),
    "A Note on Platt's Probabilistic Outputs for Support Vector Machines".
    """
    p, y = _checked(scores, observed)
    if p.size < MIN_FIT_PAIRS:
        raise NotEnoughDataError(
            "Platt scaling", found=p.size, needed=MIN_FIT_PAIRS, fix="Report more outcomes."
        )
    x = _logits(p)
    design = np.column_stack([x, np.ones_like(x)])
    theta = np.array([1.0, 0.0])
    loss = log_loss(PlattFit(*theta), p, y)
    for _ in range(_MAX_STEPS):
        q = expit(design @ theta)
        gradient = design.T @ (q - y) / p.size
        if np.abs(gradient).max() < _TOLERANCE:
            break
        hessian = (design * (q * (1 - q))[:, None]).T @ design / p.size
        step = np.linalg.solve(hessian + _RIDGE * np.eye(2), gradient)
        scale = 1.0
        while scale > _TOLERANCE:
            candidate = theta - scale * step
            new_loss = log_loss(PlattFit(*candidate), p, y)
            if new_loss <= loss:
                theta, loss = candidate, new_loss
                break
            scale /= 2
        else:
            break
    return PlattFit(slope=float(theta[0]), intercept=float(theta[1]))


def split_pairs(n: int) -> int:
    """Return how many of `n` pairs, the earliest ones, the fit gets; the rest judge it.

    Raises
    ------
    NotEnoughDataError
        Fewer than 50 + 100 pairs.
    """
    needed = MIN_FIT_PAIRS + MIN_JUDGE_PAIRS
    if n < needed:
        raise NotEnoughDataError(
            "Outcome pairs for a fit and its judgement",
            found=n,
            needed=needed,
            fix="Report more outcomes.",
        )
    return max(MIN_FIT_PAIRS, min(int(n * FIT_SHARE), n - MIN_JUDGE_PAIRS))


def judge(
    fit: PlattFit, scores: ArrayLike, observed: ArrayLike, *, n_fit: int, seed: int = 0
) -> CalibrationVerdict:
    """Return the verdict on a fit from pairs that it has not seen.

    It may take effect when its ECE is at most 0.15 and its loss is no worse than that of the
    raw scores, on at least 100 pairs.
    """
    p, y = _checked(scores, observed)
    fitted = fit.apply(p)
    ece = expected_calibration_error(fitted, y)
    generator = np.random.default_rng(seed)
    draws = (generator.integers(0, p.size, size=p.size) for _ in range(_DRAWS))
    spread = [expected_calibration_error(fitted[draw], y[draw]) for draw in draws]
    low, high = np.quantile(spread, [0.025, 0.975])
    loss, loss_raw = log_loss(fit, p, y), log_loss(IDENTITY, p, y)
    if p.size < MIN_JUDGE_PAIRS:
        reason = f"judged on {p.size} pairs, {MIN_JUDGE_PAIRS} are needed"
    elif ece > ECE_BAR:
        reason = f"ECE {ece:.3f} > {ECE_BAR} on {p.size} held-out pairs"
    elif loss > loss_raw:
        reason = f"loss {loss:.4f} is worse than {loss_raw:.4f} of the raw scores"
    elif fit.slope <= 0:
        reason = f"slope {fit.slope:.3f} would turn the order of scores around"
    else:
        reason = ""
    return CalibrationVerdict(
        applied=not reason,
        reason=reason or f"ECE {ece:.3f} <= {ECE_BAR} on {p.size} held-out pairs",
        n_fit=n_fit,
        n_judge=int(p.size),
        ece_raw=expected_calibration_error(p, y),
        ece=ece,
        ece_low=float(low),
        ece_high=float(high),
        loss_raw=loss_raw,
        loss=loss,
    )
