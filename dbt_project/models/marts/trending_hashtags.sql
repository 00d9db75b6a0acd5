{{ config(indexes=[{'columns': ['hashtag'], 'unique': true}]) }}

with videos as (
    select
        video_id,
        snapshots,
        latest_views,
        first_views,
        views_gained,
        hours_observed,
        views_per_hour,
        acceleration,
        window_start,
        window_end
    from {{ ref('int_videos_in_window') }}
),

volume as (
    select count(*) as videos_in_window
    from videos
),

-- A tag that a video names twice counts once.
tags as (
    select distinct
        tagged.video_id,
        tagged.is_simulated,
        tag.hashtag
    from {{ ref('stg_scraped_videos') }} as tagged
    cross join unnest(tagged.hashtags) as tag (hashtag)
    where tag.hashtag <> ''
),

in_window as (
    select
        tags.hashtag,
        tags.is_simulated,
        videos.snapshots,
        videos.latest_views,
        videos.first_views,
        videos.views_gained,
        videos.hours_observed,
        videos.views_per_hour,
        videos.acceleration,
        videos.window_start,
        videos.window_end
    from videos
    inner join tags
        on videos.video_id = tags.video_id
),

measures as (
    select
        hashtag,
        {{ trend_measures() }},
        min(window_start) as window_start,
        max(window_end) as window_end
    from in_window
    group by hashtag
),

shares as (
    select
        measures.hashtag,
        measures.video_count::double precision / volume.videos_in_window as share
    from measures
    cross join volume
)

select
    measures.hashtag,
    measures.video_count,
    measures.videos_with_velocity,
    measures.snapshots,
    shares.share,
    shares.share > {{ var('saturated_from_share') }}
    or measures.hashtag in ('{{ var("saturated_hashtags") | join("', '") }}') as is_saturated,
    measures.total_views,
    measures.views_gained,
    measures.hours_observed,
    measures.views_per_hour,
    measures.growth_per_day,
    measures.acceleration,
    {{ trend_phase('measures.growth_per_day', 'measures.total_views') }} as trend_phase,
    measures.window_start,
    measures.window_end,
    measures.is_simulated,
    now() as computed_at
from measures
inner join shares
    on measures.hashtag = shares.hashtag
