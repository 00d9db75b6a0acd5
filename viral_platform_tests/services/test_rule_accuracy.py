from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert

from viral_platform.engine.contracts import PredictionRequest, RuleFinding
from viral_platform.engine.errors import NotEnoughDataError
from viral_platform.services.prediction import PredictionService
from viral_platform.services.rule_accuracy import rule_rows, validate_rules, why_rules_stay
from viral_platform.services.rules import sync_rule_library
from viral_platform.storage import rules
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database
from viral_platform.storage.tables import analysis_results, outcomes, rule_library

POSTED = datetime(2026, 3, 1, tzinfo=UTC)
RULE = "question_hook"


def add_posts(
    database: Database,
    finding: RuleFinding,
    scores: Sequence[float],
    *,
    rule: str = RULE,
    creator: str | None = None,
    text: str = "a river",
    first: int = 0,
    age_hours: float = 200.0,
    is_simulated: bool = False,
) -> None:
    """Add answers that tell of one rule, with outcomes: a post a minute from `first` on."""
    posts = [(uuid4(), POSTED + timedelta(minutes=first + n)) for n in range(len(scores))]
    analysis = {
        "input_mode": "text",
        "content_text": text,
        "creator_handle": creator,
        "confidence": 0.2,
        "is_calibrated": False,
        "horizon": "pre_publication",
        "engine_version": "3",
        "is_degraded": False,
        "is_simulated": is_simulated,
        "latency_ms": 1.0,
        "cost_cents": 0,
        "request": {},
        "answer": {"rule_findings": {rule: finding}},
    }
    outcome = {
        "views": 1000,
        "likes": 100,
        "comments": 5,
        "shares": 5,
        "age_hours": age_hours,
        "engagement": 0.1,
        "actual_tier": 3,
        "model_version": "tier-1",
        "is_simulated": is_simulated,
    }
    with database.engine.begin() as connection:
        connection.execute(
            insert(analysis_results),
            [{**analysis, "id": key, "created_at": POSTED} for key, _ in posts],
        )
        connection.execute(
            insert(outcomes),
            [
                {
                    **outcome,
                    "analysis_id": key,
                    "actual_score": score,
                    "measured_at": posted_at + timedelta(hours=age_hours),
                }
                for (key, posted_at), score in zip(posts, scores, strict=True)
            ],
        )


def add_groups(database: Database, n: int, *, lift: float, rule: str = RULE, at: int = 0) -> None:
    """Add n posts that a rule fired on and n that it did not, `lift` points apart."""
    scores = [40.0 + number % 5 for number in range(n)]
    judged = rule != RULE
    add_posts(database, 8.0 if judged else True, [s + lift for s in scores], rule=rule, first=at)
    add_posts(database, 2.0 if judged else False, scores, rule=rule, first=at + n)


def weights(database: Database) -> dict[str, float]:
    return {rule.id: rule.weight for rule in rules.load_rules(database)}


def accuracy_rows(database: Database, condition: str = "true") -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        return connection.execute(
            "select rule_id, tier, n_fired, n_not_fired, lift, accuracy, is_simulated "
            f"from app.rule_accuracy where {condition} order by rule_id, tier"
        ).fetchall()


@pytest.fixture(autouse=True)
def _library(database: Database) -> None:
    sync_rule_library(database)


def test_an_answer_tells_of_every_rule_of_its_platform_also_of_those_that_were_not_evaluated(
    database: Database, artifacts: ArtifactStore
) -> None:
    with PredictionService(database, artifacts) as service:
        answer = service.predict(PredictionRequest(content_text="Is this calm? A river flows."))
    tiers = {
        rule.id: rule.evaluation_tier
        for rule in rules.load_rules(database)
        if rule.platform in {None, "tiktok"}
    }
    assert set(answer.rule_findings) == set(tiers)
    assert answer.rule_findings["question_hook"] is True
    assert answer.rule_findings["negative_bias"] is False
    judged = {answer.rule_findings[rule] for rule, tier in tiers.items() if tier == "semantic"}
    assert judged == {None}
    with database.connect() as connection:
        ((stored,),) = connection.execute(
            "select answer -> 'rule_findings' from app.analysis_results"
        ).fetchall()
    assert stored == answer.rule_findings


def test_outcomes_give_a_rule_its_lift_and_move_its_weight_by_a_step(database: Database) -> None:
    add_groups(database, 30, lift=30.0)
    validation = validate_rules(database)
    assert validation.posts == 60
    assert validation.moved == {RULE: pytest.approx(1.1)}
    assert accuracy_rows(database, "n_fired > 0") == [(RULE, "regex", 30, 30, 30.0, 1.0, False)]
    after = weights(database)
    assert after.pop(RULE) == pytest.approx(1.1)
    assert set(after.values()) == {1.0}


