from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from viral_platform.engine.errors import ProviderError
from viral_platform.providers.deepseek import _Completion, _reply, resolve_model
from viral_platform.providers.wire import read_body
from viral_platform.sandbox.stand_ins import Fault, StandIn

from .asking import (
    CAPTION,
    DEEPSEEK_JUDGE,
    DEEPSEEK_REASON,
    NOON,
    PRICING,
    RULES,
    Desk,
)


def reply(document: dict[str, Any]) -> Any:
    return _reply(read_body(_Completion, json.dumps(document), "deepseek"))


def test_reasoning_thinks_and_judging_does_not(stand_in: StandIn) -> None:
    desk = Desk(stand_in.base_url)
    desk.ask(DEEPSEEK_REASON)
    desk.ask(DEEPSEEK_JUDGE)
    reason, judge = (call.body for call in stand_in.calls("deepseek"))
    assert (reason["thinking"], reason["reasoning_effort"]) == ({"type": "enabled"}, "low")
    assert judge["thinking"] == {"type": "disabled"}
    assert "reasoning_effort" not in judge
    assert reason["max_tokens"] > judge["max_tokens"]
    for body in (reason, judge):
        assert body["response_format"] == {"type": "json_object"}
        assert body["model"] == "deepseek-flash"
        assert "stream" not in body


def test_instructions_hold_nothing_of_the_creator_and_the_data_message_does(
    stand_in: StandIn,
) -> None:
    Desk(stand_in.base_url).ask(DEEPSEEK_REASON)
    system, user = stand_in.calls("deepseek")[0].body["messages"]
    assert (system["role"], user["role"]) == ("system", "user")
    assert "calmest" not in system["content"]
    assert "JSON" in system["content"]
    data = json.loads(user["content"].partition("\n")[2])
    assert data["content"]["caption"] == CAPTION
    assert data["trends"] == "Paper Boat is rising."
    assert "7.3" not in user["content"]


def test_thoughts_are_part_of_the_output_and_told_apart_in_the_ledger(stand_in: StandIn) -> None:
    desk = Desk(stand_in.base_url)
    answered = desk.ask(DEEPSEEK_REASON)
    tokens = desk.ledger.settlements[0].tokens
    assert 0 < tokens["reasoning_tokens"] < tokens["output_tokens"]
    assert 0 < tokens["cached_input_tokens"] < tokens["input_tokens"]
    assert answered.prompt_version.startswith("reasoning-v1-")


def test_a_verdict_comes_back_for_each_rule(stand_in: StandIn) -> None:
    answered = Desk(stand_in.base_url).ask(DEEPSEEK_JUDGE)
    assert [verdict.rule_name for verdict in answered.value] == [rule.name for rule in RULES]
    assert answered.prompt_version.startswith("rules-v1-")


def test_a_judge_that_leaves_a_rule_out_is_heard_on_the_others(stand_in: StandIn) -> None:
    stand_in.fail("deepseek", Fault.MISSING_FACTOR)
    assert len(Desk(stand_in.base_url).ask(DEEPSEEK_JUDGE).value) == len(RULES) - 1


@pytest.mark.parametrize("method", [DEEPSEEK_REASON, DEEPSEEK_JUDGE], ids=str)
def test_numbers_out_of_range_refuse_the_reply(stand_in: StandIn, method: Any) -> None:
    stand_in.fail("deepseek", Fault.OUT_OF_RANGE)
    with pytest.raises(ProviderError, match="schema"):
        Desk(stand_in.base_url).ask(method)


def test_a_retired_name_means_the_current_model_and_is_logged_once(stand_in: StandIn) -> None:
    for name in ("deepseek-chat", "deepseek-reasoner"):
        desk = Desk(stand_in.base_url, deepseek_model=name)
        with capture_logs() as logs:
            assert desk.ask(DEEPSEEK_REASON).model == "deepseek-flash"
        assert [entry["event"] for entry in logs] == ["deepseek_model_retired"]
    assert {call.body["model"] for call in stand_in.calls("deepseek")} == {"deepseek-flash"}
    assert resolve_model("deepseek-v4-flash") == "deepseek-v4-flash"


