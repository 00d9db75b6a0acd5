from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from viral_platform.engine.contracts import PredictionAnswer, PredictionRequest
from viral_platform.engine.errors import NotFoundError
from viral_platform.storage import analyses
from viral_platform.storage.database import Database
from viral_platform.storage.tables import analysis_results

POSTED = datetime(2026, 3, 1, 12, tzinfo=UTC)
REQUEST = PredictionRequest(
    content_text="a calm river", creator_handle="@Some.Creator", posted_at=POSTED, niche="travel"
)


def answer(**changed: object) -> PredictionAnswer:
    return PredictionAnswer.model_validate(
        {
            "id": str(uuid4()),
            "created_at": datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
            "overall_score": 61.25,
            "raw_score": 58.0,
            "confidence": 0.2,
            "confidence_label": "LOW",
            "is_calibrated": True,
            "score_weights": {"rules": 1.0},
            "horizon": "settled",
            "tier_probabilities": {1: 0.2, 2: 0.2, 3: 0.2, 4: 0.2, 5: 0.2},
            "interval": None,
            "feature_vector": {"log_views": None, "has_question": 0.0},
            "factors": [],
            "suggestions": [],
            "warnings": ["Confidence is low"],
            "matched_rules": [],
            "matched_sounds": [],
            "reasoning": "",
            "stages": [],
            "degraded": False,
            "simulated": True,
            "model_version": "tier-1",
            "calibration_version": "platt-1",
            "engine_version": "3.0.0",
            "input_mode": "text",
            "latency_ms": 1.5,
            **changed,
        }
    )


def test_an_answer_comes_back_as_it_was_given(database: Database) -> None:
    given = answer()
    analyses.save_answer(database, REQUEST, given, batch_id=None)
    stored = analyses.get_answer(database, UUID(given.id))
    assert PredictionAnswer.model_validate(stored) == given


def test_an_outcome_learns_what_it_needs_of_the_analysis(database: Database) -> None:
    given = answer()
    analyses.save_answer(database, REQUEST, given, batch_id=None)
    assert analyses.get_analysis(database, UUID(given.id)) == analyses.AnalysisRecord(
        id=UUID(given.id),
        created_at=given.created_at,
        posted_at=POSTED,
        model_version="tier-1",
        is_simulated=True,
    )


def test_both_scores_and_the_versions_that_made_them_are_columns(database: Database) -> None:
    analyses.save_answer(database, REQUEST, answer(), batch_id="batch-1")
    with database.engine.connect() as connection:
        row = connection.execute(select(analysis_results)).one()
    assert (row.raw_score, row.overall_score) == (58.0, 61.25)
    assert (row.model_version, row.calibration_version) == ("tier-1", "platt-1")
    assert (row.batch_id, row.is_calibrated, row.is_degraded) == ("batch-1", True, False)


def test_a_caption_is_stored_once(database: Database) -> None:
    analyses.save_answer(database, REQUEST, answer(), batch_id=None)
    with database.engine.connect() as connection:
        row = connection.execute(select(analysis_results)).one()
    assert row.content_text == "a calm river"
    assert "content_text" not in row.request
    assert row.request["niche"] == "travel"


def test_an_answer_without_a_score_is_stored_without_one(database: Database) -> None:
    given = answer(overall_score=None, raw_score=None, model_version=None)
    request = PredictionRequest(input_mode="tiktok_url", tiktok_url="https://tiktok.com/x")
    analyses.save_answer(database, request, given, batch_id=None)
    assert analyses.get_answer(database, UUID(given.id))["overall_score"] is None
    assert analyses.get_analysis(database, UUID(given.id)).posted_at is None


@pytest.mark.parametrize("read", [analyses.get_analysis, analyses.get_answer])
def test_an_unknown_analysis_is_named(database: Database, read: object) -> None:
    missing = uuid4()
    with pytest.raises(NotFoundError, match=f"No analysis {missing}"):
        read(database, missing)  # type: ignore[operator]
