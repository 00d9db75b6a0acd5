"""A webhook delivery remembers how far its dataset was read, and what became of the items.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


_COLUMNS = (
    ("dataset_id", sa.Text(), "of the actor run, as Apify tells it"),
    ("next_offset", sa.BigInteger(), "items of the dataset that were read and stored"),
    ("run_status", sa.Text(), "of the actor run when its dataset was read"),
    ("problem", sa.Text(), "what kept the last attempt from its end, or the data away"),
    ("report", postgresql.JSONB(), "what became of the items so far"),
)


def upgrade() -> None:
    for name, kind, comment in _COLUMNS:
        column = sa.Column(name, kind, nullable=True, comment=comment)
        op.add_column("webhook_inbox", column, schema="app")
    op.create_index(
        "ix_webhook_inbox_open",
        "webhook_inbox",
        ["received_at"],
        schema="app",
        postgresql_where=sa.text("processed_at is null"),
    )
    op.create_index("ix_webhook_inbox_dataset_id", "webhook_inbox", ["dataset_id"], schema="app")


def downgrade() -> None:
    op.drop_index("ix_webhook_inbox_dataset_id", table_name="webhook_inbox", schema="app")
    op.drop_index("ix_webhook_inbox_open", table_name="webhook_inbox", schema="app")
    for name, _, _ in reversed(_COLUMNS):
        op.drop_column("webhook_inbox", name, schema="app")
