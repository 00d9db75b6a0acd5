"""Items out of an export file, one by one: JSON Lines, a JSON array or CSV, each plain or gzipped.

What the file is, its first bytes tell, not its name. Memory holds one block and one item. What an
item means belongs to `shapes.py`; that it is not JSON, where the file goes on, is for the caller.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from viral_platform.engine.errors import UnreadableFileError

# An item as it stands in the file: the bytes of a JSON value, or the cells of a CSV row by header.
# A CSV row whose width is not the header's is the list of its cells.
RawItem = bytes | dict[str, str] | list[str]

BLOCK_BYTES = 1 << 20
MAX_ITEM_BYTES = 16 << 20

_GZIP_MAGIC = b"\x1f\x8b"
_SPACE = b" \t\r\n"
_WANTED = "Give JSON, JSON Lines or CSV, each in UTF-8, or .gz of these."
_AGAIN = "Scrape or copy the file again; nothing of it was stored."


@dataclass(frozen=True, slots=True)
class Export:
    """An opened export file: `raw` counts the bytes on disk, `content` is decompressed."""

    path: Path
    raw: io.BufferedReader
    content: io.BufferedReader
    head: bytes
    is_gzip: bool

    @property
    def size(self) -> int:
        """Bytes of the file on disk."""
        return self.path.stat().st_size

    @property
    def is_json(self) -> bool:
        """Whether the file holds JSON of some form, by its first character."""
        return self.head[:1] in {b"{", b"["}

    def items(self) -> Iterator[RawItem]:
        """Yield the items in their order.

        Raises
        ------
        UnreadableFileError
            The file breaks off, is not what its beginning says, or an item is over 16 MB.
        """
        if self.head[:1] == b"[":
            return _array_items(self)
        return _lines(self) if self.is_json else _csv_rows(self)

    def bytes_read(self) -> int:
        """Return how many bytes of the file on disk were read."""
        return self.raw.tell()

    def broken(self, position: str, problem: str, fix: str = _AGAIN) -> UnreadableFileError:
        """Return the error that says where this file is broken."""
        return UnreadableFileError(self.path, position, problem, fix)


@contextmanager
def open_export(path: Path) -> Iterator[Export]:
    """Open a file for reading its items.

    Raises
    ------
    UnreadableFileError
        It is absent, a folder, empty, no text in UTF-8, or breaks off while it is read.
    """
    check_file(path)
    with cast("io.BufferedReader", path.open("rb", buffering=BLOCK_BYTES)) as raw:
        is_gzip = raw.peek(2)[:2] == _GZIP_MAGIC
        content = raw
        if is_gzip:
            content = io.BufferedReader(
                cast("io.RawIOBase", gzip.GzipFile(fileobj=raw)), BLOCK_BYTES
            )
        try:
            head = _head(content)
            if not head:
                raise UnreadableFileError(
                    path, "byte 0", "the file holds nothing", "Scrape or export it again."
                )
            if b"\x00" in head or head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise UnreadableFileError(
                    path, "byte 0", "this is a binary file or text in UTF-16", _WANTED
                )
            yield Export(path, raw, content, head, is_gzip)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UnreadableFileError(
                path, f"byte {raw.tell()}", f"the compressed file is broken ({error})", _AGAIN
            ) from error


def check_file(path: Path) -> None:
    """Refuse what is no ordinary file with something in it."""
    problem = None
    if not path.exists():
        problem = "there is no such file"
    elif path.is_dir():
        problem = "this is a folder"
    elif not path.is_file():
        problem = "this is no ordinary file, which is read twice"
    elif path.stat().st_size == 0:
        problem = "the file is empty"
    if problem:
        raise UnreadableFileError(
            path, "byte 0", problem, "Give an export: .json, .jsonl or .csv, or .gz of these."
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file on disk, in hexadecimal."""
    check_file(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _head(content: io.BufferedReader) -> bytes:
    """Return the file's beginning without a byte order mark and space, both of them read away."""
    if content.peek(3)[:3] == codecs.BOM_UTF8:
        content.read(3)
    while block := content.peek(1):
        stripped = block.lstrip(_SPACE)
        content.read(len(block) - len(stripped))
        if stripped:
            return stripped[:64]
    return b""


def _lines(export: Export) -> Iterator[bytes]:
    """Yield the lines that are not blank; the last one must not break off."""
    last, number = b"", 0
    while line := export.content.readline(MAX_ITEM_BYTES + 1):
        if len(line) > MAX_ITEM_BYTES:
            raise export.broken(f"item {number + 1}", _too_long())
        if line.isspace():
            continue
        number += 1
        if last:
            yield last
        last = line
    if _breaks_off(last):
        raise export.broken(f"item {number}", "the file breaks off in the middle of its last item")
    yield last


def _breaks_off(line: bytes) -> bool:
    """Tell whether a last line was cut: no line end and no JSON, or JSON that ends too early."""
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        ends_early = error.pos >= len(error.doc.rstrip()) or "Unterminated" in error.msg
        return ends_early or not line.endswith(b"\n")
    except UnicodeDecodeError:
        return not line.endswith(b"\n")
    except (RecursionError, ValueError):
        pass
    return False


def _too_long() -> str:
    return f"an item is longer than {MAX_ITEM_BYTES >> 20} MB"


# Numbers stay text here: only the extent of each element is wanted.
_ELEMENT = json.JSONDecoder(parse_int=str, parse_float=str)


def _array_items(export: Export) -> Iterator[bytes]:
    """Yield the elements of a JSON array without holding the array."""
    window = _Window(export)
    window.expect("[", 0)
    number = 0
    separator = window.skip_space()
    if separator == "]":
        window.expect("]", number)
    while separator != "]":
        number += 1
        yield window.element(number)
        separator = window.skip_space()
        window.expect("]" if separator == "]" else ",", number)
    if window.skip_space():
        raise export.broken(f"after item {number}", "something follows the end of the array")


class _Window:
    """The part of an array's text that is in memory, and where reading stands in it."""

    def __init__(self, export: Export) -> None:
        self._export = export
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._text = ""
        self._at = 0
        self._is_complete = False

    def skip_space(self) -> str:
        """Move to the next character that is no space and return it; '' at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_on():
                return ""

    def expect(self, character: str, number: int) -> None:
        """Step over the character that must stand here."""
        found = self.skip_space()
        if found != character:
            problem = "the file breaks off" if not found else f"{found!r} stands where"
            wanted = " before the end of the array" if not found else f" {character!r} belongs"
            raise self._export.broken(f"after item {number}", problem + wanted)
        self._at += 1

    def element(self, number: int) -> bytes:
        """Return the next element; the text is read on until it is complete."""
        self.skip_space()
        while True:
            try:
                _, end = _ELEMENT.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if not self._read_on(number):
                    raise self._export.broken(
                        f"item {number}", f"the array is broken ({error.msg})"
                    ) from error
                continue
            except RecursionError as error:
                raise self._export.broken(f"item {number}", "it is nested too deeply") from error
            # At the very end a number may go on in the next block.
            if end == len(self._text) and self._read_on(number):
                continue
            element = self._text[self._at : end]
            self._at = end
            return element.encode("utf-8")

    def _read_on(self, number: int = 0) -> bool:
        """Read more of the file, as much as is held already; False at its end."""
        if self._is_complete:
            return False
        held = len(self._text) - self._at
        if held > MAX_ITEM_BYTES:
            raise self._export.broken(f"item {number}", f"the array is broken, or {_too_long()}")
        block = self._export.content.read(max(BLOCK_BYTES, held))
        self._is_complete = not block
        try:
            self._text = self._text[self._at :] + self._decode(block, self._is_complete)
        except UnicodeDecodeError as error:
            raise self._export.broken(f"after item {number}", "the text is not UTF-8") from error
        self._at = 0
        return not self._is_complete


def _csv_rows(export: Export) -> Iterator[RawItem]:
    """Yield the rows by header, one of another width as the list of its cells."""
    csv.field_size_limit(MAX_ITEM_BYTES)
    lines = io.TextIOWrapper(export.content, encoding="utf-8", newline="")
    reader = csv.reader(lines, strict=True)
    number = 0
    last: list[str] = []
    try:
        header = next(reader)
        for cells in reader:
            if not cells:
                continue
            if number:
                yield _row(header, last)
            number += 1
            last = cells
    except (csv.Error, UnicodeDecodeError) as error:
        raise export.broken(
            f"after row {number}", f"this is neither JSON nor a CSV in UTF-8 ({error})", _WANTED
        ) from error
    finally:
        lines.detach()
    if number and len(last) < len(header):
        raise export.broken(f"row {number}", "the file breaks off in the middle of its last row")
    if number:
        yield _row(header, last)


def _row(header: list[str], cells: list[str]) -> RawItem:
    return dict(zip(header, cells, strict=True)) if len(cells) == len(header) else cells
