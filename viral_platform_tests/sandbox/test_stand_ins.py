"""Faults and the life of the server, without a client library in between."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from viral_platform.engine.errors import InputError, UnreadableFileError
from viral_platform.sandbox.stand_ins import Fault, StandIn
from viral_platform.sandbox.stand_ins.faults import FAULT_HEADER, FaultPlan
from viral_platform.sandbox.stand_ins.gemini_files import video_seconds

CAPTION = "Stop! Nobody told me these 3 things about bread. Which one is new? Save it. #bread #food"
DATA = json.dumps(
    {"content": {"caption": CAPTION}, "rules": [{"rule_name": "Open loop"}, "Stakes"]}
)
CHAT = {
    "model": "deepseek-flash",
    "messages": [
        {"role": "system", "content": "Answer with JSON: behavioral_predictions"},
        {"role": "user", "content": DATA},
    ],
}
KEY = {"authorization": "Bearer key"}


@pytest.fixture
def client(stand_in: StandIn) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stand_in.base_url, timeout=5.0, trust_env=False) as client:
        yield client


def chat(client: httpx.Client, **headers: str) -> httpx.Response:
    return client.post("/chat/completions", json=CHAT, headers={**KEY, **headers})


def text_of(response: httpx.Response) -> str:
    content: str = response.json()["choices"][0]["message"]["content"]
    return content


def test_faults_strike_in_the_order_planned_and_as_often_as_planned(
    stand_in: StandIn, client: httpx.Client
) -> None:
    stand_in.fail("deepseek", Fault.RATE_LIMITED, times=2, retry_after=0.2)
    stand_in.fail("deepseek", Fault.SERVER_ERROR, times=1, status=500)
    stand_in.fail("gemini", Fault.SERVER_ERROR)
    answers = [chat(client) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [429, 429, 500, 200]
    assert answers[0].headers["retry-after"] == "0.2"
    assert answers[0].json()["error"]["code"] == "rate_limit_reached_error"


def test_a_fault_without_a_number_holds_until_it_is_healed(
    stand_in: StandIn, client: httpx.Client
) -> None:
    stand_in.fail("deepseek", Fault.OUT_OF_CREDIT)
    assert [chat(client).status_code for _ in range(3)] == [402, 402, 402]
    stand_in.heal()
    assert chat(client).status_code == 200


def test_a_header_of_the_request_asks_for_a_fault_of_this_call_alone(client: httpx.Client) -> None:
    answer = chat(client, **{FAULT_HEADER: "rate_limited; retry_after=7"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert chat(client).status_code == 200
    blocked = chat(client, **{FAULT_HEADER: "refusal;reason=SPII"})
    assert blocked.json()["choices"][0]["finish_reason"] == "content_filter"


def test_a_misspelt_option_is_refused_when_it_is_planned(stand_in: StandIn) -> None:
    with pytest.raises(InputError, match=r"no option retry_afer\. It has: retry_after"):
        stand_in.fail("gemini", Fault.RATE_LIMITED, retry_afer=1)
    with pytest.raises(InputError, match=r"It has: none"):
        stand_in.fail("gemini", Fault.RESET, seconds=1)


def test_a_fault_of_one_operation_lets_the_others_pass(
    stand_in: StandIn, client: httpx.Client
) -> None:
    stand_in.fail("gemini", Fault.SERVER_ERROR, operation="file_list", times=1)
    stand_in.fail("gemini", Fault.FENCED, times=1)
    key = {"x-goog-api-key": "key"}
    body = {"contents": [{"parts": [{"text": "hi"}]}]}
    generate = "/v1/models/gemini-2.5-flash:generateContent"
    # A fault of the reply waits for a call that has one.
    assert client.get("/v1/files", headers=key).status_code == 503
    assert client.get("/v1/files", headers=key).status_code == 200
    assert "```json" in client.post(generate, json=body, headers=key).text


def test_a_scenario_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.json"
    scenario.write_text(
        '[{"provider": "deepseek", "fault": "server_error", "times": 1, "status": 500}]'
    )
    with (
        StandIn(scenario=scenario) as stand_in,
        httpx.Client(base_url=stand_in.base_url, trust_env=False) as client,
    ):
        assert [chat(client).status_code for _ in range(2)] == [500, 200]
        scenario.write_text('[{"provider": "deepseek", "operation": "chat", "fault": "not_found"}]')
        os.utime(scenario, ns=(1, 1))
        assert chat(client).status_code == 404
        stand_in.heal()
        assert chat(client).status_code == 404


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '[{"provider": "openai", "fault": "reset"}]',
        '[{"provider": "gemini", "fault": "x"}]',
        "[",
    ],
)
def test_a_scenario_that_cannot_be_used_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    scenario = tmp_path / "scenario.json"
    scenario.write_text(text)
    with pytest.raises(UnreadableFileError, match="Write a list as"):
        FaultPlan(scenario)
    with pytest.raises(UnreadableFileError):
        FaultPlan(tmp_path / "absent.json")


def test_a_scenario_with_an_unknown_option_is_refused(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.json"
    scenario.write_text('[{"provider": "gemini", "fault": "reset", "sedonds": 1}]')
    with pytest.raises(UnreadableFileError, match="no option sedonds"):
        FaultPlan(scenario)


def test_a_reset_is_a_reset_on_the_socket(stand_in: StandIn) -> None:
    stand_in.fail("deepseek", Fault.RESET, times=1)
    host, port = stand_in.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(
            b"POST /chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        )
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_a_hanging_call_does_not_hold_up_the_others_nor_the_end() -> None:
    before = set(threading.enumerate())
    with StandIn() as stand_in:
        stand_in.fail("deepseek", Fault.HANG, times=3)
        outcomes: list[str] = []

        def call() -> None:
            with httpx.Client(base_url=stand_in.base_url, timeout=30, trust_env=False) as client:
                try:
                    chat(client)
                except httpx.TransportError as error:
                    outcomes.append(type(error).__name__)

        threads = [threading.Thread(target=call) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(stand_in.calls("deepseek")) < 3:
            time.sleep(0.005)
        with httpx.Client(base_url=stand_in.base_url, trust_env=False) as client:
            assert chat(client).status_code == 200
        started = time.monotonic()
    for thread in threads:
        thread.join(5)
    assert time.monotonic() - started < 1.0
    assert len(outcomes) == 3
    assert set(threading.enumerate()) <= before


def test_latency_holds_for_every_answer_until_it_is_healed(
    stand_in: StandIn, client: httpx.Client
) -> None:
    stand_in.latency = 0.1
    started = time.monotonic()
    chat(client)
    assert time.monotonic() - started >= 0.1
    stand_in.heal()
    stand_in.fail("deepseek", Fault.LATENCY, times=1, seconds=0.1)
    started = time.monotonic()
    assert chat(client).status_code == 200
    assert time.monotonic() - started >= 0.1


def test_keep_alive_sends_blank_lines_before_the_body(
    stand_in: StandIn, client: httpx.Client
) -> None:
    stand_in.fail("deepseek", Fault.KEEP_ALIVE, times=1, seconds=0.5)
    pieces: list[bytes] = []
    with client.stream("POST", "/chat/completions", json=CHAT, headers=KEY) as response:
        pieces += response.iter_raw()
    assert pieces[:2] == [b"\n", b"\n"]
    assert json.loads(b"".join(pieces))["object"] == "chat.completion"


def test_requests_are_kept_as_they_came(stand_in: StandIn, client: httpx.Client) -> None:
    chat(client)
    client.get("/v1/files", params={"pageSize": "3"}, headers={"x-goog-api-key": "k"})
    client.get("/nowhere")
    (kept,) = stand_in.calls("deepseek")
    assert (kept.method, kept.path, kept.operation) == ("POST", "/chat/completions", "chat")
    assert kept.body == CHAT
    assert kept.headers["authorization"] == "Bearer key"
    assert stand_in.calls("gemini")[0].query == {"pageSize": "3"}
    assert [call.provider for call in stand_in.calls()] == ["deepseek", "gemini", "unknown"]
    assert stand_in.calls(operation="file_list") == stand_in.calls("gemini")
    stand_in.reset()
    assert stand_in.calls() == []


def test_it_can_be_told_what_to_reply(stand_in: StandIn, client: httpx.Client) -> None:
    stand_in.say("deepseek", "no JSON at all")
    assert text_of(chat(client)) == "no JSON at all"
    stand_in.say("deepseek", None)
    assert "behavioral_predictions" in text_of(chat(client))
    with pytest.raises(InputError, match="Only language models"):
        stand_in.say("apify", "x")


def test_the_process_says_where_it_serves_and_ends_at_a_signal(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.json"
    scenario.write_text('[{"provider": "deepseek", "fault": "hang"}]')
    command = [sys.executable, "-W", "error", "-m", "viral_platform.sandbox.stand_ins"]
    with subprocess.Popen(
        [*command, "--scenario", str(scenario)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        base_url = json.loads(process.stdout.readline())["base_url"]
        with (
            httpx.Client(base_url=base_url, timeout=0.1, trust_env=False) as client,
            pytest.raises(httpx.ReadTimeout),
        ):
            chat(client)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (401, {}, CHAT),
        (401, {"authorization": "Bearer invalid-key"}, CHAT),
        (400, KEY, {**CHAT, "model": "deepseek-chat"}),
        (400, KEY, {**CHAT, "model": "gpt"}),
        (422, KEY, {**CHAT, "temperature": "hot"}),
        (422, KEY, {**CHAT, "messages": []}),
        (400, KEY, None),
        (
            400,
            KEY,
            {
                **CHAT,
                "messages": [{"role": "user", "content": "hi"}],
                "response_format": {"type": "json_object"},
            },
        ),
    ],
)
def test_deepseek_refuses_what_the_api_refuses(
    client: httpx.Client, status: int, headers: dict[str, str], body: Any
) -> None:
    answer = client.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


def test_the_token_limit_cuts_the_reply(client: httpx.Client) -> None:
    quiet = {**CHAT, "thinking": {"type": "disabled"}}
    cut = client.post("/chat/completions", json={**quiet, "max_tokens": 10}, headers=KEY).json()
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["usage"]["completion_tokens"] == 10
    body = {
        "contents": [{"parts": [{"text": DATA}]}],
        "system_instruction": {"parts": [{"text": "factors"}]},
        "generation_config": {"max_output_tokens": 120},
    }
    path = "/v1beta/models/gemini-2.5-flash:generateContent"
    answer = client.post(path, json=body, headers={"x-goog-api-key": "k"}).json()
    assert answer["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert answer["usageMetadata"]["thoughtsTokenCount"] == 96
    assert answer["usageMetadata"]["candidatesTokenCount"] == 24


def test_a_system_prompt_that_was_sent_before_is_a_cache_hit_in_whole_blocks(
    client: httpx.Client,
) -> None:
    long = "behavioral_predictions " * 20
    body = {**CHAT, "messages": [{"role": "system", "content": long}, CHAT["messages"][1]]}
    usage = client.post("/chat/completions", json=body, headers=KEY).json()["usage"]
    assert usage["prompt_cache_hit_tokens"] == len(long) // 4 // 64 * 64 > 0
    assert usage["prompt_tokens"] == (
        usage["prompt_cache_hit_tokens"] + usage["prompt_cache_miss_tokens"]
    )


@pytest.mark.parametrize(("version", "width"), [(0, 4), (1, 8)])
def test_the_length_of_a_video_is_read_from_its_movie_header(version: int, width: int) -> None:
    times = bytes(2 * width)
    header = bytes([version, 0, 0, 0]) + times + (600).to_bytes(4) + (8_400).to_bytes(width)
    assert video_seconds(b"....mvhd" + header + bytes(40)) == 14.0
    assert video_seconds(b"no video") == 1.0
    assert video_seconds(b"mvhd" + bytes(40)) == 1.0


def test_a_port_that_is_taken_is_told(stand_in: StandIn) -> None:
    port = int(stand_in.base_url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        StandIn(port=port).start()


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_head(
    client: httpx.Client,
) -> None:
    """Sockets that held small pieces back made each call 40 ms long."""
    seconds = []
    for _ in range(5):
        started = time.monotonic()
        chat(client)
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 0.03
