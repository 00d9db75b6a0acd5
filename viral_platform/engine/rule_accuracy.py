"""What outcomes say of rules: the lift of each, its interval, and the weight that follows.

A lift is an association: posts on which a rule fires differ in other ways too. Which outcomes
count, and where weights are stored, does not belong here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from viral_platform.engine.contracts import EvaluationTier, RuleFinding
from viral_platform.engine.rules import HOLDS_FROM_VERDICT
from viral_platform.engine.tiers import FloatArray

PACKAGED_WEIGHT = 1.0
# A learned weight stays within this distance of the packaged one, and moves so far a run.
MAX_DEPARTURE = 0.5
MAX_STEP = 0.1
# In each group: below it the interval's coverage hangs on the shape of the outcomes.
MIN_EACH = 30
# A certain lift of one tier, in points of percentile, is worth the whole departure.
FULL_LIFT = 20.0
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class JudgedPost:
    """What was found of each rule before a post was published, and its `actual_score`, 0..100."""

    findings: Mapping[str, RuleFinding]
    actual_score: float


@dataclass(frozen=True, slots=True)
class RuleAccuracy:
    """What outcomes say of one rule by one instrument.

    Attributes
    ----------
    lift : float or None
        Mean actual score where the rule fired minus that where it did not, in points of
        percentile, -100..100; None when one group is empty.
    lift_low, lift_high : float or None
        95 % interval of the lift; None when a group has fewer than two posts.
    accuracy : float or None
        Share of pairs (fired, not fired) in which the post that it fired on did better, ties
        counting half; 0.5 is chance.
    """

    rule_id: str
    tier: EvaluationTier
    n_fired: int = 0
    n_not_fired: int = 0
    lift: float | None = None
    lift_low: float | None = None
    lift_high: float | None = None
    accuracy: float | None = None

    @property
    def is_judged(self) -> bool:
        """Whether both groups are large enough for a verdict."""
        return min(self.n_fired, self.n_not_fired) >= MIN_EACH

    def certain_lift(self) -> float:
        """Return the end of the interval that is nearest to zero; 0 when zero lies inside."""
        if not self.is_judged or self.lift_low is None or self.lift_high is None:
            return 0.0
        return sorted((self.lift_low, 0.0, self.lift_high))[1]


def rule_accuracies(posts: Iterable[JudgedPost]) -> dict[tuple[str, EvaluationTier], RuleAccuracy]:
    """Return what outcomes say of each rule that was evaluated, by rule and instrument.

    The order of the posts does not matter, to the last bit.
    """
    groups: dict[tuple[str, EvaluationTier], tuple[list[float], list[float]]]
    groups = defaultdict(lambda: ([], []))
    for post in posts:
        for rule_id, finding in post.findings.items():
            told = _told(finding)
            if told is not None:
                tier, has_fired = told
                groups[rule_id, tier][not has_fired].append(post.actual_score)
    return {
        (rule_id, tier): _accuracy(rule_id, tier, np.sort(with_it), np.sort(without))
        for (rule_id, tier), (with_it, without) in sorted(groups.items())
    }


def next_weight(
    weight: float, found: RuleAccuracy, before: RuleAccuracy | None, *, is_fault: bool = False
) -> float:
    """Return the weight of a rule after a run.

    It moves by at most `MAX_STEP` towards the packaged weight and a departure from it that grows
    with the certain lift. Where the interval holds zero there is no departure. It stays where it
    is with fewer than `MIN_EACH` posts in a group, and when nothing was learned since `before`,
    so that a run counts outcomes once however often it is repeated.

    Parameters
    ----------
    weight : float
        In force now.
    found, before : RuleAccuracy
        What outcomes say now, and what they said when the weight was last looked at.
    is_fault : bool
        The rule names something that lowers a score: the lift that speaks for it is below zero.
    """
    if not found.is_judged or found == before:
        return weight
    certain = -found.certain_lift() if is_fault else found.certain_lift()
    departure = MAX_DEPARTURE * min(1.0, max(-1.0, certain / FULL_LIFT))
    wanted = PACKAGED_WEIGHT + departure
    return weight + min(MAX_STEP, max(-MAX_STEP, wanted - weight))


def _told(finding: RuleFinding) -> tuple[EvaluationTier, bool] | None:
    """Return which instrument spoke and whether the rule fired, None when none did."""
    if finding is None:
        return None
    if isinstance(finding, bool):
        return "regex", finding
    return "semantic", finding >= HOLDS_FROM_VERDICT


def _accuracy(
    rule_id: str, tier: EvaluationTier, with_it: FloatArray, without: FloatArray
) -> RuleAccuracy:
    n, m = len(with_it), len(without)
    if not n or not m:
        return RuleAccuracy(rule_id, tier, n, m)
    lift = float(with_it.mean() - without.mean())
    margin = _margin(with_it, without)
    below = int(np.searchsorted(without, with_it, side="left").sum())
    not_above = int(np.searchsorted(without, with_it, side="right").sum())
    return RuleAccuracy(
        rule_id=rule_id,
        tier=tier,
        n_fired=n,
        n_not_fired=m,
        lift=lift,
        lift_low=None if margin is None else lift - margin,
        lift_high=None if margin is None else lift + margin,
        accuracy=(below + not_above) / (2 * n * m),
    )


def _margin(first: FloatArray, second: FloatArray) -> float | None:
    """Return half the 95 % interval of the difference of two means, None with a lone post.

    Welch (1947), "The generalization of 'Student's' problem when several different population
    variances are involved", Biometrika 34.
    """
    if min(len(first), len(second)) < 2:
        return None
    parts = [float(group.var(ddof=1)) / len(group) for group in (first, second)]
    variance = sum(parts)
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(
        part**2 / (len(group) - 1) for part, group in zip(parts, (first, second), strict=True)
    )
    return float(stdtrit(freedom, (1 + _CONFIDENCE) / 2)) * math.sqrt(variance)
