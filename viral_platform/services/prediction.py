"""One method answers everyone: the op, the command line and, later, the API.

The service loads what a prediction draws on, keeps it for a short while, asks the providers,
stores each answer and never lets a failing part fail the answer. How a score is made is in
`engine/pipeline.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from uuid import uuid4

import sentry_sdk
import structlog

from viral_platform.engine import pipeline
from viral_platform.engine.contracts import (
    CreatorFacts,
    PredictionAnswer,
    PredictionRequest,
)
from viral_platform.engine.errors import (
    DatabaseUnavailableError,
    NotFoundError,
    RefusedRequestError,
)
from viral_platform.engine.features import horizon_of
from viral_platform.engine.normalize import normalize
from viral_platform.engine.prediction import Deadlines, Sources
from viral_platform.engine.spend import RequestSpend
from viral_platform.engine.what_if import Change, WhatIf, what_if
from viral_platform.observability.logging import get_logger
from viral_platform.providers.breaker import BreakerState
from viral_platform.services.answers import LoggingObserver, answer_of, report, unstored
from viral_platform.services.background_loop import BackgroundLoop
from viral_platform.services.content import Content, read_content
from viral_platform.services.posts import post_of_request
from viral_platform.services.providers import Providers, open_providers
from viral_platform.services.shared_inputs import SharedInputs
from viral_platform.settings import Settings
from viral_platform.storage import analyses, batches
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database

log = get_logger(__name__)

# A database that hangs holds an answer up no longer than this.
STORE_SECONDS = 5.0
# More at once would only wait for the providers' own limits.
ANSWERS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a request comes from."""

    key_id: int | None
    batch_id: str | None
    position: int | None


def open_service(settings: Settings, database: Database) -> PredictionService:
    """Return the service of an installation, with the providers whose keys are set.

    Raises
    ------
    ConfigurationError
        A configured model has no price.
    """
    artifacts = ArtifactStore(settings.artifacts)
    return PredictionService(database, artifacts, open_providers(settings, database))


