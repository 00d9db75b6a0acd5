{{ config(indexes=[{'columns': ['handle'], 'unique': true}]) }}

with videos as (
    select
        video_id,
        author_handle as handle,
        posted_at + make_interval(hours => {{ var('mature_age_hours') }}) as mature_at,
        crawled_at,
        is_simulated
    from {{ ref('stg_scraped_videos') }}
    where author_handle is not null and not is_ad
),

snapshots as (
    select
        videos.handle,
        snapshots.video_id,
        snapshots.crawled_at,
        snapshots.author_followers,
        snapshots.views,
        (snapshots.likes + 2 * snapshots.comments + 3 * snapshots.shares)::double precision
        / nullif(snapshots.views, 0) as engagement,
        snapshots.crawled_at >= videos.mature_at as is_mature
    from {{ ref('stg_video_snapshots') }} as snapshots
    inner join videos
        on snapshots.video_id = videos.video_id
),

-- Equal age as far as possible: the first snapshot at maturity, else the last one before it.
judged as (
    select distinct on (video_id)
        video_id,
        handle,
        views,
        engagement,
        is_mature
    from snapshots
    where engagement is not null
    order by
        video_id,
        is_mature desc,
        case when is_mature then crawled_at end,
        crawled_at desc
),

medians as (
    select
        handle,
        count(*) as n_posts,
        count(*) filter (where is_mature) as n_mature,
        percentile_cont(0.5) within group (order by engagement) as median_engagement,
        percentile_cont(0.5) within group (order by views) as median_views
    from judged
    group by handle
),

followers as (
    select distinct on (handle)
        handle,
        author_followers as followers
    from snapshots
    where author_followers is not null
    order by handle, crawled_at desc, video_id desc
),

creators as (
    select
        handle,
        max(crawled_at) as last_crawled_at,
        bool_or(is_simulated) as is_simulated
    from videos
    group by handle
)

select
    creators.handle,
    coalesce(medians.n_posts, 0) as n_posts,
    coalesce(medians.n_mature, 0) as n_mature,
    medians.median_engagement,
    medians.median_views,
    followers.followers,
    creators.last_crawled_at,
    creators.is_simulated,
    now() as computed_at
from creators
left join medians
    on creators.handle = medians.handle
left join followers
    on creators.handle = followers.handle
