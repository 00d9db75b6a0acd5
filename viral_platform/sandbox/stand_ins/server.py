"""The server of the stand-ins: reads requests, keeps them, plays faults of the connection.

What a provider answers is in the module of its name.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from viral_platform.engine.errors import InputError
from viral_platform.sandbox.stand_ins.apify import ApifyStandIn
from viral_platform.sandbox.stand_ins.deepseek import DeepSeekStandIn
from viral_platform.sandbox.stand_ins.exchange import Answer, Provider, Received, as_json
from viral_platform.sandbox.stand_ins.faults import (
    FAULT_HEADER,
    Fault,
    FaultPlan,
    ProviderName,
)
from viral_platform.sandbox.stand_ins.gemini import GeminiStandIn
from viral_platform.sandbox.stand_ins.whop import WhopStandIn

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HOST = "127.0.0.1"
KEPT_REQUESTS = 2_000
KEPT_BYTES = 64 * 1024
KEEP_ALIVE_SECONDS = 0.3
STOP_SECONDS = 2.0


class _CallerGoneError(Exception):
    """The caller closed the connection while we waited."""


class StandIn:
    """Gemini, DeepSeek, Apify and Whop under one local address.

    Runs in a thread of this process, from `start` to `stop` or as a context manager.

    Parameters
    ----------
    port : int, default 0
        Port on 127.0.0.1; 0 takes a free one.
    scenario : Path, optional
        File of faults, see `FaultPlan`.

    Attributes
    ----------
    latency : float
        Seconds before each answer.
    apify, whop : ApifyStandIn, WhopStandIn
        Runs with their datasets, memberships, the webhooks of both. `dataset` and `deliver` are
        methods of `apify`.

    Examples
    --------
    >>> with StandIn() as stand_in:
    ...     stand_in.base_url.startswith("http://127.0.0.1:")
    True
    """

    def __init__(self, *, port: int = 0, scenario: Path | None = None) -> None:
        self.latency = 0.0
        self._port = port
        self._plan = FaultPlan(scenario)
        self._calls: deque[Received] = deque(maxlen=KEPT_REQUESTS)
        self._lock = threading.Lock()
        self._gemini, self._deepseek = GeminiStandIn(), DeepSeekStandIn()
        self.apify, self.whop = ApifyStandIn(), WhopStandIn()
        self.dataset, self.deliver = self.apify.dataset, self.apify.deliver
        speaking = (self._gemini, self._deepseek)
        self._providers: tuple[Provider, ...] = (*speaking, self.apify, self.whop)
        self._server: _Server | None = None

    @property
    def base_url(self) -> str:
        """Address that serves all of them, without a slash at its end."""
        return f"http://{HOST}:{self._port}"

    @property
    def files(self) -> list[str]:
        """Names of the files that Gemini holds."""
        return self._gemini.file_names()

    def start(self) -> StandIn:
        """Serve; the port is open on return."""
        listening = _listening(self._port)
        self._port = listening.getsockname()[1]
        config = uvicorn.Config(
            self._serve,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
        )
        self._server = _Server(config, listening)
        self._server.start()
        return self

    def stop(self) -> None:
        """Drop all connections, also those that wait for an answer."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> StandIn:
        """Start serving."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving."""
        self.stop()

    def fail(
        self,
        provider: ProviderName,
        fault: Fault,
        *,
        times: int | None = None,
        operation: str | None = None,
        **options: Any,  # noqa: ANN401  a number, a flag or a word
    ) -> None:
        """Let the next calls of a provider go wrong; several plans follow one another.

        Parameters
        ----------
        provider : str
            "gemini", "deepseek", "apify" or "whop".
        fault : Fault
            A fault of the reply strikes only calls that have a reply.
        times : int, optional
            How many calls; None is all.
        operation : str, optional
            Only this one: "generate", "stream", "upload_start", "upload_bytes", "file_get",
            "file_list", "file_delete"; "chat"; "start", "run", "items"; "memberships".
        **options
            See `Fault`.

        Raises
        ------
        InputError
            The fault has no such option.
        """
        self._plan.add(provider, fault, times=times, operation=operation, options=options)

    def heal(self) -> None:
        """End faults and latency; a scenario file stays in force."""
        self._plan.clear()
        self.latency = 0.0

    def say(self, provider: ProviderName, text: str | None) -> None:
        """Fix the text that a language model replies with; None lets it answer by itself.

        Raises
        ------
        InputError
            The provider is no language model.
        """
        if provider == "gemini":
            self._gemini.fixed_reply = text
        elif provider == "deepseek":
            self._deepseek.fixed_reply = text
        else:
            raise InputError(f"{provider} replies with no text. Only language models do.")

    def calls(
        self, provider: ProviderName | None = None, operation: str | None = None
    ) -> list[Received]:
        """Return the requests so far, oldest first, at most the last 2,000."""
        with self._lock:
            kept = list(self._calls)
        return [
            call
            for call in kept
            if provider in {None, call.provider} and operation in {None, call.operation}
        ]

    def reset(self) -> None:
        """Make it as new: heal, forget requests, replies, files and runs."""
        self.heal()
        for one in self._providers:
            one.forget()
        with self._lock:
            self._calls.clear()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request: the ASGI application."""
        try:
            provider, request, parts = self._understand(scope, await _content(receive))
            planned = self._plan.next(
                request.provider, request.operation, request.headers.get(FAULT_HEADER)
            )
            request = replace(request, planned=planned)
            self._keep(request)
            fault = planned.fault if planned else None
            await _wait(receive, self.latency)
            if fault is Fault.HANG:
                await _wait(receive, None)
            if planned and fault is Fault.LATENCY:
                await _wait(receive, planned.seconds(1.0))
            if fault is Fault.RESET:
                self._reset_connection(scope)
                await _wait(receive, None)
            if provider is None:
                answer = as_json({"detail": "no such path"}, status=404)
            else:
                answer = provider.answer(request, parts)
            blank_seconds = planned.seconds(3.0) if planned and fault is Fault.KEEP_ALIVE else 0.0
            await _send(answer, receive, send, blank_seconds=blank_seconds)
        except _CallerGoneError:
            return

    def _understand(
        self, scope: Scope, content: bytes
    ) -> tuple[Provider | None, Received, dict[str, str]]:
        headers = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]
        }
        if headers.get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        request = Received(
            provider="unknown",
            operation="unknown",
            method=scope["method"],
            path=scope["path"],
            query=dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True)),
            headers=headers,
            body=content,
            size=len(content),
        )
        for provider in self._providers:
            for route in provider.routes:
                match = route.path.fullmatch(request.path)
                if match and route.method == request.method:
                    operation = provider.operation(request, route.operation)
                    # The client library calls a piece of a file JSON, too.
                    body = content if operation == "upload_bytes" else _decoded(content)
                    named = replace(request, provider=provider.name, operation=operation, body=body)
                    return provider, named, match.groupdict(default="")
        return None, request, {}

    def _keep(self, request: Received) -> None:
        if isinstance(request.body, bytes):
            request = replace(request, body=request.body[:KEPT_BYTES])
        with self._lock:
            self._calls.append(request)

    def _reset_connection(self, scope: Scope) -> None:
        if self._server is not None:
            self._server.reset_connection(tuple(scope["client"]))


class _Server(uvicorn.Server):
    """A server that lives in a thread and stops without waiting for anybody."""

    def __init__(self, config: uvicorn.Config, listening: socket.socket) -> None:
        super().__init__(config)
        self._listening = listening
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stand-in", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._is_ready.wait()

    def stop(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def reset_connection(self, client: tuple[str, int]) -> None:
        """Drop a connection so that its other end sees a reset."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, H11Protocol) and connection.client == client:
                # Lingering for no time makes closing send RST instead of an orderly end.
                connection.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                connection.transport.abort()

    def _run(self) -> None:
        asyncio.run(self.serve([self._listening]))

    async def main_loop(self) -> None:
        """Wait for the order to stop, without the tick of the original."""
        self._loop = asyncio.get_running_loop()
        self._is_ready.set()
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all connections at once."""
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        async with asyncio.timeout(STOP_SECONDS):
            while self.server_state.connections or self.server_state.tasks:
                await asyncio.sleep(0.002)


def _listening(port: int) -> socket.socket:
    # asyncio sends small pieces at once only on a socket whose protocol is named; without it each
    # answer waits about 40 ms for the acknowledgement of its own head.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError:
        listening.close()
        raise
    return listening


async def _content(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _CallerGoneError
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _decoded(content: bytes) -> Any:  # noqa: ANN401  any JSON value
    """Return the JSON value, the bytes where they are none."""
    try:
        return json.loads(content)
    except ValueError:
        return content


async def _wait(receive: Receive, seconds: float | None) -> None:
    """Wait; None waits until the caller is gone, who may be gone before the time is over."""
    if seconds is not None and seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return
    raise _CallerGoneError


async def _send(answer: Answer, receive: Receive, send: Send, *, blank_seconds: float) -> None:
    headers = {"content-type": answer.content_type, **answer.headers}
    is_whole = len(answer.chunks) == 1 and not blank_seconds
    if is_whole:
        headers["content-length"] = str(len(answer.chunks[0]))
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(name.encode(), text.encode()) for name, text in headers.items()],
        }
    )
    blank = b": keep-alive\n\n" if answer.content_type == "text/event-stream" else b"\n"
    while blank_seconds > 0:
        await send({"type": "http.response.body", "body": blank, "more_body": True})
        await _wait(receive, min(KEEP_ALIVE_SECONDS, blank_seconds))
        blank_seconds -= KEEP_ALIVE_SECONDS
    for chunk in answer.chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": not is_whole})
    if not is_whole:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
