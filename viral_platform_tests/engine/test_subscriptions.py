from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viral_platform.engine.subscriptions import (
    GRACE,
    TIERS,
    Membership,
    Subscription,
    Tier,
    effective_tier,
    newer,
)

NOW = datetime(2026, 3, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
PRODUCTS: dict[str, Tier] = {"prod_s": "starter", "prod_p": "pro"}
STATUSES = [
    *("trialing", "active", "past_due", "completed", "canceled", "expired", "unresolved"),
    *("drafted", "canceling", "a_word_of_tomorrow"),
]

memberships = st.builds(
    Membership,
    id=st.sampled_from(["mem_1", "mem_2", "mem_3"]),
    status=st.sampled_from(STATUSES),
    as_of=st.integers(0, 20).map(lambda hours: NOW - hours * HOUR),
    product_id=st.sampled_from([None, "prod_s", "prod_p", "prod_other"]),
    period_end=st.none() | st.integers(-200, 200).map(lambda hours: NOW + hours * HOUR),
    cancel_at_period_end=st.booleans(),
)


def membership(status: str = "active", **changes: object) -> Membership:
    return replace(Membership("mem_1", status, NOW, product_id="prod_s"), **changes)


def tier(*found: Membership) -> Tier:
    return effective_tier(found, PRODUCTS, NOW).tier


def held(states: Iterable[Membership]) -> Membership:
    return functools.reduce(lambda kept, told: told if newer(kept, told) else kept, states)


@pytest.mark.parametrize(
    ("status", "given"),
    [
        *(("trialing", "starter"), ("active", "starter"), ("canceling", "starter")),
        *(("completed", "starter"), ("past_due", "starter"), ("canceled", "free")),
        *(("expired", "free"), ("unresolved", "free"), ("drafted", "free"), ("new_word", "free")),
    ],
)
def test_a_status_gives_its_tier_within_the_period_or_nothing(status: str, given: Tier) -> None:
    assert tier(membership(status, period_end=NOW + HOUR)) == given


@pytest.mark.parametrize(
    ("status", "cancels", "last"),
    [
        pytest.param("active", False, GRACE, id="a renewal that is told late"),
        pytest.param("past_due", False, GRACE, id="a payment that is due"),
        pytest.param("active", True, timedelta(0), id="cancelled with its period"),
        pytest.param("canceling", False, timedelta(0), id="canceling"),
    ],
)
def test_access_ends_with_the_period_or_with_the_grace_behind_it(
    status: str, cancels: bool, last: timedelta
) -> None:
    one = membership(status, cancel_at_period_end=cancels)
    tick = timedelta(microseconds=1)
    assert tier(replace(one, period_end=NOW - last + tick)) == "starter"
    assert tier(replace(one, period_end=NOW - last)) == "free"


def test_what_was_paid_once_stays_and_what_is_due_without_a_period_gives_nothing() -> None:
    assert tier(membership("completed", period_end=NOW - 1000 * HOUR)) == "starter"
    assert tier(membership("active", period_end=None)) == "starter"
    assert tier(membership("past_due", period_end=None)) == "free"


def test_of_several_memberships_the_highest_tier_that_gives_access_counts() -> None:
    starter = membership()
    pro = membership(id="mem_2", product_id="prod_p")
    assert effective_tier([pro, starter], PRODUCTS, NOW) == Subscription("pro", pro)
    gone = replace(pro, status="canceled")
    assert effective_tier([gone, starter], PRODUCTS, NOW) == Subscription("starter", starter)


def test_of_a_free_account_the_last_membership_is_told() -> None:
    earlier = membership("expired", as_of=NOW - HOUR)
    later = membership("canceled", id="mem_2")
    assert effective_tier([later, earlier], PRODUCTS, NOW) == Subscription("free", later)
    assert effective_tier([], PRODUCTS, NOW) == Subscription("free", None)


@pytest.mark.parametrize("product", [None, "", "prod_other"])
def test_an_unknown_product_gives_nothing(product: str | None) -> None:
    """Absent products equalled absent settings once: a paid tier for nothing."""
    assert tier(membership(product_id=product)) == "free"
    assert effective_tier([membership(product_id=product)], {}, NOW).tier == "free"


@given(st.lists(memberships, max_size=6), st.randoms(use_true_random=False))
def test_the_tier_does_not_hang_on_the_order(found: list[Membership], draw: st.DrawFn) -> None:
    mixed = list(found)
    draw.shuffle(mixed)
    assert effective_tier(mixed, PRODUCTS, NOW).tier == effective_tier(found, PRODUCTS, NOW).tier


@given(st.lists(memberships, max_size=6), memberships)
def test_one_more_membership_takes_nothing_away(found: list[Membership], one: Membership) -> None:
    assert TIERS.index(tier(*found, one)) >= TIERS.index(tier(*found))


@given(st.lists(memberships, max_size=6))
def test_a_paid_tier_rests_on_a_membership_that_gives_it(found: list[Membership]) -> None:
    given_by = effective_tier(found, PRODUCTS, NOW)
    if given_by.tier != "free":
        assert given_by.membership is not None
        assert given_by.membership.gives_access(NOW)
        assert not given_by.membership.has_ended
        assert PRODUCTS[given_by.membership.product_id or ""] == given_by.tier


@given(
    st.lists(memberships, min_size=1, max_size=6, unique_by=lambda one: one.as_of),
    st.randoms(use_true_random=False),
)
def test_whatever_the_order_of_messages_the_last_state_holds(
    states: list[Membership], draw: st.DrawFn
) -> None:
    mixed = list(states)
    draw.shuffle(mixed)
    assert held(mixed) == held(states) == max(states, key=lambda one: one.as_of)


@given(memberships)
def test_the_same_message_again_changes_nothing(one: Membership) -> None:
    assert not newer(one, one)


def test_of_two_states_of_one_time_that_which_gives_less_holds() -> None:
    active, due, gone = membership(), membership("past_due"), membership("canceled")
    assert newer(active, due)
    assert newer(due, gone)
    assert not newer(gone, active)


def test_an_ended_membership_is_brought_back_only_by_what_says_when_it_was_so() -> None:
    gone = membership("canceled")
    late = membership("active", as_of=NOW + HOUR, is_dated=False)
    assert not newer(gone, late)
    assert newer(gone, replace(late, is_dated=True))
    assert newer(membership("active"), replace(late, status="canceled"))
