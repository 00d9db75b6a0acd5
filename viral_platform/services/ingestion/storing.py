"""Judged batches into the tables: one way for files and for pages of datasets.

The transaction is the caller's: a file is one, a page with its cursor is one.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import IO

import msgspec
import psycopg

from viral_platform.services.ingestion.decoding import JudgedBatch
from viral_platform.storage import quarantine, videos
from viral_platform.storage.quarantine import ImportFile, RejectedItem

# Rejected items wait for the end of the staging in memory up to here, then in a temporary file.
_SPOOL_BYTES = 8 << 20

_ENCODE_REJECTED = msgspec.json.Encoder().encode
_DECODE_REJECTED = msgspec.json.Decoder(RejectedItem).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What became of items: `received` is the sum of the other six."""

    received: int = 0
    new: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicates: int = 0
    quarantined: int = 0
    scraper_errors: int = 0

    def counts(self) -> dict[str, int]:
        """Return the seven counts by name."""
        return {name: getattr(self, name) for name in COUNTS}


COUNTS = tuple(counted.name for counted in fields(Counts))


@contextmanager
def arriving() -> Iterator[Arrivals]:
    """Yield a way into the tables; rejected items are set aside until its end."""
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as spool:
        yield Arrivals(spool)


class Arrivals:
    """Items on their way into the tables, in one transaction: `stage` once, then `store` once.

    Attributes
    ----------
    dated_by_default : int
        Accepted items so far that carry no crawl time of their own.
    reasons : Counter
        Rejected items so far, by reason.
    """

    def __init__(self, spool: IO[bytes]) -> None:
        self.dated_by_default = 0
        self.reasons: Counter[str] = Counter()
        self._received = 0
        self._scraper_errors = 0
        self._spool = spool

    def stage(
        self,
        connection: psycopg.Connection,
        batches: Iterable[JudgedBatch],
        *,
        on_batch: Callable[[], None] | None = None,
    ) -> None:
        """Copy the accepted rows of batches into the staging table and set the others aside."""
        videos.stage(connection, self._blocks(batches, on_batch))

    def store(self, connection: psycopg.Connection, file: ImportFile, origin: str) -> Counts:
        """Merge what is staged, quarantine what was rejected; `origin` names it in errors.

        Raises
        ------
        GateRefusedError
            Real and simulated videos would be mixed.
        """
        merged = videos.merge(connection, origin)
        self._spool.seek(0)
        quarantine.store(connection, file, map(_DECODE_REJECTED, self._spool))
        return Counts(
            received=self._received,
            **asdict(merged),
            quarantined=self.reasons.total(),
            scraper_errors=self._scraper_errors,
        )

    def _blocks(
        self, batches: Iterable[JudgedBatch], on_batch: Callable[[], None] | None
    ) -> Iterator[bytes]:
        for batch in batches:
            self._received += batch.received
            self._scraper_errors += batch.scraper_errors
            self.dated_by_default += batch.dated_by_default
            self.reasons.update(item.reason for item in batch.rejected)
            self._spool.writelines(_ENCODE_REJECTED(item) + b"\n" for item in batch.rejected)
            if on_batch is not None:
                on_batch()
            yield batch.block
