"""Whatever is sent, the service answers by its own problems and goes on."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROUTES = ["/v1/predictions", "/v1/prediction-jobs", "/v1/outcomes"]
FIELDS = [
    *("input_mode", "content_type", "content_text", "tiktok_url", "video_storage_path"),
    *("platform", "niche", "creator_handle", "society_id", "posted_at", "duration_seconds"),
    *("hashtags", "sound_is_original", "snapshot", "explain", "requests", "analysis_id"),
    *("views", "likes", "comments", "shares", "saves", "measured_at", "age_hours"),
]
TEXTS = [
    *("text", "tiktok_url", "video", "tiktok", "a text that is long enough #fyp", "\x00" * 20),
    *("https://www.tiktok.com/@a/video/7301234567890123456", "https://vm.tiktok.com/x", "//["),
    *("2026-03-01T18:00:00Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
    *("3f0c1d52-6d0e-4c29-9d3b-0d6a7f2f8a11", "-1", "1e400", "\u202e", "é" * 300),
]
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(TEXTS)
    | st.text(max_size=30)
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)
documents = st.dictionaries(st.sampled_from(FIELDS), values, max_size=8)
bodies = (
    documents.map(lambda document: json.dumps(document).encode())
    | st.builds(
        lambda items: json.dumps({"requests": items}).encode(), st.lists(documents, max_size=3)
    )
    | st.tuples(documents, st.integers(0, 200)).map(lambda d: json.dumps(d[0]).encode()[: d[1]])
    | st.binary(max_size=60)
)


@pytest.fixture(scope="module")
def client(api: Any) -> httpx.Client:
    client: httpx.Client = api.client("predict", "read", "ingest")
    # The first call loads the libraries.
    client.post("/v1/predictions", json={"content_text": "a text that is long enough"})
    return client


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(path=st.sampled_from(ROUTES), body=bodies)
def test_no_body_breaks_the_service(client: httpx.Client, path: str, body: bytes) -> None:
    response = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in {200, 201, 202, 400, 404, 409, 422}, response.text
    if response.status_code >= 400:
        problem = response.json()
        assert problem["status"] == response.status_code
        assert problem["request_id"] == response.headers["x-request-id"]


@settings(max_examples=60, deadline=None)
@given(
    path=st.sampled_from(
        ["/v1/predictions", "/v1/trends/sounds", "/v1/trends/hashtags", "/v1/admin/costs"]
    ),
    query=st.dictionaries(
        st.sampled_from(["limit", "cursor", "days", "niche"]),
        st.text(max_size=30) | st.integers().map(str),
    ),
)
def test_no_query_breaks_the_service(
    client: httpx.Client, path: str, query: dict[str, str]
) -> None:
    assert client.get(path, params=query).status_code in {200, 403, 404, 422}


@settings(max_examples=60, deadline=None)
# A client takes "." and ".." out of the path, which is then that of another route.
@given(name=st.text(min_size=1, max_size=30).filter(lambda name: name not in {".", ".."}))
def test_no_name_breaks_the_service(client: httpx.Client, name: str) -> None:
    quoted = quote(name, safe="", errors="surrogatepass")
    for prefix in ("/v1/predictions/", "/v1/prediction-jobs/"):
        assert client.get(prefix + quoted).status_code in {200, 404}
    assert client.get(f"/v1/creators/{quoted}").status_code in {200, 404, 422}
