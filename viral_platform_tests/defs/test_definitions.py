from __future__ import annotations

import subprocess
import sys

import dagster as dg
import pytest

from viral_platform.definitions import build_definitions
from viral_platform.defs import jobs

JOBS = {
    "import_exports",
    "load_rules",
    "validate_rules",
    "calculate_trends",
    "retrain_ml",
    "calibration_audit",
    "aggregate_costs",
    "prediction_job",
    "ingest_dataset",
    "scrape_trending",
    "start_ordered_scrape",
    "refresh_competitors",
    "collect_outcomes",
    "check_crawls",
    "prune",
}
NEED_CONFIG = {"import_exports", "prediction_job", "ingest_dataset", "start_ordered_scrape"}


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return build_definitions()


def test_everything_loads_together(defs: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(defs)


def test_the_location_loads_in_a_fresh_interpreter_without_a_database() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from viral_platform.definitions import defs"],
        env={"PATH": "", "VIRAL_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_asset_tells_the_operator_its_group_kinds_owners_and_meaning(
    defs: dg.Definitions,
) -> None:
    bare = [
        spec.key.to_user_string()
        for spec in defs.resolve_all_asset_specs()
        if not (spec.group_name and spec.kinds and spec.owners and spec.description)
        or spec.group_name == "default"
    ]
    assert bare == []


def test_every_upstream_is_an_asset_of_ours(defs: dg.Definitions) -> None:
    specs = list(defs.resolve_all_asset_specs())
    keys = {spec.key for spec in specs}
    foreign = {dep.asset_key for spec in specs for dep in spec.deps} - keys
    assert foreign == set()


def test_the_jobs_are_those_that_the_documents_name(defs: dg.Definitions) -> None:
    names = {job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")}
    assert names == JOBS


@pytest.mark.parametrize("name", sorted(JOBS - NEED_CONFIG))
def test_a_job_takes_its_default_config_and_refuses_a_wrong_key(
    defs: dg.Definitions, name: str
) -> None:
    job = defs.resolve_job_def(name)
    dg.validate_run_config(job, {})
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(job, {"ops": {"no_such_step": {}}})


def test_an_import_without_files_is_refused_before_it_starts(defs: dg.Definitions) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="files"):
        dg.validate_run_config(defs.resolve_job_def("import_exports"), {})


def test_runs_of_one_job_are_kept_from_overlapping(defs: dg.Definitions) -> None:
    # Runs of these two are of one batch or one dataset, and exclude by it.
    for name in JOBS - {"prediction_job", "ingest_dataset"}:
        assert defs.resolve_job_def(name).tags[jobs.EXCLUSIVE] == name
