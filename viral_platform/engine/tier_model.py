"""The tier model: fit, predict, explain, and the sidecar that travels with it.

One XGBoost classifier of five tiers, trained on rows of all horizons. How it is judged is in
`evaluation.py`; where it is stored does not belong here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from viral_platform.engine.aggregate import round_half_up
from viral_platform.engine.contracts import TIERS, Attribution, Horizon, MlResult, ScoreInterval
from viral_platform.engine.errors import InputError, NotEnoughDataError
from viral_platform.engine.features import FEATURE_NAMES, FEATURES_VERSION
from viral_platform.engine.tiers import (
    MIDPOINTS,
    FloatArray,
    IntArray,
    TierScale,
    expected_score,
    fit_scale,
    percentile_of_one,
)

INTERVAL_LEVEL = 0.8
MIN_TRAIN_VIDEOS = 300
# Chosen by author-grouped cross-validation; nthread is fixed since the model's bytes depend on it.
PARAMETERS: dict[str, object] = {
    "objective": "multi:softprob",
    "num_class": len(TIERS),
    "eta": 0.06,
    "max_depth": 4,
    "min_child_weight": 3,
    "subsample": 0.8,
    "colsample_bytree": 1.0,
    "lambda": 2.0,
    "tree_method": "hist",
    "nthread": 1,
    "seed": 7,
}
ROUNDS = 80


@dataclass(frozen=True)
class TrainingRows:
    """Rows of one training set, aligned by position.

    Attributes
    ----------
    features : float32, shape (n, k)
        Vectors of `features.feature_vector`.
    engagement : float, shape (n,)
        Weighted engagement at maturity, from a later crawl than any input. No NaN.
    input_engagement : float, shape (n,)
        The same rate at the input snapshot, NaN before publication: persistence.
    creator_engagement : float, shape (n,)
        Median rate of the creator's earlier posts, NaN when none is known.
    horizon, author, video_id : str, shape (n,)
    posted_at : datetime64[us], shape (n,)
    label_age_hours : float, shape (n,)
    """

    features: NDArray[np.float32]
    engagement: FloatArray
    input_engagement: FloatArray
    creator_engagement: FloatArray
    horizon: NDArray[np.str_]
    author: NDArray[np.str_]
    video_id: NDArray[np.str_]
    posted_at: NDArray[np.datetime64]
    label_age_hours: FloatArray

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.engagement)

    def take(self, chosen: NDArray[np.bool_] | IntArray) -> TrainingRows:
        """Return the chosen rows."""
        return TrainingRows(**{name: getattr(self, name)[chosen] for name in self.columns()})

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Return the names of the aligned columns."""
        return tuple(cls.__dataclass_fields__)

    @property
    def videos(self) -> int:
        """Number of distinct videos; a video has a row for each horizon it was seen at."""
        return len(np.unique(self.video_id))


@dataclass(frozen=True)
class TierModel:
    """A fitted model with what it needs to be served.

    `served` maps each horizon that passed its verdict to True; a horizon that failed maps to
    False and one that was never judged is absent.
    """

    booster: xgb.Booster
    scale: TierScale
    version: str = "unsaved"
    served: dict[Horizon, bool] = field(default_factory=dict)
    feature_names: tuple[str, ...] = FEATURE_NAMES
    features_version: str = FEATURES_VERSION

    def probabilities(self, features: NDArray[np.float32]) -> FloatArray:
        """Return tier probabilities, shape (n, 5), of feature rows, shape (n, k)."""
        raw = self.booster.inplace_predict(np.atleast_2d(features), validate_features=False)
        return np.asarray(raw, dtype=float).reshape(-1, len(TIERS))

    def predict(self, vector: NDArray[np.float32], horizon: Horizon) -> MlResult:
        """Return the model's answer for one post; withheld where the horizon earned no trust."""
        if not self.served.get(horizon, False):
            state = "failed its evaluation" if horizon in self.served else "was never evaluated"
            return MlResult(
                horizon=horizon,
                ml_score=None,
                tier_probabilities=None,
                interval=None,
                model_version=self.version,
                withheld_reason=f"horizon {horizon} of model {self.version} {state}",
            )
        probabilities = self.probabilities(vector)
        one = probabilities[0].tolist()
        tail = (1 - INTERVAL_LEVEL) / 2
        return MlResult(
            horizon=horizon,
            ml_score=round_half_up(expected_score(one), 1),
            tier_probabilities=None
            if horizon == "pre_publication"
            else dict(zip(TIERS, one, strict=True)),
            interval=ScoreInterval(
                low=round_half_up(percentile_of_one(one, tail), 1),
                high=round_half_up(percentile_of_one(one, 1 - tail), 1),
                level=INTERVAL_LEVEL,
            ),
            model_version=self.version,
        )

    def to_bytes(self) -> bytes:
        """Return the booster as UBJ; the sidecar is stored apart."""
        return bytes(self.booster.save_raw("ubj"))


