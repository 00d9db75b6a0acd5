"""What Gemini's answers mean: the reply, why there is none, what was used, when to come back."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import ConfigDict, Field, WrapValidator
from pydantic.alias_generators import to_camel

from viral_platform.engine.errors import ProviderError
from viral_platform.providers.calls import Reply
from viral_platform.providers.gemini_files import PROVIDER
from viral_platform.providers.pricing import Usage
from viral_platform.providers.wire import WireModel, or_none, plain_word

# Ends of a reply that a filter stopped; the others beside STOP and MAX_TOKENS are judged by
# whether there is text.
REFUSALS = frozenset(
    {"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"}
)
UNTOLD = "no reason given"

_DURATION = re.compile(r"(\d+(?:\.\d+)?)s")

Count = Annotated[int, Field(ge=0)]
MaybeCount = Annotated[int | None, Field(ge=0)]


class _Wire(WireModel):
    model_config = ConfigDict(alias_generator=to_camel)


class _Part(_Wire):
    text: str | None = None
    thought: bool | None = None


class _Content(_Wire):
    parts: list[_Part] | None = None


class _Candidate(_Wire):
    content: _Content | None = None
    finish_reason: str | None = None


class _Feedback(_Wire):
    block_reason: str | None = None


class _Modality(_Wire):
    modality: str | None = None
    token_count: MaybeCount = None


Modalities = Annotated[list[_Modality] | None, WrapValidator(or_none)]


class _Usage(_Wire):
    prompt_token_count: Count
    candidates_token_count: MaybeCount = None
    thoughts_token_count: MaybeCount = None
    cached_content_token_count: MaybeCount = None
    tool_use_prompt_token_count: MaybeCount = None
    prompt_tokens_details: Modalities = None
    cache_tokens_details: Modalities = None


class Answer(_Wire):
    """The body of an answer; a part that does not fit is None, so that its usage still counts."""

    candidates: Annotated[list[_Candidate] | None, WrapValidator(or_none)] = None
    prompt_feedback: Annotated[_Feedback | None, WrapValidator(or_none)] = None
    usage_metadata: Annotated[_Usage | None, WrapValidator(or_none)] = None
    model_version: Annotated[str | None, WrapValidator(or_none)] = None


def reply_of(answer: Answer) -> Reply:
    """Return the reply in an answer, or why it is none, with what it used."""
    candidate = answer.candidates[0] if answer.candidates else None
    content = None if candidate is None else candidate.content
    parts = (content.parts if content else None) or []
    text = "".join(part.text or "" for part in parts if not part.thought)
    return Reply(
        text,
        plain_word(answer.model_version),
        _usage(answer.usage_metadata, text),
        _fault(answer, candidate, text),
    )


def retry_delay_seconds(details: Any) -> float | None:  # noqa: ANN401  any JSON value
    """Return the seconds that a `google.rpc.RetryInfo` in an error's body asks for.

    Examples
    --------
    >>> retry_delay_seconds({"error": {"details": [{"retryDelay": "23.5s"}]}})
    23.5
    """
    error = details.get("error") if isinstance(details, dict) else None
    for detail in _entries(error):
        delay = _DURATION.fullmatch(str(detail.get("retryDelay")))
        if delay is not None:
            return float(delay[1])
    return None


def is_about_the_key(details: Any) -> bool:  # noqa: ANN401  any JSON value
    """Tell whether an error's body says that the key is not valid; its status is a plain 400."""
    error = details.get("error") if isinstance(details, dict) else None
    return any(detail.get("reason") == "API_KEY_INVALID" for detail in _entries(error))


def _entries(error: Any) -> list[dict[str, Any]]:  # noqa: ANN401  any JSON value
    details = error.get("details") if isinstance(error, dict) else None
    entries = details if isinstance(details, list) else []
    return [entry for entry in entries if isinstance(entry, dict)]


def _fault(answer: Answer, candidate: _Candidate | None, text: str) -> ProviderError | None:
    if candidate is None:
        blocked = answer.prompt_feedback.block_reason if answer.prompt_feedback else None
        if blocked is not None:
            return ProviderError(PROVIDER, "refused", f"prompt: {plain_word(blocked) or UNTOLD}")
        return ProviderError(PROVIDER, "empty", "the answer has no candidate")
    ended = candidate.finish_reason or "STOP"
    if ended in REFUSALS or ended.startswith("IMAGE_"):
        return ProviderError(PROVIDER, "refused", f"reply: {plain_word(ended) or UNTOLD}")
    if ended == "MAX_TOKENS":
        return ProviderError(PROVIDER, "truncated", "the reply was cut at its token limit")
    if not text.strip():
        return ProviderError(PROVIDER, "empty", f"the reply is blank: {plain_word(ended)}")
    return None


def _usage(told: _Usage | None, text: str) -> Usage | None:
    """Return the tokens; thoughts come beside the candidates' and are billed like them."""
    if told is None or (text and told.candidates_token_count is None):
        return None
    thoughts = told.thoughts_token_count or 0
    return Usage(
        input_tokens=told.prompt_token_count + (told.tool_use_prompt_token_count or 0),
        cached_input_tokens=told.cached_content_token_count or 0,
        output_tokens=(told.candidates_token_count or 0) + thoughts,
        reasoning_tokens=thoughts,
        audio_input_tokens=_of("AUDIO", told.prompt_tokens_details),
        video_input_tokens=_of("VIDEO", told.prompt_tokens_details),
        cached_audio_input_tokens=_of("AUDIO", told.cache_tokens_details),
    )


def _of(modality: str, details: list[_Modality] | None) -> int:
    return sum(item.token_count or 0 for item in details or [] if item.modality == modality)
