"""What is learned: rules, training sets, models, Platt parameters."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from viral_platform.storage.tables.base import instant, metadata

rule_library = Table(
    "rule_library",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("pattern", Text),
    Column("score_modifier", Float),
    Column("platform", Text),
    Column("evaluation_prompt", Text),
    Column("improvement_tip", Text, nullable=False),
    Column("evaluation_tier", Text, nullable=False),
    Column("weight", Float, nullable=False, server_default=text("1.0")),
    Column("max_score", Float, nullable=False, server_default=text("10.0")),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    CheckConstraint("evaluation_tier in ('regex', 'semantic')", name="evaluation_tier"),
    comment="Rules that score content. The weight is learned from outcomes.",
)

rule_accuracy = Table(
    "rule_accuracy",
    metadata,
    Column("rule_id", Text, ForeignKey(rule_library.c.id), primary_key=True),
    Column("tier", Text, primary_key=True, comment="instrument that told whether it fired"),
    Column("n_fired", Integer, nullable=False),
    Column("n_not_fired", Integer, nullable=False),
    Column("lift", Float, comment="mean actual_score where it fired minus where it did not"),
    Column("lift_low", Float, comment="95 % interval, Welch"),
    Column("lift_high", Float),
    Column("accuracy", Float, comment="share of pairs of posts in which the one it fired on won"),
    Column("is_simulated", Boolean, nullable=False),
    instant("counted_until"),
    CheckConstraint("tier in ('regex', 'semantic')", name="tier"),
    comment="What outcomes say of each rule, patterns and judge apart. Counts each post once.",
)

training_sets = Table(
    "training_sets",
    metadata,
    Column("sha256", Text, primary_key=True, comment="of the file under VIRAL_HOME/artifacts"),
    Column("rows", Integer, nullable=False),
    Column("videos", Integer, nullable=False),
    Column("summary", JSONB, nullable=False),
    Column("is_simulated", Boolean, nullable=False),
    instant("built_at", now=True),
    comment="Training sets, content-addressed. The one built last is trained on.",
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("version", Text, primary_key=True),
    Column("artifact_sha256", Text, nullable=False),
    Column("data_sha256", Text, nullable=False),
    Column("sidecar", JSONB, nullable=False),
    Column("report", JSONB, nullable=False),
    Column("is_simulated", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    instant("trained_at", now=True),
    instant("promoted_at", nullable=True),
    CheckConstraint("status in ('candidate', 'champion', 'retired')", name="status"),
    Index(
        "ix_model_versions_one_champion",
        "status",
        unique=True,
        postgresql_where=text("status = 'champion'"),
    ),
    comment="Trained tier models with the report that judges them. One champion at most.",
)

platt_parameters = Table(
    "platt_parameters",
    metadata,
    Column("version", Text, primary_key=True),
    Column("input_mode", Text, nullable=False),
    Column("horizon", Text, nullable=False),
    Column("signals", Text, nullable=False, comment="mix of signals that it holds for"),
    Column("model_version", Text, comment="model that it holds for"),
    Column("slope", Float, nullable=False),
    Column("intercept", Float, nullable=False),
    Column("report", JSONB, nullable=False),
    Column("is_simulated", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    instant("fitted_at", now=True),
    instant("activated_at", nullable=True),
    CheckConstraint("status in ('candidate', 'in_force', 'retired')", name="status"),
    Index(
        "ix_platt_parameters_one_in_force",
        "input_mode",
        "horizon",
        unique=True,
        postgresql_where=text("status = 'in_force'"),
    ),
    comment="Platt fits by input mode and horizon with the report that judges them.",
)
