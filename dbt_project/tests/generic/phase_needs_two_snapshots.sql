{#- A phase or a velocity without two crawls of any video would be made up. -#}
{% test phase_needs_two_snapshots(model) %}
select
    videos_with_velocity,
    trend_phase,
    views_per_hour
from {{ model }}
where
    videos_with_velocity = 0
    and (trend_phase <> 'insufficient_data' or views_per_hour is not null)
{% endtest %}
