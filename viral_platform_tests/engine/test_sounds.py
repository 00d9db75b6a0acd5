from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viral_platform.engine.sounds import (
    GENERIC_NAMES,
    SoundIdentity,
    SoundName,
    identify,
    is_generic,
)
from viral_platform.settings import PROJECT_ROOT


def named(name: str, *, id: str = "", author: str = "Mai") -> SoundName:  # noqa: A002
    return SoundName(id, name, author)


def keys(*names: SoundName) -> list[str | None]:
    found = {identity.name: identity.sound_key for identity in identify([], names)}
    return [found[name] for name in names]


def test_an_id_is_the_sound_whatever_the_name() -> None:
    assert keys(named("Paper Boat", id="1"), named("Paper Boat", id="2")) == ["1", "2"]


@pytest.mark.parametrize(
    "name",
    ["paper boat", "PAPER  BOAT", "Paper Boat!", "ｐａｐｅｒ ｂｏａｔ", "Paper Boats on Water"],
)
def test_a_name_without_an_id_is_the_one_sound_of_its_author_with_that_title(name: str) -> None:
    title = "Paper Boat on Water" if "Water" in name else "Paper Boat"
    assert keys(named(title, id="1"), named(name)) == ["1", "1"]


def test_case_accents_and_signs_of_the_author_do_not_matter() -> None:
    assert keys(named("Boat", id="1", author="Đỗ Mai"), named("Boat", author="do mai."))[1] == "1"


@pytest.mark.parametrize(
    "other",
    [
        named("Paper Boat", author="Someone Else"),
        named("Paper Boat", author=""),
        named("Paper Moon"),
        named("Paper"),
    ],
)
def test_another_author_or_another_title_is_another_sound(other: SoundName) -> None:
    assert keys(named("Paper Boat", id="1"), other)[1] != "1"


def test_names_without_an_id_are_one_sound_keyed_by_their_first_title() -> None:
    first, second, third = (named(n) for n in ("Song of Lanterns", "Song of Lantern", "Other"))
    assert keys(first, second, third) == [
        "name:song of lantern by mai",
        "name:song of lantern by mai",
        "name:other by mai",
    ]
    assert keys(named("Lantern  Song", author="")) == ["name:lantern song"]


def test_a_name_that_two_ids_bear_is_neither() -> None:
    names = named("Paper Boat", id="1"), named("Paper Boat", id="2"), named("paper boat")
    assert keys(*names)[2] == "name:paper boat by mai"


def test_a_chain_of_names_never_merges_two_ids() -> None:
    titles = (
        "Evening on the river side",
        "Evening on the river sides",
        "Evenings on the river sides",
    )
    assert keys(named(titles[0], id="1"), named(titles[1]), named(titles[2], id="2"))[::2] == [
        "1",
        "2",
    ]


@pytest.mark.parametrize(
    "name", ["original sound - mai", "Nhạc nền", "オリジナル楽曲 - 名前", "  "]
)
def test_a_generic_name_is_no_sound_and_is_never_compared(name: str) -> None:
    assert keys(named(name), named(name, id="1"), named(name, author="")) == [None, "1", None]


def test_titles_of_signs_alone_are_the_same_only_as_written() -> None:
    assert len(set(keys(named("🔥🔥"), named("🔥"), named("💧")))) == 3


def test_only_the_names_that_changed_are_returned() -> None:
    known = identify([], [named("Paper Boat"), named("Lantern")])
    changed = identify(known, [named("paper boat", id="1")])
    assert {(one.name.sound_name, one.sound_key) for one in changed} == {
        ("paper boat", "1"),
        ("Paper Boat", "1"),
    }


TITLES = [
    *("Paper Boat", "paper boats", "Paper Boots", "Paper Boat Song", "Paper Boat Songs"),
    *("Lantern", "Lanterns of the Old Town", "Lantern of the Old Town", "original sound - x", "🔥"),
]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.builds(
            SoundName,
            st.sampled_from(["", "", "1", "2"]),
            st.sampled_from(TITLES),
            st.sampled_from(["Mai", ""]),
        ),
        unique=True,
        max_size=12,
    ).flatmap(lambda names: st.tuples(st.just(names), st.permutations(names), st.integers(1, 4)))
)
def test_names_that_come_by_and_by_are_found_to_be_what_they_are_at_once(
    drawn: tuple[list[SoundName], list[SoundName], int],
) -> None:
    names, shuffled, size = drawn
    stored: dict[SoundName, SoundIdentity] = {}
    for start in range(0, len(shuffled), size):
        for identity in identify(list(stored.values()), shuffled[start : start + size]):
            stored[identity.name] = identity
    assert stored == {identity.name: identity for identity in identify([], names)}


def test_the_marts_know_the_same_generic_names() -> None:
    macro = (PROJECT_ROOT / "dbt_project/macros/sound_names.sql").read_text()
    listed = re.search(r"generic_names = \[(.*?)\]", macro, re.DOTALL)
    assert listed is not None
    assert tuple(re.findall(r"'([^']+)'", listed[1])) == GENERIC_NAMES
    assert all(is_generic(f"{name.upper()} - x") for name in GENERIC_NAMES)
