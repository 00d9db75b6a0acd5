"""The second process of a long import."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

import psutil
import pytest

from viral_platform.engine.errors import UnreadableFileError
from viral_platform.services.ingestion import ImportOptions, decoding, import_file, pipeline
from viral_platform.services.ingestion.decoding import (
    SecondProcess,
    Setting,
    judged_batches,
    second_process,
)
from viral_platform.services.ingestion.readers import RawItem, open_export
from viral_platform.storage.database import Database
from viral_platform_tests.services.ingestion.conftest import (
    CRAWLED_AT,
    array,
    clockworks_item,
    write_bytes,
)

SETTING = Setting("clockworks", CRAWLED_AT, None, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture(autouse=True)
def short_files_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "BATCH_ITEMS", 20)
    monkeypatch.setattr(decoding, "LONG_FILE_BYTES", 1)


def _item(number: int) -> bytes:
    views = "many" if number % 7 == 0 else number
    crawled_at = None if number % 3 else CRAWLED_AT.isoformat()
    item = clockworks_item(
        id=str((1717064979 << 32) + number), playCount=views, scrapedAt=crawled_at
    )
    return json.dumps({"error": "gone"} if number % 11 == 0 else item).encode()


def _second_processes() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children()
        if any("ingestion.decoding" in part for part in process.cmdline())
    ]


def test_two_processes_give_the_batches_of_one_in_the_same_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = cycle([True, True, False])
    monkeypatch.setattr(
        SecondProcess, "is_free", lambda self: next(turns) and not self._task.exception()
    )
    second = SecondProcess()
    together = list(judged_batches(map(_item, range(1_000)), SETTING, second))
    second.close()
    alone = list(judged_batches(map(_item, range(1_000)), SETTING, None))
    assert together == alone
    assert len(alone) == 50
    assert sum(batch.received for batch in alone) == 1_000
    without_time = [n for n in range(1_000) if n % 3 and n % 7 and n % 11]
    assert sum(batch.dated_by_default for batch in alone) == len(without_time)
    positions = [item.position for batch in alone for item in batch.rejected]
    assert positions == sorted(positions)


def test_rows_of_other_forms_reach_the_second_process_as_they_are() -> None:
    request = decoding.Request(5, [b"{}", {"id": "1"}, ["1", "2"]])
    encoded = decoding.msgspec.msgpack.encode(request)
    assert decoding.msgspec.msgpack.decode(encoded, type=decoding.Request) == request


def test_a_file_that_breaks_off_ends_the_second_process(database: Database, tmp_path: Path) -> None:
    items = [clockworks_item(id=str((1717064979 << 32) + number)) for number in range(400)]
    path = write_bytes(tmp_path / "cut.json", array(items)[:-9])
    with pytest.raises(UnreadableFileError, match="item 400"):
        import_file(database, path, ImportOptions(scraped_at=CRAWLED_AT))
    assert _second_processes() == []


def test_an_import_fails_when_its_second_process_is_killed() -> None:
    second = SecondProcess()

    def items() -> Iterator[RawItem]:
        for number in range(10_000):
            yield _item(number)
            if number == 200:
                _second_processes()[0].kill()

    with pytest.raises(RuntimeError, match="second process of the import ended"):
        list(judged_batches(items(), SETTING, second))
    second.close()


def test_a_short_file_is_imported_by_one_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(decoding, "LONG_FILE_BYTES", 1_000)
    for content, expected in ((b"[]" + b" " * 900, False), (b"[]" + b" " * 2_000, True)):
        with (
            open_export(write_bytes(tmp_path / "items.json", content)) as export,
            second_process(export) as second,
        ):
            assert (second is not None) is expected
