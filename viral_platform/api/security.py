"""Who calls, and what they may do.

A bearer token is a key with scopes, or `CRON_SECRET`, which opens the admin routes alone.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request

from viral_platform.api.backend import Backend, Shared
from viral_platform.api.problems import Problem
from viral_platform.engine.subscriptions import Tier
from viral_platform.services.keys import has_form_of_key

ADMIN = "admin"
_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="A key made by `viral keys create`; for the admin routes also `CRON_SECRET`.",
)
Token = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: a key, or the holder of `CRON_SECRET` (no key, scope admin).

    `tier` is the key's own, which holds when it belongs to no account.
    """

    key_id: int | None
    scopes: tuple[str, ...]
    tier: Tier = "free"
    account: str | None = None

    @property
    def sees(self) -> int | None:
        """Id of the key whose rows may be seen, None when all may be."""
        return None if ADMIN in self.scopes else self.key_id

    def require_key(self) -> int:
        """Return the id of the key; `CRON_SECRET`, which has none, opens admin routes alone."""
        if self.key_id is None:
            raise Problem("unauthorized", "This needs a key: CRON_SECRET is none.")
        return self.key_id


def requires(*scopes: str) -> Callable[..., Caller]:
    """Return a dependency that lets those through who have one of the scopes, or `admin`.

    It raises 401 without a valid key and 403 without the scope; on admin routes 503 for a token
    that can only be `CRON_SECRET` while that is not set.
    """

    def authorised(request: Request, backend: Shared, token: Token) -> Caller:
        presented = "" if token is None else token.credentials
        if scopes == (ADMIN,) and _is_cron_secret(backend, presented):
            request.state.key_prefix = "CRON_SECRET"
            return Caller(key_id=None, scopes=(ADMIN,))
        key = backend.keys.find(presented)
        if key is None:
            raise Problem(
                "unauthorized",
                "Send `Authorization: Bearer KEY` with a key that was not revoked.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        request.state.key_prefix = key.prefix
        if not {*scopes, ADMIN} & set(key.scopes):
            needed = " or ".join(scopes)
            raise Problem("missing_scope", f"This needs a key with the scope {needed}.")
        return Caller(key_id=key.id, scopes=key.scopes, tier=key.tier, account=key.account)

    return authorised


def _is_cron_secret(backend: Backend, presented: str) -> bool:
    secret = backend.settings.cron_secret
    if secret is None:
        if presented and not has_form_of_key(presented):
            raise Problem(
                "cron_secret_unset",
                "The token is no key, and this installation has no CRON_SECRET.",
            )
        return False
    # Header values are Latin-1 by the standard; a secret may be any text.
    return hmac.compare_digest(presented.encode("latin-1"), secret.get_secret_value().encode())
