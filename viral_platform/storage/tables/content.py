"""What crawls bring: videos, their snapshots, creators, files, rejected items."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from viral_platform.storage.tables.base import instant, key, metadata

scraped_videos = Table(
    "scraped_videos",
    metadata,
    key(),
    Column("platform", Text, nullable=False),
    Column("platform_video_id", Text, nullable=False),
    Column("video_url", Text),
    Column("author_handle", Text),
    Column("caption", Text, nullable=False),
    Column("text_language", Text),
    instant("posted_at"),
    Column("views", BigInteger),
    Column("likes", BigInteger),
    Column("comments", BigInteger),
    Column("shares", BigInteger),
    Column("saves", BigInteger),
    Column("hashtags", ARRAY(Text), nullable=False),
    Column("duration_seconds", Float),
    Column("sound_id", Text),
    Column("sound_name", Text),
    Column("sound_author", Text),
    Column("sound_is_original", Boolean),
    Column("is_ad", Boolean),
    Column("is_slideshow", Boolean),
    Column("source", Text, nullable=False, comment="shape of the item: clockworks, apidojo, ..."),
    Column("is_simulated", Boolean, nullable=False),
    instant("crawled_at"),
    instant("first_stored_at", now=True),
    instant("updated_at", now=True),
    UniqueConstraint("platform", "platform_video_id"),
    Index(None, "author_handle"),
    Index(None, "sound_id"),
    # Almost always empty or whole: it answers at once whether simulated data is here.
    Index("ix_scraped_videos_simulated", "id", postgresql_where=text("is_simulated")),
    comment="Latest state of each video. Counts move only with a newer crawl.",
)

video_snapshots = Table(
    "video_snapshots",
    metadata,
    Column(
        "video_id",
        BigInteger,
        ForeignKey(scraped_videos.c.id, ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("crawled_at", DateTime(timezone=True), primary_key=True),
    Column("views", BigInteger),
    Column("likes", BigInteger),
    Column("comments", BigInteger),
    Column("shares", BigInteger),
    Column("saves", BigInteger),
    Column("author_followers", BigInteger),
    Column("sound_uses", BigInteger),
    Index(None, "crawled_at", postgresql_using="brin"),
    comment="Counts of a video at one crawl. Append-only.",
)

creator_profiles = Table(
    "creator_profiles",
    metadata,
    key(),
    Column("platform", Text, nullable=False),
    Column("handle", Text, nullable=False, comment="lower case, without @"),
    Column("author_id", Text),
    Column("display_name", Text),
    Column("followers", BigInteger),
    Column("following", BigInteger),
    Column("hearts", BigInteger),
    Column("video_count", BigInteger),
    Column("is_verified", Boolean),
    Column("is_simulated", Boolean, nullable=False),
    instant("crawled_at"),
    UniqueConstraint("platform", "handle"),
    comment="Latest state of each creator seen in a crawl.",
)

import_files = Table(
    "import_files",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False),
    instant("first_received_at", now=True),
    instant("crawled_at"),
    Column("counts", JSONB, nullable=False),
    comment="Files imported. The first receipt is the crawl time of items that carry none.",
)

quarantined_items = Table(
    "quarantined_items",
    metadata,
    key(),
    Column("source", Text, nullable=False),
    Column("file_sha256", Text, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("position", BigInteger, nullable=False, comment="number of the item, from 1"),
    Column("field", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    # json and not jsonb: it keeps escapes such as \u0000 that jsonb refuses.
    Column("item", JSON, nullable=False),
    instant("crawled_at"),
    instant("quarantined_at", now=True),
    instant("resolved_at", nullable=True),
    UniqueConstraint("file_sha256", "position"),
    comment="Items that failed validation, with the reason and the raw item.",
)

sound_identities = Table(
    "sound_identities",
    metadata,
    Column("sound_id", Text, primary_key=True, comment="empty when not known"),
    Column("sound_name", Text, primary_key=True),
    Column("sound_author", Text, primary_key=True, comment="empty when not known"),
    Column("sound_key", Text, comment="null for a generic name without an id"),
    Column("block", Text, comment="names are compared within; null: never"),
    Column("title", Text, comment="first title of its group, without an id"),
    Column("linked_ids", ARRAY(Text), nullable=False),
    Index(None, "block"),
    comment="Names of sounds as crawls write them, with the sound that each is.",
)
