"""Messages that a person or a file gives to a command, validated with a clear refusal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from viral_platform.engine.contracts import StrictModel
from viral_platform.engine.errors import InputError, UnreadableFileError

Message = TypeVar("Message", bound=StrictModel)


def parse(kind: type[Message], fields: object, where: str) -> Message:
    """Return `fields` as a message.

    Raises
    ------
    InputError
        It does not validate; names the place, the fields and what is wrong with each.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'the whole'}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        )
        raise InputError(f"{where} cannot be used: {problems}.") from None


def parse_json(text: str, where: str) -> object:
    """Return decoded JSON.

    Raises
    ------
    InputError
        It is not JSON; names the place.
    """
    try:
        decoded: object = json.loads(text)
    except ValueError as error:
        raise InputError(f"{where} is not JSON: {error}.") from None
    return decoded


def parse_instant(text: str, where: str) -> datetime:
    """Return an ISO time; without a zone it is UTC.

    Raises
    ------
    InputError
        It is not an ISO time; names the place.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{where} is {text}; it must read 2026-01-31T18:00:00+00:00.") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def read_json_lines(kind: type[Message], path: Path) -> Iterator[Message]:
    """Yield the messages of a JSON Lines file; blank lines are passed over.

    Raises
    ------
    UnreadableFileError
        The file cannot be read.
    InputError
        A line is not JSON or does not validate; names the line.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    where = f"{path}, line {number}"
                    yield parse(kind, parse_json(line, where), where)
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFileError(
            path, "as a whole", f"it cannot be read ({type(error).__name__})", "Check the path."
        ) from error
