select
    id as video_id,
    platform,
    platform_video_id,
    nullif(btrim(author_handle), '') as author_handle,
    posted_at,
    views,
    likes,
    comments,
    shares,
    saves,
    hashtags,
    nullif(btrim(sound_id), '') as sound_id,
    nullif(btrim(sound_name), '') as sound_name,
    nullif(btrim(sound_author), '') as sound_author,
    sound_is_original,
    is_simulated,
    crawled_at
from {{ source('app', 'scraped_videos') }}
