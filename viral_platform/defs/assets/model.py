"""Group `model`: training set, candidate, champion."""

import dagster as dg

from viral_platform.defs.assets.model_report import model_metadata, training_metadata
from viral_platform.defs.checks import TIER_MODEL_CHECKS, tier_model_results
from viral_platform.defs.common import (
    DATABASE_RETRIES,
    MODELLING,
    nothing_made_with_reason,
    simulated_label,
)
from viral_platform.defs.resources import ArtifactsResource, DatabaseResource
from viral_platform.services import training
from viral_platform.storage import models


@dg.asset(
    group_name="model",
    kinds={"python", "numpy"},
    owners=MODELLING,
    deps=["scraped_videos", "video_snapshots"],
    code_version="1",
    retry_policy=DATABASE_RETRIES,
)
def training_data(database: DatabaseResource, artifacts: ArtifactsResource) -> dg.MaterializeResult:
    """Feature vectors and labels of videos crawled at least twice; one row a video and horizon.

    The label is the weighted engagement rate (likes + 2 comments + 3 shares) / views at the first
    crawl at 168 hours or later, always from a later crawl than the input. Stored as a file named
    by its digest. A single crawl gives no label and materialises nothing.
    """
    with nothing_made_with_reason():
        record = training.build_training_set(database.get(), artifacts.get())
    return dg.MaterializeResult(
        metadata=training_metadata(record), data_version=dg.DataVersion(record.sha256)
    )


@dg.asset(
    group_name="model",
    kinds={"python", "xgboost"},
    owners=MODELLING,
    deps=[training_data],
    check_specs=TIER_MODEL_CHECKS,
    code_version="1",
    retry_policy=DATABASE_RETRIES,
)
def tier_model(database: DatabaseResource, artifacts: ArtifactsResource) -> dg.MaterializeResult:
    """Candidate: tier probabilities of a post at maturity, for three horizons.

    Fitted on the earlier three quarters of videos by posting time and judged on the later quarter,
    with no author on both sides. Each horizon has its own figures, baselines and
    verdict; a horizon that fails is withheld from answers. Too few videos or a missing tier
    materialise nothing, and the champion stays.
    """
    with nothing_made_with_reason():
        trained = training.train_candidate(database.get(), artifacts.get())
    parity = training.check_parity(database.get(), artifacts.get())
    return dg.MaterializeResult(
        metadata=model_metadata(trained),
        data_version=dg.DataVersion(trained.record.version),
        check_results=tier_model_results(trained.report, parity),
    )


@dg.asset(
    group_name="model",
    kinds={"python", "postgres"},
    owners=MODELLING,
    deps=[tier_model],
    code_version="1",
    retry_policy=DATABASE_RETRIES,
)
def champion_model(database: DatabaseResource) -> dg.MaterializeResult:
    """The version that answers. Promoted only with the verdict that is stored with it.

    The former champion is kept as retired. A refused promotion materialises nothing.
    """
    db = database.get()
    with nothing_made_with_reason():
        record = training.promote(db, models.latest_candidate(db).version)
    return dg.MaterializeResult(
        metadata={"version": record.version, **simulated_label(is_simulated=record.is_simulated)},
        data_version=dg.DataVersion(record.version),
    )
