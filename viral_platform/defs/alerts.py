"""Alerts: failed runs, failed checks and failed ticks of sensors and schedules, each told once.

Cursors move past what was told. The first tick only sets them: what failed before it is history.
Where an alert goes is in `observability.alerts`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from viral_platform.defs.common import GATE_REFUSED, INPUT_UNUSABLE
from viral_platform.observability.alerts import Alert, Cause, send

CHECKS_AT_ONCE = 50
TICKS_AT_ONCE = 100
# Refusals that are meant: too little data, a verdict that forbids the step.
_MEANT = frozenset({INPUT_UNUSABLE, GATE_REFUSED})
_EVALUATED = dg.DagsterEventType.ASSET_CHECK_EVALUATION
_PLANNED = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED


@dg.run_failure_sensor(
    name="run_failure_sensor",
    # With it the runs of `viral run`, which no code location launched, are seen too.
    monitor_all_code_locations=True,
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells of each failed run once: job, run, step, asset and kind of error. Five a "
    "tick.",
)
def run_failure_sensor(context: dg.RunFailureSensorContext) -> None:
    """Tell of a failed run."""
    send(
        [
            run_alert(
                context.instance,
                context.dagster_run,
                context.failure_event,
                context.get_step_failure_events(),
            )
        ]
    )


@dg.sensor(
    name="failed_check_sensor",
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells of each failed check once: an error, or advice when it only warns.",
)
def failed_check_sensor(
    context: dg.SensorEvaluationContext,
) -> dg.SkipReason:
    """Tell of checks that failed since the last tick."""
    read = _evaluations(context.instance, context.cursor)
    failed = [
        alert for record in read if (alert := check_alert(_evaluation(record), record.run_id))
    ]
    if context.cursor is None:
        last = read[-1].storage_id if read else 0
        context.update_cursor(str(last))
        return dg.SkipReason(f"Checks are watched from event {last} on.")
    send(failed)
    if read:
        context.update_cursor(str(read[-1].storage_id))
    return dg.SkipReason(f"{len(read)} checks were evaluated, of which {len(failed)} failed.")


@dg.sensor(
    name="failed_tick_sensor",
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells when a sensor or schedule begins to fail, once until it works again or "
    "fails in another way.",
)
def failed_tick_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Tell of sensors and schedules whose ticks fail."""
    before = None if context.cursor is None else _watched(json.loads(context.cursor))
    after: dict[str, Watch] = {}
    alerts: list[Alert] = []
    for state in context.instance.all_instigator_state():
        name = state.instigator_name
        known = None if before is None else before.get(name, Watch(0.0, None))
        ticks = context.instance.get_ticks(
            state.instigator_origin_id,
            state.selector_id,
            after=None if known is None else known.at,
            limit=TICKS_AT_ONCE if known else 1,
        )
        # One that goes on is read again; one that was killed is passed by with the next.
        ended = [_tick(tick) for tick in reversed(ticks) if tick.is_completed]
        if known is None:
            after[name] = Watch(ended[-1].at if ended else 0.0, None)
            continue
        after[name], begun = failures_begun(known, ended)
        kind_of_instigator = "sensor" if "SENSOR" in state.instigator_type.value else "schedule"
        alerts += [tick_alert(kind_of_instigator, name, tick) for tick in begun]
    send(alerts)
    context.update_cursor(json.dumps({name: [one.at, one.kind] for name, one in after.items()}))
    return dg.SkipReason(f"{len(after)} sensors and schedules; {len(alerts)} begin to fail.")


@dataclass(frozen=True, slots=True)
class Tick:
    """One evaluation that ended; `cause` is None when it did not fail."""

    at: float
    cause: Cause | None


@dataclass(frozen=True, slots=True)
class Watch:
    """How far a sensor's ticks were read, and the error that it fails with, None when it works."""

    at: float
    kind: str | None


def failures_begun(known: Watch, ticks: Sequence[Tick]) -> tuple[Watch, list[Tick]]:
    """Return where a sensor stands after ticks, and those that began a streak of one error.

    Examples
    --------
    >>> broken = Tick(2.0, Cause("KeyError", "KeyError: 'x'"))
    >>> failures_begun(Watch(1.0, None), [broken, Tick(3.0, broken.cause), Tick(4.0, None)])[0]
    Watch(at=4.0, kind=None)
    """
    begun = []
    for tick in ticks:
        kind = None if tick.cause is None else tick.cause.kind
        if kind is not None and kind != known.kind and tick.at > known.at:
            begun.append(tick)
        known = Watch(max(known.at, tick.at), kind)
    return known, begun


