"""Speed of a prediction over HTTP: text, without language models.

Baseline: a route of the same server that checks the key and inserts one row. Bar: at saturation,
by 16 connections, at least 0.25 of its throughput. p50 and p99 at 50 requests a second are printed
beside it. Rounds alternate. Prints one JSON document.
"""

from __future__ import annotations

import asyncio
import json
import statistics
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from fastapi import Depends
from http_load import Maker, main, paced, percentiles, request, saturated, served
from installation import make_installation
from sqlalchemy import text
from starlette.responses import Response

from viral_platform.api.app import Api
from viral_platform.api.backend import Backend, Shared
from viral_platform.api.security import Caller, requires
from viral_platform.sandbox.feed import Feed
from viral_platform.services.keys import create_key

ROUNDS, SECONDS = 3, 5.0
RATE, PACED_SECONDS = 50, 20.0
RATIO_BAR = 0.25
ROUTE, EMPTY = "/v1/predictions", "/empty"


def add_insert(app: Api) -> None:
    """Add the baseline's route."""

    async def insert(
        backend: Shared, caller: Annotated[Caller, Depends(requires("predict"))]
    ) -> Response:
        await asyncio.to_thread(_insert_row, backend, caller.key_id)
        return Response(status_code=200)

    app.add_api_route(EMPTY, insert, methods=["POST"])


def _insert_row(backend: Backend, key_id: int | None) -> None:
    with backend.database.engine.begin() as connection:
        connection.execute(text("insert into inserted (key_id) values (:id)"), {"id": key_id})


def requests_of(feed: Feed, key: str, path: str) -> Maker:
    """Return a maker of requests about posts of the feed."""
    start = feed.config.start_at
    posts = feed.posts_between(start + timedelta(days=20), start + timedelta(days=30))
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}

    def make(number: int) -> bytes:
        post = posts[number % len(posts)]
        body = {
            "content_text": f"{post.caption} from our kitchen",
            "creator_handle": post.handle,
            "duration_seconds": post.duration_seconds,
        }
        return request(path, headers, json.dumps(body).encode())

    return make


def measure(home: Path) -> dict[str, object]:
    """Measure on an installation under `home`."""
    database, _, feed = make_installation(home)
    key = create_key(database, name="benchmark", scopes=("predict",)).key
    with database.engine.begin() as connection:
        connection.execute(text("create table inserted (key_id bigint)"))
    with served(__file__, home, {}) as server:
        makers = {path: requests_of(feed, key, path) for path in (ROUTE, EMPTY)}
        saturated(server, makers[ROUTE], seconds=3.0, status=200)
        rates: dict[str, list[float]] = {ROUTE: [], EMPTY: []}
        for _ in range(ROUNDS):
            for path, found in rates.items():
                found.append(saturated(server, makers[path], seconds=SECONDS, status=200))
        server.durations(ROUTE)
        seen = paced(server, makers[ROUTE], rate=RATE, seconds=PACED_SECONDS, status=200)
        own = percentiles(server.durations(ROUTE))
    database.close()
    predicted, inserted = (statistics.median(rates[path]) for path in (ROUTE, EMPTY))
    ratio = predicted / inserted
    return {
        "predictions_per_second": round(predicted),
        "inserts_per_second": round(inserted),
        "ratio": round(ratio, 3),
        "rounds": {path: [round(rate) for rate in found] for path, found in rates.items()},
        "at_50_per_second": {"server_side": own, "client_side": percentiles(seen)},
        "bars": {"ratio": RATIO_BAR, "met": ratio >= RATIO_BAR},
    }


if __name__ == "__main__":
    main(__doc__, add_insert, measure)
