"""`viral costs`: what calls to providers cost, by UTC day, provider and model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from viral_platform.cli.output import JsonFlag, emit, open_installation, table
from viral_platform.services.costs import cents, cost_rows, spend_of_days
from viral_platform.storage.costs import DailyTotal

_DaysOption = Annotated[
    int, typer.Option("--days", min=1, max=365, help="UTC days to show, today included.")
]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("costs")(costs_command)


def costs_command(*, days: _DaysOption = 7, json: JsonFlag = False) -> None:
    """Print the spend by day, provider and model; estimates are calls without a known cost."""
    totals = spend_of_days(open_installation().database, days, today=datetime.now(UTC).date())
    emit(cost_rows(totals), as_json=json, human=lambda: _rendered(totals, days))


def _rendered(totals: Sequence[DailyTotal], days: int) -> Table | str:
    span = "on this UTC day" if days == 1 else f"in the last {days} UTC days"
    if not totals:
        return f"No call to a provider was paid {span}."
    rows = [
        {**row, "US cents": f"{cents(total.total_microdollars):,.4f}"}
        for row, total in zip(cost_rows(totals), totals, strict=True)
    ]
    sum_ = {
        "date": "total",
        "provider": "",
        "model": "",
        "calls": sum(total.calls for total in totals),
        "estimates": sum(total.estimates for total in totals),
        "US cents": f"{cents(sum(total.total_microdollars for total in totals)):,.4f}",
    }
    return table(f"Spend {span}", [*rows, sum_], list(sum_))
