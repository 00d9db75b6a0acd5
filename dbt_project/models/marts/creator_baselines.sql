{{ config(indexes=[{'columns': ['handle'], 'unique': true}]) }}

with videos as (
    select
        video_id,
        author_handle as handle,
        posted_at,
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
        snapshots.likes + 2 * snapshots.comments + 3 * snapshots.shares as reactions,
        (snapshots.likes + 2 * snapshots.comments + 3 * snapshots.shares)::double precision
        / nullif(snapshots.views, 0) as engagement,
        extract(epoch from snapshots.crawled_at - videos.posted_at)::double precision / 3600
        as age_hours,
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

-- The crawls on both sides of maturity as (age, views, reactions); the age alone decides.
around_maturity as (
    select
        video_id,
        handle,
        max(array[age_hours, views, reactions]) filter (
            where age_hours >= 1 and age_hours < {{ var('mature_age_hours') }}
        ) as younger,
        min(array[age_hours, views, reactions]) filter (
            where age_hours >= {{ var('mature_age_hours') }}
        ) as older
    from snapshots
    where engagement is not null
    group by video_id, handle
),

-- Counts grow about evenly by the logarithm of age between two crawls. Without a younger crawl one
-- that is a day late counts as it is, and one that is later tells nothing of maturity.
shares_of_way as (
    select
        handle,
        older,
        coalesce(younger, older) as younger,
        case
            when younger is null then 0
            else ln({{ var('mature_age_hours') }} / younger[1]) / ln(older[1] / younger[1])
        end as share
    from around_maturity
    where
        younger is not null and older is not null
        or older[1] <= {{ var('mature_age_hours') }} + 24
),

at_maturity as (
    select
        handle,
        younger[2] + share * (older[2] - younger[2]) as views,
        younger[3] + share * (older[3] - younger[3]) as reactions
    from shares_of_way
),

medians_at_maturity as (
    select
        handle,
        count(*) as n_at_maturity,
        percentile_cont(0.5) within group (order by views) as median_views_at_maturity,
        percentile_cont(0.5) within group (order by reactions / views)
        as median_engagement_at_maturity
    from at_maturity
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
    coalesce(medians_at_maturity.n_at_maturity, 0) as n_at_maturity,
    medians_at_maturity.median_views_at_maturity,
    medians_at_maturity.median_engagement_at_maturity,
    followers.followers,
    creators.last_crawled_at,
    creators.is_simulated,
    now() as computed_at
from creators
left join medians
    on creators.handle = medians.handle
left join medians_at_maturity
    on creators.handle = medians_at_maturity.handle
left join followers
    on creators.handle = followers.handle