def test_a_second_run_without_new_outcomes_changes_nothing(database: Database) -> None:
    """The replaced system counted the same thirty days anew every night."""
    add_groups(database, 30, lift=30.0)
    validate_rules(database)
    before = weights(database), accuracy_rows(database), rule_rows(database)
    assert validate_rules(database).moved == {}
    assert (weights(database), accuracy_rows(database), rule_rows(database)) == before


def test_new_outcomes_lead_a_weight_on_to_its_bound_and_no_further(database: Database) -> None:
    for run in range(7):
        add_groups(database, 30, lift=-60.0, at=run * 60)
        assert validate_rules(database).posts == (run + 1) * 60
    assert weights(database)[RULE] == pytest.approx(0.5)


def test_with_too_few_posts_in_a_group_a_lift_is_told_and_no_weight_moves(
    database: Database,
) -> None:
    add_groups(database, 29, lift=60.0)
    assert validate_rules(database).moved == {}
    assert accuracy_rows(database, "n_fired > 0") == [(RULE, "regex", 29, 29, 60.0, 1.0, False)]


def test_rules_that_were_not_evaluated_have_a_row_without_posts(database: Database) -> None:
    add_posts(database, None, [10.0, 90.0])
    validate_rules(database)
    rows = accuracy_rows(database)
    assert len(rows) == 25
    assert {row[2:] for row in rows} == {(0, 0, None, None, False)}


def test_a_judge_s_verdicts_do_not_count_for_a_rule_that_a_pattern_decides(
    database: Database,
) -> None:
    add_posts(database, 9.0, [90.0] * 30)
    add_posts(database, 1.0, [10.0] * 30, first=30)
    validate_rules(database)
    assert [row[:4] for row in accuracy_rows(database, f"rule_id = '{RULE}'")] == [
        (RULE, "regex", 0, 0),
        (RULE, "semantic", 30, 30),
    ]
    assert weights(database)[RULE] == 1.0


def test_a_judged_rule_learns_from_its_judge(database: Database) -> None:
    add_groups(database, 30, lift=30.0, rule="loop_structure")
    assert validate_rules(database).moved == {"loop_structure": pytest.approx(1.1)}


def test_a_post_with_two_answers_counts_once_by_the_last_one(database: Database) -> None:
    add_posts(database, False, [70.0], creator="@Somebody", text="a first draft")
    add_posts(database, True, [70.0], creator="somebody", text="what was published")
    with database.connect() as connection:
        connection.execute(
            "update app.analysis_results set created_at = created_at + interval '1 hour' "
            "where creator_handle = 'somebody'"
        )
    assert validate_rules(database).posts == 1
    assert [row[:4] for row in accuracy_rows(database, "n_fired > 0")] == [(RULE, "regex", 1, 0)]


def test_posts_of_unknown_creators_are_told_apart_by_text_and_time(database: Database) -> None:
    add_posts(database, True, [70.0], text="one")
    add_posts(database, True, [70.0], text="one")
    add_posts(database, True, [70.0], text="another")
    add_posts(database, True, [70.0], text="one", first=1)
    assert validate_rules(database).posts == 3


def test_outcomes_of_another_age_do_not_count(database: Database) -> None:
    add_posts(database, True, [70.0], age_hours=337.0)
    with pytest.raises(NotEnoughDataError, match="168 to 336 hours"):
        validate_rules(database)
    assert accuracy_rows(database) == []


def test_without_rules_the_way_to_them_is_named(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(rule_library.delete())
    with pytest.raises(NotEnoughDataError, match="viral run load_rules"):
        validate_rules(database)


def test_one_simulated_outcome_marks_what_was_learned(database: Database) -> None:
    add_posts(database, True, [50.0])
    assert not validate_rules(database).is_simulated
    add_posts(database, True, [50.0], is_simulated=True, first=1)
    assert validate_rules(database).is_simulated
    assert {row[-1] for row in accuracy_rows(database)} == {True}
    assert {row["is_simulated"] for row in rule_rows(database)} == {True}


def test_runs_at_once_move_a_weight_once(database: Database) -> None:
    add_groups(database, 30, lift=30.0)
    with ThreadPoolExecutor(2) as runs:
        moved = [run.moved for run in runs.map(validate_rules, [database] * 2)]
    assert sorted(map(len, moved)) == [0, 1]
    assert weights(database)[RULE] == pytest.approx(1.1)


def test_a_new_release_of_the_library_keeps_what_was_learned(database: Database) -> None:
    add_groups(database, 30, lift=30.0)
    validate_rules(database)
    before = rule_rows(database)
    sync_rule_library(database)
    assert rule_rows(database) == before


def test_there_is_a_reason_to_wait_until_the_next_outcome(database: Database) -> None:
    assert why_rules_stay(database) == "No outcome was reported yet."
    add_groups(database, 1, lift=5.0)
    assert why_rules_stay(database) is None
    validate_rules(database)
    assert "all were counted" in (why_rules_stay(database) or "")
    add_groups(database, 1, lift=5.0, at=50)
    assert why_rules_stay(database) is None
