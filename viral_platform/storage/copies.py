"""Copies of a video within one crawl that come in several transactions: the most views count.

`videos.merge` settles this among the rows that it is given; here among those and the stored ones.
"""

from __future__ import annotations

import psycopg

# Until the transaction's end. Few rows are staged beside the tables, which these joins read whole.
_BY_INDEX = """
select set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
"""
# The staged ids are collated as bytes, which no index of the table serves.
# The merge before it has left one staged row of a video and crawl, and holds the merges' lock.
_RAISE = """
with raised as (
    update app.video_snapshots as kept set
        views = staged.views,
        likes = coalesce(staged.likes, kept.likes),
        comments = coalesce(staged.comments, kept.comments),
        shares = coalesce(staged.shares, kept.shares),
        saves = coalesce(staged.saves, kept.saves),
        author_followers = coalesce(staged.author_followers, kept.author_followers),
        sound_uses = coalesce(staged.sound_uses, kept.sound_uses)
    from staged_videos as staged
    inner join app.scraped_videos as known
        on
            known.platform = staged.platform collate "default"
            and known.platform_video_id = staged.platform_video_id collate "default"
    where
        kept.video_id = known.id
        and kept.crawled_at = staged.crawled_at
        and staged.views > coalesce(kept.views, -1)
    returning kept.*
), latest as (
    update app.scraped_videos as known set
        views = raised.views,
        likes = coalesce(raised.likes, known.likes),
        comments = coalesce(raised.comments, known.comments),
        shares = coalesce(raised.shares, known.shares),
        saves = coalesce(raised.saves, known.saves),
        updated_at = now()
    from raised
    where known.id = raised.video_id and known.crawled_at = raised.crawled_at
)
select count(*) from raised
"""


def raise_counts(connection: psycopg.Connection) -> int:
    """Raise stored counts to those of staged copies with more views; return how many it raised.

    Comes after `videos.merge`, as the last join of the transaction. The order in which copies come
    does not matter, and coming again changes nothing.
    """
    connection.execute(_BY_INDEX)
    row = connection.execute(_RAISE).fetchone()
    return 0 if row is None else int(row[0])
