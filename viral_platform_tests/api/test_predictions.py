from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from viral_platform.engine.contracts import PredictionAnswer
from viral_platform.storage.database import Database

Ask = Callable[..., dict[str, Any]]

POST = "https://www.tiktok.com/@a/video/7301234567890123456"
CANARY = "zebra-on-the-moon"


def post(client: httpx.Client, document: object) -> httpx.Response:
    return client.post("/v1/predictions", json=document)


def paths(response: httpx.Response) -> list[str]:
    return [error["path"] for error in response.json()["errors"]]


def test_an_answer_is_read_again_as_it_was_given(api: Any, ask: Ask) -> None:
    client = api.client("predict", "read")
    answer = ask(client)
    PredictionAnswer.model_validate(answer)
    assert answer["stored"]
    again = client.get(f"/v1/predictions/{answer['id']}")
    assert (again.status_code, again.json()) == (200, answer)


def test_a_post_is_asked_for_by_its_url(api: Any) -> None:
    response = post(api.client("predict"), {"input_mode": "tiktok_url", "tiktok_url": POST})
    assert response.status_code == 200
    assert response.json()["input_mode"] == "tiktok_url"


def test_a_null_field_counts_as_absent(api: Any, ask: Ask) -> None:
    optional = ["input_mode", "content_type", "platform", "niche", "posted_at", "explain"]
    answer = ask(api.client("predict"), **dict.fromkeys(optional), video_storage_path=None)
    assert answer["input_mode"] == "text"


def test_characters_that_the_database_cannot_hold_do_not_break_an_answer(
    api: Any, ask: Ask
) -> None:
    assert ask(api.client("predict"), "Wait for it\x00: a knife skill", niche="a\x00b")["stored"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"content_txt": CANARY}, "content_txt"),
        ({f"{CANARY} é": None}, "?"),
        ({"input_mode": CANARY}, "input_mode"),
        ({"input_mode": "video_upload"}, "input_mode"),
        ({"video_storage_path": f"/etc/{CANARY}"}, "video_storage_path"),
        ({"posted_at": CANARY}, "posted_at"),
        ({"posted_at": "2026-03-01T18:00:00"}, "posted_at"),
        ({"duration_seconds": -1}, "duration_seconds"),
        ({"hashtags": ["fine", {"tag": CANARY}]}, "hashtags.1"),
        ({"hashtags": ["x"] * 101}, "hashtags"),
        ({"niche": CANARY * 100}, "niche"),
        ({"snapshot": {"age_hours": 5, "views": 0}}, "snapshot.views"),
        ({"content_text": CANARY * 1000}, "content_text"),
        ({"content_text": None}, ""),
        ({"content_text": [CANARY]}, "content_text"),
    ],
)
def test_a_field_that_does_not_validate_is_named_and_not_echoed(
    api: Any, fields: dict[str, Any], path: str
) -> None:
    response = post(api.client("predict"), {"content_text": "a text long enough", **fields})
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "invalid_request"
    assert path in paths(response)
    assert CANARY not in response.text


@pytest.mark.parametrize("document", [[], "text", 7, True], ids=repr)
def test_a_document_that_is_no_object_is_refused(api: Any, document: object) -> None:
    response = post(api.client("predict"), document)
    assert (response.status_code, paths(response)) == (422, [""])
    assert "Body" not in response.text


@pytest.mark.parametrize(
    ("text", "code"),
    [("too short", "text_too_short"), (f"{'a' * 95}bcde", "text_repeats")],
)
def test_a_content_that_breaks_a_rule_is_refused_with_its_code_and_fix(
    api: Any, text: str, code: str
) -> None:
    response = post(api.client("predict"), {"content_text": text})
    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, code)
    assert problem["fix"]
    assert text not in response.text


def test_a_url_of_another_site_is_refused_with_its_code(api: Any) -> None:
    document = {"input_mode": "tiktok_url", "tiktok_url": "https://example.org/video/1"}
    problem = post(api.client("predict"), document).json()
    assert (problem["status"], problem["code"]) == (422, "url_host")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"content_text": "a text long enough"',
        b'{"duration_seconds": NaN}',
        b'{"content_text": "\\ud800"}',
        b'{"content_text": "\xff\xfe"}',
        b"[" * 5000,
        b"1" * 5000,
    ],
    ids=["empty", "open", "cut", "nan", "surrogate", "bytes", "deep", "long-number"],
)
def test_a_body_that_is_no_json_is_refused(api: Any, body: bytes) -> None:
    response = api.client("predict").post(
        "/v1/predictions", content=body, headers={"Content-Type": "application/json"}
    )
    assert (response.status_code, response.json()["code"]) == (400, "malformed_json")


