"""Memberships and the tier that they give: which of two states holds, and who may use what.

Webhooks and the regular reading both end here, so that one cannot give what the other has taken.
How a state is told, and where it is kept, does not belong here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

Tier = Literal["free", "starter", "pro"]

# In rising order.
TIERS: Final[tuple[Tier, ...]] = ("free", "starter", "pro")
# A payment that is due, and a renewal that is told late, take nothing away for so long.
GRACE: Final = timedelta(days=3)

# Whop's words. All others give nothing.
ACTIVE: Final = "active"
CANCELING: Final = "canceling"
RUNNING: Final = frozenset({"trialing", ACTIVE, CANCELING})
COMPLETED: Final = "completed"
PAST_DUE: Final = "past_due"
CANCELED: Final = "canceled"
ENDED: Final = frozenset({CANCELED, "expired"})


@dataclass(frozen=True, slots=True)
class Membership:
    """A membership as it stood at one time.

    Attributes
    ----------
    status : str
        Whop's word.
    as_of : datetime
        When it stood so.
    account : str or None
        Whose it is, by the name that keys bear; None when that was not told.
    period_end : datetime or None
        When it is renewed or ends; None: that was not told, or it does not end.
    is_dated : bool
        False when the message did not say when: `as_of` is then when it was sent, which for one
        that was sent again is late.
    """

    id: str
    status: str
    as_of: datetime
    account: str | None = None
    whop_user_id: str | None = None
    product_id: str | None = None
    period_end: datetime | None = None
    cancel_at_period_end: bool = False
    is_dated: bool = True

    @property
    def has_ended(self) -> bool:
        """Whether it is over, whatever its period says."""
        return self.status in ENDED

    def gives_access(self, now: datetime) -> bool:
        """Return whether it gives what its product is.

        One that is to be renewed, or whose payment is due, does so for `GRACE` beyond its period;
        one that ends with its period does not. What was paid once does so for good.
        """
        if self.status == COMPLETED:
            return True
        if self.status == PAST_DUE:
            return self.period_end is not None and now < self.period_end + GRACE
        if self.status not in RUNNING:
            return False
        if self.period_end is None:
            return True
        is_last = self.cancel_at_period_end or self.status == CANCELING
        return now < (self.period_end if is_last else self.period_end + GRACE)


@dataclass(frozen=True, slots=True)
class Subscription:
    """What an account may use. `membership` gives it; of a free account it is the last one."""

    tier: Tier
    membership: Membership | None


def newer(stored: Membership, incoming: Membership) -> bool:
    """Return whether a state takes the place of the one that is stored, of the same membership.

    The later one does, in whatever order they come; of two of one time that which gives less. One
    that does not say when it was so does not bring an ended membership back.
    """
    if stored.has_ended and not incoming.has_ended and not incoming.is_dated:
        return False
    return (incoming.as_of, _severity(incoming)) > (stored.as_of, _severity(stored))


def effective_tier(
    memberships: Iterable[Membership], products: Mapping[str, Tier], now: datetime
) -> Subscription:
    """Return what an account may use: the highest tier of its memberships that give access.

    Parameters
    ----------
    memberships : iterable of Membership
        All of one account, in any order.
    products : mapping of str to Tier
        What each known product gives. Others give nothing.
    now : datetime
        Aware.
    """
    found = sorted(memberships, key=lambda one: (one.as_of, one.id))
    best = Subscription("free", found[-1] if found else None)
    for one in found:
        tier = products.get(one.product_id or "", "free")
        if one.gives_access(now) and TIERS.index(tier) > TIERS.index(best.tier):
            best = Subscription(tier, one)
    return best


def _severity(membership: Membership) -> int:
    if membership.has_ended:
        return 2
    return int(membership.status == PAST_DUE)
