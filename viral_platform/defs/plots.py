"""Plots for the metadata of assets: small PNGs as data URIs, drawn without a display."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from datetime import timedelta

import dagster as dg
import numpy as np
from matplotlib.figure import Figure

from viral_platform.engine.calibration import ReliabilityBin
from viral_platform.engine.contracts import TIERS
from viral_platform.engine.evaluation import HorizonReport
from viral_platform.services.costs import cents
from viral_platform.storage.costs import DailyTotal


def _picture(figure: Figure, alternative: str) -> dg.MarkdownMetadataValue:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, bbox_inches="tight", metadata={"Software": None})
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![{alternative}](data:image/png;base64,{encoded})")


def confusion_matrices(reports: Sequence[HorizonReport]) -> dg.MarkdownMetadataValue:
    """Return one confusion matrix a horizon: rows are actual tiers, shares of each row."""
    figure = Figure(figsize=(4.2 * len(reports), 4))
    for number, report in enumerate(reports, start=1):
        axes = figure.add_subplot(1, len(reports), number)
        counts = np.array(report.confusion, dtype=float)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            shade = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:.0f}", ha="center", va="center", color=shade)
        axes.set_xticks(range(len(TIERS)), [str(tier) for tier in TIERS])
        axes.set_yticks(range(len(TIERS)), [str(tier) for tier in TIERS])
        axes.set_xlabel("predicted tier")
        axes.set_ylabel("actual tier")
        axes.set_title(f"{report.horizon}: n={report.n}, accuracy {report.accuracy.value:.2f}")
    return _picture(figure, "confusion matrices")


def tier_reliability(reports: Sequence[HorizonReport]) -> dg.MarkdownMetadataValue:
    """Return the reliability diagram of tier probabilities, one line a horizon."""
    figure = Figure(figsize=(5, 4.5))
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    for report in reports:
        predicted, observed, _ = zip(*report.reliability, strict=True)
        axes.plot(predicted, observed, marker="o", label=f"{report.horizon} (n={report.n})")
    axes.set_xlabel("predicted probability of a tier")
    axes.set_ylabel("observed share")
    axes.legend()
    return _picture(figure, "reliability diagram")


def score_reliability(
    raw: Sequence[ReliabilityBin], fitted: Sequence[ReliabilityBin]
) -> dg.MarkdownMetadataValue:
    """Return the reliability diagram of scores before and after Platt scaling."""
    figure = Figure(figsize=(5, 4.5))
    axes = figure.add_subplot()
    axes.plot([0, 100], [0, 100], color="grey", linestyle="--", linewidth=1)
    for label, bins in (("raw", raw), ("calibrated", fitted)):
        points = [
            (100 * item.mean_predicted, 100 * item.mean_observed)
            for item in bins
            if item.mean_predicted is not None and item.mean_observed is not None
        ]
        predicted, observed = zip(*points, strict=True)
        axes.plot(predicted, observed, marker="o", label=label)
    axes.set_xlabel("mean predicted score")
    axes.set_ylabel("mean outcome (percentile)")
    axes.legend()
    return _picture(figure, "reliability diagram")


def spend_by_day(totals: Sequence[DailyTotal]) -> dg.MarkdownMetadataValue:
    """Return the spend of each UTC day, stacked by provider; days without a call are empty."""
    first, last = min(total.day for total in totals), max(total.day for total in totals)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    figure = Figure(figsize=(7, 3.5))
    axes = figure.add_subplot()
    below = np.zeros(len(days))
    for provider in sorted({total.provider for total in totals}):
        spent = np.zeros(len(days))
        for total in totals:
            if total.provider == provider:
                spent[(total.day - first).days] += cents(total.total_microdollars)
        axes.bar([f"{day:%m-%d}" for day in days], spent, bottom=below, label=provider)
        below += spent
    axes.tick_params(axis="x", rotation=90)
    axes.set_ylabel("US cents")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False)
    return _picture(figure, "spend by day")
