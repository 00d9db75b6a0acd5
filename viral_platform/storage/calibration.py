"""Platt parameters and outcomes as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Row, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from viral_platform.engine.calibration import Calibration, PlattFit
from viral_platform.engine.errors import NotFoundError
from viral_platform.storage.database import Database
from viral_platform.storage.tables import outcomes, platt_parameters

OutcomeOrigin = Literal["reported", "collected"]


@dataclass(frozen=True)
class PlattRecord:
    """A stored Platt fit with the report that judges it."""

    version: str
    input_mode: str
    horizon: str
    signals: str
    model_version: str | None
    slope: float
    intercept: float
    report: dict[str, Any]
    is_simulated: bool
    status: str
    fitted_at: datetime
    activated_at: datetime | None

    @property
    def calibration(self) -> Calibration:
        """The fit with what it holds for."""
        return Calibration(PlattFit(self.slope, self.intercept), self.signals, self.model_version)


@dataclass(frozen=True)
class OutcomePair:
    """Raw score and outcome of one analysis, both 0 to 100."""

    raw_score: float
    actual_score: float
    is_simulated: bool
    signals: str
    model_version: str | None


@dataclass(frozen=True)
class Outcome:
    """A measured outcome, judged by a model's reference."""

    analysis_id: UUID
    views: int
    likes: int
    comments: int
    shares: int
    saves: int | None
    age_hours: float
    engagement: float
    actual_score: float
    actual_tier: int
    model_version: str
    is_simulated: bool
    measured_at: datetime
    origin: OutcomeOrigin


def save_outcome(database: Database, outcome: Outcome) -> bool:
    """Store an outcome; return False when the analysis has one already, which stays."""
    statement = insert(outcomes).values(
        {name: getattr(outcome, name) for name in Outcome.__dataclass_fields__}
    )
    with database.engine.begin() as connection:
        stored = connection.execute(
            statement.on_conflict_do_nothing(index_elements=["analysis_id"]).returning(
                outcomes.c.analysis_id
            )
        )
        return stored.one_or_none() is not None


def load_pairs(
    database: Database, input_mode: str, horizon: str, *, max_age_hours: float
) -> list[OutcomePair]:
    """Return the pairs of one input mode and horizon, oldest answer first, from `outcome_pairs`.

    Pairs are of equal age: outcomes measured between maturity and `max_age_hours`.
    """
    query = text(
        "select raw_score, actual_score, is_simulated, signals, model_version "
        "from marts.outcome_pairs "
        "where input_mode = :mode and horizon = :horizon and age_hours <= :age "
        "order by created_at, analysis_id"
    )
    with database.engine.connect() as connection:
        rows = connection.execute(
            query, {"mode": input_mode, "horizon": horizon, "age": max_age_hours}
        )
        return [OutcomePair(**row) for row in rows.mappings()]


def save_fit(
    database: Database,
    *,
    version: str,
    input_mode: str,
    horizon: str,
    signals: str,
    model_version: str | None,
    fit: PlattFit,
    report: Mapping[str, object],
    is_simulated: bool,
) -> PlattRecord:
    """Record a fit as a candidate; the same fit keeps its row and status."""
    statement = insert(platt_parameters).values(
        version=version,
        input_mode=input_mode,
        horizon=horizon,
        signals=signals,
        model_version=model_version,
        slope=fit.slope,
        intercept=fit.intercept,
        report=dict(report),
        is_simulated=is_simulated,
        status="candidate",
    )
    with database.engine.begin() as connection:
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["version"], set_={"fitted_at": func.clock_timestamp()}
            )
        )
    return get_fit(database, version)


def _record(row: Row[Any]) -> PlattRecord:
    return PlattRecord(**row._mapping)  # noqa: SLF001  SQLAlchemy's public accessor


def get_fit(database: Database, version: str) -> PlattRecord:
    """Return one version.

    Raises
    ------
    NotFoundError
        There is no such version.
    """
    query = select(platt_parameters).where(platt_parameters.c.version == version)
    with database.engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(f"No calibration {version}. See them: viral calibration show.")
    return _record(row)


def list_fits(database: Database) -> list[PlattRecord]:
    """Return all fits, the newest first."""
    query = select(platt_parameters).order_by(platt_parameters.c.fitted_at.desc())
    with database.engine.connect() as connection:
        return [_record(row) for row in connection.execute(query)]


def fits_in_force(database: Database) -> dict[tuple[str, str], PlattRecord]:
    """Return the fit in force of each input mode and horizon that has one."""
    query = select(platt_parameters).where(platt_parameters.c.status == "in_force")
    with database.engine.connect() as connection:
        return {(row.input_mode, row.horizon): _record(row) for row in connection.execute(query)}


def put_in_force(database: Database, record: PlattRecord) -> None:
    """Make a fit the one in force for its input mode and horizon; the former one is retired."""
    with database.engine.begin() as connection:
        connection.execute(
            update(platt_parameters)
            .where(
                platt_parameters.c.status == "in_force",
                platt_parameters.c.input_mode == record.input_mode,
                platt_parameters.c.horizon == record.horizon,
                platt_parameters.c.version != record.version,
            )
            .values(status="retired")
        )
        connection.execute(
            update(platt_parameters)
            .where(platt_parameters.c.version == record.version)
            .values(status="in_force", activated_at=func.clock_timestamp())
        )
