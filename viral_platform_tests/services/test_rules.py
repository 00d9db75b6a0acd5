from __future__ import annotations

from sqlalchemy import insert, update

from viral_platform.services.rules import sync_rule_library
from viral_platform.storage.database import Database
from viral_platform.storage.rules import load_rules
from viral_platform.storage.tables import rule_library


def test_the_packaged_rules_are_active_with_a_weight_of_one(database: Database) -> None:
    active = sync_rule_library(database)
    rules = load_rules(database)
    assert active == len(rules) == 25
    assert {rule.weight for rule in rules} == {1.0}
    assert all(rule.improvement_tip for rule in rules)


def test_every_regex_rule_names_a_pattern(database: Database) -> None:
    sync_rule_library(database)
    unnamed = [
        rule.id
        for rule in load_rules(database)
        if rule.evaluation_tier == "regex" and rule.pattern is None
    ]
    assert unnamed == []


def test_bringing_the_rules_in_again_changes_nothing(database: Database) -> None:
    sync_rule_library(database)
    before = load_rules(database)
    sync_rule_library(database)
    assert load_rules(database) == before


def test_a_learned_weight_outlives_the_next_release(database: Database) -> None:
    sync_rule_library(database)
    with database.engine.begin() as connection:
        connection.execute(
            update(rule_library).where(rule_library.c.id == "question_hook").values(weight=1.7)
        )
    sync_rule_library(database)
    weights = {rule.id: rule.weight for rule in load_rules(database)}
    assert weights["question_hook"] == 1.7


def test_a_rule_that_the_package_no_longer_has_is_retired(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(
            insert(rule_library).values(
                id="old",
                name="Old",
                description="gone",
                category="hook",
                improvement_tip="",
                evaluation_tier="regex",
            )
        )
    sync_rule_library(database)
    assert "old" not in {rule.id for rule in load_rules(database)}
