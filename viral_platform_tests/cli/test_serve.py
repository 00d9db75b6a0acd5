from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from viral_platform.storage.database import Database

VIRAL = str(Path(sys.executable).with_name("viral"))


@pytest.fixture
def environment(database: Database, tmp_path: Path) -> dict[str, str]:
    return {"PATH": "", "VIRAL_HOME": str(tmp_path), "VIRAL_DATABASE_URL": database.url}


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_service_answers_until_it_is_told_to_end(
    environment: dict[str, str], port: int, number: int, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [VIRAL, "serve", "--port", str(port)],
        env={**environment, "VIRAL_ENVIRONMENT": "production"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                deadline = time.monotonic() + 30
                while True:
                    try:
                        answer = client.get("/healthz")
                        break
                    except httpx.TransportError:
                        assert time.monotonic() < deadline
                        assert process.poll() is None, process.communicate()
                        time.sleep(0.05)
                assert answer.json() == {"status": "ok"}
                assert client.get("/readyz").json()["status"] == "degraded"
            process.send_signal(number)
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert '"event": "request"' in errors
    assert '"event": "api_stopped"' in errors
    assert "Traceback" not in errors


def test_a_taken_port_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = subprocess.run(
            [VIRAL, "serve", "--port", str(listener.getsockname()[1])],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert "is in use by" in done.stderr
    assert "API_PORT" in done.stderr
