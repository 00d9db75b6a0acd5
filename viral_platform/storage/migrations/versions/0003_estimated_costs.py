"""A cost event says whether its cost is an estimate, set aside before the call.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "cost_events",
        sa.Column(
            "is_estimate",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="the cost is the ceiling that was set aside before the call",
        ),
        schema="app",
    )


def downgrade() -> None:
    op.drop_column("cost_events", "is_estimate", schema="app")
