{{ config(materialized='ephemeral') }}

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
        facts.hashtags,
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
    where facts.crawled_at >= {{ start_of_window() }}
)

select *
from keyed
where sound_key is not null
