"""The API over real HTTP: uvicorn in a thread, on a database of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn

from viral_platform.api.app import create_app
from viral_platform.services.keys import SCOPES, create_key
from viral_platform.settings import Settings
from viral_platform.storage import models
from viral_platform.storage.database import Database

TEXT = "Wait for it: three knife skills nobody taught you #cooking"


@dataclass
class Running:
    """A running API and its database; `client` speaks with a new key of these scopes."""

    base_url: str
    database: Database
    _clients: ExitStack = field(default_factory=ExitStack)

    def client(self, *scopes: str) -> httpx.Client:
        key = create_key(self.database, name="test", scopes=scopes or SCOPES).key
        return self.with_token(key)

    def with_token(self, token: str | None) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        client = httpx.Client(base_url=self.base_url, headers=headers, timeout=30, trust_env=False)
        return self._clients.enter_context(client)


@contextmanager
def _serving(settings: Settings, database: Database) -> Iterator[Running]:
    config = uvicorn.Config(
        create_app(settings, database),
        port=0,
        log_config=None,
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    running = Running(f"http://127.0.0.1:{port}", database)
    try:
        with running._clients:
            yield running
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


Serve = Callable[[Settings, Database], AbstractContextManager[Running]]


@pytest.fixture(scope="session")
def serve() -> Serve:
    """Start the API for some settings and a database."""
    return _serving


@pytest.fixture(scope="module")
def api(
    serve: Serve,
    clone_database: Callable[..., AbstractContextManager[Database]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    """One for all tests of a module that get on with the rows of each other's keys."""
    settings = Settings(viral_home=tmp_path_factory.mktemp("home"), _env_file=None)
    with clone_database() as database, serve(settings, database) as running:
        yield running


@pytest.fixture
def own_api(serve: Serve, settings: Settings, database: Database) -> Iterator[Running]:
    """One on the test's own `database`."""
    with serve(settings, database) as running:
        yield running


@pytest.fixture
def ask() -> Callable[..., dict[str, Any]]:
    """Ask for a prediction of a text and return the answer."""

    def asked(client: httpx.Client, text: str = TEXT, **fields: object) -> dict[str, Any]:
        response = client.post("/v1/predictions", json={"content_text": text, **fields})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    return asked


@pytest.fixture
def champion(database: Database) -> str:
    """A promoted model that judges outcomes; there is no file, so it answers nothing."""
    models.save_model(
        database,
        version="tier-test",
        artifact_sha256="0" * 64,
        data_sha256="1" * 64,
        sidecar={"scale": {"cuts": [0.02, 0.05, 0.1, 0.2], "reference": [0.01, 0.05, 0.1, 0.3]}},
        report={},
        is_simulated=False,
    )
    with database.connect() as connection:
        connection.execute("update app.model_versions set status = 'champion'")
    return "tier-test"
