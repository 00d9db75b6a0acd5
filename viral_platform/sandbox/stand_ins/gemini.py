"""The stand-in for Gemini: generateContent, whole or streamed, and the Files API."""

from __future__ import annotations

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
from viral_platform.sandbox.stand_ins.gemini_files import FileStore, StoredFile
from viral_platform.sandbox.stand_ins.gemini_wire import cancelled, error, field, key_error
from viral_platform.sandbox.stand_ins.replies import Question, reply_to, spoil

MODELS = re.compile(r"gemini-(2\.5|3|3\.\d)-(flash|flash-lite|pro)(-preview)?")
# What a second of video weighs at the default resolution: one frame, and its sound.
VIDEO_TOKENS_A_SECOND, AUDIO_TOKENS_A_SECOND = 258, 32
# Prompts are cached in blocks of so many tokens.
CACHE_BLOCK = 1_024

_ERROR_OF = {
    Fault.RATE_LIMITED: 429,
    Fault.SERVER_ERROR: 503,
    Fault.OUT_OF_CREDIT: 402,
    Fault.NOT_FOUND: 404,
}
_MODEL = r"/(?P<version>v1|v1beta)/models/(?P<model>[^/:]+)"
_FILES = r"/(?P<version>v1|v1beta)/files"


class GeminiStandIn(Provider):
    """Answers as the Developer API would; keeps uploaded files until they are deleted.

    `fixed_reply` takes the place of its own replies.
    """

    name = "gemini"
    routes = (
        Route("POST", re.compile(f"{_MODEL}:generateContent"), "generate"),
        Route("POST", re.compile(f"{_MODEL}:streamGenerateContent"), "stream"),
        Route("POST", re.compile(f"/upload{_FILES}"), "upload_start"),
        Route("GET", re.compile(_FILES), "file_list"),
        Route("GET", re.compile(f"{_FILES}/(?P<id>[^/]+)"), "file_get"),
        Route("DELETE", re.compile(f"{_FILES}/(?P<id>[^/]+)"), "file_delete"),
    )

    def __init__(self) -> None:
        self.fixed_reply: str | None = None
        self._files = FileStore()

    def operation(self, request: Received, operation: str) -> str:
        """Return the operation; an upload's bytes go to the address of its start, with an id."""
        is_bytes = operation == "upload_start" and "upload_id" in request.query
        return "upload_bytes" if is_bytes else operation

    def file_names(self) -> list[str]:
        """Return the names of the stored files."""
        return self._files.names()

    def forget(self) -> None:
        """Drop the stored files, reply by itself again."""
        self._files.clear()
        self.fixed_reply = None

    def answer(self, request: Received, parts: dict[str, str]) -> Answer:
        """Return the answer, or the error that the request or a fault asks for."""
        fault_answer = self._fault_answer(request)
        if request.operation == "upload_bytes":
            if fault_answer is None:
                return self._files.upload(request, parts["version"])
            return cancelled(fault_answer)
        refusal = fault_answer or key_error(request.headers.get("x-goog-api-key", ""))
        if refusal is not None:
            return refusal
        if request.operation in {"generate", "stream"}:
            return self._generate(request, parts["model"], parts["version"])
        return self._files.answer(request, parts)

    def _fault_answer(self, request: Received) -> Answer | None:
        planned = request.planned
        if planned is None:
            return None
        if planned.fault is Fault.GARBAGE:
            return garbage()
        if planned.fault is Fault.UNAUTHORIZED:
            status = int(planned.options.get("status", 400))
            return key_error("invalid") if status == 400 else error(status)
        if planned.fault not in _ERROR_OF:
            return None
        if planned.fault is Fault.RATE_LIMITED:
            return error(429, retry_after=float(planned.options.get("retry_after", 1)))
        return error(int(planned.options.get("status", _ERROR_OF[planned.fault])))

    def _generate(self, request: Received, model: str, version: str) -> Answer:
        if not MODELS.fullmatch(model):
            return error(
                404,
                f"models/{model} is not found for API version {version}, or is not supported for "
                "generateContent.",
            )
        body = request.document()
        contents = field(body, "contents")
        if not isinstance(contents, list) or not contents:
            return error(400, "* GenerateContentRequest.contents: contents is not specified")
        files: list[StoredFile] = []
        for part in _parts(contents):
            reference = field(part, "fileData")
            if reference is None:
                continue
            found = self._files.usable(str(field(reference, "fileUri")))
            if isinstance(found, Answer):
                return found
            files.append(found)
        documents = self._candidates(request, body or {}, model, files)
        if request.operation == "stream":
            return as_events(documents, done=False)
        return as_json(documents[-1])

    def _candidates(
        self, request: Received, body: Document, model: str, files: list[StoredFile]
    ) -> list[Document]:
        """Return the partial answers of a stream, or the one whole answer."""
        system = _text(_parts([field(body, "systemInstruction")]))
        data = _text(_parts(field(body, "contents")))
        config = field(body, "generationConfig") or {}
        schema = field(config, "responseJsonSchema") or field(config, "responseSchema")
        video = files[0].sha256 if files else None
        fixed = self.fixed_reply
        text = reply_to(Question(system, data, schema, video)) if fixed is None else fixed
        about = {"modelVersion": model, "responseId": f"stand-in-{len(data)}-{len(text)}"}
        prompt = _prompt_usage(system, data, files)

        planned = request.planned
        fault = planned.fault if planned else None
        reason = planned.options.get("reason") if planned else None
        if fault is Fault.BLOCKED:
            blocked = {"blockReason": reason or "PROHIBITED_CONTENT"}
            return [{"promptFeedback": blocked, "usageMetadata": prompt, **about}]
        if fault is Fault.REFUSAL:
            refused = [{"finishReason": reason or "SAFETY", "index": 0}]
            return [{"candidates": refused, "usageMetadata": prompt, **about}]
        if planned and fault is Fault.EMPTY and not planned.options.get("blank"):
            return [{"usageMetadata": prompt, **about}]

        thoughts = _thought_tokens(config)
        text, finish = _finished(text, thoughts, request, config)
        answers: list[Document] = []
        texts = pieces(text) if request.operation == "stream" else [text]
        for part in texts:
            candidate: Document = {"content": {"parts": [{"text": part}], "role": "model"}}
            answers.append({"candidates": [{**candidate, "index": 0}], **about})
        answers[-1]["candidates"][0]["finishReason"] = finish
        if fault is not Fault.NO_USAGE:
            answers[-1]["usageMetadata"] = _with_output(prompt, text, thoughts)
        return answers


