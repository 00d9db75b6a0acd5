"""Group `serving`: predictions as an op, and the table of answers that it fills."""

import dagster as dg
from pydantic import Field

from viral_platform.defs.common import DATA, nothing_made_with_reason, simulated_label
from viral_platform.defs.resources import PredictionResource
from viral_platform.engine.contracts import PredictionAnswer

analysis_results = dg.AssetSpec(
    "analysis_results",
    group_name="serving",
    kinds={"python", "postgres"},
    owners=DATA,
    # Not the calibration in force: it is made from these answers, and a graph has no loops.
    deps=["champion_model", "rule_library", "trending_sounds", "creator_baselines"],
    description="Answered predictions: raw and served score, horizon, the versions that made "
    "them. Written by the prediction service, which reports here in batches.",
)


class PredictConfig(dg.Config):
    """Which batch to answer. Its requests are in the database: captions do not belong in a run."""

    batch_id: str = Field(description="Batch whose stored requests are answered.")


def answers_event(answers: list[PredictionAnswer]) -> dg.AssetMaterialization:
    """Return the event that shows a batch of answers to the operator, without their content."""
    scores = [answer.overall_score for answer in answers if answer.overall_score is not None]
    return dg.AssetMaterialization(
        asset_key="analysis_results",
        metadata={
            "answers": len(answers),
            "degraded": sum(answer.degraded for answer in answers),
            "calibrated": sum(answer.is_calibrated for answer in answers),
            "mean_score": sum(scores) / len(scores) if scores else float("nan"),
            **simulated_label(is_simulated=any(answer.simulated for answer in answers)),
        },
    )


def outcomes_event(added: int, *, is_simulated: bool) -> dg.AssetMaterialization:
    """Return the event that shows a batch of measured outcomes to the operator."""
    return dg.AssetMaterialization(
        asset_key="outcomes",
        metadata={"added": added, **simulated_label(is_simulated=is_simulated)},
    )


@dg.op
def predict(
    context: dg.OpExecutionContext, config: PredictConfig, prediction: PredictionResource
) -> None:
    """Answer those stored requests of one batch that have no answer; store each under its id."""
    with nothing_made_with_reason():
        answers = prediction.get().predict_batch(config.batch_id, run_id=context.run_id)
    context.log_event(answers_event(answers))
    context.add_output_metadata({"batch_id": config.batch_id, "answers": len(answers)})


@dg.job(description="Answer a batch of prediction requests as an audited run.")
def prediction_job() -> None:
    """Answer one batch of requests."""
    predict()
