"""What became of a post: one measured outcome for one analysis, judged by a model's reference."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from viral_platform.engine.contracts import Count, StrictModel
from viral_platform.engine.errors import NotEnoughDataError, RefusedRequestError
from viral_platform.engine.tiers import TierScale, weighted_engagement
from viral_platform.engine.training_rows import MATURITY_HOURS
from viral_platform.storage import analyses, models
from viral_platform.storage.calibration import Outcome, OutcomeOrigin, save_outcome
from viral_platform.storage.database import Database

_CLOCK_TOLERANCE = timedelta(hours=1)


class OutcomeReport(StrictModel):
    """Counts of a post, measured at `measured_at`, for the analysis that foretold it.

    `posted_at` is needed when the request did not carry it.
    """

    analysis_id: UUID
    views: Annotated[Count, Field(ge=1)]
    likes: Count
    comments: Count
    shares: Count
    saves: Count | None = None
    measured_at: AwareDatetime
    posted_at: AwareDatetime | None = None


@dataclass(frozen=True)
class OutcomesAdded:
    """How many reports were stored, and how many analyses had an outcome already."""

    added: int
    already_known: int


def judged_by(database: Database, version: str | None) -> tuple[str, TierScale]:
    """Return the model whose reference judges an outcome: the analysis's own, else the champion.

    Raises
    ------
    NotEnoughDataError
        No model was ever promoted.
    """
    record = models.get_model(database, version) if version else models.champion(database)
    if record is None:
        raise NotEnoughDataError(
            "Champion models, whose reference turns counts into a score",
            found=0,
            needed=1,
            fix="Promote one first: viral run retrain_ml.",
        )
    scale = record.sidecar["scale"]
    return record.version, TierScale(tuple(scale["cuts"]), tuple(scale["reference"]))


def add_outcome(
    database: Database, report: OutcomeReport, *, origin: OutcomeOrigin = "reported"
) -> bool:
    """Store one outcome; return False when the analysis has one already, which stays.

    `origin` tells whether a caller reported it or a crawl of ours has measured it.

    Raises
    ------
    NotFoundError
        There is no such analysis.
    RefusedRequestError
        The posting time is unknown, the post was not mature when measured, or it was measured
        before the prediction or in the future.
    """
    analysis = analyses.get_analysis(database, report.analysis_id)
    # Simulated posts live on the simulator's clock, and their analyses are made on ours.
    if not analysis.is_simulated:
        _require_measured_between(report, analysis.created_at, datetime.now(UTC))
    age_hours = _age_hours(report, analysis.posted_at)
    version, scale = judged_by(database, analysis.model_version)
    engagement = float(
        weighted_engagement(report.likes, report.comments, report.shares, float(report.views))
    )
    return save_outcome(
        database,
        Outcome(
            analysis_id=analysis.id,
            views=report.views,
            likes=report.likes,
            comments=report.comments,
            shares=report.shares,
            saves=report.saves,
            age_hours=age_hours,
            engagement=engagement,
            actual_score=float(scale.percentiles(engagement)),
            actual_tier=int(scale.tiers(engagement)),
            model_version=version,
            is_simulated=analysis.is_simulated,
            measured_at=report.measured_at,
            origin=origin,
        ),
    )


def _require_measured_between(report: OutcomeReport, predicted_at: datetime, now: datetime) -> None:
    if report.measured_at > now + _CLOCK_TOLERANCE:
        raise RefusedRequestError(
            "measured_in_the_future",
            f"Analysis {report.analysis_id}: measured_at is in the future.",
            "Give the time when the counts were read, with its zone.",
        )
    if report.measured_at <= predicted_at:
        raise RefusedRequestError(
            "measured_before_prediction",
            f"Analysis {report.analysis_id}: measured_at is not after the prediction of "
            f"{predicted_at.isoformat()}; an outcome known before it proves nothing.",
            "Give counts that were read afterwards.",
        )


def _age_hours(report: OutcomeReport, known: datetime | None) -> float:
    posted_at = report.posted_at or known
    if posted_at is None:
        raise RefusedRequestError(
            "posting_time_unknown",
            f"Analysis {report.analysis_id} has no posting time.",
            "Give posted_at with the outcome.",
        )
    age_hours = (report.measured_at - posted_at) / timedelta(hours=1)
    if not math.isfinite(age_hours) or age_hours < MATURITY_HOURS:
        raise RefusedRequestError(
            "measured_too_early",
            f"Analysis {report.analysis_id}: measured {age_hours:.0f} hours after posting, an "
            f"outcome counts from {MATURITY_HOURS:.0f} hours on.",
            "Measure again later.",
        )
    return age_hours


def add_outcomes(database: Database, reports: Iterable[OutcomeReport]) -> OutcomesAdded:
    """Store several outcomes.

    Raises
    ------
    NotFoundError, RefusedRequestError
        As `add_outcome`, for the first that does not fit; those before it stay.
    """
    added = known = 0
    for report in reports:
        if add_outcome(database, report):
            added += 1
        else:
            known += 1
    return OutcomesAdded(added, known)
