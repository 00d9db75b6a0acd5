"""One request and its answer, apart from whose API it is."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from viral_platform.sandbox.stand_ins.faults import Planned, ProviderName

# A JSON document of someone else's API.
Document = dict[str, Any]

JSON_TYPE = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came in.

    `headers` have lower-case names; `body` is the JSON value, or the bytes where it is none, at
    most the first 64 KiB of them once it is kept; `size` is the length of the body in bytes.
    """

    provider: str
    operation: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    size: int
    planned: Planned | None = None

    @property
    def base_url(self) -> str:
        """The address under which the caller reached us."""
        return f"http://{self.headers['host']}"

    @property
    def key(self) -> str:
        """The bearer token, empty without one."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    def document(self) -> Document | None:
        """Return the body when it is a JSON object."""
        return self.body if isinstance(self.body, dict) else None


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. Several chunks are sent one by one, without a length."""

    status: int
    chunks: tuple[bytes, ...]
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON_TYPE


@dataclass(frozen=True, slots=True)
class Route:
    """Where an operation of a provider is found; `path` matches the whole path."""

    method: str
    path: re.Pattern[str]
    operation: str


class Provider(ABC):
    """One stand-in; keeps nothing but what its methods say."""

    name: ClassVar[ProviderName]
    routes: ClassVar[tuple[Route, ...]]

    def operation(self, request: Received, operation: str) -> str:  # noqa: ARG002
        """Return the operation, where the path alone does not tell."""
        return operation

    @abstractmethod
    def answer(self, request: Received, parts: dict[str, str]) -> Answer:
        """Return the answer, or the error that the request or a fault asks for.

        `parts` are the named groups of the route's path.
        """

    @abstractmethod
    def forget(self) -> None:
        """Become as new."""


def as_json(
    document: object, *, status: int = 200, headers: dict[str, str] | None = None
) -> Answer:
    """Return the answer that holds a JSON value."""
    return Answer(status, (json.dumps(document, ensure_ascii=False).encode(),), headers or {})


def as_events(documents: list[Document], *, done: bool) -> Answer:
    """Return server-sent events, one a document; `done` adds the mark that ends a chat."""
    chunks = [b"data: " + json.dumps(one, ensure_ascii=False).encode() for one in documents]
    if done:
        chunks.append(b"data: [DONE]")
    return Answer(200, tuple(chunk + b"\n\n" for chunk in chunks), content_type="text/event-stream")


def garbage() -> Answer:
    """Return what a broken proxy answers in a provider's name."""
    return Answer(200, (b"<html><body>upstream</body>",), content_type="text/html")


def pieces(text: str, count: int = 3) -> list[str]:
    """Cut a text into about equal parts; their concatenation is the text.

    Examples
    --------
    >>> pieces("abcdefg")
    ['abc', 'def', 'g']
    """
    size = max(1, -(-len(text) // count))
    return [text[i : i + size] for i in range(0, len(text), size)] or [""]


def token_count(text: str) -> int:
    """Return about how many tokens a text has: one for four characters, rounded up."""
    return -(-len(text) // 4)
