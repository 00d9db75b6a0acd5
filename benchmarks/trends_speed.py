"""Speed of the trends' statements, beside one bare GROUP BY over the same crawls.

The window holds 1,000,000 snapshots: 125,000 videos crawled every six hours. Baseline, in the same
database and with the same memory: `sum(views), sum(likes)` of the window's snapshots by video. The
window's table is `int_videos_in_window`, the one model that reads snapshots; its time is that of
the statement that dbt sends, `create table ... as`, after the model's own `set local`. Then the
same window behind nine others, in a history ten times as long. Bars: 4 x the baseline, and 1.5 x
the shorter history, which holds the two marts too that read the window's table.
Rounds alternate; the ratio is that of the medians. `--large` adds a window of 10,000,000.
Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from viral_platform.settings import PROJECT_ROOT
from viral_platform.storage import embedded, schema
from viral_platform.storage.database import Database

SNAPSHOTS, LARGE = 1_000_000, 10_000_000
CRAWLS = 8
HISTORY = 10
ROUNDS = 7
RATIO_BAR = 4.0
HISTORY_BAR = 1.5
WINDOW = "int_videos_in_window"
MARTS = ("trending_sounds", "trending_hashtags")

# Windows are 49 hours apart, so that none reaches into another; the newest is the last.
_ADD_VIDEOS = """
insert into app.scraped_videos (
    platform, platform_video_id, author_handle, caption, posted_at, views, hashtags, sound_id,
    sound_name, source, is_simulated, crawled_at
)
select
    'tiktok', (7000000000000000000 + number)::text, 'author' || number * 7919 %% 40000,
    repeat('words of a caption ', 8) || number, crawled_at - interval '3 days', 1000,
    array['tag' || number * 31 %% 20000, 'tag' || number %% 500, 'fyp'],
    'sound' || number * 17 %% 30000, 'Song ' || number * 17 %% 30000, 'clockworks', true, crawled_at
from (
    select
        number,
        now() - make_interval(hours => (49 * (%(windows)s - 1 - (number - 1) / %(videos)s))::int)
        as crawled_at
    from generate_series(1::bigint, %(windows)s * %(videos)s) as numbers (number)
) as numbered
"""
_ADD_SNAPSHOTS = """
insert into app.video_snapshots (video_id, crawled_at, views, likes, comments, shares, saves)
select
    number, now() - make_interval(hours => 49 * %(age)s + 6 * (%(crawls)s - 1 - crawl)),
    1000 + number %% 1000 * 10 * (crawl + 1), 10 * (crawl + 1), crawl, crawl, crawl
from generate_series(0, %(crawls)s - 1) as crawls (crawl)
cross join generate_series(%(first)s::bigint, %(last)s) as numbers (number)
order by crawl, number * 2654435761 %% 1000003
"""
_IN_WINDOW = """
crawled_at >= (select max(crawled_at) - interval '48 hours' from app.scraped_videos)
and crawled_at <= (select max(crawled_at) from app.scraped_videos)
"""


def filled(server_url: str, snapshots: int, windows: int) -> Database:
    """Return a database with so many snapshots in its newest window, and windows before it."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    database = Database(make_url(server_url).set(database=name))
    schema.migrate(database)
    videos = snapshots // CRAWLS
    with database.connect() as connection:
        # The rows fit together; checking each foreign key would take as long as all else.
        connection.execute("set local session_replication_role = replica")
        connection.execute(_ADD_VIDEOS, {"windows": windows, "videos": videos})
        for window in range(windows):
            connection.execute(
                _ADD_SNAPSHOTS,
                {
                    "age": windows - 1 - window,
                    "crawls": CRAWLS,
                    "first": window * videos + 1,
                    "last": (window + 1) * videos,
                },
            )
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")
    return database


