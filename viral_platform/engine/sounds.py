"""Which sound a video uses: by the platform's id first, then by names that are nearly the same.

A name without an id is compared within its block only: the same author, as far as one is named,
and the same first letter. Ids are never merged with each other. Generic names are no sound.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from rapidfuzz import process
from rapidfuzz.distance import Jaro

from viral_platform.engine.fuzzy import (
    DEFAULT_THRESHOLD,
    PreparedText,
    jaro_cutoff,
    near_similarity,
    prepare,
    required_similarity,
)

# The same list as in the dbt project's macro `is_generic_sound_name`; a test holds them equal.
GENERIC_NAMES = (
    *("original sound", "original audio", "original music", "nhạc nền", "âm thanh gốc"),
    *("sonido original", "som original", "son original", "suono originale", "suara asli"),
    *("bunyi asal", "origineel geluid", "original ton", "originalton", "originalljud"),
    *("original lyd", "orijinal ses", "oryginalny dźwięk", "оригинальный звук"),
    *("оригінальний звук", "الصوت الأصلي", "เสียงต้นฉบับ", "オリジナル楽曲", "原聲", "原声"),
    "오리지널 사운드",
)
_GENERIC = re.compile(f"({'|'.join(GENERIC_NAMES)})( ?[-–—].*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SoundName:
    """A sound as a crawl names it; what is unknown is empty."""

    sound_id: str
    sound_name: str
    sound_author: str


@dataclass(frozen=True, slots=True)
class SoundIdentity:
    """What a name was found to be.

    `sound_key` is the id, or `name:` and the first title, in order, of the names that are one
    sound; None for a generic name without an id. `block` is the author in normal form, None for
    a generic name, which is never compared. `title` is that first title, None with an id.
    `linked_ids` are the ids of the sounds that a name without an id is nearly the same as.
    """

    name: SoundName
    sound_key: str | None
    block: str | None = None
    title: str | None = None
    linked_ids: tuple[str, ...] = ()


def normalized_name(name: str) -> str:
    """Return a sound's name in the form of its key: NFC, lower case, single spaces."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", name).strip()).lower()


def is_generic(name: str) -> bool:
    """Tell whether a name says only that the sound is the post's own.

    Examples
    --------
    >>> is_generic("Original Sound - some.author"), is_generic("Original Sin")
    (True, False)
    """
    return _GENERIC.fullmatch(normalized_name(name)) is not None


def block_of(author: str) -> str:
    """Return the block of an author's sounds: the author without case, accents, punctuation."""
    return " ".join(prepare(author).folded)


def identify(known: Iterable[SoundIdentity], new: Iterable[SoundName]) -> list[SoundIdentity]:
    """Find which sounds new names are; names that are known are not compared with each other.

    Two names of a block are one sound when their titles are equal as words, or hold the same
    numbers and are near enough for a caption to name the sound by it
    (`fuzzy.required_similarity`, the stricter of both). Names
    without an id form groups by that; a group that meets just one id is that sound, else it is
    a sound of its own. The result does not depend on the order in which names become known.

    Parameters
    ----------
    known : iterable of SoundIdentity
        All in the blocks of the new names.
    new : iterable of SoundName
        None of them known.

    Returns
    -------
    list of SoundIdentity
        The new ones, and the known ones that the new ones changed.
    """
    fresh = [_alone(name) for name in new]
    blocks: dict[str, _Block] = defaultdict(_Block)
    for identity in known:
        if identity.block is not None:
            blocks[identity.block].add(identity)
    for identity in fresh:
        if identity.block is not None:
            blocks[identity.block].compare(identity)
            blocks[identity.block].add(identity)
    changed = [identity for block in blocks.values() for identity in block.changed()]
    rewritten = {identity.name for identity in changed}
    return [*changed, *(identity for identity in fresh if identity.name not in rewritten)]


def _alone(name: SoundName) -> SoundIdentity:
    if is_generic(name.sound_name) or not normalized_name(name.sound_name):
        return SoundIdentity(name, name.sound_id or None)
    block = block_of(name.sound_author)
    if name.sound_id:
        return SoundIdentity(name, name.sound_id, block)
    title = normalized_name(name.sound_name)
    return SoundIdentity(name, _key(title, block), block, title)


