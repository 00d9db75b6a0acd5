"""Resources: they hand out plain objects of the installation that the process runs in.

None carries a field: the UI shows resource fields, and a database URL holds a password. Settings
come from the environment of the process, as everywhere.
"""

import dagster as dg
from pydantic import PrivateAttr

from viral_platform.services.prediction import PredictionService, open_service
from viral_platform.settings import load_settings
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database, open_database


class DatabaseResource(dg.ConfigurableResource[Database]):
    """The installation's PostgreSQL, started when it is the embedded one; open for one run."""

    _database: Database = PrivateAttr()

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """Open the database."""
        self._database = open_database(load_settings())

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """Close its connections."""
        self._database.close()

    def get(self) -> Database:
        """Return the database."""
        return self._database


class ArtifactsResource(dg.ConfigurableResource[ArtifactStore]):
    """Training sets and models by the digest of their content."""

    def get(self) -> ArtifactStore:
        """Return the store."""
        return ArtifactStore(load_settings().artifacts)


class PredictionResource(dg.ConfigurableResource[PredictionService]):
    """The service that answers predictions, the same that API and command line call."""

    _database: Database = PrivateAttr()
    _service: PredictionService = PrivateAttr()

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """Open the database; the model is loaded at the first answer."""
        settings = load_settings()
        self._database = open_database(settings)
        self._service = open_service(settings, self._database)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """Close the connections to providers and to the database."""
        self._service.close()
        self._database.close()

    def get(self) -> PredictionService:
        """Return the service."""
        return self._service
