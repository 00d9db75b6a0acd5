"""Asset checks of model, calibration and spend: what must hold, the bar, the evidence.

A failed blocking check of severity ERROR stops what follows within one run. The gate itself is
`promote()` and `activate()`, which read the stored verdict; a check shows it to the operator.
"""

from collections.abc import Sequence

import dagster as dg

from viral_platform.defs.common import DATABASE_RETRIES
from viral_platform.defs.resources import DatabaseResource
from viral_platform.engine.calibration import (
    ECE_BAR,
    MIN_FIT_PAIRS,
    MIN_JUDGE_PAIRS,
    CalibrationVerdict,
)
from viral_platform.engine.evaluation import (
    ACCURACY_BAR,
    MISSION_ACCURACY,
    RECALL_BAR,
    EvaluationReport,
    HorizonReport,
)
from viral_platform.services import costs
from viral_platform.services.calibration import count_pairs
from viral_platform.services.freshness import WITHOUT_GAP_BAR, crawl_coverage
from viral_platform.services.training import Parity
from viral_platform.settings import load_settings
from viral_platform.storage import crawls

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR

TIER_MODEL_CHECKS = [
    dg.AssetCheckSpec(
        "test_accuracy",
        asset="tier_model",
        blocking=True,
        description=f"Accuracy of the settled horizon on the test part is at least {ACCURACY_BAR}.",
    ),
    dg.AssetCheckSpec(
        "every_tier_recall",
        asset="tier_model",
        description=f"Settled horizon: the recall of each tier is above {RECALL_BAR}.",
    ),
    dg.AssetCheckSpec(
        "mission_accuracy",
        asset="tier_model",
        description=f"Settled horizon: accuracy is above {MISSION_ACCURACY}.",
    ),
    dg.AssetCheckSpec(
        "skill_over_baseline",
        asset="tier_model",
        description="Every horizon earns its verdict: better than the prior, not worse than "
        "persistence.",
    ),
    dg.AssetCheckSpec(
        "train_serve_parity",
        asset="tier_model",
        description="A request with the facts of a training row, the creator's included, gets the "
        "same vector, bit by bit.",
    ),
]


def _missing(name: str, severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        passed=False,
        severity=severity,
        description="The test part holds no row of 72 hours and more: nothing was judged.",
        metadata={"n": 0},
    )


def _settled_results(settled: HorizonReport) -> list[dg.AssetCheckResult]:
    accuracy, n = settled.accuracy, settled.n
    span = f"[{accuracy.low:.3f}, {accuracy.high:.3f}]"
    weakest = min(settled.recall, key=lambda tier: settled.recall[tier])
    figures = {
        "accuracy": accuracy.value,
        "accuracy_ci_low": accuracy.low,
        "accuracy_ci_high": accuracy.high,
        "n": n,
    }
    return [
        dg.AssetCheckResult(
            check_name="test_accuracy",
            passed=accuracy.value >= ACCURACY_BAR,
            severity=ERROR,
            description=f"Settled accuracy {accuracy.value:.3f} {span} on {n} test rows; "
            f"the bar is {ACCURACY_BAR}.",
            metadata={**figures, "bar": ACCURACY_BAR},
        ),
        dg.AssetCheckResult(
            check_name="mission_accuracy",
            passed=accuracy.value > MISSION_ACCURACY,
            severity=WARN,
            description=f"Settled accuracy {accuracy.value:.3f} {span} on {n} test rows; "
            f"the aim is above {MISSION_ACCURACY}.",
            metadata={**figures, "bar": MISSION_ACCURACY},
        ),
        dg.AssetCheckResult(
            check_name="every_tier_recall",
            passed=all(recall > RECALL_BAR for recall in settled.recall.values()),
            severity=WARN,
            description=f"Least recall {settled.recall[weakest]:.3f} (tier {weakest}) on {n} "
            f"test rows; the bar is {RECALL_BAR}.",
            metadata={
                **{f"recall_tier_{tier}": value for tier, value in settled.recall.items()},
                "bar": RECALL_BAR,
                "n": n,
            },
        ),
    ]


def tier_model_results(report: EvaluationReport, parity: Parity) -> list[dg.AssetCheckResult]:
    """Return the results of every check on a candidate."""
    settled = report.horizons.get("settled")
    if settled is None:
        results = [
            _missing("test_accuracy", ERROR),
            _missing("mission_accuracy", WARN),
            _missing("every_tier_recall", WARN),
        ]
    else:
        results = _settled_results(settled)
    return [*results, _skill(list(report.horizons.values())), _parity(parity)]


