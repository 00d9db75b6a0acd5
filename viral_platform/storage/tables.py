"""The tables of schema `app`: the one place where they are written down.

Alembic migrations build them; schema `marts` belongs to dbt and is not here. Times are UTC
instants (`_at`), counts are bigint, `null` means unknown and never zero.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

SCHEMA = "app"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    },
)


def _instant(name: str, *, nullable: bool = False, now: bool = False) -> Column[object]:
    return Column(
        name,
        DateTime(timezone=True),
        nullable=nullable,
        server_default=func.now() if now else None,
    )


def _key() -> Column[int]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


scraped_videos = Table(
    "scraped_videos",
    metadata,
    _key(),
    Column("platform", Text, nullable=False),
    Column("platform_video_id", Text, nullable=False),
    Column("video_url", Text),
    Column("author_handle", Text),
    Column("caption", Text, nullable=False),
    Column("text_language", Text),
    _instant("posted_at"),
    Column("views", BigInteger),
    Column("likes", BigInteger),
    Column("comments", BigInteger),
    Column("shares", BigInteger),
    Column("saves", BigInteger),
    Column("hashtags", ARRAY(Text), nullable=False),
    Column("duration_seconds", Float),
    Column("sound_id", Text),
    Column("sound_name", Text),
    Column("sound_author", Text),
    Column("sound_is_original", Boolean),
    Column("is_ad", Boolean),
    Column("is_slideshow", Boolean),
    Column("source", Text, nullable=False, comment="shape of the item: clockworks, apidojo, ..."),
    Column("is_simulated", Boolean, nullable=False),
    _instant("crawled_at"),
    _instant("first_stored_at", now=True),
    _instant("updated_at", now=True),
    UniqueConstraint("platform", "platform_video_id"),
    Index(None, "author_handle"),
    Index(None, "sound_id"),
    # Almost always empty or whole: it answers at once whether simulated data is here.
    Index("ix_scraped_videos_simulated", "id", postgresql_where=text("is_simulated")),
    comment="Latest state of each video. Counts move only with a newer crawl.",
)

video_snapshots = Table(
    "video_snapshots",
    metadata,
    Column(
        "video_id",
        BigInteger,
        ForeignKey(scraped_videos.c.id, ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("crawled_at", DateTime(timezone=True), primary_key=True),
    Column("views", BigInteger),
    Column("likes", BigInteger),
    Column("comments", BigInteger),
    Column("shares", BigInteger),
    Column("saves", BigInteger),
    Column("author_followers", BigInteger),
    Column("sound_uses", BigInteger),
    Index(None, "crawled_at", postgresql_using="brin"),
    comment="Counts of a video at one crawl. Append-only.",
)

creator_profiles = Table(
    "creator_profiles",
    metadata,
    _key(),
    Column("platform", Text, nullable=False),
    Column("handle", Text, nullable=False, comment="lower case, without @"),
    Column("author_id", Text),
    Column("display_name", Text),
    Column("followers", BigInteger),
    Column("following", BigInteger),
    Column("hearts", BigInteger),
    Column("video_count", BigInteger),
    Column("is_verified", Boolean),
    Column("is_simulated", Boolean, nullable=False),
    _instant("crawled_at"),
    UniqueConstraint("platform", "handle"),
    comment="Latest state of each creator seen in a crawl.",
)

import_files = Table(
    "import_files",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False),
    _instant("first_received_at", now=True),
    _instant("crawled_at"),
    Column("counts", JSONB, nullable=False),
    comment="Files imported. The first receipt is the crawl time of items that carry none.",
)

quarantined_items = Table(
    "quarantined_items",
    metadata,
    _key(),
    Column("source", Text, nullable=False),
    Column("file_sha256", Text, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("position", BigInteger, nullable=False, comment="number of the item, from 1"),
    Column("field", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    # json and not jsonb: it keeps escapes such as \u0000 that jsonb refuses.
    Column("item", JSON, nullable=False),
    _instant("crawled_at"),
    _instant("quarantined_at", now=True),
    _instant("resolved_at", nullable=True),
    UniqueConstraint("file_sha256", "position"),
    comment="Items that failed validation, with the reason and the raw item.",
)

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
    Column("accuracy_rate", Float),
    Column("sample_count", Integer, nullable=False, server_default=text("0")),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    CheckConstraint("evaluation_tier in ('regex', 'semantic')", name="evaluation_tier"),
    comment="Rules that score content. Weight and accuracy are learned from outcomes.",
)

training_sets = Table(
    "training_sets",
    metadata,
    Column("sha256", Text, primary_key=True, comment="of the file under VIRAL_HOME/artifacts"),
    Column("rows", Integer, nullable=False),
    Column("videos", Integer, nullable=False),
    Column("summary", JSONB, nullable=False),
    Column("is_simulated", Boolean, nullable=False),
    _instant("built_at", now=True),
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
    _instant("trained_at", now=True),
    _instant("promoted_at", nullable=True),
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
    _instant("fitted_at", now=True),
    _instant("activated_at", nullable=True),
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

api_keys = Table(
    "api_keys",
    metadata,
    _key(),
    Column("sha256", Text, nullable=False, unique=True, comment="of the key, which is not stored"),
    Column("prefix", Text, nullable=False, unique=True, comment="its first characters, as a name"),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("tier", Text, nullable=False),
    _instant("created_at", now=True),
    _instant("revoked_at", nullable=True),
    CheckConstraint("tier in ('free', 'starter', 'pro')", name="tier"),
    comment="Keys of the HTTP API with their scopes.",
)

analysis_results = Table(
    "analysis_results",
    metadata,
    Column("id", Uuid, primary_key=True),
    _instant("created_at"),
    Column("input_mode", Text, nullable=False),
    Column("content_text", Text, nullable=False),
    Column("creator_handle", Text),
    _instant("posted_at", nullable=True),
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
    _instant("requested_at", now=True),
    Column("total", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("run_id", Text, comment="Dagster run that took it last"),
    Column("problem", Text, comment="code of what made it fail"),
    _instant("finished_at", nullable=True),
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
    _instant("requested_at", now=True),
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
    _instant("measured_at"),
    _instant("reported_at", now=True),
    comment="What became of a post. One per analysis, measured at one age.",
)

cost_events = Table(
    "cost_events",
    metadata,
    _key(),
    _instant("occurred_at"),
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

webhook_inbox = Table(
    "webhook_inbox",
    metadata,
    _key(),
    Column("source", Text, nullable=False),
    Column("delivery_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("body", JSON, nullable=False),
    _instant("received_at", now=True),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    _instant("lease_until", nullable=True),
    _instant("processed_at", nullable=True),
    Column("dataset_id", Text, comment="of the actor run, as Apify tells it"),
    Column("next_offset", BigInteger, comment="items of the dataset that were read and stored"),
    Column("run_status", Text, comment="of the actor run when its dataset was read"),
    Column("problem", Text, comment="what kept the last attempt from its end, or the data away"),
    Column("report", JSONB, comment="what became of the items so far"),
    UniqueConstraint("source", "delivery_id"),
    Index(
        "ix_webhook_inbox_open",
        "received_at",
        postgresql_where=text("processed_at is null"),
    ),
    Index(None, "dataset_id"),
    comment="Webhook deliveries, durable before they are answered.",
)

scrape_starts = Table(
    "scrape_starts",
    metadata,
    Column("tick", DateTime(timezone=True), primary_key=True),
    Column("state", Text, nullable=False),
    _instant("requested_at"),
    Column("actor_run_id", Text, unique=True, comment="of the run at Apify"),
    _instant("started_at", nullable=True),
    Column("run_status", Text, comment="how the run ended; its cost is settled then"),
    Column("problem", Text, comment="why nothing was started, or why it is unclear"),
    CheckConstraint("state in ('starting', 'started', 'refused', 'unclear')", name="state"),
    comment="Scheduled scrapes by the time of their tick: one start each at most.",
)
