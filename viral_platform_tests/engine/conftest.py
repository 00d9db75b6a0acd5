"""Training rows of simulated videos, made once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from viral_platform.engine.splits import judge_by_time
from viral_platform.engine.tier_model import TierModel, TrainingRows, fit
from viral_platform.engine.training_rows import VideoHistory, build_rows

Histories = Callable[..., list[VideoHistory]]


@pytest.fixture(scope="session")
def rows(simulate_histories: Histories) -> TrainingRows:
    """Rows of videos whose engagement lasts."""
    return build_rows(simulate_histories())


@pytest.fixture(scope="session")
def model(rows: TrainingRows) -> TierModel:
    """A model fitted on all of `rows`."""
    return fit(rows)


@pytest.fixture(scope="session")
def judged_by_time(rows: TrainingRows) -> tuple[TierModel, object]:
    """The model and report of the split by time."""
    return judge_by_time(rows)
