from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.aggregate import (
    BASE_WEIGHTS,
    LANGUAGE_MODELS,
    Signals,
    behavioral_score,
    confidence,
    gemini_score,
    raw_score,
    round_half_up,
    warnings,
    weights,
)
from viral_platform.engine.contracts import SIGNALS, SignalName

from .spoken import analysis, reasoning

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
        alone = set(available) <= set(LANGUAGE_MODELS)
        assert sum(share.values()) == pytest.approx(0.6 if alone else 1, abs=1e-12)
        assert all((share[name] > 0) == (name in available) for name in SIGNALS)


@pytest.mark.parametrize("size", range(1, 6))
def test_within_its_group_each_signal_weighs_in_proportion_to_its_base(size: int) -> None:
    for available in combinations(SIGNALS, size):
        share = weights(available)
        for group in (LANGUAGE_MODELS, tuple(set(SIGNALS) - set(LANGUAGE_MODELS))):
            there = [name for name in group if name in available]
            total = sum(BASE_WEIGHTS[name] for name in there)
            weight = sum(share[name] for name in there)
            for name in there:
                assert share[name] == pytest.approx(BASE_WEIGHTS[name] / total * weight, abs=1e-3)


@pytest.mark.parametrize("size", range(1, 6))
def test_language_models_never_weigh_more_than_their_base_weights_together(size: int) -> None:
    """With trends missing they once weighed 0.667, alone 1: one caption could set the score."""
    for available in combinations(SIGNALS, size):
        assert sum(weights(available)[name] for name in LANGUAGE_MODELS) <= 0.6 + 1e-12


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        pytest.param(["gemini", "ml", "rules", "trends"], (0, 0.384, 0.231, 0.231, 0.154), id="1"),
        pytest.param(["behavioral", "gemini", "ml", "rules"], (0.35, 0.25, 0, 0, 0), id="capped"),
        pytest.param(["behavioral"], (0.6, 0, 0, 0, 0), id="alone"),
    ],
)
def test_weights_by_hand(available: list[SignalName], expected: tuple[float, ...]) -> None:
    share = weights(available)
    wanted = dict(zip(SIGNALS, expected, strict=True))
    if "behavioral" in available and "ml" in available:
        wanted |= {"ml": 0.2, "rules": 0.2}
    assert share == pytest.approx(wanted)


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
        pytest.param(Signals(behavioral=90), 74, id="language-models-alone-leave-0.4-at-50"),
        pytest.param(Signals(behavioral=84, gemini=84), 70, id="both-of-them-leave-it-too"),
        pytest.param(Signals(behavioral=100, gemini=100, rules=0), 60, id="capped"),
        pytest.param(Signals(), None, id="none"),
    ],
)
def test_the_raw_score_is_the_weighted_mean_of_what_is_there(
    signals: Signals, score: float | None
) -> None:
    assert raw_score(signals) == score


@given(ANY_SIGNALS)
def test_a_raw_score_lies_within_its_signals(signals: Signals) -> None:
    scores = list(signals.scores().values())
    if scores and set(signals.scores()) <= set(LANGUAGE_MODELS):
        scores.append(50)
    score = raw_score(signals)
    if not scores:
        assert score is None
    else:
        assert score is not None
        assert min(scores) - 0.5 - 1e-9 <= score <= max(scores) + 0.5 + 1e-9
        assert 0 <= score <= 100
        assert score == int(score)


@given(ANY_SIGNALS, SCORE, SCORE)
def test_whatever_language_models_say_moves_the_score_by_60_points_at_most(
    signals: Signals, behavioral: float | None, gemini: float | None
) -> None:
    """Also when they are talked out of an answer."""
    other = replace(signals, behavioral=behavioral, gemini=gemini)
    scores = raw_score(signals), raw_score(other)
    if None not in scores:
        assert abs(float(scores[0] or 0) - float(scores[1] or 0)) <= 60 + 1


@pytest.mark.parametrize(
    ("score", "behavioral", "gemini"), [(0.0, 0, 0), (7.24, 72, 72), (7.25, 73, 73), (10, 100, 100)]
)
def test_a_language_model_s_score_is_ten_times_its_mean(
    score: float, behavioral: float, gemini: float
) -> None:
    assert behavioral_score(reasoning(score)) == behavioral
    assert gemini_score(analysis(score)) == gemini


def test_one_model_that_gave_both_scores_does_not_agree_with_itself() -> None:
    both = Signals(behavioral=80, gemini=80, rules=50, trends=50, behavioral_source="gemini")
    assert confidence(both)[0] == pytest.approx(confidence(replace(both, gemini=None))[0])
    assert confidence(replace(both, behavioral_source="deepseek"))[0] == 0.6
    assert "The behavioral score is Gemini's, in the place of the reasoning model." in warnings(
        both, None
    )


def test_language_models_alone_say_that_the_rest_stays_in_the_middle() -> None:
    lines = warnings(Signals(behavioral=80, gemini=80), None)
    assert any("they weigh 60%" in line and "neutral 50" in line for line in lines)


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
        pytest.param(
            Signals(gemini=57, behavioral=42, rules=1, trends=1), 0.4, "MEDIUM", id="15-apart"
        ),
        pytest.param(Signals(gemini=58, behavioral=42, rules=1, trends=1), 0.2, "LOW", id="far"),
        pytest.param(
            Signals(gemini=50, behavioral=90, rules=1, trends=1), 0.6, "MEDIUM", id="50-is-high"
        ),
        pytest.param(
            Signals(gemini=90, behavioral=50, rules=1, trends=1), 0.6, "MEDIUM", id="so-for-both"
        ),
        pytest.param(
            Signals(60, 70, 50, 50, 50, has_video=True), 0.7, "HIGH", id="a-video-adds-0.1"
        ),
        pytest.param(
            Signals(60, 70, 50, 50, 50, matched_rules=3), 0.7, "HIGH", id="three-rules-add-0.1"
        ),
        pytest.param(
            Signals(gemini=60, rules=1, trends=1, has_video=True), 0.3, "LOW", id="gemini-alone"
        ),
        pytest.param(
            Signals(behavioral=60, rules=1, trends=1, deepseek_confidence="high"),
            *(0.3, "LOW"),
            id="reasoning-alone",
        ),
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


def test_at_medium_confidence_there_is_no_warning_of_low_confidence() -> None:
    close = replace(ALL_THERE, behavioral=57, gemini=43)
    assert confidence(close) == (0.4, "MEDIUM")
    assert warnings(close, None) == []


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