def _key(title: str, block: str) -> str:
    return f"name:{title} by {block}" if block else f"name:{title}"


class _Block:
    """The names of one author, with the groups that those without an id form."""

    def __init__(self) -> None:
        self._members: list[SoundIdentity] = []
        self._prepared: list[PreparedText] = []
        self._written: dict[str, list[int]] = defaultdict(list)
        self._by_letter: dict[str, tuple[list[str], list[int]]] = defaultdict(lambda: ([], []))
        self._first_title: dict[str, str] = {}
        self._linked: dict[int, set[str]] = defaultdict(set)

    def add(self, identity: SoundIdentity) -> None:
        """Take in a name; what it is the same as was found before."""
        position, prepared = len(self._members), prepare(identity.name.sound_name)
        self._members.append(identity)
        self._prepared.append(prepared)
        self._written[_words(prepared, identity.name)].append(position)
        if prepared.folded:
            texts, positions = self._by_letter[prepared.folded[0][0]]
            texts.append(" ".join(prepared.folded))
            positions.append(position)
        if identity.title is not None:
            self._join(normalized_name(identity.name.sound_name), identity.title)
            self._linked[position].update(identity.linked_ids)

    def compare(self, identity: SoundIdentity) -> None:
        """Join a name that is about to be added with those that it is the same as."""
        position = len(self._members)
        for other in set(self._alike(identity.name)):
            found = self._members[other]
            if identity.title is not None and found.title is not None:
                self._join(identity.title, normalized_name(found.name.sound_name))
            elif identity.title is not None:
                self._linked[position].add(found.name.sound_id)
            elif found.title is not None:
                self._linked[other].add(identity.name.sound_id)

    def changed(self) -> Iterator[SoundIdentity]:
        """Yield the names without an id whose group, links or key are no longer what they were."""
        ids: dict[str, set[str]] = defaultdict(set)
        for position, member in enumerate(self._members):
            if member.title is not None:
                ids[self._group(normalized_name(member.name.sound_name))] |= self._linked[position]
        for position, member in enumerate(self._members):
            if member.title is None or member.block is None:
                continue
            group = self._group(normalized_name(member.name.sound_name))
            is_one = len(ids[group]) == 1
            now = replace(
                member,
                sound_key=next(iter(ids[group])) if is_one else _key(group, member.block),
                title=group,
                linked_ids=tuple(sorted(self._linked[position])),
            )
            if now != member:
                yield now

    def _alike(self, name: SoundName) -> Iterator[int]:
        prepared = prepare(name.sound_name)
        yield from self._written.get(_words(prepared, name), ())
        required = required_similarity(prepared, DEFAULT_THRESHOLD) if prepared.folded else None
        if required is None:
            return
        wanted = " ".join(prepared.folded)
        texts, positions = self._by_letter[wanted[0]]
        for text, _, index in process.extract(
            wanted,
            texts,
            scorer=Jaro.similarity,
            score_cutoff=jaro_cutoff(required),
            limit=None,
        ):
            other = required_similarity(self._prepared[positions[index]], DEFAULT_THRESHOLD)
            # The similarity itself depends on the order of the two.
            first, second = sorted((wanted, text))
            stricter = None if other is None else max(required, other)
            if (
                stricter is not None
                and _numbers(wanted) == _numbers(text)
                and near_similarity(first, second, stricter) >= stricter
            ):
                yield positions[index]

    def _group(self, title: str) -> str:
        while (first := self._first_title.setdefault(title, title)) != title:
            title = first
        return title

    def _join(self, one: str, other: str) -> None:
        first, second = sorted((self._group(one), self._group(other)))
        self._first_title[second] = first


def _numbers(title: str) -> list[str]:
    """Return the numbers of a title: the first part of a song is not its second."""
    return re.findall(r"\d+", title)


def _words(prepared: PreparedText, name: SoundName) -> str:
    """Return the title as words; a title of signs alone is taken as it is written."""
    return prepared.words.strip() or normalized_name(name.sound_name)
