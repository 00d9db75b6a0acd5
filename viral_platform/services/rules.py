"""The packaged rule library and its rows."""

from __future__ import annotations

from importlib.resources import files

import yaml

from viral_platform.storage import rules
from viral_platform.storage.database import Database


def sync_rule_library(database: Database) -> int:
    """Bring the packaged rules into the database; return how many are active.

    The weight is learned from outcomes and left alone.
    """
    text = files("viral_platform.services").joinpath("rule_library.yaml").read_text("utf-8")
    return rules.upsert_rules(database, yaml.safe_load(text)["rules"])
