"""Rules held to outcomes: what each is worth, and the weights that follow from it.

A run counts all outcomes of equal age, each post once. A rule's weight moves only when what they
say of it has changed, so that running twice is running once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from viral_platform.engine.errors import NotEnoughDataError
from viral_platform.engine.rule_accuracy import (
    MAX_DEPARTURE,
    MAX_STEP,
    PACKAGED_WEIGHT,
    JudgedPost,
    RuleAccuracy,
    next_weight,
    rule_accuracies,
)
from viral_platform.observability.logging import get_logger
from viral_platform.services.calibration import MAX_OUTCOME_AGE_HOURS
from viral_platform.storage import rule_accuracy
from viral_platform.storage.database import Database
from viral_platform.storage.rule_accuracy import WeighedRule

log = get_logger(__name__)

# Sums of tenths are not exact.
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class ValidatedRule:
    """A rule with what outcomes say of it, and its weight before and after the run."""

    name: str
    found: RuleAccuracy
    is_fault: bool
    weight_before: float
    weight: float

    @property
    def misleads(self) -> bool:
        """Whether posts did worse, with certainty, where the rule speaks for them."""
        certain = self.found.certain_lift()
        return certain > 0 if self.is_fault else certain < 0

    @property
    def is_within_bounds(self) -> bool:
        """Whether the weight is near the packaged one, and moved no further than a step."""
        near = abs(self.weight - PACKAGED_WEIGHT) <= MAX_DEPARTURE + _TOLERANCE
        return near and abs(self.weight - self.weight_before) <= MAX_STEP + _TOLERANCE


@dataclass(frozen=True, slots=True)
class Validation:
    """The active rules by their own instrument, and how many posts they were held to."""

    rules: list[ValidatedRule]
    posts: int
    is_simulated: bool

    @property
    def moved(self) -> dict[str, float]:
        """The new weights of the rules whose weight has changed, by rule."""
        return {
            rule.found.rule_id: rule.weight
            for rule in self.rules
            if rule.weight != rule.weight_before
        }


def validate_rules(database: Database) -> Validation:
    """Hold every active rule to the outcomes, store what they say, move weights within bounds.

    Raises
    ------
    NotEnoughDataError
        There is no rule, or no outcome of equal age whose answer told of the rules; nothing is
        stored.
    """
    with rule_accuracy.weighing(database) as connection:
        counted_until = rule_accuracy.newest_outcome(connection)
        posts = rule_accuracy.load_posts(connection, max_age_hours=MAX_OUTCOME_AGE_HOURS)
        weighed = rule_accuracy.load_weighed(connection)
        if not weighed:
            raise NotEnoughDataError(
                "Active rules", found=0, needed=1, fix="Bring them in: viral run load_rules."
            )
        if not posts or counted_until is None:
            raise NotEnoughDataError(
                f"Outcomes at 168 to {MAX_OUTCOME_AGE_HOURS:.0f} hours of answers that tell of "
                "their rules",
                found=0,
                needed=1,
                fix="Report some: viral outcome import.",
            )
        found = rule_accuracies(JudgedPost(post.findings, post.actual_score) for post in posts)
        for rule in weighed:
            found.setdefault((rule.rule_id, rule.tier), RuleAccuracy(rule.rule_id, rule.tier))
        validation = Validation(
            rules=[_validated(rule, found[rule.rule_id, rule.tier]) for rule in weighed],
            posts=len(posts),
            is_simulated=any(post.is_simulated for post in posts),
        )
        active = {rule.rule_id for rule in weighed}
        rule_accuracy.save_accuracies(
            connection,
            [one for one in found.values() if one.rule_id in active],
            is_simulated=validation.is_simulated,
            counted_until=counted_until,
        )
        rule_accuracy.save_weights(connection, validation.moved)
    log.info("rules_validated", posts=validation.posts, moved=len(validation.moved))
    return validation


def _validated(rule: WeighedRule, found: RuleAccuracy) -> ValidatedRule:
    return ValidatedRule(
        name=rule.name,
        found=found,
        is_fault=rule.is_fault,
        weight_before=rule.weight,
        weight=next_weight(rule.weight, found, rule.found, is_fault=rule.is_fault),
    )


def why_rules_stay(database: Database) -> str | None:
    """Return why holding the rules to outcomes anew would change nothing, None when it may."""
    with database.engine.connect() as connection:
        newest = rule_accuracy.newest_outcome(connection)
        counted = [rule.counted_until for rule in rule_accuracy.load_weighed(connection)]
    if newest is None:
        return "No outcome was reported yet."
    if any(until is None or until < newest for until in counted):
        return None
    return f"No outcome was reported since {newest:%Y-%m-%d %H:%M} UTC; all were counted."


def rule_rows(database: Database) -> list[dict[str, Any]]:
    """Return the active rules with weight, lift and counts, by their ids."""
    with database.engine.connect() as connection:
        weighed = rule_accuracy.load_weighed(connection)
    return [
        {
            "id": rule.rule_id,
            "name": rule.name,
            "tier": rule.tier,
            "weight": rule.weight,
            **figures(rule.found or RuleAccuracy(rule.rule_id, rule.tier)),
            "is_simulated": rule.is_simulated,
            "counted_until": rule.counted_until,
        }
        for rule in weighed
    ]


def figures(found: RuleAccuracy) -> dict[str, Any]:
    """Return what outcomes say of a rule, without its name."""
    return {name: value for name, value in asdict(found).items() if name not in {"rule_id", "tier"}}