def _skill(horizons: Sequence[HorizonReport]) -> dg.AssetCheckResult:
    verdicts = [
        f"{h.horizon}: served"
        if h.verdict.served
        else f"{h.horizon}: withheld, " + ", ".join(h.verdict.reasons)
        for h in horizons
    ]
    return dg.AssetCheckResult(
        check_name="skill_over_baseline",
        passed=bool(horizons) and all(h.verdict.served for h in horizons),
        severity=WARN,
        description="; ".join(verdicts) or "No horizon was judged.",
        metadata={
            f"{h.horizon}_{name}": value
            for h in horizons
            for name, value in (
                ("rps_gain", h.rps_gain.value),
                ("rps_gain_ci_low", h.rps_gain.low),
                ("n", h.n),
            )
        },
    )


def _parity(parity: Parity) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name="train_serve_parity",
        passed=parity.compared > 0 and not parity.different,
        severity=ERROR,
        description=f"{len(parity.different)} of {parity.compared} vectors differ between "
        "training and serving.",
        metadata={
            "compared": parity.compared,
            "different": len(parity.different),
            "first_differing": ", ".join(parity.different[:5]) or "none",
        },
    )


def calibration_result(verdict: CalibrationVerdict) -> dg.AssetCheckResult:
    """Return the result of `expected_calibration_error` for a fit."""
    return dg.AssetCheckResult(
        check_name="expected_calibration_error",
        passed=verdict.applied,
        severity=ERROR,
        description=verdict.reason,
        metadata={
            "ece": verdict.ece,
            "ece_ci_low": verdict.ece_low,
            "ece_ci_high": verdict.ece_high,
            "ece_raw": verdict.ece_raw,
            "loss": verdict.loss,
            "loss_raw": verdict.loss_raw,
            "bar": ECE_BAR,
            "n": verdict.n_judge,
            "n_fit": verdict.n_fit,
        },
    )


@dg.asset_check(asset="outcome_pairs", retry_policy=DATABASE_RETRIES)
def enough_outcomes(database: DatabaseResource) -> dg.AssetCheckResult:
    """Outcome pairs of equal age suffice for a fit and its judgement on others."""
    needed = MIN_FIT_PAIRS + MIN_JUDGE_PAIRS
    found = count_pairs(database.get(), "text", "pre_publication")
    return dg.AssetCheckResult(
        passed=found >= needed,
        severity=WARN,
        description=f"{found} outcome pairs of input mode text before publication; {needed} are "
        "needed.",
        metadata={"n": found, "bar": needed},
    )


@dg.asset_check(asset="daily_costs", retry_policy=DATABASE_RETRIES)
def spend_within_budget(database: DatabaseResource) -> dg.AssetCheckResult:
    """The newest UTC day with a paid call cost no more than DAILY_BUDGET_CENTS.

    The cap is kept before each call, so a day above it means that the cap was lowered since, or
    that calls cost more than their ceilings.
    """
    bar = load_settings().daily_budget_cents
    totals = costs.newest_days(database.get(), 1)
    spent = costs.cents(sum(total.total_microdollars for total in totals))
    calls = sum(total.calls for total in totals)
    estimates = sum(total.estimates for total in totals)
    day = str(totals[0].day) if totals else "no day"
    return dg.AssetCheckResult(
        passed=spent <= bar,
        severity=ERROR,
        description=f"{day}: {spent:.4f} US cents; the bar is {bar:g}. Calls: {calls}, of "
        f"which estimated: {estimates}.",
        metadata={
            "spent_cents": spent,
            "bar": bar,
            "n": calls,
            "estimates": estimates,
            "day": day,
        },
    )


@dg.asset_check(asset="video_snapshots", retry_policy=DATABASE_RETRIES)
def snapshot_gaps(database: DatabaseResource) -> dg.AssetCheckResult:
    """Of the videos crawled again in the trends' window, at least 0.8 lack no crawl in between.

    A crawl is due every six hours. A video that no crawl found again has no gap and no velocity.
    A simulated feed, which is crawled when its clock says, is not judged.
    """
    found = crawl_coverage(database.get(), load_settings().trend_window_hours)
    is_simulated = crawls.is_simulated(database.get())
    share = found.without_gap / found.crawled_again if found.crawled_again else None
    return dg.AssetCheckResult(
        passed=is_simulated or share is None or share >= WITHOUT_GAP_BAR,
        severity=WARN,
        description=f"{found.without_gap} of {found.crawled_again} videos that were crawled again "
        f"lack no six-hourly crawl in between; the bar is {WITHOUT_GAP_BAR:.0%}. "
        f"{found.videos} videos were crawled in the window."
        + (" Not judged: the feed is simulated." if is_simulated else ""),
        metadata={
            "without_gap": found.without_gap,
            "share": "none was crawled again" if share is None else share,
            "bar": WITHOUT_GAP_BAR,
            "n": found.crawled_again,
            "videos": found.videos,
        },
    )
