"""Which post a prediction was about: named by its URL, by a caller or by the request itself."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

from viral_platform.engine.contracts import PredictionRequest
from viral_platform.engine.errors import GateRefusedError, NotFoundError, RefusedRequestError
from viral_platform.providers.links import PostLink, parse_link
from viral_platform.storage import analyses, posts
from viral_platform.storage.database import Database
from viral_platform.storage.posts import Post

_ID = re.compile(r"[0-9]{5,19}", re.ASCII)
_EARLIEST = datetime(2014, 1, 1, tzinfo=UTC)
_CLOCK_TOLERANCE = timedelta(hours=1)
_LARGEST_ID = 2**63 - 1


def post_of(text: str, now: datetime) -> Post:
    """Return the post that a URL or an id names.

    Raises
    ------
    RefusedRequestError
        `url_not_https`, `url_host`, or `url_not_a_post`: also for a short link, and for an id that
        holds no time at which a post can have been made.

    Examples
    --------
    >>> post_of("7301234567890123456", datetime(2026, 5, 1, tzinfo=UTC)).url
    'https://m.tiktok.com/v/7301234567890123456.html'
    """
    bare = text.strip()
    if _ID.fullmatch(bare):
        link = PostLink(f"https://m.tiktok.com/v/{bare}.html", bare)
    else:
        link = parse_link(bare)
    if link.video_id is None:
        raise _not_a_post("A short link does not say which post it is.")
    number = int(link.video_id)
    posted_at = datetime.fromtimestamp(number >> 32, UTC) if number <= _LARGEST_ID else None
    if posted_at is None or not _EARLIEST <= posted_at <= now + _CLOCK_TOLERANCE:
        raise _not_a_post("The id is none of a post.")
    return Post(link.video_id, link.url, posted_at)


def post_of_request(request: PredictionRequest, now: datetime) -> Post | None:
    """Return the post that a request is about, None when it does not say."""
    if request.input_mode != "tiktok_url" or not request.tiktok_url:
        return None
    try:
        return post_of(request.tiktok_url, now)
    except RefusedRequestError:
        return None


def name_post(
    database: Database, analysis_id: UUID, text: str, *, now: datetime | None = None
) -> Post:
    """Store which post a prediction was about; naming another one replaces it.

    Raises
    ------
    RefusedRequestError
        As `post_of`.
    NotFoundError
        There is no such analysis.
    GateRefusedError
        It has its outcome already.
    """
    post = post_of(text, datetime.now(UTC) if now is None else now)
    analyses.get_analysis(database, analysis_id)
    try:
        analyses.get_outcome(database, analysis_id)
    except NotFoundError:
        with database.engine.begin() as connection:
            posts.name_post(connection, analysis_id, post)
        return post
    raise GateRefusedError(f"Analysis {analysis_id} has its outcome already, which stays.")


def _not_a_post(problem: str) -> RefusedRequestError:
    return RefusedRequestError(
        "url_not_a_post",
        problem,
        "Give the address of the post, https://www.tiktok.com/@name/video/123, or its id.",
    )
