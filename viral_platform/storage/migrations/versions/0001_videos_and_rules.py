"""Videos, snapshots, creators, quarantine and the rule library."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "creator_profiles",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=False, comment="lower case, without @"),
        sa.Column("author_id", sa.Text(), nullable=True),
        sa.Column("display_name", sa.Text(), nullable=True),
        sa.Column("followers", sa.BigInteger(), nullable=True),
        sa.Column("following", sa.BigInteger(), nullable=True),
        sa.Column("hearts", sa.BigInteger(), nullable=True),
        sa.Column("video_count", sa.BigInteger(), nullable=True),
        sa.Column("is_verified", sa.Boolean(), nullable=True),
        sa.Column("is_simulated", sa.Boolean(), nullable=False),
        sa.Column("crawled_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_creator_profiles")),
        sa.UniqueConstraint("platform", "handle", name=op.f("uq_creator_profiles_platform_handle")),
        schema="app",
        comment="Latest state of each creator seen in a crawl.",
    )
    op.create_table(
        "import_files",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column(
            "first_received_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("crawled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_import_files")),
        schema="app",
        comment="Files imported. The first receipt is the crawl time of items that carry none.",
    )
    op.create_table(
        "quarantined_items",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("file_sha256", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column(
            "position", sa.BigInteger(), nullable=False, comment="number of the item, from 1"
        ),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("item", sa.JSON(), nullable=False),
        sa.Column("crawled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "quarantined_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantined_items")),
        sa.UniqueConstraint(
            "file_sha256", "position", name=op.f("uq_quarantined_items_file_sha256_position")
        ),
        schema="app",
        comment="Items that failed validation, with the reason and the raw item.",
    )
    op.create_table(
        "rule_library",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("pattern", sa.Text(), nullable=True),
        sa.Column("score_modifier", sa.Float(), nullable=True),
        sa.Column("platform", sa.Text(), nullable=True),
        sa.Column("evaluation_prompt", sa.Text(), nullable=True),
        sa.Column("improvement_tip", sa.Text(), nullable=False),
        sa.Column("evaluation_tier", sa.Text(), nullable=False),
        sa.Column("weight", sa.Float(), server_default=sa.text("1.0"), nullable=False),
        sa.Column("max_score", sa.Float(), server_default=sa.text("10.0"), nullable=False),
        sa.Column("accuracy_rate", sa.Float(), nullable=True),
        sa.Column("sample_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.CheckConstraint(
            "evaluation_tier in ('regex', 'semantic')", name=op.f("ck_rule_library_evaluation_tier")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_library")),
        sa.UniqueConstraint("name", name=op.f("uq_rule_library_name")),
        schema="app",
        comment="Rules that score content. Weight and accuracy are learned from outcomes.",
    )
    op.create_table(
        "scraped_videos",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("platform_video_id", sa.Text(), nullable=False),
        sa.Column("video_url", sa.Text(), nullable=True),
        sa.Column("author_handle", sa.Text(), nullable=True),
        sa.Column("caption", sa.Text(), nullable=False),
        sa.Column("text_language", sa.Text(), nullable=True),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("views", sa.BigInteger(), nullable=True),
        sa.Column("likes", sa.BigInteger(), nullable=True),
        sa.Column("comments", sa.BigInteger(), nullable=True),
        sa.Column("shares", sa.BigInteger(), nullable=True),
        sa.Column("saves", sa.BigInteger(), nullable=True),
        sa.Column("hashtags", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("duration_seconds", sa.Float(), nullable=True),
        sa.Column("sound_id", sa.Text(), nullable=True),
        sa.Column("sound_name", sa.Text(), nullable=True),
        sa.Column("sound_author", sa.Text(), nullable=True),
        sa.Column("sound_is_original", sa.Boolean(), nullable=True),
        sa.Column("is_ad", sa.Boolean(), nullable=True),
        sa.Column("is_slideshow", sa.Boolean(), nullable=True),
        sa.Column(
            "source",
            sa.Text(),
            nullable=False,
            comment="shape of the item: clockworks, apidojo, ...",
        ),
        sa.Column("is_simulated", sa.Boolean(), nullable=False),
        sa.Column("crawled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "first_stored_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scraped_videos")),
        sa.UniqueConstraint(
            "platform",
            "platform_video_id",
            name=op.f("uq_scraped_videos_platform_platform_video_id"),
        ),
        schema="app",
        comment="Latest state of each video. Counts move only with a newer crawl.",
    )
    op.create_index(
        op.f("ix_scraped_videos_author_handle"),
        "scraped_videos",
        ["author_handle"],
        unique=False,
        schema="app",
    )
    op.create_index(
        op.f("ix_scraped_videos_sound_id"),
        "scraped_videos",
        ["sound_id"],
        unique=False,
        schema="app",
    )
    op.create_index(
        "ix_scraped_videos_simulated",
        "scraped_videos",
        ["id"],
        unique=False,
        schema="app",
        postgresql_where=sa.text("is_simulated"),
    )
    op.create_table(
        "video_snapshots",
        sa.Column("video_id", sa.BigInteger(), nullable=False),
        sa.Column("crawled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("views", sa.BigInteger(), nullable=True),
        sa.Column("likes", sa.BigInteger(), nullable=True),
        sa.Column("comments", sa.BigInteger(), nullable=True),
        sa.Column("shares", sa.BigInteger(), nullable=True),
        sa.Column("saves", sa.BigInteger(), nullable=True),
        sa.Column("author_followers", sa.BigInteger(), nullable=True),
        sa.Column("sound_uses", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["video_id"],
            ["app.scraped_videos.id"],
            name=op.f("fk_video_snapshots_video_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("video_id", "crawled_at", name=op.f("pk_video_snapshots")),
        schema="app",
        comment="Counts of a video at one crawl. Append-only.",
    )
    op.create_index(
        op.f("ix_video_snapshots_crawled_at"),
        "video_snapshots",
        ["crawled_at"],
        unique=False,
        schema="app",
        postgresql_using="brin",
    )


def downgrade() -> None:
    op.drop_index(
        op.f("ix_video_snapshots_crawled_at"),
        table_name="video_snapshots",
        schema="app",
        postgresql_using="brin",
    )
    op.drop_table("video_snapshots", schema="app")
    op.drop_index(op.f("ix_scraped_videos_sound_id"), table_name="scraped_videos", schema="app")
    op.drop_index(
        op.f("ix_scraped_videos_author_handle"), table_name="scraped_videos", schema="app"
    )
    op.drop_index("ix_scraped_videos_simulated", table_name="scraped_videos", schema="app")
    op.drop_table("scraped_videos", schema="app")
    op.drop_table("rule_library", schema="app")
    op.drop_table("quarantined_items", schema="app")
    op.drop_table("import_files", schema="app")
    op.drop_table("creator_profiles", schema="app")