def statements(database: Database, target: Path) -> dict[str, tuple[list[str], str]]:
    """Build the models once; return what dbt sends for each: set-up, then `create table`."""
    project = str(PROJECT_ROOT / "dbt_project")
    subprocess.run(
        [
            *(str(Path(sys.executable).with_name("dbt")), "--quiet", "run"),
            *("--select", *(f"+{mart}" for mart in MARTS)),
            *("--project-dir", project, "--profiles-dir", project),
            *("--target-path", str(target), "--log-path", str(target)),
        ],
        check=True,
        env={**os.environ, **database.process_environment()},
    )
    nodes = json.loads((target / "manifest.json").read_text())["nodes"]
    found = {}
    for model in (WINDOW, *MARTS):
        node = nodes[f"model.viral_platform.{model}"]
        kind = "unlogged table" if node["config"].get("unlogged") else "table"
        set_up = [hook["sql"] for hook in node["config"]["pre-hook"]]
        found[model] = (set_up, f"create {kind} bench_rebuilt as ({node['compiled_code']})")
    return found


def seconds(database: Database, set_up: Sequence[str], statement: str) -> float:
    """Return how long a statement takes in a transaction that is then rolled back."""
    with psycopg.connect(database.url) as connection:
        for one in set_up:
            connection.execute(one.encode())
        started = time.perf_counter()
        connection.execute(statement.encode())
        taken = time.perf_counter() - started
        connection.rollback()
    return taken


def measure(database: Database, target: Path, rounds: int) -> dict[str, float]:
    """Return the medians in milliseconds, with the ratio of the window's table to the baseline."""
    sent = statements(database, target)
    with database.connect() as connection:
        row = connection.execute(
            f"select count(*), count(distinct video_id) from app.video_snapshots where {_IN_WINDOW}"
        ).fetchone()
        bounds = connection.execute(
            "select max(crawled_at) - interval '48 hours', max(crawled_at) from app.scraped_videos"
        ).fetchone()
    if row is None or bounds is None:
        raise LookupError("a query of one row gave none")
    bare = (
        "select sum(views), sum(likes) from ("
        " select video_id, sum(views) as views, sum(likes) as likes from app.video_snapshots"
        f" where crawled_at >= '{bounds[0]}' and crawled_at <= '{bounds[1]}' group by video_id"
        ") as videos"
    )
    works: dict[str, Callable[[], float]] = {
        "bare_group_by": partial(seconds, database, sent[WINDOW][0], bare),
        **{model: partial(seconds, database, *work) for model, work in sent.items()},
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(work())
    medians = {name: statistics.median(times) for name, times in taken.items()}
    return {
        "snapshots_in_window": row[0],
        "videos_in_window": row[1],
        **{f"{name}_ms": round(1000 * median, 1) for name, median in medians.items()},
        "ratio": round(medians[WINDOW] / medians["bare_group_by"], 2),
    }


def main() -> None:
    """Measure on a server of its own and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true")
    large = parser.parse_args().large
    home = Path(tempfile.mkdtemp(prefix="viral-bench-"))
    try:
        url = embedded.start_server(home)
        target = home / "target"
        alone = measure(filled(url, SNAPSHOTS, 1), target, ROUNDS)
        behind = measure(filled(url, SNAPSHOTS, HISTORY), target, ROUNDS)
        longer = {
            model: round(behind[f"{model}_ms"] / alone[f"{model}_ms"], 2)
            for model in (WINDOW, *MARTS)
        }
        result: dict[str, object] = {
            "benchmark": "trends_speed",
            "window": alone,
            "in_ten_times_the_history": {**behind, "times_the_shorter": longer},
        }
        ratios = [alone["ratio"], behind["ratio"]]
        if large:
            wide = measure(filled(url, LARGE, 1), target, 3)
            result["large_window"] = wide
            ratios.append(wide["ratio"])
        met = max(ratios) <= RATIO_BAR and max(longer.values()) <= HISTORY_BAR
        result["bars"] = {"ratio": RATIO_BAR, "history": HISTORY_BAR, "met": met}
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    finally:
        embedded.stop_server(home)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
