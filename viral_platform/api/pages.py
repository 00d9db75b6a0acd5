"""Pages of a list, the newest first, and the opaque cursor at which the next one begins."""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from viral_platform.api.problems import invalid

DEFAULT_LIMIT = 20
MAX_LIMIT = 100

_DIGITS = re.compile(r"[0-9]{1,9}")
_LONGEST_CURSOR = 200

Position = tuple[datetime, UUID]


def _plain_digits(value: object) -> object:
    """Refuse what else Python reads as an integer: `30x` never, but `+5`, `1.0` and `1_0`."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise PydanticCustomError("int_parsing", "Input should be an integer in digits alone")
    return value


WholeNumber = Annotated[int, BeforeValidator(_plain_digits)]
Limit = Annotated[
    WholeNumber, Query(ge=1, le=MAX_LIMIT, description="How many rows at most.", examples=[20])
]


def cursor_at(position: Position) -> str:
    """Return the cursor of what comes after a row of this time and id.

    >>> row = datetime.fromisoformat("2026-03-01T12:00:00+00:00"), UUID(int=7)
    >>> read_cursor(cursor_at(row)) == row
    True
    """
    moment, identity = position
    text = f"{moment.isoformat()}|{identity}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> Position:
    """Return the time and id behind a cursor.

    Raises
    ------
    Problem
        422, it is none of ours.
    """
    if len(cursor) <= _LONGEST_CURSOR and cursor.isascii():
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
            moment, _, identity = text.partition("|")
            position = datetime.fromisoformat(moment), UUID(identity)
            if position[0].tzinfo is not None:
                return position
        except ValueError:
            pass
    raise invalid(
        [
            {
                "path": "cursor",
                "code": "cursor",
                "message": "Input should be the next_cursor of a page",
            }
        ]
    )
