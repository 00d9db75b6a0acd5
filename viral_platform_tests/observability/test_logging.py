from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from viral_platform.observability.logging import configure_logging, get_logger
from viral_platform.observability.scrubbing import MASK
from viral_platform.settings import Settings


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Logging is set up once per process; each test gets it as it was."""
    loggers = [logging.getLogger(name) for name in (None, "dagster", "alembic", "httpx")]
    before = [(log, log.handlers[:], log.level, log.propagate) for log in loggers]
    yield
    for log, handlers, level, propagate in before:
        log.handlers[:], log.propagate = handlers, propagate
        log.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def configured(environment: str = "production", level: str = "INFO") -> io.StringIO:
    stream = io.StringIO()
    settings = Settings(viral_environment=environment, log_level=level, _env_file=None)
    configure_logging(settings, stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail_with_a_secret() -> None:
    hunter = "hunter2"
    raise RuntimeError(f"password={hunter}")


@pytest.mark.parametrize(
    ("log", "name"),
    [
        (lambda: get_logger("viral_platform.engine").info("page_read"), "viral_platform.engine"),
        (lambda: logging.getLogger("some.library").info("page_%s", "read"), "some.library"),
        (lambda: logging.getLogger("dagster").info("page_read"), "dagster"),
        (lambda: logging.getLogger("dagster.daemon").info("page_read"), "dagster.daemon"),
    ],
    ids=["ours", "standard library", "dagster", "dagster child"],
)
def test_production_writes_one_json_object_a_line_whoever_logs(log: Any, name: str) -> None:
    stream = configured()
    logging.getLogger("dagster").addHandler(logging.StreamHandler(stream))
    stream = configured()
    log()
    (line,) = lines(stream)
    assert line["event"] == "page_read"
    assert (line["level"], line["logger"]) == ("info", name)
    assert line["timestamp"].endswith("Z")


def test_fields_and_bound_context_are_in_the_line() -> None:
    stream = configured()
    structlog.contextvars.bind_contextvars(request_id="r1")
    get_logger("x").warning("page_read", rows=500, page=3)
    (line,) = lines(stream)
    assert (line["rows"], line["page"], line["request_id"]) == (500, 3, "r1")


def test_a_text_over_several_lines_stays_one_line() -> None:
    stream = configured()
    get_logger("x").info("page_read", caption="one\ntwo")
    assert len(lines(stream)) == 1


@pytest.mark.parametrize("environment", ["production", "development"])
@pytest.mark.parametrize(
    "log",
    [
        lambda: get_logger("x").info("opened", url="postgresql://viral:hunter2@db/viral"),
        lambda: get_logger("x").info("opened", token="hunter2"),
        lambda: get_logger("x").info("opened", options={"api_key": "hunter2"}),
        lambda: logging.getLogger("dagster").info("token=%s", "hunter2"),
        lambda: logging.getLogger("library").info("Authorization: Bearer hunter2"),
    ],
    ids=["address", "field", "nested field", "dagster", "standard library"],
)
def test_secrets_are_masked(environment: str, log: Any) -> None:
    stream = configured(environment)
    log()
    assert "hunter2" not in stream.getvalue()
    assert MASK in stream.getvalue()


@pytest.mark.parametrize("environment", ["production", "development"])
@pytest.mark.parametrize("name", ["ours", "library"])
def test_a_traceback_holds_neither_secrets_nor_local_variables(environment: str, name: str) -> None:
    stream = configured(environment)
    try:
        fail_with_a_secret()
    except RuntimeError:
        if name == "ours":
            get_logger("x").exception("failed")
        else:
            logging.getLogger("library").exception("failed")
    assert "RuntimeError" in stream.getvalue()
    assert "fail_with_a_secret" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_a_terminal_gets_text_and_no_json() -> None:
    stream = configured("development")
    get_logger("x").info("page_read", rows=5)
    assert "page_read" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize(
    ("level", "written"), [("DEBUG", 3), ("INFO", 2), ("WARNING", 1), ("ERROR", 0)]
)
def test_events_below_the_level_are_left_out(level: str, written: int) -> None:
    stream = configured(level=level)
    log = get_logger("x")
    log.debug("a")
    log.info("b")
    log.warning("c")
    assert len(lines(stream)) == written


def test_talkative_libraries_are_heard_from_warnings_on() -> None:
    stream = configured()
    logging.getLogger("httpx").info("GET")
    logging.getLogger("httpx").warning("slow")
    assert [line["event"] for line in lines(stream)] == ["slow"]


def test_configuring_twice_does_not_write_twice() -> None:
    configured()
    stream = configured()
    get_logger("x").info("once")
    assert len(lines(stream)) == 1
