"""Flat rows into nested items: `authorMeta/name` headers, and files with column names of their own.

A packaged map (`column_maps/*.yaml`) names for each column of such a file the key that it fills in
an item of a shape. What the keys mean belongs to `shapes.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

import yaml


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """One packaged map; `units` are endings to cut off a column's cells."""

    name: str
    shape: str
    recognised_by: frozenset[str]
    crawl_zone: ZoneInfo
    columns: Mapping[str, str]
    units: Mapping[str, tuple[str, ...]]

    def flat_item(self, row: Mapping[str, object]) -> dict[str, object]:
        """Return the row under the item's keys, still flat; other columns are passed over."""
        return {
            key: self._bare(column, row[column])
            for column, key in self.columns.items()
            if column in row
        }

    def _bare(self, column: str, cell: object) -> object:
        if isinstance(cell, str):
            for unit in self.units.get(column, ()):
                if cell.endswith(unit):
                    return cell.removesuffix(unit)
        return cell


@cache
def column_maps() -> Mapping[str, ColumnMap]:
    """Return the packaged maps by name."""
    folder = files(__package__) / "column_maps"
    return {
        loaded.name: loaded
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if file.name.endswith(".yaml")
        for loaded in [_load(file.read_text(encoding="utf-8"))]
    }


def _load(document: str) -> ColumnMap:
    fields = yaml.safe_load(document)
    return ColumnMap(
        name=fields["name"],
        shape=fields["shape"],
        recognised_by=frozenset(fields["recognised_by"]),
        crawl_zone=ZoneInfo(fields["crawl_zone"]),
        columns=fields["columns"],
        units={column: tuple(endings) for column, endings in fields["units"].items()},
    )


def nest(flat: Mapping[str, object]) -> dict[str, object]:
    """Return a flat row as a nested item: `a/b` opens an object, a number in a path a list.

    Blank cells are left out. What is nested already stays as it is.

    Examples
    --------
    >>> nest({"id": "7", "authorMeta/name": "a", "hashtags/0/name": "x", "hashtags/1/name": ""})
    {'id': '7', 'authorMeta': {'name': 'a'}, 'hashtags': [{'name': 'x'}]}
    """
    item: dict[str, object] = {}
    for header, cell in flat.items():
        if cell == "":
            continue
        *parents, last = header.split("/")
        node = item
        for part in parents:
            inner = node.get(part)
            if not isinstance(inner, dict):
                inner = node[part] = {}
            node = inner
        node[last] = cell
    return {key: _listed(value) for key, value in item.items()}


def _listed(value: object) -> object:
    """Turn objects whose keys are all numbers into lists in the order of these."""
    if not isinstance(value, dict):
        return value
    if value and all(key.isdecimal() for key in value):
        return [_listed(value[key]) for key in sorted(value, key=int)]
    return {key: _listed(inner) for key, inner in value.items()}
