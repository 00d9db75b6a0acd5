"""The code location of the drill's daemons: sensor and job of the deliveries, with the seams."""

import os
from pathlib import Path

import dagster as dg

from viral_platform.defs import webhooks
from viral_platform.defs.resources import DatabaseResource
from viral_platform_tests.faults import seams

seams.install(Path(os.environ[seams.FOLDER_VARIABLE]))

defs = dg.Definitions(
    jobs=[webhooks.ingest_dataset],
    sensors=[webhooks.apify_webhook_sensor],
    resources={"database": DatabaseResource(), "apify": webhooks.ApifyDatasetsResource()},
    executor=dg.in_process_executor,
)
