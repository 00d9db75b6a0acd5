{{ config(indexes=[{'columns': ['sound_key'], 'unique': true}]) }}

with named as (
    select
        video_id,
        sound_id,
        sound_name,
        sound_author,
        sound_is_original,
        posted_at,
        crawled_at,
        is_simulated,
        {{ normalized_sound_name('sound_name') }} as normalized_name
    from {{ ref('stg_scraped_videos') }}
    where
        sound_id is not null
        or sound_name is not null
),

-- A generic name without an id says nothing about which sound it is.
keyed as (
    select
        video_id,
        sound_id,
        sound_name,
        sound_author,
        sound_is_original,
        posted_at,
        crawled_at,
        is_simulated,
        coalesce(sound_id, 'name:' || normalized_name) as sound_key
    from named
    where
        sound_id is not null
        or not {{ is_generic_sound_name('normalized_name') }}
),

in_window as (
    select
        keyed.sound_key,
        keyed.sound_id,
        keyed.sound_name,
        keyed.sound_author,
        keyed.sound_is_original,
        keyed.posted_at,
        keyed.crawled_at,
        keyed.is_simulated,
        videos.video_id,
        videos.snapshots,
        videos.latest_views,
        videos.first_views,
        videos.views_gained,
        videos.hours_observed,
        videos.views_per_hour,
        videos.acceleration,
        videos.window_start,
        videos.window_end
    from {{ ref('int_videos_in_window') }} as videos
    inner join keyed
        on videos.video_id = keyed.video_id
),

-- The name as the newest crawl that carries one has it.
names as (
    select distinct on (sound_key)
        sound_key,
        sound_name,
        sound_author
    from in_window
    where sound_name is not null
    order by sound_key, crawled_at desc, video_id desc
),

measures as (
    select
        sound_key,
        min(sound_id) as sound_id,
        bool_or(sound_is_original) as is_original,
        {{ trend_measures() }},
        min(posted_at) as first_posted_at,
        max(posted_at) as last_posted_at,
        count(*) filter (where posted_at >= window_start) as new_videos,
        min(window_start) as window_start,
        max(window_end) as window_end
    from in_window
    group by sound_key
)

select
    measures.sound_key,
    measures.sound_id,
    names.sound_name,
    names.sound_author,
    measures.is_original,
    {{ is_generic_sound_name(normalized_sound_name('names.sound_name')) }} as is_generic_name,
    measures.video_count,
    measures.videos_with_velocity,
    measures.snapshots,
    measures.total_views,
    measures.views_gained,
    measures.hours_observed,
    measures.views_per_hour,
    measures.growth_per_day,
    measures.acceleration,
    {{ velocity_score('measures.views_per_hour') }} as velocity_score,
    {{ trend_phase('measures.growth_per_day', 'measures.total_views') }} as trend_phase,
    measures.first_posted_at,
    measures.last_posted_at,
    measures.new_videos,
    measures.window_start,
    measures.window_end,
    measures.is_simulated,
    now() as computed_at
from measures
left join names
    on measures.sound_key = names.sound_key
