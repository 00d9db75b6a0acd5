from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from viral_platform.engine.errors import ProviderError
from viral_platform.engine.replies import FACTOR_NAMES
from viral_platform.engine.tasks import Answered, VideoFile
from viral_platform.providers.calls import Patience
from viral_platform.providers.gemini_replies import (
    Answer,
    is_about_the_key,
    reply_of,
    retry_delay_seconds,
)
from viral_platform.providers.wire import read_body
from viral_platform.sandbox.stand_ins import Fault, StandIn

from .asking import (
    CAPTION,
    GEMINI_REASON,
    GEMINI_TEXT,
    NOON,
    PAYLOAD,
    PRICING,
    Desk,
    gemini_video,
)

TWO_TRIES = Patience(5.0, 10.0, attempts=2)


def analysis_text(evidence: str | None = None, score: float = 6.0, **changes: Any) -> str:
    factor = {"score": score, "rationale": "because", "improvement_tip": "more"}
    quoted = {} if evidence is None else {"evidence": evidence}
    return json.dumps(
        {
            "factors": [{"name": name, **factor, **quoted} for name in FACTOR_NAMES.values()],
            "overall_impression": "fine",
            "content_summary": "a river",
            **changes,
        }
    )


def reply(document: dict[str, Any]) -> Any:
    return reply_of(read_body(Answer, json.dumps(document), "gemini"))


def test_instructions_hold_nothing_of_the_creator_and_the_data_message_does(
    stand_in: StandIn,
) -> None:
    Desk(stand_in.base_url).ask(GEMINI_TEXT)
    body = stand_in.calls("gemini")[0].body
    assert "calmest" not in json.dumps(body["systemInstruction"])
    (message,) = body["contents"]
    assert message["role"] == "user"
    data = json.loads(message["parts"][0]["text"].partition("\n")[2])
    assert data["content"]["caption"] == CAPTION
    assert data["content"]["niche"] == "travel"


def test_the_reply_is_held_to_a_schema_with_bounds_and_thinking_is_off(stand_in: StandIn) -> None:
    Desk(stand_in.base_url).ask(GEMINI_TEXT)
    config = stand_in.calls("gemini")[0].body["generationConfig"]
    factors = config["responseJsonSchema"]["properties"]["factors"]
    assert (factors["minItems"], factors["maxItems"]) == (5, 5)
    assert factors["items"]["properties"]["score"] == {
        "type": "number", "minimum": 0, "maximum": 10,
    }  # fmt: skip
    assert factors["items"]["properties"]["name"]["enum"] == list(FACTOR_NAMES.values())
    assert "evidence" not in factors["items"]["required"]
    assert config["thinkingConfig"] == {"thinking_budget": 0}
    assert config["responseMimeType"] == "application/json"


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("gemini-2.5-pro", {"thinking_budget": 512}),
        ("gemini-3-flash-preview", {"thinking_level": "LOW"}),
    ],
)
def test_a_model_that_must_think_is_told_to_think_little_and_given_room(
    stand_in: StandIn, model: str, thinking: dict[str, Any]
) -> None:
    Desk(stand_in.base_url).ask(GEMINI_TEXT)
    desk = Desk(stand_in.base_url, gemini_model=model)
    assert desk.ask(GEMINI_TEXT).model == model
    usual, config = (call.body["generationConfig"] for call in stand_in.calls("gemini"))
    assert config["thinkingConfig"] == thinking
    assert config["maxOutputTokens"] > usual["maxOutputTokens"]
    assert desk.ledger.settlements[0].tokens["reasoning_tokens"] == 96


def test_keys_and_addresses_of_the_environment_do_not_count(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "another-key")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:9")
    Desk(stand_in.base_url, key=" a-key\n").ask(GEMINI_TEXT)
    assert stand_in.calls("gemini")[0].headers["x-goog-api-key"] == "a-key"


def test_numbers_out_of_range_are_clamped_with_a_note(stand_in: StandIn) -> None:
    stand_in.fail("gemini", Fault.OUT_OF_RANGE)
    analysis = Desk(stand_in.base_url).ask(GEMINI_TEXT).value
    assert {factor.score for factor in analysis.factors} == {10.0}
    assert analysis.notes


@pytest.mark.parametrize("fault", [Fault.OUT_OF_RANGE, Fault.MISSING_FACTOR])
def test_a_prediction_that_does_not_fit_is_refused(stand_in: StandIn, fault: Fault) -> None:
    stand_in.fail("gemini", fault)
    with pytest.raises(ProviderError) as caught:
        Desk(stand_in.base_url).ask(GEMINI_REASON)
    assert (caught.value.provider, caught.value.reason) == ("gemini", "schema")
    assert caught.value.fields


