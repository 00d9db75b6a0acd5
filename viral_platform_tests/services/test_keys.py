from __future__ import annotations

import hashlib
import re

import pytest
from sqlalchemy import event, select

from viral_platform.engine.errors import InputError, NotFoundError
from viral_platform.services.keys import KEPT_SECONDS, KeyRing, create_key
from viral_platform.storage import keys
from viral_platform.storage.database import Database
from viral_platform.storage.tables import api_keys


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_key_is_long_random_text_that_is_not_stored(database: Database) -> None:
    made = create_key(database, name="app", scopes=["read", "predict"], tier="pro")
    assert re.fullmatch(r"vp_[A-Za-z0-9_-]{43}", made.key)
    assert made.scopes == ("predict", "read")
    with database.engine.connect() as connection:
        row = connection.execute(select(api_keys)).one()
    assert row.sha256 == hashlib.sha256(made.key.encode()).hexdigest()
    assert (row.prefix, row.tier) == (made.key[:11], "pro")
    assert made.key not in str(row)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"scopes": ["read", "write"]}, "Unknown scopes: write"),
        ({"scopes": []}, "none given"),
        ({"tier": "gold"}, "No tier gold"),
        ({"name": " "}, "1 to 100 characters"),
        ({"name": "x" * 101}, "1 to 100 characters"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(
    database: Database, changed: dict[str, object], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        create_key(database, **{"name": "app", "scopes": ["read"], **changed})  # type: ignore[arg-type]


def test_a_key_is_found_by_itself_alone(database: Database) -> None:
    made = create_key(database, name="app", scopes=["read"])
    ring = KeyRing(database)
    found = ring.find(made.key)
    assert found is not None
    assert (found.prefix, found.scopes) == (made.prefix, ("read",))
    for other in ("", made.prefix, made.key[:-1], "vp_" + "A" * 43, made.key + "A"):
        assert ring.find(other) is None


def test_a_key_is_looked_up_once_in_a_while_and_refused_soon_after_it_is_revoked(
    database: Database,
) -> None:
    clock, statements = Clock(), []
    made = create_key(database, name="app", scopes=["read"])
    ring = KeyRing(database, clock=clock)
    event.listen(
        database.engine, "before_cursor_execute", lambda *given: statements.append(given[2])
    )
    for _ in range(3):
        assert ring.find(made.key) is not None
    assert len(statements) == 1
    keys.revoke_key(database, made.prefix)
    assert ring.find(made.key) is not None
    clock.now = KEPT_SECONDS
    assert ring.find(made.key) is None
    assert ring.find(made.key) is None


def test_a_text_that_cannot_be_a_key_is_not_looked_up() -> None:
    nowhere = Database.__new__(Database)
    assert KeyRing(nowhere).find("undefined") is None


def test_a_revoked_key_stays_listed_with_its_first_time(database: Database) -> None:
    first = create_key(database, name="first", scopes=["read"])
    create_key(database, name="second", scopes=["admin"])
    keys.revoke_key(database, first.prefix)
    revoked_at = keys.list_keys(database)[1].revoked_at
    assert revoked_at is not None
    keys.revoke_key(database, first.prefix)
    listed = keys.list_keys(database)
    assert [record.name for record in listed] == ["second", "first"]
    assert [record.revoked_at for record in listed] == [None, revoked_at]


def test_a_prefix_that_no_key_has_is_named(database: Database) -> None:
    with pytest.raises(NotFoundError, match="No key begins with vp_nothing"):
        keys.revoke_key(database, "vp_nothing")
