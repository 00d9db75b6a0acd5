from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.contracts import PredictionRequest
from viral_platform.engine.errors import RefusedRequestError
from viral_platform.engine.normalize import (
    duration_hint,
    extract_hashtags,
    is_word_character,
    normalize,
    normalize_handle,
    normalize_hashtag,
    tiktok_handle,
)
from viral_platform.engine.text import utf16_length


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        pytest.param("no tags here", (), id="none"),
        pytest.param("#b #a #b", ("b", "a"), id="unique-in-order"),
        pytest.param("#FYP #fyp", ("fyp",), id="lower-case"),
        pytest.param("#đàlạt #ĐàLạt", ("đàlạt",), id="vietnamese"),
        pytest.param("#khách_sạn", ("khách_sạn",), id="underscore"),
        pytest.param("#日本 #東京", ("日本", "東京"), id="han"),
        pytest.param("#ก็ดี", ("ก็ดี",), id="thai-marks"),
        pytest.param("#हिन्दी", ("हिन्दी",), id="devanagari-marks"),
        pytest.param("#e\u0301te\u0301", ("été",), id="combining-marks-are-composed"),
        pytest.param("#a-b", ("a",), id="hyphen-ends"),
        pytest.param("#hotel🏨", ("hotel",), id="emoji-ends"),
        pytest.param("x#one##two", ("one", "two"), id="no-border-needed"),
        pytest.param("# #", (), id="bare"),
        pytest.param("#️⃣ one", (), id="keycap-emoji-is-no-tag"),
        pytest.param("#\u0301a", (), id="begins-with-a-mark"),
    ],
)
def test_hashtags_of_any_script_are_found(text: str, tags: tuple[str, ...]) -> None:
    assert extract_hashtags(text) == tags


@given(st.text())
def test_an_extracted_hashtag_is_extracted_again_unchanged(text: str) -> None:
    tags = extract_hashtags(text)
    assert extract_hashtags(" ".join(f"#{tag}" for tag in tags)) == tags


@given(st.text())
def test_extracted_hashtags_are_in_the_stored_form(text: str) -> None:
    assert all(normalize_hashtag(f"#{tag}") == tag for tag in extract_hashtags(text))


@given(st.lists(st.sampled_from(["a", "b", "đà", "日本"])))
def test_hashtags_keep_the_order_of_their_first_appearance(tags: list[str]) -> None:
    text = " ".join(f"#{tag}" for tag in tags)
    assert extract_hashtags(text) == tuple(dict.fromkeys(tags))


@pytest.mark.parametrize(
    ("tag", "stored"),
    [
        pytest.param("#FYP", "fyp", id="hash-and-case"),
        pytest.param(" ##a ", "a", id="space-and-hashes"),
        pytest.param("e\u0301", "é", id="composed"),
        pytest.param("#", None, id="nothing-left"),
        pytest.param("", None, id="empty"),
    ],
)
def test_a_stored_hashtag_has_one_form(tag: str, stored: str | None) -> None:
    assert normalize_hashtag(tag) == stored


@given(st.text())
def test_normalising_a_hashtag_twice_changes_nothing(tag: str) -> None:
    once = normalize_hashtag(tag)
    assert once is None or normalize_hashtag(once) == once


@pytest.mark.parametrize("handle", ["some.creator", "@some.creator", " @Some.Creator "])
def test_a_handle_has_one_form(handle: str) -> None:
    assert normalize_handle(handle) == "some.creator"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("30s", 30, id="short"),
        pytest.param("15 Seconds", 15, id="long-capitalised"),
        pytest.param("A 2 min tutorial", 120, id="minutes"),
        pytest.param("2 mins", None, id="plural-short-form"),
        pytest.param("30 secs", None, id="plural-short-form-of-seconds"),
        pytest.param("1.5 min", 300, id="no-decimals"),
        pytest.param("1m30s", 30, id="no-border-before"),
        pytest.param("2 minutes 30 s", 30, id="seconds-win"),
        pytest.param("1990s", 1990, id="a-decade"),
        pytest.param("10\u00a0sec", 10, id="no-break-space"),
        pytest.param("10 \u017f", None, id="long-s-is-no-s"),
        pytest.param("٣٠s", None, id="other-digits"),
        pytest.param("24000000 min", None, id="beyond-a-day"),
        pytest.param("9" * 9000 + "s", None, id="endless-digits"),
        pytest.param("", None, id="empty"),
    ],
)
def test_a_duration_named_in_the_text_is_read(text: str, seconds: int | None) -> None:
    assert duration_hint(text) == seconds


