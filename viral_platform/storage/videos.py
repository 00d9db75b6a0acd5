"""Videos as crawled: staging by COPY, then one merge into videos, snapshots and creators.

A caller opens the transaction, stages rows with `stage`, and calls `merge` once. Reading files
and judging their items belongs to `services.ingestion`; the tables are in `tables.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import msgspec
import psycopg

from viral_platform.engine.errors import GateRefusedError


class VideoRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One video at one crawl, as far as an export tells: what is None is unknown.

    `source` is the shape of the item it was read from. `hashtags` are in their stored form. A
    `sound_id` that begins with '~' was rounded by its export and only groups equal sounds within
    such exports.
    """

    platform_video_id: str
    crawled_at: datetime
    posted_at: datetime
    source: str
    is_simulated: bool = False
    platform: str = "tiktok"
    video_url: str | None = None
    caption: str = ""
    text_language: str | None = None
    hashtags: tuple[str, ...] = ()
    duration_seconds: float | None = None
    is_ad: bool | None = None
    is_slideshow: bool | None = None
    views: int | None = None
    likes: int | None = None
    comments: int | None = None
    shares: int | None = None
    saves: int | None = None
    sound_id: str | None = None
    sound_name: str | None = None
    sound_author: str | None = None
    sound_is_original: bool | None = None
    sound_uses: int | None = None
    author_handle: str | None = None
    author_id: str | None = None
    author_display_name: str | None = None
    author_verified: bool | None = None
    author_followers: int | None = None
    author_following: int | None = None
    author_hearts: int | None = None
    author_videos: int | None = None


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """What became of the staged rows: `rows = new + updated + unchanged + duplicates`."""

    new: int
    updated: int
    unchanged: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What the tables hold altogether."""

    videos: int
    snapshots: int


# One import merges at a time, so that two files with the same videos cannot block each other.
_MERGE_LOCK = 7_271_002

# In the order of the fields of `VideoRow`.
_STAGED_TYPES = """
    platform_video_id text collate "C" not null, crawled_at timestamptz not null,
    posted_at float8 not null, source text not null, is_simulated boolean not null,
    platform text collate "C" not null, video_url text, caption text, text_language text,
    hashtags text[] not null, duration_seconds float8, is_ad boolean, is_slideshow boolean,
    views bigint, likes bigint, comments bigint, shares bigint, saves bigint, sound_id text,
    sound_name text, sound_author text, sound_is_original boolean, sound_uses bigint,
    author_handle text collate "C", author_id text, author_display_name text,
    author_verified boolean, author_followers bigint, author_following bigint,
    author_hearts bigint, author_videos bigint
"""

_CREATE_STAGED: LiteralString = f"""
create temporary table staged_videos (
    {_STAGED_TYPES}, crawl_number integer not null default 1
) on commit drop
"""

# What is unknown is an empty field, and so is an empty caption. `posted_at` is in Unix seconds,
# which take half the time of a date to write.
_COPY_STAGED = """
copy staged_videos (
    platform_video_id, crawled_at, posted_at, source, is_simulated, platform, video_url, caption,
    text_language, hashtags, duration_seconds, is_ad, is_slideshow, views, likes, comments, shares,
    saves, sound_id, sound_name, sound_author, sound_is_original, sound_uses, author_handle,
    author_id, author_display_name, author_verified, author_followers, author_following,
    author_hearts, author_videos
) from stdin with (null '')
"""

# Whether real and simulated videos are staged, and whether those of the other kind are stored.
_FIND_KINDS = """
select
    coalesce(bool_or(not is_simulated), false),
    coalesce(bool_or(is_simulated), false),
    coalesce(bool_or(not is_simulated), false)
    and coalesce((select is_simulated from app.scraped_videos limit 1), false),
    coalesce(bool_or(is_simulated), false)
    and not coalesce((select is_simulated from app.scraped_videos limit 1), true)
from staged_videos
"""

# Rows that are not the only one of their video: copies within a crawl, and later crawls.
_FIND_REPEATS = """
create temporary table staged_repeats on commit drop as
select place, copy_number, crawl_number
from (
    select
        ctid as place,
        row_number() over (
            partition by platform, platform_video_id, crawled_at
            order by views desc nulls last, ctid
        ) as copy_number,
        dense_rank() over (
            partition by platform, platform_video_id order by crawled_at
        ) as crawl_number
    from staged_videos
) as numbered
where copy_number > 1 or crawl_number > 1
"""

_DELETE_COPIES = """
delete from staged_videos using staged_repeats
where staged_videos.ctid = staged_repeats.place and staged_repeats.copy_number > 1
"""

_NUMBER_CRAWLS = """
update staged_videos set crawl_number = staged_repeats.crawl_number
from staged_repeats
where
    staged_videos.ctid = staged_repeats.place
    and staged_repeats.copy_number = 1
    and staged_repeats.crawl_number > 1
