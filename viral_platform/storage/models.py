"""Training sets and model versions: what is recorded of them. Files are in `artifacts.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from viral_platform.engine.errors import NotFoundError
from viral_platform.storage.database import Database
from viral_platform.storage.tables import model_versions, training_sets

Summary = dict[str, Any]


@dataclass(frozen=True)
class TrainingSetRecord:
    """A stored training set; `summary` is what the operator is shown of it."""

    sha256: str
    rows: int
    videos: int
    summary: Summary
    is_simulated: bool
    built_at: datetime


@dataclass(frozen=True)
class ModelRecord:
    """A stored model version with the report that judges it."""

    version: str
    artifact_sha256: str
    data_sha256: str
    sidecar: Summary
    report: Summary
    is_simulated: bool
    status: str
    trained_at: datetime
    promoted_at: datetime | None


def save_training_set(
    database: Database,
    *,
    sha256: str,
    rows: int,
    videos: int,
    summary: Mapping[str, object],
    is_simulated: bool,
) -> None:
    """Record a training set; one built before becomes the latest again."""
    values = {
        "sha256": sha256,
        "rows": rows,
        "videos": videos,
        "summary": dict(summary),
        "is_simulated": is_simulated,
    }
    statement = insert(training_sets).values(values)
    with database.engine.begin() as connection:
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["sha256"],
                set_={"built_at": func.clock_timestamp(), "summary": statement.excluded.summary},
            )
        )


def latest_training_set(database: Database) -> TrainingSetRecord:
    """Return the training set built last.

    Raises
    ------
    NotFoundError
        None was ever built.
    """
    query = select(training_sets).order_by(training_sets.c.built_at.desc()).limit(1)
    with database.engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError("No training set was built yet. Build one: viral run retrain_ml.")
    return TrainingSetRecord(**row._mapping)  # noqa: SLF001  SQLAlchemy's public accessor


def save_model(
    database: Database,
    *,
    version: str,
    artifact_sha256: str,
    data_sha256: str,
    sidecar: Mapping[str, object],
    report: Mapping[str, object],
    is_simulated: bool,
) -> ModelRecord:
    """Record a candidate; the same model from the same data keeps its row and status."""
    statement = insert(model_versions).values(
        version=version,
        artifact_sha256=artifact_sha256,
        data_sha256=data_sha256,
        sidecar=dict(sidecar),
        report=dict(report),
        is_simulated=is_simulated,
        status="candidate",
    )
    with database.engine.begin() as connection:
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["version"],
                # The sidecar holds the verdicts that serving reads; it never parts from the report.
                set_={
                    "trained_at": func.clock_timestamp(),
                    "sidecar": statement.excluded.sidecar,
                    "report": statement.excluded.report,
                },
            )
        )
    return get_model(database, version)


def _record(row: Row[Any]) -> ModelRecord:
    return ModelRecord(**row._mapping)  # noqa: SLF001  SQLAlchemy's public accessor


def get_model(database: Database, version: str) -> ModelRecord:
    """Return one version.

    Raises
    ------
    NotFoundError
        There is no such version.
    """
    with database.engine.connect() as connection:
        row = connection.execute(
            select(model_versions).where(model_versions.c.version == version)
        ).one_or_none()
    if row is None:
        raise NotFoundError(f"No model version {version}. List them: viral model list.")
    return _record(row)


def list_models(database: Database) -> list[ModelRecord]:
    """Return all versions, the newest first."""
    query = select(model_versions).order_by(model_versions.c.trained_at.desc())
    with database.engine.connect() as connection:
        return [_record(row) for row in connection.execute(query)]


def champion(database: Database) -> ModelRecord | None:
    """Return the champion, None while there is none."""
    query = select(model_versions).where(model_versions.c.status == "champion")
    with database.engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else _record(row)


def latest_candidate(database: Database) -> ModelRecord:
    """Return the version trained last, whatever its status.

    Raises
    ------
    NotFoundError
        No model was ever trained.
    """
    models = list_models(database)
    if not models:
        raise NotFoundError("No model was trained yet. Train one: viral run retrain_ml.")
    return models[0]


def make_champion(database: Database, version: str) -> None:
    """Make `version` the champion in one transaction; the former one is retired."""
    with database.engine.begin() as connection:
        _retire(connection, version)
        connection.execute(
            update(model_versions)
            .where(model_versions.c.version == version)
            .values(status="champion", promoted_at=func.clock_timestamp())
        )


def _retire(connection: Connection, successor: str) -> None:
    connection.execute(
        update(model_versions)
        .where(model_versions.c.status == "champion", model_versions.c.version != successor)
        .values(status="retired")
    )
