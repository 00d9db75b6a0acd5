"""The reasons for a score and what to change: factors with their evidence, ranked suggestions.

How a score is made of signals does not belong here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from viral_platform.engine.aggregate import round_half_up
from viral_platform.engine.contracts import (
    Factor,
    MatchedRule,
    MlResult,
    Rule,
    RuleResult,
    SignalName,
    Suggestion,
    TrendResult,
)
from viral_platform.engine.replies import DeepSeekReasoning, GeminiAnalysis
from viral_platform.engine.rules import tip_effects

HOOK_RULES = frozenset(
    {"question_hook", "curiosity_gap", "negative_bias", "bold_claim", "story_hook"}
)
CLARITY_RULES = frozenset({"caption_hook", "cta_clarity"})

MAX_RULE_TIPS = 3

# The components of the behavioral score that a category of suggestions can raise.
_COMPONENTS_OF: Mapping[str, tuple[str, ...]] = {
    "hook": ("hook_effectiveness",),
    "content": ("shareability", "comment_provocation", "save_worthiness", "originality"),
    "format": ("retention_strength",),
    "timing": ("trend_alignment",),
    "audio": ("trend_alignment",),
}


def build_factors(
    analysis: GeminiAnalysis | None, rules: RuleResult, trends: TrendResult, ml: MlResult
) -> list[Factor]:
    """Return the reasons for a score, 0..10 each, with their evidence.

    First the five of the content analysis in its order, then hook, clarity, rule coverage,
    trend fit and the model's expectation; those of an absent signal are left out.
    """
    candidates = (
        _hook_factor(rules),
        _clarity_factor(rules),
        _coverage_factor(rules),
        _trend_factor(trends),
        _model_factor(ml),
    )
    own = [factor for factor in candidates if factor is not None]
    return [*_analysed_factors(analysis), *own]


def build_suggestions(
    reasoning: DeepSeekReasoning | None,
    rules: Sequence[Rule],
    result: RuleResult,
    weights: Mapping[SignalName, float],
) -> list[Suggestion]:
    """Return what to change, that which can add most to the score first.

    The reasoning model's suggestions, numbered in its order, and the three rules that do not
    hold and would raise the rule score most. The effect of a suggestion of the model is bounded
    by the components of its category, all of them at 10; of an unknown category, by all seven.
    """
    found = _reasoned(reasoning, weights["behavioral"])
    found += _rule_tips(rules, result, weights["rules"])
    return sorted(found, key=lambda suggestion: -suggestion.max_effect)


def _reasoned(reasoning: DeepSeekReasoning | None, weight: float) -> list[Suggestion]:
    if reasoning is None:
        return []
    scores = reasoning.component_scores.model_dump()
    found = []
    for number, suggestion in enumerate(reasoning.suggestions, start=1):
        raised = _COMPONENTS_OF.get(suggestion.category.strip().lower(), tuple(scores))
        missing = sum(10 - scores[name] for name in raised)
        found.append(
            Suggestion(
                id=f"suggestion-{number}",
                text=suggestion.text,
                priority=suggestion.priority,
                category=suggestion.category,
                max_effect=round_half_up(10 * missing / len(scores) * weight, 1),
            )
        )
    return found


def _rule_tips(rules: Sequence[Rule], result: RuleResult, weight: float) -> list[Suggestion]:
    """Suggest rules; from 6 points of the rule score of high priority, from 4 of medium."""
    return [
        Suggestion(
            id=f"rule-{rule.id}",
            text=rule.improvement_tip,
            priority="high" if points >= 6 else "medium" if points >= 4 else "low",
            category=rule.category,
            max_effect=round_half_up(points * weight, 1),
        )
        for points, rule in tip_effects(rules, result)[:MAX_RULE_TIPS]
    ]


def _analysed_factors(analysis: GeminiAnalysis | None) -> list[Factor]:
    if analysis is None:
        return []
    return [
        Factor(
            id=f"factor-{number}",
            name=factor.name,
            score=factor.score,
            rationale=factor.rationale,
            evidence=f"\u201c{factor.evidence}\u201d"
            if factor.evidence
            else f"the model's own {factor.score:g} of 10; it quotes nothing",
            improvement_tip=factor.improvement_tip,
        )
        for number, factor in enumerate(analysis.factors, start=1)
    ]


def _judged(rules: RuleResult, ids: frozenset[str]) -> tuple[list[MatchedRule], int]:
    """Return those of the rules that hold, and how many of them were judged."""
    held = [found for found in rules.matched_rules if found.rule_id in ids]
    return held, len(held) + sum(rule_id in ids for rule_id in rules.unmatched_rules)


def _hook_factor(rules: RuleResult) -> Factor | None:
    held, judged = _judged(rules, HOOK_RULES)
    if not judged:
        return None
    best = max((10 * _share_of_maximum(found) for found in held), default=0.0)
    return Factor(
        id="hook",
        name="Hook",
        score=round_half_up(best, 1),
        rationale="The opening uses a hook."
        if held
        else f"None of the {judged} hooks looked for is in the text.",
        evidence=_evidence(held) or "0 hooks found",
        improvement_tip="Open with a question, a bold claim, a warning or the start of a story.",
    )


def _clarity_factor(rules: RuleResult) -> Factor | None:
    held, judged = _judged(rules, CLARITY_RULES)
    if not judged:
        return None
    return Factor(
        id="clarity",
        name="Clarity and call to action",
        score=round_half_up(10 * len(held) / judged, 1),
        rationale="It says what it is about, or asks for something."
        if held
        else "Neither a short first sentence nor a call to action.",
        evidence=_evidence(held) or f"0 of {judged} found",
        improvement_tip="Say in one short first sentence what it is about; end with one request.",
    )


def _coverage_factor(rules: RuleResult) -> Factor | None:
    if rules.rule_score is None:
        return None
    return Factor(
        id="rule_coverage",
        name="Rule coverage",
        score=round_half_up(rules.rule_score / 10, 1),
        rationale=f"{len(rules.matched_rules)} of {rules.evaluated} rules hold.",
        evidence=f"rule score {rules.rule_score:g} of 100",
        improvement_tip="Take up the strongest rule that does not hold yet; see the suggestions.",
    )


def _trend_factor(trends: TrendResult) -> Factor | None:
    if trends.trend_score is None:
        return None
    found = [f"{sound.sound_name} ({sound.trend_phase})" for sound in trends.matched_sounds]
    found += [f"#{tag}" for tag in trends.matched_hashtags]
    taken_up = f"Takes up {', '.join(found)}" if found else "Takes up no trending sound or hashtag"
    saturated = ", ".join(f"#{tag}" for tag in trends.saturated_hashtags)
    return Factor(
        id="trend_fit",
        name="Trend fit",
        score=round_half_up(trends.trend_score / 10, 1),
        rationale=f"{taken_up}; saturated: {saturated}." if saturated else f"{taken_up}.",
        evidence=f"trend score {trends.trend_score:g} of 100",
        improvement_tip="Use a sound that is emerging or rising and tags that fit the subject.",
    )


def _model_factor(ml: MlResult) -> Factor | None:
    if ml.ml_score is None:
        return None
    spread = ""
    if ml.interval is not None:
        low, high, level = ml.interval.low, ml.interval.high, ml.interval.level
        spread = f", between {low:.0f} and {high:.0f} in {level:.0%} of cases"
    return Factor(
        id="model_expectation",
        name="Model expectation",
        score=round_half_up(ml.ml_score / 10, 1),
        rationale=f"Posts with these facts reach about {ml.ml_score:.0f} of 100{spread}.",
        evidence=f"model {ml.model_version or 'unsaved'}, horizon {ml.horizon}",
        improvement_tip="Length, hashtags and posting time are the facts that you can change.",
    )


def _share_of_maximum(found: MatchedRule) -> float:
    """Return 0..1; a fault, whose score is below 0, and a maximum of 0 count as 0."""
    return max(0.0, found.score / found.max_score) if found.max_score > 0 else 0.0


def _evidence(held: list[MatchedRule]) -> str:
    return "; ".join(f"{found.rule_name}: {found.evidence}" for found in held)
