"""The tick of `validate_rules`, and what its run leaves in the tables and tells the operator."""

from __future__ import annotations

import dagster as dg
import pytest

from viral_platform.services.rules import sync_rule_library

from ..services.test_rule_accuracy import RULE, add_groups
from . import test_schedules
from .test_schedules import Installation

installation = test_schedules.installation
CHECKS = {"weights_within_bounds", "rules_have_outcomes", "no_rule_misleads"}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    found = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert set(found) == CHECKS
    return found


def test_a_daily_tick_holds_the_rules_to_outcomes_and_then_waits_for_the_next(
    installation: Installation,
) -> None:
    assert installation.tick("validate_rules") == "No outcome was reported yet."
    sync_rule_library(installation.database)
    add_groups(installation.database, 40, lift=30.0)
    result = installation.run("validate_rules")
    assert installation.rows(
        "select rule_id, tier, n_fired, n_not_fired, lift from app.rule_accuracy where n_fired > 0"
    ) == [(RULE, "regex", 40, 40, 30.0)]
    assert installation.rows("select id, weight from app.rule_library where weight <> 1") == [
        (RULE, pytest.approx(1.1))
    ]
    assert all(check.passed for check in checks(result).values())
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert (metadata["posts"].value, metadata["weights_moved"].value) == (80, 1)
    assert metadata["data"].value == "real crawls"

    reason = installation.tick("validate_rules")
    assert isinstance(reason, str)
    assert reason.startswith("No outcome was reported since ")
    add_groups(installation.database, 1, lift=30.0, at=100)
    assert isinstance(installation.tick("validate_rules"), dg.RunRequest)


def test_the_checks_fail_on_what_they_are_for(installation: Installation) -> None:
    sync_rule_library(installation.database)
    add_groups(installation.database, 40, lift=-30.0)
    add_groups(installation.database, 5, lift=30.0, rule="loop_structure", at=200)
    with installation.database.connect() as connection:
        connection.execute("update app.rule_library set weight = 1.9 where id = 'story_hook'")
    found = checks(installation.run("validate_rules"))
    assert {name: check.passed for name, check in found.items()} == dict.fromkeys(CHECKS, False)
    assert found["weights_within_bounds"].severity == dg.AssetCheckSeverity.ERROR
    assert found["weights_within_bounds"].description.endswith(": story_hook.")
    assert found["rules_have_outcomes"].description.endswith(": loop_structure.")
    assert found["no_rule_misleads"].description.endswith(f": {RULE}.")


def test_a_run_without_outcomes_makes_nothing_and_says_why(installation: Installation) -> None:
    sync_rule_library(installation.database)
    job = installation.defs.resolve_job_def("validate_rules")
    result = job.execute_in_process(instance=installation.instance, raise_on_error=False)
    assert not result.success
    (failure,) = result.filter_events(lambda event: event.is_step_failure)
    assert "found 0, needed 1" in failure.step_failure_data.user_failure_data.description
    assert installation.rows("select count(*) from app.rule_accuracy") == [(0,)]
