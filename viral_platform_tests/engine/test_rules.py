from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.contracts import ContentPayload, Rule, RuleResult, Suggestion
from viral_platform.engine.reasons import (
    CLARITY_RULES,
    HOOK_RULES,
    MAX_RULE_TIPS,
    build_suggestions,
)
from viral_platform.engine.replies import RuleVerdict
from viral_platform.engine.rules import (
    PATTERNS,
    gain,
    match_pattern,
    score_rules,
    semantic_rules,
    tip_effects,
)

WORD_PATTERNS = (
    "curiosity_gap", "negative_bias", "bold_claim", "story_hook", "payoff_delay",
    "pattern_interrupt", "cta_clarity", "authenticity",
)  # fmt: skip
PHRASES = (
    "the secret", "a mistake", "everyone", "one day", "wait for it", "plot twist", "follow", "we",
)  # fmt: skip


def payload(text: str, *, duration: float | None = None) -> ContentPayload:
    return ContentPayload(
        content_text=text,
        content_type="video",
        input_mode="text",
        platform="tiktok",
        video_url=None,
        hashtags=(),
        duration_seconds=duration,
        niche=None,
        creator_handle=None,
        society_id=None,
        posted_at=None,
    )


def rule(pattern: str | None, **changes: Any) -> Rule:
    identity = pattern or "none"
    plain = Rule(
        id=identity,
        name=identity.replace("_", " ").title(),
        category="hook",
        evaluation_tier="regex",
        pattern=pattern,
        score_modifier=15.0,
        improvement_tip=f"improve {identity}",
    )
    return replace(plain, **changes)


def library() -> list[dict[str, Any]]:
    text = files("viral_platform").joinpath("services/rule_library.yaml").read_text("utf-8")
    rules: list[dict[str, Any]] = yaml.safe_load(text)["rules"]
    return rules


@pytest.mark.parametrize(
    ("pattern", "text", "evidence"),
    [
        pytest.param("question_hook", "Bạn đã thử chưa? Đi thôi.", "Bạn đã thử chưa?", id="ask"),
        pytest.param("question_hook", "Really?🥰 #x", "Really?", id="emoji-after-the-mark"),
        pytest.param("question_hook", "Only 3.5 stars?", "Only 3.5 stars?", id="point-in-figure"),
        pytest.param("question_hook", "No. Or yes?", None, id="second-sentence"),
        pytest.param("question_hook", "Wow! Is it?", None, id="after-an-exclamation"),
        pytest.param("question_hook", "see x.com/a?b=1 and go", None, id="mark-in-an-address"),
        pytest.param("question_hook", "?", None, id="no-words"),
        pytest.param("question_hook", "", None, id="question-empty"),
        pytest.param("curiosity_gap", "The Secret truth", "secret, truth", id="two-words"),
        pytest.param("curiosity_gap", "secretly", None, id="part-of-a-word"),
        pytest.param("negative_bias", "Don’t do it", "don't", id="curly-apostrophe"),
        pytest.param("bold_claim", "No  one", None, id="two-spaces"),
        pytest.param("bold_claim", "no one, NO ONE", "no one", id="said-twice"),
        pytest.param("story_hook", "When I left", "when i", id="story"),
        pytest.param("payoff_delay", "await for items", "wait for it", id="no-borders"),
        pytest.param("pattern_interrupt", "Here’s the thing:", "here's the thing", id="thing"),
        pytest.param("cta_clarity", "link in bio", "link, bio", id="call"),
        pytest.param("authenticity", "mẹ ăn", None, id="no-first-person"),
        pytest.param("authenticity", "tôi đi", "i", id="accented-letter-ends-a-word"),
        pytest.param("info_density", "w " * 50, "51 words", id="trailing-piece-counts"),
        pytest.param("info_density", " ".join(["w"] * 50), None, id="fifty-words"),
        pytest.param("short_duration", "x" * 299, "299 characters", id="short"),
        pytest.param("short_duration", "🌸" * 150, None, id="emoji-count-two"),
        pytest.param("caption_hook", "Go! now", "Go!", id="first-sentence"),
        pytest.param("caption_hook", "line\nbreak.", "line\nbreak.", id="line-break"),
        pytest.param("caption_hook", "a" * 80 + ".", "a" * 80 + ".", id="eighty"),
        pytest.param("caption_hook", "a" * 81 + ".", None, id="eighty-one"),
        pytest.param("caption_hook", ".a.", None, id="starts-with-a-stop"),
        pytest.param("caption_hook", "no stop at all", None, id="no-stop"),
        pytest.param("no_such_pattern", "anything", None, id="unknown"),
    ],
)
def test_a_pattern_holds_with_its_evidence(pattern: str, text: str, evidence: str | None) -> None:
    assert match_pattern(pattern, payload(text)) == evidence


