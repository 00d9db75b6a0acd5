"""Training sets and tier models: build, train, judge, promote, load.

`promote` is the one way to a champion: assets, command line and API call it, and it refuses
without the verdict that is stored with the version.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from viral_platform.engine import splits
from viral_platform.engine.contracts import HORIZONS, MAX_CONTENT_UNITS, PredictionRequest
from viral_platform.engine.errors import GateRefusedError, NotEnoughDataError
from viral_platform.engine.evaluation import EvaluationReport
from viral_platform.engine.features import FEATURE_NAMES, FEATURES_VERSION, feature_vector
from viral_platform.engine.normalize import normalize
from viral_platform.engine.pipeline import video_facts
from viral_platform.engine.text import utf16_length
from viral_platform.engine.tier_model import (
    PARAMETERS,
    ROUNDS,
    TierModel,
    TrainingRows,
    contributions,
    load_booster,
)
from viral_platform.engine.tiers import TierScale, class_shares, fit_scale
from viral_platform.engine.training_rows import RowFacts, build_rows, row_facts
from viral_platform.observability.logging import get_logger
from viral_platform.storage import models
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database
from viral_platform.storage.histories import load_histories
from viral_platform.storage.models import ModelRecord, TrainingSetRecord

log = get_logger(__name__)

PARITY_SAMPLE = 400


@dataclass(frozen=True)
class Trained:
    """A stored candidate with its report and what moved its answers most."""

    record: ModelRecord
    report: EvaluationReport
    contributions: Mapping[str, float]


@dataclass(frozen=True)
class Parity:
    """How many vectors were compared, and the rows whose served vector differs."""

    compared: int
    different: tuple[str, ...]


def _to_bytes(rows: TrainingRows) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: getattr(rows, name) for name in rows.columns()})
    return buffer.getvalue()


def _from_bytes(content: bytes) -> TrainingRows:
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return TrainingRows(**{name: stored[name] for name in TrainingRows.columns()})


def build_training_set(database: Database, artifacts: ArtifactStore) -> TrainingSetRecord:
    """Build the training set from all crawls, store it and return its record.

    Raises
    ------
    NotEnoughDataError
        No video has an input crawl and a later crawl at maturity; nothing is stored.
    """
    histories = load_histories(database)
    rows = build_rows(histories.videos)
    if not len(rows):
        raise NotEnoughDataError(
            "Videos crawled again at 168 hours of age or more",
            found=0,
            needed=1,
            fix="Import a later crawl of the same videos.",
        )
    summary = {
        "rows_by_horizon": {h: int((rows.horizon == h).sum()) for h in HORIZONS},
        "authors": len(np.unique(rows.author)),
        "posted_from": str(rows.posted_at.min()),
        "posted_to": str(rows.posted_at.max()),
        "label_age_hours": np.quantile(rows.label_age_hours, [0.05, 0.5, 0.95]).tolist(),
        "class_shares": class_shares(fit_scale(rows.engagement).tiers(rows.engagement)),
        "unknown_share_by_feature": dict(
            zip(FEATURE_NAMES, np.isnan(rows.features).mean(axis=0).tolist(), strict=True)
        ),
    }
    models.save_training_set(
        database,
        sha256=artifacts.save(_to_bytes(rows)),
        rows=len(rows),
        videos=rows.videos,
        summary=summary,
        is_simulated=histories.is_simulated,
    )
    record = models.latest_training_set(database)
    log.info("training_set_built", sha256=record.sha256[:12], rows=record.rows)
    return record


def train_candidate(database: Database, artifacts: ArtifactStore) -> Trained:
    """Fit on the earlier part of the latest training set, judge on the later, store both.

    Raises
    ------
    NotEnoughDataError
        Too few rows or a tier missing; nothing is stored and the champion stays.
    NotFoundError
        There is no training set.
    """
    data = models.latest_training_set(database)
    rows = load_training_rows(data.sha256, artifacts)
    model, report = splits.judge_by_time(rows)
    model_sha256 = artifacts.save(model.to_bytes())
    version = f"tier-{model_sha256[:8]}{data.sha256[:4]}"
    sidecar = {
        "scale": asdict(model.scale),
        "feature_names": list(model.feature_names),
        "features_version": FEATURES_VERSION,
        "parameters": PARAMETERS,
        "rounds": ROUNDS,
        "served": {h: r.verdict.served for h, r in report.horizons.items()},
    }
    record = models.save_model(
        database,
        version=version,
        artifact_sha256=model_sha256,
        data_sha256=data.sha256,
        sidecar=sidecar,
        report=report.model_dump(mode="json"),
        is_simulated=data.is_simulated,
    )
    log.info("model_trained", version=version, promotable=report.promotable)
    _, test = splits.split_by_time(rows)
    return Trained(record, report, contributions(model, test.features))


def load_training_rows(sha256: str, artifacts: ArtifactStore) -> TrainingRows:
    """Return a stored training set.

    Raises
    ------
    NotFoundError, InputError
        Its file is gone or was changed.
    """
    return _from_bytes(artifacts.load(sha256))


def check_parity(
    database: Database, artifacts: ArtifactStore, *, sample: int = PARITY_SAMPLE
) -> Parity:
    """Compare stored training vectors with those that requests of the same facts would get.

    Each request goes the way of serving: validated, normalised, then the feature builder.

    Raises
    ------
    NotFoundError
        There is no training set.
    """
    rows = load_training_rows(models.latest_training_set(database).sha256, artifacts)
    stored = {
        (str(video), str(horizon)): vector
        for video, horizon, vector in zip(rows.video_id, rows.horizon, rows.features, strict=True)
    }
    compared, different = 0, []
    for facts in row_facts(load_histories(database).videos)[:: max(1, len(rows) // sample)]:
        vector = stored.get((facts.history.video_id, facts.horizon))
        if vector is None or utf16_length(facts.history.video.caption or "") > MAX_CONTENT_UNITS:
            continue
        compared += 1
        served = feature_vector(
            video_facts(normalize(_as_request(facts))), facts.creator, facts.snapshot
        )
        if not np.array_equal(vector, served, equal_nan=True):
            different.append(f"{facts.history.video_id} ({facts.horizon})")
    return Parity(compared, tuple(different))


def _as_request(facts: RowFacts) -> PredictionRequest:
    video = facts.history.video
    return PredictionRequest(
        input_mode="tiktok_url",
        tiktok_url=f"https://www.tiktok.com/@{facts.history.author}/video/{facts.history.video_id}",
        content_text=video.caption,
        hashtags=list(video.hashtags),
        duration_seconds=video.duration_seconds,
        posted_at=video.posted_at,
        sound_is_original=video.sound_is_original,
        creator_handle=facts.history.author,
        snapshot=facts.snapshot,
    )


def report_of(record: ModelRecord) -> EvaluationReport:
    """Return the stored report of a version."""
    report = EvaluationReport.model_validate(record.report)
    # JSON objects of the database come back in an order of their own.
    ordered = {h: report.horizons[h] for h in HORIZONS if h in report.horizons}
    return report.model_copy(update={"horizons": ordered})


def promote(database: Database, version: str) -> ModelRecord:
    """Make a version the champion.

    Raises
    ------
    GateRefusedError
        Its stored verdict forbids it; the champion stays.
    NotFoundError
        There is no such version.
    """
    record = models.get_model(database, version)
    report = report_of(record)
    if not report.promotable:
        raise GateRefusedError(
            f"Model {version} is not promoted: {'; '.join(report.reasons)}. The champion stays."
        )
    models.make_champion(database, version)
    log.info("model_promoted", version=version)
    return models.get_model(database, version)


def load_model(record: ModelRecord, artifacts: ArtifactStore) -> TierModel:
    """Return a stored version ready to predict.

    Raises
    ------
    NotFoundError, InputError
        Its file is gone, changed, or made for other features.
    """
    names = tuple(record.sidecar["feature_names"])
    scale = record.sidecar["scale"]
    return TierModel(
        booster=load_booster(
            artifacts.load(record.artifact_sha256), names, record.sidecar["features_version"]
        ),
        scale=TierScale(cuts=tuple(scale["cuts"]), reference=tuple(scale["reference"])),
        version=record.version,
        served=dict(record.sidecar["served"]),
        feature_names=names,
        features_version=record.sidecar["features_version"],
    )
