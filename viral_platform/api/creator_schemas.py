"""What the API tells of creators: a key's own, the watched ones, and what is usual for one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from viral_platform.services.profiles import WhatFollows
from viral_platform.storage.scrapes import StartState


class HandleResult(BaseModel):
    """The stored handle, lower case and without '@', and what follows from it."""

    creator_handle: str | None
    scrape: WhatFollows


class Creator(BaseModel):
    """A creator as the newest crawl tells; null is unknown."""

    handle: str
    display_name: str | None
    followers: int | None
    following: int | None
    hearts: int | None
    video_count: int | None
    is_verified: bool | None
    is_simulated: bool
    crawled_at: datetime


class ProfileScrape(BaseModel):
    """How the last scrape of the creator's profile stands; `started`: its data come by webhook."""

    state: StartState
    requested_at: datetime


class Profile(BaseModel):
    """A key's creator; null where none is set, or nothing was crawled yet."""

    creator_handle: str | None
    changed_at: datetime | None
    creator: Creator | None
    scrape: ProfileScrape | None


class WatchedHandle(BaseModel):
    """The handle that is watched, lower case and without '@'."""

    handle: str


class Competitor(BaseModel):
    """A watched creator: the newest snapshot, and what was gained up to it.

    Sums of views, likes, comments and shares are over the `videos_seen` videos of that crawl.
    `..._gained` is since `previous_crawled_at`, `..._week` since `week_crawled_at`, the newest
    crawl at least six and a half days earlier. Null is unknown.
    """

    handle: str
    added_at: datetime
    crawled_at: datetime | None
    followers: int | None
    hearts: int | None
    video_count: int | None
    videos_seen: int | None
    views: int | None
    likes: int | None
    comments: int | None
    shares: int | None
    views_per_video: float | None
    previous_crawled_at: datetime | None
    followers_gained: int | None
    hearts_gained: int | None
    videos_gained: int | None
    week_crawled_at: datetime | None
    followers_gained_week: int | None
    hearts_gained_week: int | None
    videos_gained_week: int | None
    followers_growth_week: float | None
    is_simulated: bool | None


class CreatorBaseline(BaseModel):
    """What is usual for a creator: medians over `n_posts` posts, `n_mature` of them mature.

    `median_engagement` is (likes + 2 comments + 3 shares) / views. Those `_at_maturity` are of the
    counts at 168 hours of age, for the `n_at_maturity` posts of which these are known: they compare
    creators whose posts were crawled at differing ages. Without a usable crawl medians are null.
    """

    handle: str
    followers: int | None
    n_posts: int
    n_mature: Annotated[int, Field(description="Posts measured at 168 hours of age or more.")]
    median_engagement: float | None
    median_views: float | None
    n_at_maturity: int
    median_views_at_maturity: float | None
    median_engagement_at_maturity: float | None
    last_crawled_at: datetime
    is_simulated: bool
