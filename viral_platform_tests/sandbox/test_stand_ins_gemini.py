"""The stand-in for Gemini as the unmodified official client library sees it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from viral_platform.engine.replies import parse_analysis
from viral_platform.sandbox.stand_ins import Fault, StandIn

MODEL = "gemini-2.5-flash"
DATA = json.dumps({"caption": "Stop! 3 things about bread?", "rules": ["Stakes"]})
MIB = 1024 * 1024


class Shape(BaseModel):
    hook_strength: float
    summary: str


def options(stand_in: StandIn, seconds: float = 10.0, **more: Any) -> types.HttpOptions:
    return types.HttpOptions(
        base_url=stand_in.base_url,
        timeout=int(seconds * 1000),
        retry_options=types.HttpRetryOptions(attempts=1),
        **more,
    )


@pytest.fixture
def gemini(stand_in: StandIn) -> Iterator[genai.Client]:
    with genai.Client(api_key="key", http_options=options(stand_in)) as client:
        yield client


def ask(client: genai.Client, **config: Any) -> types.GenerateContentResponse:
    return client.models.generate_content(
        model=MODEL, contents=DATA, config=types.GenerateContentConfig(**config)
    )


def uploaded(client: genai.Client, content: bytes) -> types.File:
    return client.files.upload(
        file=io.BytesIO(content),
        config=types.UploadFileConfig(mime_type="video/mp4", display_name="clip.mp4"),
    )


def named(file: types.File) -> str:
    assert file.name is not None
    return file.name


def active(client: genai.Client, file: types.File) -> types.File:
    for _ in range(3):
        if file.state is not types.FileState.PROCESSING:
            return file
        file = client.files.get(name=named(file))
    raise AssertionError("still processing")


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_gemini_answers_the_five_factors_with_usage(stand_in: StandIn, version: str) -> None:
    with genai.Client(api_key="key", http_options=options(stand_in, api_version=version)) as client:
        answer = ask(client, system_instruction="Answer with factors." * 300)
    analysis = parse_analysis(answer.text or "", with_video=False)
    assert analysis.factors[0].evidence == "Stop! 3 things about bread?"
    usage = answer.usage_metadata
    assert usage is not None
    assert usage.cached_content_token_count == 1_024
    assert usage.thoughts_token_count == 96
    assert usage.total_token_count == (
        (usage.prompt_token_count or 0)
        + (usage.candidates_token_count or 0)
        + usage.thoughts_token_count
    )
    assert stand_in.calls("gemini")[0].path.startswith(f"/{version}/models/")


@pytest.mark.parametrize("spelling", ["response_schema", "response_json_schema"])
def test_gemini_fills_a_schema(gemini: genai.Client, spelling: str) -> None:
    schema = Shape if spelling == "response_schema" else Shape.model_json_schema()
    answer = ask(gemini, response_mime_type="application/json", **{spelling: schema})
    assert Shape.model_validate_json(answer.text or "").summary == "Simulated."


def test_gemini_streams(gemini: genai.Client) -> None:
    chunks = list(gemini.models.generate_content_stream(model=MODEL, contents=DATA))
    assert len(chunks) == 3
    assert "".join(chunk.text or "" for chunk in chunks).startswith("Simulated reply")
    assert chunks[-1].usage_metadata is not None
    assert chunks[-1].candidates is not None
    assert chunks[-1].candidates[0].finish_reason is types.FinishReason.STOP


def test_gemini_takes_nine_mebibytes_and_judges_them_once_they_are_processed(
    gemini: genai.Client, stand_in: StandIn
) -> None:
    content = bytes(range(256)) * (9 * MIB // 256)
    file = uploaded(gemini, content)
    assert file.state is types.FileState.PROCESSING
    assert file.size_bytes == 9 * MIB
    with pytest.raises(errors.ClientError, match="FAILED_PRECONDITION"):
        gemini.models.generate_content(model=MODEL, contents=[DATA, file])
    file = active(gemini, file)
    assert file.state is types.FileState.ACTIVE
    assert file.display_name == "clip.mp4"
    config = types.GenerateContentConfig(system_instruction="factors")
    answer = gemini.models.generate_content(model=MODEL, contents=[DATA, file], config=config)
    analysis = parse_analysis(answer.text or "", with_video=True)
    assert analysis.video_signals is not None
    usage = answer.usage_metadata
    assert usage is not None
    counts = {one.modality: one.token_count for one in usage.prompt_tokens_details or []}
    assert counts[types.MediaModality.VIDEO] == 258
    assert counts[types.MediaModality.AUDIO] == 32
    assert [call.size for call in stand_in.calls("gemini", "upload_bytes")] == [8 * MIB, MIB]
    assert [one.name for one in gemini.files.list()] == stand_in.files == [file.name]
    gemini.files.delete(name=named(file))
    assert stand_in.files == []
    with pytest.raises(errors.ClientError, match="PERMISSION_DENIED"):
        gemini.files.get(name=named(file))


def test_gemini_lists_files_in_pages(gemini: genai.Client) -> None:
    names = [uploaded(gemini, bytes([i])).name for i in range(3)]
    listed = list(gemini.files.list(config=types.ListFilesConfig(page_size=2)))
    assert [one.name for one in listed] == names


def test_a_piece_of_a_file_that_happens_to_be_json_is_bytes(gemini: genai.Client) -> None:
    file = uploaded(gemini, b"1234")
    assert file.size_bytes == 4
    assert file.sha256_hash is not None


def test_a_file_can_fail_to_be_processed(gemini: genai.Client, stand_in: StandIn) -> None:
    stand_in.fail("gemini", Fault.FILE_FAILED, times=1)
    file = active(gemini, uploaded(gemini, b"clip"))
    assert file.state is types.FileState.FAILED
    assert file.error is not None
    assert gemini.files.get(name=named(file)).state is types.FileState.FAILED


def test_an_upload_that_breaks_off_is_told_at_once(gemini: genai.Client, stand_in: StandIn) -> None:
    stand_in.fail("gemini", Fault.SERVER_ERROR, operation="upload_bytes", times=1)
    started = time.monotonic()
    with pytest.raises(errors.ServerError, match="UNAVAILABLE"):
        uploaded(gemini, b"clip")
    assert time.monotonic() - started < 0.9
    assert len(stand_in.calls("gemini", "upload_bytes")) == 1


@pytest.mark.parametrize(
    ("fault", "given", "code", "status"),
    [
        (Fault.RATE_LIMITED, {"retry_after": 0.2}, 429, "RESOURCE_EXHAUSTED"),
        (Fault.SERVER_ERROR, {}, 503, "UNAVAILABLE"),
        (Fault.SERVER_ERROR, {"status": 500}, 500, "INTERNAL"),
        (Fault.UNAUTHORIZED, {}, 400, "INVALID_ARGUMENT"),
        (Fault.UNAUTHORIZED, {"status": 403}, 403, "PERMISSION_DENIED"),
        (Fault.NOT_FOUND, {}, 404, "NOT_FOUND"),
    ],
)
def test_gemini_errors_are_those_of_the_library(
    gemini: genai.Client,
    stand_in: StandIn,
    fault: Fault,
    given: dict[str, Any],
    code: int,
    status: str,
) -> None:
    stand_in.fail("gemini", fault, times=1, **given)
    with pytest.raises(errors.APIError) as caught:
        ask(gemini)
    assert (caught.value.code, caught.value.status) == (code, status)
    if fault is Fault.RATE_LIMITED:
        assert caught.value.details["error"]["details"][1]["retryDelay"] == "0.2s"
    assert len(stand_in.calls("gemini")) == 1
    assert ask(gemini).text


def test_gemini_refuses_not_founds_bad_keys_and_unknown_files(
    gemini: genai.Client, stand_in: StandIn
) -> None:
    with pytest.raises(errors.ClientError, match="NOT_FOUND"):
        gemini.models.generate_content(model="gemini-1.5-flash", contents="x")
    with (
        genai.Client(api_key="invalid", http_options=options(stand_in)) as stranger,
        pytest.raises(errors.ClientError, match="API_KEY_INVALID"),
    ):
        ask(stranger)
    part = types.Part.from_uri(file_uri=f"{stand_in.base_url}/v1/files/x", mime_type="video/mp4")
    with pytest.raises(errors.ClientError, match="PERMISSION_DENIED"):
        gemini.models.generate_content(model=MODEL, contents=[part])
    without_key = httpx.post(f"{stand_in.base_url}/v1/models/{MODEL}:generateContent", json={})
    assert without_key.status_code == 403
    assert without_key.json()["error"]["status"] == "PERMISSION_DENIED"


def test_gemini_safety_blocks_and_empty_answers_come_with_200(
    gemini: genai.Client, stand_in: StandIn
) -> None:
    for fault, given in (
        (Fault.BLOCKED, {}),
        (Fault.REFUSAL, {"reason": "SPII"}),
        (Fault.EMPTY, {}),
        (Fault.EMPTY, {"blank": True}),
    ):
        stand_in.fail("gemini", fault, times=1, **given)
    blocked, refused, empty, blank = (ask(gemini) for _ in range(4))
    assert blocked.candidates is None
    assert blocked.prompt_feedback is not None
    assert blocked.prompt_feedback.block_reason is types.BlockedReason.PROHIBITED_CONTENT
    assert refused.text is None
    assert refused.candidates is not None
    assert refused.candidates[0].finish_reason is types.FinishReason.SPII
    assert empty.candidates is None
    assert empty.prompt_feedback is None
    assert (blank.text or "x").strip() == ""
    stand_in.fail("gemini", Fault.TRUNCATED_JSON, times=1, finish=True)
    stand_in.fail("gemini", Fault.NO_USAGE, times=1)
    cut, unsaid = ask(gemini), ask(gemini)
    assert cut.candidates is not None
    assert cut.candidates[0].finish_reason is types.FinishReason.MAX_TOKENS
    assert unsaid.usage_metadata is None


def test_gemini_connection_faults_reach_the_async_client(stand_in: StandIn) -> None:
    async def outcomes() -> list[str]:
        client = genai.Client(api_key="key", http_options=options(stand_in, 0.3)).aio
        names = []
        for fault in (Fault.RESET, Fault.HANG, Fault.GARBAGE, None):
            if fault is not None:
                stand_in.fail("gemini", fault, times=1)
            try:
                await client.models.generate_content(model=MODEL, contents="x")
                names.append("answer")
            except (httpx2.HTTPError, errors.APIError, ValueError) as error:
                names.append(type(error).__name__)
        await client.aclose()
        return names

    assert asyncio.run(outcomes()) == [
        "ReadError",
        "ReadTimeout",
        "JSONDecodeError",
        "answer",
    ]


def test_the_hash_of_a_file_is_that_of_its_bytes(gemini: genai.Client) -> None:
    file = uploaded(gemini, b"clip")
    assert base64.b64decode(file.sha256_hash or "").decode() == hashlib.sha256(b"clip").hexdigest()
