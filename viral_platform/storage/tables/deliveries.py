"""How crawls start and arrive: scrapes by their tick, webhook deliveries."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
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
    Column("tick", DateTime(timezone=True), primary_key=True),
    Column("state", Text, nullable=False),
    instant("requested_at"),
    Column("actor_run_id", Text, unique=True, comment="of the run at Apify"),
    instant("started_at", nullable=True),
    Column("run_status", Text, comment="how the run ended; its cost is settled then"),
    Column("problem", Text, comment="why nothing was started, or why it is unclear"),
    CheckConstraint("state in ('starting', 'started', 'refused', 'unclear')", name="state"),
    comment="Scheduled scrapes by the time of their tick: one start each at most.",
)
