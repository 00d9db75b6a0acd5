from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.contracts import (
    MatchedRule,
    MatchedSound,
    MlResult,
    Rule,
    RuleResult,
    ScoreInterval,
    TrendResult,
)
from viral_platform.engine.reasons import build_factors, build_suggestions

from .spoken import analysis, reasoning


def held(rule_id: str, score: float = 10.0, max_score: float = 10.0) -> MatchedRule:
    return MatchedRule(
        rule_id=rule_id,
        rule_name=rule_id.replace("_", " ").title(),
        score=score,
        max_score=max_score,
        tier="regex",
        evidence=f"words of {rule_id}",
    )


def rule_result(
    *matched: MatchedRule, unmatched: tuple[str, ...] = (), score: float | None = 42
) -> RuleResult:
    return RuleResult(
        rule_score=score,
        matched_rules=list(matched),
        evaluated=len(matched) + len(unmatched),
        not_evaluated=[],
        unmatched_rules=list(unmatched),
    )


def trend_result(
    score: float | None, *names: str, tags: tuple[str, ...] = (), saturated: tuple[str, ...] = ()
) -> TrendResult:
    return TrendResult(
        trend_score=score,
        matched_sounds=[
            MatchedSound(
                sound_id=name,
                sound_name=name,
                velocity_score=40,
                trend_phase="rising",
                similarity=1,
            )
            for name in names
        ],
        matched_hashtags=list(tags),
        saturated_hashtags=list(saturated),
        hashtag_relevance=None,
        trend_context="",
    )


def ml_result(score: float | None, *, interval: bool = False) -> MlResult:
    return MlResult(
        horizon="settled",
        ml_score=score,
        tier_probabilities=None,
        interval=ScoreInterval(low=30, high=71, level=0.8) if interval else None,
        model_version="1",
    )


NO_RULES = rule_result(score=None)
NO_TRENDS = trend_result(None)
NO_MODEL = ml_result(None)


def test_each_present_signal_gives_its_factors() -> None:
    rules = rule_result(held("question_hook"), held("cta_clarity"), unmatched=("caption_hook",))
    factors = build_factors(None, rules, trend_result(35), ml_result(54))
    assert [(factor.id, factor.score) for factor in factors] == [
        ("hook", 10),
        ("clarity", 5),
        ("rule_coverage", 4.2),
        ("trend_fit", 3.5),
        ("model_expectation", 5.4),
    ]
    assert all(f.rationale and f.evidence and f.improvement_tip for f in factors)


def test_absent_signals_give_no_factor() -> None:
    assert build_factors(None, NO_RULES, NO_TRENDS, NO_MODEL) == []


@pytest.mark.parametrize("kind", ["rules", "trends", "ml"])
def test_a_factor_speaks_of_a_present_signal_only(kind: Literal["rules", "trends", "ml"]) -> None:
    factors = build_factors(
        None,
        rule_result(unmatched=("question_hook",)) if kind == "rules" else NO_RULES,
        trend_result(0) if kind == "trends" else NO_TRENDS,
        ml_result(50) if kind == "ml" else NO_MODEL,
    )
    expected = {
        "rules": ["hook", "rule_coverage"],
        "trends": ["trend_fit"],
        "ml": ["model_expectation"],
    }
    assert [factor.id for factor in factors] == expected[kind]


@pytest.mark.parametrize(
    ("matched", "score"),
    [
        pytest.param([held("story_hook", 6.67), held("bold_claim", 5.33)], 6.7, id="strongest"),
        pytest.param([held("story_hook", 0.5, 1)], 5, id="maximum-of-one"),
        pytest.param([held("story_hook", -3)], 0, id="a-fault-is-no-hook"),
        pytest.param([held("story_hook", 0, 0)], 0, id="maximum-of-zero"),
        pytest.param([], 0, id="none"),
    ],
)
def test_the_hook_is_as_strong_as_the_strongest_that_holds(
    matched: list[MatchedRule], score: float
) -> None:
    rules = rule_result(*matched, unmatched=("question_hook",))
    assert build_factors(None, rules, NO_TRENDS, NO_MODEL)[0].score == score


