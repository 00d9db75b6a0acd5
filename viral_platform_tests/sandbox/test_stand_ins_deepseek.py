"""The stand-in for DeepSeek as the unmodified official client library sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from viral_platform.engine.replies import parse_reasoning
from viral_platform.sandbox.stand_ins import Fault, StandIn

DATA = json.dumps({"caption": "Stop! 3 things about bread?", "rules": ["Stakes"]})


@pytest.fixture
def deepseek(stand_in: StandIn) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        api_key="key", base_url=stand_in.base_url, max_retries=0, timeout=10
    ) as client:
        yield client


def create(client: openai.OpenAI, system: str = "json, evaluations", **given: Any) -> Any:
    return client.chat.completions.create(
        model=given.pop("model", "deepseek-flash"),
        messages=[{"role": "system", "content": system}, {"role": "user", "content": DATA}],
        response_format={"type": "json_object"},
        **given,
    )


@pytest.mark.parametrize("path", ["", "/v1"])
def test_deepseek_thinks_unless_told_not_to(stand_in: StandIn, path: str) -> None:
    with openai.OpenAI(api_key="key", base_url=stand_in.base_url + path, max_retries=0) as client:
        thinking = create(client, system="json, behavioral_predictions")
        quiet = create(client, extra_body={"thinking": {"type": "disabled"}})
    message = thinking.choices[0].message
    assert parse_reasoning(message.content).confidence == "medium"
    assert message.reasoning_content
    details = thinking.usage.completion_tokens_details
    assert 0 < details.reasoning_tokens < thinking.usage.completion_tokens
    assert not hasattr(quiet.choices[0].message, "reasoning_content")
    assert quiet.usage.completion_tokens_details is None
    assert quiet.usage.total_tokens == quiet.usage.prompt_tokens + quiet.usage.completion_tokens


def test_deepseek_streams_thoughts_first_and_usage_last(deepseek: openai.OpenAI) -> None:
    chunks = list(create(deepseek, stream=True, stream_options={"include_usage": True}))
    thoughts = [getattr(chunk.choices[0].delta, "reasoning_content", None) for chunk in chunks]
    texts = [chunk.choices[0].delta.content for chunk in chunks]
    assert thoughts.index(next(filter(None, thoughts))) < texts.index(next(filter(None, texts)))
    assert json.loads("".join(text or "" for text in texts))["evaluations"]
    assert chunks[-1].usage.completion_tokens_details.reasoning_tokens > 0
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]


def test_deepseek_streams_to_the_async_client_through_keep_alive_comments(
    stand_in: StandIn,
) -> None:
    async def text() -> str:
        async with openai.AsyncOpenAI(
            api_key="key", base_url=stand_in.base_url, max_retries=0
        ) as client:
            stand_in.fail("deepseek", Fault.KEEP_ALIVE, times=1, seconds=0.2)
            stream = await client.chat.completions.create(
                model="deepseek-flash", messages=[{"role": "user", "content": "x"}], stream=True
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert asyncio.run(text()) == "Simulated reply to 1 characters."


@pytest.mark.parametrize(
    ("fault", "given", "status", "kind"),
    [
        (Fault.UNAUTHORIZED, {}, 401, openai.AuthenticationError),
        (Fault.OUT_OF_CREDIT, {}, 402, openai.APIStatusError),
        (Fault.NOT_FOUND, {}, 404, openai.NotFoundError),
        (Fault.RATE_LIMITED, {"retry_after": 0.2}, 429, openai.RateLimitError),
        (Fault.SERVER_ERROR, {"status": 500}, 500, openai.InternalServerError),
        (Fault.SERVER_ERROR, {}, 503, openai.InternalServerError),
    ],
)
def test_deepseek_errors_are_those_of_the_library(
    deepseek: openai.OpenAI,
    stand_in: StandIn,
    fault: Fault,
    given: dict[str, Any],
    status: int,
    kind: type[openai.APIStatusError],
) -> None:
    stand_in.fail("deepseek", fault, times=1, **given)
    with pytest.raises(kind) as caught:
        create(deepseek)
    assert caught.value.status_code == status
    assert caught.value.response.headers.get("retry-after") == (
        "0.2" if fault is Fault.RATE_LIMITED else None
    )
    assert len(stand_in.calls("deepseek")) == 1


def test_deepseek_refuses_retired_names(deepseek: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="Model Not Exist"):
        create(deepseek, model="deepseek-chat")


def test_deepseek_refusals_blanks_and_cuts_come_with_200(
    deepseek: openai.OpenAI, stand_in: StandIn
) -> None:
    stand_in.fail("deepseek", Fault.REFUSAL, times=1)
    stand_in.fail("deepseek", Fault.BLOCKED, times=1)
    stand_in.fail("deepseek", Fault.EMPTY, times=1)
    stand_in.fail("deepseek", Fault.TRUNCATED_JSON, times=1, finish=True)
    stand_in.fail("deepseek", Fault.NO_USAGE, times=1)
    answers = [create(deepseek) for _ in range(5)]
    assert [answer.choices[0].finish_reason for answer in answers] == [
        "content_filter",
        "content_filter",
        "stop",
        "length",
        "stop",
    ]
    assert [bool(answer.choices[0].message.content.strip()) for answer in answers] == [
        False,
        False,
        False,
        True,
        True,
    ]
    assert answers[4].usage is None


def test_deepseek_connection_faults(stand_in: StandIn) -> None:
    with openai.OpenAI(
        api_key="key", base_url=stand_in.base_url, max_retries=0, timeout=0.3
    ) as client:
        stand_in.fail("deepseek", Fault.RESET, times=1)
        with pytest.raises(openai.APIConnectionError) as broken:
            create(client)
        assert not isinstance(broken.value, openai.APITimeoutError)
        stand_in.fail("deepseek", Fault.HANG, times=1)
        with pytest.raises(openai.APITimeoutError):
            create(client)
