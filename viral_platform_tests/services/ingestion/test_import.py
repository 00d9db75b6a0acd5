"""Files into the database: counters, crawl times, repeats, and the real exports."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from viral_platform.engine.errors import GateRefusedError, InputError, UnreadableFileError
from viral_platform.services.ingestion import (
    FileReport,
    ImportOptions,
    Source,
    import_file,
    import_files,
    read_rows,
)
from viral_platform.storage.database import Database
from viral_platform_tests.services.ingestion.conftest import (
    CRAWLED_AT,
    WriteItems,
    array,
    clockworks_item,
    write_bytes,
)

SCRAPED = ImportOptions(scraped_at=CRAWLED_AT)
LATER = ImportOptions(scraped_at=CRAWLED_AT + timedelta(days=2))
EARLIER = ImportOptions(scraped_at=CRAWLED_AT - timedelta(days=2))


def _all(database: Database, query: str) -> Sequence[tuple[object, ...]]:
    with database.connect() as connection:
        return connection.execute(query).fetchall()


def _video(database: Database, columns: str) -> tuple[object, ...]:
    (row,) = _all(database, f"select {columns} from app.scraped_videos")
    return row


def _counts(report: FileReport) -> dict[str, int]:
    counts = report.counts()
    received = counts.pop("received")
    assert received == sum(counts.values())
    return {name: count for name, count in counts.items() if count}


def test_a_video_is_stored_with_snapshot_and_creator(
    database: Database, write_items: WriteItems
) -> None:
    report = import_file(database, write_items(clockworks_item()), SCRAPED)
    assert _counts(report) == {"new": 1}
    assert _video(database, "platform, platform_video_id, caption, hashtags, views, saves") == (
        "tiktok", "7374737911075310856", "A quiet room #Hotel", ["hotel", "room"], 250_400, 889,
    )  # fmt: skip
    assert _all(
        database, "select crawled_at, views, saves, author_followers from app.video_snapshots"
    ) == [(CRAWLED_AT, 250_400, 889, 38_000)]
    assert _all(
        database,
        "select handle, followers, hearts, video_count, is_verified, is_simulated, crawled_at "
        "from app.creator_profiles",
    ) == [("quiet.rooms", 38_000, 20_000, 66, False, False, CRAWLED_AT)]


def test_text_that_copy_or_an_array_could_misread_comes_back_as_it_was(
    database: Database, write_items: WriteItems
) -> None:
    odd = 'tab\t line\n return\r back\\slash \\N "quoted" {brace}, \\. 🤷'
    tags = ['a"b', "c\\d", "e,f", "{g}", "null", "h\ti"]
    import_file(database, write_items(clockworks_item(text=odd, hashtags=tags)), SCRAPED)
    assert _video(database, "caption, hashtags") == (odd, tags)


def test_the_same_file_again_changes_nothing(database: Database, write_items: WriteItems) -> None:
    path = write_items(clockworks_item(), clockworks_item(id="n/a"), {"error": "gone"})
    first = import_file(database, path)
    tables = ("scraped_videos", "video_snapshots", "creator_profiles", "quarantined_items",
              "import_files")  # fmt: skip
    before = [_all(database, f"select * from app.{table} order by 1") for table in tables]
    again = import_file(database, path)
    assert _counts(first) == {"new": 1, "quarantined": 1, "scraper_errors": 1}
    assert _counts(again) == {"unchanged": 1, "quarantined": 1, "scraper_errors": 1}
    assert again.crawled_at == first.crawled_at
    assert [_all(database, f"select * from app.{table} order by 1") for table in tables] == before


def test_the_crawl_time_told_at_the_first_receipt_is_remembered(
    database: Database, write_items: WriteItems
) -> None:
    path = write_items(clockworks_item())
    import_file(database, path, SCRAPED)
    assert _counts(import_file(database, path)) == {"unchanged": 1}


def test_the_start_of_the_run_serves_where_nothing_else_tells_the_crawl_time(
    database: Database, write_items: WriteItems
) -> None:
    path = write_items(clockworks_item())
    report = import_file(database, path, ImportOptions(run_started_at=CRAWLED_AT))
    assert report.crawled_at == CRAWLED_AT


OTHER_ID = "7374737911075310857"


def test_items_dated_by_the_receipt_of_their_file_are_counted(
    database: Database, write_items: WriteItems
) -> None:
    path = write_items(
        clockworks_item(),
        clockworks_item(),
        clockworks_item(id=OTHER_ID, scrapedAt="2025-06-01T00:00:00Z"),
        clockworks_item(id="n/a"),
        {"error": "gone"},
    )
    other = write_items(clockworks_item(playCount=9), name="other.jsonl")
    for _ in range(2):
        report = import_files(database, [path, other])
        assert [file.dated_by_receipt for file in report.files] == [2, 1]
        assert report.dated_by_receipt == 3


@pytest.mark.parametrize(
    "options", [SCRAPED, ImportOptions(run_started_at=CRAWLED_AT)], ids=["scraped", "run"]
)
def test_items_whose_crawl_time_is_told_now_or_was_at_the_first_import_are_not_dated_by_receipt(
    database: Database, write_items: WriteItems, options: ImportOptions
) -> None:
    path = write_items(clockworks_item())
    assert import_file(database, path, options).dated_by_receipt == 0
    assert import_file(database, path).dated_by_receipt == 0


@pytest.mark.parametrize("first", [SCRAPED, ImportOptions()], ids=["told", "dated by receipt"])
def test_the_same_file_with_another_crawl_time_is_refused(
    database: Database, write_items: WriteItems, first: ImportOptions
) -> None:
    path, good = write_items(clockworks_item()), write_items(clockworks_item(), name="good.jsonl")
    good.write_text(good.read_text() + "\n")
    remembered = import_file(database, path, first).crawled_at
    with pytest.raises(InputError, match=r"without --scraped-at") as caught:
        import_files(database, [good, path], LATER)
    assert LATER.scraped_at is not None
    for part in (str(path), remembered.isoformat(), LATER.scraped_at.isoformat()):
        assert part in str(caught.value)
    assert str(caught.value).endswith("Imported before it: good.jsonl.")
    assert _all(database, "select crawled_at from app.video_snapshots order by crawled_at") == [
        (at,) for at in sorted([remembered, LATER.scraped_at])
    ]
    assert _counts(import_file(database, path)) == {"unchanged": 1}


def test_another_crawl_time_for_a_file_whose_items_carry_their_own_is_no_matter(
    database: Database, write_items: WriteItems
) -> None:
    path = write_items(clockworks_item(scrapedAt="2025-05-03T00:00:00Z"), clockworks_item(id="n/a"))
    import_file(database, path, SCRAPED)
    assert _counts(import_file(database, path, LATER)) == {"unchanged": 1, "quarantined": 1}


def test_of_a_video_several_times_in_one_crawl_the_most_viewed_counts(
    database: Database, write_items: WriteItems
) -> None:
    copies = [clockworks_item(playCount=views) for views in (5, None, 9, 9, 7)]
    report = import_file(database, write_items(*copies), SCRAPED)
    assert _counts(report) == {"new": 1, "duplicates": 4}
    assert _video(database, "views") == (9,)
    assert _all(database, "select views from app.video_snapshots") == [(9,)]


def test_a_later_crawl_wins_and_adds_a_snapshot(
    database: Database, write_items: WriteItems
) -> None:
    import_file(database, write_items(clockworks_item(playCount=5)), SCRAPED)
    report = import_file(database, write_items(clockworks_item(playCount=4)), LATER)
    assert _counts(report) == {"updated": 1}
    assert _video(database, "views, crawled_at") == (4, LATER.scraped_at)
    assert _all(database, "select views from app.video_snapshots order by crawled_at") == [
        (5,), (4,),
    ]  # fmt: skip


def test_an_earlier_crawl_adds_its_snapshot_and_leaves_the_latest_state(
    database: Database, write_items: WriteItems
) -> None:
    import_file(database, write_items(clockworks_item(playCount=5)), SCRAPED)
    report = import_file(database, write_items(clockworks_item(playCount=400)), EARLIER)
    assert _counts(report) == {"updated": 1}
    assert _video(database, "views, crawled_at") == (5, CRAWLED_AT)
    assert _all(database, "select views from app.video_snapshots order by crawled_at") == [
        (400,), (5,),
    ]  # fmt: skip


def test_another_file_of_the_same_crawl_does_not_overwrite(
    database: Database, write_items: WriteItems
) -> None:
    import_file(database, write_items(clockworks_item(playCount=5)), SCRAPED)
    report = import_file(database, write_items(clockworks_item(playCount=400)), SCRAPED)
    assert _counts(report) == {"unchanged": 1}
    assert _video(database, "views") == (5,)


def test_what_is_unknown_keeps_what_was_known(database: Database, write_items: WriteItems) -> None:
    import_file(database, write_items(clockworks_item()), SCRAPED)
    bare = {"id": "7374737911075310856", "diggCount": 4_000}
    import_file(database, write_items(bare), LATER)
    assert _video(
        database, "views, likes, caption, hashtags, author_handle, duration_seconds, crawled_at"
    ) == (
        250_400, 4_000, "A quiet room #Hotel", ["hotel", "room"], "quiet.rooms", 74,
        LATER.scraped_at,
    )  # fmt: skip
    assert _all(database, "select views, likes from app.video_snapshots order by crawled_at") == [
        (250_400, 3_051), (None, 4_000),
    ]  # fmt: skip


def test_a_posting_time_read_off_the_id_does_not_replace_a_measured_one(
    database: Database, write_items: WriteItems
) -> None:
    import_file(database, write_items(clockworks_item()), SCRAPED)
    import_file(database, write_items(clockworks_item(createTime=None)), LATER)
    assert _video(database, "posted_at") == (datetime(2024, 5, 30, 10, 29, 39, tzinfo=UTC),)


def test_several_crawls_in_one_file_are_as_several_files(
    database: Database, write_items: WriteItems
) -> None:
    path = write_items(
        clockworks_item(scrapedAt="2025-05-03T00:00:00Z", playCount=None, diggCount=7),
        clockworks_item(scrapedAt="2025-05-01T00:00:00Z", playCount=5, diggCount=5),
        clockworks_item(scrapedAt="2025-05-02T00:00:00Z", playCount=6, diggCount=6),
        clockworks_item(scrapedAt="2025-05-02T00:00:00Z", playCount=3, diggCount=3),
    )
    report = import_file(database, path)
    assert _counts(report) == {"new": 1, "updated": 2, "duplicates": 1}
    assert _video(database, "views, likes") == (6, 7)
    assert _all(database, "select views from app.video_snapshots order by crawled_at") == [
        (5,), (6,), (None,),
    ]  # fmt: skip


def test_simulated_items_are_marked_on_video_and_creator(
    database: Database, write_items: WriteItems
) -> None:
    import_file(database, write_items(clockworks_item(simulated=True)), SCRAPED)
    assert _video(database, "is_simulated") == (True,)
    assert _all(database, "select is_simulated from app.creator_profiles") == [(True,)]


@pytest.mark.parametrize("is_simulated", [True, False])
def test_real_and_simulated_videos_are_never_mixed(
    database: Database, write_items: WriteItems, *, is_simulated: bool
) -> None:
    held = write_items(clockworks_item(simulated=is_simulated), name="held.jsonl")
    other = write_items(clockworks_item(id=OTHER_ID, simulated=not is_simulated))
    with pytest.raises(GateRefusedError, match="set VIRAL_HOME to another folder") as caught:
        import_files(database, [held, other], SCRAPED)
    assert str(caught.value).startswith(f"{other} holds ")
    assert str(caught.value).endswith("Imported before it: held.jsonl.")
    assert _all(database, "select name from app.import_files") == [("held.jsonl",)]
    assert _video(database, "is_simulated") == (is_simulated,)
    assert import_file(database, held).unchanged == 1


def test_a_file_with_real_and_simulated_videos_is_refused(
    database: Database, write_items: WriteItems
) -> None:
    path = write_items(clockworks_item(), clockworks_item(simulated=True))
    with pytest.raises(GateRefusedError, match=r"items\.jsonl holds both"):
        import_file(database, path, SCRAPED)
    for table in ("scraped_videos", "creator_profiles", "import_files"):
        assert _all(database, f"select count(*) from app.{table}") == [(0,)]


def test_a_malformed_line_between_good_ones_goes_to_quarantine(
    database: Database, write_items: WriteItems
) -> None:
    path = write_items(clockworks_item(), b'{"id": "12', clockworks_item(id="7374737911075310857"))
    report = import_file(database, path, SCRAPED)
    assert _counts(report) == {"new": 2, "quarantined": 1}
    assert report.quarantined_by_reason == {"invalid_json": 1}
    assert _all(
        database, "select file_name, position, field, reason, item from app.quarantined_items"
    ) == [("items.jsonl", 2, "item", "invalid_json", '{"id": "12')]


def test_items_that_postgresql_could_choke_on_are_quarantined_as_they_are(
    database: Database, write_items: WriteItems
) -> None:
    nasty = clockworks_item(id="n/a", text="nul \x00 surrogate \ud800 " + "x" * 1_000_000)
    import_file(database, write_items(nasty, clockworks_item(text="a\ud800\x00b")), SCRAPED)
    ((stored,),) = _all(database, "select item::text from app.quarantined_items")
    assert json.loads(str(stored)) == nasty
    assert _video(database, "caption") == ("a\ufffdb",)


def test_a_dry_run_counts_and_stores_nothing(database: Database, write_items: WriteItems) -> None:
    path = write_items(clockworks_item(), clockworks_item(id="n/a"))
    report = import_files(database, [path], ImportOptions(dry_run=True))
    assert (report.new, report.quarantined, report.videos_total) == (1, 1, 0)
    for table in ("scraped_videos", "quarantined_items", "import_files"):
        assert _all(database, f"select count(*) from app.{table}") == [(0,)]


def test_a_file_that_breaks_off_leaves_nothing_and_the_files_before_it_stay(
    database: Database, write_items: WriteItems
) -> None:
    good = write_items(clockworks_item(), name="good.jsonl")
    items = [clockworks_item(id=str(10**18 + i)) for i in range(6_000)]
    bad = write_bytes(good.parent / "bad.json", array(items)[:-10])
    with pytest.raises(UnreadableFileError, match=r"item 6000: .*Imported before it: good\.jsonl"):
        import_files(database, [good, bad, good], SCRAPED)
    assert _all(database, "select name from app.import_files") == [("good.jsonl",)]
    assert _all(database, "select count(*) from app.scraped_videos") == [(1,)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.txt", b"hello\nworld\n"),
        ("page.html", b"<html></html>"),
        ("object.json", json.dumps({"rows": [1]}).encode()),
        ("pretty.json", json.dumps({"rows": [1]}, indent=1).encode()),
        ("numbers.json", b"[1, 2]"),
        ("other.csv", b"a,b\n1,2\n"),
        ("binary.bin", bytes(range(256)) * 9),
    ],
)
def test_a_file_of_no_known_shape_is_refused(
    database: Database, tmp_path: Path, name: str, content: bytes
) -> None:
    with pytest.raises(UnreadableFileError, match=r"(item|row|byte) \d"):
        import_file(database, write_bytes(tmp_path / name, content))


@pytest.mark.parametrize("source", ["auto", "clockworks"])
@pytest.mark.parametrize("content", [b"hello world", b"5\n", b"id,text,playCount\n"])
def test_a_file_without_an_item_is_refused_as_such(
    database: Database, tmp_path: Path, content: bytes, source: Source
) -> None:
    """With its source named, such a file was imported as nothing, without complaint."""
    path = write_bytes(tmp_path / "items.json", content)
    with pytest.raises(UnreadableFileError, match="no item was found") as caught:
        import_file(database, path, ImportOptions(source=source))
    assert "neither JSON nor a CSV with rows" in str(caught.value)
    assert "keys" not in str(caught.value)


def test_a_file_of_scraper_errors_alone_and_an_empty_array_are_no_mistake(
    database: Database, tmp_path: Path
) -> None:
    errors = write_bytes(tmp_path / "errors.json", array([{"error": "gone"}] * 3))
    empty = write_bytes(tmp_path / "none.json", b"[]")
    report = import_files(database, [errors, empty])
    assert (report.received, report.scraper_errors) == (3, 3)


def test_progress_tells_the_bytes_read_of_all_files(
    database: Database, write_items: WriteItems
) -> None:
    paths = [write_items(clockworks_item(), name=name) for name in ("a.jsonl", "b.jsonl")]
    seen: list[int] = []
    import_files(database, paths, SCRAPED, on_progress=seen.append)
    assert seen[-1] == sum(path.stat().st_size for path in paths)


def _flat(item: object, path: str = "") -> dict[str, str]:
    """Return an item as Apify's CSV export writes it."""
    if isinstance(item, dict):
        pairs = item.items()
    elif isinstance(item, list):
        pairs = {str(index): value for index, value in enumerate(item)}.items()
    else:
        shown = "" if item is None else str(item).lower() if isinstance(item, bool) else str(item)
        return {path: shown}
    return {
        key: cell
        for name, value in pairs
        for key, cell in _flat(value, f"{path}/{name}" if path else name).items()
    }


