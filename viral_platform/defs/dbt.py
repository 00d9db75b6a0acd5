"""The dbt project as assets: models of schema `marts`, their tests as asset checks.

Set-up runs `dbt parse`; this module only reads the manifest. dbt runs with the executable beside
the interpreter, and with the installation's connection in its environment.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject, dbt_assets

from viral_platform.defs.assets.costs import SHOWN_DAYS, cost_metadata
from viral_platform.defs.common import DATA, MODELLING
from viral_platform.defs.resources import DatabaseResource
from viral_platform.services.costs import newest_days
from viral_platform.services.trending_scrapes import hashtags_of
from viral_platform.settings import PROJECT_ROOT, load_settings
from viral_platform.storage.database import open_database

PROJECT_DIR = PROJECT_ROOT / "dbt_project"
CALIBRATION_MODEL = "outcome_pairs"
COST_MODEL = "daily_costs"
_GROUPS = {CALIBRATION_MODEL: "calibration", COST_MODEL: "costs"}

project = DbtProject(project_dir=PROJECT_DIR, profiles_dir=PROJECT_DIR)


class MartTranslator(DagsterDbtTranslator):
    """Keys, groups and owners: a model is named by itself, a source by the asset that makes it."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Return the model's or source table's name as the key."""
        return dg.AssetKey(dbt_resource_props["name"])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """Return `calibration` for outcome pairs, `costs` for spend and `trends` for the rest."""
        return _GROUPS.get(dbt_resource_props["name"], "trends")

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        """Return who answers for a model."""
        return MODELLING if dbt_resource_props["name"] == CALIBRATION_MODEL else DATA


class DbtResource(dg.ConfigurableResource[DbtCliResource]):
    """dbt's command line on this installation's database."""

    def get(self) -> DbtCliResource:
        """Return dbt with the connection in the environment that its profile reads."""
        os.environ.update(open_database(load_settings()).process_environment())
        return DbtCliResource(
            project_dir=project, dbt_executable=str(Path(sys.executable).with_name("dbt"))
        )


def _build(context: dg.AssetExecutionContext, dbt: DbtResource) -> Iterator[Any]:
    settings = load_settings()
    variables = {
        "trend_window_hours": settings.trend_window_hours,
        "niches": hashtags_of(settings.scraper_hashtags),
    }
    arguments = ["build", "--vars", json.dumps(variables, ensure_ascii=False)]
    yield from dbt.get().cli(arguments, context=context).stream()


@dbt_assets(
    manifest=project.manifest_path,
    project=project,
    exclude=f"{CALIBRATION_MODEL} {COST_MODEL}",
    dagster_dbt_translator=MartTranslator(),
    name="trend_marts",
)
def trend_marts(context: dg.AssetExecutionContext, dbt: DbtResource) -> Iterator[Any]:
    """Trending sounds, of all and by niche, and hashtags, and creators' baselines."""
    yield from _build(context, dbt)


@dbt_assets(
    manifest=project.manifest_path,
    project=project,
    select=CALIBRATION_MODEL,
    dagster_dbt_translator=MartTranslator(),
    name="calibration_marts",
)
def calibration_marts(context: dg.AssetExecutionContext, dbt: DbtResource) -> Iterator[Any]:
    """Raw scores beside measured outcomes."""
    yield from _build(context, dbt)


@dbt_assets(
    manifest=project.manifest_path,
    project=project,
    select=COST_MODEL,
    dagster_dbt_translator=MartTranslator(),
    name="cost_marts",
)
def cost_marts(
    context: dg.AssetExecutionContext, dbt: DbtResource, database: DatabaseResource
) -> Iterator[Any]:
    """Spend by UTC day, provider and model."""
    for event in _build(context, dbt):
        if isinstance(event, dg.Output):
            shown = cost_metadata(newest_days(database.get(), SHOWN_DAYS))
            yield event.with_metadata({**event.metadata, **shown})
        else:
            yield event