def test_a_missing_factor_refuses_the_analysis(stand_in: StandIn) -> None:
    stand_in.fail("gemini", Fault.MISSING_FACTOR)
    with pytest.raises(ProviderError, match=r"schema: .* at factors"):
        Desk(stand_in.base_url).ask(GEMINI_TEXT)


@pytest.mark.parametrize(
    ("evidence", "kept"),
    [
        ("calmest river in Huế", True),
        ("CALMEST  river\nIN huế?", True),
        ("a wild river", False),
        ("  ", False),
        (None, False),
    ],
)
def test_a_quotation_is_kept_only_when_it_stands_in_the_content(
    stand_in: StandIn, evidence: str | None, kept: bool
) -> None:
    stand_in.say("gemini", analysis_text(evidence))
    analysis = Desk(stand_in.base_url).ask(GEMINI_TEXT).value
    shown = evidence if kept else None
    assert {factor.evidence for factor in analysis.factors} == {shown}


def test_the_version_of_the_prompt_and_the_model_that_answered_are_named(
    stand_in: StandIn, clip: Path
) -> None:
    desk = Desk(stand_in.base_url)
    text, video, reason = map(desk.ask, (GEMINI_TEXT, gemini_video(clip), GEMINI_REASON))
    assert text.prompt_version.startswith("analysis-v1-")
    assert video.prompt_version.startswith("analysis-video-v1-")
    assert reason.prompt_version.startswith("reasoning-v1-")
    assert {text.model, video.model, reason.model} == {"gemini-2.5-flash"}


@pytest.mark.parametrize("fault", [Fault.REFUSAL, Fault.BLOCKED])
def test_a_refusal_tells_the_providers_own_reason(stand_in: StandIn, fault: Fault) -> None:
    stand_in.fail("gemini", fault, reason="PROHIBITED_CONTENT")
    with pytest.raises(ProviderError, match="PROHIBITED_CONTENT"):
        Desk(stand_in.base_url).ask(GEMINI_TEXT)


def test_a_key_that_is_not_valid_is_told_apart_from_a_bad_request(stand_in: StandIn) -> None:
    stand_in.fail("gemini", Fault.UNAUTHORIZED, times=1)
    stand_in.fail("gemini", Fault.SERVER_ERROR, status=400)
    reasons = []
    for _ in range(2):
        with pytest.raises(ProviderError) as caught:
            Desk(stand_in.base_url).ask(GEMINI_TEXT)
        reasons.append((caught.value.reason, caught.value.detail))
    assert reasons == [
        ("unauthorized", "HTTP 400 INVALID_ARGUMENT"),
        ("bad_request", "HTTP 400 INVALID_ARGUMENT"),
    ]


# Video


def test_a_video_is_uploaded_seen_with_its_caption_and_deleted(
    stand_in: StandIn, clip: Path
) -> None:
    clip.write_bytes(bytes(9 * 1024 * 1024))
    desk = Desk(stand_in.base_url)
    analysis = desk.ask(gemini_video(clip)).value
    assert analysis.video_signals is not None
    assert stand_in.files == []
    pieces = stand_in.calls("gemini", "upload_bytes")
    assert [piece.size for piece in pieces] == [8 * 1024 * 1024, 1024 * 1024]
    assert all("x-goog-api-key" not in piece.headers for piece in pieces)
    # Neither the file's name nor its folder is anybody's business.
    assert "phim" not in str([call.headers for call in stand_in.calls("gemini")])
    seen, told = stand_in.calls("gemini", "generate")[0].body["contents"][0]["parts"]
    assert seen["fileData"]["mime_type"] == "video/mp4"
    assert "calmest" in told["text"]
    tokens = desk.ledger.settlements[0].tokens
    assert (tokens["video_input_tokens"], tokens["audio_input_tokens"]) == (258, 32)
    assert stand_in.calls("gemini")[-1].operation == "file_delete"


def test_the_ceiling_of_a_video_grows_with_its_length(stand_in: StandIn, clip: Path) -> None:
    ceilings = []
    for seconds in (1.0, 600.0):
        desk = Desk(stand_in.base_url)
        desk.ask(gemini_video(clip, seconds=seconds))
        ceilings.append(desk.ledger.reservations[0].ceiling_microdollars)
    # 600 s of picture at 0.30 and of sound at 1.00 dollars a million tokens.
    assert ceilings[1] - ceilings[0] > 600 * (258 * 0.3 + 32)


