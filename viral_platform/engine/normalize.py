"""From the validated request to the content payload, and the text rules that all share.

Hashtags, handles and lengths of text have one definition, here, so that what a caption is
matched with was written the same way when it was stored. Nothing is fetched from a URL.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import takewhile

from viral_platform.engine.contracts import ContentPayload, PredictionRequest
from viral_platform.engine.errors import RefusedRequestError
from viral_platform.engine.text import WHITE_SPACE

# A longer figure in a text ("1000000 min") speaks of something other than the video.
MAX_DURATION_HINT_SECONDS = 24 * 3600

_FLAGS = re.ASCII | re.IGNORECASE
# The look-behind keeps a long run of digits from being tried again at each of its digits.
_SECONDS = re.compile(rf"(?<![0-9])([0-9]+){WHITE_SPACE}*(?:seconds?|sec|s)\b", _FLAGS)
_MINUTES = re.compile(rf"(?<![0-9])([0-9]+){WHITE_SPACE}*(?:minutes?|min)\b", _FLAGS)

_PROFILE_ADDRESS = re.compile(r"\A(?:https://)?(?:www\.|m\.)?tiktok\.com/(?=@)", _FLAGS)
_HANDLE = re.compile(r"[a-z0-9_.]{1,23}[a-z0-9_]", re.ASCII)

_AROUND_A_TAG = re.compile(r"^[#\s]+|\s+$")
_VARIATION_SELECTORS = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))


def is_word_character(character: str) -> bool:
    """Tell whether a character belongs to a word: letter, digit, '_' or combining mark.

    Every script counts. Thai or Devanagari words hold marks that have no composed form, and
    variation selectors are marks by category but only choose the look of an emoji.
    """
    if character == "_" or character.isalnum():
        return True
    is_mark = unicodedata.category(character) in {"Mn", "Mc"}
    return is_mark and character not in _VARIATION_SELECTORS


def extract_hashtags(text: str) -> tuple[str, ...]:
    """Return the hashtags of a text: lower case, without '#', unique, in order of appearance.

    A tag is '#' followed by word characters of any script; it does not begin with a mark.

    Examples
    --------
    >>> extract_hashtags("Mùa hoa #ĐàLạt #đàlạt #a-b #日本")
    ('đàlạt', 'a', '日本')
    """
    parts = unicodedata.normalize("NFC", text).split("#")[1:]
    runs = ("".join(takewhile(is_word_character, part)) for part in parts)
    tags = (
        normalize_hashtag(run) for run in runs if run and unicodedata.category(run[0])[0] != "M"
    )
    return tuple(dict.fromkeys(tag for tag in tags if tag is not None))


def normalize_hashtag(tag: str) -> str | None:
    """Return the one stored form of a hashtag, or None when nothing is left of it.

    Examples
    --------
    >>> normalize_hashtag(" #FYP ")
    'fyp'
    """
    bare = _AROUND_A_TAG.sub("", unicodedata.normalize("NFC", tag))
    return unicodedata.normalize("NFC", bare.lower()) or None


def normalize_handle(handle: str) -> str:
    """Return a creator's handle without '@' and surrounding space, in lower case.

    Examples
    --------
    >>> normalize_handle(" @Some.Creator ")
    'some.creator'
    """
    return handle.strip().lstrip("@").strip().lower()


def tiktok_handle(text: str) -> str:
    """Return the handle that a text names, in the form of `normalize_handle`.

    TikTok's own rules: 2 to 24 letters, digits, underscores and periods, no period at the end.
    The address of a profile names one too.

    Raises
    ------
    RefusedRequestError
        Code "not_a_handle".

    Examples
    --------
    >>> tiktok_handle("https://www.tiktok.com/@Some.Creator?lang=en")
    'some.creator'
    """
    handle = normalize_handle(_PROFILE_ADDRESS.sub("", text.strip()).split("?")[0])
    if not _HANDLE.fullmatch(handle):
        raise RefusedRequestError(
            "not_a_handle",
            "This is no TikTok handle.",
            "Give 2 to 24 letters, digits, underscores and periods, as @some.creator; a period "
            "may not be the last.",
        )
    return handle


def duration_hint(text: str) -> int | None:
    """Return the seconds that a text speaks of, None when it names no duration.

    The first figure in seconds wins over the first one in minutes, wherever they stand; plural
    short forms ("30 secs") are not recognised. Reference engine, normalisation.

    Examples
    --------
    >>> duration_hint("1 minute, then 15 sec of outtakes")
    15
    """
    for pattern, unit in ((_SECONDS, 1), (_MINUTES, 60)):
        if found := pattern.search(text):
            # By way of a float: an endless run of digits becomes infinite, not an error.
            seconds = float(found[1]) * unit
            return int(seconds) if seconds <= MAX_DURATION_HINT_SECONDS else None
    return None


def known_duration(stated: float | None, text: str) -> float | None:
    """Return the stated duration in seconds, else the one that the text names, else None."""
    return duration_hint(text) if stated is None else stated


def normalize(request: PredictionRequest) -> ContentPayload:
    """Return the payload that every stage reads.

    A given `duration_seconds` wins over a duration named in the text. `video_url` is the TikTok
    URL, else the storage path, whatever the input mode. Reference engine, normalisation.
    """
    text = request.content_text or ""
    tags = extract_hashtags(text)
    if request.hashtags is not None:
        tags = tuple(dict.fromkeys(filter(None, map(normalize_hashtag, request.hashtags))))
    handle = request.creator_handle
    return ContentPayload(
        content_text=text,
        content_type=request.content_type,
        input_mode=request.input_mode,
        platform=request.platform,
        video_url=request.tiktok_url or request.video_storage_path,
        hashtags=tags,
        duration_seconds=known_duration(request.duration_seconds, text),
        niche=request.niche,
        creator_handle=None if handle is None else normalize_handle(handle),
        society_id=request.society_id,
        posted_at=request.posted_at,
        sound_is_original=request.sound_is_original,
        is_text_known=request.content_text is not None,
    )