"""

# A posting time that only repeats the id's upper half does not replace a measured one.
_UPSERT_VIDEOS = """
with written as (
    insert into app.scraped_videos as known (
        platform, platform_video_id, video_url, author_handle, caption, text_language, posted_at,
        views, likes, comments, shares, saves, hashtags, duration_seconds, sound_id, sound_name,
        sound_author, sound_is_original, is_ad, is_slideshow, source, is_simulated, crawled_at
    )
    select
        platform, platform_video_id, video_url, author_handle, coalesce(caption, ''),
        text_language, to_timestamp(posted_at),
        views, likes, comments, shares, saves, hashtags, duration_seconds, sound_id, sound_name,
        sound_author, sound_is_original, is_ad, is_slideshow, source, is_simulated, crawled_at
    from staged_videos
    where crawl_number = %s
    on conflict (platform, platform_video_id) do update set
        video_url = coalesce(excluded.video_url, known.video_url),
        author_handle = coalesce(excluded.author_handle, known.author_handle),
        caption = coalesce(nullif(excluded.caption, ''), known.caption),
        text_language = coalesce(excluded.text_language, known.text_language),
        posted_at = case
            when extract(epoch from excluded.posted_at) = excluded.platform_video_id::bigint >> 32
                then known.posted_at
            else excluded.posted_at
        end,
        views = coalesce(excluded.views, known.views),
        likes = coalesce(excluded.likes, known.likes),
        comments = coalesce(excluded.comments, known.comments),
        shares = coalesce(excluded.shares, known.shares),
        saves = coalesce(excluded.saves, known.saves),
        hashtags = case
            when cardinality(excluded.hashtags) = 0 then known.hashtags else excluded.hashtags
        end,
        duration_seconds = coalesce(excluded.duration_seconds, known.duration_seconds),
        sound_id = coalesce(excluded.sound_id, known.sound_id),
        sound_name = coalesce(excluded.sound_name, known.sound_name),
        sound_author = coalesce(excluded.sound_author, known.sound_author),
        sound_is_original = coalesce(excluded.sound_is_original, known.sound_is_original),
        is_ad = coalesce(excluded.is_ad, known.is_ad),
        is_slideshow = coalesce(excluded.is_slideshow, known.is_slideshow),
        source = excluded.source,
        is_simulated = known.is_simulated or excluded.is_simulated,
        crawled_at = excluded.crawled_at,
        updated_at = now()
    where excluded.crawled_at > known.crawled_at
    returning (xmax = 0) as is_new
)
select count(*) filter (where is_new) from written
"""

_INSERT_SNAPSHOTS = """
insert into app.video_snapshots (
    video_id, crawled_at, views, likes, comments, shares, saves, author_followers, sound_uses
)
select
    known.id, staged.crawled_at, staged.views, staged.likes, staged.comments, staged.shares,
    staged.saves, staged.author_followers, staged.sound_uses
from staged_videos as staged
inner join app.scraped_videos as known
    on
        known.platform = staged.platform collate "default"
        and known.platform_video_id = staged.platform_video_id collate "default"
on conflict (video_id, crawled_at) do nothing
"""

# Of a creator's rows the newest that knows the followers, with the crawl time that these are of.
_UPSERT_CREATORS = """
insert into app.creator_profiles as known (
    platform, handle, author_id, display_name, followers, following, hearts, video_count,
    is_verified, is_simulated, crawled_at
)
select distinct on (platform, author_handle)
    platform, author_handle, author_id, author_display_name, author_followers, author_following,
    author_hearts, author_videos, author_verified, is_simulated, crawled_at
from staged_videos
where author_handle is not null
order by platform, author_handle, author_followers is null, crawled_at desc, ctid
on conflict (platform, handle) do update set
    author_id = coalesce(excluded.author_id, known.author_id),
    display_name = coalesce(excluded.display_name, known.display_name),
    followers = coalesce(excluded.followers, known.followers),
    following = coalesce(excluded.following, known.following),
    hearts = coalesce(excluded.hearts, known.hearts),
    video_count = coalesce(excluded.video_count, known.video_count),
    is_verified = coalesce(excluded.is_verified, known.is_verified),
    is_simulated = known.is_simulated or excluded.is_simulated,
    crawled_at = excluded.crawled_at
where excluded.crawled_at > known.crawled_at
"""

_COUNT_STAGED = "select count(*), coalesce(max(crawl_number), 0) from staged_videos"
_COUNT_ALL = """
select
    (select count(*) from app.scraped_videos),
    (select count(*) from app.video_snapshots)
