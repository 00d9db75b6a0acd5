select video_id
from {{ ref('stg_scraped_videos') }}
where least(views, likes, comments, shares, saves) < 0
