"""What the official client libraries put on the wire, recorded from themselves.

The stand-ins and our clients rest on these spellings. A new version of a library that changes one
fails here, before it fails in production.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from google import genai
from google.genai import types
from pydantic import BaseModel

from viral_platform.sandbox.stand_ins import Received, StandIn

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "contracts" / "samples"
MODEL = "gemini-2.5-flash"
MIB = 1024 * 1024


class A(BaseModel):
    hook_strength: float
    visual_quality: float
    summary: str


@pytest.fixture
def gemini(stand_in: StandIn) -> Iterator[genai.Client]:
    http_options = types.HttpOptions(
        base_url=stand_in.base_url,
        timeout=29_500,
        retry_options=types.HttpRetryOptions(attempts=1),
    )
    with genai.Client(api_key="key", http_options=http_options) as client:
        yield client


@pytest.fixture
def deepseek(stand_in: StandIn) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        api_key="key", base_url=stand_in.base_url, max_retries=0, timeout=30
    ) as client:
        yield client


def sample(name: str) -> dict[str, Any]:
    path = SAMPLES / name
    if not path.is_file():
        pytest.skip("the contract samples are not beside this checkout")
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def shape(value: Any) -> Any:
    """Keys and types of a JSON value, at any depth."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return type(value)


def file_of(client: genai.Client, size: int) -> types.File:
    file = client.files.upload(
        file=io.BytesIO(bytes(size)),
        config=types.UploadFileConfig(mime_type="video/mp4", display_name="clip.mp4"),
    )
    while file.state is types.FileState.PROCESSING:
        assert file.name is not None
        file = client.files.get(name=file.name)
    return file


def only(stand_in: StandIn, operation: str) -> Received:
    (call,) = stand_in.calls(operation=operation)
    return call


def test_generate_content_is_spelt_in_both_cases(gemini: genai.Client, stand_in: StandIn) -> None:
    recorded = sample("gemini_generate_request.json")
    gemini.models.generate_content(
        model=MODEL,
        contents=["CAPTION: my first sourdough", file_of(gemini, 10)],
        config=types.GenerateContentConfig(
            system_instruction="You score short videos. Answer with JSON only.",
            temperature=0.2,
            max_output_tokens=1024,
            response_mime_type="application/json",
            response_schema=A,
            thinking_config=types.ThinkingConfig(thinking_budget=0),
        ),
    )
    call = only(stand_in, "generate")
    assert call.path == recorded["_http"]["path"]
    assert {name.lower() for name in recorded["_http"]["headers"]} <= call.headers.keys()
    # Seconds, rounded up.
    assert call.headers["x-server-timeout"] == "30"
    assert call.headers["x-goog-api-key"] == "key"
    sent = dict(call.body)
    address = sent["contents"][0]["parts"][1]["fileData"]
    assert address.keys() == {"file_uri", "mime_type"}
    address["file_uri"] = recorded["body"]["contents"][0]["parts"][1]["fileData"]["file_uri"]
    assert sent == recorded["body"]


def test_generate_content_carries_a_json_schema_untouched(
    gemini: genai.Client, stand_in: StandIn
) -> None:
    schema = {
        "type": "object",
        "properties": {"score": {"type": "number", "minimum": 0, "maximum": 10}},
        "required": ["score"],
        "additionalProperties": False,
    }
    gemini.models.generate_content(
        model=MODEL,
        contents="x",
        config=types.GenerateContentConfig(
            response_mime_type="application/json",
            response_json_schema=schema,
            thinking_config=types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW),
            safety_settings=[
                types.SafetySetting(
                    category=types.HarmCategory.HARM_CATEGORY_HARASSMENT,
                    threshold=types.HarmBlockThreshold.BLOCK_NONE,
                )
            ],
        ),
    )
    body = only(stand_in, "generate").body
    assert body["contents"] == [{"parts": [{"text": "x"}], "role": "user"}]
    assert body["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
        "thinkingConfig": {"thinking_level": "LOW"},
    }
    assert body["safetySettings"] == [
        {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}
    ]


def test_a_stream_asks_for_server_sent_events(gemini: genai.Client, stand_in: StandIn) -> None:
    list(gemini.models.generate_content_stream(model=MODEL, contents="x"))
    call = only(stand_in, "stream")
    assert call.path == f"/v1/models/{MODEL}:streamGenerateContent"
    assert call.query == {"alt": "sse"}


def test_an_upload_starts_resumable_and_sends_pieces_of_eight_mebibytes(
    gemini: genai.Client, stand_in: StandIn
) -> None:
    file_of(gemini, 9 * MIB)
    start = only(stand_in, "upload_start")
    assert (start.method, start.path) == ("POST", "/upload/v1/files")
    assert start.body == {
        "file": {"display_name": "clip.mp4", "mime_type": "video/mp4", "size_bytes": 9 * MIB}
    }
    announced = {
        "x-goog-upload-protocol": "resumable",
        "x-goog-upload-header-content-length": str(9 * MIB),
        "x-goog-upload-header-content-type": "video/mp4",
    }
    assert start.headers.items() >= {**announced, "x-goog-upload-command": "start"}.items()
    assert start.headers["x-goog-api-key"] == "key"
    pieces = stand_in.calls(operation="upload_bytes")
    assert [
        (one.headers["x-goog-upload-command"], one.headers["x-goog-upload-offset"], one.size)
        for one in pieces
    ] == [("upload", "0", 8 * MIB), ("upload, finalize", str(8 * MIB), MIB)]
    # The address is the secret; the library repeats the headers of the start beside its own.
    assert all("x-goog-api-key" not in one.headers for one in pieces)
    assert all(one.headers.items() >= announced.items() for one in pieces)
    assert all(one.headers["content-type"] == "application/json" for one in pieces)


