"""Who may use what: memberships told by webhook or read from Whop, and the tier that they give.

Both ways store states; `engine.subscriptions` alone decides which holds and what it gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from viral_platform.engine.errors import ConfigurationError, RefusedRequestError
from viral_platform.engine.subscriptions import Membership, Subscription, Tier, effective_tier
from viral_platform.observability.logging import get_logger
from viral_platform.providers import whop_wire
from viral_platform.providers.calls import Waits
from viral_platform.providers.whop import WhopMemberships
from viral_platform.providers.whop_wire import PROVIDER, UnreadableMembershipError
from viral_platform.settings import Settings
from viral_platform.storage import memberships
from viral_platform.storage.database import Database

log = get_logger(__name__)

_NEEDED = (
    "whop_api_key",
    "whop_company_id",
    "whop_product_id_starter",
    "whop_product_id_pro",
)


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a reading of all memberships brought.

    `read` = new + changed + unchanged + older; `unreadable` came beside them. `not_read` are
    stored ones that give access and were not among them, `unknown_products` those of memberships
    that give access, but nothing known. `tiers` counts accounts.
    """

    pages: int
    read: int
    new: int
    changed: int
    unchanged: int
    older: int
    unreadable: tuple[str, ...]
    not_read: tuple[str, ...]
    unknown_products: tuple[str, ...]
    without_account: int
    tiers: dict[Tier, int]


def missing_settings(settings: Settings) -> list[str]:
    """Return the names of the settings without which memberships cannot be read."""
    return [name.upper() for name in _NEEDED if getattr(settings, name) is None]


def products_of(settings: Settings) -> dict[str, Tier]:
    """Return what each product gives; one that is not set is not known."""
    known: list[tuple[str | None, Tier]] = [
        (settings.whop_product_id_starter, "starter"),
        (settings.whop_product_id_pro, "pro"),
    ]
    return {product: tier for product, tier in known if product is not None}


def open_whop(settings: Settings, *, waits: Waits = Waits()) -> WhopMemberships:  # noqa: B008
    """Return the reader of the company's memberships.

    Raises
    ------
    ConfigurationError
        A setting is missing.
    """
    missing = missing_settings(settings)
    if missing or settings.whop_api_key is None or settings.whop_company_id is None:
        raise ConfigurationError(
            f"Memberships cannot be read without {', '.join(missing)}. Set what is missing."
        )
    return WhopMemberships(
        api_key=settings.whop_api_key.get_secret_value(),
        base_url=settings.whop_base_url,
        company_id=settings.whop_company_id,
        waits=waits,
    )


def sync_memberships(
    database: Database, whop: WhopMemberships, products: Mapping[str, Tier]
) -> SyncReport:
    """Read all memberships and store how they stand, a page a transaction.

    Raises
    ------
    ProviderError
        A page could not be read; the pages before it are stored.
    """
    began_at = datetime.now(UTC)
    effects: Counter[str] = Counter()
    unreadable: list[str] = []
    pages = 0
    for page in whop.pages():
        with database.engine.begin() as connection:
            effects.update(
                memberships.apply(connection, one, read_at=began_at) for one in page.memberships
            )
        unreadable += page.unreadable
        pages += 1
    report = _report(database, began_at, products, effects, pages, unreadable)
    log.info("memberships_read", pages=pages, read=report.read, changed=report.changed)
    return report


def _report(
    database: Database,
    began_at: datetime,
    products: Mapping[str, Tier],
    effects: Mapping[str, int],
    pages: int,
    unreadable: list[str],
) -> SyncReport:
    giving = [one for one in memberships.load_all(database) if one.gives_access(began_at)]
    by_account: dict[str, list[Membership]] = {}
    for one in giving:
        if one.account is not None:
            by_account.setdefault(one.account, []).append(one)
    not_read = memberships.not_read_since(database, began_at)
    tiers = Counter(effective_tier(own, products, began_at).tier for own in by_account.values())
    return SyncReport(
        pages=pages,
        read=sum(effects.values()),
        new=effects.get("new", 0),
        changed=effects.get("changed", 0),
        unchanged=effects.get("unchanged", 0),
        older=effects.get("older", 0),
        unreadable=tuple(unreadable),
        not_read=tuple(one.id for one in not_read if one.gives_access(began_at)),
        unknown_products=tuple(
            sorted({one.product_id or "none" for one in giving if one.product_id not in products})
        ),
        without_account=sum(one.account is None for one in giving),
        tiers=dict(tiers),
    )


def receive_message(
    database: Database, headers: Mapping[str, str], document: object, *, now: datetime
) -> bool:
    """Store a message whose signature holds, with what follows from it; False when it was known.

    Of its body only what is read is stored: the rest holds names, addresses and licence keys.

    Raises
    ------
    RefusedRequestError
        Code "not_a_delivery"; nothing is stored.
    DatabaseUnavailableError
        Nothing is stored: the sender must be told to come again.
    """
    try:
        message = whop_wire.read_message(headers, document)
    except UnreadableMembershipError as error:
        raise RefusedRequestError(
            "not_a_delivery",
            f"{error}: missing, or not as Whop's events have it.",
            "Send an event of Whop, with the membership in data.",
        ) from None
    told = message.membership
    return memberships.receive(
        database,
        told,
        source=PROVIDER,
        delivery_id=message.id,
        event_type=message.event,
        body={} if told is None else _plain(told),
        now=now,
    )


def _plain(membership: Membership) -> dict[str, object]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(membership).items()
    }


def subscription_of(
    database: Database, account: str, products: Mapping[str, Tier], *, now: datetime
) -> Subscription:
    """Return what an account may use at this moment."""
    return effective_tier(memberships.of_account(database, account), products, now)
