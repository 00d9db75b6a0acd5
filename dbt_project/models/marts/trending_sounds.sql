{{ config(indexes=[{'columns': ['sound_key'], 'unique': true}], pre_hook=memory_for_trends()) }}

with videos as (
    select *
    from {{ ref('int_sounds_in_window') }}
),

{{ sound_trends(['sound_key']) }}
