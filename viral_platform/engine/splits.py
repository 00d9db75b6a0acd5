"""Splits by time and by author, and the whole fitting procedure judged on them."""

from __future__ import annotations

import zlib

import numpy as np
from sklearn.model_selection import GroupKFold

from viral_platform.engine.errors import NotEnoughDataError
from viral_platform.engine.evaluation import EvaluationReport, apply_model, join, report
from viral_platform.engine.tier_model import TierModel, TrainingRows, fit

TEST_SHARE = 0.25
RETURNING_JUDGED_ONE_IN = 3
AUTHOR_FOLDS = 5


def _is_judged(author: str) -> bool:
    """Return whether a creator who posts in both parts belongs to the test part: one in three.

    By a checksum of the name, so that a later training set keeps the creator on the same side.
    """
    return zlib.crc32(author.encode()) % RETURNING_JUDGED_ONE_IN == 0


def split_by_time(rows: TrainingRows) -> tuple[TrainingRows, TrainingRows]:
    """Return (train, test): the last quarter of videos by posting time, with authors kept apart.

    Of the authors who post in both parts one in three is judged: their earlier rows leave the
    training part; the later rows of the others leave the test part. All rows of a video lie on
    one side. Taking every judged author out of the training part would cost it two thirds of its
    rows on a feed that follows creators.
    """
    _, first = np.unique(rows.video_id, return_index=True)
    border = np.sort(rows.posted_at[first])[int(len(first) * (1 - TEST_SHARE))]
    later = rows.posted_at >= border
    names, numbers = np.unique(rows.author, return_inverse=True)
    returning = np.isin(names, rows.author[later]) & np.isin(names, rows.author[~later])
    judged = np.array([_is_judged(str(name)) for name in names])
    return (
        rows.take(~later & ~(returning & judged)[numbers]),
        rows.take(later & (~returning | judged)[numbers]),
    )


def judge_by_time(rows: TrainingRows) -> tuple[TierModel, EvaluationReport]:
    """Return the model fitted on the earlier part and its report on the later part.

    Raises
    ------
    NotEnoughDataError
        The earlier part cannot make a model, or the later part holds no row to judge it by.
    """
    train, test = split_by_time(rows)
    if not len(test):
        raise NotEnoughDataError(
            "Rows of the test part", found=0, needed=1, fix="Import posts of further creators."
        )
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
