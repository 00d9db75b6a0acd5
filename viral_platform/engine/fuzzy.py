"""How alike two strings are, and whether a text names a sound.

Names are found at the borders of words, after Unicode normalisation; a near miss is allowed
to long names only. What a match is worth is decided elsewhere.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz.distance import Jaro

from viral_platform.engine.aggregate import round_half_up
from viral_platform.engine.normalize import is_word_character

DEFAULT_THRESHOLD = 0.9

# Names of one or two letters occur in every other caption.
MIN_NAME_LETTERS = 3

# What is required of a name beyond the threshold: (fewer letters than, supplement). Measured on
# real sound names and captions: of unrelated pairs one in 450 reaches 0.9 at 4 to 7 letters, so
# those must be written out, as must single words ("Photograph" is not "photography"). Of 200,000
# longer pairs only "#summervibes" and "#lovestory" met their names; a name with one slip of the
# pen is found in 82% (8 to 11 letters), 97% (12 to 15) and 99% of cases.
_SUPPLEMENTS = ((8, 1.0), (12, 0.05), (16, 0.04))

_PREFIX_WEIGHT = 0.1
_MAX_PREFIX = 4

# Scripts written without spaces (Thai, Lao, Burmese, Khmer, kana, Han): each character is taken
# as a word, so that a name is found inside a run of them.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)
_ACCENTS = re.compile("[\u0300-\u036f]")
# Letters whose stroke is part of the letter, so that decomposition leaves it in place.
_STROKES = str.maketrans({"đ": "d", "ø": "o", "ł": "l"})


@dataclass(frozen=True, slots=True)
class FuzzyMatch:
    """`score` 0..1 with 3 decimals, 0 without a match; `matched` is decided unrounded."""

    score: float
    matched: bool


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A text ready for matching: its words once as written, once without accents.

    `words` is one string with a space on both sides of each word. `starts` maps a first letter
    to the positions in `folded` at which it stands. `has_unspaced` tells of a script without
    spaces.
    """

    words: str
    folded: tuple[str, ...]
    starts: Mapping[str, tuple[int, ...]]
    has_unspaced: bool

    @property
    def letters(self) -> int:
        """Length of the text without what separates words."""
        return len(self.words) - self.words.count(" ")


