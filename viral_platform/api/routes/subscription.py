"""What the caller's account has paid for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from viral_platform.api.backend import Shared
from viral_platform.api.problems import documented
from viral_platform.api.schemas import SubscriptionState
from viral_platform.api.security import Caller, requires
from viral_platform.engine.subscriptions import Subscription
from viral_platform.services.subscriptions import products_of, subscription_of

router = APIRouter(prefix="/v1/subscription", tags=["accounts"])


@router.get(
    "",
    response_model=SubscriptionState,
    responses=documented("unauthorized", "missing_scope", "database_unavailable"),
)
def read_subscription(
    backend: Shared, caller: Annotated[Caller, Depends(requires("read"))]
) -> Response:
    """Tell the tier of the key: by its account's memberships, or its own when it has no account."""
    found = Subscription(caller.tier, None)
    if caller.account is not None:
        products = products_of(backend.settings)
        found = subscription_of(backend.database, caller.account, products, now=datetime.now(UTC))
    held = found.membership
    state = SubscriptionState(
        account=caller.account,
        tier=found.tier,
        status=None if held is None else held.status,
        whop_connected=held is not None,
        cancel_at_period_end=held is not None and held.cancel_at_period_end,
        current_period_end=None if held is None else held.period_end,
    )
    return JSONResponse(state.model_dump(mode="json"))
