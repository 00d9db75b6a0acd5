"""How a tier model is judged: metrics with intervals, baselines, and the verdict.

Every figure comes with n; intervals are 95 % bootstrap intervals over authors. The verdict is a
pure function of the figures, stored with the model; promotion reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.metrics import cohen_kappa_score, confusion_matrix, precision_recall_fscore_support

from viral_platform.engine.contracts import HORIZONS, TIERS, Horizon, StrictModel
from viral_platform.engine.tier_model import INTERVAL_LEVEL, TierModel, TrainingRows
from viral_platform.engine.tiers import FloatArray, IntArray, class_shares, percentile_quantile

ACCURACY_BAR = 0.60
MISSION_ACCURACY = 0.75
RECALL_BAR = 0.50
MIN_TEST_ROWS = 50
_DRAWS, _DRAWS_AT_A_TIME = 2000, 50

Split = Literal["time", "authors", "panel"]


class Interval(StrictModel):
    """A figure with its 95 % bootstrap interval over authors."""

    value: float
    low: float
    high: float


class Baselines(StrictModel):
    """What the model has to beat. None where a baseline cannot be formed.

    `prior` always says the training part's tier shares, `creator_median` the tier of the
    creator's median rate, `persistence` the tier measured at the input snapshot. The latter two
    are judged on the rows where they are known, `n` of them, and the model's difference too.
    """

    prior_accuracy: float
    prior_rps: float
    creator_median_accuracy: Interval | None
    creator_median_n: int
    persistence_accuracy: Interval | None
    persistence_n: int


class HorizonVerdict(StrictModel):
    """Whether a horizon is served, with every reason against it."""

    served: bool
    reasons: list[str]


class HorizonReport(StrictModel):
    """Figures of one horizon on rows that the model has not seen.

    `rps` is the ranked probability score, 0 best. `rps_gain` is the prior's minus the model's.
    The differences to persistence and to the creator's median are on the rows that know them.
    """

    horizon: Horizon
    n: int
    n_authors: int
    accuracy: Interval
    rps: Interval
    rps_gain: Interval
    accuracy_over_persistence: Interval | None
    accuracy_over_creator_median: Interval | None
    quadratic_kappa: Annotated[
        float | None, Field(description="None where forecasts and outcomes are all of one tier")
    ]
    recall: dict[int, float]
    precision: dict[int, float]
    class_shares: dict[int, float]
    confusion: list[list[int]]
    interval_level: float
    interval_coverage: float
    reliability: list[tuple[float, float, int]]
    baselines: Baselines
    verdict: HorizonVerdict


class EvaluationReport(StrictModel):
    """A model judged on one split."""

    split: Split
    train_rows: int | None
    train_videos: int | None
    test_rows: int
    test_videos: int
    label_age_hours: Annotated[list[float], Field(description="5th, 50th, 95th percentile")]
    horizons: dict[Horizon, HorizonReport]
    promotable: bool
    reasons: list[str]


def ranked_probability_scores(probabilities: FloatArray, tiers: IntArray) -> FloatArray:
    """Return each row's ranked probability score, in [0, 1]; 0 is a sure and right forecast.

    Sum over the four inner borders of the squared gap between the cumulated forecast and the
    cumulated outcome, divided by four (Epstein 1969).
    """
    outcome = (np.asarray(tiers)[:, None] <= np.array(TIERS)[None, :]).astype(float)
    gaps = np.cumsum(probabilities, axis=1) - outcome
    return np.asarray((gaps[:, :-1] ** 2).mean(axis=1), dtype=float)


def _author_means(columns: FloatArray, authors: NDArray[np.str_], *, seed: int) -> FloatArray:
    """Return bootstrap means, shape (draws, m), of columns, shape (n, m), resampling authors."""
    _, numbers = np.unique(authors, return_inverse=True)
    n_authors = int(numbers.max()) + 1
    sums = np.zeros((n_authors, columns.shape[1]))
    np.add.at(sums, numbers, columns)
    counts = np.bincount(numbers, minlength=n_authors).astype(float)
    generator = np.random.default_rng(seed)
    even = np.full(n_authors, 1 / n_authors)
    parts = []
    # All draws at once would hold draws x authors numbers: gigabytes for 100,000 authors.
    for _ in range(_DRAWS // _DRAWS_AT_A_TIME):
        weights = generator.multinomial(n_authors, even, size=_DRAWS_AT_A_TIME)
        parts.append((weights @ sums) / (weights @ counts)[:, None])
    return np.concatenate(parts)


def _intervals(columns: FloatArray, authors: NDArray[np.str_]) -> list[Interval]:
    drawn = _author_means(columns, authors, seed=11)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    means = columns.mean(axis=0)
    return [
        Interval(value=float(v), low=float(a), high=float(b))
        for v, a, b in zip(means, low, high, strict=True)
    ]


def _reliability(probabilities: FloatArray, tiers: IntArray) -> list[tuple[float, float, int]]:
    """Return (mean forecast, observed share, n) of ten bins, all tiers pooled one against rest."""
    p = probabilities.ravel()
    y = (np.asarray(tiers)[:, None] == np.array(TIERS)[None, :]).ravel()
    numbers = np.minimum((p * 10).astype(int), 9)
    return [
        (float(p[inside].mean()), float(y[inside].mean()), int(inside.sum()))
        for inside in (numbers == number for number in range(10))
        if inside.any()
    ]


def verdict(
    horizon: Horizon,
    *,
    n: int,
    accuracy: float,
    rps_gain: Interval,
    over_persistence: Interval | None,
) -> HorizonVerdict:
    """Return whether a horizon may be served.

    Every horizon must beat the prior's ranked probability score by more than noise; `early` and
    `settled` must also reach the accuracy bar and not be worse than persistence beyond noise.
    """
    reasons = []
    if n < MIN_TEST_ROWS:
        reasons.append(f"{n} test rows, {MIN_TEST_ROWS} are needed")
    if rps_gain.low <= 0:
        reasons.append(
            f"gain over the prior {rps_gain.value:.4f} has a lower end of {rps_gain.low:.4f}, "
            "which is not above 0"
        )
    if horizon != "pre_publication":
        if accuracy < ACCURACY_BAR:
            reasons.append(f"accuracy {accuracy:.3f} < {ACCURACY_BAR}")
        if over_persistence is not None and over_persistence.high < 0:
            reasons.append(
                f"worse than persistence: difference {over_persistence.value:.3f}, "
                f"upper end {over_persistence.high:.3f}"
            )
    return HorizonVerdict(served=not reasons, reasons=reasons)


@dataclass(frozen=True)
class Judged:
    """Predictions beside what happened, aligned by row; several folds may be joined.

    Each row is judged by the cuts of the training part that its model was fitted on.
    `persistence` and `creator` are 1.0 or 0.0 for a right or wrong baseline, NaN without one.
    """

    probabilities: FloatArray
    tiers: IntArray
    percentiles: FloatArray
    prior: FloatArray
    persistence: FloatArray
    creator: FloatArray
    rows: TrainingRows

    def of(self, horizon: Horizon) -> Judged:
        """Return the rows of one horizon."""
        chosen = self.rows.horizon == horizon
        arrays = {
            name: getattr(self, name)[chosen]
            for name in self.__dataclass_fields__
            if name != "rows"
        }
        return Judged(**arrays, rows=self.rows.take(chosen))


def apply_model(model: TierModel, train: TrainingRows, test: TrainingRows) -> Judged:
    """Return the model's predictions on `test`, with the baselines that `train` gives."""
    tiers = model.scale.tiers(test.engagement)
    shares = class_shares(model.scale.tiers(train.engagement))
    prior = np.array([shares[tier] for tier in TIERS])
    return Judged(
        probabilities=model.probabilities(test.features),
        tiers=tiers,
        percentiles=model.scale.percentiles(test.engagement),
        prior=np.tile(prior, (len(test), 1)),
        persistence=_baseline_hits(model, test.input_engagement, tiers),
        creator=_baseline_hits(model, test.creator_engagement, tiers),
        rows=test,
    )


