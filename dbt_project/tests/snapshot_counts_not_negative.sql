select
    video_id,
    crawled_at
from {{ ref('stg_video_snapshots') }}
where least(views, likes, comments, shares, saves, author_followers) < 0
