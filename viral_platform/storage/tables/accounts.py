"""Who has paid for what: memberships at Whop."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, DateTime, Index, Table, Text

from viral_platform.storage.tables.base import instant, metadata

memberships = Table(
    "memberships",
    metadata,
    Column("id", Text, primary_key=True),
    Column("status", Text, nullable=False, comment="Whop's word"),
    instant("as_of"),
    Column("account", Text, comment="whose it is, by the name that keys bear"),
    Column("whop_user_id", Text),
    Column("product_id", Text),
    instant("period_end", nullable=True),
    Column("cancel_at_period_end", Boolean, nullable=False),
    Column("read_at", DateTime(timezone=True), comment="when the reading began that held it last"),
    Index(None, "account"),
    comment="Memberships as they stood last, by webhook or by the reading of all.",
)
