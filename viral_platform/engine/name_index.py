"""Many names looked for in one text at once, with the same answers as `fuzzy.best_match`.

Written-out names are found by look-up of the text's runs of words; near misses are compared only
where length and letters leave a chance. Building the index is the dear part: keep it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from viral_platform.engine.aggregate import round_half_up
from viral_platform.engine.fuzzy import (
    DEFAULT_THRESHOLD,
    MIN_NAME_LETTERS,
    FuzzyMatch,
    PreparedText,
    jaro_cutoff,
    near_similarity,
    prepare,
    required_similarity,
)

_LETTER_BITS = 64


@dataclass(frozen=True)
class _Block:
    """Names that begin with one letter; all arrays of shape (n,)."""

    positions: list[int]
    folded: list[str]
    required: list[float]
    words: NDArray[np.int64]
    lengths: NDArray[np.int64]
    letters: NDArray[np.uint64]
    # 3 c - 1 of the least Jaro similarity c that can still reach what is required.
    floors: NDArray[np.float64]


class NameIndex:
    """An index over names, which are known by their position.

    Parameters
    ----------
    names : sequence of str
        Case, punctuation and Unicode form do not matter.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._written: dict[str, list[int]] = {}
        self._counts: set[int] = set()
        blocks: dict[str, list[tuple[int, str, float]]] = {}
        for position, name in enumerate(names):
            prepared = prepare(name)
            if prepared.letters < MIN_NAME_LETTERS:
                continue
            bare = prepared.words[1:-1]
            self._written.setdefault(bare, []).append(position)
            self._counts.add(bare.count(" ") + 1)
            required = required_similarity(prepared, DEFAULT_THRESHOLD)
            if required is not None:
                folded = " ".join(prepared.folded)
                blocks.setdefault(folded[0], []).append((position, folded, required))
        self._blocks = {letter: _block(entries) for letter, entries in blocks.items()}

    def find(self, text: PreparedText) -> dict[int, FuzzyMatch]:
        """Return the match of each name that the text names, by its position in order."""
        found = dict.fromkeys(self._written_out(text), FuzzyMatch(1.0, matched=True))
        near: dict[int, float] = {}
        for position, similarity in self._near(text):
            if position not in found:
                near[position] = max(similarity, near.get(position, 0.0))
        for position, similarity in near.items():
            found[position] = FuzzyMatch(round_half_up(similarity, 3), matched=True)
        return dict(sorted(found.items()))

    def _written_out(self, text: PreparedText) -> Iterator[int]:
        words = text.words.split()
        for count in self._counts:
            for start in range(len(words) - count + 1):
                yield from self._written.get(" ".join(words[start : start + count]), ())

    def _near(self, text: PreparedText) -> Iterator[tuple[int, float]]:
        for letter, starts in text.starts.items():
            block = self._blocks.get(letter)
            if block is not None:
                most = int(block.words.max()) + 1
                runs = {
                    " ".join(text.folded[start : start + size]): size
                    for start in starts
                    for size in range(1, min(most, len(text.folded) - start) + 1)
                }
                yield from _alike(block, runs)


def _block(entries: list[tuple[int, str, float]]) -> _Block:
    positions, folded, required = (list(column) for column in zip(*entries, strict=True))
    return _Block(
        positions=positions,
        folded=folded,
        required=required,
        words=np.array([name.count(" ") + 1 for name in folded]),
        lengths=np.array([len(name) for name in folded]),
        letters=np.array([_letters(name) for name in folded], dtype=np.uint64),
        floors=3 * np.array([jaro_cutoff(one) for one in required]) - 1,
    )


def _letters(text: str) -> int:
    """Return the set of characters as bits; characters may share one."""
    bits = 0
    for character in set(text):
        bits |= 1 << (ord(character) % _LETTER_BITS)
    return bits


def _alike(block: _Block, runs: Mapping[str, int]) -> Iterator[tuple[int, float]]:
    """Yield the names that a run of words, given with their number, is near enough to.

    A Jaro similarity of c needs m matching characters with m / |a| + m / |b| >= 3 c - 1. What does
    not match lies in |a| + |b| - 2 m characters, so no more letters than that are on one side only.
    """
    texts = list(runs)
    sizes = np.array(list(runs.values()))[:, None]
    lengths = np.array([len(run) for run in texts])[:, None]
    letters = np.array([_letters(run) for run in texts], dtype=np.uint64)[:, None]
    total = block.lengths + lengths
    matching = block.floors * (block.lengths * lengths) / total
    chance = (
        (np.abs(block.words - sizes) <= 1)
        & (matching <= np.minimum(block.lengths, lengths))
        & (np.bitwise_count(block.letters ^ letters) <= total - 2 * matching)
    )
    for run, name in np.argwhere(chance).tolist():
        required = block.required[name]
        similarity = near_similarity(block.folded[name], texts[run], required)
        if similarity >= required:
            yield block.positions[name], similarity
