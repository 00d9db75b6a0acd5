{{ config(indexes=[{'columns': ['hashtag'], 'unique': true}], pre_hook=memory_for_trends()) }}

with volume as (
    select count(*) as videos_in_window
    from {{ ref('int_videos_in_window') }}
),

-- A tag that a video names twice counts once.
videos as (
    select
        tag.hashtag,
        facts.is_simulated,
        moves.snapshots,
        moves.latest_views,
        moves.first_views,
        moves.views_gained,
        moves.hours_observed,
        moves.views_per_hour,
        moves.acceleration,
        moves.window_start,
        moves.window_end
    from {{ ref('int_videos_in_window') }} as moves
    inner join {{ ref('stg_scraped_videos') }} as facts
        on moves.video_id = facts.video_id
    cross join unnest(facts.hashtags) with ordinality as tag (hashtag, place)
    where
        facts.crawled_at >= {{ start_of_window() }}
        and tag.hashtag <> ''
        and array_position(facts.hashtags, tag.hashtag) = tag.place
),

measures as (
    select
        hashtag,
        {{ trend_measures() }},
        min(window_start) as window_start,
        max(window_end) as window_end
    from videos
    group by hashtag
),

shares as (
    select
        measures.*,
        measures.video_count::double precision / volume.videos_in_window as share
    from measures
    cross join volume
)

select
    hashtag,
    video_count,
    videos_with_velocity,
    snapshots,
    share,
    share > {{ var('saturated_from_share') }}
    or hashtag = any({{ text_array(var('saturated_hashtags')) }}) as is_saturated,
    total_views,
    views_gained,
    hours_observed,
    views_per_hour,
    growth_per_day,
    acceleration,
    {{ trend_phase('growth_per_day', 'total_views') }} as trend_phase,
    window_start,
    window_end,
    is_simulated,
    now() as computed_at
from shares
