"""Batches of prediction requests, from the order to the results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from uuid import uuid4

from viral_platform.engine.contracts import PredictionRequest
from viral_platform.engine.errors import RefusedRequestError
from viral_platform.providers.links import parse_link
from viral_platform.storage import analyses, batches
from viral_platform.storage.database import Database


def store_batch(
    database: Database,
    requests: Sequence[PredictionRequest],
    *,
    key_id: int | None = None,
    launch: bool = False,
) -> str:
    """Store requests for `prediction_job` and return the id of their batch.

    Parameters
    ----------
    database : Database
        Of the installation.
    requests : sequence of PredictionRequest
        At least one.
    key_id : int, optional
        The key that asked over HTTP.
    launch : bool
        Whether the sensor shall launch a run; else the caller answers the batch itself.
    """
    batch_id = f"batch-{uuid4().hex[:12]}"
    batches.save_batch(
        database,
        batch_id,
        [analyses.storable(request) for request in requests],
        key_id=key_id,
        state="queued" if launch else "running",
    )
    return batch_id


def refused_requests(
    requests: Sequence[PredictionRequest],
) -> list[tuple[int, RefusedRequestError]]:
    """Return the places, from 0, of requests whose content is refused, each with the reason."""
    from viral_platform.services.content import check_text  # loads the model's libraries

    refused = []
    for place, request in enumerate(requests):
        try:
            if request.input_mode == "text":
                check_text(request.content_text or "")
            elif request.input_mode == "tiktok_url":
                parse_link(request.tiktok_url or "")
        except RefusedRequestError as error:
            refused.append((place, error))
    return refused


def results_as_json_lines(database: Database, batch_id: str) -> str:
    """Return what became of a batch: line n is the answer to request n, or why there is none."""
    lines = []
    for line in batches.result_lines(database, batch_id):
        refusal = line.problem or {
            "code": "not_answered",
            "problem": "The run of the batch ended before this request.",
            "fix": "Send it again.",
        }
        without = {"position": line.position, "problem": refusal}
        lines.append(line.answer or json.dumps(without, ensure_ascii=False))
    return "".join(f"{line}\n" for line in lines)
