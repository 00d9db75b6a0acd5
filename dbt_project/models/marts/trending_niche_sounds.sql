{{
    config(
        indexes=[{'columns': ['niche', 'sound_key'], 'unique': true}],
        pre_hook=memory_for_trends(),
    )
}}

-- Saturated hashtags are on videos of every kind and make no niche.
with videos as (
    select
        niches.niche,
        sounds.*
    from {{ ref('int_sounds_in_window') }} as sounds
    inner join
        unnest({{ text_array(var('niches')) }}) as niches (niche)
        on niches.niche = any(sounds.hashtags)
    where niches.niche <> all({{ text_array(var('saturated_hashtags')) }})
),

{{ sound_trends(['niche', 'sound_key']) }}
