"""Posts of predictions are known, and outcomes say whether they were reported or collected.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# The form of an id, and where it stands in an address.
_ID_IN_ADDRESS = "/[a-z]+/([0-9]{17,19})([^0-9]|$)"


def upgrade() -> None:
    op.add_column(
        "outcomes",
        sa.Column(
            "origin",
            sa.Text(),
            nullable=False,
            server_default=sa.text("'reported'"),
            comment="reported by a caller, or collected by a crawl of ours",
        ),
        schema="app",
    )
    op.create_check_constraint(
        op.f("ck_outcomes_origin"), "outcomes", "origin in ('reported', 'collected')", schema="app"
    )
    op.create_table(
        "predicted_posts",
        sa.Column("analysis_id", sa.Uuid(), nullable=False),
        sa.Column("platform_video_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False, comment="as the scraper is given it"),
        sa.Column(
            "posted_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="by the upper half of the id",
        ),
        sa.Column(
            "named_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")
        ),
        sa.ForeignKeyConstraint(
            ["analysis_id"],
            ["app.analysis_results.id"],
            name="fk_predicted_posts_analysis_id_analysis_results",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("analysis_id", name="pk_predicted_posts"),
        schema="app",
        comment="Which post a prediction was about, once it is known.",
    )
    op.create_index("ix_predicted_posts_posted_at", "predicted_posts", ["posted_at"], schema="app")
    op.execute(
        f"""
        insert into app.predicted_posts (analysis_id, platform_video_id, url, posted_at, named_at)
        select id, video_id, url, to_timestamp(video_id::bigint >> 32), created_at
        from (
            select
                id, created_at, request ->> 'tiktok_url' as url,
                substring(request ->> 'tiktok_url' from '{_ID_IN_ADDRESS}') as video_id
            from app.analysis_results
            where input_mode = 'tiktok_url'
        ) as asked
        where video_id::numeric < 9223372036854775808
        """  # noqa: S608  our own pattern
    )


def downgrade() -> None:
    op.drop_table("predicted_posts", schema="app")
    op.drop_constraint(op.f("ck_outcomes_origin"), "outcomes", schema="app")
    op.drop_column("outcomes", "origin", schema="app")