def load_booster(data: bytes, feature_names: tuple[str, ...], features_version: str) -> xgb.Booster:
    """Return the booster stored by `TierModel.to_bytes`.

    Raises
    ------
    InputError
        The model was trained on other features than this code builds, or on the same names
        with another meaning.
    """
    if (feature_names, features_version) != (FEATURE_NAMES, FEATURES_VERSION):
        raise InputError(
            "The stored model was trained on other features than this version builds. "
            "Train again: viral run retrain_ml."
        )
    booster = xgb.Booster()
    booster.load_model(bytearray(data))
    booster.set_param({"nthread": 1})
    return booster


def _scale(rows: TrainingRows) -> TierScale:
    """Return the scale of one label per video: those seen at more horizons weigh no more."""
    _, first = np.unique(rows.video_id, return_index=True)
    return fit_scale(rows.engagement[first])


def require_trainable(rows: TrainingRows) -> None:
    """Raise `NotEnoughDataError` when rows cannot make a model: too few, or one tier missing."""
    if rows.videos < MIN_TRAIN_VIDEOS:
        raise NotEnoughDataError(
            "Videos with an input crawl and a later mature crawl in the training part",
            found=rows.videos,
            needed=MIN_TRAIN_VIDEOS,
            fix="Import further crawls of the same videos.",
        )
    missing = set(TIERS) - set(_scale(rows).tiers(rows.engagement).tolist())
    if missing:
        raise NotEnoughDataError(
            f"Tiers present in the training part (missing: {sorted(missing)})",
            found=len(TIERS) - len(missing),
            needed=len(TIERS),
            fix="The engagement rates do not differ enough to cut them into five tiers.",
        )


def fit(rows: TrainingRows) -> TierModel:
    """Return a model fitted on `rows`, with the cuts and reference of these rows alone.

    Rows are weighted so that each horizon counts as much as the others.

    Raises
    ------
    NotEnoughDataError
        As `require_trainable`.
    """
    require_trainable(rows)
    scale = _scale(rows)
    names, numbers = np.unique(rows.horizon, return_inverse=True)
    weights = len(rows) / (len(names) * np.bincount(numbers))
    data = xgb.DMatrix(
        rows.features,
        label=scale.tiers(rows.engagement) - 1,
        weight=weights[numbers],
        nthread=1,
    )
    booster = xgb.train(PARAMETERS, data, num_boost_round=ROUNDS)
    return TierModel(booster=booster, scale=scale)


def contributions(model: TierModel, features: NDArray[np.float32]) -> dict[str, float]:
    """Return the mean absolute contribution of each feature over rows, in log-odds."""
    data = xgb.DMatrix(features, nthread=1)
    shap = np.asarray(model.booster.predict(data, pred_contribs=True))
    mean = np.abs(shap[..., :-1]).mean(axis=tuple(range(shap.ndim - 1)))
    return dict(zip(model.feature_names, mean.astype(float).tolist(), strict=True))


def attributions(model: TierModel, vector: NDArray[np.float32]) -> list[Attribution]:
    """Return what each feature adds to the score of one post, the strongest first.

    In points of `ml_score`, to first order: a feature's contributions to the log-odds of the
    tiers (`pred_contribs`, shape (1, 5, k + 1)) times the slope of the expected score in them,
    p(tier) x (midpoint - score). They add up only as far as the score is linear.
    """
    row = np.atleast_2d(vector)
    shap = np.asarray(model.booster.predict(xgb.DMatrix(row, nthread=1), pred_contribs=True))
    chances = model.probabilities(row)[0]
    slopes = chances * (np.array(MIDPOINTS) - expected_score(chances.tolist()))
    points = slopes @ shap.reshape(len(TIERS), -1)[:, :-1]
    values = [None if np.isnan(value) else float(value) for value in row[0]]
    found = [
        Attribution(feature=name, value=value, points=round_half_up(float(point), 2))
        for name, value, point in zip(model.feature_names, values, points, strict=True)
    ]
    return sorted(found, key=lambda one: -abs(one.points))
