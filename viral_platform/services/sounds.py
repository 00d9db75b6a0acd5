"""Finding which sounds the crawled names are; each name is looked at once, when it is new.

How names are compared is in `engine/sounds.py`; the marts read the result.
"""

from __future__ import annotations

from dataclasses import dataclass

from viral_platform.engine.sounds import block_of, identify
from viral_platform.storage import sounds
from viral_platform.storage.database import Database
from viral_platform.storage.sounds import IdentityCounts

_NAMES_AT_A_TIME = 10_000


@dataclass(frozen=True, slots=True)
class IdentifiedSounds:
    """How many names were new, and what all of them come to."""

    new: int
    totals: IdentityCounts


def identify_sounds(database: Database) -> IdentifiedSounds:
    """Identify the names of stored videos that are new, some thousands in a transaction."""
    new = 0
    while True:
        with database.engine.begin() as connection:
            sounds.lock(connection)
            names = sounds.new_names(connection, _NAMES_AT_A_TIME)
            if names:
                blocks = {block_of(name.sound_author) for name in names}
                known = sounds.in_blocks(connection, sorted(blocks))
                sounds.store(connection, identify(known, names))
        if not names:
            return IdentifiedSounds(new, sounds.counts(database))
        new += len(names)