def prepare(text: str) -> PreparedText:
    """Normalise a text once, to be matched with many names.

    Compatibility forms are resolved, so that styled letters and full-width ones equal plain
    ones, and case is folded.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    characters = set(plain)
    unspaced = {c for c in characters if _UNSPACED.match(c)}
    spacing: dict[str, str | int | None] = {
        c: " " for c in characters if not is_word_character(c) or c == "_"
    }
    spacing |= {c: f" {c} " for c in unspaced}
    words = plain.translate(str.maketrans(spacing)).split()
    folded = tuple(_without_accents(" ".join(words)).split())
    starts: dict[str, list[int]] = {}
    for position, word in enumerate(folded):
        starts.setdefault(word[0], []).append(position)
    return PreparedText(
        words=f" {' '.join(words)} " if words else "",
        folded=folded,
        starts={letter: tuple(positions) for letter, positions in starts.items()},
        has_unspaced=bool(unspaced),
    )


def best_match(
    target: str, content: str | PreparedText, *, threshold: float = DEFAULT_THRESHOLD
) -> FuzzyMatch:
    """Tell whether a content names a target, and how closely.

    The words of the target standing together in the content are a match of 1. Otherwise, for
    targets of several words and at least 8 letters in scripts with spaces, runs of about as many
    words that begin with the same letter are compared by `jaro_winkler`, accents aside; below
    16 letters more than `threshold` is required. Other names must be written out, accents
    included.

    Parameters
    ----------
    target : str
        The name; case, punctuation and Unicode form do not matter.
    content : str or PreparedText
        The text to search; prepare it once when many names are looked for.
    threshold : float, default 0.9
        Similarity required of a long name, in [0, 1].

    Examples
    --------
    >>> best_match("Old Quarter", "old quater walk")
    FuzzyMatch(score=0.952, matched=True)
    >>> best_match("ed", "the red door")
    FuzzyMatch(score=0.0, matched=False)
    """
    name = _prepare_name(target)
    text = content if isinstance(content, PreparedText) else prepare(content)
    if name.letters < MIN_NAME_LETTERS:
        return FuzzyMatch(0.0, matched=False)
    if name.words in text.words:
        return FuzzyMatch(1.0, matched=True)
    required = required_similarity(name, threshold)
    if required is None:
        return FuzzyMatch(0.0, matched=False)
    near = [score for score in _near_similarities(name, text, required) if score >= required]
    return FuzzyMatch(round_half_up(max(near, default=0.0), 3), matched=bool(near))


def required_similarity(name: PreparedText, threshold: float) -> float | None:
    """Return the similarity at which a near miss names the target, None when none does."""
    required = threshold + next((more for below, more in _SUPPLEMENTS if name.letters < below), 0)
    if name.has_unspaced or len(name.folded) == 1 or required > 1:
        return None
    return required


def jaro_winkler(a: str, b: str) -> float:
    """Return the Jaro-Winkler similarity of two strings, case aside, in [0, 1].

    The prefix counts always, also below a Jaro similarity of 0.7, by 0.1 a character up to
    four. Half-transpositions are not rounded down and characters are UTF-16 units: both as in
    the replaced system, and both unlike rapidfuzz, which differs by up to 0.06 when their number
    is odd. Reference engine, fuzzy matching.

    Examples
    --------
    >>> round(jaro_winkler("martha", "MARHTA"), 4)
    0.9611
    """
    return _similarity(_utf16_units(a.lower()), _utf16_units(b.lower()))


_prepare_name = lru_cache(maxsize=1024)(prepare)  # the same few sounds meet every caption


def _near_similarities(name: PreparedText, text: PreparedText, required: float) -> Iterator[float]:
    """Yield the similarity of each run of words that can reach what is required."""
    wanted = " ".join(name.folded)
    count = len(name.folded)
    for start in text.starts.get(wanted[:1], ()):
        for size in range(max(1, count - 1), count + 2):
            run = " ".join(text.folded[start : start + size])
            yield near_similarity(wanted, run, required)


def jaro_cutoff(required: float) -> float:
    """Return the Jaro similarity below which no prefix lifts a pair to what is required."""
    share_of_prefix = _PREFIX_WEIGHT * _MAX_PREFIX
    return max(0.0, (required - share_of_prefix) / (1 - share_of_prefix) - 1e-9)


def near_similarity(wanted: str, run: str, required: float) -> float:
    """Return the similarity of two folded strings, 0 when it cannot reach what is required."""
    # rapidfuzz rounds half-transpositions down, so its Jaro is never below the exact one and
    # rules candidates out in compiled code.
    if Jaro.similarity(wanted, run, score_cutoff=jaro_cutoff(required)) > 0:
        return _similarity(wanted, run)
    return 0.0


def _similarity(a: str, b: str) -> float:
    if a == b:
        return 1.0
    matched_a, matched_b = _matched_characters(a, b)
    matches = len(matched_a)
    if matches == 0:
        return 0.0
    out_of_order = sum(x != y for x, y in zip(matched_a, matched_b, strict=True))
    jaro = (matches / len(a) + matches / len(b) + (matches - out_of_order / 2) / matches) / 3
    prefix = 0
    for x, y in zip(a[:_MAX_PREFIX], b[:_MAX_PREFIX], strict=False):
        if x != y:
            break
        prefix += 1
    return jaro + _PREFIX_WEIGHT * prefix * (1 - jaro)


def _matched_characters(a: str, b: str) -> tuple[list[str], list[str]]:
    """Pair each character of `a` with the first free equal one of `b` near its position."""
    reach = max(0, max(len(a), len(b)) // 2 - 1)
    taken = [False] * len(b)
    matched_a: list[str] = []
    for position, character in enumerate(a):
        end = min(len(b), position + reach + 1)
        for other in range(max(0, position - reach), end):
            if not taken[other] and b[other] == character:
                taken[other] = True
                matched_a.append(character)
                break
    return matched_a, [character for character, used in zip(b, taken, strict=True) if used]


def _utf16_units(text: str) -> str:
    if not text or max(text) <= "\uffff":
        return text
    data = text.encode("utf-16-le", "surrogatepass")
    units = (data[i] | data[i + 1] << 8 for i in range(0, len(data), 2))
    return "".join(map(chr, units))


def _without_accents(text: str) -> str:
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", text)).translate(_STROKES)
    return unicodedata.normalize("NFC", bare)
