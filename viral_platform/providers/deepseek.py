"""DeepSeek: how viewers will behave, and a verdict on rules that no pattern can judge.

Spoken to by its chat protocol through the `openai` library. What is asked stands in `prompts/`,
retries and money in `calls.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

import openai
from openai.types.chat import ChatCompletionMessageParam
from pydantic import Field, WrapValidator

from viral_platform.engine.contracts import ContentPayload, Rule
from viral_platform.engine.errors import FailureReason, ProviderError
from viral_platform.engine.replies import (
    DeepSeekReasoning,
    RuleVerdict,
    parse_reasoning,
    parse_verdicts,
)
from viral_platform.engine.spend import Meter
from viral_platform.engine.tasks import Answered, Briefing
from viral_platform.observability.logging import get_logger
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
from viral_platform.providers.pricing import Pricing, Usage
from viral_platform.providers.prompts import Prompt, labelled_data, load_prompt, remark_on
from viral_platform.providers.wire import (
    WireModel,
    connection_failure,
    http_failure,
    or_none,
    plain_word,
    read_body,
    retry_after_seconds,
    usable_key,
)

log = get_logger(__name__)

PROVIDER = "deepseek"
RETIRED_MODELS = frozenset({"deepseek-chat", "deepseek-reasoner"})
CURRENT_MODEL = "deepseek-flash"

# Reasoning counts among them.
REASON_TOKENS = 8_192
JUDGE_TOKENS = 2_048
JUDGE_TEMPERATURE = 0.2

# Half a second less than the pipeline gives, so that a slow provider is told as such.
REASON_PATIENCE = Patience(attempt_seconds=45.0, total_seconds=44.5)
JUDGE_PATIENCE = Patience(attempt_seconds=15.0, total_seconds=14.5, attempts=2)

_MODEL = re.compile(r"\bmodel\b", re.IGNORECASE)

Count = Annotated[int, Field(ge=0)]
Value = TypeVar("Value")


class _Details(WireModel):
    reasoning_tokens: Count = 0
    cached_tokens: Count = 0


class _Usage(WireModel):
    prompt_tokens: Count
    completion_tokens: Count
    prompt_cache_hit_tokens: Count | None = None
    prompt_tokens_details: Annotated[_Details | None, WrapValidator(or_none)] = None
    completion_tokens_details: Annotated[_Details | None, WrapValidator(or_none)] = None


class _Message(WireModel):
    content: str | None = None


class _Choice(WireModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(WireModel):
    """The body of an answer; a part that does not fit is None, so that its usage still counts."""

    model: Annotated[str | None, WrapValidator(or_none)] = None
    choices: Annotated[list[_Choice] | None, WrapValidator(or_none)] = None
    usage: Annotated[_Usage | None, WrapValidator(or_none)] = None


@dataclass(frozen=True, slots=True)
class _Task:
    """One kind of question to the model."""

    prompt: Prompt
    thinking: Literal["enabled", "disabled"]
    max_tokens: int
    patience: Patience


class DeepSeekClient:
    """The reasoning model. Safe for many requests at once on one event loop; see `aclose`.

    Parameters
    ----------
    api_key, model, base_url : str
        Retired model names mean the current one (`resolve_model`).
    breaker : CircuitBreaker
        Asked before each attempt.
    budget, pricing
        What is paid from, and by which prices.
    benchmarks : Benchmarks
        Figures for the prompts.
    reason_patience, judge_patience : Patience
        Deadlines of the two questions.
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
        reason_patience: Patience = REASON_PATIENCE,
        judge_patience: Patience = JUDGE_PATIENCE,
        waits: Waits = Waits(),  # noqa: B008  frozen
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._now = now
        self._calls = ModelCalls(
            PROVIDER,
            resolve_model(model),
            breaker=breaker,
            budget=budget,
            pricing=pricing,
            waits=waits,
            failure=self._failure,
            now=now,
        )
        self._reasoning = _Task(
            load_prompt("reasoning_v1", benchmarks), "enabled", REASON_TOKENS, reason_patience
        )
        self._judging = _Task(
            load_prompt("rules_v1", benchmarks), "disabled", JUDGE_TOKENS, judge_patience
        )
        self._client = openai.AsyncOpenAI(
            api_key=usable_key(api_key, "DEEPSEEK_API_KEY"), base_url=base_url, max_retries=0
        )
        # The library reads them from OPENAI_* of the environment; they are not for this provider.
        self._client.organization = self._client.project = None

    @property
    def model(self) -> str:
        """Name of the model that is asked."""
        return self._calls.model

    async def reason(self, briefing: Briefing, meter: Meter) -> Answered[DeepSeekReasoning]:
        """Return the behavioral prediction, thought through.

        Raises
        ------
        ProviderError
        """
        data = labelled_data(briefing.payload, briefing=briefing)
        return await self._ask("reason", self._reasoning, data, parse_reasoning, meter)

    async def judge(
        self, payload: ContentPayload, rules: Sequence[Rule], meter: Meter
    ) -> Answered[list[RuleVerdict]]:
        """Return a verdict on each of the rules that it could judge, without thinking.

        Raises
        ------
        ProviderError
        """
        data = labelled_data(payload, rules=rules)
        return await self._ask("judge", self._judging, data, parse_verdicts, meter)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _ask(
        self, operation: str, task: _Task, data: str, parse: Callable[[str], Value], meter: Meter
    ) -> Answered[Value]:
        def size(attempt: Attempt) -> Size:
            instructions = _instructions(task, attempt)
            return Size(token_bound(instructions, data), attempt.token_limit(task.max_tokens))

        async def send(attempt: Attempt) -> Reply:
            return await self._send(task, data, attempt)

        question = Question(operation, task.prompt.version, task.patience, size, send, parse)
        return await self._calls.ask(question, meter)

    async def _send(self, task: _Task, data: str, attempt: Attempt) -> Reply:
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": _instructions(task, attempt)},
            {"role": "user", "content": data},
        ]
        thinks = task.thinking == "enabled"
        # The raw body: the library reads no JSON as a text and checks no shape.
        answer = await self._client.chat.completions.with_raw_response.create(
            model=self.model,
            messages=messages,
            max_tokens=attempt.token_limit(task.max_tokens),
            response_format={"type": "json_object"},
            reasoning_effort="low" if thinks else openai.omit,
            # While it thinks a temperature has no effect.
            temperature=openai.omit if thinks else JUDGE_TEMPERATURE,
            extra_body={"thinking": {"type": task.thinking}},
            timeout=task.patience.attempt_seconds,
        )
        return _reply(read_body(_Completion, answer.content, PROVIDER))

    def _failure(self, error: Exception) -> Failure | None:
        if isinstance(error, openai.APIStatusError):
            header = error.response.headers.get("retry-after")
            return http_failure(
                PROVIDER,
                error.status_code,
                word=error.code or error.type,
                reason="not_found" if _names_the_model(error) else None,
                retry_after=retry_after_seconds(header, self._now()),
            )
        if isinstance(error, openai.APIConnectionError):
            late = isinstance(error, openai.APITimeoutError)
            reason: FailureReason = "timeout" if late else "unreachable"
            broken = Failure(ProviderError(PROVIDER, reason, type(error).__name__), is_free=False)
            return connection_failure(PROVIDER, error.__cause__) or broken
        return connection_failure(PROVIDER, error)


