from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from viral_platform.services.keys import create_key
from viral_platform.settings import Settings
from viral_platform.storage import keys

SECRET = "a secret of räts"  # not ASCII
ROUTES = [
    ("POST", "/v1/predictions", "predict"),
    ("GET", "/v1/predictions", "read"),
    ("GET", "/v1/predictions/x", "read"),
    ("POST", "/v1/prediction-jobs", "predict"),
    ("GET", "/v1/prediction-jobs/x", "read"),
    ("GET", "/v1/prediction-jobs/x/results", "read"),
    ("POST", "/v1/outcomes", "predict"),
    ("GET", "/v1/admin/costs", "admin"),
    ("GET", "/v1/trends/sounds", "read"),
    ("GET", "/v1/trends/hashtags", "read"),
    ("GET", "/v1/creators/some.cook", "read"),
]


@pytest.fixture(scope="module")
def secured(
    serve: Any, clone_database: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    settings = Settings(
        viral_home=tmp_path_factory.mktemp("home"), cron_secret=SECRET, _env_file=None
    )
    with clone_database() as database, serve(settings, database) as running:
        yield running


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_a_route_needs_a_key_with_its_scope(api: Any, method: str, path: str, scope: str) -> None:
    response = api.with_token(None).request(method, path)
    assert code(response) == (401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"
    others = {"predict", "read"} - {scope}
    assert code(api.client(*others).request(method, path)) == (403, "missing_scope")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json"])
def test_health_and_the_document_need_no_key(api: Any, path: str) -> None:
    assert api.with_token(None).get(path).status_code == 200


@pytest.mark.parametrize("token", ["vp_" + "A" * 43, "vp_short", "x", "é", "a b"])
def test_an_unknown_token_is_refused(api: Any, token: str) -> None:
    response = api.with_token(None).get(
        "/v1/predictions", headers={b"Authorization": b"Bearer " + token.encode()}
    )
    assert code(response) == (401, "unauthorized")


@pytest.mark.parametrize("header", ["Basic dXNlcjpwdw==", "Bearer", ""])
def test_a_header_without_a_bearer_token_is_refused(api: Any, header: str) -> None:
    response = api.with_token(None).get("/v1/admin/costs", headers={"Authorization": header})
    assert code(response) == (401, "unauthorized")


def test_a_revoked_key_is_refused(api: Any) -> None:
    made = create_key(api.database, name="gone", scopes=["read"])
    keys.revoke_key(api.database, made.prefix)
    assert code(api.with_token(made.key).get("/v1/predictions")) == (401, "unauthorized")


def test_a_caller_is_refused_before_the_body_is_read(api: Any) -> None:
    """Who has no key cannot have a mebibyte decoded."""
    response = api.with_token(None).post("/v1/predictions", content=b"{" * 2_000_000)
    assert code(response) == (401, "unauthorized")


def test_the_scope_admin_includes_the_others(api: Any) -> None:
    admin = api.client("admin")
    assert admin.get("/v1/predictions").status_code == 200
    assert admin.get("/v1/admin/costs").json() == []


def cron(running: Any, path: str, token: str) -> httpx.Response:
    response: httpx.Response = running.with_token(None).get(
        path, headers={b"Authorization": b"Bearer " + token.encode()}
    )
    return response


def test_the_cron_secret_opens_the_admin_routes_alone(secured: Any) -> None:
    assert cron(secured, "/v1/admin/costs", SECRET).status_code == 200
    assert code(cron(secured, "/v1/predictions", SECRET)) == (401, "unauthorized")


@pytest.mark.parametrize("token", [SECRET[:-1], SECRET + "x", "undefined", "vp_" + "A" * 43])
def test_another_token_does_not_open_the_admin_routes(secured: Any, token: str) -> None:
    assert code(cron(secured, "/v1/admin/costs", token)) == (401, "unauthorized")


def test_a_key_with_the_scope_admin_works_beside_the_cron_secret(secured: Any) -> None:
    assert secured.client("admin").get("/v1/admin/costs").status_code == 200


def test_without_a_cron_secret_a_token_that_is_no_key_gets_503(api: Any) -> None:
    """Unset, it was equal to the text `undefined` once."""
    assert code(cron(api, "/v1/admin/costs", "undefined")) == (503, "cron_secret_unset")
    assert code(cron(api, "/v1/admin/costs", "vp_" + "A" * 43)) == (401, "unauthorized")
