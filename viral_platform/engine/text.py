"""Measures of text that requests, rules and training share."""

from __future__ import annotations


def utf16_length(text: str) -> int:
    """Return the length in UTF-16 units, as the replaced system counts: an emoji counts two.

    >>> utf16_length("a😀")
    3
    """
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
