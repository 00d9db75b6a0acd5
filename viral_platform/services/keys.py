"""Keys of the HTTP API: made, shown once, recognised.

A key is 32 random bytes, so a plain SHA-256 of it cannot be turned back; only that is stored.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from viral_platform.engine.errors import InputError
from viral_platform.engine.subscriptions import TIERS
from viral_platform.storage import keys
from viral_platform.storage.database import Database
from viral_platform.storage.keys import KeyRecord

SCOPES: Final = ("predict", "read", "ingest", "admin")
KEPT_SECONDS: Final = 30.0

_RANDOM_BYTES = 32
_PREFIX = "vp_"
_NAMED_BY = len(_PREFIX) + 8
_FORM = re.compile(rf"{_PREFIX}[A-Za-z0-9_-]{{43}}")
_LONGEST_NAME = 100
_LONGEST_ACCOUNT = 200


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made just now: this is the only time that `key` is known."""

    key: str
    prefix: str
    scopes: tuple[str, ...]


def create_key(
    database: Database,
    *,
    name: str,
    scopes: Sequence[str],
    tier: str = "free",
    account: str | None = None,
) -> NewKey:
    """Make and store a key.

    Parameters
    ----------
    database : Database
        Of the installation.
    name : str
        Whose it is or what it is for, 1 to 100 characters.
    scopes : sequence of str
        Of `SCOPES`, at least one.
    tier : str
        Of `TIERS`; that of a key without an account.
    account : str, optional
        Whose memberships give the key's tier, 1 to 200 characters.

    Raises
    ------
    InputError
        The name or the account is empty or too long, a scope or the tier is none of those.
    """
    if not 0 < len(name.strip()) <= _LONGEST_NAME:
        raise InputError(f"The name of a key has 1 to {_LONGEST_NAME} characters.")
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise InputError(
            f"Unknown scopes: {', '.join(unknown) or 'none given'}. Known: {', '.join(SCOPES)}."
        )
    if tier not in TIERS:
        raise InputError(f"No tier {tier}. Known: {', '.join(TIERS)}.")
    if account is not None and not 0 < len(account.strip()) <= _LONGEST_ACCOUNT:
        raise InputError(f"An account has 1 to {_LONGEST_ACCOUNT} characters.")
    key = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    made = NewKey(key, key[:_NAMED_BY], tuple(scope for scope in SCOPES if scope in scopes))
    keys.save_key(
        database,
        sha256=_digest(key),
        prefix=made.prefix,
        name=name.strip(),
        scopes=made.scopes,
        tier=tier,
        account=None if account is None else account.strip(),
    )
    return made


def has_form_of_key(token: str) -> bool:
    """Return whether a bearer token can be a key at all.

    >>> has_form_of_key("vp_short")
    False
    """
    return _FORM.fullmatch(token) is not None


class KeyRing:
    """Recognises keys; one that was recognised is kept for a while, so that few are looked up.

    A revoked key is therefore refused after `KEPT_SECONDS` at the latest. Safe for threads.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        # Only keys that exist get in, so it cannot be filled from outside.
        self._kept: dict[str, tuple[float, KeyRecord]] = {}

    def find(self, token: str) -> KeyRecord | None:
        """Return the key in force that the token is, None when it is none.

        Raises
        ------
        DatabaseUnavailableError
            It has to be looked up and the database does not answer.
        """
        if not has_form_of_key(token):
            return None
        digest = _digest(token)
        now = self._clock()
        with self._lock:
            kept = self._kept.get(digest)
            if kept is not None and now - kept[0] < KEPT_SECONDS:
                return kept[1]
        found = keys.find_key(self._database, digest)
        with self._lock:
            if found is None:
                self._kept.pop(digest, None)
            else:
                self._kept[digest] = (now, found)
        return found


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
