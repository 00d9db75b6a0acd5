from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import func, make_url, select, update

from viral_platform.defs.assets import ingestion, model, rules, serving
from viral_platform.defs.checks import calibration_result, tier_model_results
from viral_platform.defs.resources import ArtifactsResource, DatabaseResource, PredictionResource
from viral_platform.engine.calibration import CalibrationVerdict
from viral_platform.engine.contracts import PredictionRequest
from viral_platform.engine.evaluation import EvaluationReport
from viral_platform.sandbox.feed import Feed, FeedConfig, write_export
from viral_platform.services.batches import store_batch
from viral_platform.services.rules import sync_rule_library
from viral_platform.services.training import Parity
from viral_platform.storage import analyses, models
from viral_platform.storage.database import Database
from viral_platform.storage.tables import model_versions, scraped_videos, video_snapshots

FEED = Feed(FeedConfig(n_posts=8_000, days=27))
MODEL_ASSETS = [model.training_data, model.tier_model, model.champion_model]


Clone = Callable[..., AbstractContextManager[Database]]


@contextmanager
def _environment(database: Database, home: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIRAL_DATABASE_URL", database.url)
        patch.setenv("VIRAL_HOME", str(home))
        yield


@pytest.fixture
def installation(database: Database, tmp_path: Path) -> Iterator[Database]:
    """An empty installation."""
    with _environment(database, tmp_path / "home"):
        yield database


def _resources() -> dict[str, object]:
    return {
        "database": DatabaseResource(),
        "artifacts": ArtifactsResource(),
        "prediction": PredictionResource(),
    }


def _materialize(
    assets: Sequence[dg.AssetsDefinition], config: dict[str, object] | None = None
) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            assets,
            resources=_resources(),
            run_config=config,
            instance=instance,
            raise_on_error=False,
        )


def _predict(batch_id: str) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return serving.prediction_job.execute_in_process(
            run_config={"ops": {"predict": {"config": {"batch_id": batch_id}}}},
            resources=_resources(),
            instance=instance,
            raise_on_error=False,
        )


def _import(folder: Path, days: Sequence[int]) -> dg.ExecuteInProcessResult:
    folder.mkdir(parents=True, exist_ok=True)
    for day in days:
        at = FEED.config.start_at + timedelta(days=day)
        path = folder / f"day-{day}.jsonl.gz"
        write_export(FEED.crawl(at), path)
        config = {"files": [str(path)], "scraped_at": at.isoformat()}
        result = _materialize(
            [ingestion.imported_exports], {"ops": {"imported_exports": {"config": config}}}
        )
    return result


def _failure(result: dg.ExecuteInProcessResult) -> str:
    assert not result.success
    return " ".join(
        str(event.step_failure_data.user_failure_data.description)
        for event in result.all_events
        if event.is_step_failure and event.step_failure_data.user_failure_data
    )


def test_an_import_materialises_four_assets_whose_counters_add_up(
    installation: Database, tmp_path: Path
) -> None:
    result = _import(tmp_path, [10])
    assert result.success
    keys = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert keys == {spec.key.to_user_string() for spec in ingestion.SPECS}
    metadata = result.asset_materializations_for_node("imported_exports")[0].metadata
    counts = {name: entry.value for name, entry in metadata.items()}
    assert counts["received"] == sum(
        counts[name]
        for name in ("new", "updated", "unchanged", "duplicates", "quarantined", "scraper_errors")
    )
    with installation.engine.connect() as connection:
        stored = connection.execute(select(func.count()).select_from(scraped_videos)).scalar_one()
    assert stored == counts["new"] == counts["dagster/row_count"]


def test_an_import_tells_how_many_items_were_dated_by_receipt_and_refuses_a_mixture(
    installation: Database, tmp_path: Path
) -> None:
    path = tmp_path / "real.jsonl"
    path.write_text('{"id": "7374737911075310856", "text": "a caption", "playCount": 5}\n')
    config = {"ops": {"imported_exports": {"config": {"files": [str(path)]}}}}
    result = _materialize([ingestion.imported_exports], config)
    metadata = result.asset_materializations_for_node("imported_exports")[0].metadata
    assert metadata["dated_by_receipt"].value == 1
    refused = _import(tmp_path, [10])
    assert "VIRAL_HOME" in _failure(refused)
    (failed,) = [event for event in refused.all_events if event.is_step_failure]
    assert failed.step_failure_data.user_failure_data.metadata["kind"].value == "gate_refused"
    with installation.engine.connect() as connection:
        count = select(func.count()).select_from(scraped_videos)
        assert connection.execute(count).scalar_one() == 1


