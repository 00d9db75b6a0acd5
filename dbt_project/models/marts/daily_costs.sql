with events as (
    select
        (occurred_at at time zone 'UTC')::date as day,
        provider,
        model,
        is_estimate,
        cost_microdollars,
        coalesce((tokens ->> 'input_tokens')::bigint, 0) as input_tokens,
        coalesce((tokens ->> 'cached_input_tokens')::bigint, 0) as cached_input_tokens,
        coalesce((tokens ->> 'audio_input_tokens')::bigint, 0) as audio_input_tokens,
        coalesce((tokens ->> 'video_input_tokens')::bigint, 0) as video_input_tokens,
        coalesce((tokens ->> 'output_tokens')::bigint, 0) as output_tokens,
        coalesce((tokens ->> 'reasoning_tokens')::bigint, 0) as reasoning_tokens
    from {{ source('app', 'cost_events') }}
)

select
    day,
    provider,
    model,
    count(*) as calls,
    count(*) filter (where is_estimate) as estimates,
    sum(input_tokens)::bigint as input_tokens,
    sum(cached_input_tokens)::bigint as cached_input_tokens,
    sum(audio_input_tokens)::bigint as audio_input_tokens,
    sum(video_input_tokens)::bigint as video_input_tokens,
    sum(output_tokens)::bigint as output_tokens,
    sum(reasoning_tokens)::bigint as reasoning_tokens,
    sum(cost_microdollars)::bigint as total_microdollars,
    (sum(cost_microdollars) / 10000)::numeric(20, 4) as total_cents,
    now() as computed_at
from events
group by day, provider, model
