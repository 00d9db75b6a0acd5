{{ config(indexes=[{'columns': ['sound_key'], 'unique': true}], pre_hook=memory_for_trends()) }}

-- A generic name without an id says nothing about which sound it is. A name that was not identified
-- yet goes by itself.
with keyed as (
    select
        case
            when facts.sound_id is not null then facts.sound_id
            when identities.sound_name is not null then identities.sound_key
            when not {{ is_generic_sound_name(normalized_sound_name('facts.sound_name')) }}
                then 'name:' || {{ normalized_sound_name('facts.sound_name') }}
        end as sound_key,
        facts.video_id,
        facts.sound_id,
        facts.sound_name,
        facts.sound_author,
        facts.sound_is_original,
        facts.posted_at,
        facts.crawled_at,
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
    left join {{ source('app', 'sound_identities') }} as identities
        on
            identities.sound_id = ''
            and facts.sound_id is null
            and facts.sound_name = identities.sound_name
            and coalesce(facts.sound_author, '') = identities.sound_author
),

videos as (
    select *
    from keyed
    where sound_key is not null
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
        max(window_end) as window_end,
        max(array[date_part('epoch', crawled_at), video_id::double precision]) filter (
            where sound_name is not null
        ) as newest_named
    from videos
    group by sound_key
),

-- The name as the newest crawl that carries one has it.
names as (
    select
        measures.*,
        videos.sound_name,
        videos.sound_author
    from measures
    left join videos
        on measures.newest_named[2]::bigint = videos.video_id
)

select
    sound_key,
    sound_id,
    sound_name,
    sound_author,
    is_original,
    {{ is_generic_sound_name(normalized_sound_name('sound_name')) }} as is_generic_name,
    video_count,
    videos_with_velocity,
    snapshots,
    total_views,
    views_gained,
    hours_observed,
    views_per_hour,
    growth_per_day,
    acceleration,
    {{ velocity_score('views_per_hour') }} as velocity_score,
    {{ trend_phase('growth_per_day', 'total_views') }} as trend_phase,
    first_posted_at,
    last_posted_at,
    new_videos,
    window_start,
    window_end,
    is_simulated,
    now() as computed_at
from names
