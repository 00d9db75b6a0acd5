"""Error reports to Sentry: on when a DSN is set, with secrets and captions scrubbed."""

from __future__ import annotations

from typing import Any, cast

import sentry_sdk
from sentry_sdk.transport import Transport
from sentry_sdk.types import Event, Hint

from viral_platform.observability.scrubbing import MASK, scrub_text
from viral_platform.settings import Settings

_PRIVATE_KEYS = frozenset(
    {"caption", "content_text", "text", "transcript", "creator_handle", "handle", "item"}
)


def _scrub_value(value: object) -> object:
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, dict):
        return {
            key: MASK if str(key).lower() in _PRIVATE_KEYS else _scrub_value(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_scrub_value(inner) for inner in value]
    return value


def scrub_event(event: Event, _hint: Hint) -> Event:
    """Return the event without secrets, captions and handles."""
    return cast("Event", _scrub_value(dict(event)))


def configure_sentry(settings: Settings, *, transport: Transport | None = None) -> bool:
    """Start error reports when `SENTRY_DSN` is set; return whether they are on.

    Local variables of frames are never sent: they hold captions and handles.
    """
    if settings.sentry_dsn is None:
        return False
    options: dict[str, Any] = {} if transport is None else {"transport": transport}
    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        environment=settings.viral_environment,
        before_send=scrub_event,
        include_local_variables=False,
        send_default_pii=False,
        max_request_body_size="never",
        **options,
    )
    return True
