"""An installation on a simulated feed for benchmarks: crawls, trends, a promoted model."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from viral_platform.sandbox.feed import Feed, FeedConfig, write_export
from viral_platform.services import training
from viral_platform.services.ingestion.importer import ImportOptions, import_files
from viral_platform.services.rules import sync_rule_library
from viral_platform.settings import PROJECT_ROOT, Settings
from viral_platform.storage.artifacts import ArtifactStore
from viral_platform.storage.database import Database, open_database
from viral_platform.storage.schema import migrate


def make_installation(home: Path) -> tuple[Database, ArtifactStore, Feed]:
    """Return a made installation in a folder, and the feed that it knows."""
    settings = Settings(viral_home=home, _env_file=None)
    database = open_database(settings)
    migrate(database)
    sync_rule_library(database)
    feed = Feed(FeedConfig(n_posts=6_000))
    for day in (6, 10, 14, 18, 22, 26, 29, 30):
        at = feed.config.start_at + timedelta(days=day)
        path = home / f"crawl-{day}.jsonl.gz"
        write_export(feed.crawl(at), path)
        import_files(database, [path], ImportOptions(source="clockworks", scraped_at=at))
    dbt = str(Path(sys.executable).with_name("dbt"))
    project = str(PROJECT_ROOT / "dbt_project")
    folders = ["--project-dir", project, "--profiles-dir", project]
    made = ["--target-path", str(home / "target"), "--log-path", str(home / "logs")]
    subprocess.run(
        [dbt, "--quiet", "run", *folders, *made],
        check=True,
        env={**os.environ, **database.process_environment()},
    )
    artifacts = ArtifactStore(settings.artifacts)
    training.build_training_set(database, artifacts)
    training.promote(database, training.train_candidate(database, artifacts).record.version)
    return database, artifacts, feed
