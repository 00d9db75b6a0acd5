from __future__ import annotations

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from viral_platform.engine.errors import NotFoundError
from viral_platform.storage import models
from viral_platform.storage.database import Database
from viral_platform.storage.models import ModelRecord
from viral_platform.storage.tables import model_versions


def training_set(database: Database, sha256: str, *, authors: int = 3) -> None:
    models.save_training_set(
        database, sha256=sha256, rows=10, videos=5, summary={"authors": authors}, is_simulated=False
    )


def model(database: Database, version: str, *, accuracy: float = 0.7) -> ModelRecord:
    return models.save_model(
        database,
        version=version,
        artifact_sha256="a" * 64,
        data_sha256="d" * 64,
        sidecar={"served": {"settled": accuracy >= 0.6}},
        report={"accuracy": accuracy},
        is_simulated=True,
    )


def statuses(database: Database) -> dict[str, str]:
    return {record.version: record.status for record in models.list_models(database)}


def test_a_training_set_comes_back_as_it_was_stored(database: Database) -> None:
    training_set(database, "one")
    record = models.latest_training_set(database)
    assert (record.sha256, record.rows, record.videos) == ("one", 10, 5)
    assert record.summary == {"authors": 3}
    assert not record.is_simulated


def test_the_training_set_built_last_is_the_latest(database: Database) -> None:
    training_set(database, "one")
    training_set(database, "two")
    assert models.latest_training_set(database).sha256 == "two"


def test_a_training_set_built_again_becomes_the_latest_again(database: Database) -> None:
    training_set(database, "one")
    training_set(database, "two")
    training_set(database, "one", authors=4)
    record = models.latest_training_set(database)
    assert (record.sha256, record.summary) == ("one", {"authors": 4})


def test_without_a_training_set_the_way_to_one_is_named(database: Database) -> None:
    with pytest.raises(NotFoundError, match="viral run retrain_ml"):
        models.latest_training_set(database)


def test_a_new_model_is_a_candidate_and_no_champion(database: Database) -> None:
    record = model(database, "tier-1")
    assert record.status == "candidate"
    assert record.is_simulated
    assert record.promoted_at is None
    assert models.champion(database) is None
    assert models.get_model(database, "tier-1") == record


def test_models_are_listed_newest_first(database: Database) -> None:
    model(database, "tier-1")
    model(database, "tier-2")
    assert list(statuses(database)) == ["tier-2", "tier-1"]
    assert models.latest_candidate(database).version == "tier-2"


def test_a_model_trained_again_keeps_its_status_and_gets_its_new_verdict(
    database: Database,
) -> None:
    """Report and sidecar hold one verdict; only the report was renewed."""
    model(database, "tier-1", accuracy=0.5)
    models.make_champion(database, "tier-1")
    model(database, "tier-2")
    record = model(database, "tier-1", accuracy=0.7)
    assert record.status == "champion"
    assert record.report == {"accuracy": 0.7}
    assert record.sidecar == {"served": {"settled": True}}
    assert models.latest_candidate(database).version == "tier-1"


def test_a_champion_retires_the_former_one(database: Database) -> None:
    for version in ("tier-1", "tier-2", "tier-3"):
        model(database, version)
    models.make_champion(database, "tier-1")
    models.make_champion(database, "tier-2")
    champion = models.champion(database)
    assert champion is not None
    assert champion.version == "tier-2"
    assert champion.promoted_at is not None
    assert statuses(database) == {
        "tier-1": "retired",
        "tier-2": "champion",
        "tier-3": "candidate",
    }


def test_a_retired_model_can_be_champion_again(database: Database) -> None:
    for version in ("tier-1", "tier-2", "tier-1"):
        model(database, version)
        models.make_champion(database, version)
    assert statuses(database) == {"tier-1": "champion", "tier-2": "retired"}


def test_the_database_itself_refuses_a_second_champion(database: Database) -> None:
    model(database, "tier-1")
    model(database, "tier-2")
    models.make_champion(database, "tier-1")
    with (
        pytest.raises(IntegrityError, match="ix_model_versions_one_champion"),
        database.engine.begin() as connection,
    ):
        connection.execute(update(model_versions).values(status="champion"))


def test_an_unknown_version_is_named(database: Database) -> None:
    with pytest.raises(NotFoundError, match="No model version tier-9"):
        models.get_model(database, "tier-9")


def test_without_a_model_the_way_to_one_is_named(database: Database) -> None:
    with pytest.raises(NotFoundError, match="No model was trained yet"):
        models.latest_candidate(database)
