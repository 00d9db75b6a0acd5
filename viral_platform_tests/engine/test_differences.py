"""Where we differ from the replaced system and no other test says so; see docs/differences.md."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path

import pytest
from sqlalchemy import event

from viral_platform.engine.aggregate import Signals, confidence
from viral_platform.engine.contracts import ConfidenceLabel, CreatorFacts, PredictionRequest
from viral_platform.engine.creator import PlatformBaseline, creator_context
from viral_platform.engine.errors import ProviderError
from viral_platform.engine.normalize import normalize
from viral_platform.engine.replies import DeepSeekReasoning
from viral_platform.engine.spend import Meter, RequestSpend
from viral_platform.engine.stages import StageRecorder
from viral_platform.engine.tasks import Answered, Briefing
from viral_platform.providers.prompts import labelled_data
from viral_platform.services import calibration
from viral_platform.services.answers import answer_of
from viral_platform.services.prediction import PredictionService
from viral_platform.services.rules import sync_rule_library
from viral_platform.services.shared_inputs import Kept, SharedInputs
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database
from viral_platform.storage.marts import platform_baseline

from .spoken import reasoning
from .test_waves import Analyst, Behavior, Watcher, predicted

_PAIRS = """
with added as (
    insert into app.analysis_results (
        id, created_at, input_mode, content_text, raw_score, confidence, is_calibrated, horizon,
        engine_version, is_degraded, is_simulated, latency_ms, cost_cents, request, answer
    )
    select
        gen_random_uuid(), now(), 'text', '', 50, 0.2, false, 'settled', '3', false, false, 1, 0,
        '{}', '{"score_weights": {"rules": 1}}'
    from generate_series(1, 1200)
    returning id
)
insert into app.outcomes (
    analysis_id, views, likes, comments, shares, age_hours, engagement, actual_score, actual_tier,
    model_version, is_simulated, measured_at
)
select id, 1, 0, 0, 0, 200, 0, 50, 3, 'tier-1', false, now() from added
"""
_BASELINES = """
create schema marts;
create table marts.creator_baselines (
    handle text, followers bigint, median_engagement float, median_views float, n_posts int,
    n_mature int, n_at_maturity int, median_views_at_maturity float,
    median_engagement_at_maturity float, last_crawled_at timestamptz, is_simulated boolean
);
insert into marts.creator_baselines values
    ('a', 9, 0.1, 400, 3), ('b', 9, 0.12, 500, 3), ('c', 9, 226, 900000, 3);
