"""Whose profiles are scraped: the creators that keys stand for, and watched competitors."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, DateTime, ForeignKey, Table, Text

from viral_platform.storage.tables.base import instant, metadata
from viral_platform.storage.tables.serving import api_keys

key_profiles = Table(
    "key_profiles",
    metadata,
    Column("key_id", BigInteger, ForeignKey(api_keys.c.id), primary_key=True),
    Column("creator_handle", Text, comment="lower case, without @; null: taken back"),
    instant("changed_at"),
    comment="Which creator the holder of a key is.",
)

competitors = Table(
    "competitors",
    metadata,
    Column("handle", Text, primary_key=True, comment="lower case, without @"),
    instant("added_at", now=True),
    comment="Creators whose profiles are scraped daily.",
)

competitor_snapshots = Table(
    "competitor_snapshots",
    metadata,
    Column("handle", Text, primary_key=True, comment="lower case, without @"),
    Column("crawled_at", DateTime(timezone=True), primary_key=True),
    Column("followers", BigInteger),
    Column("hearts", BigInteger),
    Column("video_count", BigInteger, comment="that the profile tells"),
    Column("videos_seen", BigInteger, nullable=False, comment="that the crawl brought"),
    Column("views", BigInteger),
    Column("likes", BigInteger),
    Column("comments", BigInteger),
    Column("shares", BigInteger),
    Column("is_simulated", Boolean, nullable=False),
    comment="A watched creator at one crawl, with sums over the videos that it brought.",
)
