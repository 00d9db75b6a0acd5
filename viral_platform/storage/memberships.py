"""Memberships as rows: the state that holds of each, whoever told of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from viral_platform.engine.subscriptions import Membership, newer
from viral_platform.storage import inbox
from viral_platform.storage.database import Database
from viral_platform.storage.tables import memberships

Effect = Literal["new", "changed", "unchanged", "older"]

_STORED = [column for column in memberships.columns if column.name != "read_at"]


def receive(
    database: Database,
    membership: Membership | None,
    *,
    source: str,
    delivery_id: str,
    event_type: str,
    body: Mapping[str, object],
    now: datetime,
) -> bool:
    """Store a delivery and what follows from it, both or neither; False when it was there already.

    Raises
    ------
    DatabaseUnavailableError
        Nothing is stored: the sender must be told to come again.
    """
    with inbox.writing(database) as connection:
        is_new = inbox.record(
            connection,
            source=source,
            delivery_id=delivery_id,
            event_type=event_type,
            body=body,
            processed_at=now,
        )
        if is_new and membership is not None:
            apply(connection, membership)
        return is_new


def apply(
    connection: Connection, membership: Membership, *, read_at: datetime | None = None
) -> Effect:
    """Put a state in the place of the stored one, if it is newer; `read_at` marks it as read."""
    values = {column.name: getattr(membership, column.name) for column in _STORED}
    added = insert(memberships).values(**values, read_at=read_at)
    created = connection.execute(
        added.on_conflict_do_nothing(index_elements=["id"]).returning(memberships.c.id)
    )
    if created.one_or_none() is not None:
        return "new"
    same = memberships.c.id == membership.id
    row = connection.execute(select(*_STORED).where(same).with_for_update()).mappings().one()
    stored = Membership(**row)
    is_newer = newer(stored, membership)
    changes = values if is_newer else {}
    if read_at is not None:
        changes = {**changes, "read_at": read_at}
    if changes:
        connection.execute(update(memberships).where(same).values(changes))
    if all(values[name] == row[name] for name in values if name != "as_of"):
        return "unchanged"
    return "changed" if is_newer else "older"


def of_account(database: Database, account: str) -> list[Membership]:
    """Return the memberships of an account."""
    return _load(database, memberships.c.account == account)


def load_all(database: Database) -> list[Membership]:
    """Return all memberships."""
    return _load(database)


def not_read_since(database: Database, began_at: datetime) -> list[Membership]:
    """Return the memberships that a reading did not hold which began then."""
    read_at = memberships.c.read_at
    return _load(database, read_at.is_(None) | (read_at < began_at))


def _load(database: Database, *conditions: ColumnElement[bool]) -> list[Membership]:
    query = select(*_STORED).where(*conditions).order_by(memberships.c.id)
    with database.engine.connect() as connection:
        return [Membership(**row) for row in connection.execute(query).mappings()]
