"""The rule library held to a content: what patterns decide, what a judge said, tips from both.

What a rule is worth comes with the rule; here stands only how each pattern is tested. Semantic
rules count by the verdicts of a language model; without one they are named as not evaluated.
Loading the library and asking the judge is not done here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from viral_platform.engine.aggregate import round_half_up
from viral_platform.engine.contracts import (
    ContentPayload,
    MatchedRule,
    Rule,
    RuleFinding,
    RuleResult,
)
from viral_platform.engine.replies import RuleVerdict
from viral_platform.engine.text import WHITE_SPACE, utf16_length

# The modifier at which a rule reaches its maximum score.
FULL_MODIFIER = 15.0

# Limits of texts whose video has no known length.
DENSE_FROM_PIECES = 51
SHORT_BELOW_UNITS = 300
# Everyday speech runs at about 150 words a minute; 300 characters fill some 25 seconds of it.
DENSE_FROM_WORDS_PER_SECOND = 2.5
SHORT_UP_TO_SECONDS = 30.0

CAPTION_HOOK_MAX_UNITS = 80
# A judged rule holds from here on, of 10; its score counts whether it holds or not.
HOLDS_FROM_VERDICT = 5.0
_MAX_EVIDENCE_CHARACTERS = 120

_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ′＇", "'"))
_WHITE_SPACE_RUN = re.compile(f"{WHITE_SPACE}+")
_ANY_WORD = re.compile(r"\w")
# A point inside a figure or an address ends no sentence.
_SENTENCE_END = re.compile(r"[.!?]++(?!\w)")
_FIRST_STOP = re.compile(r"[.!?]")


@dataclass(frozen=True, slots=True)
class _Content:
    """What the tests look at; `duration_seconds` only when it is above 0."""

    text: str
    duration_seconds: float | None


_Test = Callable[[_Content], str | None]


def _words(*phrases: str) -> re.Pattern[str]:
    # ASCII borders: the replaced system's, so that accented letters end a word.
    alternatives = "|".join(map(re.escape, phrases))
    return re.compile(rf"\b(?:{alternatives})\b", re.ASCII | re.IGNORECASE)


_CURIOSITY_GAP = _words("secret", "reveal", "discover", "truth", "never", "always", "actually")
_NEGATIVE_BIAS = _words("stop", "don't", "never", "worst", "mistake", "wrong", "fail", "avoid")
_BOLD_CLAIM = _words("no one", "everyone", "always", "never", "guaranteed", "proven")
_STORY_HOOK = _words("i was", "i remember", "one day", "last week", "this morning", "when i")
_PAYOFF_DELAY = re.compile(r"wait for it|at the end", re.ASCII | re.IGNORECASE)
_PATTERN_INTERRUPT = _words("but wait", "plot twist", "here's the thing", "actually")
_CTA_CLARITY = _words(
    "follow", "share", "comment", "save", "like", "subscribe", "click", "link", "bio"
)
_AUTHENTICITY = _words("i", "my", "me", "we", "our", "personally")


def _named(pattern: re.Pattern[str]) -> _Test:
    """Return a test whose evidence is the distinct words found, as they first appear."""

    def test(content: _Content) -> str | None:
        found = dict.fromkeys(word.lower() for word in pattern.findall(content.text))
        return ", ".join(found) or None

    return test


def _question_hook(content: _Content) -> str | None:
    word = _ANY_WORD.search(content.text)
    end = _SENTENCE_END.search(content.text, word.start()) if word else None
    if end is None or "?" not in end[0]:
        return None
    return content.text[: end.end()].strip()


def _caption_hook(content: _Content) -> str | None:
    stop = _FIRST_STOP.search(content.text)
    if (
        stop is None
        or not 1 <= utf16_length(content.text[: stop.start()]) <= CAPTION_HOOK_MAX_UNITS
    ):
        return None
    return content.text[: stop.end()].strip()


def _info_density(content: _Content) -> str | None:
    if content.duration_seconds is None:
        pieces = len(_WHITE_SPACE_RUN.split(content.text))
        return f"{pieces} words" if pieces >= DENSE_FROM_PIECES else None
    words = len(content.text.split())
    pace = words / content.duration_seconds
    if pace < DENSE_FROM_WORDS_PER_SECOND:
        return None
    return f"{pace:.1f} words a second ({words} in {content.duration_seconds:g} s)"


def _short_duration(content: _Content) -> str | None:
    if content.duration_seconds is not None:
        is_short = content.duration_seconds <= SHORT_UP_TO_SECONDS
        return f"{content.duration_seconds:g} seconds" if is_short else None
    units = utf16_length(content.text)
    return f"{units} characters" if units < SHORT_BELOW_UNITS else None


_TESTS: Mapping[str, _Test] = {
    "question_hook": _question_hook,
    "curiosity_gap": _named(_CURIOSITY_GAP),
    "negative_bias": _named(_NEGATIVE_BIAS),
    "bold_claim": _named(_BOLD_CLAIM),
    "story_hook": _named(_STORY_HOOK),
    "payoff_delay": _named(_PAYOFF_DELAY),
    "pattern_interrupt": _named(_PATTERN_INTERRUPT),
    "info_density": _info_density,
    "short_duration": _short_duration,
    "caption_hook": _caption_hook,
    "cta_clarity": _named(_CTA_CLARITY),
    "authenticity": _named(_AUTHENTICITY),
}

PATTERNS = frozenset(_TESTS)


def match_pattern(pattern: str, payload: ContentPayload) -> str | None:
    """Return the words or the number that make a pattern hold, None when it does not.

    An unknown pattern does not hold. Reference engine, rules.
    """
    test = _TESTS.get(pattern)
    return test(_content(payload)) if test else None


def semantic_rules(payload: ContentPayload, rules: Sequence[Rule]) -> list[Rule]:
    """Return the rules that a language model can judge: semantic, with a prompt, of the platform.

    None for a content without text.
    """
    if not payload.content_text.strip():
        return []
    return [
        rule
        for rule in _of_platform(payload, rules)
        if rule.evaluation_tier == "semantic" and rule.evaluation_prompt
    ]


def score_rules(
    payload: ContentPayload, rules: Sequence[Rule], verdicts: Sequence[RuleVerdict] = ()
) -> RuleResult:
    """Score a content by the rules of its platform that a pattern or a verdict decides.

    A rule that holds gives its modifier's share of its maximum, a judged one its verdict's
    share; the score is the weighted sum over the weighted maximum of all evaluated rules, as a
    whole number of 0..100. Rules that cannot be judged are left out of both: semantic ones
    without a verdict, those without a known pattern or without effect, and tests of the text
    when there is none. Judged rules come after the others, as the judge named them. Reference
    engine, rules.

    Parameters
    ----------
    payload : ContentPayload
        The content. With a known duration, pace and length are judged by it.
    rules : sequence of Rule
        The library; rules of other platforms are ignored.
    verdicts : sequence of RuleVerdict
        What a judge said, by the rule's name, case aside; the first one of a rule counts and
        verdicts on other rules are passed over.

    Returns
    -------
    RuleResult
        `rule_score` is None when no rule could be judged.
    """
    content = _content(payload)
    asked = {_key(rule.name): rule for rule in semantic_rules(payload, rules)}
    said: dict[str, RuleVerdict] = {}
    for verdict in verdicts:
        said.setdefault(_key(verdict.rule_name), verdict)
    tally = _Tally()
    for rule in _of_platform(payload, rules):
        test = _test_for(rule, content)
        if test is not None:
            evidence = test(content)
            tally.findings[rule.id] = evidence is not None
            tally.add(rule, 0.0 if evidence is None else gain(rule), evidence)
        elif not (_key(rule.name) in said and asked.get(_key(rule.name)) is rule):
            tally.findings[rule.id] = None
            tally.not_evaluated.append(rule.id)
    for key, verdict in said.items():
        if key in asked:
            tally.judge(asked[key], verdict)
    return RuleResult(
        rule_score=_percentage(tally.total, tally.maximum),
        matched_rules=tally.matched,
        evaluated=len(tally.matched) + len(tally.unmatched),
        not_evaluated=tally.not_evaluated,
        unmatched_rules=tally.unmatched,
        semantic_scores=tally.semantic_scores,
        findings=tally.findings,
    )


@dataclass
class _Tally:
    """The sums over the rules seen so far."""

    total: float = 0.0
    maximum: float = 0.0
    matched: list[MatchedRule] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    not_evaluated: list[str] = field(default_factory=list)
    semantic_scores: dict[str, float] = field(default_factory=dict)
    findings: dict[str, RuleFinding] = field(default_factory=dict)

    def judge(self, rule: Rule, verdict: RuleVerdict) -> None:
        """Count a judged rule."""
        score = verdict.score / 10 * rule.max_score
        self.semantic_scores[rule.id] = score
        self.findings[rule.id] = verdict.score
        holds = verdict.score >= HOLDS_FROM_VERDICT
        self.add(rule, score, _evidence(verdict) if holds else None)

    def add(self, rule: Rule, score: float, evidence: str | None) -> None:
        """Count an evaluated rule; it holds when there is evidence."""
        self.total += score * rule.weight
        self.maximum += rule.max_score * rule.weight
        if evidence is None:
            self.unmatched.append(rule.id)
            return
        self.matched.append(
            MatchedRule(
                rule_id=rule.id,
                rule_name=rule.name,
                score=score,
                max_score=rule.max_score,
                tier="semantic" if rule.id in self.semantic_scores else "regex",
                evidence=evidence[:_MAX_EVIDENCE_CHARACTERS],
            )
        )


def _key(name: str) -> str:
    return name.strip().casefold()


def _evidence(verdict: RuleVerdict) -> str:
    return verdict.rationale.strip() or f"judged {verdict.score:g} of 10"


def gain(rule: Rule) -> float:
    """Return what a rule scores when it holds: at most `max_score`, below 0 for a fault."""
    return min(rule.max_score, (rule.score_modifier or 0.0) / FULL_MODIFIER * rule.max_score)


def tip_effects(rules: Sequence[Rule], result: RuleResult) -> list[tuple[float, Rule]]:
    """Return what each rule that does not hold would add to the rule score at its best.

    In points of the rule score, all else unchanged, the largest first. Rules without a tip and
    without such an effect are passed over.
    """
    evaluated = {found.rule_id for found in result.matched_rules} | set(result.unmatched_rules)
    maximum = sum(rule.max_score * rule.weight for rule in rules if rule.id in evaluated)
    if maximum <= 0:
        return []
    unmatched = set(result.unmatched_rules)
    effects = [
        (100 * _missing(rule, result) * rule.weight / maximum, rule)
        for rule in rules
        if rule.id in unmatched and rule.improvement_tip
    ]
    return sorted((pair for pair in effects if pair[0] > 0), key=lambda pair: -pair[0])


def _missing(rule: Rule, result: RuleResult) -> float:
    if rule.id in result.semantic_scores:
        return rule.max_score - result.semantic_scores[rule.id]
    return gain(rule)


def _of_platform(payload: ContentPayload, rules: Sequence[Rule]) -> list[Rule]:
    return [rule for rule in rules if rule.platform in {None, payload.platform}]


def _content(payload: ContentPayload) -> _Content:
    return _Content(
        text=payload.content_text.translate(_APOSTROPHES),
        duration_seconds=payload.duration_seconds or None,
    )


def _test_for(rule: Rule, content: _Content) -> _Test | None:
    """Return the test that decides a rule, None when nothing here can."""
    if rule.evaluation_tier != "regex" or rule.pattern is None or not rule.score_modifier:
        return None
    is_timed = rule.pattern == "short_duration" and content.duration_seconds is not None
    if not content.text.strip() and not is_timed:
        return None
    return _TESTS.get(rule.pattern)


def _percentage(total: float, maximum: float) -> float | None:
    if maximum <= 0:
        return None
    return min(100.0, max(0.0, round_half_up(100 * total / maximum)))
