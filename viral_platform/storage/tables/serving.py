"""What is asked and answered: keys, predictions, batches, outcomes, costs."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from viral_platform.storage.tables.base import instant, key, metadata

api_keys = Table(
    "api_keys",
    metadata,
    key(),
    Column("sha256", Text, nullable=False, unique=True, comment="of the key, which is not stored"),
    Column("prefix", Text, nullable=False, unique=True, comment="its first characters, as a name"),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("tier", Text, nullable=False),
    Column("account", Text, comment="whose memberships give its tier"),
    instant("created_at", now=True),
    instant("revoked_at", nullable=True),
    CheckConstraint("tier in ('free', 'starter', 'pro')", name="tier"),
    comment="Keys of the HTTP API with their scopes.",
)

analysis_results = Table(
    "analysis_results",
    metadata,
    Column("id", Uuid, primary_key=True),
    instant("created_at"),
    Column("input_mode", Text, nullable=False),
    Column("content_text", Text, nullable=False),
    Column("creator_handle", Text),
    instant("posted_at", nullable=True),
    Column("overall_score", Float),
    Column("raw_score", Float),
    Column("confidence", Float, nullable=False),
    Column("is_calibrated", Boolean, nullable=False),
    Column("horizon", Text, nullable=False),
    Column("model_version", Text),
    Column("calibration_version", Text),
    Column("engine_version", Text, nullable=False),
    Column("is_degraded", Boolean, nullable=False),
    Column("is_simulated", Boolean, nullable=False),
    Column("latency_ms", Float, nullable=False),
    Column("cost_cents", Numeric(12, 4), nullable=False),
    Column("request", JSONB, nullable=False),
    Column("answer", JSONB, nullable=False),
    Column("batch_id", Text),
    Column("position", Integer, comment="of its request in the batch, from 1"),
    Column("key_id", BigInteger, ForeignKey(api_keys.c.id), comment="who asked over HTTP"),
    # The id is in both, since a page begins after (created_at, id).
    Index(None, "created_at", "id"),
    Index(None, "key_id", "created_at", "id"),
    # One answer a request, however often its batch is run.
    UniqueConstraint("batch_id", "position"),
    comment="Answered predictions: raw and served score, and the versions that made them.",
)

prediction_batches = Table(
    "prediction_batches",
    metadata,
    Column("batch_id", Text, primary_key=True),
    Column("key_id", BigInteger, ForeignKey(api_keys.c.id), comment="who asked over HTTP"),
    instant("requested_at", now=True),
    Column("total", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("run_id", Text, comment="Dagster run that took it last"),
    Column("problem", Text, comment="code of what made it fail"),
    instant("finished_at", nullable=True),
    CheckConstraint("state in ('queued', 'running', 'done', 'failed')", name="state"),
    Index(
        "ix_prediction_batches_open", "requested_at", postgresql_where=text("finished_at is null")
    ),
    comment="Batches of requests: a queued one is launched by prediction_batch_sensor.",
)

prediction_requests = Table(
    "prediction_requests",
    metadata,
    Column("batch_id", Text, primary_key=True),
    Column("position", Integer, primary_key=True, comment="of the request in its batch, from 1"),
    Column("request", JSONB, nullable=False),
    instant("requested_at", now=True),
    Column("problem", JSONB, comment="why its content was refused: code, problem, fix"),
    comment="Requests of batches. A run's config names the batch; what is asked stays here.",
)

outcomes = Table(
    "outcomes",
    metadata,
    Column(
        "analysis_id",
        Uuid,
        ForeignKey(analysis_results.c.id, ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("views", BigInteger, nullable=False),
    Column("likes", BigInteger, nullable=False),
    Column("comments", BigInteger, nullable=False),
    Column("shares", BigInteger, nullable=False),
    Column("saves", BigInteger),
    Column("age_hours", Float, nullable=False),
    Column("engagement", Float, nullable=False, comment="(likes + 2 comments + 3 shares) / views"),
    Column(
        "actual_score",
        Float,
        nullable=False,
        comment="100 x percentile of engagement in the model's training reference",
    ),
    Column("actual_tier", Integer, nullable=False),
    Column("model_version", Text, nullable=False, comment="whose reference judged the outcome"),
    Column("is_simulated", Boolean, nullable=False),
    instant("measured_at"),
    instant("reported_at", now=True),
    Column(
        "origin",
        Text,
        nullable=False,
        server_default=text("'reported'"),
        comment="reported by a caller, or collected by a crawl of ours",
    ),
    CheckConstraint("origin in ('reported', 'collected')", name="origin"),
    comment="What became of a post. One per analysis, measured at one age.",
)

predicted_posts = Table(
    "predicted_posts",
    metadata,
    Column(
        "analysis_id",
        Uuid,
        ForeignKey(analysis_results.c.id, ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("platform_video_id", Text, nullable=False),
    Column("url", Text, nullable=False, comment="as the scraper is given it"),
    Column(
        "posted_at",
        DateTime(timezone=True),
        nullable=False,
        comment="by the upper half of the id",
    ),
    instant("named_at", now=True),
    Index(None, "posted_at"),
    comment="Which post a prediction was about, once it is known.",
)

cost_events = Table(
    "cost_events",
    metadata,
    key(),
    instant("occurred_at"),
    Column("request_id", Text),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("tokens", JSONB, nullable=False),
    Column("cost_microdollars", BigInteger, nullable=False),
    Column("price_version", Text, nullable=False),
    Column(
        "is_estimate",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="the cost is the ceiling that was set aside before the call",
    ),
    Index(None, "occurred_at"),
    comment="Every paid call: tokens by kind, price version, micro-dollars.",
)
