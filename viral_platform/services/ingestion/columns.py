"""Columns of a batch: conversion of a column at a time, and what became of its rows.

Most columns hold the expected type throughout, which one look at the types settles; only then
values are converted one by one, by `values.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar, cast

from viral_platform.engine.errors import ItemRejectedError
from viral_platform.services.ingestion import values
from viral_platform.services.ingestion.values import Value

# Columns by field name of `VideoRow`, all of one length.
Columns = dict[str, list[Any]]

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

_WHOLE = {int, type(None)}
_NUMBER = {int, float, type(None)}
_FLAG = {bool, type(None)}
_TEXT = {str, type(None)}


class Converter:
    """Converts the columns of one batch and notes for each row its first unusable value."""

    def __init__(self) -> None:
        self.problems: dict[int, ItemRejectedError] = {}

    def each(
        self, given: Sequence[_Given], convert: Callable[[_Given], _Made | None]
    ) -> list[_Made | None]:
        """Return the converted values, None where one is unusable."""
        try:
            return [convert(value) for value in given]
        except ItemRejectedError:
            return [self._one(index, value, convert) for index, value in enumerate(given)]

    def _one(
        self, index: int, value: _Given, convert: Callable[[_Given], _Made | None]
    ) -> _Made | None:
        try:
            return convert(value)
        except ItemRejectedError as error:
            self.problems.setdefault(index, error)
            return None

    def counts(self, field: str, column: list[Value]) -> list[Any]:
        """Return a column of counts."""
        if _WHOLE.issuperset(map(type, column)):
            return column
        return self.each(column, lambda value: values.count(value, field))

    def flags(self, field: str, column: list[Value]) -> list[Any]:
        """Return a column of yes or no."""
        if _FLAG.issuperset(map(type, column)):
            return column
        return self.each(column, lambda value: values.flag(value, field))

    def durations(self, column: list[Value]) -> list[Any]:
        """Return a column of seconds."""
        if _NUMBER.issuperset(map(type, column)):
            return column
        return self.each(column, lambda value: values.seconds_long(value, "duration_seconds"))

    def texts(self, column: list[Value]) -> list[str | None]:
        """Return a column of texts without NUL, None where one is blank."""
        if _TEXT.issuperset(map(type, column)):
            given = cast("list[str | None]", column)
            texts = [text if text and not text.isspace() else None for text in given]
            if "\x00" not in "".join(filter(None, texts)):
                return texts
        return [values.text(value) for value in column]


def without(columns: Columns, indexes: Collection[int]) -> Columns:
    """Return the columns without some rows."""
    if not indexes:
        return columns
    return {
        name: [value for index, value in enumerate(column) if index not in indexes]
        for name, column in columns.items()
    }


def length(columns: Columns) -> int:
    """Return the number of rows."""
    return len(columns["platform_video_id"])
