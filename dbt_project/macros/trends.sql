{#-
    What both trend marts measure, summed over the videos of a group with their
    columns of `int_videos_in_window` and `is_simulated`.
    Sums are of type numeric, so that the order of the rows does not move the last digit.
-#}
{% macro trend_measures() -%}
    count(*) as video_count,
    count(views_per_hour) as videos_with_velocity,
    sum(snapshots)::bigint as snapshots,
    sum(latest_views)::bigint as total_views,
    sum(views_gained)::bigint as views_gained,
    max(hours_observed)::double precision as hours_observed,
    sum(views_per_hour)::double precision as views_per_hour,
    (24 * sum(views_per_hour) / nullif(sum(first_views), 0))
    ::double precision as growth_per_day,
    sum(acceleration)::double precision as acceleration,
    bool_or(is_simulated) as is_simulated
{%- endmacro %}


{#- 0..100, 20 points for each power of ten: 1,000 views an hour are 60, 100,000 and more 100. -#}
{% macro velocity_score(views_per_hour) -%}
    {#- greatest and least pass over nulls: without the case an unknown rate would score. -#}
    case
        when {{ views_per_hour }} is not null
            then least(100, 20 * log(1 + greatest({{ views_per_hour }}, 0)))
    end
{%- endmacro %}


{#- Where a trend stands; the first that holds. The bars and their reasons: dbt_project.yml. -#}
{% macro trend_phase(growth_per_day, total_views) -%}
    case
        when {{ growth_per_day }} is null then 'insufficient_data'
        when {{ growth_per_day }} < {{ var('phase_slow_growth_per_day') }} then 'declining'
        when {{ growth_per_day }} < {{ var('phase_fast_growth_per_day') }} then 'peak'
        when {{ total_views }} < {{ var('phase_wide_views') }} then 'emerging'
        else 'rising'
    end
{%- endmacro %}


{#- Views an hour as an exact decimal; null below the least span. -#}
{% macro views_per_hour(views_gained, microseconds, min_microseconds) -%}
    case
        when {{ microseconds }} >= {{ min_microseconds }}
            then
                round(
                    3600000000 * ({{ views_gained }})::numeric / nullif({{ microseconds }}, 0), 6
                )
    end
{%- endmacro %}


{#- A window of a million crawls is then aggregated without a spill; for one transaction. -#}
{% macro memory_for_trends() -%}
    set local work_mem = '256MB'
{%- endmacro %}


{#-
    A video of the window has its newest crawl in it or later. The join says so too, and this keeps
    the rest of a long history out of it.
-#}
{% macro start_of_window() -%}
    (select min(window_start) from {{ ref('int_videos_in_window') }})
{%- endmacro %}


{#- The rest of a query that begins with `with videos as (...)`: sounds by some columns. -#}
{% macro sound_trends(columns) -%}
measures as (
    select
        {{ columns | join(', ') }},
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
    group by {{ columns | join(', ') }}
),

-- The name as the newest crawl that carries one has it.
names as (
    select
        measures.*,
        videos.sound_name,
        videos.sound_author
    from measures
    left join videos
        on
            measures.newest_named[2]::bigint = videos.video_id
            {% for column in columns -%}
                and measures.{{ column }} = videos.{{ column }}
            {% endfor %}
)

select
    {{ columns | join(', ') }},
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
{%- endmacro %}


{#- A list of texts as an array. -#}
{% macro text_array(texts) -%}
    array[
        {%- for text in texts %}'{{ text | replace("'", "''") }}'{{ ", " if not loop.last }}{% endfor -%}
    ]::text[]
{%- endmacro %}
