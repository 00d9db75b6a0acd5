from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from viral_platform.sandbox.stand_ins import StandIn

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "contracts" / "samples"


@pytest.fixture(scope="module")
def running_stand_in() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(running_stand_in: StandIn) -> StandIn:
    """The providers, without faults and with an empty memory."""
    running_stand_in.reset()
    return running_stand_in


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Any]:
    """Reader of the recorded messages of the providers; skips where they are absent."""
    if not SAMPLES.is_dir():
        pytest.skip("the recorded messages of the providers are not beside this checkout")
    return lambda name: json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "đoạn phim.mp4"
    path.write_bytes(b"not a real film, but the stand-in looks at the size alone")
    return path
