"""Sensors: what starts a run because of what is in the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from viral_platform.defs.assets.serving import prediction_job
from viral_platform.defs.resources import DatabaseResource
from viral_platform.storage import batches
from viral_platform.storage.batches import WaitingBatch

# The tag of a run by which its batch is found.
BATCH_TAG = "viral/batch"
BATCHES_AT_ONCE = 20
RUN_FAILED = "run_failed"


def runs_to_request(waiting: Sequence[WaitingBatch], runs: Mapping[str, bool]) -> list[str]:
    """Return the batches that no run was launched for.

    Parameters
    ----------
    waiting : sequence of WaitingBatch
        Batches that have not ended.
    runs : mapping of str to bool
        By batch: whether the run that was launched for it, or took it, has ended.

    Examples
    --------
    >>> runs_to_request([WaitingBatch("a", None), WaitingBatch("b", None)], {"a": False})
    ['b']
    """
    return [
        batch.batch_id for batch in waiting if batch.run_id is None and batch.batch_id not in runs
    ]


def batches_left_behind(waiting: Sequence[WaitingBatch], runs: Mapping[str, bool]) -> list[str]:
    """Return the batches whose run has ended without telling their end: it was killed.

    Examples
    --------
    >>> batches_left_behind([WaitingBatch("a", "run-1"), WaitingBatch("b", None)], {"a": True})
    ['a']
    """
    return [batch.batch_id for batch in waiting if runs.get(batch.batch_id, False)]


@dg.sensor(
    # By its name: binding the job itself takes a parameter that still warns as beta.
    job_name=prediction_job.name,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches prediction_job for each batch that was ordered over HTTP, and marks a "
    "batch as failed when its run was killed.",
)
def prediction_batch_sensor(
    context: dg.SensorEvaluationContext, database: DatabaseResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Launch a run for each queued batch."""
    waiting = batches.open_batches(database.get(), BATCHES_AT_ONCE)
    runs = _runs_of(context.instance, waiting)
    for batch_id in batches_left_behind(waiting, runs):
        batches.fail_open_batch(database.get(), batch_id, RUN_FAILED)
    wanted = runs_to_request(waiting, runs)
    for batch_id in wanted:
        yield dg.RunRequest(
            run_key=batch_id,
            run_config={"ops": {"predict": {"config": {"batch_id": batch_id}}}},
            tags={BATCH_TAG: batch_id},
        )
    if not wanted:
        yield dg.SkipReason(f"No batch waits for a run; {len(waiting)} have not ended.")


def _runs_of(instance: dg.DagsterInstance, waiting: Sequence[WaitingBatch]) -> dict[str, bool]:
    """Return by batch whether its run has ended; a batch without a run is not in it."""
    ended: dict[str, bool] = {}
    for batch in waiting:
        if batch.run_id is None:
            found = instance.get_runs(dg.RunsFilter(tags={BATCH_TAG: batch.batch_id}), limit=1)
            run = found[0] if found else None
        else:
            run = instance.get_run_by_id(batch.run_id)
        if run is not None:
            ended[batch.batch_id] = run.is_finished
        elif batch.run_id is not None:
            ended[batch.batch_id] = True  # its record was deleted
    return ended