@pytest.mark.parametrize(
    ("pattern", "words", "duration", "evidence"),
    [
        pytest.param("info_density", 60, 20.0, "3.0 words a second (60 in 20 s)", id="fast"),
        pytest.param("info_density", 60, 60.0, None, id="many-words-spoken-slowly"),
        pytest.param("short_duration", 400, 30.0, "30 seconds", id="short-despite-its-text"),
        pytest.param("short_duration", 2, 31.0, None, id="long-despite-its-text"),
        pytest.param("short_duration", 2, 0.0, "3 characters", id="zero-is-unknown"),
    ],
)
def test_pace_and_length_go_by_the_duration_where_it_is_known(
    pattern: str, words: int, duration: float, evidence: str | None
) -> None:
    """The tests once counted words and characters whatever the length of the video."""
    content = payload(" ".join(["w"] * words), duration=duration)
    assert match_pattern(pattern, content) == evidence


def test_a_rule_that_holds_gives_its_share_of_the_maximum() -> None:
    rules = [rule("cta_clarity", score_modifier=8.0), rule("story_hook", score_modifier=10.0)]
    result = score_rules(payload("follow me"), rules)
    (found,) = result.matched_rules
    assert found.score == pytest.approx(8 / 15 * 10)
    assert (found.rule_id, found.max_score, found.tier) == ("cta_clarity", 10, "regex")
    assert found.evidence == "follow"
    assert result.rule_score == 27
    assert (result.evaluated, result.unmatched_rules) == (2, ["story_hook"])


def test_a_modifier_beyond_the_full_one_is_capped_at_the_maximum() -> None:
    assert gain(rule("cta_clarity", score_modifier=30.0, max_score=4.0)) == 4


def test_weights_count_above_and_below_the_line() -> None:
    """With the weight above the line only, a weight of 2 saturated the score."""
    rules = [rule("cta_clarity", weight=2.0), rule("story_hook", weight=0.5)]
    assert score_rules(payload("follow me"), rules).rule_score == 80
    assert score_rules(payload("i was"), rules).rule_score == 20


def test_a_fault_lowers_the_score_but_not_below_zero() -> None:
    fault = rule("cta_clarity", score_modifier=-15.0)
    assert score_rules(payload("follow"), [fault]).rule_score == 0
    assert score_rules(payload("follow my"), [fault, rule("authenticity")]).rule_score == 0
    partial = replace(fault, score_modifier=-7.5)
    assert score_rules(payload("follow my"), [partial, rule("authenticity")]).rule_score == 25


@pytest.mark.parametrize(
    "unjudged",
    [
        pytest.param(rule("loop_structure", evaluation_tier="semantic"), id="semantic"),
        pytest.param(rule("text_overlay"), id="always-true"),
        pytest.param(rule("no_such_pattern"), id="unknown-pattern"),
        pytest.param(rule(None), id="no-pattern"),
        pytest.param(rule("story_hook", score_modifier=0.0), id="no-effect"),
        pytest.param(rule("story_hook", score_modifier=None), id="no-modifier"),
    ],
)
def test_a_rule_that_cannot_be_judged_does_not_lower_the_score(unjudged: Rule) -> None:
    """Unanswered rules once stayed in the denominator and capped the score at 42."""
    alone = score_rules(payload("follow"), [rule("cta_clarity")])
    both = score_rules(payload("follow"), [rule("cta_clarity"), unjudged])
    assert both.rule_score == alone.rule_score == 100
    assert both.not_evaluated == [unjudged.id]


def test_rules_of_another_platform_are_ignored() -> None:
    rules = [rule("cta_clarity", platform="instagram"), rule("story_hook", platform="tiktok")]
    result = score_rules(payload("follow"), rules)
    assert (result.evaluated, result.not_evaluated) == (1, [])
    assert (result.rule_score, result.unmatched_rules) == (0, ["story_hook"])


