"""Models, calibration, answers, outcomes, costs and the webhook inbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "analysis_results",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("input_mode", sa.Text(), nullable=False),
        sa.Column("content_text", sa.Text(), nullable=False),
        sa.Column("creator_handle", sa.Text(), nullable=True),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("overall_score", sa.Float(), nullable=True),
        sa.Column("raw_score", sa.Float(), nullable=True),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("is_calibrated", sa.Boolean(), nullable=False),
        sa.Column("horizon", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=True),
        sa.Column("calibration_version", sa.Text(), nullable=True),
        sa.Column("engine_version", sa.Text(), nullable=False),
        sa.Column("is_degraded", sa.Boolean(), nullable=False),
        sa.Column("is_simulated", sa.Boolean(), nullable=False),
        sa.Column("latency_ms", sa.Float(), nullable=False),
        sa.Column("cost_cents", sa.Numeric(precision=12, scale=4), nullable=False),
        sa.Column("request", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_analysis_results")),
        schema="app",
        comment="Answered predictions: raw and served score, and the versions that made them.",
    )
    op.create_index(
        op.f("ix_analysis_results_batch_id"),
        "analysis_results",
        ["batch_id"],
        unique=False,
        schema="app",
    )
    op.create_index(
        op.f("ix_analysis_results_created_at"),
        "analysis_results",
        ["created_at"],
        unique=False,
        schema="app",
    )
    op.create_table(
        "prediction_requests",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column(
            "position",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="of the request in its batch, from 1",
        ),
        sa.Column("request", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "requested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("batch_id", "position", name=op.f("pk_prediction_requests")),
        schema="app",
        comment="Requests of batches. A run's config names the batch; what is asked stays here.",
    )
    op.create_table(
        "cost_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("tokens", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("cost_microdollars", sa.BigInteger(), nullable=False),
        sa.Column("price_version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cost_events")),
        schema="app",
        comment="Every paid call: tokens by kind, price version, micro-dollars.",
    )
    op.create_index(
        op.f("ix_cost_events_occurred_at"),
        "cost_events",
        ["occurred_at"],
        unique=False,
        schema="app",
    )
    op.create_table(
        "model_versions",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("artifact_sha256", sa.Text(), nullable=False),
        sa.Column("data_sha256", sa.Text(), nullable=False),
        sa.Column("sidecar", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("report", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("is_simulated", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column(
            "trained_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status in ('candidate', 'champion', 'retired')", name=op.f("ck_model_versions_status")
        ),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_model_versions")),
        schema="app",
        comment="Trained tier models with the report that judges them. One champion at most.",
    )
    op.create_index(
        "ix_model_versions_one_champion",
        "model_versions",
        ["status"],
        unique=True,
        schema="app",
        postgresql_where=sa.text("status = 'champion'"),
    )
    op.create_table(
        "platt_parameters",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("input_mode", sa.Text(), nullable=False),
        sa.Column("horizon", sa.Text(), nullable=False),
        sa.Column("signals", sa.Text(), nullable=False, comment="mix of signals that it holds for"),
        sa.Column("model_version", sa.Text(), nullable=True, comment="model that it holds for"),
        sa.Column("slope", sa.Float(), nullable=False),
        sa.Column("intercept", sa.Float(), nullable=False),
        sa.Column("report", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("is_simulated", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column(
            "fitted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status in ('candidate', 'in_force', 'retired')",
            name=op.f("ck_platt_parameters_status"),
        ),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_platt_parameters")),
        schema="app",
        comment="Platt fits by input mode and horizon with the report that judges them.",
    )
    op.create_index(
        "ix_platt_parameters_one_in_force",
        "platt_parameters",
        ["input_mode", "horizon"],
        unique=True,
        schema="app",
        postgresql_where=sa.text("status = 'in_force'"),
    )
    op.create_table(
        "training_sets",
        sa.Column(
            "sha256", sa.Text(), nullable=False, comment="of the file under VIRAL_HOME/artifacts"
        ),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("videos", sa.Integer(), nullable=False),
        sa.Column("summary", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("is_simulated", sa.Boolean(), nullable=False),
        sa.Column(
            "built_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_training_sets")),
        schema="app",
        comment="Training sets, content-addressed. The one built last is trained on.",
    )
    op.create_table(
        "webhook_inbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_inbox")),
        sa.UniqueConstraint(
            "source", "delivery_id", name=op.f("uq_webhook_inbox_source_delivery_id")
        ),
        schema="app",
        comment="Webhook deliveries, durable before they are answered.",
    )
    op.create_table(
        "outcomes",
        sa.Column("analysis_id", sa.Uuid(), nullable=False),
        sa.Column("views", sa.BigInteger(), nullable=False),
        sa.Column("likes", sa.BigInteger(), nullable=False),
        sa.Column("comments", sa.BigInteger(), nullable=False),
        sa.Column("shares", sa.BigInteger(), nullable=False),
        sa.Column("saves", sa.BigInteger(), nullable=True),
        sa.Column("age_hours", sa.Float(), nullable=False),
        sa.Column(
            "engagement",
            sa.Float(),
            nullable=False,
            comment="(likes + 2 comments + 3 shares) / views",
        ),
        sa.Column(
            "actual_score",
            sa.Float(),
            nullable=False,
            comment="100 x percentile of engagement in the model's training reference",
        ),
        sa.Column("actual_tier", sa.Integer(), nullable=False),
        sa.Column(
            "model_version", sa.Text(), nullable=False, comment="whose reference judged the outcome"
        ),
        sa.Column("is_simulated", sa.Boolean(), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "reported_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["analysis_id"],
            ["app.analysis_results.id"],
            name=op.f("fk_outcomes_analysis_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("analysis_id", name=op.f("pk_outcomes")),
        schema="app",
        comment="What became of a post. One per analysis, measured at one age.",
    )


def downgrade() -> None:
    op.drop_table("prediction_requests", schema="app")
    op.drop_table("outcomes", schema="app")
    op.drop_table("webhook_inbox", schema="app")
    op.drop_table("training_sets", schema="app")
    op.drop_index(
        "ix_platt_parameters_one_in_force",
        table_name="platt_parameters",
        schema="app",
        postgresql_where=sa.text("status = 'in_force'"),
    )
    op.drop_table("platt_parameters", schema="app")
    op.drop_index(
        "ix_model_versions_one_champion",
        table_name="model_versions",
        schema="app",
        postgresql_where=sa.text("status = 'champion'"),
    )
    op.drop_table("model_versions", schema="app")
    op.drop_index(op.f("ix_cost_events_occurred_at"), table_name="cost_events", schema="app")
    op.drop_table("cost_events", schema="app")
    op.drop_index(
        op.f("ix_analysis_results_created_at"), table_name="analysis_results", schema="app"
    )
    op.drop_index(op.f("ix_analysis_results_batch_id"), table_name="analysis_results", schema="app")
    op.drop_table("analysis_results", schema="app")
