from __future__ import annotations

from itertools import combinations
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.aggregate import (
    BASE_WEIGHTS,
    Signals,
    build_factors,
    confidence,
    raw_score,
    round_half_up,
    warnings,
    weights,
)
from viral_platform.engine.contracts import (
    SIGNALS,
    MatchedRule,
    MatchedSound,
    MlResult,
    RuleResult,
    ScoreInterval,
    SignalName,
    TrendResult,
)

SCORE = st.none() | st.floats(0, 100)
ANY_SIGNALS = st.builds(
    Signals,
    behavioral=SCORE,
    gemini=SCORE,
    ml=SCORE,
    rules=SCORE,
    trends=SCORE,
    matched_sounds=st.integers(0, 3),
    matched_rules=st.integers(0, 5),
    deepseek_confidence=st.sampled_from(["low", "medium", "high", None]),
    has_video=st.booleans(),
)
ALL_THERE = Signals(behavioral=80, gemini=60, ml=50, rules=40, trends=20)


@pytest.mark.parametrize(
    ("x", "digits", "rounded"),
    [(2.5, 0, 3), (3.5, 0, 4), (-0.5, 0, 0), (-1.5, 0, -1), (0.125, 2, 0.13), (55.0, 0, 55)],
)
def test_halves_are_rounded_up(x: float, digits: int, rounded: float) -> None:
    assert round_half_up(x, digits) == rounded


def test_with_every_signal_the_base_weights_hold() -> None:
    assert weights(SIGNALS) == {
        "behavioral": 0.35,
        "gemini": 0.25,
        "ml": 0.15,
        "rules": 0.15,
        "trends": 0.10,
    }


@pytest.mark.parametrize("size", range(1, 6))
def test_weights_of_any_choice_of_signals_sum_to_one(size: int) -> None:
    """Rounded one by one, three of the combinations once summed to 1.001."""
    for available in combinations(SIGNALS, size):
        share = weights(available)
        assert sum(share.values()) == pytest.approx(1, abs=1e-12)
        assert all((share[name] > 0) == (name in available) for name in SIGNALS)
        total = sum(BASE_WEIGHTS[name] for name in available)
        for name in available:
            assert share[name] == pytest.approx(BASE_WEIGHTS[name] / total, abs=1e-3)


def test_without_signals_all_weights_are_zero() -> None:
    assert weights([]) == dict.fromkeys(SIGNALS, 0.0)


@given(st.lists(st.sampled_from(SIGNALS), unique=True))
def test_weights_do_not_depend_on_the_order_of_the_signals(available: list[SignalName]) -> None:
    assert weights(available) == weights(available[::-1])
    assert list(weights(available)) == list(SIGNALS)


@pytest.mark.parametrize(
    ("signals", "score"),
    [
        pytest.param(ALL_THERE, 59, id="all"),
        pytest.param(Signals(ml=47.4), 47, id="one-signal-is-the-score"),
        pytest.param(Signals(rules=40, trends=20), 32, id="two"),
        pytest.param(Signals(rules=0, trends=0), 0, id="zero-is-evaluated"),
        pytest.param(Signals(), None, id="none"),
    ],
)
def test_the_raw_score_is_the_weighted_mean_of_what_is_there(
    signals: Signals, score: float | None
) -> None:
    assert raw_score(signals) == score


@given(ANY_SIGNALS)
def test_a_raw_score_lies_within_its_signals(signals: Signals) -> None:
    scores = signals.scores().values()
    score = raw_score(signals)
    if not scores:
        assert score is None
    else:
        assert score is not None
        assert min(scores) - 0.5 - 1e-9 <= score <= max(scores) + 0.5 + 1e-9
        assert 0 <= score <= 100
        assert score == int(score)


@given(ANY_SIGNALS)
def test_confidence_is_a_share_with_its_label(signals: Signals) -> None:
    value, label = confidence(signals)
    assert 0 <= value <= 1
    assert label == ("HIGH" if value >= 0.7 else "MEDIUM" if value >= 0.4 else "LOW")


@pytest.mark.parametrize(
    ("signals", "value", "label"),
    [
        pytest.param(
            Signals(gemini=60, behavioral=70, rules=1, trends=1), 0.6, "MEDIUM", id="agree"
        ),
        pytest.param(Signals(gemini=40, behavioral=20, rules=1, trends=1), 0.6, "MEDIUM", id="low"),
        pytest.param(
            Signals(gemini=57, behavioral=43, rules=1, trends=1), 0.4, "MEDIUM", id="close"
        ),
        pytest.param(Signals(gemini=58, behavioral=42, rules=1, trends=1), 0.2, "LOW", id="far"),
        pytest.param(Signals(gemini=60, behavioral=70), 0.5, "MEDIUM", id="no-rules-no-trends"),
        pytest.param(
            Signals(60, 70, 50, 50, 50, 1, 3, "high", has_video=True), 1.0, "HIGH", id="everything"
        ),
        pytest.param(
            Signals(60, 70, 50, 50, 50, 0, 2, "medium"), 0.65, "MEDIUM", id="medium-and-two-rules"
        ),
        pytest.param(Signals(60, 70, 50, 50, 50, 1, 0, "low"), 0.7, "HIGH", id="at-the-edge"),
        pytest.param(Signals(ml=90, rules=90, trends=90, matched_rules=9), 0.2, "LOW", id="no-llm"),
        pytest.param(Signals(), 0.2, "LOW", id="nothing"),
    ],
)
def test_confidence_of_known_cases(signals: Signals, value: float, label: str) -> None:
    assert confidence(signals) == (value, label)


