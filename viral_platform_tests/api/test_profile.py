from __future__ import annotations

from typing import Any

import pytest

from viral_platform.storage import scrapes


def test_a_handle_is_answered_at_once_though_nothing_can_be_scraped(own_api: Any) -> None:
    client = own_api.client("predict")
    response = client.put("/v1/profile", json={"creator_handle": "@Some.Cook"})
    assert response.status_code == 200
    assert response.json() == {"creator_handle": "some.cook", "scrape": "queued"}
    (order,) = scrapes.queued(own_api.database, 5)
    assert order.input["profiles"] == ["some.cook"]

    read = client.get("/v1/profile").json()
    assert (read["creator_handle"], read["creator"]) == ("some.cook", None)
    assert read["scrape"]["state"] == "queued"
    assert client.put("/v1/profile", json={"creator_handle": "some.cook"}).json() == {
        "creator_handle": "some.cook",
        "scrape": "unchanged",
    }


def test_what_a_crawl_tells_of_the_creator_is_read(own_api: Any) -> None:
    client = own_api.client("predict", "read")
    client.put("/v1/profile", json={"creator_handle": "cook"})
    with own_api.database.connect() as connection:
        connection.execute(
            """
            insert into app.creator_profiles (
                platform, handle, followers, is_simulated, crawled_at
            )
            values ('tiktok', 'cook', 1200, false, '2026-11-20T12:00:00Z')
            """
        )
    creator = client.get("/v1/profile").json()["creator"]
    assert (creator["handle"], creator["followers"]) == ("cook", 1200)
    assert (creator["hearts"], creator["crawled_at"]) == (None, "2026-11-20T12:00:00Z")


def test_a_profile_is_the_key_s_own_and_may_be_taken_back(own_api: Any) -> None:
    mine, theirs = own_api.client("predict"), own_api.client("read")
    mine.put("/v1/profile", json={"creator_handle": "cook"})
    nothing = {"creator_handle": None, "changed_at": None, "creator": None, "scrape": None}
    assert theirs.get("/v1/profile").json() == nothing
    taken = mine.put("/v1/profile", json={"creator_handle": None})
    assert taken.json() == {"creator_handle": None, "scrape": "none"}
    assert mine.get("/v1/profile").json()["creator_handle"] is None


@pytest.mark.parametrize(
    "handle", ["", "a", "two words", "dot.", "x" * 25, "ünïcode", "a/b", "nul\x00", "a@b"]
)
def test_a_bad_handle_is_refused_with_a_code(api: Any, handle: str) -> None:
    response = api.client("predict").put("/v1/profile", json={"creator_handle": handle})
    assert (response.status_code, response.json()["code"]) == (422, "not_a_handle")
    assert response.json()["fix"]


@pytest.mark.parametrize("body", [{}, {"creator_handle": 7}, {"handle": "cook"}])
def test_another_body_is_refused(api: Any, body: dict[str, Any]) -> None:
    response = api.client("predict").put("/v1/profile", json=body)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


def test_the_scope_read_may_read_and_not_set(api: Any) -> None:
    client = api.client("read")
    assert client.get("/v1/profile").status_code == 200
    refused = client.put("/v1/profile", json={"creator_handle": "cook"})
    assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope")