def _csv_of(items: list[dict[str, object]]) -> bytes:
    rows = [_flat(item) for item in items]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("source", ["apify", "apidojo"])
def test_array_lines_and_flat_csv_of_the_real_samples_give_the_same_rows(
    shared_data: Path, tmp_path: Path, source: str, suffix: str
) -> None:
    items = json.loads((shared_data / f"{source}_items_sample.json").read_text())
    lines = b"\n".join(json.dumps(item).encode() for item in items)
    forms = {
        "items.json": array(items),
        "items.jsonl": lines,
        "pretty.json": array(items, indent=2),
        "items.csv": _csv_of(items),
    }
    read = [
        list(
            read_rows(
                write_bytes(tmp_path / (name + suffix), content), scraped_at=datetime.now(UTC)
            )
        )
        for name, content in forms.items()
    ]
    assert len(read[0]) == len(items)
    now = {row.crawled_at for rows in read for row in rows}
    assert len(now) == len(forms)
    comparable = [[(row.platform_video_id, row.views, row.hashtags, row.caption.strip(),
                    row.sound_id, row.duration_seconds, row.author_followers, row.posted_at,
                    row.author_verified) for row in rows] for rows in read]  # fmt: skip
    assert comparable[1:] == comparable[:1] * 3


@pytest.mark.parametrize(
    ("name", "expected", "reasons"),
    [
        ("apify_tiktok_vn_hotels_full.jsonl.gz", {"new": 4_268, "duplicates": 487}, {}),
        ("apify_tiktok_vn_hotels_reduced.jsonl.gz", {"new": 1_134, "duplicates": 2_268}, {}),
        ("tiktok_trending_2020-12.jsonl.gz", {"new": 1_000}, {}),
        ("vn_viral_2025-05_first_crawl.csv.gz", {"new": 10_102}, {}),
        (
            "vn_viral_2025-06_second_crawl.csv.gz",
            {"new": 2_408, "quarantined": 1},
            {"not_a_count": 1},
        ),
        ("apify_items_sample.json", {"new": 3, "duplicates": 1}, {}),
        ("apidojo_items_sample.json", {"new": 10}, {}),
    ],
)
def test_the_real_exports_are_imported_with_every_rejected_row_explained(
    database: Database,
    shared_data: Path,
    name: str,
    expected: dict[str, int],
    reasons: dict[str, int],
) -> None:
    path = shared_data / name
    report = import_files(database, [path])
    assert _counts(report.files[0]) == expected
    assert report.files[0].quarantined_by_reason == reasons
    assert report.videos_total == report.snapshots_total == expected["new"]
    again = import_files(database, [path])
    assert (again.unchanged, again.new, again.updated) == (expected["new"], 0, 0)
    assert (again.videos_total, again.snapshots_total) == (expected["new"], expected["new"])
    rows = list(read_rows(path, scraped_at=report.files[0].crawled_at))
    assert len(rows) == report.received - report.quarantined


def test_the_two_real_crawls_give_two_snapshots_a_video(
    database: Database, shared_data: Path
) -> None:
    report = import_files(
        database,
        [
            shared_data / "vn_viral_2025-05_first_crawl.csv.gz",
            shared_data / "vn_viral_2025-06_second_crawl.csv.gz",
        ],
    )
    assert (report.new, report.updated, report.quarantined) == (10_102, 2_408, 1)
    assert (report.videos_total, report.snapshots_total) == (10_102, 12_510)
    (blank_views,) = _all(database, "select count(*) from app.scraped_videos where views is null")
    assert blank_views == (0,)
