"""Measures of text that requests, rules and training share."""

from __future__ import annotations

from pydantic import AnyUrl, TypeAdapter, ValidationError

_ANY_URL = TypeAdapter(AnyUrl)

# White space as the replaced system knows it: Python's `\s` and `strip` differ at both ends.
BLANKS = "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)
WHITE_SPACE = f"[{BLANKS}]"


def utf16_length(text: str) -> int:
    """Return the length in UTF-16 units, as the replaced system counts: an emoji counts two.

    >>> utf16_length("a😀")
    3
    """
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def is_url(text: str) -> bool:
    """Return whether a text is a URL of any scheme.

    >>> is_url("https://www.tiktok.com/@a"), is_url("tiktok")
    (True, False)
    """
    try:
        _ANY_URL.validate_python(text)
    except ValidationError:
        return False
    return True
