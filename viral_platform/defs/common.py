"""What the asset modules share: owners, retries, and a refusal that says why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from viral_platform.engine.errors import (
    GateRefusedError,
    NotEnoughDataError,
    NotFoundError,
    ViralPlatformError,
)

MODELLING = ["team:modelling"]
DATA = ["team:data"]

# The database restarting or a connection dropped; everything else is not helped by a rerun.
DATABASE_RETRIES = dg.RetryPolicy(
    max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
INPUT_UNUSABLE, GATE_REFUSED = "input_unusable", "gate_refused"


@contextmanager
def nothing_made_with_reason() -> Iterator[None]:
    """Turn too little data, or a refused gate, into a failure that says why and is not retried."""
    try:
        yield
    except (NotEnoughDataError, NotFoundError) as error:
        raise _failure(error, INPUT_UNUSABLE) from error
    except GateRefusedError as error:
        raise _failure(error, GATE_REFUSED) from error


def _failure(error: ViralPlatformError, kind: str) -> dg.Failure:
    return dg.Failure(
        description=f"Nothing was materialised: {error}",
        metadata={"reason": str(error), "kind": kind},
        allow_retries=False,
    )


def simulated_label(*, is_simulated: bool) -> dict[str, dg.MetadataValue]:
    """Return the metadata that labels results made from simulated data."""
    return {"data": dg.MetadataValue.text("SIMULATED feed" if is_simulated else "real crawls")}
