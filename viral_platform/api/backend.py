"""What the routes of one process share: settings, database, keys, the prediction service.

The service is loaded by the first prediction: the model's libraries take two seconds and a
hundred megabytes, and an API that only reads needs neither.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends
from starlette.requests import Request

from viral_platform.providers.breaker import BreakerState
from viral_platform.services.keys import KeyRing
from viral_platform.settings import Settings
from viral_platform.storage.database import Database

if TYPE_CHECKING:
    from viral_platform.services.prediction import PredictionService


class Backend:
    """Parts of the installation that one process of the API works with."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.keys = KeyRing(database)
        self._opening = asyncio.Lock()
        self._service: PredictionService | None = None

    async def predictions(self) -> PredictionService:
        """Return the prediction service, opened at the first call.

        Raises
        ------
        ConfigurationError
            A configured model has no price.
        """
        async with self._opening:
            if self._service is None:
                self._service = await asyncio.to_thread(self._open)
            return self._service

    def providers(self) -> dict[str, BreakerState | None]:
        """Return how each provider stands: None when it is not configured."""
        keys = {
            "gemini": self.settings.gemini_api_key,
            "deepseek": self.settings.deepseek_api_key,
            "apify": self.settings.apify_token,
        }
        untried = BreakerState("closed", consecutive_failures=0, retry_in_seconds=None)
        known = {} if self._service is None else self._service.breakers()
        return {
            name: None if key is None else known.get(name, untried) for name, key in keys.items()
        }

    def close(self) -> None:
        """Close the service and the database's connections."""
        if self._service is not None:
            self._service.close()
        self.database.close()

    def _open(self) -> PredictionService:
        from viral_platform.services.prediction import open_service  # loads the model's libraries

        return open_service(self.settings, self.database)


def _backend(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


Shared = Annotated[Backend, Depends(_backend)]
