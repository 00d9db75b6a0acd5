from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest

from viral_platform.engine.errors import UnreadableFileError
from viral_platform.services.ingestion import readers
from viral_platform.services.ingestion.readers import open_export
from viral_platform_tests.services.ingestion.conftest import array, write_bytes


def _items(path: Path) -> list[object]:
    with open_export(path) as export:
        return [json.loads(item) if isinstance(item, bytes) else item for item in export.items()]


OBJECTS = [{"a": 'é "{[,]}" 🤷', "b": [{"c": 1}, {"c": [2]}]}, {"a": "}\n{", "n": -1.5e3}, {}]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    "content",
    [
        b"".join(json.dumps(item).encode() + b"\n" for item in OBJECTS),
        b"\n\r\n".join(json.dumps(item).encode() for item in OBJECTS),
        array(OBJECTS),
        array(OBJECTS, indent=2),
        b"\xef\xbb\xbf \n" + array(OBJECTS) + b"\n ",
    ],
    ids=["lines", "blank lines between, no last line end", "array", "pretty array", "bom"],
)
def test_every_form_of_json_gives_the_same_items(
    tmp_path: Path, content: bytes, suffix: str
) -> None:
    assert _items(write_bytes(tmp_path / f"items.json{suffix}", content)) == OBJECTS


@pytest.mark.parametrize("block", [2, 3, 7, 64])
def test_an_array_may_be_cut_into_blocks_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(readers, "BLOCK_BYTES", block)
    content = b"[1234, " + array(OBJECTS, indent=1)[1:]
    assert _items(write_bytes(tmp_path / "items.json", content)) == [1234, *OBJECTS]


def test_an_empty_array_holds_no_items(tmp_path: Path) -> None:
    assert _items(write_bytes(tmp_path / "items.json", b" [ ] ")) == []


def test_csv_rows_come_by_header_and_odd_ones_as_their_cells(tmp_path: Path) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["id", "text"], ["1", 'a "b",\nc'], ["2"], ["3", "d"]])
    path = write_bytes(tmp_path / "items.csv", b"\xef\xbb\xbf" + text.getvalue().encode())
    assert _items(path) == [{"id": "1", "text": 'a "b",\nc'}, ["2"], {"id": "3", "text": "d"}]


GOOD = array(OBJECTS)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("empty.json", b"", "the file is empty"),
        ("blank.json", b"\n \n", "holds nothing"),
        ("cut.json", GOOD[:-5], "item 3|after item 2"),
        ("cut.json", GOOD[:-1], "after item 3: the file breaks off"),
        ("open.json", b"[", "item 1"),
        ("comma.json", b'[{"a": 1},]', "item 2: the array is broken"),
        ("middle.json", b'[{"a": 1}, {"a": tru}, {"a": 2}]', "item 2: the array is broken"),
        ("colon.json", b'[{"a": 1}: {"a": 2}]', "after item 1: ':' stands where ',' belongs"),
        ("more.json", b'[{"a": 1}] {"a": 2}', "follows the end"),
        ("bytes.json", b'[{"a": "\xff"}]', "not UTF-8"),
        ("deep.json", b"[" * 100_000, "nested too deeply"),
        ("cut.jsonl", b'{"a": 1}\n{"a": 2', "item 2: the file breaks off"),
        ("cut.jsonl", b'{"a": 1}\n{"a": "x\n', "item 2: the file breaks off"),
        ("cut.csv", b"id,text\n1,a\n2", "row 2: the file breaks off"),
        ("quote.csv", b'id,text\n1,"a\n', "after row 0: this is neither JSON nor a CSV"),
        ("bytes.csv", b"id,text\n1,\xff\n", "neither JSON nor a CSV in UTF-8"),
        ("utf16.json", '{"a": 1}'.encode("utf-16"), r"byte 0: this is a binary file or .* UTF-16"),
        ("utf16.json", '{"a": 1}'.encode("utf-16-le"), "Give JSON, JSON Lines or CSV"),
        ("binary.json", b"\x89PNG\r\n\x1a\n\x00\x00", "Give JSON, JSON Lines or CSV"),
        ("binary.json", b"\x89\xff\xfe", "neither JSON nor a CSV in UTF-8"),
    ],
)
def test_a_broken_file_is_refused_with_its_position(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    path = write_bytes(tmp_path / name, content)
    with pytest.raises(UnreadableFileError, match=problem) as caught:
        _items(path)
    assert caught.value.path == path


def test_a_cut_gzip_is_refused_with_its_position(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n' * 1_000)[:-9])
    with pytest.raises(UnreadableFileError, match=r"byte \d+: the compressed file is broken"):
        _items(path)


def test_a_corrupt_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl.gz"
    content = bytearray(gzip.compress(b'{"a": 1}\n' * 1_000))
    content[-6] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match="the compressed file is broken"):
        _items(path)


def test_a_folder_and_an_absent_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="this is a folder"):
        _items(tmp_path)
    with pytest.raises(UnreadableFileError, match="there is no such file"):
        _items(tmp_path / "absent.json")


@pytest.mark.parametrize("opening", [b'{"a": "', b'[{"a": "'], ids=["lines", "array"])
def test_an_item_beyond_the_limit_is_refused_not_read(tmp_path: Path, opening: bytes) -> None:
    path = write_bytes(tmp_path / "long.json", opening + b"x" * (40 << 20))
    with pytest.raises(UnreadableFileError, match="longer than 16 MB"):
        _items(path)


def test_a_malformed_last_line_with_its_line_end_is_an_item_like_any_other(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "items.jsonl", b'{"a": 1}\n{"a" 2}\n')
    with open_export(path) as export:
        assert list(export.items()) == [b'{"a": 1}\n', b'{"a" 2}\n']
