"""Keys of the HTTP API as rows of `api_keys`: found by the SHA-256 of a key, never by the key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, insert, select, update

from viral_platform.engine.errors import NotFoundError
from viral_platform.engine.subscriptions import Tier
from viral_platform.storage.database import Database
from viral_platform.storage.tables import api_keys


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key without the key itself; `prefix` are its first characters, by which it is named."""

    id: int
    prefix: str
    name: str
    scopes: tuple[str, ...]
    tier: Tier
    created_at: datetime
    revoked_at: datetime | None
    account: str | None


def save_key(
    database: Database,
    *,
    sha256: str,
    prefix: str,
    name: str,
    scopes: Sequence[str],
    tier: str,
    account: str | None,
) -> None:
    """Store a new key."""
    values = {
        "sha256": sha256,
        "prefix": prefix,
        "name": name,
        "scopes": list(scopes),
        "tier": tier,
        "account": account,
    }
    with database.engine.begin() as connection:
        connection.execute(insert(api_keys), values)


def find_key(database: Database, sha256: str) -> KeyRecord | None:
    """Return the key in force with this digest, None when there is none."""
    found = _records(database, api_keys.c.sha256 == sha256, api_keys.c.revoked_at.is_(None))
    return found[0] if found else None


def list_keys(database: Database) -> list[KeyRecord]:
    """Return all keys, the newest first."""
    return _records(database)


def revoke_key(database: Database, prefix: str) -> None:
    """Put a key out of force; one that is so already stays as it is.

    Raises
    ------
    NotFoundError
        There is no key with this prefix.
    """
    revoked = (
        update(api_keys)
        .where(api_keys.c.prefix == prefix)
        .values(revoked_at=func.coalesce(api_keys.c.revoked_at, func.now()))
        .returning(api_keys.c.id)
    )
    with database.engine.begin() as connection:
        found = connection.execute(revoked).scalar_one_or_none()
    if found is None:
        raise NotFoundError(f"No key begins with {prefix}. See them: viral keys list.")


def _records(database: Database, *conditions: ColumnElement[bool]) -> list[KeyRecord]:
    columns = [api_keys.c[name] for name in KeyRecord.__dataclass_fields__]
    query = select(*columns).where(*conditions).order_by(api_keys.c.id.desc())
    with database.engine.connect() as connection:
        rows = connection.execute(query).mappings()
        return [KeyRecord(**{**row, "scopes": tuple(row["scopes"])}) for row in rows]
