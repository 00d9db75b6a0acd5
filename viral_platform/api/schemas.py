"""What goes over the wire beside the engine's own messages, with examples for the document."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from pydantic.json_schema import SkipJsonSchema

from viral_platform.engine.contracts import (
    Count,
    PredictionAnswer,
    PredictionRequest,
    Share,
    StrictModel,
    TrendPhase,
)
from viral_platform.providers.breaker import BreakerStatus
from viral_platform.storage.batches import BatchState

MAX_JOB_REQUESTS = 1_000

_TEXT_EXAMPLE: JsonDict = {
    "input_mode": "text",
    "content_text": "Wait for it: three knife skills nobody taught you #cooking #fyp",
    "creator_handle": "some.cook",
    "posted_at": "2026-03-01T18:00:00Z",
    "duration_seconds": 21,
}
_URL_EXAMPLE: JsonDict = {
    "input_mode": "tiktok_url",
    "tiktok_url": "https://www.tiktok.com/@some.cook/video/7301234567890123456",
}
_OUTCOME_EXAMPLE: JsonDict = {
    "analysis_id": "3f0c1d52-6d0e-4c29-9d3b-0d6a7f2f8a11",
    "views": 18_400,
    "likes": 2_100,
    "comments": 64,
    "shares": 130,
    "measured_at": "2026-03-09T18:00:00Z",
}


class PredictionBody(PredictionRequest):
    """What is asked: a text, or the URL of a TikTok post. A null field counts as absent."""

    model_config = ConfigDict(json_schema_extra={"examples": [_TEXT_EXAMPLE, _URL_EXAMPLE]})

    input_mode: Literal["text", "tiktok_url"] = "text"
    tiktok_url: Annotated[str | None, Field(max_length=2048)] = None
    # A path on this machine is nothing that a caller may name.
    video_storage_path: SkipJsonSchema[None] = None
    niche: Annotated[str | None, Field(max_length=200)] = None
    creator_handle: Annotated[str | None, Field(max_length=100)] = None
    society_id: Annotated[str | None, Field(max_length=200)] = None
    hashtags: Annotated[
        list[Annotated[str, Field(max_length=200)]] | None,
        Field(max_length=100, description="Tags of the post; absent: those in the caption."),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, document: object) -> object:
        if not isinstance(document, dict):
            return document
        return {
            name: value
            for name, value in document.items()
            if value is not None or name not in cls.model_fields
        }


class JobBody(StrictModel):
    """Requests to answer together, each as for one prediction."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"requests": [_TEXT_EXAMPLE, _URL_EXAMPLE]}]}
    )

    requests: Annotated[list[PredictionBody], Field(min_length=1, max_length=MAX_JOB_REQUESTS)]


class OutcomeBody(StrictModel):
    """Counts of a post that was predicted, read 168 hours or more after it was posted."""

    model_config = ConfigDict(json_schema_extra={"examples": [_OUTCOME_EXAMPLE]})

    analysis_id: Annotated[UUID, Field(description="Id in the answer of the prediction.")]
    views: Annotated[Count, Field(ge=1)]
    likes: Count
    comments: Count
    shares: Count
    saves: Count | None = None
    measured_at: Annotated[
        AwareDatetime | None, Field(description="When the counts were read; absent: now.")
    ] = None
    posted_at: Annotated[
        AwareDatetime | None,
        Field(description="When it was posted; needed when the prediction does not know it."),
    ] = None


class PredictionPage(BaseModel):
    """Answers as they were given, the newest first."""

    data: list[PredictionAnswer]
    next_cursor: Annotated[str | None, Field(description="Where the next page begins.")]
    has_more: bool


class Job(BaseModel):
    """Where a batch stands; `answered` and `refused` of its `total` requests are done with."""

    batch_id: str
    status: BatchState
    total: int
    answered: int
    refused: int
    requested_at: datetime
    finished_at: datetime | None
    problem: Annotated[str | None, Field(description="Code of what made it fail.")]


