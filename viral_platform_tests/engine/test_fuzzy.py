from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Jaro

from viral_platform.engine.fuzzy import FuzzyMatch, best_match, jaro_winkler, prepare

WORDS = st.lists(st.text("abcdeé", min_size=1, max_size=6), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("a", "b", "similarity"),
    [
        pytest.param("", "", 1, id="both-empty"),
        pytest.param("", "a", 0, id="one-empty"),
        pytest.param("abc", "ABC", 1, id="case"),
        pytest.param("abc", "xyz", 0, id="nothing-in-common"),
        pytest.param("martha", "marhta", 0.9611, id="martha"),
        pytest.param("dixon", "dicksonx", 0.8133, id="dixon"),
        pytest.param("🌸", "🌺", 0.7, id="emoji-are-two-units"),
        pytest.param("quarter", "quater", 0.9083, id="odd-number-out-of-order"),
    ],
)
def test_jaro_winkler_of_known_pairs(a: str, b: str, similarity: float) -> None:
    assert jaro_winkler(a, b) == pytest.approx(similarity, abs=5e-5)


def test_the_prefix_counts_below_a_jaro_similarity_of_seven_tenths() -> None:
    plain = Jaro.similarity("abxxxxxx", "abyyyyyy")
    assert plain < 0.7
    assert jaro_winkler("abxxxxxx", "abyyyyyy") == pytest.approx(plain + 0.2 * (1 - plain))


@given(st.text(max_size=12), st.text(max_size=12))
def test_a_similarity_lies_between_zero_and_one(a: str, b: str) -> None:
    assert 0 <= jaro_winkler(a, b) <= 1


@given(st.text("abcd", max_size=30), st.text("abcd", max_size=30))
def test_the_compiled_jaro_is_never_below_the_exact_one(a: str, b: str) -> None:
    """Candidates are ruled out by it, so it must not lose one that would match."""
    one, other = f"1{a}", f"2{b}"  # different first letters: no bonus for a prefix
    assert Jaro.similarity(one, other) >= jaro_winkler(one, other) - 1e-12


@pytest.mark.parametrize(
    ("target", "content"),
    [
        pytest.param("APT.", "nghe apt suốt ngày", id="punctuation"),
        pytest.param("Die With A Smile", "DIE-WITH_A.SMILE!", id="separators-and-case"),
        pytest.param("mưa hè", "m\u01b0a he\u0300 về", id="unicode-form"),
        pytest.param("After Hours（Radio Edit）", "after hours (radio edit)", id="full-width"),
        pytest.param("so sad", "𝚜𝚘 𝚜𝚊𝚍", id="styled-letters"),
        pytest.param("夜空中最亮的星", "我在听夜空中最亮的星呢", id="inside-a-run-of-han"),
        pytest.param("น่ารักชิบปุ๋ง", "ฟังน่ารักชิบปุ๋งกัน", id="inside-a-run-of-thai"),
        pytest.param("Title 허밍", "vibes Title 허밍 now", id="hangul"),
        pytest.param("Hotel", "#hotel #travel", id="in-a-hashtag"),
    ],
)
def test_a_name_written_out_is_a_full_match(target: str, content: str) -> None:
    assert best_match(target, content) == FuzzyMatch(1.0, matched=True)


@pytest.mark.parametrize(
    ("target", "content"),
    [
        pytest.param("Old Quarter", "an old quater walk", id="letter-dropped"),
        pytest.param("Lunar Waltz", "Luanr Waltz", id="letters-swapped"),
        pytest.param("Shadow of the sun", "my Shadow o fthe usn vibes", id="spaces-moved"),
        pytest.param("Chuyện Đôi Ta", "chuyen doi ta hay quá", id="accents-left-out"),
    ],
)
def test_a_slip_in_a_long_name_is_forgiven(target: str, content: str) -> None:
    match = best_match(target, content)
    assert match.matched
    assert match.score >= 0.9


@pytest.mark.parametrize(
    ("target", "content"),
    [
        pytest.param("ed", "the red door", id="inside-a-word"),
        pytest.param("love", "a glove", id="end-of-a-word"),
        pytest.param("Calm Down", "calling dad today", id="calm-down"),
        pytest.param("Stars", "starting my day", id="stars"),
        pytest.param("Monkeys Spinning Monkeys", "money", id="monkeys"),
        pytest.param("original sound", "original recipe", id="same-first-word"),
        pytest.param("Espresso", "expresso martini", id="a-common-other-word"),
        pytest.param("Hẻm Nhỏ", "hem nho", id="short-without-accents"),
        pytest.param("夜空中最亮的星", "夜空中最暗的星", id="han-is-exact"),
        pytest.param("Photograph", "photography tips", id="a-longer-word"),
        pytest.param("Hi", "hi there", id="two-letters"),
        pytest.param("🌸", "hoa 🌸 nở", id="no-letters"),
        pytest.param("", "abc", id="empty-target"),
        pytest.param("\u0301" * 9, "abc", id="accents-alone"),
        pytest.param("Old Quarter", "", id="empty-content"),
        pytest.param("Old Quarter", "...", id="content-without-words"),
    ],
)
def test_unrelated_text_does_not_match(target: str, content: str) -> None:
    """At 0.7 over any substring these pairs once counted as trending sounds."""
    assert not best_match(target, content).matched


def test_a_threshold_of_one_leaves_only_what_is_written_out() -> None:
    assert not best_match("Shadow of the sun again", "shadow of the son again", threshold=1).matched
    assert best_match("Shadow of the sun again", "shadow of the sun again", threshold=1).matched


@given(WORDS, WORDS)
def test_only_a_match_has_a_score(target: list[str], content: list[str]) -> None:
    match = best_match(" ".join(target), " ".join(content))
    assert (match.score >= 0.9) if match.matched else (match.score == 0)


@given(WORDS, WORDS)
def test_a_match_does_not_depend_on_case(target: list[str], content: list[str]) -> None:
    name, text = " ".join(target), " ".join(content)
    plain = best_match(name, text)
    assert best_match(name.upper(), text) == plain
    assert best_match(name, text.upper()) == plain


@given(WORDS, WORDS, WORDS)
def test_a_name_among_other_words_is_found(
    before: list[str], name: list[str], after: list[str]
) -> None:
    target = " ".join(["abc", *name])
    assert best_match(target, " ".join([*before, target, *after])).score == 1


@given(WORDS, WORDS)
def test_a_prepared_content_gives_the_same_match(target: list[str], content: list[str]) -> None:
    name, text = " ".join(target), " ".join(content)
    assert best_match(name, prepare(text)) == best_match(name, text)
