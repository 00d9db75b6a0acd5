from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest

from viral_platform.engine.errors import RefusedRequestError
from viral_platform.services.keys import create_key
from viral_platform.services.profiles import HandleSet, set_creator_handle
from viral_platform.settings import Settings
from viral_platform.storage import profiles, scrapes
from viral_platform.storage.database import Database
from viral_platform.storage.keys import list_keys
from viral_platform.storage.scrapes import ScrapeStart

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def key_ids(database: Database) -> list[int]:
    for number in range(4):
        create_key(database, name=f"key {number}", scopes=["predict"])
    return [record.id for record in list_keys(database)]


def put(
    database: Database, key_id: int, handle: str | None, *, at: datetime = NOW, cooldown: float = 24
) -> HandleSet:
    settings = Settings(_env_file=None, profile_cooldown_hours=cooldown)
    return set_creator_handle(settings, database, key_id, handle, now=at)


def queued(database: Database) -> list[ScrapeStart]:
    return scrapes.queued(database, 100)


def test_a_new_handle_is_stored_in_its_normal_form_and_its_scrape_is_queued(
    database: Database, key_ids: list[int]
) -> None:
    assert put(database, key_ids[0], " @Some.Cook ") == HandleSet("some.cook", "queued")
    (order,) = queued(database)
    assert order.purpose == "profile"
    assert order.input == {"profiles": ["some.cook"], "resultsPerPage": 1}
    assert order.requested_at == NOW
    found = profiles.get(database, key_ids[0])
    assert (found.creator_handle, found.changed_at) == ("some.cook", NOW)
    assert found.creator is None
    assert found.scrape == order


def test_the_same_handle_again_changes_nothing_however_late(
    database: Database, key_ids: list[int]
) -> None:
    put(database, key_ids[0], "some.cook")
    again = put(database, key_ids[0], "https://www.tiktok.com/@Some.Cook", at=NOW + 100 * HOUR)
    assert again == HandleSet("some.cook", "unchanged")
    assert profiles.get(database, key_ids[0]).changed_at == NOW
    assert len(queued(database)) == 1


def test_a_creator_is_not_scraped_again_within_the_cool_down_for_whichever_key(
    database: Database, key_ids: list[int]
) -> None:
    one, two, three, _ = key_ids
    put(database, one, "cook")
    assert put(database, two, "cook", at=NOW + 23 * HOUR).scrape == "scraped_recently"
    put(database, one, "other", at=NOW + HOUR)
    assert put(database, one, "cook", at=NOW + 2 * HOUR).scrape == "scraped_recently"
    assert [order.input["profiles"] for order in queued(database)] == [["cook"], ["other"]]
    assert put(database, three, "cook", at=NOW + 25 * HOUR).scrape == "queued"
    assert len(queued(database)) == 3


def test_without_a_cool_down_every_change_is_scraped(
    database: Database, key_ids: list[int]
) -> None:
    put(database, key_ids[0], "cook", cooldown=0)
    assert put(database, key_ids[1], "cook", at=NOW + HOUR, cooldown=0).scrape == "queued"


def test_a_refused_scrape_is_ordered_again_by_the_same_handle(
    database: Database, key_ids: list[int]
) -> None:
    put(database, key_ids[0], "cook")
    (order,) = queued(database)
    scrapes.record_failed(database, order, state="refused", problem="budget_day")
    refused = profiles.get(database, key_ids[0]).scrape
    assert refused is not None
    assert (refused.state, refused.problem) == ("refused", "budget_day")
    assert put(database, key_ids[0], "cook", at=NOW + HOUR).scrape == "queued"


def test_a_handle_can_be_taken_back(database: Database, key_ids: list[int]) -> None:
    put(database, key_ids[0], "cook")
    assert put(database, key_ids[0], None, at=NOW + HOUR) == HandleSet(None, "none")
    found = profiles.get(database, key_ids[0])
    assert (found.creator_handle, found.changed_at) == (None, NOW + HOUR)
    assert profiles.get(database, key_ids[1]).changed_at is None


def test_keys_that_name_one_creator_at_once_order_one_scrape(
    database: Database, key_ids: list[int]
) -> None:
    threads = [Thread(target=put, args=(database, key, "cook")) for key in key_ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(queued(database)) == 1
    assert {profiles.get(database, key).creator_handle for key in key_ids} == {"cook"}


def test_a_bad_handle_stores_nothing(database: Database, key_ids: list[int]) -> None:
    put(database, key_ids[0], "cook")
    with pytest.raises(RefusedRequestError, match="not_a_handle"):
        put(database, key_ids[0], "no handle")
    assert profiles.get(database, key_ids[0]).creator_handle == "cook"
