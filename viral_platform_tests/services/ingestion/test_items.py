"""What becomes of one item: its row, or why it is rejected."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from viral_platform.engine.errors import InputError
from viral_platform.services.ingestion.pipeline import Batch, ItemParser
from viral_platform_tests.services.ingestion.conftest import (
    CRAWLED_AT,
    VIDEO_ID,
    Item,
    apidojo_item,
    clockworks_item,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _batch(item: Item | bytes | dict[str, str], source: str = "clockworks") -> Batch:
    parser = ItemParser(source, default_crawled_at=CRAWLED_AT)
    raw = item if source == "vn_viral" or isinstance(item, bytes) else json.dumps(item).encode()
    return parser.batch([raw], 1, NOW)


def _row(item: Item | bytes | dict[str, str], source: str = "clockworks") -> dict[str, object]:
    batch = _batch(item, source)
    assert batch.rejected == []
    return {name: column[0] for name, column in batch.columns.items()}


def test_a_clockworks_item_gives_a_complete_row() -> None:
    assert _row(clockworks_item()) == {
        "platform": "tiktok",
        "platform_video_id": VIDEO_ID,
        "crawled_at": CRAWLED_AT,
        "posted_at": datetime(2024, 5, 30, 10, 29, 39, tzinfo=UTC),
        "source": "clockworks",
        "is_simulated": False,
        "video_url": f"https://www.tiktok.com/@quiet.rooms/video/{VIDEO_ID}",
        "caption": "A quiet room #Hotel",
        "text_language": "en",
        "hashtags": ("hotel", "room"),
        "duration_seconds": 74,
        "is_ad": False,
        "is_slideshow": False,
        "views": 250_400,
        "likes": 3_051,
        "comments": 502,
        "shares": 1_273,
        "saves": 889,
        "sound_id": "7374737941841267457",
        "sound_name": "original sound",
        "sound_author": "Quiet Rooms",
        "sound_is_original": True,
        "sound_uses": None,
        "author_handle": "quiet.rooms",
        "author_id": "6902080249958532098",
        "author_display_name": "Quiet Rooms",
        "author_verified": False,
        "author_followers": 38_000,
        "author_following": 1,
        "author_hearts": 20_000,
        "author_videos": 66,
    }


def test_an_apidojo_item_gives_a_row_with_fractional_duration_and_marked_sound() -> None:
    crawled = apidojo_item(scrapedAt="2025-12-20T00:00:00Z")
    row = _row(crawled, "apidojo")
    assert row["posted_at"] == datetime(2025, 12, 11, 17, 28, 27, tzinfo=UTC)
    assert row["crawled_at"] == datetime(2025, 12, 20, tzinfo=UTC)
    assert row["duration_seconds"] == 93.761
    assert row["sound_id"] == "~7582653324450926000"
    assert row["hashtags"] == ("trailer",)
    assert (row["author_handle"], row["saves"]) == ("someone", 9_107)


def test_what_is_absent_is_unknown_not_zero() -> None:
    row = _row({"id": VIDEO_ID})
    assert row["views"] is None
    assert row["author_handle"] is None
    assert row["caption"] == ""
    assert row["hashtags"] == ()
    assert row["posted_at"] == datetime(2024, 5, 30, 10, 29, 34, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "value", "field", "expected"),
    [
        ("playCount", "541.2K", "views", 541_200),
        ("playCount", "1.4M", "views", 1_400_000),
        ("playCount", "2B", "views", 2_000_000_000),
        ("playCount", "1,234,567", "views", 1_234_567),
        ("playCount", 12.0, "views", 12),
        ("playCount", "", "views", None),
        ("playCount", 10**18, "views", 10**18),
        ("createTime", 1717064979000, "posted_at", datetime(2024, 5, 30, 10, 29, 39, tzinfo=UTC)),
        ("createTime", "1717064979", "posted_at", datetime(2024, 5, 30, 10, 29, 39, tzinfo=UTC)),
        ("id", 7374737911075310857, "platform_video_id", "7374737911075310857"),
        ("id", 9007199254740992.0, "platform_video_id", "9007199254740992"),
        ("text", "a\x00b", "caption", "ab"),
        ("text", "a\ud800b", "caption", "a\ufffdb"),
        ("text", "x" * 100_000, "caption", "x" * 100_000),
        ("hashtags", ["#FYP", None, {"name": "fyp"}, {"name": None}, 7], "hashtags", ("fyp", "7")),
        ("hashtags", [], "hashtags", ()),
        ("hashtags", None, "hashtags", ("hotel",)),
        ("scrapedAt", 1748779200000, "crawled_at", datetime(2025, 6, 1, 12, tzinfo=UTC)),
        ("collectedAt", "2025-06-01T14:00:00+02:00", "crawled_at", CRAWLED_AT),
        ("isAd", "true", "is_ad", True),
        ("simulated", True, "is_simulated", True),
        ("videoMeta", {"duration": "01:05"}, "duration_seconds", 65.0),
        ("authorMeta", None, "author_handle", "quiet.rooms"),
    ],
)
def test_values_are_read_in_the_forms_that_exports_have(
    key: str, value: object, field: str, expected: object
) -> None:
    item = clockworks_item(**{key: value})
    assert _row(item)[field] == expected


def test_a_missing_id_is_read_off_the_address() -> None:
    assert _row(clockworks_item(id=None))["platform_video_id"] == VIDEO_ID


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"id": None, "webVideoUrl": None}, "platform_video_id", "missing"),
        ({"id": 7.374737911075311e18}, "platform_video_id", "inexact_id"),
        ({"id": "7.374737911075311e+18"}, "platform_video_id", "inexact_id"),
        ({"id": "abc"}, "platform_video_id", "not_an_id"),
        ({"id": 10**19}, "platform_video_id", "not_an_id"),
        ({"id": True}, "platform_video_id", "not_an_id"),
        ({"id": ["7"]}, "id", "wrong_type"),
        ({"authorMeta": []}, "authorMeta", "wrong_type"),
        ({"playCount": "n/a"}, "views", "not_a_count"),
        ({"playCount": 12.5}, "views", "not_a_count"),
        ({"playCount": True}, "views", "not_a_count"),
        ({"playCount": -1}, "views", "negative_count"),
        ({"playCount": 2**63}, "views", "count_too_large"),
        ({"playCount": 10**400}, "views", "count_too_large"),
        ({"diggCount": "-1.2K"}, "likes", "negative_count"),
        ({"createTime": "yesterday"}, "posted_at", "not_a_time"),
        ({"createTime": 1e300}, "posted_at", "not_a_time"),
        ({"createTime": 0}, "posted_at", "before_tiktok"),
        ({"createTime": 1748995200}, "posted_at", "in_the_future"),
        ({"createTime": None, "id": "1234"}, "posted_at", "missing"),
        ({"scrapedAt": "2026-02-01"}, "crawled_at", "in_the_future"),
        ({"text": "x" * 100_001}, "caption", "too_long"),
        ({"hashtags": ["x" * 501]}, "hashtags", "too_long"),
        ({"hashtags": [f"t{i}" for i in range(1_001)]}, "hashtags", "too_many"),
        ({"videoMeta": {"duration": -1}}, "duration_seconds", "negative_duration"),
        ({"videoMeta": {"duration": 86_401}}, "duration_seconds", "too_long"),
        ({"videoMeta": {"duration": 10**400}}, "duration_seconds", "too_long"),
        ({"videoMeta": {"duration": "long"}}, "duration_seconds", "not_a_duration"),
        ({"isAd": "maybe"}, "is_ad", "not_a_flag"),
    ],
    ids=str,
)
def test_an_unusable_value_rejects_the_item_with_field_and_reason(
    changes: Item, field: str, reason: str
) -> None:
    item = clockworks_item(**changes)
    (rejected,) = _batch(item).rejected
    assert (rejected.field, rejected.reason, rejected.position) == (field, reason, 1)
    assert json.loads(rejected.item) == item
    assert rejected.message.endswith(".")


@pytest.mark.parametrize(
    "line",
    [
        b'{"id": 1',
        b'{"id": NaN}',
        b"nonsense",
        b'{"id": "\xff"}',
        b'{"id": "1", "more": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
    ids=["cut", "NaN", "text", "not UTF-8", "too deep"],
)
def test_what_is_no_json_is_kept_as_text(line: bytes) -> None:
    (rejected,) = _batch(line).rejected
    assert rejected.reason == "invalid_json"
    assert isinstance(json.loads(rejected.item), str)


def test_a_scraper_error_is_counted_apart() -> None:
    batch = _batch({"error": "This profile/hashtag does not exist.", "input": "x", "url": "y"})
    assert (batch.scraper_errors, batch.received, batch.rejected) == (1, 1, [])


def test_a_batch_keeps_positions_where_items_are_rejected_for_different_reasons() -> None:
    items = [
        clockworks_item(id="1717064979000000001", createTime=1717064979),
        clockworks_item(playCount="n/a"),
        {"error": "gone"},
        clockworks_item(playCount=-1),
        clockworks_item(id="1717064979000000002"),
    ]
    parser = ItemParser("clockworks", default_crawled_at=CRAWLED_AT)
    batch = parser.batch([json.dumps(item).encode() for item in items], 11, NOW)
    assert batch.columns["platform_video_id"] == ["1717064979000000001", "1717064979000000002"]
    assert [(item.position, item.reason) for item in batch.rejected] == [
        (12, "not_a_count"),
        (14, "negative_count"),
    ]
    assert (batch.scraper_errors, batch.received) == (1, 5)


VN_ROW = {
    "user_name": "someone",
    "user_nfollower": "304.9K",
    "vid_id": "7506832682593094928",
    "vid_caption": "a caption",
    "vid_postTime": "2025-05-21 09:44:45",
    "vid_scrapeTime": "2025-05-29 15:38:41",
    "vid_duration": "00:31",
    "vid_nview": "541.2K",
    "vid_nlike": "21.9K",
    "vid_ncomment": "454",
    "vid_nshare": "742",
    "vid_nsave": "1098",
    "vid_hashtags": "one, Two",
    "vid_url": "",
    "music_id": "7.506832745952218e+18",
    "music_title": "a sound",
    "music_nused": "3 videos",
    "music_authorName": "",
    "music_originality": "True",
}


def test_a_vn_viral_row_is_read_by_its_map_with_crawl_time_in_vietnam() -> None:
    row = _row(VN_ROW, "vn_viral")
    assert row["crawled_at"] == datetime(2025, 5, 29, 8, 38, 41, tzinfo=UTC)
    assert row["posted_at"] == datetime(2025, 5, 21, 9, 44, 45, tzinfo=UTC)
    assert (row["views"], row["likes"], row["sound_uses"]) == (541_200, 21_900, 3)
    assert (row["duration_seconds"], row["hashtags"]) == (31.0, ("one", "two"))
    assert (row["sound_id"], row["sound_is_original"]) == ("~7506832745952218000", True)
    assert (row["author_handle"], row["author_followers"]) == ("someone", 304_900)


def test_the_crawl_zone_can_be_told() -> None:
    parser = ItemParser("vn_viral", default_crawled_at=None, crawl_zone="UTC")
    batch = parser.batch([VN_ROW], 1, NOW)
    assert batch.columns["crawled_at"] == [datetime(2025, 5, 29, 15, 38, 41, tzinfo=UTC)]


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(InputError, match="no time zone 'Mars/Base'"):
        ItemParser("clockworks", default_crawled_at=None, crawl_zone="Mars/Base")


def test_an_item_without_any_crawl_time_is_refused_where_no_default_is() -> None:
    parser = ItemParser("clockworks", default_crawled_at=None)
    with pytest.raises(InputError, match="--scraped-at"):
        parser.batch([json.dumps(clockworks_item()).encode()], 1, NOW)


def test_a_post_of_the_last_day_before_the_crawl_or_after_it_is_plausible() -> None:
    posted = CRAWLED_AT + timedelta(hours=23)
    assert _row(clockworks_item(createTime=posted.timestamp()))["posted_at"] == posted
