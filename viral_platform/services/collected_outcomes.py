"""Outcomes that we measure ourselves: posts of predictions are crawled again when they are mature.

A due post is scraped; its snapshot comes by webhook and ingestion as any other, and is then judged
and stored as a reported outcome is, once. Any crawl that brings the post at that age will do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from viral_platform.engine.errors import InputError, NotFoundError
from viral_platform.engine.training_rows import MATURITY_HOURS
from viral_platform.observability.logging import get_logger
from viral_platform.services.calibration import MAX_OUTCOME_AGE_HOURS
from viral_platform.services.outcomes import OutcomeReport, add_outcome
from viral_platform.settings import Settings
from viral_platform.storage import posts
from viral_platform.storage.database import Database
from viral_platform.storage.posts import Ages
from viral_platform.storage.scrapes import ScrapeOrder

log = get_logger(__name__)

# Hourly at half past.
EVERY, AFTER = timedelta(hours=1), timedelta(minutes=30)
# A post that its scrape did not bring is asked for again.
ASKED_AGAIN_AFTER = timedelta(hours=24)
# Outcomes of equal age: what is older is not compared, so it is not paid for either.
AGES = Ages(from_hours=int(MATURITY_HOURS), to_hours=int(MAX_OUTCOME_AGE_HOURS))


@dataclass(frozen=True, slots=True)
class Recorded:
    """Outcomes stored, and those that could not be judged, as while no model is promoted."""

    outcomes: int
    unjudged: int


def record_arrived(database: Database) -> Recorded:
    """Store the outcomes of predictions whose post was crawled at its age.

    An outcome that is there already, by whomever, stays. One that cannot be judged now keeps no
    other from being stored, and is tried again.
    """
    recorded = unjudged = 0
    for counts in posts.arrived(database, AGES):
        try:
            is_new = add_outcome(database, OutcomeReport(**asdict(counts)), origin="collected")
        except InputError as error:
            unjudged += 1
            log.warning("outcome_not_judged", analysis_id=str(counts.analysis_id), why=str(error))
        else:
            recorded += is_new
    if recorded or unjudged:
        log.info("outcomes_collected", recorded=recorded, unjudged=unjudged)
    return Recorded(recorded, unjudged)


def due_posts(settings: Settings, database: Database, now: datetime) -> list[str]:
    """Return the addresses of posts that are to be crawled, as many as one scrape may bring."""
    return posts.due(
        database,
        AGES,
        now=now,
        asked_since=now - ASKED_AGAIN_AFTER,
        limit=settings.scraper_max_items,
    )


def is_due(settings: Settings, database: Database, now: datetime) -> bool:
    """Tell whether a post is to be crawled, or was and its outcome is not recorded."""
    return bool(due_posts(settings, database, now) or posts.arrived(database, AGES))


def outcomes_order(
    settings: Settings, database: Database, tick: datetime, now: datetime
) -> ScrapeOrder:
    """Return the scrape of a tick: all due posts, the oldest first.

    Raises
    ------
    NotFoundError
        No post is due.
    """
    urls = due_posts(settings, database, now)
    if not urls:
        raise NotFoundError("No post of a prediction is due for its outcome.")
    return ScrapeOrder("outcomes", tick.isoformat(), {"postURLs": urls})
