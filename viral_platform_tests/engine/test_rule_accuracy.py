from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, ttest_ind

from viral_platform.engine.contracts import RuleFinding
from viral_platform.engine.rule_accuracy import (
    MAX_DEPARTURE,
    MAX_STEP,
    MIN_EACH,
    PACKAGED_WEIGHT,
    JudgedPost,
    RuleAccuracy,
    next_weight,
    rule_accuracies,
)

SCORES = st.integers(0, 400).map(lambda quarter: quarter / 4)
FINDINGS = st.sampled_from([True, False, 7.0, 2.5, None])
POSTS = st.lists(
    st.builds(JudgedPost, st.dictionaries(st.sampled_from("abc"), FINDINGS), actual_score=SCORES),
    max_size=60,
)
WEIGHTS = st.floats(PACKAGED_WEIGHT - MAX_DEPARTURE, PACKAGED_WEIGHT + MAX_DEPARTURE)
GROUPS = st.lists(SCORES, min_size=2, max_size=40)


def posts(finding: RuleFinding, scores: list[float], rule_id: str = "a") -> list[JudgedPost]:
    return [JudgedPost({rule_id: finding}, score) for score in scores]


def told(low: float, high: float, n: int = MIN_EACH) -> RuleAccuracy:
    """What outcomes may say of a rule."""
    return RuleAccuracy("a", "regex", n, n, (low + high) / 2, low, high, 0.5)


LIFTS = st.builds(
    lambda one, other, n: told(min(one, other), max(one, other), n),
    st.floats(-100, 100), st.floats(-100, 100), st.integers(MIN_EACH, 1000),
)  # fmt: skip


def test_the_lift_is_the_difference_of_the_means_with_the_interval_of_welch() -> None:
    draw = np.random.default_rng(3)
    with_it, without = list(draw.uniform(30, 90, 40)), list(draw.uniform(0, 100, 70))
    found = rule_accuracies(posts(True, with_it) + posts(False, without))["a", "regex"]
    test = ttest_ind(with_it, without, equal_var=False)
    interval = test.confidence_interval(0.95)
    assert (found.n_fired, found.n_not_fired) == (40, 70)
    assert found.lift == pytest.approx(np.mean(with_it) - np.mean(without))
    assert (found.lift_low, found.lift_high) == pytest.approx((interval.low, interval.high))


def test_the_accuracy_is_the_share_of_pairs_that_the_rule_puts_in_order() -> None:
    with_it, without = [50.0, 70.0, 70.0], [10.0, 50.0, 90.0]
    found = rule_accuracies(posts(True, with_it) + posts(False, without))["a", "regex"]
    assert found.accuracy == pytest.approx(mannwhitneyu(with_it, without).statistic / 9)


def test_what_was_not_evaluated_is_neither_fired_nor_not_fired() -> None:
    """It used to be counted as not fired: an answer stored matches alone."""
    found = rule_accuracies(posts(True, [50.0]) + posts(False, [40.0]) + posts(None, [0.0] * 9))
    assert found["a", "regex"].lift == 10.0
    assert rule_accuracies(posts(None, [1.0])) == {}


def test_a_judge_and_a_pattern_are_told_apart_and_a_verdict_of_five_holds() -> None:
    found = rule_accuracies(
        posts(5.0, [80.0]) + posts(4.9, [20.0]) + posts(True, [10.0]) + posts(False, [30.0])
    )
    assert found["a", "semantic"].lift == 60.0
    assert found["a", "regex"].lift == -20.0


def test_groups_without_scatter_have_an_interval_without_width() -> None:
    found = rule_accuracies(posts(True, [60.0] * 30) + posts(False, [50.0] * 30))["a", "regex"]
    assert (found.lift_low, found.lift, found.lift_high) == (10.0, 10.0, 10.0)


@pytest.mark.parametrize(
    ("with_it", "without", "lift"),
    [([1.0], [], None), ([], [1.0], None), ([4.0], [1.0, 2.0], 2.5)],
    ids=["never not", "never", "a lone post"],
)
def test_what_cannot_be_told_is_none(
    with_it: list[float], without: list[float], lift: float | None
) -> None:
    found = rule_accuracies(posts(True, with_it) + posts(False, without))["a", "regex"]
    assert found.lift == lift
    assert (found.lift_low, found.lift_high) == (None, None)


