"""Take secrets out of text before it leaves the process."""

from __future__ import annotations

import re

MASK = "[scrubbed]"

_URL_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):([^@/\s]+)@")
_BEARER = re.compile(r"(?i)\b(bearer)\s+[\w.~+/=-]+")
_ASSIGNED = re.compile(
    r"(?i)\b([\w-]*(?:token|secret|password|passwd|api_?key|dsn)[\w-]*)(\s*[=:]\s*|['\"]\s*:\s*['\"]?)"
    r"[^\s&'\",;]+"
)


def scrub_text(text: str) -> str:
    """Return `text` with URL passwords, bearer tokens and named secrets masked.

    >>> scrub_text("postgresql://viral:hunter2@db/viral")
    'postgresql://viral:[scrubbed]@db/viral'
    >>> scrub_text("GET /v2/acts?token=abc123&limit=5")
    'GET /v2/acts?token=[scrubbed]&limit=5'
    """
    text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
    text = _BEARER.sub(rf"\1 {MASK}", text)
    return _ASSIGNED.sub(rf"\1\2{MASK}", text)
