"""Resources: they hand out plain objects of the installation that the process runs in.

None carries a field: the UI shows resource fields, and a database URL holds a password. Settings
come from the environment of the process, as everywhere.
"""

import dagster as dg

from viral_platform.services.prediction import PredictionService
from viral_platform.settings import load_settings
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database, open_database


class DatabaseResource(dg.ConfigurableResource[Database]):
    """The installation's PostgreSQL, started when it is the embedded one."""

    def get(self) -> Database:
        """Return the database."""
        return open_database(load_settings())


class ArtifactsResource(dg.ConfigurableResource[ArtifactStore]):
    """Training sets and models by the digest of their content."""

    def get(self) -> ArtifactStore:
        """Return the store."""
        return ArtifactStore(load_settings().artifacts)


class PredictionResource(dg.ConfigurableResource[PredictionService]):
    """The service that answers predictions, the same that API and command line call."""

    database: dg.ResourceDependency[DatabaseResource]
    artifacts: dg.ResourceDependency[ArtifactsResource]

    def get(self) -> PredictionService:
        """Return a service; its model is loaded at its first answer."""
        return PredictionService(self.database.get(), self.artifacts.get())
