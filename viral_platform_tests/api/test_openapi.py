from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from viral_platform.api.app import openapi_document
from viral_platform.api.problems import PROBLEMS
from viral_platform.api.schemas import JobBody, OutcomeBody, PredictionBody

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "api.md"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi_document()


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known


def test_the_running_service_gives_the_same_document(api: Any, document: dict[str, Any]) -> None:
    assert api.with_token(None).get("/openapi.json").json() == document


def test_every_route_under_v1_names_its_key_and_its_problems(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if not path.startswith("/v1") or path.startswith("/v1/webhooks"):
            continue
        assert operation["security"] == [{"key": []}], path
        problems = {
            status
            for status, response in operation["responses"].items()
            if "application/problem+json" in response.get("content", {})
        }
        assert {"401", "403", "500", "503"} <= problems, path
        if method == "post":
            assert {"400", "413", "415", "422"} <= problems, path
            assert operation["requestBody"]["required"]
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_the_examples_of_the_bodies_validate(document: dict[str, Any]) -> None:
    for model in (PredictionBody, JobBody, OutcomeBody):
        examples = document["components"]["schemas"][model.__name__]["examples"]
        assert examples
        for example in examples:
            model.model_validate(example)


def test_a_path_on_the_server_is_no_field_of_a_request(document: dict[str, Any]) -> None:
    body = document["components"]["schemas"]["PredictionBody"]
    assert "video_storage_path" not in body["properties"]
    assert body["properties"]["input_mode"]["enum"] == ["text", "tiktok_url"]
    assert body["additionalProperties"] is False


def test_the_guide_names_every_code_and_every_route(document: dict[str, Any]) -> None:
    guide = GUIDE.read_text("utf-8")
    missing = [name for name in [*PROBLEMS, *document["paths"]] if f"`{name}`" not in guide]
    assert [name for name in missing if f" {name}`" not in guide] == []


def test_the_application_loads_neither_dagster_nor_the_model_s_libraries(tmp_path: Path) -> None:
    source = """
        import sys
        from sqlalchemy import make_url
        from viral_platform.api.app import create_app
        from viral_platform.settings import Settings
        from viral_platform.storage.database import Database
        app = create_app(Settings(), Database(make_url("postgresql://nobody@127.0.0.1:1/x")))
        app.openapi()
        heavy = {"dagster", "xgboost", "sklearn", "pandas", "scipy", "openai", "google.genai"}
        print(sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(line.strip() for line in source.splitlines())],
        env={"PATH": "", "VIRAL_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_the_command_prints_the_document_without_an_installation(tmp_path: Path) -> None:
    viral = Path(sys.executable).with_name("viral")
    done = subprocess.run(
        [viral, "openapi"],
        env={"PATH": "", "VIRAL_HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert json.loads(done.stdout)["openapi"].startswith("3.1"), done.stderr
    assert not (tmp_path / "home").exists()
