"""Names of sounds as crawls write them, each with the sound that it was found to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert

from viral_platform.engine.sounds import SoundIdentity, SoundName
from viral_platform.storage.database import Database
from viral_platform.storage.tables import sound_identities

# A longer text is no name, and no key of an index; it goes by itself.
MAX_CHARACTERS = 250

_LOCK = text("lock table app.sound_identities in share row exclusive mode")
_NEW_NAMES = text(
    """
    with named as (
        select distinct
            coalesce(btrim(sound_id), '') as sound_id,
            btrim(sound_name) as sound_name,
            coalesce(btrim(sound_author), '') as sound_author
        from app.scraped_videos
        where btrim(sound_name) <> ''
    )
    select named.sound_id, named.sound_name, named.sound_author
    from named
    left join app.sound_identities as known
        on
            known.sound_id = named.sound_id
            and known.sound_name = named.sound_name
            and known.sound_author = named.sound_author
    where
        known.sound_name is null
        and greatest(
            length(named.sound_id), length(named.sound_name), length(named.sound_author)
        ) <= :characters
    limit :limit
    """
)
_COUNTS = text(
    """
    select
        count(*) as names,
        count(distinct sound_key) as sounds,
        count(*) filter (where sound_id = '' and sound_key is not null) as without_id,
        count(*) filter (where sound_id = '' and sound_key not like 'name:%') as found_by_name
    from app.sound_identities
    """
)


@dataclass(frozen=True, slots=True)
class IdentityCounts:
    """Distinct names, the sounds that they are, names without an id, those that got one's key."""

    names: int
    sounds: int
    without_id: int
    found_by_name: int


def lock(connection: Connection) -> None:
    """Keep others from identifying names until the transaction ends."""
    connection.execute(_LOCK)


def new_names(connection: Connection, limit: int) -> list[SoundName]:
    """Return up to `limit` names of stored videos that were not identified yet."""
    found = connection.execute(_NEW_NAMES, {"limit": limit, "characters": MAX_CHARACTERS})
    return [SoundName(**row) for row in found.mappings()]


def in_blocks(connection: Connection, blocks: Sequence[str]) -> list[SoundIdentity]:
    """Return what is known of the names in some blocks."""
    query = select(sound_identities).where(sound_identities.c.block.in_(blocks))
    return [
        SoundIdentity(
            name=SoundName(row.sound_id, row.sound_name, row.sound_author),
            sound_key=row.sound_key,
            block=row.block,
            title=row.title,
            linked_ids=tuple(row.linked_ids),
        )
        for row in connection.execute(query)
    ]


def store(connection: Connection, identities: Sequence[SoundIdentity]) -> None:
    """Store identities by name, new or changed."""
    statement = insert(sound_identities)
    changed = ("sound_key", "title", "linked_ids")
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["sound_id", "sound_name", "sound_author"],
            set_={column: statement.excluded[column] for column in changed},
        ),
        [
            {
                "sound_id": identity.name.sound_id,
                "sound_name": identity.name.sound_name,
                "sound_author": identity.name.sound_author,
                "sound_key": identity.sound_key,
                "block": identity.block,
                "title": identity.title,
                "linked_ids": list(identity.linked_ids),
            }
            for identity in identities
        ],
    )


def counts(database: Database) -> IdentityCounts:
    """Return how many names there are, and how many sounds."""
    with database.engine.connect() as connection:
        return IdentityCounts(**connection.execute(_COUNTS).mappings().one())
