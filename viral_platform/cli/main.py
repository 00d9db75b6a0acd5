"""Entry of the command `viral`: the command tree and the exit codes.

0 done, 2 wrong usage, 3 the input could not be used, 4 a gate or check refused, 5 an outside
service failed, 1 our own fault.
"""

from __future__ import annotations

import sys

import sentry_sdk
import typer
from rich.markup import escape

from viral_platform.cli.commands import CommandTree
from viral_platform.cli.output import err
from viral_platform.engine.errors import (
    ConfigurationError,
    GateRefusedError,
    InputError,
    OutsideServiceError,
    ViralPlatformError,
)
from viral_platform.observability.logging import configure_logging, get_logger
from viral_platform.observability.scrubbing import scrub_text
from viral_platform.observability.sentry import configure_sentry
from viral_platform.settings import load_settings

app = typer.Typer(
    name="viral",
    cls=CommandTree,
    help="How far a TikTok is likely to go, why, and what to change.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _root() -> None:
    """How far a TikTok is likely to go, why, and what to change."""


_EXIT_CODES: tuple[tuple[type[ViralPlatformError], int], ...] = (
    (ConfigurationError, 2),
    (InputError, 3),
    (GateRefusedError, 4),
    (OutsideServiceError, 5),
)


def exit_code(error: ViralPlatformError) -> int:
    """Return the exit code that tells scripts what kind of failure it was."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)


def main() -> None:
    """Run `viral`, turning our own errors into one sentence and an exit code."""
    try:
        settings = load_settings()
        if "log_level" not in settings.model_fields_set:
            # Commands tell their results themselves; events of every step would bury them.
            settings = settings.model_copy(update={"log_level": "WARNING"})
        configure_logging(settings)
        configure_sentry(settings)
        app()
    except ViralPlatformError as error:
        err.print(f"[bold red]viral:[/] {escape(scrub_text(str(error)))}", highlight=False)
        sys.exit(exit_code(error))
    except Exception as error:  # noqa: BLE001  a process's edge: log, report, then exit 1
        get_logger(__name__).exception("unexpected_error")
        sentry_sdk.capture_exception(error)
        sys.exit(1)
