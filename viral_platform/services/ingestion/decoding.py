"""Batches of a file judged and made into COPY text: here, and for a long file in a second process.

Decoding holds the interpreter, so a thread would not help; the database leaves the second core
free meanwhile. The second process runs `main` of this module: it reads requests from stdin,
answers on stdout, and ends when its stdin does, so it never outlives a killed import.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import BinaryIO, cast

import msgspec

from viral_platform.services.ingestion.pipeline import ItemParser, grouped
from viral_platform.services.ingestion.readers import Export, RawItem
from viral_platform.storage.quarantine import RejectedItem
from viral_platform.storage.videos import copy_block

# The second process needs a second to start: a file with less content is done by then.
LONG_FILE_BYTES = 32 << 20
# Exports compress to a fifth.
_GZIP_RATIO = 5
# So many batches may wait for one before them that the second process still has.
_MOST_WAITING = 4


class Setting(msgspec.Struct, frozen=True):
    """How the items of a file are read and judged."""

    source: str
    default_crawled_at: datetime
    crawl_zone: str | None
    now: datetime


class JudgedBatch(msgspec.Struct, frozen=True):
    """What became of some items; the accepted rows are COPY text.

    `dated_by_default` of these rows carry no crawl time of their own.
    """

    received: int
    scraper_errors: int
    dated_by_default: int
    rejected: list[RejectedItem]
    block: bytes


class Request(msgspec.Struct, frozen=True):
    """Items to judge; the first has this number in its file."""

    first_position: int
    items: list[RawItem]


class Judge:
    """Judges batches of one file's items."""

    def __init__(self, setting: Setting) -> None:
        self._now = setting.now
        self._parser = ItemParser(
            setting.source,
            default_crawled_at=setting.default_crawled_at,
            crawl_zone=setting.crawl_zone,
        )

    def judged(self, request: Request) -> JudgedBatch:
        """Return what becomes of the items."""
        batch = self._parser.batch(request.items, request.first_position, self._now)
        block = copy_block(batch.columns)
        return JudgedBatch(
            batch.received, batch.scraper_errors, batch.dated_by_default, batch.rejected, block
        )


@contextmanager
def second_process(export: Export) -> Iterator[SecondProcess | None]:
    """Start a second process when the file is long and there is a processor for it."""
    content_bytes = export.size * (_GZIP_RATIO if export.is_gzip else 1)
    if content_bytes < LONG_FILE_BYTES or (os.cpu_count() or 1) < 2:
        yield None
        return
    process = SecondProcess()
    try:
        yield process
    finally:
        process.close()


def judged_batches(
    items: Iterator[RawItem], setting: Setting, second: SecondProcess | None
) -> Iterator[JudgedBatch]:
    """Yield a file's batches in their order."""
    judge = Judge(setting)
    waiting: deque[JudgedBatch | Future[JudgedBatch]] = deque()
    position = 1
    if second is not None:
        second.prepare(setting)
    for group in grouped(items):
        request = Request(position, group)
        position += len(group)
        if second is not None and second.is_free():
            waiting.append(second.judged(request))
        else:
            waiting.append(judge.judged(request))
        while waiting and (_is_done(waiting[0]) or len(waiting) > _MOST_WAITING):
            yield _result(waiting.popleft())
    while waiting:
        yield _result(waiting.popleft())


def _is_done(batch: JudgedBatch | Future[JudgedBatch]) -> bool:
    return batch.done() if isinstance(batch, Future) else True


def _result(batch: JudgedBatch | Future[JudgedBatch]) -> JudgedBatch:
    return batch.result() if isinstance(batch, Future) else batch


class SecondProcess:
    """The second process, seen from the first; it has one batch at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._input = cast("BinaryIO", self._process.stdin)
        self._output = cast("BinaryIO", self._process.stdout)
        self._thread = ThreadPoolExecutor(1)

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._thread.shutdown()
        self._process.wait()
        with suppress(BrokenPipeError):
            self._input.close()
        self._output.close()

    def prepare(self, setting: Setting) -> None:
        """Tell it how to judge; it is free as soon as it has started and answered."""
        self._task = self._thread.submit(self._exchange, setting)

    def is_free(self) -> bool:
        """Tell whether it waits for a batch."""
        return self._task.done()

    def judged(self, request: Request) -> Future[JudgedBatch]:
        """Hand it a batch."""
        self._task = self._thread.submit(self._exchange, request)
        return self._task

    def _exchange(self, message: Setting | Request) -> JudgedBatch:
        try:
            _send(self._input, message)
            answer = _received(self._output)
        except BrokenPipeError:
            answer = None
        if answer is None:
            raise RuntimeError("the second process of the import ended; nothing was stored")
        return msgspec.msgpack.decode(answer, type=JudgedBatch)


def _send(stream: BinaryIO, message: msgspec.Struct) -> None:
    encoded = msgspec.msgpack.encode(message)
    stream.write(len(encoded).to_bytes(8, "big"))
    stream.write(encoded)
    stream.flush()


def _received(stream: BinaryIO) -> bytes | None:
    """Return the next message, None at the end."""
    length = stream.read(8)
    if len(length) < 8:
        return None
    return stream.read(int.from_bytes(length, "big"))


def main() -> None:
    """Be the second process."""
    # Ctrl-C is for the first process, which then ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    setting = _received(requests)
    if setting is None:
        return
    judge = Judge(msgspec.msgpack.decode(setting, type=Setting))
    _send(answers, JudgedBatch(0, 0, 0, [], b""))
    decoder = msgspec.msgpack.Decoder(Request)
    while (request := _received(requests)) is not None:
        _send(answers, judge.judged(decoder.decode(request)))
