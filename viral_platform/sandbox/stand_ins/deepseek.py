"""The stand-in for DeepSeek: chat completions, streamed or whole, with thinking."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from viral_platform.sandbox.stand_ins.exchange import (
    Answer,
    Document,
    Provider,
    Received,
    Route,
    as_events,
    as_json,
    garbage,
    pieces,
    token_count,
)
from viral_platform.sandbox.stand_ins.faults import Fault
from viral_platform.sandbox.stand_ins.replies import Question, reply_to, spoil

MODELS = frozenset({"deepseek-flash", "deepseek-v4-flash", "deepseek-v4-pro"})
# The cache works in blocks of so many tokens.
CACHE_BLOCK = 64
CREATED_AT = 1_772_431_200

_STATUS_OF = {
    Fault.RATE_LIMITED: 429,
    Fault.SERVER_ERROR: 503,
    Fault.UNAUTHORIZED: 401,
    Fault.OUT_OF_CREDIT: 402,
    Fault.NOT_FOUND: 404,
}
# type, code, message
_ERRORS: dict[int, tuple[str, str, str]] = {
    400: ("invalid_request_error", "invalid_request_error", "Bad request"),
    401: ("authentication_error", "invalid_request_error", "Authentication Fails"),
    402: ("unknown_error", "invalid_request_error", "Insufficient Balance"),
    404: ("invalid_request_error", "invalid_request_error", "Not Found"),
    422: ("invalid_request_error", "invalid_request_error", "Failed to deserialize the JSON body"),
    429: ("rate_limit_error", "rate_limit_reached_error", "Rate limit reached"),
    500: ("server_error", "internal_error", "Internal server error"),
    503: (
        "service_unavailable_error",
        "service_unavailable_error",
        "Service is too busy. Please retry later.",
    ),
}


class DeepSeekStandIn(Provider):
    """Answers as the chat API would; `fixed_reply` takes the place of its own replies."""

    name = "deepseek"
    routes = (Route("POST", re.compile(r"(?:/v1)?/chat/completions"), "chat"),)

    def __init__(self) -> None:
        self.fixed_reply: str | None = None

    def forget(self) -> None:
        """Reply by itself again."""
        self.fixed_reply = None

    def answer(self, request: Received, parts: dict[str, str]) -> Answer:  # noqa: ARG002
        """Return the completion, or the error that the request or a fault asks for."""
        planned = request.planned
        if planned and planned.fault is Fault.GARBAGE:
            return garbage()
        if planned and planned.fault in _STATUS_OF:
            status = int(planned.options.get("status", _STATUS_OF[planned.fault]))
            headers = {}
            if planned.fault is Fault.RATE_LIMITED:
                headers["retry-after"] = str(planned.options.get("retry_after", 1))
            return _error(status, headers=headers)
        body = request.document()
        refusal = _refusal(request, body)
        if refusal is not None or body is None:
            return refusal or _error(400)
        return self._completion(request, body)

    def _completion(self, request: Received, body: Document) -> Answer:
        messages = body["messages"]
        system, data = _texts(messages, "system"), _texts(messages, "user")
        fixed = self.fixed_reply
        text = reply_to(Question(system, data)) if fixed is None else fixed
        thinks = (body.get("thinking") or {}).get("type") != "disabled"
        thought = f"Simulated thoughts on {len(data)} characters. " * 3 if thinks else ""
        text, finish = _finished(text, thought, request, body)
        usage = _usage(system, data, thought, text)
        completion = {
            "id": _id(request.body),
            "created": CREATED_AT,
            "model": body["model"],
            "system_fingerprint": "fp_stand_in",
        }
        if request.planned and request.planned.fault is Fault.NO_USAGE:
            usage = None
        if body.get("stream"):
            return as_events(_chunks(completion, text, thought, finish, usage), done=True)
        message: Document = {"role": "assistant", "content": text}
        if thinks:
            message["reasoning_content"] = thought
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        document = {**completion, "object": "chat.completion", "choices": [choice]}
        return as_json(document if usage is None else {**document, "usage": usage})


def _refusal(request: Received, body: Document | None) -> Answer | None:
    """Return the error of a request that the API would not take."""
    if not request.key or "invalid" in request.key:
        shown = f"****{request.key[-4:]}"
        return _error(401, f"Authentication Fails, Your api key: {shown} is invalid")
    if body is None:
        return _error(400, "The request body is not valid JSON.")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return _error(422, "Failed to deserialize the JSON body into the target type: messages")
    temperature = body.get("temperature")
    if isinstance(temperature, str):
        return _error(
            422,
            "Failed to deserialize the JSON body into the target type: temperature: "
            "invalid type: string",
        )
    if body.get("model") not in MODELS:
        return _error(400, "Model Not Exist")
    wants_json = (body.get("response_format") or {}).get("type") == "json_object"
    if wants_json and "json" not in json.dumps(messages).lower():
        return _error(
            400,
            "Prompt must contain the word 'json' in some form to use 'response_format' of type "
            "'json_object'.",
        )
    return None


def _finished(text: str, thought: str, request: Received, body: Document) -> tuple[str, str]:
    """Return the content and the finish reason, after the token limit and the fault at hand."""
    planned = request.planned
    fault = planned.fault if planned else None
    if fault in {Fault.REFUSAL, Fault.BLOCKED}:
        return "", "content_filter"
    if fault is Fault.EMPTY:
        return "  \n ", "stop"
    limit = body.get("max_tokens")
    if limit is not None and token_count(thought) + token_count(text) > limit:
        return text[: max(0, limit - token_count(thought)) * 4], "length"
    cut = planned and fault is Fault.TRUNCATED_JSON and planned.options.get("finish")
    return spoil(text, planned), "length" if cut else "stop"


def _usage(system: str, data: str, thought: str, text: str) -> Document | None:
    prompt = token_count(system) + token_count(data)
    hit = token_count(system) // CACHE_BLOCK * CACHE_BLOCK
    output = token_count(text) + token_count(thought)
    usage: Document = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": hit},
        "prompt_cache_hit_tokens": hit,
        "prompt_cache_miss_tokens": prompt - hit,
    }
    if thought:
        usage["completion_tokens_details"] = {"reasoning_tokens": token_count(thought)}
    return usage


def _chunks(
    completion: Document, text: str, thought: str, finish: str, usage: Document | None
) -> list[Document]:
    deltas: list[Document] = [{"role": "assistant", "content": None if thought else ""}]
    if thought:
        deltas += [{"content": None, "reasoning_content": part} for part in pieces(thought)]
    deltas += [{"content": part, "reasoning_content": None} for part in pieces(text)]
    chunks = [_chunk(completion, delta, None) for delta in deltas]
    last = _chunk(completion, {"content": ""}, finish)
    return [*chunks, last if usage is None else {**last, "usage": usage}]


def _chunk(completion: Document, delta: Document, finish: str | None) -> Document:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**completion, "object": "chat.completion.chunk", "choices": [choice]}


def _texts(messages: list[Any], role: str) -> str:
    """Return the texts of one role, one after another; content may come in parts."""
    texts: list[str] = []
    for message in messages:
        if isinstance(message, dict) and message.get("role") == role:
            content = message.get("content")
            parts = content if isinstance(content, list) else [{"text": content}]
            texts += [str(part.get("text") or "") for part in parts]
    return "\n".join(texts)


def _id(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:24]


def _error(
    status: int, message: str | None = None, *, headers: dict[str, str] | None = None
) -> Answer:
    kind, code, default = _ERRORS.get(status, _ERRORS[500])
    error = {"message": message or default, "type": kind, "param": None, "code": code}
    return as_json({"error": error}, status=status, headers=headers)
