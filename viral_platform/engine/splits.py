"""Splits by time and by author, and the whole fitting procedure judged on them."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import GroupKFold

from viral_platform.engine.errors import NotEnoughDataError
from viral_platform.engine.evaluation import EvaluationReport, apply_model, join, report
from viral_platform.engine.tier_model import TierModel, TrainingRows, fit

TEST_SHARE = 0.25
AUTHOR_FOLDS = 5


def split_by_time(rows: TrainingRows) -> tuple[TrainingRows, TrainingRows]:
    """Return (train, test): the last quarter of videos by posting time is the test part.

    Authors of the test part are taken out of the training part, so that no creator is on both
    sides; all rows of a video lie on one side.
    """
    _, first = np.unique(rows.video_id, return_index=True)
    border = np.sort(rows.posted_at[first])[int(len(first) * (1 - TEST_SHARE))]
    later = rows.posted_at >= border
    shared = np.isin(rows.author, np.unique(rows.author[later]))
    return rows.take(~later & ~shared), rows.take(later)


def judge_by_time(rows: TrainingRows) -> tuple[TierModel, EvaluationReport]:
    """Return the model fitted on the earlier part and its report on the later part.

    Raises
    ------
    NotEnoughDataError
        The earlier part cannot make a model.
    """
    train, test = split_by_time(rows)
    model = fit(train)
    return model, report(apply_model(model, train, test), split="time", train=train)


def judge_by_authors(rows: TrainingRows) -> EvaluationReport:
    """Return the report of five folds in which no author is on both sides, joined.

    Raises
    ------
    NotEnoughDataError
        There are fewer authors than folds, or a fold's training part cannot make a model.
    """
    authors = len(np.unique(rows.author))
    if authors < AUTHOR_FOLDS:
        raise NotEnoughDataError(
            "Authors for folds without a common one",
            found=authors,
            needed=AUTHOR_FOLDS,
            fix="Import videos of further creators.",
        )
    parts = []
    for train_at, test_at in GroupKFold(AUTHOR_FOLDS).split(rows.features, groups=rows.author):
        train, test = rows.take(train_at), rows.take(test_at)
        parts.append(apply_model(fit(train), train, test))
    return report(join(parts), split="authors", train=None)
