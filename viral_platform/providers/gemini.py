"""Gemini: the quality of a text or a video, and the behavioral prediction in DeepSeek's place.

Spoken to through the `google-genai` library. What is asked stands in `prompts/`, retries and
money in `calls.py`, the way of a video in `gemini_files.py`.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from google import genai
from google.genai import errors, types

from viral_platform.engine.contracts import ContentPayload
from viral_platform.engine.replies import (
    DeepSeekReasoning,
    GeminiAnalysis,
    parse_analysis,
    parse_reasoning,
)
from viral_platform.engine.spend import Meter
from viral_platform.engine.tasks import Answered, Briefing, VideoFile
from viral_platform.providers.benchmarks import Benchmarks
from viral_platform.providers.breaker import CircuitBreaker
from viral_platform.providers.budget import Budget
from viral_platform.providers.calls import (
    Attempt,
    Failure,
    ModelCalls,
    Patience,
    Question,
    Reply,
    Size,
    Waits,
    token_bound,
)
from viral_platform.providers.gemini_files import PROVIDER, Upload
from viral_platform.providers.gemini_replies import (
    Answer,
    is_about_the_key,
    reply_of,
    retry_delay_seconds,
)
from viral_platform.providers.pricing import Pricing
from viral_platform.providers.prompts import (
    Prompt,
    clean_text,
    labelled_data,
    load_prompt,
    remark_on,
)
from viral_platform.providers.prompts.schemas import Schema, analysis_schema, reasoning_schema
from viral_platform.providers.wire import (
    connection_failure,
    http_failure,
    read_body,
    retry_after_seconds,
    usable_key,
)

TEMPERATURE = 0.2
ANALYSIS_TOKENS = 3_072
REASON_TOKENS = 3_072
# A model that cannot do without thinking is told to think little; what it thinks is paid for and
# counts toward the limit of the reply.
THOUGHT_TOKENS = 4_096
PRO_THINKING_BUDGET = 512
# What a second of video may weigh, picture and sound: 258 and 32 tokens, with some room.
VIDEO_TOKENS_PER_SECOND = 300
AUDIO_TOKENS_PER_SECOND = 40

# Half a second less than the pipeline gives, so that a slow provider is told as such.
TEXT_PATIENCE = Patience(attempt_seconds=15.0, total_seconds=24.5)
VIDEO_PATIENCE = Patience(attempt_seconds=30.0, total_seconds=59.5)
REASON_PATIENCE = Patience(attempt_seconds=30.0, total_seconds=30.0)
UPLOAD_SECONDS = 60.0
POLL_SECONDS = 0.5

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Task:
    """One kind of question to the model."""

    operation: str
    prompt: Prompt
    schema: Schema
    max_tokens: int
    patience: Patience

    def instructions(self, attempt: Attempt) -> str:
        """Return what the model is told, with a remark on the reply before."""
        return f"{remark_on(attempt.previous)}\n\n{self.prompt.text}".strip()


@dataclass(frozen=True, slots=True)
class _Material:
    """What a question is about."""

    data: str
    video: VideoFile | None = None
    upload: Upload | None = None

    def parts(self) -> list[types.Part]:
        """Return the parts of the user's message."""
        seen = [] if self.upload is None else [self.upload.part]
        return [*seen, types.Part.from_text(text=self.data)]

    def tokens_per_second(self, rate: int) -> int:
        """Return the tokens of the video at so many a second, 0 without one."""
        return 0 if self.video is None else rate * math.ceil(self.video.duration_seconds + 1)


