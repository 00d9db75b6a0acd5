"""One event loop in a thread of its own, for work that callers of any kind wait for.

Clients of providers keep connections that belong to one loop; so all requests of a service run on
the same one, whether a thread, a Dagster op or a coroutine asks.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")

_STOP_SECONDS = 5.0


class BackgroundLoop:
    """An event loop that starts with the first work and ends with `close` or its owner."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._finalizer: weakref.finalize[..., BackgroundLoop] | None = None

    def submit(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Future[Result]:
        """Run a coroutine on the loop, in the caller's context."""
        outcome: Future[Result] = Future()
        loop = self._started()
        context = contextvars.copy_context()

        def start() -> None:
            if not outcome.set_running_or_notify_cancel():
                return
            task = loop.create_task(work(), context=context)
            task.add_done_callback(lambda done: _hand_over(done, outcome))

        loop.call_soon_threadsafe(start)
        return outcome

    def close(self) -> None:
        """Cancel what still runs and end the thread."""
        with self._lock:
            finalizer, self._finalizer, self._loop = self._finalizer, None, None
        if finalizer is not None:
            finalizer()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_serve, args=(loop,), name=self._name, daemon=True)
                thread.start()
                self._loop = loop
                self._finalizer = weakref.finalize(self, _stop, loop, thread)
            return self._loop


def _hand_over(done: asyncio.Task[Result], outcome: Future[Result]) -> None:
    if done.cancelled():
        outcome.set_exception(asyncio.CancelledError())
    elif (error := done.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(done.result())


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(_cancel_all())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _cancel_all() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():
        thread.join(_STOP_SECONDS)