def run_alert(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    failure: dg.DagsterEvent,
    steps: Sequence[dg.DagsterEvent],
) -> Alert:
    """Return what is told of a failed run; of several failed steps the first is its cause."""
    step = steps[0] if steps else None
    data = (failure if step is None else step).event_specific_data
    cause = cause_of(getattr(data, "error", None))
    assets, checks = _assets(instance, run, step), _failed_checks(instance, run)
    kind = _kind_of_failure(data)
    names = [str(one.step_key) for one in steps]
    where = f" in {', '.join(names)}" if names else ""
    return Alert(
        event="run_failed",
        title=f"Run of {run.job_name} failed{where}.",
        is_error=kind not in _MEANT,
        tags={
            "job": run.job_name,
            "run_id": run.run_id,
            "step": names[0] if names else "",
            "asset": ", ".join(assets),
            "check": ", ".join(checks),
            "error_kind": cause.kind if cause else "none",
        },
        same_as=[run.job_name, names[0] if names else "", cause.kind if cause else "none"],
        cause=cause,
    )


def check_alert(evaluation: dg.AssetCheckEvaluation, run_id: str) -> Alert | None:
    """Return what is told of a check, None when it passed."""
    if evaluation.passed:
        return None
    asset = evaluation.asset_key.to_user_string()
    name = evaluation.check_name
    described = f": {evaluation.description}" if evaluation.description else ""
    figures = {
        key: entry.value
        for key, entry in evaluation.metadata.items()
        if isinstance(entry, dg.IntMetadataValue | dg.FloatMetadataValue)
        and entry.value is not None
    }
    return Alert(
        event="check_failed",
        title=f"Check {name} of {asset} failed{described}",
        is_error=evaluation.severity == dg.AssetCheckSeverity.ERROR,
        tags={"asset": asset, "check": name, "run_id": run_id},
        same_as=[asset, name],
        figures=figures,
    )


def tick_alert(kind: str, name: str, tick: Tick) -> Alert:
    """Return what is told of a sensor or schedule that begins to fail."""
    error_kind = tick.cause.kind if tick.cause else "none"
    return Alert(
        event="tick_failed",
        title=f"The {kind} {name} fails.",
        is_error=True,
        tags={kind: name, "error_kind": error_kind},
        same_as=[name, error_kind],
        cause=tick.cause,
    )


def cause_of(error: Any) -> Cause | None:  # noqa: ANN401  Dagster does not export its class
    """Return the error that our code raised, out of what Dagster and a refusal wrap around it."""
    while error is not None and error.cause is not None and _is_wrapper(error.cls_name):
        error = error.cause
    if error is None:
        return None
    return Cause(error.cls_name or "Exception", error.message, error.stack)


def _is_wrapper(name: str | None) -> bool:
    wraps = ("Dagster", "SensorExecution", "ScheduleExecution", "RunStatusSensorExecution")
    return name == "Failure" or (name or "").startswith(wraps)


def _kind_of_failure(data: object) -> str | None:
    """Return the kind that a refusal carries, see `defs.common`."""
    told = getattr(data, "user_failure_data", None)
    kind = None if told is None else told.metadata.get("kind")
    return None if kind is None else str(kind.value)


def _assets(
    instance: dg.DagsterInstance, run: dg.DagsterRun, step: dg.DagsterEvent | None
) -> list[str]:
    """Return the assets that the failed step was to make."""
    if step is None:
        return []
    planned = instance.get_records_for_run(run.run_id, of_type=_PLANNED).records
    events = [record.event_log_entry.get_dagster_event() for record in planned]
    return sorted(
        event.asset_key.to_user_string()
        for event in events
        if event.step_key == step.step_key and event.asset_key is not None
    )


def _failed_checks(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """Return the blocking checks that failed in a run."""
    records = instance.get_records_for_run(run.run_id, of_type=_EVALUATED).records
    evaluations = [_evaluation(record) for record in records]
    return sorted({one.check_name for one in evaluations if one.blocking and not one.passed})


def _evaluations(instance: dg.DagsterInstance, cursor: str | None) -> Sequence[dg.EventLogRecord]:
    """Return evaluations after the cursor, the oldest first; without one the newest alone."""
    after = None if cursor is None else int(cursor)
    return instance.event_log_storage.get_event_records(
        dg.EventRecordsFilter(event_type=_EVALUATED, after_cursor=after),
        limit=1 if cursor is None else CHECKS_AT_ONCE,
        ascending=cursor is not None,
    )


def _evaluation(record: dg.EventLogRecord) -> dg.AssetCheckEvaluation:
    evaluation = record.event_log_entry.get_dagster_event().event_specific_data
    if not isinstance(evaluation, dg.AssetCheckEvaluation):
        raise TypeError(f"event {record.storage_id} holds no evaluation of a check")
    return evaluation


def _watched(cursor: Mapping[str, Any]) -> dict[str, Watch]:
    return {name: Watch(float(at), kind) for name, (at, kind) in cursor.items()}


def _tick(tick: Any) -> Tick:  # noqa: ANN401  Dagster does not export its class
    cause = cause_of(tick.error) if tick.is_failure else None
    if tick.is_failure and cause is None:
        cause = Cause("Exception", "the tick failed")
    return Tick(tick.timestamp, cause)


SENSORS = [run_failure_sensor, failed_check_sensor, failed_tick_sensor]
