"""Rejected items, and the files that imports have seen. Why an item is rejected, others decide."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A file as imports know it. `crawled_at` serves the items that carry no crawl time."""

    sha256: str
    name: str
    source: str
    crawled_at: datetime


@dataclass(frozen=True, slots=True)
class FirstReceipt:
    """When a file first came, and the crawl time that it was given then."""

    received_at: datetime
    crawled_at: datetime

    @property
    def dates_the_crawl(self) -> bool:
        """Whether no crawl time was told, so that the receipt stands for it."""
        return self.crawled_at == self.received_at


@dataclass(frozen=True, slots=True)
class RejectedItem:
    """An item that is not accepted: its number in the file, from 1, why, and the item as JSON."""

    position: int
    field: str
    reason: str
    message: str
    item: str


@dataclass(frozen=True, slots=True)
class QuarantinedItem:
    """A stored rejected item; `item` is as it was given, decoded."""

    id: int
    source: str
    file_name: str
    position: int
    field: str
    reason: str
    message: str
    item: object
    crawled_at: datetime
    quarantined_at: datetime
    resolved_at: datetime | None


_REMEMBER = """
insert into app.import_files (sha256, name, source, first_received_at, crawled_at, counts)
values (%s, %s, %s, %s, %s, '{}')
on conflict (sha256) do nothing
"""

_STORE = """
insert into app.quarantined_items (
    source, file_sha256, file_name, position, field, reason, message, item, crawled_at
)
values (%s, %s, %s, %s, %s, %s, %s, %s::json, %s)
on conflict (file_sha256, position) do nothing
"""

_SELECT = """
select
    id, source, file_name, position, field, reason, message, item::text, crawled_at,
    quarantined_at, resolved_at
from app.quarantined_items
"""


def remember_file(
    connection: psycopg.Connection, file: ImportFile, received_at: datetime
) -> FirstReceipt:
    """Remember a file at its first receipt; return what is remembered of that.

    Another import of the same file waits here until this transaction has ended.
    """
    connection.execute(
        _REMEMBER, [file.sha256, file.name, file.source, received_at, file.crawled_at]
    )
    row = connection.execute(
        "select first_received_at, crawled_at from app.import_files where sha256 = %s",
        [file.sha256],
    ).fetchone()
    if row is None:
        raise LookupError(f"file {file.sha256} was just stored and is not there")
    return FirstReceipt(*row)


def store_counts(connection: psycopg.Connection, sha256: str, counts: Mapping[str, object]) -> None:
    """Keep what the first import of a file counted."""
    connection.execute(
        "update app.import_files set counts = %s where sha256 = %s and counts = '{}'",
        [Jsonb(dict(counts)), sha256],
    )


def store(connection: psycopg.Connection, file: ImportFile, items: Iterable[RejectedItem]) -> None:
    """Store rejected items of a file; one that is stored already stays as it is."""
    with connection.cursor() as cursor:
        cursor.executemany(
            _STORE,
            (
                (
                    file.source,
                    file.sha256,
                    file.name,
                    item.position,
                    item.field,
                    item.reason,
                    item.message,
                    item.item,
                    file.crawled_at,
                )
                for item in items
            ),
        )


def unresolved(
    connection: psycopg.Connection, *, limit: int | None = None
) -> list[QuarantinedItem]:
    """Return the items that were not accepted since, the oldest first."""
    query = _SELECT + "where resolved_at is null order by id limit %s"
    return [_item(row) for row in connection.execute(query, [limit])]


def get(connection: psycopg.Connection, item_id: int) -> QuarantinedItem | None:
    """Return one item, resolved or not."""
    row = connection.execute(_SELECT + "where id = %s", [item_id]).fetchone()
    return None if row is None else _item(row)


def _item(row: tuple[Any, ...]) -> QuarantinedItem:
    """Return a stored item; one that Python cannot decode (too deep, endless digits) as text."""
    item = QuarantinedItem(*row)
    try:
        return replace(item, item=json.loads(row[7]))
    except (ValueError, RecursionError):
        return item


def resolve(connection: psycopg.Connection, ids: Sequence[int]) -> None:
    """Mark items as accepted."""
    connection.execute(
        "update app.quarantined_items set resolved_at = now() where id = any(%s)", [list(ids)]
    )
