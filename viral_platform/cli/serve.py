"""`viral serve`: the HTTP API alone, in this process."""

from __future__ import annotations

from typing import Annotated

import typer
import uvicorn

from viral_platform.api.app import create_app
from viral_platform.cli import ports
from viral_platform.cli.output import err, open_installation
from viral_platform.cli.supervisor import stop_signals
from viral_platform.engine.errors import ConfigurationError
from viral_platform.observability.logging import configure_logging
from viral_platform.settings import load_settings

# Below what a supervisor waits before it kills.
SHUTDOWN_SECONDS = 10


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("serve")(serve)


def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = ports.HOST,
    port: Annotated[int | None, typer.Option(help="Unset: API_PORT.", min=1, max=65535)] = None,
) -> None:
    """Serve the HTTP API until Ctrl-C; requests that are under way are answered then."""
    settings = load_settings()
    listened = settings.api_port if port is None else port
    if why := ports.why_unusable(listened, host):
        raise ConfigurationError(f"Cannot serve: {why}. Change API_PORT or --port.")
    configure_logging(settings)
    app = create_app(settings, open_installation().database)
    config = uvicorn.Config(
        app,
        host=host,
        port=listened,
        ws="none",
        log_config=None,
        access_log=False,  # our own line names the route, not the path
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    err.print(f"Serving on http://{host}:{listened} (Ctrl-C stops)", highlight=False)
    # The server raises a signal again after its shutdown; here it must not end us in disorder.
    with stop_signals():
        uvicorn.Server(config).run()