def test_files_are_read_and_deleted_by_name(gemini: genai.Client, stand_in: StandIn) -> None:
    name = file_of(gemini, 10).name
    assert name is not None
    gemini.files.delete(name=name)
    looked_at, deleted = (
        stand_in.calls(operation=operation)[-1] for operation in ("file_get", "file_delete")
    )
    assert (looked_at.method, looked_at.path) == ("GET", f"/v1/{name}")
    assert (deleted.method, deleted.path) == ("DELETE", f"/v1/{name}")


def test_chat_completions_carry_thinking_at_the_top(
    deepseek: openai.OpenAI, stand_in: StandIn
) -> None:
    recorded = sample("deepseek_chat_request.json")
    deepseek.chat.completions.create(
        model="deepseek-flash",
        messages=recorded["body"]["messages"],
        response_format={"type": "json_object"},
        max_tokens=1024,
        temperature=0.3,
        extra_body={"thinking": {"type": "disabled"}},
    )
    call = only(stand_in, "chat")
    assert call.path == recorded["_http"]["path"]
    assert call.body == recorded["body"]
    assert call.headers["authorization"] == "Bearer key"
    assert call.headers["content-type"] == "application/json"
    assert call.headers["user-agent"] == f"OpenAI/Python {version('openai')}"


def test_chat_completions_carry_the_effort_and_the_wish_for_usage(
    deepseek: openai.OpenAI, stand_in: StandIn
) -> None:
    stream = deepseek.chat.completions.create(
        model="deepseek-flash",
        messages=[{"role": "user", "content": "x"}],
        reasoning_effort="high",
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"thinking": {"type": "enabled"}},
    )
    assert list(stream)
    body = only(stand_in, "chat").body
    assert body["thinking"] == {"type": "enabled"}
    assert body["reasoning_effort"] == "high"
    assert body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("thinking", ["enabled", "disabled"])
def test_chat_answers_have_the_fields_of_the_contract(
    deepseek: openai.OpenAI, stand_in: StandIn, thinking: str
) -> None:
    name = "thinking" if thinking == "enabled" else "chat"
    recorded = sample(f"deepseek_{name}_response.json")
    answer = httpx.post(
        f"{stand_in.base_url}/chat/completions",
        headers={"authorization": "Bearer key"},
        json={
            "model": "deepseek-flash",
            "messages": [{"role": "user", "content": "x"}],
            "thinking": {"type": thinking},
        },
    ).json()
    assert shape(answer) == shape(recorded)


def test_gemini_answers_and_files_have_the_fields_of_the_contract(
    gemini: genai.Client, stand_in: StandIn
) -> None:
    recorded = sample("gemini_generate_response.json")
    file = file_of(gemini, 10)
    key = {"x-goog-api-key": "key"}
    body = {
        "contents": [{"parts": [{"text": "x"}, {"file_data": {"file_uri": file.uri}}]}],
        "systemInstruction": {"parts": [{"text": "word " * 1_000}]},
    }
    path = f"{stand_in.base_url}/v1/models/{MODEL}:generateContent"
    answer = httpx.post(path, json=body, headers=key).json()
    assert answer.keys() == recorded.keys()
    assert answer["usageMetadata"].keys() == recorded["usageMetadata"].keys()
    assert recorded["candidates"][0].keys() - answer["candidates"][0].keys() == {"avgLogprobs"}
    stored = httpx.get(f"{stand_in.base_url}/v1/{file.name}", headers=key).json()
    assert shape(stored) == shape(sample("gemini_file_active.json"))


@pytest.mark.parametrize("status", ["400", "401", "402", "422", "429", "500", "503"])
def test_deepseek_errors_have_the_fields_of_the_contract(stand_in: StandIn, status: str) -> None:
    recorded = sample("deepseek_errors.json")[status]
    answer = httpx.post(
        f"{stand_in.base_url}/chat/completions",
        json={},
        headers={"x-stand-in-fault": f"server_error;status={status}"},
    )
    assert answer.status_code == int(status)
    assert (
        answer.json()["error"].items()
        >= {key: text for key, text in recorded["error"].items() if key != "message"}.items()
    )


@pytest.mark.parametrize("status", ["400", "401", "402", "404", "429", "500"])
def test_apify_errors_have_the_fields_of_the_contract(stand_in: StandIn, status: str) -> None:
    recorded = sample("apify_errors.json")[status]
    answer = httpx.get(
        f"{stand_in.base_url}/v2/actor-runs/none",
        headers={"x-stand-in-fault": f"server_error;status={status}"},
    )
    assert answer.status_code == int(status)
    assert answer.json()["error"].keys() == recorded["error"].keys()
    if status != "400":
        assert answer.json()["error"]["type"] == recorded["error"]["type"]


def test_apify_runs_have_the_fields_of_the_contract(stand_in: StandIn) -> None:
    answer = httpx.post(
        f"{stand_in.base_url}/v2/acts/clockworks~tiktok-scraper/runs",
        json={"hashtags": ["bread"]},
        headers={"authorization": "Bearer token"},
    ).json()
    recorded = sample("apify_run_started.json")
    assert recorded["data"].keys() - answer["data"].keys() == {"containerUrl"}
    assert answer["data"]["options"].keys() == recorded["data"]["options"].keys()
