"""Rejected items and the files that imports have seen. Why an item is rejected is decided above."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A file as an import knows it. `crawled_at` serves the items that carry no crawl time."""

    sha256: str
    name: str
    source: str
    crawled_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedItem:
    """A rejected item: `position` is its number in the file, from 1, `item` as it was given."""

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
