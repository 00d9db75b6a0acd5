"""A panel: two crawls of the same videos, read from files, to judge a model or its fitting.

The second file may be a crawl of its own, or the derived panel that gives views at both crawls
and hourly growth of the other counts; derived counts serve evaluation only and are never stored.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TextIO

import numpy as np

from viral_platform.engine import splits
from viral_platform.engine.contracts import VideoFacts
from viral_platform.engine.errors import NotEnoughDataError, UnreadableFileError
from viral_platform.engine.evaluation import EvaluationReport, apply_model, report
from viral_platform.engine.normalize import known_duration
from viral_platform.engine.tier_model import TrainingRows
from viral_platform.engine.training_rows import CrawledCounts, VideoHistory, build_rows
from viral_platform.services.ingestion import VideoRow, read_rows
from viral_platform.services.training import load_model, load_training_rows
from viral_platform.storage import models
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database

OTHER_ZONE = "UTC"

_DERIVED_COLUMNS = frozenset({"vid_id", "current_views", "like_growth_per_hour", "time_diff_hours"})
_UNREADABLE = (OSError, EOFError, csv.Error, ValueError, TypeError, LookupError, ArithmeticError)


def read_panel(first: Path, second: Path, *, crawl_zone: str | None = None) -> TrainingRows:
    """Return the rows of videos that both crawls hold.

    Raises
    ------
    UnreadableFileError
        A file cannot be read.
    NotEnoughDataError
        No video is in both with a mature second crawl.
    """
    histories: dict[str, VideoHistory] = {}
    for row in read_rows(first, crawl_zone=crawl_zone):
        histories[row.platform_video_id] = VideoHistory(
            video_id=row.platform_video_id,
            author=row.author_handle or row.platform_video_id,
            video=VideoFacts(
                row.caption,
                row.hashtags,
                known_duration(row.duration_seconds, row.caption),
                row.posted_at,
                row.sound_is_original,
            ),
            crawls=(_counts(row),),
        )
    derived = _derived_columns(second)
    later = (
        _derived(second, histories)
        if derived
        else (
            (row.platform_video_id, _counts(row))
            for row in read_rows(second, crawl_zone=crawl_zone)
        )
    )
    for video_id, counts in later:
        if video_id in histories:
            known = histories[video_id]
            histories[video_id] = replace(known, crawls=(*known.crawls, counts))
    rows = build_rows(list(histories.values()))
    if not len(rows):
        raise NotEnoughDataError(
            f"Videos in both {first.name} and {second.name}, mature at the second crawl",
            found=0,
            needed=1,
            fix="Give two crawls of the same videos, the earlier one first.",
        )
    return rows


def _counts(row: VideoRow) -> CrawledCounts:
    return CrawledCounts(
        row.crawled_at,
        row.views,
        row.likes,
        row.comments,
        row.shares,
        row.saves,
        row.author_followers,
    )


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _derived_columns(path: Path) -> bool:
    """Return whether a file is the derived panel, by its header."""
    try:
        with _open(path) as lines:
            return set(next(csv.reader(lines), [])) >= _DERIVED_COLUMNS
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UnreadableFileError(path, "its header", "it cannot be read", "Check it.") from error


def _derived(path: Path, histories: dict[str, VideoHistory]) -> Iterator[tuple[str, CrawledCounts]]:
    """Yield the second crawl's counts: the first crawl's plus hourly growth times the hours.

    Ids lost their last digits as floats, so they are joined on the rounded id; a rounded id that
    fits several videos is passed over.

    Raises
    ------
    UnreadableFileError
        A line lacks a figure.
    """
    by_rounded: dict[float, list[str]] = {}
    for video_id in histories:
        by_rounded.setdefault(float(video_id), []).append(video_id)
    with _open(path) as lines:
        reader = csv.DictReader(lines)
        try:
            for row in reader:
                candidates = by_rounded.get(float(row["vid_id"]), [])
                if len(candidates) == 1:
                    yield candidates[0], _grown(row, histories[candidates[0]].crawls[0])
        except _UNREADABLE as error:
            raise UnreadableFileError(
                path,
                f"line {reader.line_num}",
                "a figure is missing or is no number",
                "Correct or remove the line.",
            ) from error


def _grown(row: dict[str, str], first: CrawledCounts) -> CrawledCounts:
    hours = float(row["time_diff_hours"])

    def later(count: int | None, kind: str) -> int | None:
        growth = row[f"{kind}_growth_per_hour"]
        if count is None or not growth:
            return None
        return max(0, round(count + float(growth) * hours))

    return CrawledCounts(
        crawled_at=first.crawled_at + timedelta(hours=hours),
        views=int(float(row["current_views"])) if row["current_views"] else None,
        likes=later(first.likes, "like"),
        comments=later(first.comments, "comment"),
        shares=later(first.shares, "share"),
        saves=None,
        author_followers=None,
    )


def other_zone_rows(first: Path, second: Path, assumed: TrainingRows) -> TrainingRows | None:
    """Return the panel read with crawl times in UTC, None when their zone was not assumed.

    A source that states no zone is read in the zone that its column map names; a figure that
    moves with it has to be shown.
    """
    in_utc = read_panel(first, second, crawl_zone=OTHER_ZONE)
    same = len(in_utc) == len(assumed) and np.array_equal(
        in_utc.label_age_hours, assumed.label_age_hours
    )
    return None if same else in_utc


def judge_procedure(rows: TrainingRows) -> list[EvaluationReport]:
    """Return the whole fitting procedure judged by author groups and by time on `rows` alone."""
    _, by_time = splits.judge_by_time(rows)
    return [splits.judge_by_authors(rows), by_time]


def judge_champion(
    database: Database, artifacts: ArtifactStore, rows: TrainingRows
) -> list[EvaluationReport]:
    """Return the champion judged on a panel, without the authors that it was trained on.

    Raises
    ------
    NotEnoughDataError
        There is no champion, or it has seen every author of the panel.
    """
    record = models.champion(database)
    if record is None:
        raise NotEnoughDataError(
            "Champion models", found=0, needed=1, fix="Train one: viral run retrain_ml."
        )
    train, _ = splits.split_by_time(load_training_rows(record.data_sha256, artifacts))
    unseen = rows.take(~np.isin(rows.author, train.author))
    if not len(unseen):
        raise NotEnoughDataError(
            "Videos of the panel whose authors the champion was not trained on",
            found=0,
            needed=1,
            fix="Use --refit to judge the fitting procedure by cross-validation.",
        )
    model = load_model(record, artifacts)
    return [report(apply_model(model, train, unseen), split="panel", train=train)]