def test_an_analysis_of_a_video_without_its_signals_is_refused(
    stand_in: StandIn, clip: Path
) -> None:
    stand_in.say("gemini", analysis_text())
    with pytest.raises(ProviderError, match="video_signals"):
        Desk(stand_in.base_url).ask(gemini_video(clip))
    assert stand_in.files == []


@pytest.mark.parametrize(
    ("operation", "fault", "options", "reason"),
    [
        ("upload_start", Fault.SERVER_ERROR, {}, "unavailable"),
        ("upload_start", Fault.GARBAGE, {}, "schema"),
        ("upload_start", Fault.HANG, {}, "timeout"),
        ("upload_bytes", Fault.SERVER_ERROR, {}, "unavailable"),
        ("upload_bytes", Fault.RESET, {}, "unreachable"),
        ("file_get", Fault.GARBAGE, {}, "schema"),
        ("file_get", Fault.RATE_LIMITED, {"retry_after": 0}, "rate_limited"),
        ("file_get", Fault.FILE_FAILED, {}, "bad_request"),
        ("generate", Fault.SERVER_ERROR, {}, "unavailable"),
        ("generate", Fault.BLOCKED, {}, "refused"),
    ],
)
def test_a_video_that_fails_on_its_way_costs_nothing_before_it_is_asked_about_and_leaves_no_copy(
    stand_in: StandIn,
    clip: Path,
    operation: str,
    fault: Fault,
    options: dict[str, Any],
    reason: str,
) -> None:
    stand_in.fail("gemini", fault, operation=operation, **options)
    desk = Desk(stand_in.base_url, upload_seconds=0.5)
    with pytest.raises(ProviderError) as caught:
        desk.ask(gemini_video(clip))
    assert caught.value.reason == reason
    assert desk.ledger.kinds == ["used" if fault is Fault.BLOCKED else "free"]
    assert stand_in.files == []
    assert desk.breaker.state().consecutive_failures == caught.value.is_of_provider


def test_a_second_attempt_uses_the_copy_of_the_first(stand_in: StandIn, clip: Path) -> None:
    stand_in.fail("gemini", Fault.SERVER_ERROR, operation="file_get", times=1)
    stand_in.fail("gemini", Fault.SERVER_ERROR, operation="generate", times=1)
    desk = Desk(stand_in.base_url, Patience(5.0, 10.0))
    desk.ask(gemini_video(clip))
    assert len(stand_in.calls("gemini", "upload_start")) == 1
    assert len(stand_in.calls("gemini", "generate")) == 2
    assert desk.ledger.kinds == ["free", "free", "used"]
    assert stand_in.files == []


def test_over_the_budget_a_video_is_not_even_uploaded(stand_in: StandIn, clip: Path) -> None:
    with pytest.raises(ProviderError, match="budget_day"):
        Desk(stand_in.base_url, day_cap=1).ask(gemini_video(clip))
    assert stand_in.calls() == []


def test_a_video_that_is_gone_is_a_fault_of_ours(stand_in: StandIn, clip: Path) -> None:
    method = gemini_video(clip)
    clip.unlink()
    desk = Desk(stand_in.base_url, TWO_TRIES)
    with pytest.raises(ProviderError, match="bad_request: the video cannot be read"):
        desk.ask(method)
    assert desk.ledger.kinds == ["free"]


@pytest.mark.parametrize(
    ("operation", "paid"),
    [("upload_bytes", "free"), ("file_get", "free"), ("generate", "estimate")],
)
def test_a_caller_who_is_cancelled_does_not_wait_for_the_deletion_that_still_happens(
    stand_in: StandIn, clip: Path, operation: str, paid: str
) -> None:
    stand_in.fail("gemini", Fault.HANG, operation=operation)
    stand_in.fail("gemini", Fault.LATENCY, operation="file_delete", seconds=0.3)
    desk = Desk(stand_in.base_url)
    waited: list[float] = []

    async def given_up(desk: Desk) -> None:
        task = asyncio.ensure_future(gemini_video(clip).ask(desk))
        while not stand_in.calls("gemini", operation):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        waited.append(time.monotonic() - started)

    desk.run(given_up)
    assert waited[0] < 0.25
    assert stand_in.files == []
    assert desk.ledger.kinds == [paid]
    assert desk.meter.microdollars == sum(desk.ledger.rows)


def test_a_deletion_that_fails_is_logged_and_the_answer_stands(
    stand_in: StandIn, clip: Path
) -> None:
    stand_in.fail("gemini", Fault.SERVER_ERROR, operation="file_delete")
    with capture_logs() as logs:
        answered: Answered[Any] = Desk(stand_in.base_url).ask(gemini_video(clip))
    assert answered.value.video_signals is not None
    assert [entry["event"] for entry in logs] == ["upload_not_deleted"]


