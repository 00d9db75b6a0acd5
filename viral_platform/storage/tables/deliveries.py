"""How crawls start and arrive: scrapes by purpose and key, webhook deliveries."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from viral_platform.storage.tables.base import instant, key, metadata

webhook_inbox = Table(
    "webhook_inbox",
    metadata,
    key(),
    Column("source", Text, nullable=False),
    Column("delivery_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("body", JSON, nullable=False),
    instant("received_at", now=True),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    instant("lease_until", nullable=True),
    instant("processed_at", nullable=True),
    Column("dataset_id", Text, comment="of the actor run, as Apify tells it"),
    Column("next_offset", BigInteger, comment="items of the dataset that were read and stored"),
    Column("run_status", Text, comment="of the actor run when its dataset was read"),
    Column("problem", Text, comment="what kept the last attempt from its end, or the data away"),
    Column("report", JSONB, comment="what became of the items so far"),
    UniqueConstraint("source", "delivery_id"),
    Index(
        "ix_webhook_inbox_open",
        "received_at",
        postgresql_where=text("processed_at is null"),
    ),
    Index(None, "dataset_id"),
    comment="Webhook deliveries, durable before they are answered.",
)

scrape_starts = Table(
    "scrape_starts",
    metadata,
    Column("purpose", Text, primary_key=True),
    Column("key", Text, primary_key=True, comment="unique in its purpose"),
    Column("input", JSONB, nullable=False, comment="what the actor is given"),
    Column("state", Text, nullable=False),
    instant("requested_at"),
    Column("actor_run_id", Text, unique=True, comment="of the run at Apify"),
    instant("started_at", nullable=True),
    Column("run_status", Text, comment="how the run ended; its cost is settled then"),
    Column("problem", Text, comment="why nothing was started, or why it is unclear"),
    CheckConstraint(
        "state in ('queued', 'starting', 'started', 'refused', 'unclear')", name="state"
    ),
    CheckConstraint(
        "purpose in ('trending', 'profile', 'competitors', 'outcomes')", name="purpose"
    ),
    Index(None, "requested_at"),
    comment="Scrapes by purpose and key: one start each at most. A queued one waits for a run.",
)
