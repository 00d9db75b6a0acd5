from __future__ import annotations

from typing import Any


def test_a_creator_is_watched_listed_and_watched_no_more(own_api: Any) -> None:
    client = own_api.client("admin")
    for _ in range(2):
        added = client.put("/v1/competitors/@Some.Cook")
        assert (added.status_code, added.json()) == (200, {"handle": "some.cook"})
    with own_api.database.connect() as connection:
        connection.execute(
            """
            insert into app.competitor_snapshots (
                handle, crawled_at, followers, videos_seen, views, is_simulated
            )
            values ('some.cook', '2026-11-20T06:00:00Z', 1200, 3, 900, false)
            """
        )
    (one,) = own_api.client("read").get("/v1/competitors").json()
    assert (one["handle"], one["followers"], one["views"]) == ("some.cook", 1200, 900)
    # The mart was never built here.
    assert (one["views_per_video"], one["followers_gained"]) == (None, None)

    gone = client.delete("/v1/competitors/some.cook")
    assert (gone.status_code, gone.content) == (204, b"")
    assert client.get("/v1/competitors").json() == []
    again = client.delete("/v1/competitors/some.cook")
    assert (again.status_code, again.json()["code"]) == (404, "competitor_not_found")


def test_a_bad_handle_is_refused(api: Any) -> None:
    response = api.client("admin").put("/v1/competitors/no%20handle")
    assert (response.status_code, response.json()["code"]) == (422, "not_a_handle")


def test_who_is_watched_is_changed_by_admins_alone(api: Any) -> None:
    client = api.client("read", "predict", "ingest")
    for method in ("put", "delete"):
        refused = getattr(client, method)("/v1/competitors/cook")
        assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope")
    assert api.client("predict").get("/v1/competitors").status_code == 403
