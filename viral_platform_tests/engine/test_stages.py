from __future__ import annotations

import asyncio

import pytest

from viral_platform.engine.contracts import StageRecord
from viral_platform.engine.spend import Meter, RequestSpend
from viral_platform.engine.stages import Absent, StageRecorder


class Clock:
    """Seconds that pass only when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Silent:
    def on_stage(self, record: StageRecord) -> None:
        pass

    def on_error(self, stage: str, error: Exception) -> None:
        pass


def recorder(clock: Clock, seconds: float = 90.0) -> StageRecorder:
    return StageRecorder(clock, Silent(), RequestSpend("r-1"), seconds)


@pytest.mark.parametrize(("passed", "left"), [(0, 2), (1.5, 0.5), (2, 0), (3, 0)])
def test_what_is_left_of_the_request_ends_at_zero(passed: float, left: float) -> None:
    clock = Clock()
    stages = recorder(clock, seconds=2)
    clock.now += passed
    assert stages.remaining() == left


def test_a_stage_is_asked_by_its_name_how_it_ended() -> None:
    def nothing() -> int:
        raise Absent("no text")

    def broken() -> int:
        raise KeyError("inside")

    stages = recorder(Clock())
    stages.run("rules", lambda: 1, 0)
    stages.run("trends", nothing, 0)
    stages.run("ml", broken, 0)
    ended = {name: stages.status(name) for name in ("rules", "trends", "ml", "gemini")}
    assert ended == {"rules": "ok", "trends": "absent", "ml": "failed", "gemini": None}


def test_a_stage_spends_in_its_own_name() -> None:
    async def work(meter: Meter) -> tuple[str, str]:
        return meter.request.request_id, meter.stage

    found = asyncio.run(recorder(Clock()).wait("gemini", work, ("", ""), 5))
    assert found == ("r-1", "gemini")