def test_a_video_without_a_caption_is_judged_by_itself(stand_in: StandIn, clip: Path) -> None:
    video = VideoFile(clip, "video/mp4", clip.stat().st_size, 1.0)
    silent = replace(PAYLOAD, content_text="", hashtags=())
    stand_in.say("gemini", analysis_text("seen in the film", video_signals=_SIGNALS))
    analysis = (
        Desk(stand_in.base_url)
        .run(lambda desk: desk.gemini.analyse(silent, video, desk.meter))
        .value
    )
    told = stand_in.calls("gemini", "generate")[0].body["contents"][0]["parts"][1]["text"]
    assert "No text is given" in told
    assert {factor.evidence for factor in analysis.factors} == {None}


_SIGNALS = dict.fromkeys(
    ["visual_production_quality", "hook_visual_impact", "pacing_score", "transition_quality"], 5.0
)


# Bodies


def test_the_recorded_answer_is_read_and_priced(sample: Callable[[str], Any]) -> None:
    read = reply(sample("gemini_generate_response"))
    assert read.fault is None
    assert json.loads(read.text)["hook_strength"] == 7.5
    assert read.model == "gemini-2.5-flash"
    assert (read.usage.output_tokens, read.usage.reasoning_tokens) == (205, 143)
    assert PRICING.cost("gemini", "gemini-2.5-flash", read.usage, NOON).microdollars == 888


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("gemini_blocked_prompt_response", "prompt: PROHIBITED_CONTENT"),
        ("gemini_safety_finish_response", "reply: SAFETY"),
    ],
)
def test_recorded_refusals_are_told_as_such_and_cost_their_prompt(
    sample: Callable[[str], Any], name: str, detail: str
) -> None:
    read = reply(sample(name))
    assert (read.fault.reason, read.fault.detail) == ("refused", detail)
    assert (read.usage.input_tokens, read.usage.output_tokens) == (318, 0)


def test_recorded_errors_tell_the_pause_and_the_key(sample: Callable[[str], Any]) -> None:
    recorded = sample("gemini_errors")
    assert retry_delay_seconds(recorded["429"]) == 23.0
    assert retry_delay_seconds(recorded["503"]) is None
    assert [name for name in recorded if is_about_the_key(recorded[name])] == ["400_key"]


@pytest.mark.parametrize("details", [None, [], "x", {"error": 1}, {"error": {"details": [1]}}])
def test_an_error_of_any_shape_asks_for_no_pause(details: Any) -> None:
    assert retry_delay_seconds(details) is None
    assert not is_about_the_key(details)


def candidate(finish: str | None, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts)}, "finishReason": finish}]}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (candidate("STOP", {"text": "{}"}), None),
        (candidate(None, {"text": "{}"}), None),
        (candidate("A_NEW_ONE", {"text": "{}"}), None),
        (candidate("MAX_TOKENS", {"text": "{"}), "truncated"),
        (candidate("RECITATION", {"text": "{}"}), "refused"),
        (candidate("SPII"), "refused"),
        (candidate("IMAGE_SAFETY"), "refused"),
        (candidate("OTHER"), "empty"),
        (candidate("STOP", {"text": "I think", "thought": True}), "empty"),
        ({"candidates": [{"finishReason": "STOP"}]}, "empty"),
        ({"candidates": []}, "empty"),
        ({"candidates": "none"}, "empty"),
        ({}, "empty"),
        ({"promptFeedback": {"blockReason": "odd reason <b>"}}, "refused"),
    ],
)
def test_each_end_of_a_reply_is_told_apart(document: dict[str, Any], reason: str | None) -> None:
    fault = reply(document).fault
    assert (fault and fault.reason) == reason
    assert "<b>" not in str(fault)


@pytest.mark.parametrize(
    "usage",
    [None, {}, [], {"promptTokenCount": -1}, {"promptTokenCount": "many"}, {"promptTokenCount": 5}],
)
def test_a_usage_that_does_not_tell_the_cost_of_a_reply_is_none(usage: Any) -> None:
    document = {**candidate("STOP", {"text": "{}"}), "usageMetadata": usage}
    assert reply(document).usage is None


def test_the_tokens_of_a_reply_count_even_when_its_candidates_cannot_be_read() -> None:
    read = reply({"candidates": 7, "usageMetadata": {"promptTokenCount": 5, "x": 1}})
    assert read.usage.input_tokens == 5