class GeminiClient:
    """The content analyst. Safe for many requests at once on one event loop; see `aclose`.

    Parameters
    ----------
    api_key, model, base_url : str
        As configured; keys and addresses of the environment do not count.
    breaker : CircuitBreaker
        Asked before each attempt.
    budget, pricing
        What is paid from, and by which prices.
    benchmarks : Benchmarks
        Figures for the prompts.
    text_patience, video_patience, reason_patience : Patience
        Deadlines of the three questions.
    upload_seconds, poll_seconds : float
        For a video's way to Gemini, and between two looks at it there.
    waits : Waits
        Between attempts.
    now : callable, optional
        Returns the present, aware.

    Raises
    ------
    ConfigurationError
        The model has no price, or the key cannot be sent.
    """

    def __init__(
        self,
        *,
        api_key: str,
        model: str,
        base_url: str,
        breaker: CircuitBreaker,
        budget: Budget,
        pricing: Pricing,
        benchmarks: Benchmarks,
        text_patience: Patience = TEXT_PATIENCE,
        video_patience: Patience = VIDEO_PATIENCE,
        reason_patience: Patience = REASON_PATIENCE,
        upload_seconds: float = UPLOAD_SECONDS,
        poll_seconds: float = POLL_SECONDS,
        waits: Waits = Waits(),  # noqa: B008  frozen
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._now = now
        self._calls = ModelCalls(
            PROVIDER,
            model,
            breaker=breaker,
            budget=budget,
            pricing=pricing,
            waits=waits,
            failure=self._failure,
            now=now,
        )
        self._text = _Task(
            "analyse",
            load_prompt("analysis_v1", benchmarks),
            analysis_schema(with_video=False),
            ANALYSIS_TOKENS,
            text_patience,
        )
        self._video = _Task(
            "analyse_video",
            load_prompt("analysis_video_v1", benchmarks),
            analysis_schema(with_video=True),
            ANALYSIS_TOKENS,
            video_patience,
        )
        self._reasoning = _Task(
            "reason",
            load_prompt("reasoning_v1", benchmarks),
            reasoning_schema(),
            REASON_TOKENS,
            reason_patience,
        )
        self._upload_seconds = upload_seconds
        self._poll_seconds = poll_seconds
        self._deletions: set[asyncio.Task[None]] = set()
        self._client = genai.Client(
            vertexai=False,
            api_key=usable_key(api_key, "GEMINI_API_KEY"),
            http_options=types.HttpOptions(
                base_url=base_url, retry_options=types.HttpRetryOptions(attempts=1)
            ),
        )

    @property
    def model(self) -> str:
        """Name of the model that is asked."""
        return self._calls.model

    async def analyse(
        self, payload: ContentPayload, video: VideoFile | None, meter: Meter
    ) -> Answered[GeminiAnalysis]:
        """Return the five factors, and the video signals when a video is given.

        A quotation that does not stand in the content is dropped. The copy of a video at Gemini
        is deleted whatever happens; a caller who is cancelled does not wait for it.

        Raises
        ------
        ProviderError
        """
        data = labelled_data(payload)
        parse = partial(_read_analysis, payload=payload, with_video=video is not None)
        if video is None:
            return await self._ask(self._text, _Material(data), parse, meter)
        upload = Upload(
            self._client.aio,
            video,
            seconds=self._upload_seconds,
            poll_seconds=self._poll_seconds,
        )
        try:
            answered = await self._ask(self._video, _Material(data, video, upload), parse, meter)
        except asyncio.CancelledError:
            self._start_deletion(upload)
            raise
        except Exception:
            await asyncio.shield(self._start_deletion(upload))
            raise
        await asyncio.shield(self._start_deletion(upload))
        return answered

    async def reason(self, briefing: Briefing, meter: Meter) -> Answered[DeepSeekReasoning]:
        """Return the behavioral prediction in the place of the reasoning model.

        Raises
        ------
        ProviderError
        """
        data = labelled_data(briefing.payload, briefing=briefing)
        parse = partial(parse_reasoning, provider=PROVIDER)
        return await self._ask(self._reasoning, _Material(data), parse, meter)

    async def aclose(self) -> None:
        """Wait for deletions under way, which are bounded, and close the connections."""
        await asyncio.gather(*self._deletions, return_exceptions=True)
        await self._client.aio.aclose()
        self._client.close()

    async def _ask(
        self, task: _Task, material: _Material, parse: Callable[[str], Value], meter: Meter
    ) -> Answered[Value]:
        def size(attempt: Attempt) -> Size:
            text = token_bound(task.instructions(attempt), material.data, json.dumps(task.schema))
            audio = material.tokens_per_second(AUDIO_TOKENS_PER_SECOND)
            seen = material.tokens_per_second(VIDEO_TOKENS_PER_SECOND)
            return Size(text + audio + seen, self._token_limit(task, attempt), audio)

        async def send(attempt: Attempt) -> Reply:
            return await self._send(task, material, attempt)

        prepare = None if material.upload is None else material.upload.ready
        question = Question(
            task.operation, task.prompt.version, task.patience, size, send, parse, prepare
        )
        return await self._calls.ask(question, meter)

    async def _send(self, task: _Task, material: _Material, attempt: Attempt) -> Reply:
        response = await self._client.aio.models.generate_content(
            model=self.model,
            contents=types.UserContent(parts=list(material.parts())),
            config=types.GenerateContentConfig(
                system_instruction=task.instructions(attempt),
                temperature=TEMPERATURE,
                max_output_tokens=self._token_limit(task, attempt),
                response_mime_type="application/json",
                response_json_schema=task.schema,
                thinking_config=_thinking(self.model),
                automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
                http_options=types.HttpOptions(timeout=round(task.patience.attempt_seconds * 1000)),
                # The raw body: the library's own parser raises whatever it meets.
                should_return_http_response=True,
            ),
        )
        raw = response.sdk_http_response
        return reply_of(read_body(Answer, raw.body if raw else None, PROVIDER))

    def _token_limit(self, task: _Task, attempt: Attempt) -> int:
        spare = 0 if _can_skip_thinking(self.model) else THOUGHT_TOKENS
        return attempt.token_limit(task.max_tokens) + spare

    def _failure(self, error: Exception) -> Failure | None:
        if not isinstance(error, errors.APIError):
            return connection_failure(PROVIDER, error)
        headers = getattr(error.response, "headers", None) or {}
        delay = retry_delay_seconds(error.details)
        if delay is None:
            delay = retry_after_seconds(headers.get("retry-after"), self._now())
        return http_failure(
            PROVIDER,
            error.code,
            word=error.status,
            reason="unauthorized" if is_about_the_key(error.details) else None,
            retry_after=delay,
        )

    def _start_deletion(self, upload: Upload) -> asyncio.Task[None]:
        task = asyncio.create_task(upload.delete())
        self._deletions.add(task)
        task.add_done_callback(self._deletions.discard)
        return task


def _can_skip_thinking(model: str) -> bool:
    return model.startswith("gemini-2.5-flash")


def _thinking(model: str) -> types.ThinkingConfig:
    """Return the setting that makes a model think least, by what each generation allows."""
    if _can_skip_thinking(model):
        return types.ThinkingConfig(thinking_budget=0)
    if model.startswith("gemini-2.5"):
        return types.ThinkingConfig(thinking_budget=PRO_THINKING_BUDGET)
    return types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW)


def _read_analysis(text: str, *, payload: ContentPayload, with_video: bool) -> GeminiAnalysis:
    analysis = parse_analysis(text, with_video=with_video)
    content = _bare(clean_text(payload.content_text))
    factors = [
        factor
        if factor.evidence is None or _stands_in(factor.evidence, content)
        else factor.model_copy(update={"evidence": None})
        for factor in analysis.factors
    ]
    return analysis.model_copy(update={"factors": factors})


def _stands_in(quotation: str, content: str) -> bool:
    bare = _bare(quotation)
    return bool(bare) and bare in content


def _bare(text: str) -> str:
    return "".join(text.casefold().split())
