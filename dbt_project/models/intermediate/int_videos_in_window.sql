{#-
    A pass over the window's crawls, one hash aggregate, no sort. A crawl is a pair of its time in
    seconds and its views; pairs compare by time first, so the least is the oldest. As doubles they
    are exact: microseconds to the year 2242, views to 2^53.
-#}
{{ config(materialized='table', unlogged=true, pre_hook=memory_for_trends()) }}
{%- set min_microseconds = 3600000000 * var('min_hours_between_crawls') %}

-- The index on crawled_at gives ranges and no maximum. From the crawl of the video that was stored
-- last on few blocks are left to look at; were there no crawl, all are looked at.
with newest_crawl as materialized (
    select
        coalesce(
            (
                select max(crawled_at)
                from {{ ref('stg_video_snapshots') }}
                where
                    crawled_at >= (
                        select crawled_at
                        from {{ ref('stg_scraped_videos') }}
                        order by video_id desc
                        limit 1
                    )
            ),
            (select max(crawled_at) from {{ ref('stg_video_snapshots') }})
        ) as crawled_at
),

trend_window as (
    select
        crawled_at - make_interval(hours => {{ var('trend_window_hours') }}) as window_start,
        crawled_at - make_interval(hours => {{ var('trend_window_hours') }}) / 2 as window_middle,
        crawled_at as window_end
    from newest_crawl
),

-- Bounds as scalar subqueries: the index on crawled_at then finds the window. `offset 0` keeps the
-- pair from being made anew for each aggregate.
crawls as (
    select
        video_id,
        crawled_at,
        case
            when views is not null
                then array[date_part('epoch', crawled_at), views::double precision]
        end as crawl
    from {{ ref('stg_video_snapshots') }}
    where
        crawled_at >= (select window_start from trend_window)
        and crawled_at <= (select window_end from trend_window)
    offset 0
),

extremes as (
    select
        video_id,
        count(*) as snapshots,
        min(crawl) as first_crawl,
        max(crawl) as last_crawl,
        max(crawl) filter (
            where crawled_at <= (select window_middle from trend_window)
        ) as middle_crawl
    from crawls
    group by video_id
),

spans as (
    select
        video_id,
        snapshots,
        first_crawl[2]::bigint as first_views,
        middle_crawl[2]::bigint as middle_views,
        last_crawl[2]::bigint as last_views,
        (1e6 * (last_crawl[1] - first_crawl[1]))::bigint as microseconds,
        (1e6 * (middle_crawl[1] - first_crawl[1]))::bigint as earlier_microseconds,
        (1e6 * (last_crawl[1] - middle_crawl[1]))::bigint as later_microseconds
    from extremes
),

rates as (
    select
        video_id,
        snapshots,
        first_views,
        last_views,
        microseconds,
        microseconds >= {{ min_microseconds }} as has_velocity,
        {{ views_per_hour('last_views - first_views', 'microseconds', min_microseconds) }}
        as views_per_hour,
        {{ views_per_hour('last_views - middle_views', 'later_microseconds', min_microseconds) }}
        - {{
            views_per_hour('middle_views - first_views', 'earlier_microseconds', min_microseconds)
        }} as acceleration
    from spans
)

select
    rates.video_id,
    rates.snapshots,
    rates.last_views as latest_views,
    case when rates.has_velocity then rates.first_views end as first_views,
    case when rates.has_velocity then rates.last_views - rates.first_views end as views_gained,
    case
        when rates.has_velocity then rates.microseconds::double precision / 3600000000
    end as hours_observed,
    rates.views_per_hour,
    rates.acceleration,
    trend_window.window_start,
    trend_window.window_end
from rates
cross join trend_window