def join(parts: Sequence[Judged]) -> Judged:
    """Return several folds as one."""
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Judged.__dataclass_fields__
        if name != "rows"
    }
    rows = {
        name: np.concatenate([getattr(part.rows, name) for part in parts])
        for name in TrainingRows.columns()
    }
    return Judged(**arrays, rows=TrainingRows(**rows))


def _baseline_hits(model: TierModel, rate: FloatArray, tiers: IntArray) -> FloatArray:
    hits = np.full(len(rate), np.nan)
    known = ~np.isnan(rate)
    hits[known] = model.scale.tiers(rate[known]) == tiers[known]
    return hits


def _beside(
    baseline: FloatArray, hits: FloatArray, authors: NDArray[np.str_]
) -> tuple[Interval | None, Interval | None, int]:
    """Return a baseline's accuracy, the model's minus it, and n, on the rows that know it."""
    known = ~np.isnan(baseline)
    if not known.any():
        return None, None, 0
    same = baseline[known]
    accuracy, over = _intervals(np.column_stack([same, hits[known] - same]), authors[known])
    return accuracy, over, int(known.sum())


def _quadratic_kappa(tiers: IntArray, guesses: IntArray) -> float | None:
    if len(np.unique(np.concatenate([tiers, guesses]))) == 1:
        return None
    return float(cohen_kappa_score(tiers, guesses, labels=list(TIERS), weights="quadratic"))