def test_an_unreadable_export_fails_the_run_with_its_reason_and_stores_nothing(
    installation: Database, tmp_path: Path
) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text("this is no export")
    result = _materialize(
        [ingestion.imported_exports],
        {"ops": {"imported_exports": {"config": {"files": [str(path)]}}}},
    )
    assert "broken.jsonl" in _failure(result)
    with installation.engine.connect() as connection:
        assert not connection.execute(select(func.count()).select_from(video_snapshots)).scalar()


def test_a_single_crawl_materialises_no_training_data_and_says_why(
    installation: Database, tmp_path: Path
) -> None:
    _import(tmp_path, [10])
    result = _materialize(MODEL_ASSETS)
    assert "168 hours" in _failure(result)
    assert result.get_asset_materialization_events() == []
    assert models.list_models(installation) == []


@dataclass(frozen=True)
class Trained:
    """The run that trained, and the installation as it stood afterwards."""

    result: dg.ExecuteInProcessResult
    database: Database
    home: Path


@pytest.fixture(scope="module")
def trained_once(
    clone_database: Clone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trained]:
    home = tmp_path_factory.mktemp("trained")
    with clone_database() as database:
        with _environment(database, home):
            _import(home / "crawls", [4, 7, 10, 13, 16, 19, 23, 27])
            result = _materialize(MODEL_ASSETS)
        database.close()
        yield Trained(result, database, home)


@pytest.fixture
def trained(trained_once: Trained, clone_database: Clone) -> Iterator[Trained]:
    """An installation with a champion, this test's own."""
    name = make_url(trained_once.database.url).database
    with clone_database(name) as database, _environment(database, trained_once.home):
        yield Trained(trained_once.result, database, trained_once.home)


def test_crawls_become_a_judged_champion_with_pictures_for_the_operator(trained: Trained) -> None:
    assert trained.result.success
    record = models.champion(trained.database)
    assert record is not None
    assert record.is_simulated
    (materialization,) = trained.result.asset_materializations_for_node("tier_model")
    for picture in ("confusion_matrices", "reliability_diagram"):
        text = materialization.metadata[picture].value
        assert text.startswith("![")
        assert "data:image/png;base64," in text
        assert len(text) < 70_000
    rows = [entry.data for entry in materialization.metadata["metrics_by_horizon"].records]
    assert {row["horizon"] for row in rows} == {"pre_publication", "early", "settled"}
    assert all(row["n"] > 0 and row["prior accuracy"] > 0 for row in rows)
    assert materialization.metadata["data"].value == "SIMULATED feed"
    checks = {c.check_name: c for c in trained.result.get_asset_check_evaluations()}
    assert set(checks) == {spec.name for spec in model.TIER_MODEL_CHECKS}
    assert checks["train_serve_parity"].passed


def test_a_failed_gate_leaves_the_champion_in_place(trained: Trained) -> None:
    champion = models.champion(trained.database)
    assert champion is not None
    report = {**champion.report, "promotable": False, "reasons": ["settled: accuracy 0.2 < 0.6"]}
    models.save_model(
        trained.database,
        version="tier-worse",
        artifact_sha256=champion.artifact_sha256,
        data_sha256=champion.data_sha256,
        sidecar=champion.sidecar,
        report=report,
        is_simulated=True,
    )
    result = _materialize([model.champion_model])
    assert "accuracy 0.2 < 0.6" in _failure(result)
    after = models.champion(trained.database)
    assert after is not None
    assert after.version == champion.version


def _report(trained_report: dict[str, object]) -> EvaluationReport:
    return EvaluationReport.model_validate(trained_report)


def test_each_check_on_the_model_is_seen_to_fail(trained: Trained) -> None:
    champion = models.champion(trained.database)
    assert champion is not None
    good = _report(champion.report)
    settled = good.horizons["settled"]
    low = settled.accuracy.model_copy(update={"value": 0.3})
    verdict = settled.verdict.model_copy(update={"served": False, "reasons": ["accuracy 0.3"]})
    bad = good.model_copy(
        update={
            "horizons": {
                **good.horizons,
                "settled": settled.model_copy(
                    update={
                        "accuracy": low,
                        "recall": {**settled.recall, 4: 0.1},
                        "verdict": verdict,
                    }
                ),
            }
        }
    )
    results = {r.check_name: r for r in tier_model_results(bad, Parity(10, ("7 (early)",)))}
    assert {name for name, r in results.items() if not r.passed} == set(results)
    assert results["test_accuracy"].severity == dg.AssetCheckSeverity.ERROR
    assert "0.300" in str(results["test_accuracy"].description)


