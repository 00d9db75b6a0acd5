"""Memberships at Whop; keys may belong to an account.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def _instant(name: str, *, nullable: bool) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "memberships",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="Whop's word"),
        _instant("as_of", nullable=False),
        sa.Column("account", sa.Text(), comment="whose it is, by the name that keys bear"),
        sa.Column("whop_user_id", sa.Text()),
        sa.Column("product_id", sa.Text()),
        _instant("period_end", nullable=True),
        sa.Column("cancel_at_period_end", sa.Boolean(), nullable=False),
        sa.Column(
            "read_at",
            sa.DateTime(timezone=True),
            comment="when the reading began that held it last",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_memberships"),
        schema="app",
        comment="Memberships as they stood last, by webhook or by the reading of all.",
    )
    op.create_index("ix_memberships_account", "memberships", ["account"], schema="app")
    op.add_column(
        "api_keys",
        sa.Column("account", sa.Text(), comment="whose memberships give its tier"),
        schema="app",
    )


def downgrade() -> None:
    op.drop_column("api_keys", "account", schema="app")
    op.drop_table("memberships", schema="app")