def test_a_bad_request_that_names_the_model_is_an_not_found(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("viral_platform.sandbox.stand_ins.deepseek.MODELS", frozenset())
    with pytest.raises(ProviderError) as caught:
        Desk(stand_in.base_url).ask(DEEPSEEK_REASON)
    assert caught.value.reason == "not_found"
    assert stand_in.calls("deepseek")[0].body["model"] == "deepseek-flash"


@pytest.mark.parametrize("status", [400, 409, 422])
def test_another_4xx_is_a_fault_of_ours(stand_in: StandIn, status: int) -> None:
    stand_in.fail("deepseek", Fault.SERVER_ERROR, status=status)
    desk = Desk(stand_in.base_url)
    with pytest.raises(ProviderError, match=f"bad_request: HTTP {status}"):
        desk.ask(DEEPSEEK_REASON)
    assert desk.breaker.state().consecutive_failures == 0


def test_the_other_libraries_settings_in_the_environment_are_not_sent(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "for-somebody-else")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    Desk(stand_in.base_url).ask(DEEPSEEK_REASON)
    headers = stand_in.calls("deepseek")[0].headers
    assert headers["authorization"] == "Bearer a-key"
    assert "for-somebody-else" not in str(headers)


def test_an_address_with_a_version_works_too(stand_in: StandIn) -> None:
    Desk(f"{stand_in.base_url}/v1").ask(DEEPSEEK_JUDGE)
    assert stand_in.calls("deepseek")[0].path == "/v1/chat/completions"


@pytest.mark.parametrize(
    ("name", "cost", "reasoning"),
    [("deepseek_chat_response", 27, 0), ("deepseek_thinking_response", 131, 196)],
)
def test_recorded_answers_are_read_and_priced(
    sample: Callable[[str], Any], name: str, cost: int, reasoning: int
) -> None:
    read = reply(sample(name))
    assert read.fault is None
    assert json.loads(read.text)["score"] == 6.5
    assert read.model == "deepseek-flash"
    assert read.usage.reasoning_tokens == reasoning
    assert PRICING.cost("deepseek", read.model, read.usage, NOON).microdollars == cost


def choice(finish: str | None, content: str | None = "{}") -> dict[str, Any]:
    return {"choices": [{"message": {"content": content}, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (choice("stop"), None),
        (choice("a_new_one"), None),
        (choice(None), None),
        (choice("stop", " \n "), "empty"),
        (choice("tool_calls", None), "empty"),
        (choice("length", ""), "truncated"),
        (choice("content_filter", ""), "refused"),
        (choice("insufficient_system_resource", ""), "unavailable"),
        ({"choices": []}, "empty"),
        ({"choices": [7]}, "schema"),
        ({"choices": None}, "schema"),
        ({}, "schema"),
    ],
)
def test_each_end_of_a_reply_is_told_apart(document: dict[str, Any], reason: str | None) -> None:
    fault = reply(document).fault
    assert (fault and fault.reason) == reason


@pytest.mark.parametrize(
    ("usage", "cached"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 2}, 0),
        ({"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 4}, 4),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": None},
            },
            3,
        ),
    ],
)
def test_cached_tokens_are_told_in_two_ways(usage: dict[str, Any], cached: int) -> None:
    read = reply({**choice("stop"), "usage": usage}).usage
    assert (read.input_tokens, read.cached_input_tokens, read.reasoning_tokens) == (9, cached, 0)


@pytest.mark.parametrize(
    "usage",
    [None, 5, {}, {"prompt_tokens": 9}, {"prompt_tokens": -1, "completion_tokens": 2}],
)
def test_a_usage_that_cannot_be_read_is_none(usage: Any) -> None:
    assert reply({**choice("stop"), "usage": usage}).usage is None


def test_the_tokens_count_even_when_the_choices_cannot_be_read() -> None:
    read = reply({"choices": 7, "usage": {"prompt_tokens": 9, "completion_tokens": 2}})
    assert read.usage.output_tokens == 2
