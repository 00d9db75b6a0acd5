"""Any scrape is a row by purpose and key; keys have a creator's handle; competitors are watched.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# The naming convention was applied to a name that had it already.
_OLD_CHECK = "ck_scrape_starts_ck_scrape_starts_state"
_STATES = "('starting', 'started', 'refused', 'unclear')"
_STATES_AND_QUEUED = "('queued', 'starting', 'started', 'refused', 'unclear')"


def _instant(name: str, *, nullable: bool, now: bool = False) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=nullable,
        server_default=sa.text("now()") if now else None,
    )


def _count(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger())


def upgrade() -> None:
    op.add_column("scrape_starts", sa.Column("purpose", sa.Text()), schema="app")
    op.add_column(
        "scrape_starts", sa.Column("key", sa.Text(), comment="unique in its purpose"), schema="app"
    )
    op.add_column(
        "scrape_starts",
        sa.Column("input", postgresql.JSONB(), comment="what the actor is given"),
        schema="app",
    )
    # What the actor was given was not kept.
    op.execute(
        """
        update app.scrape_starts set
            purpose = 'trending',
            key = to_char(tick at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"'),
            input = '{}'
        """
    )
    for name in ("purpose", "key", "input"):
        op.alter_column("scrape_starts", name, nullable=False, schema="app")
    op.drop_constraint("pk_scrape_starts", "scrape_starts", schema="app")
    op.create_primary_key("pk_scrape_starts", "scrape_starts", ["purpose", "key"], schema="app")
    op.drop_column("scrape_starts", "tick", schema="app")
    op.drop_constraint(_OLD_CHECK, "scrape_starts", schema="app")
    op.create_check_constraint(
        op.f("ck_scrape_starts_state"),
        "scrape_starts",
        f"state in {_STATES_AND_QUEUED}",
        schema="app",
    )
    op.create_check_constraint(
        op.f("ck_scrape_starts_purpose"),
        "scrape_starts",
        "purpose in ('trending', 'profile', 'competitors', 'outcomes')",
        schema="app",
    )
    op.create_index(
        "ix_scrape_starts_requested_at", "scrape_starts", ["requested_at"], schema="app"
    )
    op.create_table_comment(
        "scrape_starts",
        "Scrapes by purpose and key: one start each at most. A queued one waits for a run.",
        existing_comment="Scheduled scrapes by the time of their tick: one start each at most.",
        schema="app",
    )
    op.create_table(
        "key_profiles",
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("creator_handle", sa.Text(), comment="lower case, without @; null: taken back"),
        _instant("changed_at", nullable=False),
        sa.ForeignKeyConstraint(
            ["key_id"], ["app.api_keys.id"], name="fk_key_profiles_key_id_api_keys"
        ),
        sa.PrimaryKeyConstraint("key_id", name="pk_key_profiles"),
        schema="app",
        comment="Which creator the holder of a key is.",
    )
    op.create_table(
        "competitors",
        sa.Column("handle", sa.Text(), nullable=False, comment="lower case, without @"),
        _instant("added_at", nullable=False, now=True),
        sa.PrimaryKeyConstraint("handle", name="pk_competitors"),
        schema="app",
        comment="Creators whose profiles are scraped daily.",
    )
    op.create_table(
        "competitor_snapshots",
        sa.Column("handle", sa.Text(), nullable=False, comment="lower case, without @"),
        _instant("crawled_at", nullable=False),
        _count("followers"),
        _count("hearts"),
        sa.Column("video_count", sa.BigInteger(), comment="that the profile tells"),
        sa.Column("videos_seen", sa.BigInteger(), nullable=False, comment="that the crawl brought"),
        _count("views"),
        _count("likes"),
        _count("comments"),
        _count("shares"),
        sa.Column("is_simulated", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("handle", "crawled_at", name="pk_competitor_snapshots"),
        schema="app",
        comment="A watched creator at one crawl, with sums over the videos that it brought.",
    )


def downgrade() -> None:
    op.drop_table("competitor_snapshots", schema="app")
    op.drop_table("competitors", schema="app")
    op.drop_table("key_profiles", schema="app")
    op.create_table_comment(
        "scrape_starts",
        "Scheduled scrapes by the time of their tick: one start each at most.",
        existing_comment=None,
        schema="app",
    )
    # Only ticks are known to the revision before.
    op.execute("delete from app.scrape_starts where purpose != 'trending' or state = 'queued'")
    op.drop_index("ix_scrape_starts_requested_at", "scrape_starts", schema="app")
    op.add_column("scrape_starts", _instant("tick", nullable=True), schema="app")
    op.execute("update app.scrape_starts set tick = key::timestamptz")
    op.alter_column("scrape_starts", "tick", nullable=False, schema="app")
    op.drop_constraint("pk_scrape_starts", "scrape_starts", schema="app")
    op.create_primary_key("pk_scrape_starts", "scrape_starts", ["tick"], schema="app")
    for constraint in ("ck_scrape_starts_state", "ck_scrape_starts_purpose"):
        op.drop_constraint(constraint, "scrape_starts", schema="app")
    op.create_check_constraint(
        op.f(_OLD_CHECK), "scrape_starts", f"state in {_STATES}", schema="app"
    )
    for name in ("purpose", "key", "input"):
        op.drop_column("scrape_starts", name, schema="app")
