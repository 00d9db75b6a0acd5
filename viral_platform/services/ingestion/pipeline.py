"""From a file to batches of accepted rows and rejected items. No database.

One batch is decoded, turned into rows and judged at a time, so memory does not grow with the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import chain, islice
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from viral_platform.engine.errors import InputError, ItemRejectedError
from viral_platform.services.ingestion.column_map import ColumnMap, column_maps, nest
from viral_platform.services.ingestion.columns import Columns, Converter, length, without
from viral_platform.services.ingestion.items import Item
from viral_platform.services.ingestion.readers import Export, RawItem, open_export
from viral_platform.services.ingestion.schema import judge
from viral_platform.services.ingestion.shapes import SHAPES, Reading
from viral_platform.storage.quarantine import RejectedItem
from viral_platform.storage.videos import VideoRow

Source = Literal["auto", "clockworks", "apidojo", "vn_viral"]

# Judging a frame has a cost of its own, so a batch is large; its items are decoded and converted
# some hundred at a time, while they are in the processor's cache.
BATCH_ITEMS = 4_000
_ITEMS_AT_A_TIME = 400
BATCH_BYTES = 16 << 20
# So many first items may be scraper errors or broken before a file's shape must be known.
RECOGNITION_ITEMS = 1_000

_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Batch:
    """Some items of a file, judged: accepted rows as columns, rejected items with the reason.

    `dated_by_default` of the rows carry no crawl time of their own.
    """

    columns: Columns
    rejected: list[RejectedItem]
    scraper_errors: int
    dated_by_default: int

    @property
    def received(self) -> int:
        """How many items the batch was made of."""
        return length(self.columns) + len(self.rejected) + self.scraper_errors


@dataclass(frozen=True, slots=True)
class _Part:
    """Converted items: their columns, the places they came from, and what was unusable where."""

    columns: Columns
    places: list[int]
    problems: dict[int, ItemRejectedError]


class ItemParser:
    """Turns raw items of one source into rows.

    Parameters
    ----------
    source : str
        A shape or a column map.
    default_crawled_at : datetime | None
        The crawl time of items that carry none.
    crawl_zone : str | None
        Zone of crawl times that name none; None leaves it to the source (UTC, or the map's).
    """

    def __init__(
        self, source: str, *, default_crawled_at: datetime | None, crawl_zone: str | None = None
    ) -> None:
        self._map: ColumnMap | None = column_maps().get(source)
        shape = SHAPES[self._map.shape if self._map else source]
        zone: tzinfo = self._map.crawl_zone if self._map else UTC
        if crawl_zone is not None:
            zone = _zone(crawl_zone)
        self._shape = shape
        self._decode = msgspec.json.Decoder(shape.item).decode
        self._reading = Reading(source, default_crawled_at, zone)

    def batch(self, raw_items: Sequence[RawItem], first_position: int, now: datetime) -> Batch:
        """Return items, of which the first has this number in its file, judged."""
        columns: Columns = {}
        places: list[int] = []
        problems: dict[int, ItemRejectedError] = {}
        scraper_errors = 0
        for start in range(0, len(raw_items), _ITEMS_AT_A_TIME):
            some = raw_items[start : start + _ITEMS_AT_A_TIME]
            part = self._part(some)
            scraper_errors += len(some) - len(part.places) - len(part.problems)
            places += [start + place for place in part.places]
            problems |= {start + place: error for place, error in part.problems.items()}
            for name, column in part.columns.items():
                columns.setdefault(name, []).extend(column)
        implausible = judge(columns, now)
        problems |= {places[index]: error for index, error in implausible.items()}
        rejected = [
            RejectedItem(
                first_position + place,
                error.field,
                error.reason,
                str(error),
                _as_json(raw_items[place], is_json=error.reason != "invalid_json"),
            )
            for place, error in sorted(problems.items())
        ]
        accepted = without(columns, implausible)
        default = self._reading.default_crawled_at
        # Its own crawl time is another object, also where it is the same instant.
        dated_by_default = sum(time is default for time in accepted["crawled_at"])
        return Batch(accepted, rejected, scraper_errors, dated_by_default)

    def _part(self, raw_items: Sequence[RawItem]) -> _Part:
        """Decode items and convert their values."""
        decode, convert = Converter(), Converter()
        decoded = decode.each(raw_items, self._item)
        places = [
            place
            for place, item in enumerate(decoded)
            if item is not None and (item.error is None or item.id is not None)
        ]
        items = [decoded[place] for place in places]
        columns = without(self._shape.columns(items, self._reading, convert), convert.problems)
        problems = decode.problems | {
            places[index]: error for index, error in convert.problems.items()
        }
        kept = [place for place in places if place not in problems]
        return _Part(columns, kept, problems)

    def _item(self, raw: RawItem) -> Item:
        if not isinstance(raw, bytes):
            return self._converted(raw)
        if self._map is not None:
            return self._converted(_lenient(raw))
        try:
            return self._decode(raw)
        except msgspec.ValidationError as error:
            raise _wrong_type(error) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._converted(_lenient(raw))

    def _converted(self, decoded: object) -> Item:
        if isinstance(decoded, list):
            raise ItemRejectedError(
                "item", "wrong_columns", f"The row has {len(decoded)} cells; the header has others."
            )
        if isinstance(decoded, dict):
            decoded = nest(self._map.flat_item(decoded) if self._map else decoded)
        try:
            return msgspec.convert(decoded, self._shape.item)
        except msgspec.ValidationError as error:
            raise _wrong_type(error) from error


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InputError(
            f"There is no time zone {name!r}. Give one such as UTC or Asia/Ho_Chi_Minh."
        ) from error


def _wrong_type(error: msgspec.ValidationError) -> ItemRejectedError:
    problem, _, path = str(error).partition(" - at `$.")
    return ItemRejectedError(path.rstrip("`") or "item", "wrong_type", f"{problem}.")


def _lenient(raw: bytes) -> object:
    """Decode JSON that holds lone surrogates, as U+FFFD; reject what is no JSON at all."""
    try:
        decoded = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ItemRejectedError(
            "item", "invalid_json", f"The item is no JSON: {error}. Scrape it again."
        ) from error
    return _without_surrogates(decoded)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON value")


def _without_surrogates(decoded: object) -> object:
    if isinstance(decoded, str):
        return _SURROGATES.sub("\ufffd", decoded)
    if isinstance(decoded, list):
        return [_without_surrogates(element) for element in decoded]
    if isinstance(decoded, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in decoded.items()}
    return decoded


def _as_json(raw: RawItem, *, is_json: bool) -> str:
    """Return an item as JSON text for the quarantine; what is no JSON becomes a JSON string."""
    if isinstance(raw, bytes):
        text = raw.decode("utf-8", "replace").strip()
        return text if is_json else json.dumps(text)
    return json.dumps(raw)


def recognised_items(export: Export, source: Source) -> tuple[str, Iterator[RawItem]]:
    """Return the source that a file's first items show, unless it is given, and all its items.

    Raises
    ------
    UnreadableFileError
        It holds no item and is no JSON, or none of its first items is of a known shape.
    """
    items = export.items()
    first: list[RawItem] = []
    recognised = None
    if source != "auto":
        first = list(islice(items, 1))
        known = source if first or export.is_json else _unrecognised(export, first)
        return known, chain(first, items)
    while recognised is None and len(first) < RECOGNITION_ITEMS:
        item = next(items, None)
        if item is None:
            break
        first.append(item)
        recognised = recognise(item)
    return recognised or _unrecognised(export, first), chain(first, items)


def batches(items: Iterator[RawItem], parser: ItemParser, now: datetime) -> Iterator[Batch]:
    """Yield the judged batches of a file's items."""
    position = 1
    for group in grouped(items):
        yield parser.batch(group, position, now)
        position += len(group)


def grouped(items: Iterator[RawItem]) -> Iterator[list[RawItem]]:
    """Yield items in groups of one batch, bounded in number and bytes."""
    group: list[RawItem] = []
    held_bytes = 0
    for item in items:
        group.append(item)
        held_bytes += len(item)
        if len(group) >= BATCH_ITEMS or held_bytes >= BATCH_BYTES:
            yield group
            group, held_bytes = [], 0
    if group:
        yield group


def recognise(raw: RawItem) -> str | None:
    """Return the source whose keys an item has, None when it tells nothing."""
    keys = _keys(raw)
    for column_map in column_maps().values():
        if column_map.recognised_by <= keys:
            return column_map.name
    return next((name for name, shape in SHAPES.items() if shape.recognised_by & keys), None)


def _keys(raw: RawItem) -> set[str]:
    decoded: object = raw
    if isinstance(raw, bytes):
        try:
            decoded = json.loads(raw)
        except (ValueError, RecursionError):
            return set()
    if not isinstance(decoded, dict):
        return set()
    return {key.split("/")[0] for key in decoded}


def _unrecognised(export: Export, first: list[RawItem]) -> str:
    """Return the source of a file without videos; refuse one of unknown shape."""
    if all("error" in _keys(item) for item in first) and (first or export.is_json):
        return "clockworks"
    if not first:
        raise export.broken(
            "item 1",
            "no item was found; this is neither JSON nor a CSV with rows",
            "Give an export of clockworks, apidojo or vn_viral.",
        )
    raise export.broken(
        "item 1",
        f"none of the first {len(first)} items is of a known shape (keys: "
        f"{', '.join(sorted(_keys(first[0]))[:8]) or 'none'})",
        "Give an export of clockworks, apidojo or vn_viral, or name its shape: --source.",
    )


def read_rows(
    path: Path,
    *,
    source: Source = "auto",
    scraped_at: datetime | None = None,
    crawl_zone: str | None = None,
) -> Iterator[VideoRow]:
    """Yield the accepted rows of a file, in its order; rejected items are passed over.

    A video that the file holds several times comes several times.

    Raises
    ------
    UnreadableFileError
        The file cannot be read; names the position.
    InputError
        An item carries no crawl time and `scraped_at` is not given.
    """
    with open_export(path) as export:
        name, items = recognised_items(export, source)
        parser = ItemParser(name, default_crawled_at=scraped_at, crawl_zone=crawl_zone)
        for batch in batches(items, parser, datetime.now(UTC)):
            names = batch.columns.keys()
            for row in zip(*batch.columns.values(), strict=True):
                yield VideoRow(**dict(zip(names, row, strict=True)))