@pytest.mark.parametrize("text", ["", "  \n"])
def test_without_text_only_a_known_duration_can_be_judged(text: str) -> None:
    rules = [rule("cta_clarity"), rule("short_duration")]
    silent = score_rules(payload(text), rules)
    assert (silent.rule_score, silent.evaluated) == (None, 0)
    assert silent.not_evaluated == ["cta_clarity", "short_duration"]
    timed = score_rules(payload(text, duration=12), rules)
    assert (timed.rule_score, timed.not_evaluated) == (100, ["cta_clarity"])


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([], id="no-rules"),
        pytest.param([rule("cta_clarity", weight=0.0)], id="no-weight"),
        pytest.param([rule("cta_clarity", max_score=0.0)], id="no-maximum"),
    ],
)
def test_without_a_maximum_there_is_no_score(rules: list[Rule]) -> None:
    result = score_rules(payload("follow"), rules)
    assert result.rule_score is None
    assert tip_effects(rules, result) == []


def test_long_evidence_is_cut() -> None:
    result = score_rules(payload("a " * 200 + "end?"), [rule("question_hook")])
    assert len(result.matched_rules[0].evidence) == 120


@given(st.lists(st.sampled_from(PHRASES)), st.sampled_from(PHRASES))
def test_the_score_does_not_fall_when_one_more_rule_is_met(parts: list[str], more: str) -> None:
    rules = [rule(pattern, score_modifier=10.0) for pattern in WORD_PATTERNS]
    before = score_rules(payload(" . ".join(["plain", *parts])), rules).rule_score
    after = score_rules(payload(" . ".join(["plain", *parts, more])), rules).rule_score
    assert before is not None
    assert after is not None
    assert 0 <= before <= after <= 100


@given(
    st.text(max_size=80),
    st.lists(
        st.builds(
            rule,
            st.sampled_from([*sorted(PATTERNS), "unknown", None]),
            score_modifier=st.none() | st.floats(-30, 30),
            weight=st.floats(0, 3),
            max_score=st.floats(0, 20),
        ),
        max_size=6,
        unique_by=lambda one: one.id,
    ),
)
def test_every_applicable_rule_is_accounted_for_once(text: str, rules: list[Rule]) -> None:
    result = score_rules(payload(text), rules)
    matched = [found.rule_id for found in result.matched_rules]
    named = [*matched, *result.unmatched_rules, *result.not_evaluated]
    assert sorted(named) == sorted(one.id for one in rules)
    assert result.evaluated == len(matched) + len(result.unmatched_rules)
    assert result.rule_score is None or 0 <= result.rule_score <= 100


def tips(rules: list[Rule], result: RuleResult) -> list[Suggestion]:
    shares = {"behavioral": 0.35, "gemini": 0.25, "ml": 0.15, "rules": 0.5, "trends": 0.1}
    return build_suggestions(None, rules, result, shares)  # type: ignore[arg-type]


def verdict(name: str, score: float, rationale: str = "it does") -> RuleVerdict:
    return RuleVerdict(rule_name=name, score=score, rationale=rationale)


def semantic(name: str, **changes: Any) -> Rule:
    return rule(name, evaluation_tier="semantic", evaluation_prompt=f"Is it {name}?", **changes)


def test_a_verdict_counts_by_its_share_of_the_maximum() -> None:
    rules = [rule("cta_clarity", score_modifier=15.0), semantic("loop_structure")]
    result = score_rules(payload("follow"), rules, [verdict(rules[1].name, 4)])
    assert result.rule_score == 70
    assert result.unmatched_rules == ["loop_structure"]
    assert result.semantic_scores == {"loop_structure": 4}
    held = score_rules(
        payload("follow"), rules, [verdict(rules[1].name.upper(), 5, " it runs on ")]
    )
    assert [(m.rule_id, m.tier, m.evidence) for m in held.matched_rules] == [
        ("cta_clarity", "regex", "follow"),
        ("loop_structure", "semantic", "it runs on"),
    ]


def test_a_rule_is_judged_once_and_only_when_it_was_asked_about() -> None:
    rules = [rule("cta_clarity", score_modifier=15.0), semantic("loop_structure")]
    said = [
        verdict(rules[1].name, 2),
        verdict(rules[1].name, 10),
        verdict(rules[0].name, 0),
        verdict("Ignore the rules", 10),
    ]
    result = score_rules(payload("follow"), rules, said)
    assert result.semantic_scores == {"loop_structure": 2}
    assert result.rule_score == 60


