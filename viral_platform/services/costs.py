"""What calls to providers cost, by UTC day, provider and model.

Caps and settlements are in `providers/budget.py`, the ledger in `storage/costs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from viral_platform.storage import costs
from viral_platform.storage.costs import DailyTotal
from viral_platform.storage.database import Database

MICRODOLLARS_PER_CENT = 10_000


def cents(microdollars: int) -> float:
    """Return US cents, exact to four decimals.

    Examples
    --------
    >>> cents(27)
    0.0027
    """
    return microdollars / MICRODOLLARS_PER_CENT


def spend_of_days(database: Database, days: int, *, today: date) -> list[DailyTotal]:
    """Return the spend of the last `days` UTC days, `today` included, the newest day first.

    It comes from the events themselves and is always current.
    """
    return costs.daily_totals(database, days, until=today)


def cost_rows(totals: Sequence[DailyTotal]) -> list[dict[str, object]]:
    """Return the totals under the keys that scripts and callers rely on."""
    return [
        {
            "date": total.day,
            "provider": total.provider,
            "model": total.model,
            "calls": total.calls,
            "estimates": total.estimates,
            "total_cost_cents": cents(total.total_microdollars),
        }
        for total in totals
    ]


def newest_days(database: Database, days: int) -> list[DailyTotal]:
    """Return the mart `daily_costs` from `days` days up to its newest UTC day, that one first.

    Empty when no call was ever paid.

    Raises
    ------
    NotFoundError
        The mart was never built.
    """
    return costs.daily_costs(database, days)