def judge_horizon(judged: Judged, horizon: Horizon) -> HorizonReport:
    """Return the figures of one horizon; `judged` holds that horizon alone."""
    tiers, authors = judged.tiers, judged.rows.author
    guesses = judged.probabilities.argmax(axis=1) + 1
    hits = (guesses == tiers).astype(float)
    rps = ranked_probability_scores(judged.probabilities, tiers)
    prior_rps = ranked_probability_scores(judged.prior, tiers)
    accuracy, rps_mean, gain = _intervals(np.column_stack([hits, rps, prior_rps - rps]), authors)
    persistence, over_persistence, persistence_n = _beside(judged.persistence, hits, authors)
    creator, over_creator, creator_n = _beside(judged.creator, hits, authors)
    precision, recall, _, _ = precision_recall_fscore_support(
        tiers, guesses, labels=list(TIERS), zero_division=0
    )
    tail = (1 - INTERVAL_LEVEL) / 2
    inside = (percentile_quantile(judged.probabilities, tail) <= judged.percentiles) & (
        judged.percentiles <= percentile_quantile(judged.probabilities, 1 - tail)
    )
    return HorizonReport(
        horizon=horizon,
        n=len(tiers),
        n_authors=len(np.unique(authors)),
        accuracy=accuracy,
        rps=rps_mean,
        rps_gain=gain,
        accuracy_over_persistence=over_persistence,
        accuracy_over_creator_median=over_creator,
        quadratic_kappa=_quadratic_kappa(tiers, guesses),
        recall=dict(zip(TIERS, recall.tolist(), strict=True)),
        precision=dict(zip(TIERS, precision.tolist(), strict=True)),
        class_shares=class_shares(tiers),
        confusion=confusion_matrix(tiers, guesses, labels=list(TIERS)).tolist(),
        interval_level=INTERVAL_LEVEL,
        interval_coverage=float(inside.mean()),
        reliability=_reliability(judged.probabilities, tiers),
        baselines=Baselines(
            prior_accuracy=float((tiers == judged.prior.argmax(axis=1) + 1).mean()),
            prior_rps=float(prior_rps.mean()),
            creator_median_accuracy=creator,
            creator_median_n=creator_n,
            persistence_accuracy=persistence,
            persistence_n=persistence_n,
        ),
        verdict=verdict(
            horizon,
            n=len(tiers),
            accuracy=accuracy.value,
            rps_gain=gain,
            over_persistence=over_persistence,
        ),
    )


def report(judged: Judged, *, split: Split, train: TrainingRows | None) -> EvaluationReport:
    """Return the report of predictions on rows that their models have not seen.

    `train` is the one training part behind them, None when folds were joined.
    """
    horizons = {
        horizon: judge_horizon(judged.of(horizon), horizon)
        for horizon in HORIZONS
        if (judged.rows.horizon == horizon).any()
    }
    reasons = promotion_reasons(horizons)
    return EvaluationReport(
        split=split,
        train_rows=None if train is None else len(train),
        train_videos=None if train is None else train.videos,
        test_rows=len(judged.rows),
        test_videos=judged.rows.videos,
        label_age_hours=np.quantile(judged.rows.label_age_hours, [0.05, 0.5, 0.95]).tolist(),
        horizons=horizons,
        promotable=not reasons,
        reasons=reasons,
    )


def promotion_reasons(reports: dict[Horizon, HorizonReport]) -> list[str]:
    """Return what forbids promotion: the settled horizon must have been judged and served."""
    settled = reports.get("settled")
    if settled is None:
        return ["no test row of 72 hours and more: the settled horizon was not judged"]
    return [f"settled: {reason}" for reason in settled.verdict.reasons]