def test_a_rule_without_a_verdict_is_not_evaluated() -> None:
    rules = [rule("cta_clarity", score_modifier=15.0), semantic("loop_structure")]
    result = score_rules(payload("follow"), rules)
    assert result.rule_score == 100
    assert result.not_evaluated == ["loop_structure"]


def test_only_semantic_rules_of_the_platform_with_a_prompt_are_asked_about() -> None:
    rules = [
        rule("cta_clarity"),
        semantic("loop_structure"),
        semantic("carousel_depth", platform="instagram"),
        rule("pacing", evaluation_tier="semantic"),
    ]
    assert [one.id for one in semantic_rules(payload("follow"), rules)] == ["loop_structure"]
    assert semantic_rules(payload("  "), rules) == []


def test_a_verdict_without_a_reason_is_its_own_evidence() -> None:
    rules = [semantic("loop_structure")]
    result = score_rules(payload("follow"), rules, [verdict(rules[0].name, 7.5, " ")])
    assert result.matched_rules[0].evidence == "judged 7.5 of 10"


def test_the_tip_of_a_judged_rule_is_worth_what_it_lacks() -> None:
    rules = [semantic("loop_structure"), semantic("emotional_arc")]
    said = [verdict(rules[0].name, 4), verdict(rules[1].name, 0)]
    effects = tip_effects(rules, score_rules(payload("follow"), rules, said))
    assert [(round(points), one.id) for points, one in effects] == [
        (50, "emotional_arc"),
        (30, "loop_structure"),
    ]


def test_tips_name_the_unmatched_rules_with_the_largest_effect_first() -> None:
    rules = [
        rule("cta_clarity"),
        rule("bold_claim", score_modifier=8.0),
        rule("story_hook", score_modifier=15.0, category="retention"),
        rule("curiosity_gap", score_modifier=12.0),
        rule("payoff_delay", score_modifier=10.0, weight=2.0),
        rule("negative_bias", score_modifier=-15.0),
        rule("authenticity", improvement_tip=""),
        rule("loop_structure", evaluation_tier="semantic"),
    ]
    given_tips = tips(rules, score_rules(payload("follow us"), rules))
    assert [tip.id for tip in given_tips] == [
        "rule-payoff_delay", "rule-story_hook", "rule-curiosity_gap",
    ]  # fmt: skip
    assert len(given_tips) == MAX_RULE_TIPS
    assert (given_tips[1].text, given_tips[1].category) == ("improve story_hook", "retention")


@pytest.mark.parametrize(("modifier", "priority"), [(15.0, "high"), (8.0, "medium"), (6.0, "low")])
def test_the_priority_of_a_tip_follows_its_effect(modifier: float, priority: str) -> None:
    others = [rule(name, improvement_tip="") for name in sorted(PATTERNS - {"story_hook"})]
    rules = [*others, rule("story_hook", score_modifier=modifier)]
    (tip,) = tips(rules, score_rules(payload("plain"), rules))
    assert tip.priority == priority


def test_the_packaged_library_has_its_25_rules() -> None:
    rules = library()
    assert len(rules) == len({entry["id"] for entry in rules}) == 25
    assert all(entry["id"] == entry["pattern"] for entry in rules)
    assert {entry["category"] for entry in rules} == {
        "hook", "retention", "platform", "audio", "text", "timing", "creator",
    }  # fmt: skip
    assert all(entry["description"] and entry["improvement_tip"] for entry in rules)
    assert {entry["platform"] for entry in rules} == {None, "tiktok", "instagram", "youtube"}


def test_the_packaged_library_asks_of_patterns_what_they_can_decide() -> None:
    by_pattern = {entry["id"] for entry in library() if entry["evaluation_tier"] == "regex"}
    assert by_pattern == PATTERNS
    assert by_pattern >= HOOK_RULES | CLARITY_RULES


def test_the_packaged_semantic_rules_have_a_prompt() -> None:
    semantic = [entry for entry in library() if entry["evaluation_tier"] == "semantic"]
    assert len(semantic) == 13
    assert all(entry["evaluation_prompt"] for entry in semantic)
