"""What calls to providers cost, for the operator."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import JSONResponse, Response

from viral_platform.api.backend import Shared
from viral_platform.api.pages import WholeNumber
from viral_platform.api.problems import documented
from viral_platform.api.schemas import CostRow
from viral_platform.api.security import ADMIN, Caller, requires
from viral_platform.services.costs import cents, spend_of_days

router = APIRouter(prefix="/v1/admin", tags=["admin"])

DEFAULT_DAYS = 30
MAX_DAYS = 365

Days = Annotated[
    WholeNumber,
    Query(ge=1, le=MAX_DAYS, description="UTC days, today included.", examples=[30]),
]


@router.get(
    "/costs",
    response_model=list[CostRow],
    responses=documented(
        "unauthorized",
        "missing_scope",
        "invalid_request",
        "database_unavailable",
        "cron_secret_unset",
    ),
)
def read_costs(
    backend: Shared,
    caller: Annotated[Caller, Depends(requires(ADMIN))],  # noqa: ARG001  it lets in or raises
    days: Days = DEFAULT_DAYS,
) -> Response:
    """Sum the spend by UTC day and model, the newest day first; cents have four decimals."""
    totals: dict[tuple[date, str], int] = defaultdict(int)
    for total in spend_of_days(backend.database, days, today=datetime.now(UTC).date()):
        totals[total.day, total.model] += total.total_microdollars
    by_day = sorted(totals.items(), key=lambda entry: (-entry[0][0].toordinal(), entry[0][1]))
    rows = [
        CostRow(date=day, model=model, total_cost_cents=cents(microdollars))
        for (day, model), microdollars in by_day
    ]
    return JSONResponse([row.model_dump(mode="json") for row in rows])
