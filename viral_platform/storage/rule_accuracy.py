"""Outcomes with what was found of each rule, and what they say of the rules, as rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from viral_platform.engine.contracts import EvaluationTier, RuleFinding
from viral_platform.engine.rule_accuracy import RuleAccuracy
from viral_platform.storage.database import Database
from viral_platform.storage.tables import outcomes, rule_accuracy, rule_library

# One run at a time looks at the weights and moves them.
_ADVISORY_LOCK = 7_271_011

# A creator publishes one post at a time; without a creator the text stands for them. Of several
# answers to one post the last one saw what was published.
_POSTS = text(
    """
    select distinct on (creator, post_text, posted_second)
        answer -> 'rule_findings' as findings, actual_score, is_simulated
    from (
        select
            nullif(lower(ltrim(trim(analyses.creator_handle), '@')), '') as creator,
            case when nullif(ltrim(trim(analyses.creator_handle), '@'), '') is null
                then analyses.content_text
            end as post_text,
            round(
                extract(epoch from outcomes.measured_at) - outcomes.age_hours::numeric * 3600
            ) as posted_second,
            analyses.answer, outcomes.actual_score, analyses.created_at, analyses.id,
            outcomes.is_simulated or analyses.is_simulated as is_simulated
        from app.outcomes as outcomes
        join app.analysis_results as analyses on analyses.id = outcomes.analysis_id
        where outcomes.age_hours <= :max_age_hours and analyses.answer ? 'rule_findings'
    ) as judged
    order by creator, post_text, posted_second, created_at desc, id
    """
)
_FIGURES = [rule_accuracy.c[name] for name in RuleAccuracy.__dataclass_fields__]


@dataclass(frozen=True, slots=True)
class PostRow:
    """A post with an outcome: what was found of each rule, and the percentile it reached."""

    findings: Mapping[str, RuleFinding]
    actual_score: float
    is_simulated: bool


@dataclass(frozen=True, slots=True)
class WeighedRule:
    """An active rule with its weight and what outcomes said of it, None before the first time."""

    rule_id: str
    name: str
    tier: EvaluationTier
    is_fault: bool
    weight: float
    found: RuleAccuracy | None
    is_simulated: bool | None
    counted_until: datetime | None


@contextmanager
def weighing(database: Database) -> Iterator[Connection]:
    """Yield a connection in one transaction; while it lasts no other run weighs rules."""
    with database.engine.begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
        yield connection


def newest_outcome(connection: Connection) -> datetime | None:
    """Return when the last outcome was reported, None without any."""
    newest: datetime | None = connection.execute(select(func.max(outcomes.c.reported_at))).scalar()
    return newest


def load_posts(connection: Connection, *, max_age_hours: float) -> list[PostRow]:
    """Return each post with an outcome of equal age once, by the last answer that has one."""
    rows = connection.execute(_POSTS, {"max_age_hours": max_age_hours})
    return [PostRow(**row) for row in rows.mappings()]


def load_weighed(connection: Connection) -> list[WeighedRule]:
    """Return the active rules by their ids, with what their own instrument has told so far."""
    query = (
        select(
            rule_library.c.id,
            rule_library.c.name,
            rule_library.c.evaluation_tier,
            rule_library.c.score_modifier,
            rule_library.c.weight,
            *_FIGURES,
            rule_accuracy.c.is_simulated,
            rule_accuracy.c.counted_until,
        )
        .join_from(
            rule_library,
            rule_accuracy,
            and_(
                rule_accuracy.c.rule_id == rule_library.c.id,
                rule_accuracy.c.tier == rule_library.c.evaluation_tier,
            ),
            isouter=True,
        )
        .where(rule_library.c.is_active)
        .order_by(rule_library.c.id)
    )
    return [_weighed(row) for row in connection.execute(query).mappings()]


def _weighed(row: Mapping[Any, Any]) -> WeighedRule:
    found = None
    if row[rule_accuracy.c.rule_id] is not None:
        found = RuleAccuracy(**{column.name: row[column] for column in _FIGURES})
    return WeighedRule(
        rule_id=row[rule_library.c.id],
        name=row[rule_library.c.name],
        tier=row[rule_library.c.evaluation_tier],
        is_fault=(row[rule_library.c.score_modifier] or 0.0) < 0,
        weight=row[rule_library.c.weight],
        found=found,
        is_simulated=row[rule_accuracy.c.is_simulated],
        counted_until=row[rule_accuracy.c.counted_until],
    )


def save_accuracies(
    connection: Connection,
    found: Sequence[RuleAccuracy],
    *,
    is_simulated: bool,
    counted_until: datetime,
) -> None:
    """Store what outcomes say, in the place of what they said before."""
    names = list(RuleAccuracy.__dataclass_fields__)
    rows = [
        {
            **{name: getattr(one, name) for name in names},
            "is_simulated": is_simulated,
            "counted_until": counted_until,
        }
        for one in found
    ]
    statement = insert(rule_accuracy)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["rule_id", "tier"],
            set_={
                column.name: statement.excluded[column.name]
                for column in rule_accuracy.columns
                if not column.primary_key
            },
        ),
        rows,
    )


def save_weights(connection: Connection, weights: Mapping[str, float]) -> None:
    """Put weights in force; requests see them within 30 seconds."""
    for rule_id, weight in weights.items():
        connection.execute(
            update(rule_library).where(rule_library.c.id == rule_id).values(weight=weight)
        )
