"""The stand-in for Apify: actor runs and their datasets of simulated posts."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from viral_platform.engine.errors import InputError
from viral_platform.sandbox.dirt import error_item
from viral_platform.sandbox.stand_ins.apify_datasets import Dataset, simulated_items
from viral_platform.sandbox.stand_ins.apify_posts import items_for
from viral_platform.sandbox.stand_ins.apify_runs import SimulatedRun
from viral_platform.sandbox.stand_ins.apify_webhooks import (
    CREATED,
    Dispatch,
    Webhook,
    deliver,
    deliver_until_taken,
    dispatch,
    event_of,
    read_webhooks,
)
from viral_platform.sandbox.stand_ins.exchange import (
    Answer,
    Document,
    Provider,
    Received,
    Route,
    as_json,
    garbage,
)
from viral_platform.sandbox.stand_ins.faults import Fault

NO_LIMIT = 999_999_999_999
START_USD, ITEM_USD = 0.001, 0.004

_STATUS_OF = {
    Fault.RATE_LIMITED: 429,
    Fault.SERVER_ERROR: 503,
    Fault.UNAUTHORIZED: 401,
    Fault.OUT_OF_CREDIT: 402,
    Fault.NOT_FOUND: 404,
}
_ERRORS: dict[int, tuple[str, str]] = {
    400: ("invalid-request", "The request is not valid"),
    401: ("user-or-token-not-found", "User was not found or authentication token is not valid"),
    402: (
        "actor-memory-limit-exceeded",
        "By launching this job you will exceed the memory limit of your account",
    ),
    403: ("insufficient-permissions", "Insufficient permissions"),
    404: ("record-not-found", "Record was not found"),
    429: ("rate-limit-exceeded", "You have exceeded the rate limit of 60 requests per second"),
    500: ("internal-server-error", "Internal server error"),
}


class ApifyStandIn(Provider):
    """Answers as the API would, and sends the webhooks of runs.

    Attributes
    ----------
    run_seconds : float, optional
        How long runs take that are started over HTTP; None: until they are looked at twice.
    retry_seconds : float
        Pause before a webhook that was not taken is sent again; each further one is doubled.
    """

    name = "apify"
    routes = (
        Route("POST", re.compile(r"/v2/act(?:or)?s/(?P<actor>[^/]+)/runs"), "start"),
        Route("GET", re.compile(r"/v2/actor-runs/(?P<id>[^/]+)"), "run"),
        Route("GET", re.compile(r"/v2/datasets/(?P<id>[^/]+)/items"), "items"),
    )

    def __init__(self) -> None:
        self.run_seconds: float | None = None
        self.retry_seconds = 60.0
        self._brought: tuple[list[Document], datetime] | None = None
        self._runs: dict[str, SimulatedRun] = {}
        self._numbers = itertools.count(1)
        self._sending: set[asyncio.Task[None]] = set()

    def forget(self) -> None:
        """Drop all runs; what they have not sent yet stays unsent."""
        self.run_seconds = None
        self.retry_seconds = 60.0
        self._brought = None
        self._runs.clear()

    def bring(self, items: list[Document], *, started_at: datetime) -> None:
        """Let runs that are started over HTTP begin at a time and bring these items.

        Parameters
        ----------
        items : list of dict
            In the place of those that belong to the run's input; its caps still cut them.
        started_at : datetime
            Aware.
        """
        self._brought = items, started_at

    def dataset(
        self,
        items: int,
        *,
        seed: int = 1,
        dirt: bool = False,
        status: str = "SUCCEEDED",
        ends_after: float = 0.0,
        usd: float = 0.25,
        started_at: datetime | None = None,
    ) -> SimulatedRun:
        """Add a run whose dataset has so many simulated items; they are made when they are read.

        Parameters
        ----------
        items : int
            How many.
        seed : int, default 1
            The same seed gives the same items.
        dirt : bool, default False
            Whether copies, errors of the scraper and broken items are among them.
        status : str, default "SUCCEEDED"
            How the run ends, `ends_after` seconds from now.
        usd : float, default 0.25
            What it costs.
        started_at : datetime, optional
            Aware; now when it is not given.
        """
        return self._add(
            actor="simulated",
            started_at=started_at,
            total=items,
            item=simulated_items(seed, dirt=dirt),
            usd=usd,
            final_status=status,
            ends_after=ends_after,
        )

    def grow(self, run_id: str, items: int, *, at_offset: int = 0) -> None:
        """Let items appear in a run's dataset once a page from `at_offset` on was read."""
        self._runs[run_id].dataset.growth.append((at_offset, items))

    def end(self, run_id: str, status: str = "SUCCEEDED") -> None:
        """Let a run stand at a status from now on."""
        run = self._runs[run_id]
        run.final_status, run.ends_after = status, 0.0

    def expire(self, run_id: str) -> None:
        """Delete a run's dataset, as Apify does after some days."""
        self._runs[run_id].dataset.is_expired = True

    def empty(self, run_id: str) -> None:
        """Take all items out of a run's dataset."""
        self._runs[run_id].dataset.total = 0

    def dispatch(
        self, run_id: str, *, to: str = "http://127.0.0.1/", event_type: str | None = None
    ) -> Dispatch:
        """Return what a webhook with the default template sends of a run's end."""
        run = self._runs[run_id]
        webhook = Webhook(event_types=(), request_url=to)
        shown = run.document(run.final_status, says_usage=True)
        return dispatch(webhook, event_type or event_of(run.final_status), shown)

    def deliver(
        self,
        run_id: str,
        *,
        times: int = 1,
        to: str | None = None,
        event_type: str | None = None,
    ) -> list[int]:
        """Send a run's event now, each webhook's so many times; return the answers' statuses.

        Parameters
        ----------
        run_id : str
            The run.
        times : int, default 1
            More than once are duplicates: one dispatch id.
        to : str, optional
            Where to, by the default template; the run's own webhooks when it is not given.
        event_type : str, optional
            The end of the run when it is not given.
        """
        run = self._runs[run_id]
        event_type = event_type or event_of(run.final_status)
        if to is not None:
            return deliver(self.dispatch(run_id, to=to, event_type=event_type), times)
        shown = run.document(run.final_status, says_usage=True)
        return [
            status
            for webhook in run.webhooks
            if event_type in webhook.event_types
            for status in deliver(dispatch(webhook, event_type, shown), times)
        ]

    def answer(self, request: Received, parts: dict[str, str]) -> Answer:
        """Return the answer, or the error that the request or a fault asks for."""
        planned = request.planned
        if planned and planned.fault is Fault.GARBAGE:
            return garbage()
        if planned and planned.fault in _STATUS_OF:
            status = int(planned.options.get("status", _STATUS_OF[planned.fault]))
            headers = {}
            if planned.fault is Fault.RATE_LIMITED:
                headers["retry-after"] = str(planned.options.get("retry_after", 1))
            return _error(status, headers=headers)
        token = request.key or request.query.get("token", "")
        if not token:
            return _error(401, "token-not-provided", "Authentication token was not provided")
        if "invalid" in token:
            return _error(401)
        if request.operation == "start":
            return self._start(request, parts["actor"])
        if request.operation == "run":
            return self._run(request, parts["id"])
        return self._items(request, parts["id"])

    def _start(self, request: Received, actor: str) -> Answer:
        body = request.document()
        if body is None:
            return _error(400, "invalid-input", "Input is not valid: it must be a JSON object")
        for name in ("postURLs", "hashtags", "profiles"):
            if not isinstance(body.get(name, []), list):
                return _error(
                    400, "invalid-input", f"Input is not valid: Field input.{name} must be array"
                )
        try:
            webhooks = read_webhooks(request.query.get("webhooks", "W10="))
        except InputError as error:
            return _error(400, "invalid-request", str(error))
        cap = request.query.get("maxTotalChargeUsd")
        limit = request.query.get("maxItems")
        found, started_at = self._brought or (items_for(body), None)
        items = found[: None if limit is None else int(limit)]
        usd = round(START_USD + ITEM_USD * len(items), 6)
        run = self._add(
            actor=actor,
            body_size=request.size,
            total=len(items),
            item=items.__getitem__,
            usd=usd if cap is None else min(usd, float(cap)),
            started_at=started_at,
            ends_after=0.0 if webhooks and self.run_seconds is None else self.run_seconds,
            webhooks=webhooks,
        )
        if webhooks:
            task = asyncio.get_running_loop().create_task(self._send_events(run))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        status = "SUCCEEDED" if float(request.query.get("waitForFinish", 0)) > 0 else "READY"
        return _shown(run, request, status, http_status=201)

    def _add(
        self,
        *,
        actor: str,
        total: int,
        item: Callable[[int], Document],
        usd: float,
        started_at: datetime | None = None,
        body_size: int = 0,
        final_status: str = "SUCCEEDED",
        ends_after: float | None = None,
        webhooks: list[Webhook] | None = None,
    ) -> SimulatedRun:
        number = next(self._numbers)
        run = SimulatedRun(
            number=number,
            actor=actor,
            started_at=started_at or datetime.now(UTC),
            body_size=body_size,
            dataset=Dataset(f"data{number:013d}", total, item),
            usd=usd,
            final_status=final_status,
            ends_after=ends_after,
            webhooks=webhooks or [],
        )
        self._runs[run.id] = run
        return run

    async def _send_events(self, run: SimulatedRun) -> None:
        """Send what the run's webhooks ask for, at its start and at its end."""
        await self._send(run, CREATED, "RUNNING")
        await asyncio.sleep(run.ends_after or 0.0)
        if run.id in self._runs:
            await self._send(run, event_of(run.final_status), run.final_status)

    async def _send(self, run: SimulatedRun, event_type: str, status: str) -> None:
        shown = run.document(status, says_usage=True)
        wanted = [webhook for webhook in run.webhooks if event_type in webhook.event_types]
        await asyncio.gather(
            *(
                deliver_until_taken(dispatch(webhook, event_type, shown), self.retry_seconds)
                for webhook in wanted
            )
        )

    def _run(self, request: Received, run_id: str) -> Answer:
        run = self._runs.get(run_id)
        if run is None:
            return _error(404, message="Actor run was not found")
        planned = request.planned
        if planned and planned.fault is Fault.RUN_STATUS:
            return _shown(run, request, str(planned.options.get("status", "FAILED")))
        run.polls += 1
        is_waited_for = float(request.query.get("waitForFinish", 0)) > 0
        return _shown(run, request, run.status(is_waited_for=is_waited_for))

    def _items(self, request: Received, dataset_id: str) -> Answer:
        found = [run.dataset for run in self._runs.values() if run.dataset_id == dataset_id]
        if not found or found[0].is_expired:
            return _error(404, message="Dataset was not found")
        dataset = found[0]
        planned = request.planned
        if planned and planned.fault is Fault.EMPTY:
            dataset = Dataset(dataset.id, 0, dataset.item)
        if planned and planned.fault is Fault.ERROR_ITEM:
            dataset = Dataset(dataset.id, 1, lambda _: error_item("simulated"))
        page = _page(dataset, request.query)
        if planned and planned.fault is Fault.TRUNCATED_JSON:
            (body,) = page.chunks
            return replace(page, chunks=(body[: len(body) // 2],))
        return page


def _page(dataset: Dataset, query: dict[str, str]) -> Answer:
    is_descending = query.get("desc") in {"1", "true"}
    offset = int(query.get("offset", 0))
    limit = int(query.get("limit", NO_LIMIT))
    page = dataset.page(offset, limit, is_descending=is_descending)
    headers = {
        "x-apify-pagination-total": str(dataset.total),
        "x-apify-pagination-offset": str(offset),
        "x-apify-pagination-limit": str(limit),
        "x-apify-pagination-count": str(len(page)),
        "x-apify-pagination-desc": str(is_descending).lower(),
    }
    dataset.was_read(offset)
    if query.get("clean") in {"1", "true"}:
        page = [{key: value for key, value in item.items() if key[0] != "#"} for item in page]
        page = [item for item in page if item]
    if query.get("format") == "jsonl":
        lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in page)
        return Answer(200, (lines.encode(),), headers, content_type="application/jsonl")
    return as_json(page, headers=headers)


def _shown(run: SimulatedRun, request: Received, status: str, *, http_status: int = 200) -> Answer:
    fault = request.planned.fault if request.planned else None
    document: dict[str, Any] = run.document(status, says_usage=fault is not Fault.NO_USAGE)
    if fault is Fault.SCHEMA_DRIFT:
        document = {f"{key}_v2": value for key, value in document.items()}
    return as_json({"data": document}, status=http_status)


def _error(
    status: int,
    kind: str | None = None,
    message: str | None = None,
    *,
    headers: dict[str, str] | None = None,
) -> Answer:
    default_kind, default_message = _ERRORS.get(status, _ERRORS[500])
    error = {"type": kind or default_kind, "message": message or default_message}
    return as_json({"error": error}, status=status, headers=headers)