def test_a_rule_factor_shows_the_words_behind_it() -> None:
    hook, clarity, coverage = build_factors(
        None, rule_result(held("question_hook"), unmatched=("cta_clarity",)), NO_TRENDS, NO_MODEL
    )
    assert hook.evidence == "Question Hook: words of question_hook"
    assert clarity.rationale == "Neither a short first sentence nor a call to action."
    assert clarity.evidence == "0 of 1 found"
    assert (coverage.rationale, coverage.evidence) == (
        "1 of 2 rules hold.",
        "rule score 42 of 100",
    )


@pytest.mark.parametrize(
    ("trends", "rationale"),
    [
        pytest.param(trend_result(0), "Takes up no trending sound or hashtag.", id="none"),
        pytest.param(
            trend_result(48, "Paper Boat", tags=("dalat",)),
            "Takes up Paper Boat (rising), #dalat.",
            id="some",
        ),
        pytest.param(
            trend_result(1, saturated=("fyp",)),
            "Takes up no trending sound or hashtag; saturated: #fyp.",
            id="saturated",
        ),
        pytest.param(
            trend_result(1, tags=("dalat",), saturated=("fyp", "viral")),
            "Takes up #dalat; saturated: #fyp, #viral.",
            id="both",
        ),
    ],
)
def test_the_trend_factor_names_what_is_taken_up(trends: TrendResult, rationale: str) -> None:
    (factor,) = build_factors(None, NO_RULES, trends, NO_MODEL)
    assert factor.rationale == rationale


@pytest.mark.parametrize(
    ("interval", "rationale"),
    [
        (False, "Posts with these facts reach about 54 of 100."),
        (True, "Posts with these facts reach about 54 of 100, between 30 and 71 in 80% of cases."),
    ],
)
def test_the_model_factor_shows_its_number(interval: bool, rationale: str) -> None:
    (factor,) = build_factors(None, NO_RULES, NO_TRENDS, ml_result(54.4, interval=interval))
    assert factor.rationale == rationale


def test_a_factor_of_what_holds_says_so() -> None:
    rules = rule_result(held("question_hook"), held("bold_claim"), held("cta_clarity"))
    hook, clarity, _ = build_factors(None, rules, NO_TRENDS, NO_MODEL)
    assert hook.rationale == "The opening uses a hook."
    assert hook.evidence == (
        "Question Hook: words of question_hook; Bold Claim: words of bold_claim"
    )
    assert clarity.rationale == "It says what it is about, or asks for something."


def test_without_a_hook_it_says_how_many_were_looked_for() -> None:
    rules = rule_result(unmatched=("question_hook", "bold_claim", "cta_clarity"))
    hook, *_ = build_factors(None, rules, NO_TRENDS, NO_MODEL)
    assert hook.rationale == "None of the 2 hooks looked for is in the text."
    assert hook.evidence == "0 hooks found"


def test_the_scores_of_factors_have_one_decimal() -> None:
    factors = build_factors(None, rule_result(score=42.46), trend_result(35.46), ml_result(54.46))
    assert [factor.score for factor in factors] == [4.2, 3.5, 5.4]


def test_the_model_factor_names_its_version_and_horizon() -> None:
    saved = ml_result(54)
    unsaved = saved.model_copy(update={"model_version": None})
    for found, evidence in [
        (saved, "model 1, horizon settled"),
        (unsaved, "model unsaved, horizon settled"),
    ]:
        (factor,) = build_factors(None, NO_RULES, NO_TRENDS, found)
        assert factor.evidence == evidence


