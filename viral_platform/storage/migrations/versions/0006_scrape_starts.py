"""Scheduled scrapes are rows, written before their actor run is started.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def _instant(name: str, *, nullable: bool) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "scrape_starts",
        _instant("tick", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        _instant("requested_at", nullable=False),
        sa.Column("actor_run_id", sa.Text(), comment="of the run at Apify"),
        _instant("started_at", nullable=True),
        sa.Column("run_status", sa.Text(), comment="how the run ended; its cost is settled then"),
        sa.Column("problem", sa.Text(), comment="why nothing was started, or why it is unclear"),
        sa.CheckConstraint(
            "state in ('starting', 'started', 'refused', 'unclear')", name="ck_scrape_starts_state"
        ),
        sa.PrimaryKeyConstraint("tick", name="pk_scrape_starts"),
        sa.UniqueConstraint("actor_run_id", name="uq_scrape_starts_actor_run_id"),
        schema="app",
        comment="Scheduled scrapes by the time of their tick: one start each at most.",
    )


def downgrade() -> None:
    op.drop_table("scrape_starts", schema="app")
