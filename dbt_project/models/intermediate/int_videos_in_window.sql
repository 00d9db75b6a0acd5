{%- set min_hours = var('min_hours_between_crawls') -%}
with newest_crawl as (
    select max(crawled_at) as window_end
    from {{ ref('stg_video_snapshots') }}
),

trend_window as (
    select
        window_end - make_interval(hours => {{ var('trend_window_hours') }}) as window_start,
        window_end
    from newest_crawl
),

-- Bounds as scalar subqueries: the index on crawled_at then finds the window.
snapshots as (
    select
        video_id,
        crawled_at,
        views
    from {{ ref('stg_video_snapshots') }}
    where
        crawled_at >= (select window_start from trend_window)
        and crawled_at <= (select window_end from trend_window)
),

snapshot_counts as (
    select
        video_id,
        count(*) as snapshots
    from snapshots
    group by video_id
),

measured as (
    select
        video_id,
        crawled_at,
        views,
        first_value(crawled_at) over video as first_at,
        first_value(views) over video as first_views,
        last_value(crawled_at) over video as last_at,
        last_value(views) over video as last_views
    from snapshots
    where views is not null
    window
        video as (
            partition by video_id
            order by crawled_at
            rows between unbounded preceding and unbounded following
        )
),

spans as (
    select
        video_id,
        first_at,
        first_views,
        last_at,
        last_views,
        extract(epoch from last_at - first_at) / 3600 as hours,
        last_at - first_at >= make_interval(hours => {{ min_hours }}) as has_velocity
    from measured
    where crawled_at = last_at
),

-- The snapshot that splits a video's span most evenly.
middles as (
    select distinct on (video_id)
        video_id,
        views - first_views as earlier_gain,
        extract(epoch from crawled_at - first_at) / 3600 as earlier_hours,
        last_views - views as later_gain,
        extract(epoch from last_at - crawled_at) / 3600 as later_hours
    from measured
    where
        crawled_at - first_at >= make_interval(hours => {{ min_hours }})
        and last_at - crawled_at >= make_interval(hours => {{ min_hours }})
    order by
        video_id,
        abs(extract(epoch from (crawled_at - first_at) - (last_at - crawled_at))),
        crawled_at
)

select
    snapshot_counts.video_id,
    snapshot_counts.snapshots,
    spans.last_views as latest_views,
    case when spans.has_velocity then spans.first_views end as first_views,
    case when spans.has_velocity then spans.last_views - spans.first_views end as views_gained,
    case when spans.has_velocity then spans.hours end as hours_observed,
    case
        when spans.has_velocity then (spans.last_views - spans.first_views) / spans.hours
    end as views_per_hour,
    middles.later_gain / middles.later_hours
    - middles.earlier_gain / middles.earlier_hours as acceleration,
    trend_window.window_start,
    trend_window.window_end
from snapshot_counts
cross join trend_window
left join spans
    on snapshot_counts.video_id = spans.video_id
left join middles
    on snapshot_counts.video_id = middles.video_id
