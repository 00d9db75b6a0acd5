{{ config(materialized='view') }}

select
    outcomes.analysis_id,
    analyses.input_mode,
    analyses.horizon,
    analyses.model_version,
    coalesce(
        (
            select string_agg(weights.key, '+' order by weights.key)
            from jsonb_each_text(analyses.answer -> 'score_weights') as weights
            where weights.value::double precision > 0
        ),
        ''
    ) as signals,
    analyses.raw_score,
    analyses.overall_score,
    analyses.calibration_version,
    outcomes.actual_score,
    outcomes.age_hours,
    outcomes.is_simulated or analyses.is_simulated as is_simulated,
    analyses.created_at
from {{ source('app', 'outcomes') }} as outcomes
inner join {{ source('app', 'analysis_results') }} as analyses
    on outcomes.analysis_id = analyses.id
where analyses.raw_score is not null