@pytest.mark.parametrize(
    ("character", "belongs"),
    [
        pytest.param("a", True, id="letter"),
        pytest.param("_", True, id="underscore"),
        pytest.param("\u0301", True, id="combining-mark"),
        pytest.param("\ufe0f", False, id="variation-selector"),
        pytest.param("\u20e3", False, id="enclosing-mark"),
        pytest.param("🌸", False, id="emoji"),
    ],
)
def test_word_characters(character: str, belongs: bool) -> None:
    assert is_word_character(character) is belongs


@given(st.text())
def test_the_utf16_length_is_that_of_the_encoding(text: str) -> None:
    assert utf16_length(text) == len(text.encode("utf-16-le")) // 2


def test_the_given_duration_wins_over_the_one_in_the_text() -> None:
    request = PredictionRequest(content_text="a 30s clip", duration_seconds=12.5)
    assert normalize(request).duration_seconds == 12.5


def test_a_duration_in_the_text_stands_in_for_a_missing_one() -> None:
    assert normalize(PredictionRequest(content_text="a 30s clip")).duration_seconds == 30


def test_a_url_in_text_mode_is_kept_and_wins_over_a_storage_path() -> None:
    request = PredictionRequest(
        content_text="text", tiktok_url="https://www.tiktok.com/@x/video/1", video_storage_path="p"
    )
    assert normalize(request).video_url == "https://www.tiktok.com/@x/video/1"


def test_an_upload_without_text_has_an_empty_text_and_its_path_as_url() -> None:
    payload = normalize(PredictionRequest(input_mode="video_upload", video_storage_path="a/b.mp4"))
    assert (payload.content_text, payload.video_url, payload.hashtags) == ("", "a/b.mp4", ())
    assert payload.creator_handle is None


def test_the_rest_of_the_request_is_copied() -> None:
    posted_at = datetime(2025, 3, 1, tzinfo=UTC)
    payload = normalize(
        PredictionRequest(
            content_type="reel",
            content_text=" Mixed CASE ",
            niche="food",
            creator_handle="@Chef",
            society_id="s1",
            posted_at=posted_at,
        )
    )
    assert payload.content_text == " Mixed CASE "
    assert (payload.content_type, payload.input_mode) == ("reel", "text")
    assert (payload.platform, payload.niche, payload.society_id) == ("tiktok", "food", "s1")
    assert (payload.creator_handle, payload.posted_at) == ("chef", posted_at)


@given(st.text(min_size=1, max_size=200), st.text(max_size=20))
def test_normalising_twice_is_the_same(text: str, handle: str) -> None:
    once = normalize(PredictionRequest(content_text=text, creator_handle=handle))
    again = normalize(
        PredictionRequest(
            content_text=once.content_text,
            creator_handle=once.creator_handle,
            duration_seconds=once.duration_seconds,
        )
    )
    assert again == once


@given(st.text(min_size=1, max_size=200))
def test_the_unicode_form_of_a_text_does_not_change_its_hashtags(text: str) -> None:
    assert extract_hashtags(unicodedata.normalize("NFD", text)) == extract_hashtags(text)


@given(st.from_regex(r"[A-Za-z0-9_.]{1,23}[A-Za-z0-9_]", fullmatch=True))
def test_a_tiktok_handle_is_the_same_however_it_is_written(handle: str) -> None:
    forms = ("{}", "@{}", "  @{} ", "https://www.tiktok.com/@{}", "tiktok.com/@{}?lang=en")
    assert {tiktok_handle(form.format(handle)) for form in forms} == {handle.lower()}
    assert tiktok_handle(tiktok_handle(handle)) == handle.lower()


@given(st.text(max_size=40))
def test_what_is_no_tiktok_handle_is_refused_and_else_follows_the_rules(text: str) -> None:
    try:
        handle = tiktok_handle(text)
    except RefusedRequestError:
        return
    assert 2 <= len(handle) <= 24
    assert handle.isascii()
    assert handle == handle.lower()
    assert not handle.endswith(".")
