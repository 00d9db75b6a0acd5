from __future__ import annotations

from sqlalchemy import select, update

from viral_platform.storage.database import Database
from viral_platform.storage.rules import load_rules, upsert_rules
from viral_platform.storage.tables import rule_library


def definition(rule_id: str, **changed: object) -> dict[str, object]:
    return {
        "id": rule_id,
        "name": rule_id.title(),
        "description": "what it looks for",
        "category": "hook",
        "pattern": rule_id,
        "score_modifier": 15,
        "platform": None,
        "evaluation_tier": "regex",
        "improvement_tip": "do so",
        **changed,
    }


def learn(database: Database, rule_id: str) -> None:
    with database.engine.begin() as connection:
        connection.execute(
            update(rule_library).where(rule_library.c.id == rule_id).values(weight=1.7)
        )


def test_rules_come_back_in_the_order_of_their_ids(database: Database) -> None:
    assert upsert_rules(database, [definition("b"), definition("a", platform="tiktok")]) == 2
    first, second = load_rules(database)
    assert (first.id, first.platform, first.weight, first.max_score) == ("a", "tiktok", 1.0, 10.0)
    assert (second.id, second.name, second.pattern) == ("b", "B", "b")


def test_storing_definitions_twice_changes_nothing(database: Database) -> None:
    upsert_rules(database, [definition("a")])
    before = load_rules(database)
    assert upsert_rules(database, [definition("a")]) == 1
    assert load_rules(database) == before


def test_a_changed_definition_keeps_what_was_learned(database: Database) -> None:
    upsert_rules(database, [definition("a")])
    learn(database, "a")
    upsert_rules(database, [definition("a", improvement_tip="do it earlier")])
    (rule,) = load_rules(database)
    assert (rule.weight, rule.improvement_tip) == (1.7, "do it earlier")


def test_a_rule_that_is_gone_is_retired_and_not_deleted(database: Database) -> None:
    upsert_rules(database, [definition("a"), definition("b")])
    assert upsert_rules(database, [definition("b")]) == 1
    assert [rule.id for rule in load_rules(database)] == ["b"]
    with database.engine.connect() as connection:
        active = dict(
            tuple(row)
            for row in connection.execute(select(rule_library.c.id, rule_library.c.is_active))
        )
    assert active == {"a": False, "b": True}


def test_a_rule_that_comes_back_has_what_it_had_learned(database: Database) -> None:
    upsert_rules(database, [definition("a"), definition("b")])
    learn(database, "a")
    upsert_rules(database, [definition("b")])
    upsert_rules(database, [definition("a"), definition("b")])
    assert [(rule.id, rule.weight) for rule in load_rules(database)] == [("a", 1.7), ("b", 1.0)]


def test_an_empty_library_has_no_rules(database: Database) -> None:
    assert load_rules(database) == []