@given(POSTS, st.randoms(use_true_random=False))
def test_the_order_of_posts_does_not_matter(judged: list[JudgedPost], draw: st.DrawFn) -> None:
    mixed = list(judged)
    draw.shuffle(mixed)
    assert rule_accuracies(mixed) == rule_accuracies(judged)


@given(POSTS)
def test_every_figure_is_within_its_range(judged: list[JudgedPost]) -> None:
    for (rule_id, tier), found in rule_accuracies(judged).items():
        assert (found.rule_id, found.tier) == (rule_id, tier)
        kind = bool if tier == "regex" else float
        evaluated = sum(isinstance(post.findings.get(rule_id), kind) for post in judged)
        assert found.n_fired + found.n_not_fired == evaluated
        if found.lift is not None:
            assert -100 <= found.lift <= 100
            assert 0 <= (found.accuracy or 0) <= 1
        if found.lift_low is not None:
            assert found.lift_low <= found.lift <= found.lift_high


@given(GROUPS, GROUPS)
def test_what_holds_for_a_rule_is_the_reverse_of_what_holds_for_its_absence(
    first: list[float], second: list[float]
) -> None:
    found = rule_accuracies(posts(True, first) + posts(False, second))["a", "regex"]
    turned = rule_accuracies(posts(False, first) + posts(True, second))["a", "regex"]
    assert turned.lift == pytest.approx(-found.lift)
    assert turned.lift_low == pytest.approx(-found.lift_high)
    assert turned.accuracy == pytest.approx(1 - found.accuracy)


@pytest.mark.parametrize(
    ("low", "high", "weight"),
    [
        pytest.param(2.0, 9.0, 1.05, id="its certain part counts"),
        pytest.param(-9.0, -2.0, 0.95, id="against it"),
        pytest.param(19.0, 60.0, 1.1, id="a step at most"),
        pytest.param(-3.0, 9.0, 1.0, id="zero inside"),
    ],
)
def test_a_weight_follows_the_certain_part_of_the_lift(
    low: float, high: float, weight: float
) -> None:
    assert next_weight(1.0, told(low, high), None) == pytest.approx(weight)
    mirrored = next_weight(1.0, told(low, high), None, is_fault=True)
    assert mirrored == pytest.approx(2 - weight)


def test_a_departure_that_outcomes_no_longer_bear_out_is_taken_back_by_steps() -> None:
    assert next_weight(1.3, told(-3, 9), told(2, 9)) == pytest.approx(1.2)


@given(WEIGHTS, LIFTS, st.booleans())
def test_a_weight_stays_in_its_bounds_and_moves_by_a_step_at_most(
    weight: float, found: RuleAccuracy, is_fault: bool
) -> None:
    moved = next_weight(weight, found, None, is_fault=is_fault)
    assert abs(moved - weight) <= MAX_STEP + 1e-9
    assert abs(moved - PACKAGED_WEIGHT) <= MAX_DEPARTURE + 1e-9


@given(WEIGHTS, LIFTS)
def test_the_same_outcomes_twice_move_a_weight_once(weight: float, found: RuleAccuracy) -> None:
    moved = next_weight(weight, found, None)
    assert next_weight(moved, found, found) == moved


@given(WEIGHTS, st.integers(0, MIN_EACH - 1), st.booleans())
def test_too_few_posts_in_either_group_move_nothing(weight: float, n: int, is_fired: bool) -> None:
    counts = (n, 5000) if is_fired else (5000, n)
    found = RuleAccuracy("a", "regex", *counts, 40.0, 30.0, 50.0, 0.9)
    assert next_weight(weight, found, None) == weight


@given(LIFTS, LIFTS)
def test_new_outcomes_that_say_the_same_lead_to_the_same_weight(
    first: RuleAccuracy, second: RuleAccuracy
) -> None:
    """Wherever the weight was, five steps at most lead to what the newest outcomes say."""
    low = high = PACKAGED_WEIGHT
    for _ in range(6):
        low = next_weight(low, first, None)
    for _ in range(11):
        low, high = next_weight(low, second, None), next_weight(high, second, None)
    assert low == pytest.approx(high)
