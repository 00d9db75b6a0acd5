from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

Ask = Callable[..., dict[str, Any]]
POSTED = datetime.now(UTC).replace(microsecond=0) - timedelta(days=8)
ID = str(int(POSTED.timestamp()) << 32)
URL = f"https://www.tiktok.com/@some.cook/video/{ID}"


def test_the_post_of_a_prediction_is_named_and_named_anew(own_api: Any, ask: Ask) -> None:
    client = own_api.client("predict")
    path = f"/v1/predictions/{ask(client)['id']}/post"
    named = client.put(path, json={"post": f"{URL}?is_from_webapp=1"})
    assert named.status_code == 200
    told = named.json()
    assert (told["video_id"], told["url"]) == (ID, URL)
    assert datetime.fromisoformat(told["posted_at"]) == POSTED
    by_id = client.put(path, json={"post": str(int(ID) + 1)}).json()
    assert by_id["video_id"] == str(int(ID) + 1)
    with own_api.database.connect() as connection:
        rows = connection.execute("select platform_video_id from app.predicted_posts").fetchall()
    assert rows == [(str(int(ID) + 1),)]


def test_a_post_of_a_prediction_with_its_outcome_stays(
    own_api: Any, champion: str, ask: Ask
) -> None:
    client = own_api.client("predict")
    answer = ask(client, posted_at=POSTED.isoformat())
    counts = {"views": 1000, "likes": 60, "comments": 5, "shares": 10}
    told = client.post("/v1/outcomes", json={"analysis_id": answer["id"], **counts})
    assert (told.status_code, told.json()["origin"]) == (201, "reported")
    refused = client.put(f"/v1/predictions/{answer['id']}/post", json={"post": URL})
    assert (refused.status_code, refused.json()["code"]) == (409, "outcome_exists")


def test_another_key_s_prediction_is_not_found(api: Any, ask: Ask) -> None:
    mine, theirs = api.client("predict"), api.client("predict")
    for prediction_id in (str(uuid4()), "nothing", ask(theirs)["id"]):
        response = mine.put(f"/v1/predictions/{prediction_id}/post", json={"post": URL})
        assert (response.status_code, response.json()["code"]) == (404, "prediction_not_found")


@pytest.mark.parametrize(
    ("post", "code"),
    [("https://vm.tiktok.com/ZMabcdefg/", "url_not_a_post"), ("123456", "url_not_a_post")],
)
def test_what_names_no_post_is_refused(api: Any, ask: Ask, post: str, code: str) -> None:
    client = api.client("predict")
    response = client.put(f"/v1/predictions/{ask(client)['id']}/post", json={"post": post})
    assert (response.status_code, response.json()["code"]) == (422, code)
