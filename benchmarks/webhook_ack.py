"""Speed of a webhook's acknowledgement: a durable row, then 202.

Baseline: an empty route of the same server, behind the same middleware. Bars: at 100 deliveries a
second p99 below 25 ms by the server's own log; at saturation, by 16 connections, at least 0.25 of
the empty route's throughput. Rounds alternate. Prints one JSON document.
"""

from __future__ import annotations

import json
import statistics
import uuid
from pathlib import Path

from http_load import Maker, main, paced, percentiles, request, saturated, served
from starlette.responses import Response

from viral_platform.api.app import Api
from viral_platform.settings import Settings
from viral_platform.storage.database import open_database
from viral_platform.storage.schema import migrate

ROUNDS, SECONDS = 3, 5.0
RATE, PACED_SECONDS = 100, 20.0
P99_BAR_MS, RATIO_BAR = 25.0, 0.25
ROUTE, EMPTY = "/v1/webhooks/apify", "/empty"
SECRET = "benchmark"  # noqa: S105

_BODY = json.dumps(
    {
        "userId": "7sT5jcggjjA9fNcxF",
        "createdAt": "2026-11-01T06:00:00.000Z",
        "eventType": "ACTOR.RUN.SUCCEEDED",
        "eventData": {"actorId": "GdWCkxBtKWOsKjdch", "actorRunId": "HG7ML7M8z78YcAPEB"},
        "resource": {"id": "HG7ML7M8z78YcAPEB", "status": "SUCCEEDED", "buildNumber": "0.0.412"},
    }
).encode()


def add_empty(app: Api) -> None:
    """Add the baseline's route."""

    async def empty() -> Response:
        return Response(status_code=202)

    app.add_api_route(EMPTY, empty, methods=["POST"])


def deliveries(path: str) -> Maker:
    """Return a maker of deliveries, each with an id of its own."""
    series = uuid.uuid4().hex[:12]

    def make(number: int) -> bytes:
        headers = {
            "Content-Type": "application/json",
            "X-Webhook-Secret": SECRET,
            "X-Apify-Webhook-Dispatch-Id": f"{series}-{number}",
        }
        return request(path, headers, _BODY)

    return make


def measure(home: Path) -> dict[str, object]:
    """Measure on an installation under `home`."""
    database = open_database(Settings(viral_home=home, _env_file=None))
    migrate(database)
    with served(__file__, home, {"APIFY_WEBHOOK_SECRET": SECRET}) as server:
        saturated(server, deliveries(ROUTE), seconds=1.0, status=202)
        rates: dict[str, list[float]] = {ROUTE: [], EMPTY: []}
        for _ in range(ROUNDS):
            for path, found in rates.items():
                found.append(saturated(server, deliveries(path), seconds=SECONDS, status=202))
        server.durations(ROUTE)
        seen = paced(server, deliveries(ROUTE), rate=RATE, seconds=PACED_SECONDS, status=202)
        own = percentiles(server.durations(ROUTE))
    database.close()
    acknowledged, empty = (statistics.median(rates[path]) for path in (ROUTE, EMPTY))
    ratio = acknowledged / empty
    return {
        "acknowledged_per_second": round(acknowledged),
        "empty_per_second": round(empty),
        "ratio": round(ratio, 3),
        "rounds": {path: [round(rate) for rate in found] for path, found in rates.items()},
        "at_100_per_second": {"server_side": own, "client_side": percentiles(seen)},
        "bars": {
            "ratio": RATIO_BAR,
            "server_side_p99_ms": P99_BAR_MS,
            "met": ratio >= RATIO_BAR and own["p99_ms"] < P99_BAR_MS,
        },
    }


if __name__ == "__main__":
    main(__doc__, add_empty, measure)
