"""What an answer says of itself: what it rests on, what is doubtful, the signals in a sentence."""

from __future__ import annotations

from viral_platform.engine.aggregate import Signals
from viral_platform.engine.contracts import MlResult, SignalName, TrendResult
from viral_platform.engine.prediction import Inputs
from viral_platform.engine.stages import StageRecorder


def shortcomings(stages: StageRecorder, inputs: Inputs) -> list[str]:
    """Return what the signals rest on that they should not."""
    lines = []
    if stages.status("rule_judge") == "failed":
        lines.append("No judge answered; the rule score rests on the rules that patterns decide.")
    if inputs.stale:
        lines.append(f"Not read anew: {', '.join(inputs.stale)}; they are of an earlier reading.")
    return lines


def doubts(score: float | None, stages: StageRecorder, ml: MlResult) -> list[str]:
    """Return why the score is not, or hardly, the percentile that it estimates."""
    if score is None:
        return []
    lines = []
    calibration = stages.records[-1]
    if calibration.status != "ok":
        lines.append(
            "Not calibrated: the score is a weighted sum of signals and no percentile yet"
            f" ({calibration.reason})."
        )
    if ml.interval is not None and not ml.interval.low <= score <= ml.interval.high:
        lines.append(
            f"The score lies outside the tier model's own {ml.interval.level:.0%} interval, "
            f"{ml.interval.low:.0f} to {ml.interval.high:.0f}: the other signals pull it away."
        )
    return lines


def told(signals: Signals, used: dict[SignalName, float], trends: TrendResult, ml: MlResult) -> str:
    """Return one sentence per present signal: its score, its weight, what it looked at."""
    says = {
        "behavioral": f"{signals.behavioral_source} expects viewers to behave so",
        "gemini": "the quality of the content by five factors",
        "rules": f"{signals.matched_rules} writing rules hold",
        "trends": trends.trend_context,
        "ml": f"the tier model looks at horizon {ml.horizon}",
    }
    return " ".join(
        f"{name} {score:.0f} of 100 at weight {used[name]:.2f}: {says[name].rstrip('.')}."
        for name, score in signals.scores().items()
    )
