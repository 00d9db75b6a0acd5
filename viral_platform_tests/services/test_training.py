from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import pytest
from sqlalchemy import func, select, text, update

from viral_platform.engine import splits
from viral_platform.engine.errors import (
    GateRefusedError,
    InputError,
    NotEnoughDataError,
    NotFoundError,
)
from viral_platform.engine.features import FEATURE_NAMES
from viral_platform.engine.tier_model import TrainingRows
from viral_platform.engine.training_rows import VideoHistory
from viral_platform.services import training
from viral_platform.storage import models
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database
from viral_platform.storage.tables import model_versions, training_sets

Histories = Callable[..., list[VideoHistory]]
Store = Callable[..., None]


class Installation(Protocol):
    database: Database
    artifacts: ArtifactStore
    version: str


def count(database: Database, table: Any) -> int:
    with database.engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def refuse(database: Database, version: str) -> None:
    """Store the verdict that the version may not be promoted."""
    report = models.get_model(database, version).report
    refused = {**report, "promotable": False, "reasons": ["settled: accuracy 0.400 < 0.6"]}
    with database.engine.begin() as connection:
        connection.execute(
            update(model_versions).where(model_versions.c.version == version).values(report=refused)
        )


def another_version(database: Database, of: str) -> str:
    record = models.get_model(database, of)
    models.save_model(
        database,
        version="tier-other",
        artifact_sha256=record.artifact_sha256,
        data_sha256=record.data_sha256,
        sidecar=record.sidecar,
        report=record.report,
        is_simulated=False,
    )
    return "tier-other"


def champion(database: Database) -> str | None:
    record = models.champion(database)
    return None if record is None else record.version


def test_building_again_without_new_data_gives_the_same_training_set(
    installation: Installation,
) -> None:
    before = models.latest_training_set(installation.database)
    again = training.build_training_set(installation.database, installation.artifacts)
    assert again.sha256 == before.sha256
    assert again.built_at > before.built_at
    assert count(installation.database, training_sets) == 1


def test_a_new_crawl_gives_another_training_set(installation: Installation) -> None:
    before = models.latest_training_set(installation.database)
    with installation.database.connect() as connection:
        connection.execute(
            "update app.video_snapshots set likes = likes + 1 where video_id = "
            "(select min(video_id) from app.video_snapshots)"
        )
    again = training.build_training_set(installation.database, installation.artifacts)
    assert again.sha256 != before.sha256
    assert models.latest_training_set(installation.database).sha256 == again.sha256


def test_the_summary_says_what_is_in_a_training_set(installation: Installation) -> None:
    record = models.latest_training_set(installation.database)
    summary = record.summary
    assert summary["rows_by_horizon"] == {"pre_publication": 720, "early": 720, "settled": 720}
    assert (record.rows, record.videos, summary["authors"]) == (2160, 720, 240)
    assert summary["label_age_hours"] == pytest.approx([200, 200, 200])
    assert set(summary["unknown_share_by_feature"]) == set(FEATURE_NAMES)
    assert summary["unknown_share_by_feature"]["log_views"] == pytest.approx(1 / 3)


def test_stored_rows_come_back(installation: Installation) -> None:
    record = models.latest_training_set(installation.database)
    rows = training.load_training_rows(record.sha256, installation.artifacts)
    assert (len(rows), rows.videos) == (record.rows, record.videos)


def test_videos_crawled_once_store_nothing(
    database: Database,
    artifacts: ArtifactStore,
    simulate_histories: Histories,
    store_histories: Store,
) -> None:
    store_histories(database, simulate_histories(authors=20, ages=(200.0,)))
    with pytest.raises(NotEnoughDataError, match="Import a later crawl"):
        training.build_training_set(database, artifacts)
    assert count(database, training_sets) == 0


def test_too_few_videos_store_no_model_and_the_champion_stays(
    installation: Installation, simulate_histories: Histories, store_histories: Store
) -> None:
    database = installation.database
    training.promote(database, installation.version)
    with database.connect() as connection:
        connection.execute("truncate app.scraped_videos cascade")
    store_histories(database, simulate_histories(authors=30))
    training.build_training_set(database, installation.artifacts)
    with pytest.raises(NotEnoughDataError, match="needed 300"):
        training.train_candidate(database, installation.artifacts)
    assert count(database, model_versions) == 1
    assert champion(database) == installation.version


def test_without_a_training_set_nothing_can_be_trained(
    database: Database, artifacts: ArtifactStore
) -> None:
    with pytest.raises(NotFoundError, match="viral run retrain_ml"):
        training.train_candidate(database, artifacts)


def test_a_candidate_is_stored_with_the_report_that_judges_it(installation: Installation) -> None:
    record = models.get_model(installation.database, installation.version)
    report = training.report_of(record)
    assert record.status == "candidate"
    assert report.promotable
    assert report.horizons["settled"].accuracy.value > 0.6
    assert list(report.horizons) == ["pre_publication", "early", "settled"]
    assert record.sidecar["served"] == {
        horizon: found.verdict.served for horizon, found in report.horizons.items()
    }


def test_training_again_on_the_same_data_gives_the_same_version(
    installation: Installation,
) -> None:
    again = training.train_candidate(installation.database, installation.artifacts)
    assert again.record.version == installation.version
    assert count(installation.database, model_versions) == 1
    assert set(again.contributions) == set(FEATURE_NAMES)


def test_simulated_crawls_mark_the_training_set_and_the_model(
    installation: Installation,
) -> None:
    with installation.database.connect() as connection:
        connection.execute(
            "update app.scraped_videos set is_simulated = true where id = "
            "(select min(id) from app.scraped_videos)"
        )
        connection.execute("truncate app.training_sets, app.model_versions")
    training.build_training_set(installation.database, installation.artifacts)
    trained = training.train_candidate(installation.database, installation.artifacts)
    assert models.latest_training_set(installation.database).is_simulated
    assert trained.record.is_simulated