def resolve_model(name: str) -> str:
    """Return the model that a configured name means; a retired name is logged.

    Examples
    --------
    >>> resolve_model("deepseek-v4-pro")
    'deepseek-v4-pro'
    """
    if name not in RETIRED_MODELS:
        return name
    log.warning("deepseek_model_retired", configured=name, used=CURRENT_MODEL)
    return CURRENT_MODEL


def _names_the_model(error: openai.APIStatusError) -> bool:
    """Whether a bad request is about the model: so are unknown and retired names refused."""
    about = error.param == "model" or _MODEL.search(error.message) is not None
    return error.status_code == 400 and about


def _instructions(task: _Task, attempt: Attempt) -> str:
    return f"{remark_on(attempt.previous)}\n\n{task.prompt.text}".strip()


def _reply(body: _Completion) -> Reply:
    choice = body.choices[0] if body.choices else None
    text = "" if choice is None else choice.message.content or ""
    fault = _fault(body.choices, text)
    return Reply(text, plain_word(body.model), _usage(body.usage), fault)


def _fault(choices: list[_Choice] | None, text: str) -> ProviderError | None:
    """Return why a reply is no use. Blanks are what it sends for output that is no JSON."""
    if choices is None:
        return ProviderError(PROVIDER, "schema", "the answer has no choices")
    ended = choices[0].finish_reason if choices else None
    faults: dict[str | None, tuple[FailureReason, str]] = {
        "length": ("truncated", "the reply was cut at its token limit"),
        "content_filter": ("refused", "content_filter"),
        "insufficient_system_resource": ("unavailable", "insufficient_system_resource"),
    }
    if ended in faults:
        return ProviderError(PROVIDER, *faults[ended])
    return None if text.strip() else ProviderError(PROVIDER, "empty", "the reply is blank")


def _usage(told: _Usage | None) -> Usage | None:
    if told is None:
        return None
    cached = told.prompt_cache_hit_tokens
    if cached is None:
        cached = told.prompt_tokens_details.cached_tokens if told.prompt_tokens_details else 0
    details = told.completion_tokens_details
    return Usage(
        input_tokens=told.prompt_tokens,
        cached_input_tokens=cached,
        output_tokens=told.completion_tokens,
        reasoning_tokens=0 if details is None else details.reasoning_tokens,
    )
