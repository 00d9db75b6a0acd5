"""The stand-in for Apify: actor runs and their datasets of simulated posts."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from viral_platform.sandbox.dirt import error_item
from viral_platform.sandbox.stand_ins.apify_posts import items_for
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
_RUNNING = frozenset({"READY", "RUNNING"})


@dataclass
class _Run:
    number: int
    actor: str
    started_at: datetime
    body_size: int
    items: list[Document]
    charge_cap_usd: float | None
    polls: int = 0

    @property
    def id(self) -> str:
        return f"run{self.number:014d}"

    @property
    def dataset_id(self) -> str:
        return f"data{self.number:013d}"

    def usd(self) -> float:
        usd = round(START_USD + ITEM_USD * len(self.items), 6)
        return usd if self.charge_cap_usd is None else min(usd, self.charge_cap_usd)

    def document(self, status: str, *, says_usage: bool) -> Document:
        """Return the run as the API shows it, with every field that its client requires."""
        started = self.started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        is_over = status not in _RUNNING
        shown: Document = {
            "id": self.id,
            "actId": "GdWCkxBtKWOsKjdch",
            "userId": "7sT5jcggjjA9fNcxF",
            "startedAt": started,
            "finishedAt": started if is_over else None,
            "status": status,
            "statusMessage": f"Simulated run of {self.actor}" if is_over else None,
            "isStatusMessageTerminal": True if is_over else None,
            "meta": {"origin": "API"},
            "stats": {"inputBodyLen": self.body_size, "restartCount": 0, "computeUnits": 0.001},
            "options": {
                "build": "latest",
                "timeoutSecs": 3600,
                "memoryMbytes": 1024,
                "diskMbytes": 2048,
            },
            "buildId": "7sTc5jAXbgnjRpgRd",
            "buildNumber": "0.0.412",
            "exitCode": 0 if status == "SUCCEEDED" else None,
            "defaultKeyValueStoreId": f"store{self.number:012d}",
            "defaultDatasetId": self.dataset_id,
            "defaultRequestQueueId": f"queue{self.number:012d}",
        }
        if says_usage:
            shown["usageTotalUsd"] = self.usd() if is_over else 0
        return shown


class ApifyStandIn(Provider):
    """Answers as the API would; a run is over when it is looked at twice or waited for."""

    name = "apify"
    routes = (
        Route("POST", re.compile(r"/v2/act(?:or)?s/(?P<actor>[^/]+)/runs"), "start"),
        Route("GET", re.compile(r"/v2/actor-runs/(?P<id>[^/]+)"), "run"),
        Route("GET", re.compile(r"/v2/datasets/(?P<id>[^/]+)/items"), "items"),
    )

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}
        self._numbers = itertools.count(1)

    def forget(self) -> None:
        """Drop all runs."""
        self._runs.clear()

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
        cap = request.query.get("maxTotalChargeUsd")
        limit = request.query.get("maxItems")
        run = _Run(
            number=next(self._numbers),
            actor=actor,
            started_at=datetime.now(UTC),
            body_size=request.size,
            items=items_for(body)[: None if limit is None else int(limit)],
            charge_cap_usd=None if cap is None else float(cap),
        )
        self._runs[run.id] = run
        status = "SUCCEEDED" if float(request.query.get("waitForFinish", 0)) > 0 else "READY"
        return _shown(run, request, status, http_status=201)

    def _run(self, request: Received, run_id: str) -> Answer:
        run = self._runs.get(run_id)
        if run is None:
            return _error(404, message="Actor run was not found")
        planned = request.planned
        if planned and planned.fault is Fault.RUN_STATUS:
            return _shown(run, request, str(planned.options.get("status", "FAILED")))
        run.polls += 1
        is_waited_for = float(request.query.get("waitForFinish", 0)) > 0
        return _shown(run, request, "SUCCEEDED" if is_waited_for or run.polls > 1 else "RUNNING")

    def _items(self, request: Received, dataset_id: str) -> Answer:
        found = [run for run in self._runs.values() if run.dataset_id == dataset_id]
        if not found:
            return _error(404, message="Dataset was not found")
        items = found[0].items
        planned = request.planned
        if planned and planned.fault is Fault.EMPTY:
            items = []
        if planned and planned.fault is Fault.ERROR_ITEM:
            items = [error_item("simulated")]
        return _page(items, request.query)


def _page(items: list[Document], query: dict[str, str]) -> Answer:
    is_descending = query.get("desc") in {"1", "true"}
    offset = int(query.get("offset", 0))
    limit = int(query.get("limit", NO_LIMIT))
    ordered = items[::-1] if is_descending else items
    page = ordered[offset : offset + limit]
    headers = {
        "x-apify-pagination-total": str(len(items)),
        "x-apify-pagination-offset": str(offset),
        "x-apify-pagination-limit": str(limit),
        "x-apify-pagination-count": str(len(page)),
        "x-apify-pagination-desc": str(is_descending).lower(),
    }
    if query.get("clean") in {"1", "true"}:
        page = [{key: value for key, value in item.items() if key[0] != "#"} for item in page]
        page = [item for item in page if item]
    if query.get("format") == "jsonl":
        lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in page)
        return Answer(200, (lines.encode(),), headers, content_type="application/jsonl")
    return as_json(page, headers=headers)


def _shown(run: _Run, request: Received, status: str, *, http_status: int = 200) -> Answer:
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
