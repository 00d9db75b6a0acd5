"""Names of sounds with the sound that each was found to be.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sound_identities",
        sa.Column("sound_id", sa.Text(), nullable=False, comment="empty when not known"),
        sa.Column("sound_name", sa.Text(), nullable=False),
        sa.Column("sound_author", sa.Text(), nullable=False, comment="empty when not known"),
        sa.Column("sound_key", sa.Text(), comment="null for a generic name without an id"),
        sa.Column("block", sa.Text(), comment="names are compared within; null: never"),
        sa.Column("title", sa.Text(), comment="first title of its group, without an id"),
        sa.Column("linked_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint(
            "sound_id", "sound_name", "sound_author", name="pk_sound_identities"
        ),
        schema="app",
        comment="Names of sounds as crawls write them, with the sound that each is.",
    )
    op.create_index("ix_sound_identities_block", "sound_identities", ["block"], schema="app")


def downgrade() -> None:
    op.drop_table("sound_identities", schema="app")