@pytest.mark.parametrize("gemini", [10.0, 45.0, 90.0])
def test_an_absent_signal_agrees_with_nothing(gemini: float) -> None:
    """A missing score of 0 once agreed with every low one and doubled the confidence."""
    assert confidence(Signals(gemini=gemini, rules=1, trends=1)) == (0.2, "LOW")
    assert confidence(Signals(behavioral=gemini, rules=1, trends=1)) == (0.2, "LOW")


def test_with_every_signal_and_confidence_there_is_nothing_to_warn_of() -> None:
    assert warnings(ALL_THERE, None) == []


def test_missing_signals_are_named_in_order_with_who_takes_their_weight() -> None:
    assert warnings(Signals(behavioral=60, gemini=60, rules=50), None) == [
        "Missing signals: ml, trends; their weight was redistributed to behavioral, gemini, rules."
    ]


@pytest.mark.parametrize(
    ("signals", "basis"),
    [
        pytest.param(Signals(ml=50), "ml only", id="one"),
        pytest.param(Signals(rules=50, trends=50), "rules and trends only", id="two"),
        pytest.param(Signals(ml=1, rules=1, trends=1), "ml, rules and trends only", id="three"),
    ],
)
def test_without_language_models_the_basis_of_the_score_is_named(
    signals: Signals, basis: str
) -> None:
    """It once said "rules and trends only" although the model took part."""
    lines = warnings(signals, None)
    assert lines[1] == f"No language model answered; the score rests on {basis}."
    assert lines[2].startswith("Confidence is low")


def test_a_withheld_model_is_named_with_its_reason() -> None:
    lines = warnings(Signals(behavioral=60, gemini=60, rules=1, trends=1), "accuracy 0.31 < 0.60")
    assert lines[1] == "The tier model's score is withheld: accuracy 0.31 < 0.60"


def test_without_any_signal_it_says_that_there_is_no_score() -> None:
    first, *rest = warnings(Signals(), None)
    assert first == ("Missing signals: behavioral, gemini, ml, rules, trends; there is no score.")
    assert not any("rests on" in line for line in rest)


@given(ANY_SIGNALS)
def test_each_missing_signal_is_named(signals: Signals) -> None:
    missing = [name for name in SIGNALS if name not in signals.scores()]
    lines = warnings(signals, None)
    assert not missing or f"Missing signals: {', '.join(missing)};" in lines[0]


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
    factors = build_factors(rules, trend_result(35), ml_result(54))
    assert [(factor.id, factor.score) for factor in factors] == [
        ("hook", 10),
        ("clarity", 5),
        ("rule_coverage", 4.2),
        ("trend_fit", 3.5),
        ("model_expectation", 5.4),
    ]
    assert all(factor.rationale and factor.improvement_tip for factor in factors)


def test_absent_signals_give_no_factor() -> None:
    assert build_factors(NO_RULES, NO_TRENDS, NO_MODEL) == []


@pytest.mark.parametrize("kind", ["rules", "trends", "ml"])
def test_a_factor_speaks_of_a_present_signal_only(kind: Literal["rules", "trends", "ml"]) -> None:
    factors = build_factors(
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
        pytest.param([held("story_hook", -3)], 0, id="a-fault-is-no-hook"),
        pytest.param([held("story_hook", 0, 0)], 0, id="maximum-of-zero"),
        pytest.param([], 0, id="none"),
    ],
)
def test_the_hook_is_as_strong_as_the_strongest_that_holds(
    matched: list[MatchedRule], score: float
) -> None:
    rules = rule_result(*matched, unmatched=("question_hook",))
    assert build_factors(rules, NO_TRENDS, NO_MODEL)[0].score == score


def test_a_rule_factor_shows_the_words_behind_it() -> None:
    hook, clarity, coverage = build_factors(
        rule_result(held("question_hook"), unmatched=("cta_clarity",)), NO_TRENDS, NO_MODEL
    )
    assert hook.rationale == "Question Hook: words of question_hook"
    assert clarity.rationale == "Neither a short first sentence nor a call to action."
    assert coverage.rationale == "1 of 2 rules hold; rule score 42 of 100."


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
    ],
)
def test_the_trend_factor_names_what_is_taken_up(trends: TrendResult, rationale: str) -> None:
    (factor,) = build_factors(NO_RULES, trends, NO_MODEL)
    assert factor.rationale == rationale


@pytest.mark.parametrize(
    ("interval", "rationale"),
    [
        (False, "Posts with these facts reach about 54 of 100."),
        (True, "Posts with these facts reach about 54 of 100, between 30 and 71 in 80% of cases."),
    ],
)
def test_the_model_factor_shows_its_number(interval: bool, rationale: str) -> None:
    (factor,) = build_factors(NO_RULES, NO_TRENDS, ml_result(54.4, interval=interval))
    assert factor.rationale == rationale
