"""Apify's wire format: actor runs, refusals, broken connections."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import httpx
from pydantic import AwareDatetime, Field, ValidationError, WrapValidator

from viral_platform.engine.errors import ProviderError
from viral_platform.providers import reading
from viral_platform.providers.calls import Failure
from viral_platform.providers.reading import ClientOptions
from viral_platform.providers.wire import (
    WireModel,
    connection_failure,
    http_failure,
    or_none,
    read_body,
    retry_after_seconds,
)

PROVIDER: Literal["apify"] = "apify"
PRICE_VERSION = "apify-run"
UNDER_WAY = frozenset({"READY", "RUNNING", "TIMING-OUT", "ABORTING"})

_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,64}$")]
_Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ActorRun(WireModel):
    """A run of an actor, as far as it is read; `status` is Apify's word."""

    id: _Id
    status: str
    dataset_id: _Id = Field(alias="defaultDatasetId")
    actor_id: Annotated[_Id | None, WrapValidator(or_none)] = Field(None, alias="actId")
    started_at: Annotated[AwareDatetime | None, WrapValidator(or_none)] = Field(
        None, alias="startedAt"
    )
    usage_total_usd: Annotated[_Usd | None, WrapValidator(or_none)] = Field(
        None, alias="usageTotalUsd"
    )

    @property
    def is_under_way(self) -> bool:
        """Whether its dataset may still grow."""
        return self.status in UNDER_WAY

    @property
    def microdollars(self) -> int | None:
        """What it has cost; None when that is not told yet, which Apify says by zero, too."""
        return microdollars(self.usage_total_usd) if self.usage_total_usd else None


class _RunBody(WireModel):
    data: ActorRun


class _Error(WireModel):
    type: str


class _ErrorBody(WireModel):
    error: _Error


def client_options(token: str, base_url: str, *, read_seconds: float) -> ClientOptions:
    """Return how Apify is spoken to.

    Raises
    ------
    ConfigurationError
        The token cannot be sent.
    """
    return reading.client_options(
        token, f"{base_url.rstrip('/')}/v2", setting="APIFY_TOKEN", read_seconds=read_seconds
    )


def read_run(body: bytes) -> ActorRun:
    """Return the run of a successful answer.

    Raises
    ------
    ProviderError
        `not_json` or `schema`.
    """
    return read_body(_RunBody, body, PROVIDER).data


def refusal(response: httpx.Response, content: bytes, now: datetime) -> ProviderError:
    """Return the error that an answer with an error status stands for."""
    try:
        word: str | None = _ErrorBody.model_validate_json(content).error.type
    except ValidationError:
        word = None
    wait = retry_after_seconds(response.headers.get("retry-after"), now)
    return http_failure(PROVIDER, response.status_code, word=word, retry_after=wait).error


def broken(error: httpx.HTTPError) -> Failure:
    """Return the failure that an exception of the HTTP layer stands for."""
    unknown = ProviderError(PROVIDER, "unreachable", type(error).__name__)
    return connection_failure(PROVIDER, error) or Failure(unknown, is_free=False)


def microdollars(usd: float) -> int:
    """Return US dollars in whole micro-dollars."""
    return round(usd * 1_000_000)
