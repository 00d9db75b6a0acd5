"""The data message: what is to be judged, as JSON with labelled fields.

A caption can hold anything, text that poses as instructions too. As a JSON string it cannot leave
its field, and characters that a reader would not see are taken out.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence

from viral_platform.engine.contracts import ContentPayload, Rule
from viral_platform.engine.replies import VIDEO_SIGNALS, GeminiAnalysis
from viral_platform.engine.tasks import Briefing

NO_TEXT = "No text is given with this post."
MAX_NAME_CHARACTERS = 200
MAX_HASHTAGS = 50

Fields = dict[str, object]

# Control, format (zero-width, bidirectional, tags), lone surrogates, private use.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co"})
_LINE_END = re.compile("\r\n?|[\x85\u2028\u2029]")
# Marks and letters without a shape, and the whole plane of tags and selectors, assigned or not:
# a sentence can be spelt in them that only the model reads.
_SHAPELESS = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f\U000e0000-\U000effff]")  # fmt: skip # noqa: E501


def clean_text(text: str) -> str:
    r"""Return a text without the characters that a reader does not see.

    Taken out are control characters but line feed and tab, format characters (zero-width,
    bidirectional, tags), variation selectors, fillers, private use and lone surrogates. Other
    line ends become a line feed. A joined emoji falls apart into its parts.

    Examples
    --------
    >>> clean_text("calm\u202e river\r\nby \u200bnight\x00")
    'calm river\nby night'
    """
    shaped = _SHAPELESS.sub("", _LINE_END.sub("\n", text))
    return "".join(
        character
        for character in shaped
        if character in "\n\t" or unicodedata.category(character) not in _INVISIBLE
    )


def labelled_data(
    payload: ContentPayload, *, briefing: Briefing | None = None, rules: Sequence[Rule] = ()
) -> str:
    """Return the data message for a content.

    Parameters
    ----------
    payload : ContentPayload
        The content. Without text the data says so in plain words.
    briefing : Briefing, optional
        What the stages before found out; what they did not is absent. Scores of the content
        analysis are left out, so that they do not anchor the model.
    rules : sequence of Rule
        Rules to judge, by name and question.
    """
    fields: Fields = {"content": _content(payload)}
    if briefing is not None:
        fields.update(_found_out(briefing))
    if rules:
        fields["rules"] = [
            {"rule_name": rule.name, "question": clean_text(rule.evaluation_prompt or "")}
            for rule in rules
        ]
    return "Data to judge, as JSON:\n" + json.dumps(fields, ensure_ascii=False, indent=1)


def _content(payload: ContentPayload) -> Fields:
    caption = clean_text(payload.content_text)
    fields: Fields = {
        "content_type": payload.content_type,
        "platform": _name(payload.platform),
        "niche": _name(payload.niche or ""),
        "duration_seconds": payload.duration_seconds,
        "hashtags": [_name(tag) for tag in payload.hashtags[:MAX_HASHTAGS]],
    }
    known = {label: value for label, value in fields.items() if value not in (None, "", [])}
    return {**known, **({"caption": caption} if caption.strip() else {"note": NO_TEXT})}


def _found_out(briefing: Briefing) -> Fields:
    fields: Fields = {
        "trends": clean_text(briefing.trend_context),
        "creator": clean_text(briefing.creator_context),
    }
    known = {label: value for label, value in fields.items() if value}
    if briefing.rules is not None:
        known["rules_that_hold"] = [rule.rule_name for rule in briefing.rules.matched_rules]
    if briefing.analysis is not None:
        known["content_analysis"] = _analysis(briefing.analysis)
    return known


def _analysis(analysis: GeminiAnalysis) -> Fields:
    fields: Fields = {
        "factors": [
            {
                "name": factor.name,
                "rationale": clean_text(factor.rationale),
                "improvement_tip": clean_text(factor.improvement_tip),
            }
            for factor in analysis.factors
        ],
        "overall_impression": clean_text(analysis.overall_impression),
        "content_summary": clean_text(analysis.content_summary),
    }
    if analysis.video_signals is not None:
        fields["assessed_in_the_video"] = [name.replace("_", " ") for name in VIDEO_SIGNALS]
    return fields


def _name(text: str) -> str:
    return " ".join(clean_text(text).split())[:MAX_NAME_CHARACTERS]