def _parts(contents: Any) -> list[Document]:  # noqa: ANN401  any JSON value
    """Return the parts of all contents, whoever speaks."""
    found: list[Document] = []
    for content in contents or []:
        parts = field(content, "parts")
        found += [part for part in parts or [] if isinstance(part, dict)]
    return found


def _text(parts: list[Document]) -> str:
    return "\n".join(str(part["text"]) for part in parts if part.get("text"))


def _thought_tokens(config: Document) -> int:
    budget = field(field(config, "thinkingConfig") or {}, "thinkingBudget")
    return 0 if budget == 0 else 96


def _finished(text: str, thoughts: int, request: Received, config: Document) -> tuple[str, str]:
    planned = request.planned
    if planned and planned.fault is Fault.EMPTY:
        return "  \n", "STOP"
    limit = field(config, "maxOutputTokens")
    if limit is not None and thoughts + token_count(text) > limit:
        return text[: max(0, limit - thoughts) * 4], "MAX_TOKENS"
    cut = planned and planned.fault is Fault.TRUNCATED_JSON and planned.options.get("finish")
    return spoil(text, planned), "MAX_TOKENS" if cut else "STOP"


def _prompt_usage(system: str, data: str, files: list[StoredFile]) -> Document:
    seconds = sum(file.seconds for file in files)
    by_modality = {
        "TEXT": token_count(system) + token_count(data),
        "VIDEO": round(seconds * VIDEO_TOKENS_A_SECOND),
        "AUDIO": round(seconds * AUDIO_TOKENS_A_SECOND),
    }
    total = sum(by_modality.values())
    usage: Document = {
        "promptTokenCount": total,
        "totalTokenCount": total,
        "promptTokensDetails": _details(by_modality),
    }
    cached = token_count(system) // CACHE_BLOCK * CACHE_BLOCK
    if cached:
        usage["cachedContentTokenCount"] = cached
        usage["cacheTokensDetails"] = _details({"TEXT": cached})
    return usage


def _details(by_modality: dict[str, int]) -> list[Document]:
    return [
        {"modality": modality, "tokenCount": count}
        for modality, count in by_modality.items()
        if count
    ]


def _with_output(prompt: Document, text: str, thoughts: int) -> Document:
    usage = {**prompt, "candidatesTokenCount": token_count(text)}
    usage["candidatesTokensDetails"] = _details({"TEXT": token_count(text)})
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    usage["totalTokenCount"] = prompt["promptTokenCount"] + token_count(text) + thoughts
    return usage