"""


def execute(database: Database, statement: str) -> None:
    with database.connect() as connection:
        connection.execute(statement)


@pytest.fixture
def shared(database: Database, tmp_path: Path) -> SharedInputs:
    return SharedInputs(database, ArtifactStore(tmp_path), time.perf_counter)


def asked_at_once(shared: SharedInputs, times: int) -> list[Kept]:
    async def ask() -> list[Kept]:
        return await asyncio.gather(*(shared.current() for _ in range(times)))

    return asyncio.run(ask())


@pytest.mark.usefixtures("outcome_pairs")
def test_every_outcome_counts_beyond_a_thousand(database: Database) -> None:
    """Of more than 1000 outcomes an arbitrary part arrived (8)."""
    execute(database, _PAIRS)
    assert calibration.count_pairs(database, "text", "settled") == 1200


@pytest.mark.parametrize("is_broken", [False, True], ids=["loaded", "failed"])
def test_requests_at_once_share_one_load_also_one_that_failed(
    database: Database, shared: SharedInputs, *, is_broken: bool
) -> None:
    """Each request at a miss loaded for itself, each one again after a failure (7)."""
    sync_rule_library(database)
    if is_broken:
        execute(database, "drop table app.rule_library cascade")
    reads: list[str] = []
    event.listen(
        database.engine,
        "before_cursor_execute",
        lambda *given: reads.append(given[2]) if "rule_library" in given[2] else None,
    )
    kept = [*asked_at_once(shared, 8), *asked_at_once(shared, 2)]
    assert len(reads) == 1
    assert {"rules" in one.failures for one in kept} == {is_broken}
    assert {one.rules is None for one in kept} == {is_broken}


def test_one_extreme_creator_does_not_move_the_platform_and_a_rate_is_a_share(
    database: Database,
) -> None:
    """Averages held one ratio of 226, and a percentage was shown times a hundred (55, 56)."""
    execute(database, _BASELINES)
    baseline = platform_baseline(database)
    assert (baseline.views, baseline.engagement_rate) == (500, 0.12)
    told = creator_context(CreatorFacts(median_engagement=0.125), None, baseline)
    assert "rate of earlier posts: 12.50%" in told
    assert "platform: median weighted engagement rate: 12.00%" in told


def test_a_baseline_that_cannot_be_read_is_told_as_nothing(
    database: Database, shared: SharedInputs
) -> None:
    """Constants stood in for it, kept for a day (55)."""
    execute(database, _BASELINES)
    execute(database, "alter table marts.creator_baselines drop column median_views")
    (kept,) = asked_at_once(shared, 1)
    assert "baseline" in kept.failures
    assert kept.inputs().baseline == PlatformBaseline()
    assert creator_context(None, None, kept.inputs().baseline) == "profile: not found"


def test_the_niche_is_told_of_an_unknown_creator_too() -> None:
    """A look-up that failed lost the niche of the request (58)."""
    payload = normalize(PredictionRequest(content_text="a calm river", niche="travel"))
    unknown = creator_context(None, payload.niche, PlatformBaseline())
    told = labelled_data(payload, briefing=Briefing(payload, None, None, "", unknown))
    assert "not found" in told
    assert '"niche": "travel"' in told


def test_the_deadline_of_a_stage_that_failed_does_not_reach_beyond_it() -> None:
    """The timer of a failed call went on running (42)."""

    async def scenario() -> list[str]:
        stages = StageRecorder(time.perf_counter, Watcher(), RequestSpend("r-1"), 90.0)

        def refuse(_: Meter) -> Awaitable[str]:
            raise ProviderError("gemini", "unavailable", "503")

        async def rest(_: Meter) -> str:
            await asyncio.sleep(0.15)
            return "rested"

        return [
            await stages.wait("gemini", refuse, "nothing", 0.05),
            await stages.wait("creator", rest, "cut", 5.0),
        ]

    assert asyncio.run(scenario()) == ["nothing", "rested"]


def test_what_a_model_says_in_words_takes_no_signal_away() -> None:
    """Warnings were searched for "failed" to find out which signals are there (81)."""

    class Grumbling(Behavior):
        async def reason(self, briefing: Briefing, meter: Meter) -> Answered[DeepSeekReasoning]:
            said = [
                "Gemini analysis failed",
                "Rules unavailable",
                "Trends unavailable",
                "ML failed",
            ]
            return Answered(reasoning(self.score, warnings=said), "deepseek-x", "reasoning-v1")

    plain, grumbled = predicted(Analyst(), Behavior()), predicted(Analyst(), Grumbling())
    assert "Rules unavailable" in grumbled.warnings
    assert grumbled.score_weights == plain.score_weights
    assert grumbled.raw_score == plain.raw_score


def test_the_model_that_stood_in_is_named_and_not_the_one_that_failed() -> None:
    """A score of Gemini's was recorded under DeepSeek's model (73)."""
    failed = Behavior(error=ProviderError("deepseek", "timeout", "45 s"))
    answer = answer_of(
        predicted(Analyst(), failed),
        answer_id="a",
        calibration_version=None,
        is_simulated=False,
        seconds=1.0,
    )
    assert answer.behavioral_score == 60
    assert answer.behavioral_source == "gemini"
    assert (answer.gemini_model, answer.deepseek_model) == ("gemini-x", None)


def test_the_latency_is_that_of_the_whole_answer(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It left the aggregation out (85)."""
    now = [0.0]

    def slowly(signals: Signals) -> tuple[float, ConfidenceLabel]:
        now[0] += 5.0
        return confidence(signals)

    monkeypatch.setattr("viral_platform.engine.pipeline.confidence", slowly)
    request = PredictionRequest(content_text="a calm river by night")
    with PredictionService(database, ArtifactStore(tmp_path), clock=lambda: now[0]) as service:
        answer = service.predict(request)
    assert answer.latency_ms == 5000
    assert sum(stage.duration_ms for stage in answer.stages) == 0
