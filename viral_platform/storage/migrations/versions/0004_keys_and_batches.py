"""Keys of the HTTP API, who asked for an answer, and where a batch of requests stands.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Earlier batches were answered one request after the other.
_POSITIONS = """
update app.analysis_results as answered
set position = numbered.position
from (
    select id, row_number() over (partition by batch_id order by created_at, id) as position
    from app.analysis_results
    where batch_id is not null
) as numbered
where answered.id = numbered.id
"""
_REQUESTED_BATCHES = """
insert into app.prediction_batches (batch_id, requested_at, total, state, finished_at)
select
    requests.batch_id, min(requests.requested_at), count(*),
    case when count(answers.id) = count(*) then 'done' else 'failed' end,
    min(requests.requested_at)
from app.prediction_requests as requests
left join app.analysis_results as answers
    on answers.batch_id = requests.batch_id and answers.position = requests.position
group by requests.batch_id
"""


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the key, which is not stored"),
        sa.Column("prefix", sa.Text(), nullable=False, comment="its first characters, as a name"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("tier in ('free', 'starter', 'pro')", name="ck_api_keys_tier"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("sha256", name="uq_api_keys_sha256"),
        sa.UniqueConstraint("prefix", name="uq_api_keys_prefix"),
        schema="app",
        comment="Keys of the HTTP API with their scopes.",
    )
    op.create_table(
        "prediction_batches",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=True, comment="who asked over HTTP"),
        sa.Column(
            "requested_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True, comment="Dagster run that took it last"),
        sa.Column("problem", sa.Text(), nullable=True, comment="code of what made it fail"),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('queued', 'running', 'done', 'failed')", name="ck_prediction_batches_state"
        ),
        sa.ForeignKeyConstraint(
            ["key_id"], ["app.api_keys.id"], name="fk_prediction_batches_key_id"
        ),
        sa.PrimaryKeyConstraint("batch_id", name="pk_prediction_batches"),
        schema="app",
        comment="Batches of requests: a queued one is launched by prediction_batch_sensor.",
    )
    op.create_index(
        "ix_prediction_batches_open",
        "prediction_batches",
        ["requested_at"],
        schema="app",
        postgresql_where=sa.text("finished_at is null"),
    )
    op.add_column(
        "prediction_requests",
        sa.Column(
            "problem",
            postgresql.JSONB(),
            nullable=True,
            comment="why its content was refused: code, problem, fix",
        ),
        schema="app",
    )
    op.add_column(
        "analysis_results",
        sa.Column(
            "position",
            sa.Integer(),
            nullable=True,
            comment="of its request in the batch, from 1",
        ),
        schema="app",
    )
    op.execute(_POSITIONS)
    op.add_column(
        "analysis_results",
        sa.Column("key_id", sa.BigInteger(), nullable=True, comment="who asked over HTTP"),
        schema="app",
    )
    op.create_foreign_key(
        "fk_analysis_results_key_id",
        "analysis_results",
        "api_keys",
        ["key_id"],
        ["id"],
        source_schema="app",
        referent_schema="app",
    )
    op.drop_index("ix_analysis_results_created_at", table_name="analysis_results", schema="app")
    op.drop_index("ix_analysis_results_batch_id", table_name="analysis_results", schema="app")
    op.create_index(
        "ix_analysis_results_created_at_id",
        "analysis_results",
        ["created_at", "id"],
        schema="app",
    )
    op.create_index(
        "ix_analysis_results_key_id_created_at_id",
        "analysis_results",
        ["key_id", "created_at", "id"],
        schema="app",
    )
    op.create_unique_constraint(
        "uq_analysis_results_batch_id_position",
        "analysis_results",
        ["batch_id", "position"],
        schema="app",
    )
    op.execute(_REQUESTED_BATCHES)


def downgrade() -> None:
    op.drop_constraint(
        "uq_analysis_results_batch_id_position", "analysis_results", schema="app", type_="unique"
    )
    op.drop_index(
        "ix_analysis_results_key_id_created_at_id", table_name="analysis_results", schema="app"
    )
    op.drop_index("ix_analysis_results_created_at_id", table_name="analysis_results", schema="app")
    op.create_index("ix_analysis_results_batch_id", "analysis_results", ["batch_id"], schema="app")
    op.create_index(
        "ix_analysis_results_created_at", "analysis_results", ["created_at"], schema="app"
    )
    op.drop_constraint(
        "fk_analysis_results_key_id", "analysis_results", schema="app", type_="foreignkey"
    )
    op.drop_column("analysis_results", "key_id", schema="app")
    op.drop_column("analysis_results", "position", schema="app")
    op.drop_column("prediction_requests", "problem", schema="app")
    op.drop_table("prediction_batches", schema="app")
    op.drop_table("api_keys", schema="app")
