"""Group `costs`: paid calls, and what the operator is shown of the spend they add up to."""

from collections.abc import Mapping, Sequence

import dagster as dg

from viral_platform.defs.common import DATA
from viral_platform.defs.plots import spend_by_day
from viral_platform.services.costs import cents
from viral_platform.storage.costs import DailyTotal

SHOWN_DAYS = 30

cost_events = dg.AssetSpec(
    "cost_events",
    group_name="costs",
    kinds={"postgres"},
    owners=DATA,
    description="Every paid call to a provider: tokens by kind, micro-dollars, price version. A "
    "row is written with its ceiling before the call and settled after it. Written by the "
    "providers' budget.",
)


def cost_metadata(
    totals: Sequence[DailyTotal],
) -> Mapping[str, dg.MetadataValue | str | int | float]:
    """Return what the operator is shown of the mart `daily_costs`, newest day first."""
    if not totals:
        return {"n": 0, "why": "No call to a provider was paid yet."}
    newest = totals[0].day
    days = {total.day for total in totals}
    return {
        "n": sum(total.calls for total in totals),
        "period": f"{min(days)} to {newest} (UTC days)",
        "spent_cents_newest_day": cents(
            sum(total.total_microdollars for total in totals if total.day == newest)
        ),
        "spent_cents": cents(sum(total.total_microdollars for total in totals)),
        "estimates": sum(total.estimates for total in totals),
        "spend_by_day": spend_by_day(totals),
    }
