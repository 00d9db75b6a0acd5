from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import insert, select

from viral_platform.services.sounds import identify_sounds
from viral_platform.storage import tables
from viral_platform.storage.database import Database
from viral_platform.storage.sounds import MAX_CHARACTERS, IdentityCounts

AT = datetime(2026, 3, 10, 12, tzinfo=UTC)


def add_video(
    database: Database, sound_id: str | None, sound_name: str | None, sound_author: str | None
) -> None:
    with database.engine.begin() as connection:
        number = len(connection.execute(select(tables.scraped_videos.c.id)).all())
        connection.execute(
            insert(tables.scraped_videos).values(
                platform="tiktok",
                platform_video_id=str(number),
                caption="",
                posted_at=AT,
                hashtags=[],
                sound_id=sound_id,
                sound_name=sound_name,
                sound_author=sound_author,
                source="clockworks",
                is_simulated=False,
                crawled_at=AT,
            )
        )


def stored(database: Database) -> dict[tuple[str, str], str | None]:
    with database.engine.connect() as connection:
        rows = connection.execute(select(tables.sound_identities)).all()
    return {(row.sound_id, row.sound_name): row.sound_key for row in rows}


def test_an_installation_without_videos_has_no_names(database: Database) -> None:
    found = identify_sounds(database)
    assert (found.new, found.totals) == (0, IdentityCounts(0, 0, 0, 0))


def test_names_are_identified_once_and_new_ones_join_them(database: Database) -> None:
    add_video(database, None, " Paper Boat", "Mai")
    add_video(database, None, "Paper Boat", "Mai ")
    add_video(database, " ", "original sound - mai", None)
    add_video(database, None, " ", "Mai")
    add_video(database, None, None, None)
    assert identify_sounds(database).new == 2
    assert stored(database) == {
        ("", "Paper Boat"): "name:paper boat by mai",
        ("", "original sound - mai"): None,
    }

    add_video(database, "7", "paper boat", "mai")
    found = identify_sounds(database)
    assert (found.new, found.totals) == (1, IdentityCounts(3, 1, 1, 1))
    assert stored(database)[("", "Paper Boat")] == "7"
    assert identify_sounds(database).new == 0


def test_a_text_that_is_too_long_for_a_name_goes_by_itself(database: Database) -> None:
    add_video(database, None, "long " * MAX_CHARACTERS, "Mai")
    assert identify_sounds(database).new == 0
    assert stored(database) == {}