class OutcomeResult(BaseModel):
    """A stored outcome: what was measured, and what that means.

    `actual_score` is 100 x the percentile of the measured engagement in the training reference of
    the model that `model_version` names; `delta` is `actual_score` minus `predicted_score`.
    """

    analysis_id: UUID
    views: int
    likes: int
    comments: int
    shares: int
    saves: int | None
    age_hours: float
    engagement: float
    actual_score: float
    actual_tier: int
    predicted_score: float | None
    delta: float | None
    model_version: str
    measured_at: datetime
    reported_at: datetime


class CostRow(BaseModel):
    """What the calls to one model cost on one UTC day, US cents."""

    date: date
    model: str
    total_cost_cents: float


class SoundTrend(BaseModel):
    """A row of the mart `trending_sounds`; its columns are described in the dbt project."""

    model_config = ConfigDict(extra="ignore")

    sound_key: str
    sound_id: str | None
    sound_name: str | None
    sound_author: str | None
    is_original: bool | None
    is_generic_name: bool
    video_count: int
    videos_with_velocity: int
    snapshots: int
    total_views: int | None
    views_gained: int | None
    hours_observed: float | None
    views_per_hour: float | None
    growth_per_day: float | None
    acceleration: float | None
    velocity_score: float | None
    trend_phase: TrendPhase
    first_posted_at: datetime | None
    last_posted_at: datetime | None
    new_videos: int
    is_simulated: bool


class SoundTrends(BaseModel):
    """Sounds by their speed, generic names last, with the window of crawls that they speak of."""

    window_start: datetime | None
    window_end: datetime | None
    data: list[SoundTrend]


class HashtagTrend(BaseModel):
    """A row of the mart `trending_hashtags`; its columns are described in the dbt project."""

    model_config = ConfigDict(extra="ignore")

    hashtag: str
    video_count: int
    videos_with_velocity: int
    snapshots: int
    share: Share
    is_saturated: bool
    total_views: int | None
    views_gained: int | None
    hours_observed: float | None
    views_per_hour: float | None
    growth_per_day: float | None
    acceleration: float | None
    trend_phase: TrendPhase
    is_simulated: bool


class HashtagTrends(BaseModel):
    """Hashtags by their speed, saturated ones last, with the window that they speak of."""

    window_start: datetime | None
    window_end: datetime | None
    data: list[HashtagTrend]


class Creator(BaseModel):
    """What is usual for a creator: medians over `n_posts` posts, `n_mature` of them mature.

    `median_engagement` is (likes + 2 comments + 3 shares) / views. Those `_at_maturity` are of the
    counts at 168 hours of age, for the `n_at_maturity` posts of which these are known: they compare
    creators whose posts were crawled at differing ages. Without a usable crawl medians are null.
    """

    handle: str
    followers: int | None
    n_posts: int
    n_mature: Annotated[int, Field(description="Posts measured at 168 hours of age or more.")]
    median_engagement: float | None
    median_views: float | None
    n_at_maturity: int
    median_views_at_maturity: float | None
    median_engagement_at_maturity: float | None
    last_crawled_at: datetime
    is_simulated: bool


class Alive(BaseModel):
    """The process serves."""

    status: Literal["ok"] = "ok"


class ProviderState(BaseModel):
    """How the breaker of a provider stands in this process."""

    status: BreakerStatus | Literal["not_configured"]
    consecutive_failures: int = 0
    retry_in_seconds: float | None = None


class Readiness(BaseModel):
    """Whether predictions can be answered, and which parts of an answer would be missing.

    `unavailable` comes with status 503, `degraded` and `ready` with 200.
    """

    status: Literal["ready", "degraded", "unavailable"]
    reasons: list[str]
    degraded: Annotated[list[str], Field(description="Parts that are missing in answers.")]
    database: Literal["ok", "unavailable"]
    schema_revision: str | None
    schema_head: str
    champion: Annotated[str | None, Field(description="Version of the model that serves.")]
    providers: dict[str, ProviderState]


class ProblemDetails(BaseModel):
    """An error as in RFC 9457. `code` is stable; `errors` and `fix` are there where they help."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[dict[str, Any]] | None = None
    fix: str | None = None


BODIES: tuple[type[BaseModel], ...] = (PredictionBody, JobBody, OutcomeBody, ProblemDetails)
