"""What outcomes say of each rule, in a table of its own, patterns and judge apart.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


_FORMER_COMMENT = "Rules that score content. Weight and accuracy are learned from outcomes."


def upgrade() -> None:
    op.create_table(
        "rule_accuracy",
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column(
            "tier", sa.Text(), nullable=False, comment="instrument that told whether it fired"
        ),
        sa.Column("n_fired", sa.Integer(), nullable=False),
        sa.Column("n_not_fired", sa.Integer(), nullable=False),
        sa.Column(
            "lift", sa.Float(), comment="mean actual_score where it fired minus where it did not"
        ),
        sa.Column("lift_low", sa.Float(), comment="95 % interval, Welch"),
        sa.Column("lift_high", sa.Float()),
        sa.Column(
            "accuracy",
            sa.Float(),
            comment="share of pairs of posts in which the one it fired on won",
        ),
        sa.Column("is_simulated", sa.Boolean(), nullable=False),
        sa.Column("counted_until", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("tier in ('regex', 'semantic')", name="ck_rule_accuracy_tier"),
        sa.ForeignKeyConstraint(
            ["rule_id"], ["app.rule_library.id"], name="fk_rule_accuracy_rule_id"
        ),
        sa.PrimaryKeyConstraint("rule_id", "tier", name="pk_rule_accuracy"),
        schema="app",
        comment="What outcomes say of each rule, patterns and judge apart. Counts each post once.",
    )
    op.create_table_comment(
        "rule_library",
        "Rules that score content. The weight is learned from outcomes.",
        existing_comment=_FORMER_COMMENT,
        schema="app",
    )
    # Nothing ever filled them: what they were for stands in rule_accuracy, by instrument.
    op.drop_column("rule_library", "accuracy_rate", schema="app")
    op.drop_column("rule_library", "sample_count", schema="app")


def downgrade() -> None:
    op.create_table_comment("rule_library", _FORMER_COMMENT, schema="app")
    op.add_column("rule_library", sa.Column("accuracy_rate", sa.Float()), schema="app")
    op.add_column(
        "rule_library",
        sa.Column("sample_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        schema="app",
    )
    op.drop_table("rule_accuracy", schema="app")