def test_without_settled_rows_the_gate_fails_and_says_that_nothing_was_judged(
    trained: Trained,
) -> None:
    champion = models.champion(trained.database)
    assert champion is not None
    report = _report(champion.report)
    early_only = report.model_copy(update={"horizons": {"early": report.horizons["early"]}})
    results = {r.check_name: r for r in tier_model_results(early_only, Parity(10, ()))}
    assert not results["test_accuracy"].passed
    assert "nothing was judged" in str(results["test_accuracy"].description)


def test_a_parity_check_that_compared_nothing_fails() -> None:
    report = EvaluationReport(
        split="time",
        train_rows=0,
        train_videos=0,
        test_rows=0,
        test_videos=0,
        label_age_hours=[0, 0, 0],
        horizons={},
        promotable=False,
        reasons=[],
    )
    results = {r.check_name: r for r in tier_model_results(report, Parity(0, ()))}
    assert not results["train_serve_parity"].passed


def test_a_badly_calibrated_fit_fails_its_check_with_figure_and_bar() -> None:
    verdict = CalibrationVerdict(
        applied=False,
        reason="ECE 0.190 > 0.15 on 412 held-out pairs",
        n_fit=120,
        n_judge=412,
        ece_raw=0.2,
        ece=0.19,
        ece_low=0.17,
        ece_high=0.22,
        loss_raw=0.6,
        loss=0.61,
    )
    result = calibration_result(verdict)
    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.ERROR
    assert result.metadata["ece"].value == 0.19
    assert result.metadata["bar"].value == 0.15


def test_rules_keep_their_learned_weights_when_the_library_is_loaded_again(
    installation: Database,
) -> None:
    result = _materialize([rules.rule_library])
    assert result.success
    (first,) = result.asset_materializations_for_node("rule_library")
    assert first.metadata["dagster/row_count"].value == 25


def test_the_prediction_op_answers_a_batch_in_order_and_reports_without_content(
    trained: Trained,
) -> None:
    sync_rule_library(trained.database)
    captions = ["Wait for it #fyp", "What if you never\x00 cook again?"]
    requests = [PredictionRequest(content_text=caption) for caption in captions]
    batch_id = store_batch(trained.database, requests)
    result = _predict(batch_id)
    (event,) = result.asset_materializations_for_node("predict")
    assert event.asset_key == dg.AssetKey("analysis_results")
    assert event.metadata["answers"].value == 2
    answers = analyses.answers_of_batch(trained.database, batch_id)
    assert [bool(answer["matched_rules"]) for answer in answers] == [True, True]
    assert answers[0]["matched_rules"] != answers[1]["matched_rules"]
    told = str([event.event_specific_data for event in result.all_events])
    assert "Wait for it" not in told
    assert "Wait for it" not in str(result.dagster_run.run_config)


def test_a_batch_that_does_not_exist_fails_the_op_with_its_id(installation: Database) -> None:
    assert "No batch batch-none" in _failure(_predict("batch-none"))


def test_the_training_set_is_the_same_file_when_nothing_new_was_crawled(trained: Trained) -> None:
    before = models.latest_training_set(trained.database)
    _materialize([model.training_data])
    after = models.latest_training_set(trained.database)
    assert after.sha256 == before.sha256
    assert after.built_at > before.built_at


def test_a_retired_champion_is_kept(trained: Trained) -> None:
    first = models.champion(trained.database)
    assert first is not None
    with trained.database.engine.begin() as connection:
        connection.execute(
            update(model_versions)
            .where(model_versions.c.version == first.version)
            .values(trained_at=datetime(2020, 1, 1, tzinfo=UTC))
        )
    models.save_model(
        trained.database,
        version="tier-next",
        artifact_sha256=first.artifact_sha256,
        data_sha256=first.data_sha256,
        sidecar=first.sidecar,
        report=first.report,
        is_simulated=True,
    )
    assert _materialize([model.champion_model]).success
    assert models.get_model(trained.database, first.version).status == "retired"
