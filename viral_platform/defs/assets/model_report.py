"""Metadata of the model's assets: a small report with n, split, baselines and pictures."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from viral_platform.defs.common import simulated_label
from viral_platform.defs.plots import confusion_matrices, tier_reliability
from viral_platform.engine.contracts import TIERS
from viral_platform.engine.evaluation import EvaluationReport, HorizonReport, Interval
from viral_platform.services.training import Trained
from viral_platform.storage.models import TrainingSetRecord

Metadata = Mapping[str, dg.MetadataValue | str | float | int]
_MOST_IMPORTANT = 12


def training_metadata(record: TrainingSetRecord) -> Metadata:
    """Return what the operator is shown of a training set."""
    summary = record.summary
    low, median, high = summary["label_age_hours"]
    return {
        "dagster/row_count": record.rows,
        "videos": record.videos,
        "authors": summary["authors"],
        "period": f"{summary['posted_from'][:10]} to {summary['posted_to'][:10]} (posted)",
        "label_age_hours_p5": low,
        "label_age_hours_median": median,
        "label_age_hours_p95": high,
        "rows_by_horizon": dg.MetadataValue.json(summary["rows_by_horizon"]),
        "class_distribution": _records(
            [{"tier": int(t), "share": round(s, 4)} for t, s in summary["class_shares"].items()]
        ),
        "unknown_share_by_feature": _records(
            [
                {"feature": name, "unknown_share": round(share, 4)}
                for name, share in summary["unknown_share_by_feature"].items()
            ]
        ),
        **simulated_label(is_simulated=record.is_simulated),
    }


def _records(rows: list[dict[str, str | int | float]]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows])


def _span(figure: Interval | None) -> str:
    if figure is None:
        return "-"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _horizon_row(report: HorizonReport) -> dict[str, str | int | float]:
    base = report.baselines
    return {
        "horizon": report.horizon,
        "n": report.n,
        "authors": report.n_authors,
        "accuracy (95%)": _span(report.accuracy),
        "prior accuracy": round(base.prior_accuracy, 3),
        "persistence (95%)": _span(base.persistence_accuracy),
        "over persistence (95%)": _span(report.accuracy_over_persistence),
        "creator median (95%)": _span(base.creator_median_accuracy),
        "creator median n": base.creator_median_n,
        "over creator median (95%)": _span(report.accuracy_over_creator_median),
        "RPS (95%)": _span(report.rps),
        "prior RPS": round(base.prior_rps, 4),
        "RPS gain (95%)": _span(report.rps_gain),
        "QWK": "-" if report.quadratic_kappa is None else round(report.quadratic_kappa, 3),
        "80% interval covers": round(report.interval_coverage, 3),
        "served": "yes" if report.verdict.served else "; ".join(report.verdict.reasons),
    }


def _tier_rows(report: EvaluationReport) -> list[dict[str, str | int | float]]:
    return [
        {
            "horizon": horizon.horizon,
            "tier": tier,
            "share": round(horizon.class_shares[tier], 3),
            "precision": round(horizon.precision[tier], 3),
            "recall": round(horizon.recall[tier], 3),
        }
        for horizon in report.horizons.values()
        for tier in TIERS
    ]


def model_metadata(trained: Trained) -> Metadata:
    """Return what the operator is shown of a candidate."""
    report, record = trained.report, trained.record
    horizons = list(report.horizons.values())
    importance = sorted(trained.contributions.items(), key=lambda item: -item[1])
    settled = report.horizons.get("settled")
    figures: dict[str, float] = {}
    if settled is not None:
        figures = {
            "settled_accuracy": settled.accuracy.value,
            "settled_accuracy_ci_low": settled.accuracy.low,
            "settled_accuracy_ci_high": settled.accuracy.high,
            "settled_n": settled.n,
        }
    low, median, high = report.label_age_hours
    return {
        "version": record.version,
        "promotable": "yes" if report.promotable else "; ".join(report.reasons),
        "split": f"by posting time, authors apart: {report.train_rows} training rows, "
        f"{report.test_rows} test rows of {report.test_videos} videos",
        "label_age_hours": f"p5 {low:.0f}, median {median:.0f}, p95 {high:.0f}",
        **figures,
        "metrics_by_horizon": _records([_horizon_row(horizon) for horizon in horizons]),
        "tiers": _records(_tier_rows(report)),
        "confusion_matrices": confusion_matrices(horizons),
        "reliability_diagram": tier_reliability(horizons),
        "feature_contributions": _records(
            [
                {"feature": name, "mean_abs_log_odds": round(value, 4)}
                for name, value in importance[:_MOST_IMPORTANT]
            ]
        ),
        **simulated_label(is_simulated=record.is_simulated),
    }
