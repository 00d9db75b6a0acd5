"""One set of stand-ins for the tests of this folder, as new for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from viral_platform.sandbox.stand_ins import StandIn


@pytest.fixture(scope="session")
def running() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(running: StandIn) -> Iterator[StandIn]:
    yield running
    running.reset()
