"""Group `serving`: predictions as an op, and the table of answers that it fills."""

from typing import Any

import dagster as dg
from pydantic import Field, ValidationError

from viral_platform.defs.common import DATA, INPUT_UNUSABLE, simulated_label
from viral_platform.defs.resources import PredictionResource
from viral_platform.engine.contracts import PredictionAnswer, PredictionRequest

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
    """One request, with the fields of `POST /v1/predictions`."""

    request: dict[str, Any] = Field(description="Fields of the request, content_text at least.")


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
    """Answer one prediction request and store the answer under its id."""
    try:
        request = PredictionRequest.model_validate(config.request)
    except ValidationError as error:
        raise dg.Failure(
            f"The request cannot be used: {error}",
            metadata={"kind": INPUT_UNUSABLE},
            allow_retries=False,
        ) from error
    answer = prediction.get().predict(request)
    context.log_event(answers_event([answer]))
    context.add_output_metadata(
        {
            "analysis_id": answer.id,
            "overall_score": answer.overall_score if answer.overall_score is not None else "none",
            "confidence": answer.confidence_label,
            "horizon": answer.horizon,
        }
    )


@dg.job(description="One audited prediction: the op that answers, as a run.")
def prediction_job() -> None:
    """Answer one request as a Dagster run."""
    predict()