"""

_TO_ESCAPE = re.compile(r"[\\\t\n\r]")
_ESCAPES = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}
_FIELDS = VideoRow.__struct_fields__
_TEXTS = frozenset(
    {
        "platform_video_id",
        "platform",
        "source",
        "video_url",
        "caption",
        "text_language",
        "hashtags",
        "sound_id",
        "sound_name",
        "sound_author",
        "author_handle",
        "author_id",
        "author_display_name",
    }
)
# So many lines are made at a time, which keeps their fields in the processor's cache.
_LINES_AT_A_TIME = 200


def copy_block(columns: Mapping[str, Sequence[object]]) -> bytes:
    """Return rows, given as columns by field, as lines of PostgreSQL's COPY text format."""
    lines: list[bytes] = []
    for start in range(0, len(columns[_FIELDS[0]]), _LINES_AT_A_TIME):
        end = start + _LINES_AT_A_TIME
        fields = [_fields(name, columns[name][start:end]) for name in _FIELDS]
        lines += [("\t".join(line) + "\n").encode() for line in zip(*fields, strict=True)]
    return b"".join(lines)


def _fields(name: str, column: Sequence[Any]) -> list[str]:
    if name == "posted_at":
        return [str(time.timestamp()) for time in column]
    if name == "crawled_at":
        # Most often one object throughout, whose text is made once.
        first, shown = column[0], str(column[0])
        return [shown if time is first else str(time) for time in column]
    if name not in _TEXTS:
        return ["" if value is None else str(value) for value in column]
    fields = [_array(tags) for tags in column] if name == "hashtags" else [v or "" for v in column]
    joined = "".join(fields)
    if any(character in joined for character in _ESCAPES):
        return [_TO_ESCAPE.sub(_escape, field) for field in fields]
    return fields


def _escape(found: re.Match[str]) -> str:
    return _ESCAPES[found[0]]


def _array(texts: tuple[str, ...]) -> str:
    """Return the literal of a text array."""
    if not texts:
        return "{}"
    joined = '","'.join(texts)
    if "\\" in joined or joined.count('"') != 2 * (len(texts) - 1):
        joined = '","'.join([text.replace("\\", r"\\").replace('"', r"\"") for text in texts])
    return '{"' + joined + '"}'


def stage(connection: psycopg.Connection, blocks: Iterable[bytes]) -> None:
    """Copy rows, given as blocks of `copy_block`, into this transaction's staging table."""
    with connection.cursor() as cursor:
        cursor.execute(_CREATE_STAGED)
        # The next block is made while the server takes in this one; two are held at most.
        with cursor.copy(_COPY_STAGED) as copy, ThreadPoolExecutor(1) as sender:
            sent = sender.submit(copy.write, b"")
            for block in blocks:
                sent.result()
                sent = sender.submit(copy.write, block)
            sent.result()


def merge(connection: psycopg.Connection, origin: str) -> MergeCounts:
    """Bring the staged rows into videos, snapshots and creators; `origin` is where they are from.

    A row of a video and crawl time that has its snapshot already changes nothing. Of several rows
    of a video at one crawl time the one with the most views counts. The latest state moves only
    with a newer crawl, and what is unknown there keeps what was known.

    Raises
    ------
    GateRefusedError
        Real and simulated videos would be mixed.
    """
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s)", [_MERGE_LOCK])
        _refuse_mixture(cursor, origin)
        cursor.execute(_FIND_REPEATS)
        duplicates = cursor.execute(_DELETE_COPIES).rowcount
        cursor.execute(_NUMBER_CRAWLS)
        rows, crawls = _one(cursor.execute(_COUNT_STAGED))
        if crawls > 1:
            cursor.execute("create index on staged_videos (crawl_number)")
        # Crawl by crawl, as if each had come in a file of its own.
        new = sum(
            _one(cursor.execute(_UPSERT_VIDEOS, [number]))[0] for number in range(1, crawls + 1)
        )
        snapshots = cursor.execute(_INSERT_SNAPSHOTS).rowcount
        cursor.execute(_UPSERT_CREATORS)
    return MergeCounts(
        new=new, updated=snapshots - new, unchanged=rows - snapshots, duplicates=duplicates
    )


def _refuse_mixture(cursor: psycopg.Cursor[tuple[int, ...]], origin: str) -> None:
    real, simulated, real_to_simulated, simulated_to_real = _one(cursor.execute(_FIND_KINDS))
    problem = None
    if real and simulated:
        problem = "holds both real and simulated videos"
    elif real_to_simulated:
        problem = "holds real videos, and the database simulated ones"
    elif simulated_to_real:
        problem = "holds simulated videos, and the database real ones"
    if problem:
        raise GateRefusedError(
            f"{origin} {problem}; they are never mixed, and nothing of it was stored. To keep "
            "them apart, set VIRAL_HOME to another folder."
        )


def totals(connection: psycopg.Connection) -> Totals:
    """Return how many videos and snapshots are stored."""
    return Totals(*_one(connection.execute(_COUNT_ALL)))


def _one(cursor: psycopg.Cursor[tuple[int, ...]]) -> tuple[int, ...]:
    row = cursor.fetchone()
    if row is None:
        raise LookupError("a query of one row gave none")
    return row
