select
    video_id,
    crawled_at,
    views,
    likes,
    comments,
    shares,
    saves,
    author_followers
from {{ source('app', 'video_snapshots') }}
