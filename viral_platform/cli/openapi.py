"""`viral openapi`: the description of the HTTP API."""

from __future__ import annotations

import json
import sys

import typer

from viral_platform.api.app import openapi_document


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("openapi")(openapi_command)


def openapi_command() -> None:
    """Print the OpenAPI document; no installation is needed."""
    sys.stdout.write(json.dumps(openapi_document(), indent=2) + "\n")
