"""From a webhook delivery to stored videos: sensor, job, and the check on the actor run."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from viral_platform.defs.assets.ingestion import COMPETITOR_SNAPSHOTS, SPECS
from viral_platform.defs.common import DATABASE_RETRIES, GATE_REFUSED, INPUT_UNUSABLE
from viral_platform.defs.crawl_checks import check_evaluation, check_result
from viral_platform.defs.jobs import EXCLUSIVE
from viral_platform.defs.resources import DatabaseResource
from viral_platform.defs.scraping import outcomes_made
from viral_platform.engine.errors import ConfigurationError, GateRefusedError, InputError
from viral_platform.providers.apify_datasets import ApifyDatasets
from viral_platform.services import inbox
from viral_platform.services.collected_outcomes import record_arrived
from viral_platform.services.crawl_checks import judge_dataset
from viral_platform.services.ingestion.datasets import (
    DeliveryReport,
    ingest_delivery,
    newest_report,
    stored_totals,
)
from viral_platform.settings import load_settings
from viral_platform.storage.videos import Totals

# The tag of a run by which its delivery is found.
DELIVERY_TAG = "viral/delivery"
DELIVERIES_AT_ONCE = 20
CHECK = "actor_run_succeeded"

_UNFINISHED = [
    status
    for status in dg.DagsterRunStatus
    if status
    not in {
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.FAILURE,
        dg.DagsterRunStatus.CANCELED,
    }
]


class ApifyDatasetsResource(dg.ConfigurableResource[ApifyDatasets]):
    """Reader of the runs and datasets at Apify that belong to APIFY_TOKEN."""

    @contextmanager
    def open(self) -> Iterator[ApifyDatasets]:
        """Yield a reader.

        Raises
        ------
        ConfigurationError
            APIFY_TOKEN is not set.
        """
        settings = load_settings()
        if settings.apify_token is None:
            raise ConfigurationError("APIFY_TOKEN is not set, so no dataset can be read. Set it.")
        reader = ApifyDatasets(
            token=settings.apify_token.get_secret_value(), base_url=settings.apify_base_url
        )
        try:
            yield reader
        finally:
            reader.close()


class DeliveryConfig(dg.Config):
    """Which delivery to ingest. What it tells of is read from Apify, not from here."""

    inbox_id: int = Field(ge=1, description="Id of the row in app.webhook_inbox.")


def delivery_metadata(report: DeliveryReport) -> dict[str, dg.MetadataValue | int | float | str]:
    """Return what the operator sees of a delivery; the counters add up to what was received."""
    metadata: dict[str, dg.MetadataValue | int | float | str] = {
        **report.counts(),
        "quarantined_by_reason": dg.MetadataValue.json(report.quarantined_by_reason),
        "pages": report.pages,
        "bytes": report.bytes,
        "items_per_second": report.items_per_second,
        "run_status": report.run_status,
        "actor_run_id": report.run_id,
        "dataset_id": report.dataset_id or "unknown",
        "problem": report.problem or "none",
        "is_repeat": dg.MetadataValue.bool(report.is_repeat),
    }
    if report.cost_microdollars is not None:
        metadata["cost_microdollars"] = report.cost_microdollars
    return metadata


def materializations(report: DeliveryReport, totals: Totals) -> list[dg.AssetMaterialization]:
    """Return the events of the assets that a delivery makes."""
    rows = {"scraped_videos": totals.videos, "video_snapshots": totals.snapshots}
    metadata = delivery_metadata(report)
    events = []
    for spec in SPECS:
        name = spec.key.to_user_string()
        counted = {"dagster/row_count": rows[name]} if name in rows else {}
        events.append(dg.AssetMaterialization(spec.key, metadata={**metadata, **counted}))
    if report.competitor_snapshots:
        counted = {"rows": report.competitor_snapshots}
        events.append(dg.AssetMaterialization(COMPETITOR_SNAPSHOTS.key, metadata=counted))
    return events


def run_verdict(report: DeliveryReport | None) -> dg.AssetCheckResult:
    """Return the result of `actor_run_succeeded`."""
    if report is None:
        return dg.AssetCheckResult(
            passed=True,
            check_name=CHECK,
            asset_key="scraped_videos",
            description="No actor run was delivered yet.",
            metadata={"n": 0},
        )
    ended = f"Actor run {report.run_id} ended {report.run_status}"
    problem = "" if report.problem is None else f", {report.problem}"
    return dg.AssetCheckResult(
        passed=report.is_complete,
        check_name=CHECK,
        asset_key="scraped_videos",
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{ended}{problem}; {report.received} of its items were read by the newest "
        "delivery.",
        metadata={
            "n": report.received,
            "run_status": report.run_status,
            "problem": report.problem or "none",
            "actor_run_id": report.run_id,
            "inbox_id": report.inbox_id,
        },
    )


@dg.asset_check(asset="scraped_videos", retry_policy=DATABASE_RETRIES)
def actor_run_succeeded(database: DatabaseResource) -> dg.AssetCheckResult:
    """The actor run that was delivered last succeeded, and its dataset was read to the end.

    A run that failed, was aborted or timed out still brings what it had gathered; so the data
    are right, but not whole.
    """
    return run_verdict(newest_report(database.get()))


@dg.op
def ingest(
    context: dg.OpExecutionContext,
    config: DeliveryConfig,
    database: DatabaseResource,
    apify: ApifyDatasetsResource,
) -> None:
    """Read the dataset of one delivery page by page into videos, snapshots and creators.

    A delivery that is processed changes nothing. A failed attempt is tried again by the sensor,
    from the page where it stopped.
    """
    try:
        with apify.open() as reader:
            report = ingest_delivery(database.get(), reader, config.inbox_id)
    except (InputError, GateRefusedError) as error:
        kind = GATE_REFUSED if isinstance(error, GateRefusedError) else INPUT_UNUSABLE
        raise dg.Failure(str(error), metadata={"kind": kind}, allow_retries=False) from error
    context.add_output_metadata(delivery_metadata(report))
    if report.is_repeat:
        return
    for event in materializations(report, stored_totals(database.get())):
        context.log_event(event)
    judged = map(check_result, judge_dataset(database.get(), report.dataset_id))
    for result in (run_verdict(report), *judged):
        # The hint leaves out the evaluations that the method takes.
        context.log_event(check_evaluation(result))  # type: ignore[arg-type]
    recorded = record_arrived(database.get())
    if recorded.outcomes:
        context.log_event(outcomes_made(recorded))


@dg.job(
    description="Read the dataset of one actor run, for one delivery of the inbox.",
    tags={EXCLUSIVE: "ingest_dataset"},
)
def ingest_dataset() -> None:
    """Ingest one delivery."""
    ingest()


@dg.sensor(
    # By its name: binding the job itself takes a parameter that still warns as beta.
    job_name=ingest_dataset.name,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches ingest_dataset for each webhook delivery that waits. The delivery of a "
    "run that died is due again when its lease has expired.",
)
def apify_webhook_sensor(
    context: dg.SensorEvaluationContext, database: DatabaseResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Lease each delivery that is due and launch a run for it."""
    now = datetime.now(UTC)
    waiting = inbox.due(database.get(), DELIVERIES_AT_ONCE, now)
    if waiting and load_settings().apify_token is None:
        yield dg.SkipReason(f"APIFY_TOKEN is not set; {len(waiting)} deliveries wait for it.")
        return
    launched = 0
    for delivery in waiting:
        if delivery.attempt and _has_run(context.instance, delivery.id):
            continue
        attempt = inbox.take(database.get(), delivery.id, now=now)
        if attempt is None:
            continue
        launched += 1
        yield dg.RunRequest(
            run_key=f"{delivery.delivery_id}:{attempt}",
            run_config={"ops": {"ingest": {"config": {"inbox_id": delivery.id}}}},
            # Every actor run has one dataset.
            tags={
                DELIVERY_TAG: str(delivery.id),
                EXCLUSIVE: f"apify-run-{inbox.run_id_of(delivery.body)}",
            },
        )
    if not launched:
        yield dg.SkipReason(f"No delivery is due; {len(waiting)} wait for the end of their run.")


def _has_run(instance: dg.DagsterInstance, inbox_id: int) -> bool:
    """Tell whether a run of the delivery waits in the queue or is under way."""
    tags = {DELIVERY_TAG: str(inbox_id)}
    return bool(instance.get_runs(dg.RunsFilter(tags=tags, statuses=_UNFINISHED), limit=1))
