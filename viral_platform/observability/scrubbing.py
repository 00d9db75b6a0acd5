"""Take secrets out of text before it leaves the process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

MASK = "[scrubbed]"

# What any of the patterns below needs: most texts of a log line have none of it.
_NEEDED = re.compile(r"(?i)://|bearer|token|secret|passw|api_?key|dsn")

_URL_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):([^@/\s]+)@")
_BEARER = re.compile(r"(?i)\b(bearer)\s+[\w.~+/=-]+")
_ASSIGNED = re.compile(
    r"(?i)\b([\w-]*(?:token|secret|password|passwd|api_?key|dsn)[\w-]*)(['\"]?\s*[=:]\s*['\"]?)"
    r"[^\s&'\",;]+"
)
_SECRET_NAME = re.compile(r"(?i)token|secret|password|passwd|api_?key|dsn|authorization|cookie")


def scrub_text(text: str) -> str:
    """Return `text` with URL passwords, bearer tokens and named secrets masked.

    >>> scrub_text("postgresql://viral:hunter2@db/viral")
    'postgresql://viral:[scrubbed]@db/viral'
    >>> scrub_text("GET /v2/acts?token=abc123&limit=5")
    'GET /v2/acts?token=[scrubbed]&limit=5'
    """
    if not _NEEDED.search(text):
        return text
    text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
    text = _BEARER.sub(rf"\1 {MASK}", text)
    return _ASSIGNED.sub(rf"\1\2{MASK}", text)


def scrub_value(value: object, *, private: frozenset[str] = frozenset()) -> object:
    """Return `value` with every text in it scrubbed, at any depth.

    What stands under a key that names a secret, or under one of `private`, is masked whole; counts
    and other numbers stay, so that `tokens=12` can be read.
    """
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, Mapping):
        return {
            key: MASK
            if _is_hidden(str(key), inner, private)
            else scrub_value(inner, private=private)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [scrub_value(inner, private=private) for inner in value]
    return value


def _is_hidden(key: str, value: object, private: frozenset[str]) -> bool:
    if value is None or isinstance(value, bool | int | float):
        return False
    return key.lower() in private or _names_secret(key)


@lru_cache(maxsize=1_024)
def _names_secret(key: str) -> bool:
    return _SECRET_NAME.search(key) is not None
