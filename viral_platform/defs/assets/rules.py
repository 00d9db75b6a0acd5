"""Group `rules`: the library of rules that score content, and what outcomes say of them."""

import dagster as dg

from viral_platform.defs.common import (
    DATA,
    DATABASE_RETRIES,
    MODELLING,
    nothing_made_with_reason,
    simulated_label,
)
from viral_platform.defs.resources import DatabaseResource
from viral_platform.engine.rule_accuracy import (
    MAX_DEPARTURE,
    MAX_STEP,
    MIN_EACH,
    PACKAGED_WEIGHT,
)
from viral_platform.services import rule_accuracy as accuracies
from viral_platform.services.rule_accuracy import ValidatedRule, Validation
from viral_platform.services.rules import sync_rule_library

WEIGHT_BOUNDS = (PACKAGED_WEIGHT - MAX_DEPARTURE, PACKAGED_WEIGHT + MAX_DEPARTURE)

RULE_CHECKS = [
    dg.AssetCheckSpec(
        "weights_within_bounds",
        asset="rule_accuracy",
        description=f"Every weight is from {WEIGHT_BOUNDS[0]:g} to {WEIGHT_BOUNDS[1]:g} and moved "
        f"by at most {MAX_STEP:g}.",
    ),
    dg.AssetCheckSpec(
        "rules_have_outcomes",
        asset="rule_accuracy",
        description=f"Every rule that was evaluated fired on {MIN_EACH} posts with an outcome, and "
        "did not on as many.",
    ),
    dg.AssetCheckSpec(
        "no_rule_misleads",
        asset="rule_accuracy",
        description="No rule speaks, beyond its interval, for posts that did worse.",
    ),
]


@dg.asset(
    group_name="rules",
    kinds={"python", "postgres"},
    owners=DATA,
    code_version="1",
    retry_policy=DATABASE_RETRIES,
)
def rule_library(database: DatabaseResource) -> dg.MaterializeResult:
    """Rules that score a caption; one row a rule, upserted by id from the packaged library.

    The weight is learned from outcomes and never overwritten here. A rule that left the package
    is retired, not deleted.
    """
    active = sync_rule_library(database.get())
    return dg.MaterializeResult(metadata={"dagster/row_count": active})


@dg.asset(
    group_name="rules",
    kinds={"python", "postgres"},
    owners=MODELLING,
    deps=["outcomes", rule_library],
    check_specs=RULE_CHECKS,
    code_version="1",
    retry_policy=DATABASE_RETRIES,
)
def rule_accuracy(database: DatabaseResource) -> dg.MaterializeResult:
    """What outcomes say of each rule; one row a rule and instrument (pattern, or judge).

    Lift is the mean actual score, in points of percentile, of posts that it fired on minus that of
    posts that it did not fire on, with Welch's 95 % interval; posts on which it was not evaluated
    count in neither. An association, not an effect. Weights of the rule library follow it, within
    bounds. Each post counts once.
    """
    with nothing_made_with_reason():
        validation = accuracies.validate_rules(database.get())
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(validation.rules),
            "posts": validation.posts,
            "weights_moved": len(validation.moved),
            "rules": dg.MetadataValue.table([_record(rule) for rule in validation.rules]),
            **simulated_label(is_simulated=validation.is_simulated),
        },
        check_results=rule_results(validation),
    )


def _record(rule: ValidatedRule) -> dg.TableRecord:
    figures = {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in accuracies.figures(rule.found).items()
    }
    return dg.TableRecord(
        {
            "rule": rule.found.rule_id,
            "tier": rule.found.tier,
            "weight_before": round(rule.weight_before, 3),
            "weight": round(rule.weight, 3),
            **{name: "-" if value is None else value for name, value in figures.items()},
        }
    )


def rule_results(validation: Validation) -> list[dg.AssetCheckResult]:
    """Return the results of every check on a validation."""
    rules = validation.rules
    out = [rule for rule in rules if not rule.is_within_bounds]
    judged = [rule for rule in rules if rule.found.is_judged]
    asked = [rule for rule in rules if rule.found.n_fired + rule.found.n_not_fired]
    short = [rule for rule in asked if not rule.found.is_judged]
    wrong = [rule for rule in judged if rule.misleads]
    return [
        _result(
            "weights_within_bounds",
            out,
            f"{len(out)} of {len(rules)} weights are out of {WEIGHT_BOUNDS[0]:g} to "
            f"{WEIGHT_BOUNDS[1]:g} or moved by more than {MAX_STEP:g}",
            validation,
            severity=dg.AssetCheckSeverity.ERROR,
        ),
        _result(
            "rules_have_outcomes",
            short or [rule for rule in rules if not asked],
            f"{len(rules) - len(asked)} of {len(rules)} rules were never evaluated; of the others "
            f"{len(short)} have fewer than {MIN_EACH} posts with an outcome that they fired on, or "
            "that they did not",
            validation,
        ),
        _result(
            "no_rule_misleads",
            wrong,
            f"{len(wrong)} of {len(judged)} rules with enough outcomes speak for posts that did "
            "worse",
            validation,
        ),
    ]


def _result(
    name: str,
    bad: list[ValidatedRule],
    sentence: str,
    validation: Validation,
    *,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN,
) -> dg.AssetCheckResult:
    ids = ", ".join(rule.found.rule_id for rule in bad)
    return dg.AssetCheckResult(
        check_name=name,
        passed=not bad,
        severity=severity,
        description=f"{sentence}{f': {ids}' if ids else ''}.",
        metadata={"n": validation.posts, "rules": len(validation.rules), "bad": len(bad)},
    )
