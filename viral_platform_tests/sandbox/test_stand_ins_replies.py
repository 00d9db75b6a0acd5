"""What simulated language models reply, and how faults spoil it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viral_platform.engine.errors import ProviderError
from viral_platform.engine.replies import (
    FACTOR_NAMES,
    parse_analysis,
    parse_reasoning,
    parse_verdicts,
)
from viral_platform.sandbox.stand_ins import Fault
from viral_platform.sandbox.stand_ins.faults import Planned
from viral_platform.sandbox.stand_ins.replies import Question, caption_of, reply_to, spoil

CAPTION = "Stop! Nobody told me these 3 things about bread. Which one is new? Save it. #bread #food"
DATA = json.dumps(
    {"content": {"caption": CAPTION}, "rules": [{"rule_name": "Open loop"}, "Stakes"]}
)
TEXTS = st.text(max_size=200)


@given(caption=TEXTS, shape=st.sampled_from(["caption", "content_text", "raw"]))
@settings(max_examples=60, deadline=None)
def test_any_caption_has_replies_that_the_engine_accepts(caption: str, shape: str) -> None:
    data = caption if shape == "raw" else json.dumps({"request": {shape: caption}, "rules": ["R"]})
    analysis = parse_analysis(reply_to(Question("factors", data, video="ab")), with_video=True)
    assert [factor.name for factor in analysis.factors] == list(FACTOR_NAMES.values())
    assert all(3 <= factor.score <= 9 for factor in analysis.factors)
    assert analysis.notes == []
    reasoning = parse_reasoning(reply_to(Question("behavioral_predictions, factors", data)))
    assert all(3 <= score <= 9 for score in reasoning.component_scores.values())
    verdicts = parse_verdicts(reply_to(Question("evaluations", data)))
    if shape != "raw":
        assert [verdict.rule_name for verdict in verdicts] == ["R"]


def test_the_evidence_stands_in_the_caption_and_scores_follow_its_traits() -> None:
    rich = parse_analysis(reply_to(Question("factors", DATA)), with_video=False)
    plain = parse_analysis(
        reply_to(Question("factors", json.dumps({"caption": "bread"}))), with_video=False
    )
    assert all(factor.evidence and factor.evidence in CAPTION for factor in rich.factors)
    pairs = zip(rich.factors, plain.factors, strict=True)
    assert sum(one.score - other.score for one, other in pairs) > 2
    assert reply_to(Question("factors", DATA)) == reply_to(Question("factors", DATA))


def test_the_caption_is_found_behind_a_remark_and_absent_when_it_is_empty() -> None:
    assert caption_of(f"The last reply was no JSON {{}}.\nDATA:\n{DATA}") == CAPTION
    assert caption_of(json.dumps({"caption": "", "platform": "tiktok"})) == ""
    empty = json.loads(reply_to(Question("factors", json.dumps({"caption": None}))))
    assert empty["factors"][0]["evidence"] is None


def test_video_signals_come_with_a_video_or_when_the_schema_requires_them() -> None:
    required = {"properties": {"factors": {}}, "required": ["video_signals"]}
    assert "video_signals" not in reply_to(Question("factors", DATA))
    assert "video_signals" in reply_to(Question("factors", DATA, video="ab"))
    assert "video_signals" in reply_to(Question("", DATA, schema=required))


def test_an_unknown_question_is_answered_in_the_shape_of_its_schema_or_in_words() -> None:
    schema = {
        "type": "OBJECT",
        "properties": {
            "n": {"type": "INTEGER"},
            "ok": {"type": "BOOLEAN"},
            "tags": {"type": "ARRAY", "items": {"type": "STRING", "enum": ["a", "b"]}},
        },
    }
    filled = json.loads(reply_to(Question("", "x", schema=schema)))
    assert isinstance(filled["n"], int)
    assert filled["ok"] is True
    assert filled["tags"] == ["a"]
    assert reply_to(Question("", "hello")) == "Simulated reply to 5 characters."


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.TRUNCATED_JSON, "not_json"),
        (Fault.SCHEMA_DRIFT, "schema"),
        (Fault.MISSING_FACTOR, "schema"),
    ],
)
@pytest.mark.parametrize("kind", ["factors", "behavioral_predictions"])
def test_a_spoilt_reply_is_refused_by_the_engine(fault: Fault, reason: str, kind: str) -> None:
    text = spoil(reply_to(Question(kind, DATA)), Planned(fault))
    with pytest.raises(ProviderError) as caught:
        parse_analysis(text, with_video=False) if kind == "factors" else parse_reasoning(text)
    assert caught.value.reason == reason


def test_scores_out_of_range_fences_and_texts_that_are_no_json() -> None:
    beyond = Planned(Fault.OUT_OF_RANGE)
    analysis = parse_analysis(spoil(reply_to(Question("factors", DATA)), beyond), with_video=False)
    assert [factor.score for factor in analysis.factors] == [10.0] * 5
    with pytest.raises(ProviderError, match="component_scores"):
        parse_reasoning(spoil(reply_to(Question("behavioral_predictions", DATA)), beyond))
    with pytest.raises(ProviderError, match=r"evaluations\.0\.score"):
        parse_verdicts(spoil(reply_to(Question("evaluations", DATA)), beyond))
    fenced = spoil(reply_to(Question("evaluations", DATA)), Planned(Fault.FENCED))
    assert len(parse_verdicts(fenced)) == 2
    lacking = spoil(reply_to(Question("evaluations", DATA)), Planned(Fault.MISSING_FACTOR))
    assert len(parse_verdicts(lacking)) == 1
    assert spoil("plain", beyond) == "plain"
    assert spoil("plain", Planned(Fault.LATENCY)) == "plain"