@pytest.mark.parametrize("media_type", [None, "text/plain", "multipart/form-data; boundary=x"])
def test_a_body_of_another_media_type_is_refused(api: Any, media_type: str | None) -> None:
    headers = {} if media_type is None else {"Content-Type": media_type}
    response = api.client("predict").post("/v1/predictions", content=b"{}", headers=headers)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


def test_json_with_a_charset_or_a_suffix_is_taken(api: Any) -> None:
    for media_type in ("application/json; charset=utf-8", "application/vnd.viral+json"):
        response = api.client("predict").post(
            "/v1/predictions",
            content=b'{"content_text": "a text long enough"}',
            headers={"Content-Type": media_type},
        )
        assert response.status_code == 200


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_body_above_one_mebibyte_is_refused(api: Any, *, is_declared: bool) -> None:
    body = b'{"content_text": "' + b"x" * 1024 * 1024 + b'"}'
    content = body if is_declared else iter([body[:5000], body[5000:]])
    response = api.client("predict").post(
        "/v1/predictions", content=content, headers={"Content-Type": "application/json"}
    )
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


def test_an_answer_that_cannot_be_stored_is_given_and_says_so(
    own_api: Any, database: Database, ask: Ask
) -> None:
    client = own_api.client("predict")
    with database.connect() as connection:
        connection.execute("alter table app.analysis_results rename column answer to reply")
    answer = ask(client)
    assert not answer["stored"]
    assert answer["degraded"]


def test_pages_hold_every_answer_once_the_newest_first(api: Any, ask: Ask) -> None:
    client = api.client("predict", "read")
    given = [ask(client)["id"] for _ in range(5)]
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    for size in (2, 2, 1):
        page = client.get("/v1/predictions", params=query).json()
        assert (len(page["data"]), page["has_more"]) == (size, size == 2)
        seen += [answer["id"] for answer in page["data"]]
        query["cursor"] = page["next_cursor"]
    assert seen == given[::-1]
    assert query["cursor"] is None


def test_a_page_that_is_exactly_full_is_the_last_one(api: Any, ask: Ask) -> None:
    client = api.client("predict", "read")
    ask(client)
    page = client.get("/v1/predictions?limit=1").json()
    assert (page["has_more"], page["next_cursor"]) == (False, None)


def test_answers_of_another_key_are_neither_listed_nor_read(api: Any, ask: Ask) -> None:
    first, second = api.client("predict", "read"), api.client("predict", "read")
    answer = ask(first)
    assert second.get("/v1/predictions").json()["data"] == []
    response = second.get(f"/v1/predictions/{answer['id']}")
    assert (response.status_code, response.json()["code"]) == (404, "prediction_not_found")


def test_a_key_with_the_scope_admin_sees_the_answers_of_all(api: Any, ask: Ask) -> None:
    ids = {ask(api.client("predict"))["id"] for _ in range(2)}
    admin = api.client("admin")
    listed = {answer["id"] for answer in admin.get("/v1/predictions?limit=2").json()["data"]}
    assert listed == ids
    assert all(admin.get(f"/v1/predictions/{one}").status_code == 200 for one in ids)


@pytest.mark.parametrize("name", ["not-a-uuid", "%00", str(uuid4())], ids=["odd", "nul", "unknown"])
def test_an_id_that_names_nothing_is_not_found(api: Any, name: str) -> None:
    response = api.client("read").get(f"/v1/predictions/{name}")
    assert (response.status_code, response.json()["code"]) == (404, "prediction_not_found")


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=30x", "limit"),
        ("limit=%2B5", "limit"),
        ("limit=1.0", "limit"),
        ("limit=1_0", "limit"),
        ("limit=", "limit"),
        ("cursor=", "cursor"),
        ("cursor=none", "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("cursor=" + "A" * 300, "cursor"),
        # "2026-03-01T12:00:00|<uuid>": a time without a zone.
        (
            "cursor=MjAyNi0wMy0wMVQxMjowMDowMHwwMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDc",
            "cursor",
        ),
    ],
)
def test_a_page_that_cannot_be_is_refused(api: Any, query: str, path: str) -> None:
    response = api.client("read").get(f"/v1/predictions?{query}")
    assert (response.status_code, paths(response)) == (422, [path])
