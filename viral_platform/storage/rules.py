"""The rule library's rows. Learned weights are never overwritten by definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from viral_platform.engine.contracts import Rule
from viral_platform.storage.database import Database
from viral_platform.storage.tables import rule_library

DEFINED = (
    "name",
    "description",
    "category",
    "pattern",
    "score_modifier",
    "platform",
    "evaluation_prompt",
    "improvement_tip",
    "evaluation_tier",
)


def upsert_rules(database: Database, definitions: Sequence[Mapping[str, object]]) -> int:
    """Store definitions by id and retire those that are gone; return how many are active."""
    rows = [
        {"id": item["id"], **{name: item.get(name) for name in DEFINED}} for item in definitions
    ]
    statement = insert(rule_library)
    changed = {name: statement.excluded[name] for name in DEFINED}
    with database.engine.begin() as connection:
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["id"], set_={**changed, "is_active": True}
            ),
            rows,
        )
        connection.execute(
            rule_library.update()
            .where(rule_library.c.id.not_in([row["id"] for row in rows]))
            .values(is_active=False)
        )
        active = select(func.count()).where(rule_library.c.is_active)
        return int(connection.execute(active).scalar_one())


def load_rules(database: Database) -> list[Rule]:
    """Return the active rules, in the order of their ids."""
    columns = [rule_library.c[name] for name in Rule.__dataclass_fields__]
    query = select(*columns).where(rule_library.c.is_active).order_by(rule_library.c.id)
    with database.engine.connect() as connection:
        return [Rule(**row) for row in connection.execute(query).mappings()]