def test_each_factor_has_a_name_and_says_what_to_change() -> None:
    rules = rule_result(unmatched=("question_hook", "cta_clarity"))
    factors = build_factors(None, rules, trend_result(35), ml_result(54))
    assert {factor.name: factor.improvement_tip for factor in factors} == {
        "Hook": "Open with a question, a bold claim, a warning or the start of a story.",
        "Clarity and call to action": (
            "Say in one short first sentence what it is about; end with one request."
        ),
        "Rule coverage": "Take up the strongest rule that does not hold yet; see the suggestions.",
        "Trend fit": "Use a sound that is emerging or rising and tags that fit the subject.",
        "Model expectation": "Length, hashtags and posting time are the facts that you can change.",
    }


SHARES = {"behavioral": 0.35, "gemini": 0.25, "ml": 0.15, "rules": 0.15, "trends": 0.1}


def test_the_factors_of_the_content_analysis_come_first_with_what_they_quote() -> None:
    spoken = analysis(7, evidence="the calmest river")
    factors = build_factors(spoken, NO_RULES, NO_TRENDS, ml_result(54))
    assert [factor.id for factor in factors] == [
        *(f"factor-{number}" for number in range(1, 6)),
        "model_expectation",
    ]
    assert factors[0].evidence == "\u201cthe calmest river\u201d"
    assert build_factors(analysis(7), NO_RULES, NO_TRENDS, NO_MODEL)[0].evidence == (
        "the model's own 7 of 10; it quotes nothing"
    )


def test_a_suggestion_is_worth_at_most_what_its_category_lacks() -> None:
    said = reasoning(
        6,
        suggestions=[
            {"text": "shorten", "priority": "low", "category": "format"},
            {"text": "share it", "priority": "high", "category": "content"},
            {"text": "all of it", "priority": "medium", "category": "mood"},
        ],
    )
    found = build_suggestions(said, [], NO_RULES, SHARES)  # type: ignore[arg-type]
    assert [(s.id, s.max_effect) for s in found] == [
        ("suggestion-3", 14.0),
        ("suggestion-2", 8.0),
        ("suggestion-1", 2.0),
    ]


def test_the_effect_of_a_suggestion_has_one_decimal() -> None:
    said = reasoning(6.4, suggestions=[{"text": "t", "priority": "low", "category": "format"}])
    (found,) = build_suggestions(said, [], NO_RULES, SHARES | {"behavioral": 0.25})  # type: ignore[arg-type]
    assert found.max_effect == 1.3


def test_the_three_rules_that_would_add_most_are_suggested_with_their_priority() -> None:
    """Ten rules of ten points each: what a judged one lacks is what it would add."""
    lacks = {"calm": 1.0, "loop": 3.9, "pace": 6.0, "end": 4.0} | {f"full_{n}": 0 for n in range(6)}
    library = [
        Rule(name, name, "format", "semantic", name, 10, None, improvement_tip=f"Mind the {name}.")
        for name in lacks
    ]
    judged = rule_result(unmatched=tuple(lacks)).model_copy(
        update={"semantic_scores": {name: 10 - points for name, points in lacks.items()}}
    )
    found = build_suggestions(None, library, judged, SHARES)  # type: ignore[arg-type]
    assert [(tip.id, tip.text, tip.priority, tip.max_effect) for tip in found] == [
        ("rule-pace", "Mind the pace.", "high", 0.9),
        ("rule-end", "Mind the end.", "medium", 0.6),
        ("rule-loop", "Mind the loop.", "low", 0.6),
    ]


@given(st.floats(0, 10), st.sampled_from(["hook", "content", "format", "audio", "timing", "?"]))
def test_no_suggestion_promises_more_than_its_signal_lacks(score: float, category: str) -> None:
    said = reasoning(score, suggestions=[{"text": "t", "priority": "low", "category": category}])
    (found,) = build_suggestions(said, [], NO_RULES, SHARES)  # type: ignore[arg-type]
    assert found.max_effect <= (10 - score) * 10 * SHARES["behavioral"] + 0.05