class PredictionService:
    """Answers prediction requests from one installation's database, artifacts and providers.

    Parameters
    ----------
    database, artifacts
        Of the installation.
    providers : Providers, optional
        Whom the language-model stages ask; without, those signals are absent.
    clock : callable
        Seconds, monotonic.
    deadlines : Deadlines
        How long stages may take.
    """

    def __init__(
        self,
        database: Database,
        artifacts: ArtifactStore,
        providers: Providers | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._database = database
        self._shared = SharedInputs(database, artifacts, clock)
        self._providers = providers or Providers()
        self._clock = clock
        self._deadlines = deadlines or Deadlines(total=self._providers.deadline_seconds)
        self._loop = BackgroundLoop("predictions")

    def predict(
        self,
        request: PredictionRequest,
        *,
        batch_id: str | None = None,
        position: int | None = None,
        key_id: int | None = None,
        request_id: str | None = None,
    ) -> PredictionAnswer:
        """Return the answer to one request, stored under its id.

        A part that cannot be loaded, asked or stored degrades the answer, which says so.

        Raises
        ------
        RefusedRequestError
            The content breaks a rule; nothing was asked or stored.
        """
        return self.submit(
            request, batch_id=batch_id, position=position, key_id=key_id, request_id=request_id
        ).result()

    def submit(
        self,
        request: PredictionRequest,
        *,
        batch_id: str | None = None,
        position: int | None = None,
        key_id: int | None = None,
        request_id: str | None = None,
    ) -> Future[PredictionAnswer]:
        """Start what `predict` does and return at once.

        The answer is stored with the batch and the place in it that it belongs to, and with the
        key that asked over HTTP.
        """
        origin = _Origin(key_id, batch_id, position)
        return self._loop.submit(lambda: self._answer(request, origin, request_id))

    def predict_batch(self, batch_id: str, *, run_id: str | None = None) -> list[PredictionAnswer]:
        """Answer the requests of a batch that have no answer yet; return these, in their order.

        Several are answered at once. A request whose content is refused gets no answer; why is
        stored in its place.

        Parameters
        ----------
        batch_id : str
            Of stored requests.
        run_id : str, optional
            The Dagster run that answers them.

        Raises
        ------
        NotFoundError
            There is no such batch.
        GateRefusedError
            Another process answers it.
        DatabaseUnavailableError
            An answer could not be stored; those before it are.
        """
        with (
            batches.answering(self._database, batch_id, run_id) as batch,
            ThreadPoolExecutor(ANSWERS_AT_ONCE) as answerers,
        ):

            def answer(placed: tuple[int, PredictionRequest]) -> PredictionAnswer | None:
                position, request = placed
                return self._answer_in_batch(request, batch_id, position, batch.key_id)

            # After an error what is under way is still stored, and nothing new is begun.
            answers = list(answerers.map(answer, batch.requests))
        return [answer for answer in answers if answer is not None]

    def breakers(self) -> dict[str, BreakerState]:
        """Return how the breaker of each configured provider stands."""
        return {breaker.provider: breaker.state() for breaker in self._providers.breakers}

    def what_if(self, request: PredictionRequest, changes: Sequence[Change]) -> WhatIf:
        """Return what the served model says of a post as it is and with changes.

        Raises
        ------
        RefusedRequestError
            The content breaks a rule.
        InputError
            A change does not fit the post.
        NotFoundError
            No model is served.
        """
        return self._loop.submit(lambda: self._what_if(request, changes)).result()

    def refresh(self) -> None:
        """Forget what is kept; the next request reads it anew."""
        self._shared.refresh()

    def __enter__(self) -> PredictionService:
        """Return the service."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the service."""
        self.close()

    def close(self) -> None:
        """End what still runs, and the connections to providers."""
        self._loop.submit(self._providers.close).result()
        self._loop.close()

    def _answer_in_batch(
        self, request: PredictionRequest, batch_id: str, position: int, key_id: int | None
    ) -> PredictionAnswer | None:
        try:
            answer = self.predict(request, batch_id=batch_id, position=position, key_id=key_id)
        except RefusedRequestError as error:
            batches.refuse_request(self._database, batch_id, position, error)
            return None
        if not answer.stored:
            raise DatabaseUnavailableError(
                f"Answer {position} of batch {batch_id} could not be stored. "
                "Run the batch again when the database answers."
            )
        return answer

    async def _answer(
        self, request: PredictionRequest, origin: _Origin, request_id: str | None
    ) -> PredictionAnswer:
        started = self._clock()
        answer_id = str(uuid4())
        with sentry_sdk.isolation_scope() as scope:
            name = request_id or answer_id
            scope.set_tag("request_id", name)
            with structlog.contextvars.bound_contextvars(request_id=name):
                content = await read_content(analyses.storable(request), self._providers)
                answer = await self._predicted(content, answer_id, name, started)
                answer = await self._stored(content.request, answer, origin)
                log.info(
                    "pipeline complete",
                    analysis_id=answer.id,
                    duration_ms=round((self._clock() - started) * 1000, 3),
                    cost_cents=answer.cost_cents,
                    degraded=answer.degraded,
                    model_version=answer.model_version,
                )
                return answer

    async def _what_if(self, request: PredictionRequest, changes: Sequence[Change]) -> WhatIf:
        content = await read_content(analyses.storable(request), self._providers)
        kept = await self._shared.current()
        if kept.model is None:
            raise NotFoundError("No model is served. Run: viral run retrain_ml.")
        payload = normalize(content.request)
        handle = payload.creator_handle
        creator = await self._shared.creator(handle) if handle else None
        return what_if(
            kept.model,
            pipeline.video_facts(payload),
            creator or CreatorFacts(),
            content.request.snapshot,
            changes,
        )

    async def _predicted(
        self, content: Content, answer_id: str, request_id: str, started: float
    ) -> PredictionAnswer:
        kept = await self._shared.current()
        prediction = await pipeline.predict(
            content.request,
            kept.inputs(),
            Sources(
                analyst=self._providers.analyst,
                behavior=self._providers.behavior,
                post=content.post,
                creator=self._shared.creator,
                video=content.video,
            ),
            RequestSpend(request_id, self._providers.request_cap_microdollars),
            clock=self._clock,
            observer=LoggingObserver(),
            deadlines=self._deadlines,
        )
        asked = prediction.request
        platt = kept.calibrations.get((asked.input_mode, horizon_of(asked.snapshot)))
        return answer_of(
            prediction,
            answer_id=answer_id,
            calibration_version=None if platt is None else platt.version,
            is_simulated=bool(kept.simulated) or content.is_simulated,
            seconds=self._clock() - started,
        )

    async def _stored(
        self, request: PredictionRequest, answer: PredictionAnswer, origin: _Origin
    ) -> PredictionAnswer:
        started = self._clock()
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await asyncio.to_thread(
                    analyses.save_answer,
                    self._database,
                    request,
                    answer,
                    batch_id=origin.batch_id,
                    position=origin.position,
                    key_id=origin.key_id,
                    post=post_of_request(request, answer.created_at),
                )
        except Exception as error:  # noqa: BLE001  an answer that was paid for is still given
            report("store", error)
            return unstored(answer, self._clock() - started)
        return answer
