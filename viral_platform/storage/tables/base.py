"""What all tables share: the schema, names of constraints, kinds of columns."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Identity, MetaData, func

SCHEMA = "app"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    },
)


def instant(name: str, *, nullable: bool = False, now: bool = False) -> Column[object]:
    """Return a column that holds a UTC instant; with `now` the database's clock fills it."""
    return Column(
        name,
        DateTime(timezone=True),
        nullable=nullable,
        server_default=func.now() if now else None,
    )


def key() -> Column[int]:
    """Return the column of a number that the database gives out."""
    return Column("id", BigInteger, Identity(always=True), primary_key=True)
