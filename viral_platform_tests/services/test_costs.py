from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from viral_platform.engine.errors import ProviderError
from viral_platform.engine.spend import RequestSpend
from viral_platform.providers.budget import Budget
from viral_platform.providers.pricing import Pricing, Usage
from viral_platform.services.costs import cents, cost_rows, spend_of_days
from viral_platform.storage.costs import CostLedger, DailyTotal
from viral_platform.storage.database import Database

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
USAGE = Usage(1_000, output_tokens=100)


@given(st.integers(0, 10**12))
def test_cents_keep_every_microdollar(microdollars: int) -> None:
    assert round(cents(microdollars) * 10_000) == microdollars
    assert round(cents(microdollars), 4) == cents(microdollars)


def test_rows_bear_the_keys_that_scripts_rely_on() -> None:
    total = DailyTotal(date(2026, 11, 20), "deepseek", "deepseek-flash", 3, 1, 1_028)
    assert cost_rows([total]) == [
        {
            "date": date(2026, 11, 20),
            "provider": "deepseek",
            "model": "deepseek-flash",
            "calls": 3,
            "estimates": 1,
            "total_cost_cents": 0.1028,
        }
    ]


def test_requests_at_once_share_the_days_cap_and_their_meters_equal_their_events(
    database: Database,
) -> None:
    """Twelve requests of three calls each, of which some fail, are cut off or find no money."""
    budget = Budget(CostLedger(database), Pricing(), day_cap_microdollars=12_000, now=lambda: NOON)
    spends = [RequestSpend(f"request-{number}", 2_500) for number in range(12)]
    meters = {spend.request_id: spend.meter("behavior") for spend in spends}
    reasons: set[str] = set()

    async def call(request_id: str, number: int) -> None:
        async with budget.paid_call(
            meters[request_id],
            provider="deepseek",
            model="deepseek-flash",
            operation="reason",
            ceiling=1_000,
        ) as paid:
            await asyncio.sleep(0.005)
            if number == 0:
                paid.free()
            elif number == 1:
                paid.used(USAGE)
            else:
                raise ConnectionResetError

    async def request(spend: RequestSpend) -> None:
        results = await asyncio.gather(
            *(call(spend.request_id, number) for number in range(3)), return_exceptions=True
        )
        reasons.update(error.reason for error in results if isinstance(error, ProviderError))

    async def run() -> None:
        await asyncio.gather(*(request(spend) for spend in spends))

    asyncio.run(run())
    with database.engine.connect() as connection:
        found = connection.execute(
            text(
                "select request_id, sum(cost_microdollars)::bigint as spent "
                "from app.cost_events group by 1"
            )
        )
        booked = {row.request_id: row.spent for row in found}
    charged = {request_id: meter.microdollars for request_id, meter in meters.items()}
    assert {name: spent for name, spent in charged.items() if spent} == {
        name: spent for name, spent in booked.items() if spent
    }
    assert sum(booked.values()) <= 12_000
    assert reasons == {"budget_request", "budget_day"}
    (total,) = spend_of_days(database, 1, today=NOON.date())
    assert total.total_microdollars == sum(charged.values())
