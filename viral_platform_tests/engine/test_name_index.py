from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from viral_platform.engine.fuzzy import FuzzyMatch, best_match, prepare
from viral_platform.engine.name_index import NameIndex

NAMES = [
    "Old Quarter",
    "old quarter",
    "Paper Boat",
    "Monkeys Spinning Monkeys",
    "Calm Down (with Someone)",
    "Café del Mar",
    "ed",
    "",
    "Photograph",
    "東京 ナイト",
    "a b c d e f g h",
]
WORDS = (
    "old quarter quater qarter paper boat bat monkeys spinning calm dwon down with café mar 東京"
)
TEXTS = st.lists(st.sampled_from(WORDS.split()), max_size=14).map(" ".join)
SLIPS = st.sampled_from(["old quater", "papper boat", "monkeys spining monkeys", "cafe del mar"])


def each(names: list[str], text: str) -> dict[int, FuzzyMatch]:
    prepared = prepare(text)
    matches = ((position, best_match(name, prepared)) for position, name in enumerate(names))
    return {position: match for position, match in matches if match.matched}


@given(TEXTS)
def test_it_finds_what_each_name_alone_would_find(text: str) -> None:
    assert NameIndex(NAMES).find(prepare(text)) == each(NAMES, text)


@given(st.lists(st.text(max_size=24), max_size=8), st.text(max_size=60))
@example(["Zed zed zed", "zed"], "zed zed zed")
def test_it_agrees_on_any_names_and_texts(names: list[str], text: str) -> None:
    assert NameIndex(names).find(prepare(text)) == each(names, text)


@given(SLIPS, TEXTS)
def test_a_slip_of_the_pen_is_found_wherever_it_stands(slip: str, around: str) -> None:
    text = f"{around} {slip} {around}"
    found = NameIndex(NAMES).find(prepare(text))
    assert found == each(NAMES, text)
    assert found


def test_without_names_nothing_is_found() -> None:
    assert NameIndex([]).find(prepare("old quarter")) == {}
    assert NameIndex(NAMES).find(prepare("")) == {}
