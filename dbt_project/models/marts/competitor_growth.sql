{{ config(materialized='view') }}

with snapshots as (
    select * from {{ source('app', 'competitor_snapshots') }}
)

select
    snapshots.handle,
    snapshots.crawled_at,
    snapshots.followers,
    snapshots.hearts,
    snapshots.video_count,
    snapshots.videos_seen,
    snapshots.views::double precision / snapshots.videos_seen as views_per_video,
    previous.crawled_at as previous_crawled_at,
    snapshots.followers - previous.followers as followers_gained,
    snapshots.hearts - previous.hearts as hearts_gained,
    snapshots.video_count - previous.video_count as videos_gained,
    week.crawled_at as week_crawled_at,
    snapshots.followers - week.followers as followers_gained_week,
    snapshots.hearts - week.hearts as hearts_gained_week,
    snapshots.video_count - week.video_count as videos_gained_week,
    (snapshots.followers - week.followers)::double precision
    / nullif(week.followers, 0) as followers_growth_week,
    snapshots.is_simulated
from snapshots
left join lateral (
    select *
    from snapshots as earlier
    where earlier.handle = snapshots.handle and earlier.crawled_at < snapshots.crawled_at
    order by earlier.crawled_at desc
    limit 1
) as previous
    on true
left join lateral (
    select *
    from snapshots as earlier
    where
        earlier.handle = snapshots.handle
        -- Daily crawls do not begin to the second.
        and earlier.crawled_at <= snapshots.crawled_at - interval '6 days 12 hours'
    order by earlier.crawled_at desc
    limit 1
) as week
    on true