def test_a_promotion_makes_the_champion_and_retires_the_former_one(
    installation: Installation,
) -> None:
    database = installation.database
    assert champion(database) is None
    promoted = training.promote(database, installation.version)
    assert (promoted.status, champion(database)) == ("champion", installation.version)
    other = another_version(database, installation.version)
    training.promote(database, other)
    assert champion(database) == other
    assert models.get_model(database, installation.version).status == "retired"


def test_a_verdict_against_a_model_refuses_its_promotion_and_the_champion_stays(
    installation: Installation,
) -> None:
    """The replaced system published a model first and judged it afterwards."""
    database = installation.database
    training.promote(database, installation.version)
    other = another_version(database, installation.version)
    refuse(database, other)
    with pytest.raises(GateRefusedError, match=r"accuracy 0\.400 < 0\.6.*champion stays"):
        training.promote(database, other)
    assert champion(database) == installation.version
    assert models.get_model(database, other).status == "candidate"


def test_an_unknown_version_is_not_promoted_and_the_champion_stays(
    installation: Installation,
) -> None:
    training.promote(installation.database, installation.version)
    with pytest.raises(NotFoundError, match="No model version tier-9"):
        training.promote(installation.database, "tier-9")
    assert champion(installation.database) == installation.version


def test_noise_is_stored_with_its_verdict_and_cannot_be_promoted(
    database: Database,
    artifacts: ArtifactStore,
    simulate_histories: Histories,
    store_histories: Store,
) -> None:
    store_histories(database, simulate_histories(lasting=False, ages=(100.0, 200.0)))
    training.build_training_set(database, artifacts)
    trained = training.train_candidate(database, artifacts)
    with pytest.raises(GateRefusedError, match="accuracy"):
        training.promote(database, trained.record.version)
    assert champion(database) is None


def test_a_loaded_model_predicts_what_the_judged_one_did(installation: Installation) -> None:
    record = models.get_model(installation.database, installation.version)
    loaded = training.load_model(record, installation.artifacts)
    rows = training.load_training_rows(record.data_sha256, installation.artifacts)
    judged, _ = splits.judge_by_time(rows)
    assert np.array_equal(loaded.probabilities(rows.features), judged.probabilities(rows.features))
    assert loaded.scale == judged.scale
    assert (loaded.version, loaded.served) == (record.version, record.sidecar["served"])


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [(None, NotFoundError, "is not under"), (b"rubbish", InputError, "was changed")],
    ids=["gone", "changed"],
)
def test_a_model_whose_file_is_not_what_was_stored_is_not_loaded(
    installation: Installation, content: bytes | None, error: type[Exception], message: str
) -> None:
    record = models.get_model(installation.database, installation.version)
    path = installation.artifacts.path(record.artifact_sha256)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=message):
        training.load_model(record, installation.artifacts)


def test_a_model_of_an_older_feature_builder_is_not_loaded(installation: Installation) -> None:
    """Only names were compared, so features of a changed meaning were served without a word."""
    record = models.get_model(installation.database, installation.version)
    older = replace(record, sidecar={**record.sidecar, "features_version": "0"})
    with pytest.raises(InputError, match="Train again"):
        training.load_model(older, installation.artifacts)


def test_requests_get_the_vectors_that_were_trained_on(installation: Installation) -> None:
    parity = training.check_parity(installation.database, installation.artifacts)
    assert parity.compared >= training.PARITY_SAMPLE
    assert parity.different == ()


def test_a_vector_that_no_request_would_get_is_found(installation: Installation) -> None:
    stored = models.latest_training_set(installation.database)
    rows = training.load_training_rows(stored.sha256, installation.artifacts)
    features = rows.features.copy()
    features[0, FEATURE_NAMES.index("caption_characters")] += 1
    buffer = io.BytesIO()
    tampered = replace(rows, features=features)
    np.savez(buffer, **{name: getattr(tampered, name) for name in TrainingRows.columns()})
    models.save_training_set(
        installation.database,
        sha256=installation.artifacts.save(buffer.getvalue()),
        rows=len(rows),
        videos=rows.videos,
        summary={},
        is_simulated=False,
    )
    parity = training.check_parity(installation.database, installation.artifacts, sample=len(rows))
    assert parity.different == (f"{rows.video_id[0]} ({rows.horizon[0]})",)


def test_captions_and_tags_in_any_script_keep_the_vectors_alike(
    installation: Installation,
) -> None:
    with installation.database.engine.begin() as connection:
        connection.execute(
            text(
                "update app.scraped_videos set caption = :caption, hashtags = :tags, "
                "duration_seconds = null, sound_is_original = null"
            ),
            {
                "caption": "Mùa hoa? 😀 #Đà_Lạt 15 sec \u200d\n日本",
                "tags": ["đà_lạt", "日本", "fyp"],
            },
        )
    training.build_training_set(installation.database, installation.artifacts)
    parity = training.check_parity(installation.database, installation.artifacts)
    assert parity.compared > 0
    assert parity.different == ()


@pytest.mark.parametrize("caption", ["x" * 10_001, "😀" * 5_001], ids=["letters", "emoji"])
def test_a_caption_that_no_request_may_carry_is_not_compared(
    installation: Installation, caption: str
) -> None:
    """An emoji counts two: one such caption made the whole training fail."""
    with installation.database.connect() as connection:
        connection.execute("update app.scraped_videos set caption = %s", [caption])
    training.build_training_set(installation.database, installation.artifacts)
    parity = training.check_parity(installation.database, installation.artifacts)
    assert (parity.compared, parity.different) == (0, ())
