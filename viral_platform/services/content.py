"""From what a caller sends to what the engine judges: text, the post behind a URL, a video file.

A content that breaks a rule is refused here, before anything is paid for, with a stable code.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from viral_platform.engine.contracts import MeasuredSnapshot, PredictionRequest
from viral_platform.engine.errors import ProviderError, RefusedRequestError
from viral_platform.engine.spend import Meter
from viral_platform.engine.tasks import VideoFile
from viral_platform.engine.text import utf16_length
from viral_platform.providers.links import LinkResolver, parse_link
from viral_platform.providers.video import probe_video
from viral_platform.services.ingestion.pipeline import ItemParser
from viral_platform.services.providers import Providers

if TYPE_CHECKING:
    from viral_platform.providers.apify import ApifyClient

MIN_TEXT_CHARACTERS = 10
MAX_SHARE_OF_ONE_CHARACTER = 0.9

Complete = Callable[[PredictionRequest, Meter], Awaitable[PredictionRequest]]


@dataclass
class Content:
    """A checked request with what belongs to it.

    `post` completes the request by the post behind its URL; `video` is the checked file.
    """

    request: PredictionRequest
    post: Complete | None = None
    video: VideoFile | None = None
    is_simulated: bool = False


async def read_content(request: PredictionRequest, providers: Providers) -> Content:
    """Return the content of a request, checked.

    Raises
    ------
    RefusedRequestError
        It breaks a rule of its input mode.
    """
    if request.input_mode == "text":
        check_text(request.content_text or "")
        return Content(request)
    if request.input_mode == "tiktok_url":
        return await _linked(request, providers)
    video = await asyncio.to_thread(probe_video, Path(request.video_storage_path or ""))
    if request.duration_seconds is None:
        request = request.model_copy(update={"duration_seconds": video.duration_seconds})
    return Content(request, video=video)


def check_text(text: str) -> None:
    """Refuse a text that is too short or hardly more than one repeated character.

    Raises
    ------
    RefusedRequestError
        `text_too_short` below 10 characters, `text_repeats` when one character makes up more
        than 90 %. Outer blanks do not count; too long is refused by the request itself.
    """
    bare = text.strip()
    if len(bare) < MIN_TEXT_CHARACTERS:
        raise RefusedRequestError(
            "text_too_short",
            f"The text has {len(bare)} characters without outer blanks.",
            f"Give at least {MIN_TEXT_CHARACTERS}: the caption or the script of the post.",
        )
    character, count = Counter(bare).most_common(1)[0]
    if count * utf16_length(character) > MAX_SHARE_OF_ONE_CHARACTER * utf16_length(bare):
        raise RefusedRequestError(
            "text_repeats",
            "More than 90 % of the text is one repeated character.",
            "Give the caption or the script as it will be posted.",
        )


async def _linked(request: PredictionRequest, providers: Providers) -> Content:
    link = parse_link(request.tiktok_url or "")
    if providers.apify is None:
        return Content(request)
    if link.is_short:
        async with LinkResolver() as resolver:
            link = await resolver.resolve(link)
    content = Content(request.model_copy(update={"tiktok_url": link.url}))
    client = providers.apify

    async def complete(asked: PredictionRequest, meter: Meter) -> PredictionRequest:
        completed, content.is_simulated = await _read_post(client, link.url, asked, meter)
        return completed

    content.post = complete
    return content


async def _read_post(
    apify: ApifyClient, url: str, request: PredictionRequest, meter: Meter
) -> tuple[PredictionRequest, bool]:
    """Return the request with what the post says where the caller said nothing."""
    item = await apify.fetch_post(url, meter)
    now = datetime.now(UTC)
    batch = ItemParser("clockworks", default_crawled_at=now).batch(
        [json.dumps(item).encode()], 1, now
    )
    if not batch.columns.get("platform_video_id"):
        problem = batch.rejected[0].reason if batch.rejected else "no video"
        raise ProviderError("apify", "schema", f"the item of the post is not usable: {problem}")
    row = {name: column[0] for name, column in batch.columns.items()}
    known = {
        "content_text": row["caption"],
        "creator_handle": row["author_handle"],
        "posted_at": row["posted_at"],
        "duration_seconds": row["duration_seconds"],
        "hashtags": list(row["hashtags"]),
        "sound_is_original": row["sound_is_original"],
        "snapshot": _snapshot(row),
    }
    missing = {name: value for name, value in known.items() if getattr(request, name) is None}
    return request.model_copy(update=missing), bool(row["is_simulated"])


def _snapshot(row: dict[str, Any]) -> MeasuredSnapshot | None:
    if not row["views"] or row["posted_at"] is None:
        return None
    age = (row["crawled_at"] - row["posted_at"]) / timedelta(hours=1)
    if age < 0:
        return None
    return MeasuredSnapshot(
        age_hours=age,
        views=row["views"],
        likes=row["likes"],
        comments=row["comments"],
        shares=row["shares"],
        saves=row["saves"],
    )
